"""Real clips kept as they are."""

import torch
from torch import Tensor, nn

from vddlib.datasets.clips import standardise
from vddlib.distillers.stored.contract import PARAMETERISATIONS


class StoredClips(nn.Module):
    """Clips kept as they are: ``frames uint8 [N, T, H, W, 3]``; `mean` and `std` standardise them when drawn."""

    def __init__(self, frames: Tensor, mean: Tensor, std: Tensor):
        super().__init__()
        self.register_buffer("frames", torch.as_tensor(frames))
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone())

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def values(self) -> int:
        """Numbers stored for the pixels (not counting the six of mean and std)."""
        return self.frames.numel()

    def forward(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Clips ``float32 [n, 3, T, H, W]``; nothing is random here."""
        return standardise(self.frames[indices], self.mean, self.std)


PARAMETERISATIONS["stored"] = StoredClips
