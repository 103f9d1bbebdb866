"""Free pixels, what DM, DC, MTT and FRePo optimise, and the still images of Static-DC."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from vddlib.core import seeding
from vddlib.core.errors import VddError
from vddlib.datasets.clips import Clips
from vddlib.distillers.selection.random import Random
from vddlib.distillers.stored.contract import LONGEST, Content, Storage, encoded, expect

Init = Literal["real", "noise"]


class Pixels(Content):
    """Clips whose every value is learned: ``clips float32 [N, 3, T, H, W]``, standardised by `mean` and `std` ``[3]``."""

    kind: ClassVar[str] = "pixels"

    def __init__(self, clips: Tensor, mean: Tensor, std: Tensor):
        super().__init__(mean, std)
        self.clips = nn.Parameter(clips.detach().clone().contiguous())

    def __len__(self) -> int:
        return len(self.clips)

    def forward(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Clips ``float32 [n, 3, T, H, W]``; nothing is random here."""
        return self.clips[indices].contiguous(memory_format=torch.channels_last_3d)

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor]) -> "Pixels":
        """From `clips`, `mean` and `std`."""
        return cls(expect(tensors, "clips", torch.float32, "N 3 T H W"), tensors["mean"], tensors["std"])

    def pixel_values(self) -> int:
        """All values of the clips."""
        return self.clips.numel()

    def files(self) -> list[bytes]:
        """Every clip as a file, as it is shown."""
        return encoded(self.pixels(torch.Generator()))


class Stills(Pixels):
    """Learned images shown as videos in which nothing moves: ``clips float32 [N, 3, 1, H, W]``, `frames` times."""

    kind: ClassVar[str] = "stills"

    def __init__(self, clips: Tensor, mean: Tensor, std: Tensor, frames: int | Tensor):
        super().__init__(clips, mean, std)
        self.register_buffer("frames", torch.as_tensor(frames))

    def forward(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Clips ``float32 [n, 3, frames, H, W]``."""
        repeated = self.clips[indices].expand(-1, -1, int(self.frames), -1, -1)
        return repeated.contiguous(memory_format=torch.channels_last_3d)

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor]) -> "Stills":
        """From `clips`, `mean`, `std` and `frames`."""
        frames = expect(tensors, "frames", torch.int64, "")
        if not 1 <= frames <= LONGEST:
            raise VddError(f"a still is shown for {int(frames)} frames")
        return cls(expect(tensors, "clips", torch.float32, "N 3 1 H W"), tensors["mean"], tensors["std"], frames)

    def files(self) -> list[bytes]:
        """Every image as a file of one frame: as a video in which nothing moves x264 spends three times the bytes on it."""
        return encoded(self.pixels(torch.Generator())[:, :1])


class FreePixels(Storage):
    """Every value of every clip is free."""

    init: Init = Field("real", description="real clips (those `random` keeps) or Gaussian noise")

    def begin(self, train: Clips, ipc: int, indices: Tensor, seed: int, device: str) -> Content:
        """Clips to optimise."""
        return Pixels(initial(train, ipc, seed, self.init)[indices], train.mean, train.std)


class StillImages(FreePixels):
    """One image per clip; the set shows each as a video in which nothing moves."""

    def begin(self, train: Clips, ipc: int, indices: Tensor, seed: int, device: str) -> Content:
        """A random frame of the clip that `random` keeps, or noise; clips of one frame while they are optimised."""
        clips = initial(train, ipc, seed, self.init)
        chosen = [still_frame(clips.shape[2], seed, *divmod(i, ipc)) for i in range(len(clips))]
        images = clips[torch.arange(len(clips)), :, chosen].unsqueeze(2)
        return Pixels(images[indices], train.mean, train.std)

    def finished(self, content: Content, train: Clips) -> Content:
        """The images, shown as clips."""
        return Stills(content.clips.data, content.mean, content.std, train.geometry.frames)


def still_frame(frames: int, seed: int, label: int, number: int) -> int:
    """Which of `frames` frames stands for clip `number` of a class: the same however many clips the class has."""
    return int(seeding.rng("still", seed, label, number).integers(frames))


def initial(train: Clips, ipc: int, seed: int, init: Init) -> Tensor:
    """Clips to begin with, ``float32 [C * ipc, 3, T, H, W]``, class after class.

    'real': the very clips that `Random` keeps for this seed; 'noise': standard normal values. Raises VddError where a
    class is smaller than `ipc`.
    """
    if init == "real":
        return Random().distill(train, ipc, seed).draw()[0]
    g = train.geometry
    shape = (len(train.classes) * ipc, 3, g.frames, g.size, g.size)
    return torch.randn(shape, generator=seeding.generator("noise", seed))
