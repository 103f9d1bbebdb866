"""Mosaics as they are stored: encoded videos, drawn whole or tile by tile."""

from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from vddlib.core import cache
from vddlib.datasets import video
from vddlib.datasets.clips import standardise
from vddlib.datasets.geometry import Geometry
from vddlib.distillers.stored.contract import PARAMETERISATIONS


class Mosaics(nn.Module):
    """MP4 files of N x N tiles each; a clip is drawn from a random start, as from any video of a dataset.

    `files` ``uint8 [bytes]``: one file after another; `ends` ``int64 [videos]``: where each ends; `length` ``int64``:
    frames of each; `layout` ``int64 [9]``: width and height of a video, tiles along a side, 1 where a drawn clip is a tile
    and 0 where it is a whole mosaic, and the geometry (frames, size, stride, width and height before the crop).
    """

    def __init__(self, files: Tensor, ends: Tensor, length: Tensor, layout: Tensor, mean: Tensor, std: Tensor):
        super().__init__()
        for name, value in {"files": files, "ends": ends, "length": length, "layout": layout}.items():
            self.register_buffer(name, torch.as_tensor(value))
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone())

    @classmethod
    def of(
        cls, videos: list[bytes], lengths: list[int], size: tuple[int, int], side: int, geometry: Geometry, mean, std
    ):
        """Of encoded `videos` of `size` (width, height) with `side` x `side` tiles, for clips of `geometry`."""
        ends = np.cumsum([len(one) for one in videos])
        g = geometry
        layout = torch.tensor([*size, side, 0, g.frames, g.size, g.stride, *g.resize])
        files = torch.from_numpy(np.frombuffer(b"".join(videos), np.uint8).copy())
        return cls(files, torch.from_numpy(ends), torch.tensor(lengths), layout, mean, std)

    def tiles(self) -> "Mosaics":
        """The same videos, drawn tile by tile: N x N times as many clips, those of a video together, row after row."""
        layout = self.layout.clone()
        layout[3] = 1
        return Mosaics(self.files, self.ends, self.length, layout, self.mean, self.std)

    @property
    def side(self) -> int:
        """Tiles along a side of a video."""
        return int(self.layout[2])

    @property
    def parts(self) -> int:
        """Clips that one video gives: 1, or one per tile."""
        return self.side**2 if int(self.layout[3]) else 1

    @property
    def geometry(self) -> Geometry:
        """Of the clips that are drawn."""
        frames, size, stride, wide, high = self.layout[4:].tolist()
        return Geometry(frames=frames, size=size, stride=stride, resize=(wide, high))

    @property
    def code(self) -> str:
        """What turns the files into clips, for the keys of students: it is more than reading pixels."""
        return cache.code_digest(__name__)

    def __len__(self) -> int:
        return len(self.ends) * self.parts

    @property
    def values(self) -> int:
        """Pixel values of all videos, decoded."""
        width, height = self.layout[:2].tolist()
        return int(self.length.sum()) * width * height * 3

    @property
    def bytes_video(self) -> int:
        """Size of the files: what is really stored."""
        return len(self.files)

    def file(self, number: int) -> bytes:
        """One of the videos, encoded."""
        begin = int(self.ends[number - 1]) if number else 0
        return self.files[begin : int(self.ends[number])].cpu().numpy().tobytes()

    @cached_property
    def _squares(self) -> list[np.ndarray]:
        """Every clip's source, decoded and at the size of clips: ``uint8 [length, size, size, 3]`` each."""
        out, geometry, side = [], self.geometry, self.side
        for number in range(len(self.ends)):
            frames = video.decode_bytes(self.file(number))
            if self.parts == 1:
                out.append(geometry.square(frames))
                continue
            high, wide = frames.shape[1] // side, frames.shape[2] // side
            for tile in range(side * side):
                row, column = divmod(tile, side)
                part = frames[:, row * high : (row + 1) * high, column * wide : (column + 1) * wide]
                out.append(geometry.square(part))
        return out

    def forward(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Clips ``float32 [n, 3, T, size, size]``; where each begins is drawn, for all at once: a clip's draw does not
        depend on those that it is asked for with."""
        geometry, clips = self.geometry, []
        indices = torch.as_tensor(indices).cpu()
        draws = torch.rand(len(self), generator=generator)[indices]
        for i, u in zip(indices.tolist(), draws.tolist(), strict=True):
            frames = self._squares[i]
            start = int(u * geometry.starts(len(frames)))
            clips.append(frames[geometry.indices(len(frames), start)])
        return standardise(np.stack(clips), self.mean, self.std).to(self.mean.device)


PARAMETERISATIONS["mosaics"] = Mosaics
