"""Random clips a round at a time, a clip of every class in each, and as many rounds as a budget in bytes allows."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from vddlib.core.errors import VddError
from vddlib.datasets.clips import Clips
from vddlib.datasets.video import stream_bytes
from vddlib.distillers.base import Distiller, check_ipc
from vddlib.distillers.distilled import DistilledSet
from vddlib.distillers.selection.random import Random
from vddlib.distillers.stored.contract import Content


class Round(NamedTuple):
    """A clip of every class: its video, the file that it takes and, where not files are stored, what is ``uint8 [C, ...]``."""

    videos: list[int]
    files: list[bytes]
    frames: np.ndarray


def random_order(train: Clips, seed: int) -> list[Tensor]:
    """The videos of every class, ``int64 [n]`` each, in the order in which `random` keeps them for this seed."""
    method, orders = Random(), []
    for label in range(len(train.classes)):
        members = train.of_class(label)
        nothing = torch.zeros(len(members), 1)
        orders.append(members[method.choose(nothing, len(members), method.stream(seed, label))])
    return orders


class RandomRounds(Distiller):
    """Base of random clips that are stored otherwise than `random` stores them: `ipc` per class, or what a budget allows.

    The k-th clip of a class is the one that `random` would keep as its k-th, whatever the budget, so that a larger set
    holds the smaller ones of its seed. Under a budget or with a `count`, `ipc` only names the row.
    """

    budget: int = Field(0, ge=0, description="bytes of all streams together, at most; 0: ipc clips per class")
    count: int = Field(
        0, ge=0, description="per class, as many as another method has images; 0: ipc, or what the budget allows"
    )
    per_video: int = Field(8, ge=1, description="clips of a video, where a budget allows more than a class has videos")

    def stored(self, clips: np.ndarray, seed: int, number: int) -> tuple[list[bytes], np.ndarray]:
        """The files and the frames (see Round) of the clips `number`, ``uint8 [C, T, size, size, 3]``."""
        raise NotImplementedError

    def content(self, files: list[bytes], frames: np.ndarray, train: Clips) -> Content:
        """What a set holds: of all clips, class after class, their files and frames."""
        raise NotImplementedError

    def facts(self, train: Clips) -> dict[str, Any]:
        """What else its card says. Raises VddError where the clips cannot be stored so."""
        return {}

    def distill(self, train: Clips, ipc: int, seed: int = 0) -> DistilledSet:
        """Random clips of every class, equally many.

        Raises VddError where a class is smaller than `ipc` (or `count`), or the first clips alone exceed the budget.
        """
        count = self.count or ipc
        if self.budget:
            check_ipc(train, min(ipc, 1))
        else:
            check_ipc(train, count, "count" if self.count else "ipc")
        facts, begun = self.facts(train), time.monotonic()
        rounds = self._rounds(train, seed)
        kept = self._within(rounds) if self.budget else list(islice(rounds, count))
        classes = range(len(train.classes))
        videos = [one.videos[label] for label in classes for one in kept]
        files = [one.files[label] for label in classes for one in kept]
        frames = np.stack([one.frames[label] for label in classes for one in kept])
        facts |= {
            "clips_per_class": len(kept), "videos": [train.name(i) for i in videos],
            "distill_seconds": time.monotonic() - begun,
        }  # fmt: skip
        content, card = self.content(files, frames, train), self.card(train, ipc, seed, **facts)
        return DistilledSet(content, train.labels[torch.tensor(videos)], train.classes, card)

    def _rounds(self, train: Clips, seed: int) -> Iterator[Round]:
        """One round after another; where a class has no other video left, with other clips of the same ones."""
        orders = random_order(train, seed)
        for number in range(min(map(len, orders)) * self.per_video):
            # By the place in each class's own order: classes differ in how many videos they have.
            turns = [divmod(number, len(order)) for order in orders]
            videos = [int(order[place]) for order, (_, place) in zip(orders, turns, strict=True)]
            drawn = [train.frames([i], epoch=turn, seed=seed) for i, (turn, _) in zip(videos, turns, strict=True)]
            yield Round(videos, *self.stored(np.concatenate(drawn), seed, number))

    def _within(self, rounds: Iterator[Round]) -> list[Round]:
        """The first of the rounds, as long as all their streams fit the budget."""
        kept, spent = [], 0
        for one in rounds:
            spent += sum(map(stream_bytes, one.files))
            if spent > self.budget:
                break
            kept.append(one)
        if not kept:
            raise VddError(
                f"{self.method}: a clip of every class takes {spent} bytes, and the budget is {self.budget}; raise it"
            )
        return kept
