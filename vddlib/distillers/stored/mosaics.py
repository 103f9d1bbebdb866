"""Mosaics as they are stored: encoded videos, drawn whole or tile by tile."""

from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from vddlib.core.errors import VddError
from vddlib.datasets.clips import standardise
from vddlib.datasets.geometry import Geometry
from vddlib.distillers.stored.contract import expect
from vddlib.distillers.stored.encoded import LONGEST, WIDEST, EncodedFiles, files_of


class Mosaics(EncodedFiles):
    """MP4 files of N x N tiles each; a clip is drawn from a random start, as from any video of a dataset.

    Tensors besides those of EncodedFiles: `lengths` ``int64 [videos]``, frames of each; `width`, `height` of a video and
    `side`, its tiles along a side; `tiled`, whether a drawn clip is one tile (else a whole mosaic); `clip_frames`,
    `clip_size`, `clip_stride` and `clip_resize` ``[2]``, the geometry of drawn clips; ``int64`` scalars but for the shapes.
    """

    kind: ClassVar[str] = "mosaics"
    random: ClassVar[bool] = True

    def __init__(
        self,
        videos: list[bytes],
        lengths: list[int],
        size: tuple[int, int],
        side: int,
        geometry: Geometry,
        mean: Tensor,
        std: Tensor,
        tiled: bool = False,
    ):
        """Of encoded `videos` of `size` (width, height) with `side` x `side` tiles, for clips of `geometry`."""
        super().__init__(videos, mean, std)
        g = geometry
        named = {"width": size[0], "height": size[1], "side": side, "tiled": int(tiled), "lengths": lengths}
        named |= {"clip_frames": g.frames, "clip_size": g.size, "clip_stride": g.stride, "clip_resize": g.resize}
        for name, value in named.items():
            self.register_buffer(name, torch.tensor(value))
        self.geometry = geometry

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor]) -> "Mosaics":
        """From the tensors that the class names. Raises VddError where the files do not lie where they say, or are none."""
        scalars = ("width", "height", "side", "tiled", "clip_frames", "clip_size", "clip_stride")
        number = {name: int(expect(tensors, name, torch.int64, "")) for name in scalars}
        lengths = expect(tensors, "lengths", torch.int64, "N").tolist()
        if len(lengths) != len(tensors["ends"]):
            raise VddError(f"{len(lengths)} lengths do not fit {len(tensors['ends'])} files")
        if not 1 <= number["side"] <= 64 or min(lengths) < number["clip_frames"]:
            raise VddError(f"side must be 1 to 64, and every video at least {number['clip_frames']} frames long")
        width, height = expect(tensors, "clip_resize", torch.int64, "2").tolist()
        if max(width, height, number["width"], number["height"]) > WIDEST or max(*number.values(), *lengths) > LONGEST:
            raise VddError(f"a side exceeds {WIDEST}, or a stride or a number of frames {LONGEST}")
        if number["side"] > min(number["width"], number["height"]):
            raise VddError(f"{number['side']} tiles do not fit along {number['width']}x{number['height']} pixels")
        geometry = Geometry(
            frames=number["clip_frames"], size=number["clip_size"], stride=number["clip_stride"], resize=(width, height)
        )
        size, statistics = (number["width"], number["height"]), (tensors["mean"], tensors["std"])
        return cls(files_of(tensors), lengths, size, number["side"], geometry, *statistics, bool(number["tiled"]))

    def tiles(self) -> "Mosaics":
        """The same videos, drawn tile by tile: N x N times as many clips, those of a video together, row after row."""
        return self.from_state(self.state() | {"tiled": torch.tensor(1)})

    @property
    def parts(self) -> int:
        """Clips that one video gives: 1, or one per tile."""
        return int(self.side) ** 2 if int(self.tiled) else 1

    def __len__(self) -> int:
        return len(self.ends) * self.parts

    def pixel_values(self) -> int:
        """Pixel values of all videos, decoded."""
        return int(self.lengths.sum()) * int(self.width) * int(self.height) * 3

    @cached_property
    def _squares(self) -> list[np.ndarray]:
        """Every clip's source, decoded and at the size of clips: ``uint8 [length, size, size, 3]`` each.

        Raises BrokenVideo where a file is no video, or not of the length and size that the set says.
        """
        out, side = [], int(self.side)
        for number, length in enumerate(self.lengths.tolist()):
            frames = self.decoded(number, length, int(self.height), int(self.width))
            if self.parts == 1:
                out.append(self.geometry.square(frames))
                continue
            high, wide = frames.shape[1] // side, frames.shape[2] // side
            for tile in range(side * side):
                row, column = divmod(tile, side)
                part = frames[:, row * high : (row + 1) * high, column * wide : (column + 1) * wide]
                out.append(self.geometry.square(part))
        return out

    def forward(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Clips ``float32 [n, 3, T, size, size]`` from a random start each."""
        clips = []
        indices = torch.as_tensor(indices).cpu()
        draws = torch.rand(len(self), generator=generator)[indices]
        for i, u in zip(indices.tolist(), draws.tolist(), strict=True):
            frames = self._squares[i]
            start = int(u * self.geometry.starts(len(frames)))
            clips.append(frames[self.geometry.indices(len(frames), start)])
        return standardise(np.stack(clips), self.mean, self.std).to(self.mean.device)
