"""Distillers that keep some of the clips of a pool."""

import time

import torch
from torch import Tensor

from vddlib.core import seeding
from vddlib.core.errors import VddError
from vddlib.datasets.clips import Clips
from vddlib.distillers.base import Distiller, check_ipc
from vddlib.distillers.distilled import DistilledSet
from vddlib.distillers.stored.clips import StoredClips


class Selector(Distiller):
    """Distillers that keep some clips of a pool: one candidate clip per video (drawn from the seed), `ipc` per class.

    The pool is the train split itself, or other `candidates` (generated videos) with the same classes; networks are
    trained on `train` either way, and clips are standardised by the mean and std of `train`.
    """

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

    def distill(self, train: Clips, ipc: int, seed: int = 0, candidates: Clips | None = None) -> DistilledSet:
        """Choose `ipc` of the candidate clips of each class.

        Raises VddError where a class has fewer candidates than `ipc`, or the classes of `candidates` are not those of
        `train` in the same order.
        """
        pool = train if candidates is None else _pool(train, candidates)
        check_ipc(pool, ipc)
        embeddings, seconds = self.embeddings(train, seed, pool)
        begun = time.monotonic()
        chosen = []
        for label in range(len(pool.classes)):
            members = pool.of_class(label)
            chosen.append(members[self.choose(embeddings[members], ipc, self.stream(seed, label))])
        indices = torch.cat(chosen)
        frames = torch.from_numpy(pool.frames(indices, epoch=0, seed=seed))
        seconds += time.monotonic() - begun
        facts = {"distill_seconds": seconds, "videos": [pool.name(int(i)) for i in indices]}
        if candidates is not None:
            facts |= {"pool": pool.dataset, "pool_sha256": pool.fingerprint}
        card = self.card(train, ipc, seed, **facts)
        return DistilledSet(StoredClips(frames, train.mean, train.std), pool.labels[indices], train.classes, card)


def _pool(train: Clips, candidates: Clips) -> Clips:
    """`candidates` under the statistics of `train`. Raises VddError where the two do not fit each other."""
    if tuple(candidates.classes) != tuple(train.classes):
        raise VddError(
            f"the classes of the pool {candidates.dataset} are not those of {train.dataset} in the same order; labels "
            f"would name other classes"
        )
    if candidates.geometry != train.geometry:
        raise VddError(f"clips of the pool are {candidates.geometry}, and those of {train.dataset} {train.geometry}")
    return candidates.standardised_as(train)
