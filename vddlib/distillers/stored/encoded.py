"""Encoded videos as they are stored: what all contents of files share, and real clips at any quality and size."""

from functools import cached_property
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from vddlib.core.errors import BrokenVideo, VddError
from vddlib.datasets import video
from vddlib.datasets.clips import standardise
from vddlib.distillers.stored.contract import Content, expect

LONGEST, WIDEST = 8192, 2048  # frames and pixels along a side: more is a damaged file, and would fill any memory


class EncodedFiles(Content):
    """MP4 files: `encoded` ``uint8 [bytes]``, one file after another, and `ends` ``int64 [files]``, where each ends."""

    stores_files: ClassVar[bool] = True

    def __init__(self, videos: list[bytes], mean: Tensor, std: Tensor):
        super().__init__(mean, std)
        self.register_buffer("ends", torch.from_numpy(np.cumsum([len(data) for data in videos])))
        self.register_buffer("encoded", torch.from_numpy(np.frombuffer(b"".join(videos), np.uint8).copy()))

    def files(self) -> list[bytes]:
        """The videos, encoded: what is really stored."""
        return [self.file(number) for number in range(len(self.ends))]

    def file(self, number: int) -> bytes:
        """One of the videos, encoded."""
        begin = int(self.ends[number - 1]) if number else 0
        return self.encoded[begin : int(self.ends[number])].cpu().numpy().tobytes()

    def decoded(self, number: int, length: int, height: int, width: int) -> np.ndarray:
        """One of the videos: ``uint8 [length, height, width, 3]``. Raises BrokenVideo where it is not of that shape.

        A file has even sides, so that an odd one carries a row or column more (`video.encode_bytes`): it is cut off.
        """
        frames, shape = video.decode_stored(self.file(number)), [length, height, width, 3]
        if list(frames.shape) != [length, height + height % 2, width + width % 2, 3]:
            raise BrokenVideo(f"stored video {number} is {list(frames.shape)}, not {shape} as its set says")
        return frames[:, :height, :width]


def files_of(tensors: dict[str, Tensor]) -> list[bytes]:
    """The files in `encoded` and `ends`. Raises VddError where they do not lie where these say, or are no videos."""
    ends = expect(tensors, "ends", torch.int64, "N").tolist()
    data = expect(tensors, "encoded", torch.uint8, "N").numpy().tobytes()
    if ends[-1] != len(data) or any(a >= b for a, b in pairwise([0, *ends])):
        raise VddError(f"{len(ends)} files of {len(data)} bytes cannot end at {ends[:5]}...")
    videos = [data[begin:end] for begin, end in pairwise([0, *ends])]
    for one in videos:
        video.check_bytes(one)
    return videos


class EncodedClips(EncodedFiles):
    """Real clips, a file each, of `frames` frames of `side` x `side` pixels that are scaled to `size` when drawn.

    The three numbers are ``int64`` scalars among the tensors, besides those of EncodedFiles.
    """

    kind: ClassVar[str] = "encoded"

    def __init__(self, videos: list[bytes], frames: int, side: int, size: int, mean: Tensor, std: Tensor):
        super().__init__(videos, mean, std)
        for name, value in (("frames", frames), ("side", side), ("size", size)):
            self.register_buffer(name, torch.tensor(value))

    def __len__(self) -> int:
        return len(self.ends)

    @cached_property
    def _clips(self) -> np.ndarray:
        """Every clip, decoded once: ``uint8 [N, T, size, size, 3]``. Raises BrokenVideo."""
        length, side = int(self.frames), int(self.side)
        clips = [self.decoded(number, length, side, side) for number in range(len(self))]
        return np.stack([scaled(frames, int(self.size)) for frames in clips])

    def forward(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Clips ``float32 [n, 3, T, size, size]``; nothing is random here."""
        chosen = self._clips[torch.as_tensor(indices).cpu().numpy()]
        return standardise(chosen, self.mean.cpu(), self.std.cpu()).to(self.mean.device)

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor]) -> "EncodedClips":
        """From the tensors that the class names. Raises VddError where they cannot be such a set."""
        numbers = [int(expect(tensors, name, torch.int64, "")) for name in ("frames", "side", "size")]
        if not all(1 <= n <= most for n, most in zip(numbers, (LONGEST, WIDEST, WIDEST), strict=True)):
            raise VddError(f"frames are 1 to {LONGEST}, side and size 1 to {WIDEST}, not {numbers}")
        return cls(files_of(tensors), *numbers, tensors["mean"], tensors["std"])

    def pixels(self, generator: torch.Generator) -> np.ndarray:
        """The clips as they are drawn."""
        return self._clips

    def pixel_values(self) -> int:
        """Pixel values of all files, decoded: at their side, not at that of drawn clips."""
        return len(self) * int(self.frames) * int(self.side) ** 2 * 3


def scaled(frames: np.ndarray, side: int) -> np.ndarray:
    """Square frames ``uint8 [T, size, size, 3]`` at another side: ``uint8 [T, side, side, 3]``."""
    import cv2

    if frames.shape[1] == side:
        return frames
    # Cubic and not linear on the way back: 0.6 dB more at half the side (CRF 23, real clips of 48x48).
    how = cv2.INTER_AREA if frames.shape[1] > side else cv2.INTER_CUBIC
    return np.stack([cv2.resize(frame, (side, side), interpolation=how) for frame in frames])
