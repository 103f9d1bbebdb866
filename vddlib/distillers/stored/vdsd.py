"""VDSD, videos as still images and what moves in them (Wang et al., CVPR 2024, "Dancing with Still Images")."""

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from vddlib.core import seeding
from vddlib.datasets.clips import Clips, to_pixels
from vddlib.distillers.matching.dc import StaticDC, static_memory
from vddlib.distillers.stored.contract import LONGEST, Content, Storage, encoded, expect
from vddlib.distillers.stored.pixels import StillImages
from vddlib.training.temporal import stretched

KERNEL = 3  # of the hallucinator, in time and space (public code)


class Memories(Content):
    """Static and dynamic memories, and the hallucinator that makes videos of one of each (section 4.2 of the paper).

    `statics` ``float32 [N, s, 3, H, W]``: `s` standardised images for each of N videos; `dynamics`
    ``float32 [N, d, 1, t, H, W]``: `d` one-channel tensors as long as a video; `hallucinator`: one convolution over time and
    space for all, from four channels (an image repeated along time, and a dynamic memory) to three. A draw pairs one of a
    video's images with one of its dynamic memories, each as likely as any other, and has `frames` frames.
    """

    kind: ClassVar[str] = "vdsd"
    random: ClassVar[bool] = True

    def __init__(self, statics: Tensor, dynamics: Tensor, mean: Tensor, std: Tensor, frames: int | Tensor = 0):
        """Of statics and dynamics; without `frames` draws are as long as dynamic memories."""
        super().__init__(mean, std)
        self.register_buffer("frames", torch.as_tensor(frames or dynamics.shape[3]))
        self.statics = nn.Parameter(statics.detach().clone().contiguous(), requires_grad=False)
        self.dynamics = nn.Parameter(dynamics.detach().clone().contiguous())
        self.hallucinator = nn.Conv3d(4, 3, KERNEL, padding=KERNEL // 2)
        self.lr_static, self.lr_hallucinator = 0.0, 0.0  # of optimisation: no part of what is stored

    def learning(self, lr_static: float, lr_hallucinator: float) -> "Memories":
        """Itself, with these learning rates; images at 0 stay as they are."""
        self.lr_static, self.lr_hallucinator = lr_static, lr_hallucinator
        self.statics.requires_grad_(lr_static > 0)
        return self

    def __len__(self) -> int:
        return len(self.statics)

    def forward(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Clips ``float32 [n, 3, T, H, W]`` of pairs that are drawn anew."""
        indices = indices.to(self.mean.device)
        count = torch.tensor([self.statics.shape[1], self.dynamics.shape[1]], device=self.mean.device)
        which = (self.uniform(indices, generator, 2) * count).long()
        return self.pair(indices, which[:, 0], which[:, 1])

    def pair(self, indices: Tensor, static: Tensor, dynamic: Tensor) -> Tensor:
        """Clips ``float32 [n, 3, T, H, W]`` of given pairs: which image and which memory, ``int64 [n]``, of each video."""
        image, motion = self.statics[indices, static], self.dynamics[indices, dynamic]
        repeated = image.unsqueeze(2).expand(-1, -1, motion.shape[2], -1, -1)
        made = self.hallucinator(torch.cat([repeated, motion], 1))
        if made.shape[2] != self.frames:  # fewer or more synthetic frames than students see
            made = stretched(made, int(self.frames))
        return made.contiguous(memory_format=torch.channels_last_3d)

    def groups(self, lr: float) -> list[dict[str, Any]]:
        """Dynamic memories at `lr`; the hallucinator and, where they are learned, images at rates of their own."""
        groups = [{"params": [self.dynamics], "lr": lr}]
        groups.append({"params": list(self.hallucinator.parameters()), "lr": self.lr_hallucinator})
        return groups + ([{"params": [self.statics], "lr": self.lr_static}] if self.lr_static else [])

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor]) -> "Memories":
        """From `statics`, `dynamics`, `frames`, the hallucinator's `weight` and `bias`, `mean` and `std`."""
        frames = expect(tensors, "frames", torch.int64, "")
        if not 1 <= frames <= LONGEST:
            raise ValueError(f"a clip of {int(frames)} frames")
        content = cls(
            expect(tensors, "statics", torch.float32, "N S 3 H W"),
            expect(tensors, "dynamics", torch.float32, "N D 1 T H W"),
            tensors["mean"],
            tensors["std"],
            frames,
        )
        if (content.statics.shape[0], content.statics.shape[3:]) != (len(content.dynamics), content.dynamics.shape[4:]):
            raise ValueError("static and dynamic memories differ in number or size")
        expect(tensors, "hallucinator.weight", torch.float32, f"3 4 {KERNEL} {KERNEL} {KERNEL}")
        expect(tensors, "hallucinator.bias", torch.float32, "3")
        content.load_state_dict(tensors)
        return content

    def pixel_values(self) -> int:
        """All values of the images; dynamic memories are no pixels."""
        return self.statics.numel()

    def other_tensors(self) -> list[Tensor]:
        """Dynamic memories and the hallucinator."""
        return [self.dynamics, *self.hallucinator.parameters()]

    def files(self) -> list[bytes]:
        """Every image as a file of one frame."""
        images = self.statics.detach().flatten(0, 1).unsqueeze(2)  # [N * s, 3, 1, H, W]
        return encoded(to_pixels(images, self.mean.cpu(), self.std.cpu()))


class VDSD(Storage):
    """Static and dynamic memories with one hallucinator, instead of pixels: `dm+vdsd`, `mtt+vdsd`, `frepo+vdsd`.

    Defaults are the public code's: two images and two dynamic memories per video, images of Static-DC that stay as they
    are, dynamic memories and hallucinator from random numbers. The distiller's `lr_pixels` is the rate of dynamic memories
    (published: 1e-4 to 1e4, depending on method and IPC), and its `momentum` 0.95 there.
    """

    suffix: ClassVar[str] = "vdsd"
    code: ClassVar[tuple[str, ...]] = (
        "vddlib.distillers.matching.dc", "vddlib.distillers.stored.pixels", "vddlib.training.temporal",
    )  # fmt: skip

    statics: int = Field(2, ge=1, description="images per video")
    dynamics: int = Field(2, ge=1, description="dynamic memories per video")
    length: int = Field(0, ge=0, description="frames of a synthetic video; 0: as many as a clip has")
    images: Literal["static_dc", "frames"] = Field(
        "static_dc", description="distilled by Static-DC, or random frames of real clips"
    )
    static: StaticDC = Field(default_factory=StaticDC, description="how images are distilled")
    lr_static: float = Field(0.0, ge=0, description="learning rate of the images; 0: they stay as they are")
    lr_hallucinator: float = Field(1e-5, ge=0, description="learning rate of the hallucinator")
    begin_as: Literal["random", "stills"] = Field(
        "random", description="hallucinator at the beginning: random, or one that shows the image as it is"
    )

    def begin(self, train: Clips, ipc: int, indices: Tensor, seed: int, device: str) -> Content:
        """Memories to optimise. Raises VddError where a class has fewer than ``ipc * statics`` videos."""
        images, seconds = self._images(train, ipc * self.statics, seed, device)
        statics = images.unflatten(0, (-1, self.statics))  # [C * ipc, s, 3, H, W]
        g, stream = train.geometry, seeding.generator("dynamics", seed)
        length = self.length or g.frames
        dynamics = torch.randn(len(statics), self.dynamics, 1, length, g.size, g.size, generator=stream)
        content = Memories(statics[indices], dynamics[indices], train.mean, train.std, g.frames)
        if self.begin_as == "stills":
            showing_stills(content.hallucinator)
        content.prepared = seconds
        return content.learning(self.lr_static, self.lr_hallucinator)

    def _images(self, train: Clips, per_class: int, seed: int, device: str) -> tuple[Tensor, float]:
        """Images ``float32 [C * per_class, 3, H, W]``, class after class, and the seconds that they took."""
        if self.images == "static_dc":
            distilled = self.static.model_copy(update={"device": device}).distill(train, per_class, seed)
            return static_memory(distilled).flatten(0, 1), distilled.card["distill_seconds"]
        everything = torch.arange(len(train.classes) * per_class)
        return StillImages().begin(train, per_class, everything, seed, device).clips.detach()[:, :, 0], 0.0


@torch.no_grad()
def showing_stills(hallucinator: nn.Conv3d) -> None:
    """Set a hallucinator so that it passes the image on and adds a tenth of what its random weights make of the motion."""
    middle = KERNEL // 2
    hallucinator.weight[:, :3] = 0
    hallucinator.weight[:, 3] *= 0.1
    hallucinator.bias.zero_()
    for colour in range(3):
        hallucinator.weight[colour, colour, middle, middle, middle] = 1
