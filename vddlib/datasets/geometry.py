"""Clip geometry: which frames of a video a clip takes, and how a frame becomes a square."""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field


def evenly(count: int, n: int) -> np.ndarray:
    """`count` frames of `n`, ``int64 [count]``: the middle one of each of as many equal stretches."""
    return ((np.arange(count) + 0.5) * n / count).astype(np.int64)


class Geometry(BaseModel):
    """How clips are cut.

    ``stride``: `frames` frames `stride` apart from a random start; a video too short for that gets the stride
    ``n // frames`` (VDSD). ``even``: `frames` evenly spaced frames, always the same (SSv2). ``middle``: `frames` frames
    around the middle, `sampled_fps` per second (Kinetics-400).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    frames: int = Field(16, ge=1, description="frames in a clip")
    size: int = Field(112, ge=8, description="side of the square clip, in pixels")
    stride: int = Field(4, ge=1, description="distance of neighbouring frames in the video")
    resize: tuple[int, int] = Field(
        (160, 120), description="(width, height) a frame is scaled to before the centre crop"
    )
    sampling: Literal["stride", "even", "middle"] = "stride"
    sampled_fps: float = Field(2.0, gt=0, description="frames per second, for 'middle'")

    def at_pace(self, pace: int) -> "Geometry":
        """The same, at `pace` times the stride."""
        return self if pace == 1 else self.model_copy(update={"stride": pace * self.stride})

    def shortest(self, pace: int = 1) -> int:
        """Frames of the shortest video that gives a clip at `pace`.

        At pace 1 a stride may be shortened (see `step`). Where labels tell the pace it may not: a fast clip would be slower.
        """
        return self.frames if pace == 1 else self.frames * self.stride * pace

    def step(self, n: int) -> int:
        """Distance of neighbouring frames in a video of `n` frames."""
        return self.stride if n >= self.frames * self.stride else max(1, n // self.frames)

    def starts(self, n: int) -> int:
        """Number of places where a clip can start in a video of `n` frames; 0 where it is too short for one."""
        if n < self.frames:
            return 0
        return n - (self.frames - 1) * self.step(n) if self.sampling == "stride" else 1

    def indices(self, n: int, start: int, fps: float = 25.0) -> np.ndarray:
        """The frames ``int64 [T]`` of the clip that begins at `start` (used by 'stride' only), of a video of `n` at `fps`."""
        if self.sampling == "stride":
            return start + self.step(n) * np.arange(self.frames)
        if self.sampling == "even":
            return evenly(self.frames, n)
        step = min(fps / self.sampled_fps, n / self.frames)
        return (n / 2 + (np.arange(self.frames) - (self.frames - 1) / 2) * step).astype(np.int64).clip(0, n - 1)

    def stored(self, n: int, fps: float = 25.0) -> np.ndarray:
        """Sorted frames that any clip of the video may need: what a store keeps."""
        return np.arange(n) if self.sampling == "stride" else np.unique(self.indices(n, 0, fps))

    def square(self, frames: np.ndarray) -> np.ndarray:
        """Frames ``uint8 [T, H, W, 3]`` scaled to `resize` and centre-cropped: ``uint8 [T, size, size, 3]``."""
        import cv2

        width, height = self.resize
        top, left = (height - self.size) // 2, (width - self.size) // 2
        # Areas are averaged where a frame shrinks: interpolating between few pixels would alias.
        shrink = frames.shape[1] * frames.shape[2] > width * height
        how = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
        scaled = np.stack([cv2.resize(frame, (width, height), interpolation=how) for frame in frames])
        return scaled[:, top : top + self.size, left : left + self.size]

    def model_post_init(self, _context) -> None:
        if min(self.resize) < self.size:
            raise ValueError(f"frames scaled to {self.resize} cannot be cropped to {self.size}")


LIGHT = Geometry()
HEAVY = Geometry(frames=8, size=64, stride=8, resize=(64, 64))
MINI = Geometry(frames=8, size=48, stride=8, resize=(64, 48))


def geometry(frames: int, size: int, stride: int = 4, sampling: str = "stride") -> Geometry:
    """The field's geometry at any size.

    112 is the light track's (160x120, then a centre crop) and 48 is miniucf10's (64x48, likewise). Frames of other sizes
    become squares without a crop, so that their sides are not to scale.
    """
    resize = next((g.resize for g in (LIGHT, MINI) if g.size == size), (size, size))
    return Geometry(frames=frames, size=size, stride=stride, resize=resize, sampling=sampling)
