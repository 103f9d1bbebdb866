"""IDTD's feature pools, selectors and temporal fusors (Zhao et al., "Video Set Distillation", sections 3.2 and 3.3)."""

from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from vddlib.core import seeding
from vddlib.core.errors import VddError
from vddlib.datasets.clips import Clips, to_pixels
from vddlib.datasets.geometry import evenly
from vddlib.distillers.stored.contract import LONGEST, Content, Storage, expect
from vddlib.distillers.stored.pixels import initial
from vddlib.training.temporal import interval, resample, stretched

Parts = Literal["both", "selectors", "fusor"]
FLAGS = ("length", "frames", "least", "crops", "selects", "fuses")  # scalars among the tensors


class Diversified(Content):
    """Videos made of a feature pool each, by selectors and a temporal fusor of their own.

    `pool` ``float32 [N, R, 3, t, H, W]``: R features of t frames; `selectors` ``[N, K, R]`` and `shifts` ``[N, K]``: K
    linear layers that mix them into K diverse segments ``[3, t, H, W]``; `fusor` ``[N, 3, 3, k]`` and `fusor_bias``
    ``[N, 3]``: a convolution along time over the segments, one after another, whose K * t frames are then averaged to
    `length`. A draw is a random interval of that video (stochastic temporal augmentation), brought to `frames`.

    `selects` 0: the segments are free, one per entry of the pool (K = R); `fuses` 0: segments are stitched, of all their
    frames `length` evenly spaced ones; `crops` 0: the whole video is drawn.
    """

    kind: ClassVar[str] = "idtd"
    random: ClassVar[bool] = True

    def __init__(self, parts: dict[str, Tensor], mean: Tensor, std: Tensor):
        """Of `parts`: pool, selectors, shifts, fusor, fusor_bias and the scalars of FLAGS."""
        super().__init__(mean, std)
        for name in ("pool", "selectors", "shifts", "fusor", "fusor_bias"):
            self.register_parameter(name, nn.Parameter(parts[name].detach().clone().contiguous()))
        for name in FLAGS:
            self.register_buffer(name, torch.as_tensor(parts[name]))
        used = {id(tensor) for tensor in self.other_tensors()}
        for parameter in self.parameters():
            parameter.requires_grad_(id(parameter) in used)

    def __len__(self) -> int:
        return len(self.pool)

    @property
    def draws_intervals(self) -> bool:
        """Whether draws are random intervals, as protocol B asks for."""
        return bool(self.crops)

    def segments(self, indices: Tensor) -> Tensor:
        """The diverse segments ``float32 [n, K, 3, t, H, W]`` of ``indices int64 [n]``."""
        pool = self.pool[indices]
        if not self.selects:
            return pool
        mixed = torch.einsum("nkr,nrcthw->nkcthw", self.selectors[indices], pool)
        return mixed + self.shifts[indices][:, :, None, None, None, None]

    def fused(self, segments: Tensor, indices: Tensor) -> Tensor:
        """Videos ``float32 [n, 3, length, H, W]`` of the segments of ``indices``."""
        joined = segments.transpose(1, 2).flatten(2, 3)  # [n, 3, K * t, H, W], one segment after another
        frames, length = joined.shape[2], int(self.length)
        if not self.fuses:
            return joined[:, :, evenly(length, frames)]
        weight, reach = self.fusor[indices], self.fusor.shape[-1] // 2
        padded = nn.functional.pad(joined, (0, 0, 0, 0, reach, reach))
        made = self.fusor_bias[indices][:, :, None, None, None]
        for tap in range(weight.shape[-1]):
            made = made + torch.einsum("noc,ncthw->nothw", weight[..., tap], padded[:, :, tap : tap + frames])
        size = made.shape[-1]
        return nn.functional.adaptive_avg_pool3d(made, (length, size, size))

    def videos(self, indices: Tensor) -> Tensor:
        """The synthetic videos, whole: ``float32 [n, 3, length, H, W]``."""
        return self.fused(self.segments(indices), indices)

    def forward(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Clips ``float32 [n, 3, frames, H, W]``: a random interval of each video, drawn anew."""
        indices = indices.to(self.mean.device)
        return self.cropped(self.videos(indices), indices, generator)

    def cropped(self, videos: Tensor, indices: Tensor, generator: torch.Generator) -> Tensor:
        """``tau(v, mu)``: a random interval of each of ``videos [n, 3, length, H, W]`` at `frames` frames."""
        if not self.crops:
            return stretched(videos, int(self.frames))
        begin, end = interval(self.uniform(indices, generator, 2), float(self.least))
        return resample(videos, begin, end, int(self.frames))

    @torch.no_grad()
    def pixels(self, generator: torch.Generator) -> np.ndarray:
        """The synthetic videos, whole: ``uint8 [N, length, H, W, 3]``."""
        videos = self.videos(torch.arange(len(self), device=self.mean.device))
        return to_pixels(videos, self.mean.cpu(), self.std.cpu())

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor]) -> "Diversified":
        """From the tensors that the class names. Raises VddError where they cannot be such a set."""
        pool = expect(tensors, "pool", torch.float32, "N R 3 T H W")
        count, entries = pool.shape[:2]
        selectors = expect(tensors, "selectors", torch.float32, f"{count} K {entries}")
        expect(tensors, "shifts", torch.float32, f"{count} {selectors.shape[1]}")
        fusor = expect(tensors, "fusor", torch.float32, f"{count} 3 3 K")
        expect(tensors, "fusor_bias", torch.float32, f"{count} 3")
        if pool.shape[4] != pool.shape[5] or not fusor.shape[-1] % 2:
            raise VddError("frames are square, and a fusor looks as far ahead as back")
        least = expect(tensors, "least", torch.float64, "")
        numbers = {name: int(expect(tensors, name, torch.int64, "")) for name in FLAGS if name != "least"}
        if not (1 <= numbers["length"] <= LONGEST and 1 <= numbers["frames"] <= LONGEST and 0 <= least <= 1):
            raise VddError(f"length and frames are 1 to {LONGEST} and least 0 to 1, not {numbers}, {float(least)}")
        if not numbers["selects"] and selectors.shape[1] != entries:
            raise VddError("without selectors there is a segment for every entry of the pool")
        return cls(tensors, tensors["mean"], tensors["std"])

    def pixel_values(self) -> int:
        """None: a pool holds features, kept at their own width."""
        return 0

    def files(self) -> list[bytes]:
        """None."""
        return []

    def other_tensors(self) -> list[Tensor]:
        """Pool, and the selectors and fusors that are used."""
        used = [self.pool]
        used += [self.selectors, self.shifts] if self.selects else []
        return used + ([self.fusor, self.fusor_bias] if self.fuses else [])

    def bytes_of_videos(self) -> int:
        """Bytes of the synthetic videos at one byte a value, the only ones that the paper counts."""
        return len(self) * 3 * int(self.length) * self.pool.shape[-1] ** 2


class FeaturePools(Storage):
    """A feature pool, selectors and a fusor per video, in place of its pixels.

    The paper gives K = 8 and says that the pool is a random learnable tensor, the selectors are light linear layers and the
    fusor a light convolution along time; their sizes are open. Here the pool has `entries` features of as many frames as
    make no more values than the video has, and a selector weighs them.
    """

    suffix: ClassVar[str] = "idtd"
    code: ClassVar[tuple[str, ...]] = ("vddlib.distillers.stored.pixels", "vddlib.training.temporal")

    selectors: int = Field(8, ge=1, description="K, segments per video")
    entries: int = Field(4, ge=1, description="features in a pool, at most one per frame")
    length: int = Field(0, ge=0, description="frames of a synthetic video; 0: as many as a clip has")
    kernel: int = Field(3, ge=1, description="frames that the fusor sees at once, an odd number")
    parts: Parts = Field(
        "both", description="both; selectors: segments are stitched (table 3, C); fusor: segments are free (B)"
    )
    init: Literal["noise", "real"] = Field(
        "noise",
        description="all random, or real clips in the pool, each segment one of them, and a fusor that keeps them",
    )
    crop: bool = Field(True, description="a draw is a random interval of the video")
    least: float = Field(0.0, ge=0, le=1, description="least share of the video in a draw")

    def begin(self, train: Clips, ipc: int, indices: Tensor, seed: int, device: str) -> Content:
        """Pools, selectors and fusors to optimise. Raises VddError for an even kernel."""
        g, count = train.geometry, len(train.classes) * ipc
        length, free = self.length or g.frames, self.parts == "fusor"
        entries = self.selectors if free else min(self.entries, length)
        if not self.kernel % 2:
            raise VddError(f"idtd: kernel must be odd, to look as far ahead as back, not {self.kernel}")
        frames, stream = max(1, length // entries), seeding.generator("idtd", seed)
        if self.init == "real" or free:  # table 3: B begins with K real videos
            pool = _real_entries(train, ipc, entries, frames, seed)
        else:
            pool = torch.randn(count, entries, 3, frames, g.size, g.size, generator=stream)
        parts = {"pool": pool, **self._layers(count, entries, stream)}
        parts = {name: value[indices] for name, value in parts.items()}
        flags = {"crops": int(self.crop), "selects": int(not free), "fuses": int(self.parts != "selectors")}
        numbers = {"length": length, "frames": g.frames, **flags}
        parts |= {name: torch.tensor(value) for name, value in numbers.items()}
        parts["least"] = torch.tensor(self.least, dtype=torch.float64)
        return Diversified(parts, train.mean, train.std)

    def _layers(self, count: int, entries: int, stream: torch.Generator) -> dict[str, Tensor]:
        """Selectors and fusors at the beginning: as torch begins its layers, or such that segments are entries of the pool."""

        def uniform(*shape: int, fan_in: int) -> Tensor:
            return (2 * torch.rand(*shape, generator=stream) - 1) / fan_in**0.5

        k = self.selectors
        layers = {
            "selectors": uniform(count, k, entries, fan_in=entries),
            "shifts": uniform(count, k, fan_in=entries),
            "fusor": uniform(count, 3, 3, self.kernel, fan_in=3 * self.kernel),
            "fusor_bias": uniform(count, 3, fan_in=3 * self.kernel),
        }
        if self.init == "real":
            chosen = torch.arange(k) * entries // k
            layers["selectors"] = 0.1 * layers["selectors"] + nn.functional.one_hot(chosen, entries)
            layers["shifts"].zero_(), layers["fusor"].zero_(), layers["fusor_bias"].zero_()
            layers["fusor"][..., self.kernel // 2] = torch.eye(3)
        return layers


def _real_entries(train: Clips, ipc: int, entries: int, frames: int, seed: int) -> Tensor:
    """``float32 [C * ipc, entries, 3, frames, H, W]``: real clips of each video's class, shortened to `frames` frames.

    Those that `random` keeps for so many clips a class; a class with fewer gives some of them twice.
    """
    smallest = min(len(train.of_class(label)) for label in range(len(train.classes)))
    kept = min(ipc * entries, smallest)
    clips = initial(train, kept, seed, "real").unflatten(0, (-1, kept))
    wanted = torch.arange(ipc * entries) % kept
    return clips[:, wanted][:, :, :, evenly(frames, clips.shape[3])].flatten(0, 1).unflatten(0, (-1, entries))
