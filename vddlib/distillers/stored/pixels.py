"""Free clips: the parameterisation of DM, DC, MTT and FRePo, and its single-frame form for Static-DC."""

from typing import Literal

import torch
from torch import Tensor, nn

from vddlib.core import seeding
from vddlib.datasets.clips import Clips
from vddlib.distillers.selection.random import Random
from vddlib.distillers.stored.contract import PARAMETERISATIONS


class Pixels(nn.Module):
    """Clips whose every value is learned: ``clips float32 [N, 3, T, H, W]``, standardised by `mean` and `std` ``[3]``."""

    def __init__(self, clips: Tensor, mean: Tensor, std: Tensor):
        super().__init__()
        self.clips = nn.Parameter(clips.detach().clone().contiguous())
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone())

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def values(self) -> int:
        """Numbers stored for the pixels (not counting the six of mean and std)."""
        return self.clips.numel()

    def forward(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Clips ``float32 [n, 3, T, H, W]``; nothing is random here."""
        return self.clips[indices].contiguous(memory_format=torch.channels_last_3d)


class Stills(Pixels):
    """Learned images shown as videos in which nothing moves: ``clips float32 [N, 3, 1, H, W]``, `frames` times."""

    def __init__(self, clips: Tensor, mean: Tensor, std: Tensor, frames: int | Tensor):
        super().__init__(clips, mean, std)
        self.register_buffer("frames", torch.as_tensor(frames))

    def forward(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Clips ``float32 [n, 3, frames, H, W]``."""
        repeated = self.clips[indices].expand(-1, -1, int(self.frames), -1, -1)
        return repeated.contiguous(memory_format=torch.channels_last_3d)


PARAMETERISATIONS |= {"pixels": Pixels, "stills": Stills}


def initial(train: Clips, ipc: int, seed: int, init: Literal["real", "noise"]) -> Tensor:
    """Clips to begin with, ``float32 [C * ipc, 3, T, H, W]``, class after class.

    'real': the very clips that `Random` keeps for this seed; 'noise': standard normal values. Raises VddError where a
    class is smaller than `ipc`.
    """
    if init == "real":
        return Random().distill(train, ipc, seed).draw()[0]
    g = train.geometry
    shape = (len(train.classes) * ipc, 3, g.frames, g.size, g.size)
    return torch.randn(shape, generator=seeding.generator("noise", seed))
