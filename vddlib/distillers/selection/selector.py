"""Distillers that keep some of the clips of a pool."""

import time

import torch
from torch import Tensor

from vddlib.core import seeding
from vddlib.datasets.clips import Clips
from vddlib.distillers.base import Distiller, check_ipc
from vddlib.distillers.distilled import DistilledSet
from vddlib.distillers.stored.clips import StoredClips


class Selector(Distiller):
    """Distillers that keep real clips: one candidate clip per video (drawn from the seed), `ipc` chosen per class."""

    def choose(self, embeddings: Tensor, ipc: int, generator: torch.Generator) -> Tensor:
        """Indices ``int64 [ipc]``, in the order chosen, into one class's ``embeddings float32 [n, D]``."""
        raise NotImplementedError

    def embeddings(self, train: Clips, seed: int) -> tuple[Tensor, float]:
        """``float32 [N, D]`` of every candidate clip, and the seconds they cost, training included even where it was
        cached; selectors that look at nothing return zeros ``[N, 1]``."""
        return torch.zeros(len(train), 1), 0.0

    def distill(self, train: Clips, ipc: int, seed: int = 0) -> DistilledSet:
        """Choose `ipc` of the candidate clips of each class. Raises VddError where a class is smaller than `ipc`."""
        check_ipc(train, ipc)
        embeddings, seconds = self.embeddings(train, seed)
        begun = time.monotonic()
        chosen = []
        for label in range(len(train.classes)):
            members = train.of_class(label)
            stream = seeding.generator("select", self.method, seed, label)
            chosen.append(members[self.choose(embeddings[members], ipc, stream)])
        indices = torch.cat(chosen)
        frames = torch.from_numpy(train.frames(indices, epoch=0, seed=seed))
        seconds += time.monotonic() - begun
        card = self.card(train, ipc, seed, distill_seconds=seconds, videos=[train.name(int(i)) for i in indices])
        return DistilledSet(StoredClips(frames, train.mean, train.std), train.labels[indices], train.classes, card)
