"""Real clips kept as they are."""

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from vddlib.datasets.clips import standardise
from vddlib.distillers.stored.contract import Content, encoded, expect


class StoredClips(Content):
    """Clips kept as they are: ``frames uint8 [N, T, H, W, 3]``; `mean` and `std` ``[3]`` standardise them when drawn."""

    kind: ClassVar[str] = "stored"

    def __init__(self, frames: Tensor, mean: Tensor, std: Tensor):
        super().__init__(mean, std)
        self.register_buffer("frames", torch.as_tensor(frames))

    def __len__(self) -> int:
        return len(self.frames)

    def forward(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Clips ``float32 [n, 3, T, H, W]``; nothing is random here."""
        return standardise(self.frames[indices], self.mean, self.std)

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor]) -> "StoredClips":
        """From `frames`, `mean` and `std`."""
        return cls(expect(tensors, "frames", torch.uint8, "N T H W 3"), tensors["mean"], tensors["std"])

    def pixels(self, generator: torch.Generator) -> np.ndarray:
        """The frames themselves."""
        return self.frames.cpu().numpy()

    def pixel_values(self) -> int:
        """All of them."""
        return self.frames.numel()

    def files(self) -> list[bytes]:
        """Every clip as a file."""
        return encoded(self.frames.cpu().numpy())
