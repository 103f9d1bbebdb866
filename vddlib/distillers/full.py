"""Full data: nothing is distilled; the row that every method is measured against."""

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from vddlib.core.errors import VddError
from vddlib.datasets.clips import Clips
from vddlib.distillers.base import Distiller
from vddlib.distillers.distilled import DistilledSet
from vddlib.distillers.stored.contract import Sizes


class FullSet(DistilledSet):
    """Whole videos, all of the train split or some: they stay where they are, and clips are redrawn every epoch."""

    def __init__(self, train: Clips, card: dict[str, Any]):
        self.clips, self.labels, self.targets = train, train.labels, train.labels
        self.classes, self.card = train.classes, dict(card)

    def batch(self, indices: Tensor, *, epoch: int = 0, seed: int = 0, flip: bool = False) -> tuple[Tensor, Tensor]:
        """The clips drawn for (seed, epoch), flipped by the same draw where `flip`."""
        return self.clips.batch(indices, epoch=epoch, seed=seed, flip=flip)

    @cached_property
    def sizes(self) -> Sizes:
        """One clip per video as float32 and uint8; as streams and files, the whole videos on disk."""
        g, stream = self.clips.geometry, self.clips.bytes_stream
        values = len(self) * g.frames * g.size * g.size * 3
        return Sizes(4 * values, values, stream, self.clips.bytes_video - stream)

    def with_targets(self, targets: Tensor, **facts: Any) -> DistilledSet:
        """Refused: its clips are drawn anew every epoch, and labels of clips would not fit them."""
        raise VddError(f"{self._said} has hard labels; protocol D+ labels what students see of it")

    def state(self) -> dict:
        """The clips' own state: dataset, videos, geometry."""
        return self.clips.state()

    def save(self, folder: Path, previews: bool = True) -> Path:
        """Refused: its videos are the dataset's own."""
        raise VddError(f"{self._said} is the dataset's own videos; there is nothing to save")

    @property
    def _said(self) -> str:
        method = self.card.get("method", "full")
        return "the full set" if method == "full" else f"a set of {method}"


class Full(Distiller):
    """The train split as it is."""

    name: ClassVar[str] = "full"

    def distill(self, train: Clips, ipc: int | None = None, seed: int = 0) -> FullSet:
        """A view of `train`; `ipc` does not apply."""
        return FullSet(train, self.card(train, None, seed, distill_seconds=0.0))
