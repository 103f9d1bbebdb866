"""Full data: nothing is distilled; the row that every method is measured against."""

from typing import ClassVar

from vddlib.datasets.clips import Clips
from vddlib.distillers.base import Distiller
from vddlib.distillers.distilled import FullSet


class Full(Distiller):
    """The train split as it is."""

    method: ClassVar[str] = "full"

    def distill(self, train: Clips, ipc: int | None = None, seed: int = 0) -> FullSet:
        """A view of `train`; `ipc` does not apply."""
        return FullSet(train, self.card(train, None, seed, distill_seconds=0.0))
