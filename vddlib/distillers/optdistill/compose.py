"""Choosing segments and laying them out as mosaics (OptDistill, sections 4.3, 4.4 and 5.1, step 4)."""

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict
from torch import Generator, randperm

from vddlib.core.errors import VddError


class Segment(BaseModel):
    """A crop that may enter a mosaic: its file, the video it is from, its number of frames and its score."""

    model_config = ConfigDict(frozen=True)

    file: str
    video: str
    frames: int
    score: float


def choose(
    segments: Sequence[Segment],
    wanted: int,
    generator: Generator,
    *,
    top_k: int = 0,
    threshold: float | None = None,
    one_per_video: bool = False,
) -> list[Segment]:
    """`wanted` segments of one class, shortest first.

    Those of the `top_k` highest scores (0: `wanted`, or with a `threshold` all) that are not below `threshold`; of more,
    `wanted` are drawn at random (section 4.4). `one_per_video` keeps the best segment of each video (section 4.3). Equal
    scores fall back on the files' names, so that the choice does not depend on their order. Raises VddError where too few
    are left, or `top_k` is too low.
    """
    check_top_k(top_k, wanted)
    best = sorted(segments, key=lambda segment: (-segment.score, segment.file))
    if one_per_video:
        firsts: dict[str, Segment] = {}
        for segment in best:
            firsts.setdefault(segment.video, segment)
        best = list(firsts.values())
    if threshold is not None:
        best = [segment for segment in best if segment.score >= threshold]
    best = best[: top_k or (wanted if threshold is None else None)]
    if len(best) < wanted:
        raise VddError(f"{len(best)} usable segments where {wanted} are needed")
    if len(best) > wanted:
        best = [best[i] for i in sorted(randperm(len(best), generator=generator)[:wanted].tolist())]
    return sorted(best, key=lambda segment: (segment.frames, -segment.score, segment.file))


def check_top_k(top_k: int, wanted: int) -> None:
    """Raises VddError where fewer segments are to be drawn from (`top_k`; 0: no limit) than are `wanted`."""
    if top_k and top_k < wanted:
        raise VddError(f"top_k is {top_k} where {wanted} segments are needed")


def speed_up(frames: np.ndarray, length: int) -> np.ndarray:
    """`length` of ``frames [T, ...]``, evenly, from the first on: a segment of T frames shown T / length times as fast."""
    if not 1 <= length <= len(frames):
        raise VddError(f"{len(frames)} frames cannot be sped up to {length}")
    return frames[np.arange(length) * len(frames) // length]


def mosaic(segments: Sequence[np.ndarray]) -> np.ndarray:
    """N x N segments ``uint8 [T_i, h, w, 3]`` as one video ``uint8 [min T_i, N h, N w, 3]``, row after row."""
    side = round(len(segments) ** 0.5)
    if side * side != len(segments):
        raise VddError(f"{len(segments)} segments do not fill a square")
    shortest = min(len(frames) for frames in segments)
    even = [speed_up(frames, shortest) for frames in segments]
    rows = [np.concatenate(even[side * row : side * (row + 1)], axis=2) for row in range(side)]
    return np.concatenate(rows, axis=1)
