"""Distillers that keep some of the clips of a pool."""

import time
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from vddlib.core import seeding
from vddlib.core.errors import VddError
from vddlib.datasets.clips import Clips
from vddlib.datasets.geometry import Geometry
from vddlib.distillers.base import Distiller, check_ipc
from vddlib.distillers.distilled import DistilledSet
from vddlib.distillers.stored.clips import StoredClips


@dataclass(frozen=True)
class Selection:
    """Which clips of a pool are kept: ``int64 [C * ipc]``, class after class; the seconds it took; more for the card."""

    indices: Tensor
    seconds: float
    facts: dict[str, Any] = field(default_factory=dict)


class Selector(Distiller):
    """Distillers that keep some clips of a pool: one candidate clip per video (drawn from the seed), `ipc` per class.

    The pool is the train split itself, or other `candidates` (generated videos) with the same classes; networks are
    trained on `train` either way, and clips are standardised by the mean and std of `train`. `own_pool` is the kind of
    pool that the method's paper chooses from: on the other kind it is named a variant, ``random[generated]``,
    ``tac_dt[real]``.
    """

    own_pool: ClassVar[Literal["real", "generated"]] = "real"

    def choose(self, embeddings: Tensor, ipc: int, generator: torch.Generator) -> Tensor:
        """Indices ``int64 [ipc]``, in the order chosen, into one class's ``embeddings float32 [n, D]``."""
        raise NotImplementedError

    def stream(self, seed: int, label: int) -> torch.Generator:
        """What a class's clips are drawn by, where `choose` draws."""
        return seeding.generator("select", self.method, seed, label)

    def embeddings(self, train: Clips, seed: int, candidates: Clips | None = None) -> tuple[Tensor, float]:
        """``float32 [N, D]`` of every clip of `candidates` (by default of `train`), and the seconds they cost, training
        included even where it was cached; selectors that look at nothing return zeros ``[N, 1]``."""
        return torch.zeros(len(train if candidates is None else candidates), 1), 0.0

    def select(self, train: Clips, pool: Clips, ipc: int, seed: int) -> Selection:
        """Which clips of `pool` (`train` itself, where that is the pool) are kept: by default `choose`, class by class.

        What a method has to know besides the embeddings of one class at a time, it finds out here.
        """
        embeddings, seconds = self.embeddings(train, seed, pool)
        begun = time.monotonic()
        indices = torch.cat(
            [
                members[self.choose(embeddings[members], ipc, self.stream(seed, label))]
                for label, members in enumerate(map(pool.of_class, range(len(pool.classes))))
            ]
        )
        return Selection(indices, seconds + time.monotonic() - begun)

    def frames(self, pool: Clips, kept: Selection, seed: int) -> np.ndarray:
        """What is stored, ``uint8 [C * ipc, T, H, W, 3]``: the clips that were kept, as they are."""
        return pool.frames(kept.indices, epoch=0, seed=seed)

    def named_on(self, kind: Literal["real", "generated"]) -> str:
        """The method's name in records where it chooses from this kind of pool."""
        return self.method if kind == self.own_pool else f"{self.method}[{kind}]"

    def distill(self, train: Clips, ipc: int, seed: int = 0, candidates: Clips | None = None) -> DistilledSet:
        """Choose `ipc` of the candidate clips of each class.

        Raises VddError where a class has fewer candidates than `ipc`, or the classes of `candidates` are not those of
        `train` in the same order.
        """
        pool = train if candidates is None else _pool(train, candidates)
        check_ipc(pool, ipc)
        kept = self.select(train, pool, ipc, seed)
        begun = time.monotonic()
        frames = torch.from_numpy(self.frames(pool, kept, seed))
        seconds = kept.seconds + time.monotonic() - begun
        facts = {"distill_seconds": seconds, "videos": [pool.name(int(i)) for i in kept.indices], **kept.facts}
        if candidates is not None:
            facts |= {"pool": pool.dataset, "pool_sha256": pool.fingerprint}
        named = {"method": self.named_on("real" if candidates is None else "generated")}
        card = self.card(train, ipc, seed, **facts) | named
        content = StoredClips(frames, train.mean, train.std)
        return DistilledSet(content, pool.labels[kept.indices], train.classes, card)


def _pool(train: Clips, candidates: Clips) -> Clips:
    """`candidates` under the statistics of `train`. Raises VddError where the two do not fit each other."""
    if tuple(candidates.classes) != tuple(train.classes):
        raise VddError(
            f"the classes of the pool {candidates.dataset} are not those of {train.dataset} in the same order; labels "
            f"would name other classes"
        )
    if candidates.geometry != train.geometry and not _clips_already(candidates, train.geometry):
        raise VddError(f"clips of the pool are {candidates.geometry}, and those of {train.dataset} {train.geometry}")
    return candidates.standardised_as(train)


def _clips_already(candidates: Clips, geometry: Geometry) -> bool:
    """Whether each video is a clip of this size and length as it is, as generated ones are: then nothing is left to cut."""
    whole = (candidates.geometry.frames, candidates.geometry.size) == (geometry.frames, geometry.size)
    return whole and all(candidates.frame_count(i) == geometry.frames for i in range(len(candidates)))
