"""What every distiller is: a pydantic model of its hyper-parameters with one method, `distill`."""

import time
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from vddlib.datasets.clips import Clips
from vddlib.distillers.distilled import DistilledSet, Stored
from vddlib.errors import VddError


class Distiller(BaseModel):
    """Base of all methods: fields are hyper-parameters, `distill(train, ipc, seed)` gives a DistilledSet.

    A wrong or unknown hyper-parameter raises VddError, one line.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    method: ClassVar[str]

    def __init__(self, **params):
        try:
            super().__init__(**params)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"])) or "parameters"
            known = ", ".join(type(self).model_fields) or "none"
            raise VddError(f"{self.method}: {name}: {first['msg'].lower()} (hyper-parameters: {known})") from None

    def distill(self, train: Clips, ipc: int, seed: int = 0) -> DistilledSet:
        """A set of `ipc` clips per class made from `train`."""
        raise NotImplementedError

    def card(self, train: Clips, ipc: int | None, seed: int, **more: Any) -> dict[str, Any]:
        """The JSON card of a result: method, parameters, where it comes from, what it cost."""
        return {
            "method": self.method,
            "params": self.model_dump(mode="json"),
            "dataset": train.dataset,
            "dataset_sha256": train.fingerprint,
            "geometry": train.geometry.model_dump(mode="json"),
            "ipc": ipc,
            "seed": seed,
            **more,
        }


def check_ipc(train: Clips, ipc: int) -> None:
    """Raise VddError where `ipc` is not positive or larger than the smallest class."""
    counts = torch.bincount(train.labels, minlength=len(train.classes))
    smallest = int(counts.argmin())
    if ipc < 1:
        raise VddError(f"ipc must be at least 1, not {ipc}")
    if ipc > counts[smallest]:
        raise VddError(
            f"ipc {ipc} is larger than the class {train.classes[smallest]} of {train.dataset}, which has "
            f"{int(counts[smallest])} train videos; choose at most {int(counts[smallest])}"
        )


def part_of(items: Sequence, shard: tuple[int, int], method: str) -> Sequence:
    """Every so many of `items`, for a shard (which, of how many). Raises VddError for one that does not exist."""
    which, count = shard
    if not 0 <= which < count:
        raise VddError(f"{method}: shard {which} of {count} does not exist; they count from 0")
    return items[which::count]


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
        from vddlib import seeding

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
        return DistilledSet(Stored(frames, train.mean, train.std), train.labels[indices], train.classes, card)
