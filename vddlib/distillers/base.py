"""What every distiller is: a pydantic model of its hyper-parameters with one method, `distill`."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from vddlib.core.errors import VddError, first_mistake
from vddlib.datasets.clips import Clips
from vddlib.distillers.distilled import DistilledSet


class Distiller(BaseModel):
    """Base of all methods: fields are hyper-parameters, `distill(train, ipc, seed)` gives a DistilledSet.

    A wrong or unknown hyper-parameter raises VddError, one line.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    name: ClassVar[str]  # in `DISTILLERS`, records and results/methods.py

    def __init__(self, **params):
        try:
            super().__init__(**params)
        except ValidationError as error:
            name, mistake = first_mistake(error)
            known = ", ".join(type(self).model_fields) or "none"
            raise VddError(f"{self.name}: {name or 'parameters'}: {mistake} (hyper-parameters: {known})") from None

    @property
    def method(self) -> str:
        """The name in records; storage other than free pixels is appended (`dm+vdsd`)."""
        return self.name

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


def check_ipc(train: Clips, ipc: int, what: str = "ipc") -> None:
    """Raise VddError where `ipc` is not positive or larger than the smallest class; `what` names it."""
    counts = torch.bincount(train.labels, minlength=len(train.classes))
    smallest = int(counts.argmin())
    if ipc < 1:
        raise VddError(f"{what} must be at least 1, not {ipc}")
    if ipc > counts[smallest]:
        raise VddError(
            f"{what} {ipc} is larger than the class {train.classes[smallest]} of {train.dataset}, which has "
            f"{int(counts[smallest])} train videos; choose at most {int(counts[smallest])}"
        )


def part_of(items: Sequence, shard: tuple[int, int], method: str) -> Sequence:
    """Every so many of `items`, for a shard (which, of how many). Raises VddError for one that does not exist."""
    which, count = shard
    if not 0 <= which < count:
        raise VddError(f"{method}: shard {which} of {count} does not exist; they count from 0")
    return items[which::count]
