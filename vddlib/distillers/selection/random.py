"""Random selection: `ipc` clips per class, any of them equally likely."""

from typing import ClassVar

import torch
from torch import Tensor

from vddlib.distillers.selection.selector import Selector


class Random(Selector):
    """The baseline that costs nothing."""

    name: ClassVar[str] = "random"

    def choose(self, embeddings: Tensor, ipc: int, generator: torch.Generator) -> Tensor:
        """The first `ipc` of a random order."""
        return torch.randperm(len(embeddings), generator=generator)[:ipc]
