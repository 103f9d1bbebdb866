"""Prototypes: k-means centres as blends of real clips, nothing optimised. Ours, after the idea of ProtoBlend."""

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field

from vddlib.datasets.clips import Clips
from vddlib.distillers.selection.clusters import kmeans, nearest_first
from vddlib.distillers.selection.embedding import EmbeddingSelector
from vddlib.distillers.selection.selector import Selection


@dataclass(frozen=True)
class Blends(Selection):
    """A selection, and for every stored clip the clips that it is blended of: the one nearest the centre comes first."""

    members: tuple[tuple[int, ...], ...] = ()


class Prototypes(EmbeddingSelector):
    """k-means over a class's embeddings with `ipc` clusters; of each, the clip nearest to the centre, blended with the next
    nearest ones of its cluster, pixel by pixel.

    Written from the idea of ProtoBlend (arXiv 2608.03269: prototypes blended without optimisation), not from its code, and so
    named as ours. Whether blending helps is a question of motion: clips of one cluster need not move in step.
    """

    name: ClassVar[str] = "prototypes"

    blended: int = Field(
        3, ge=1, description="clips of a cluster that are blended, if it has as many; 1: none, kept as is"
    )
    share: float = Field(
        0.5, gt=0, le=1, description="of the nearest clip in a blend; the others share the rest equally"
    )

    def select(self, train: Clips, pool: Clips, ipc: int, seed: int) -> Blends:
        """The nearest clip of every cluster, and the members of its blend; the card names all of them (`blended`)."""
        embeddings, seconds = self.embeddings(train, seed, pool)
        begun, found = time.monotonic(), []
        for label in range(len(pool.classes)):
            members = pool.of_class(label)
            for cluster in kmeans(embeddings[members], ipc, self.stream(seed, label)):
                nearest = nearest_first(embeddings[members], cluster)[: self.blended]
                found.append(tuple(members[nearest].tolist()))
        facts = {"blended": [[pool.name(i) for i in blend] for blend in found]}
        indices = torch.tensor([blend[0] for blend in found])
        return Blends(indices, seconds + time.monotonic() - begun, facts, tuple(found))

    def frames(self, pool: Clips, kept: Blends, seed: int) -> np.ndarray:
        """The blends, ``uint8 [C * ipc, T, H, W, 3]``."""
        return np.stack([blend(pool.frames(one, epoch=0, seed=seed), self.share) for one in kept.members])


def blend(clips: np.ndarray, share: float) -> np.ndarray:
    """``uint8 [T, H, W, 3]`` of ``clips uint8 [K, T, H, W, 3]``: `share` of the first, and equal parts of the others."""
    if len(clips) == 1:
        return clips[0]
    rest = clips[1:].mean(0, dtype=np.float64)
    return (share * clips[0] + (1 - share) * rest).round().astype(np.uint8)
