"""Following a box through a video with OpenCV's CSRT, and the crops along it (OptDistill, section 5.1, step 2)."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vddlib.datasets import video
from vddlib.distillers.optdistill.boxes import Box, cover, cut, inside

Lost = Literal["drop", "hold"]


def follow(frames: Iterable[np.ndarray], boxes: Sequence[Box]) -> list[list[Box | None]]:
    """Where each of `boxes` (of the first frame) is in every frame, None where its tracker lost it.

    frames: ``uint8 [H, W, 3]``, one after another; boxes are in pixels and lie within the frame, as do the results.
    """
    import cv2

    cv2.setNumThreads(1)  # processes run side by side, and one thread gives the same boxes everywhere
    paths: list[list[Box | None]] = [[box] for box in boxes]
    trackers: list = []
    for number, frame in enumerate(frames):
        picture = np.ascontiguousarray(frame[..., ::-1])
        if number == 0:
            trackers = [cv2.TrackerCSRT.create() for _ in boxes]
            for tracker, (x, y, w, h) in zip(trackers, boxes, strict=True):
                tracker.init(picture, (int(x), int(y), max(1, round(w)), max(1, round(h))))
            continue
        height, width = frame.shape[:2]
        for path, tracker in zip(paths, trackers, strict=True):
            there, box = tracker.update(picture)
            path.append(inside(tuple(map(float, box)), width, height) if there else None)
    return paths


def track(path: Path, boxes: Sequence[Box], longest: int = 0) -> dict[str, Any]:
    """Tracked boxes of one video as plain JSON: ``paths [boxes][frames]`` of (x, y, width, height) or null, and its size.

    At most `longest` frames are followed; 0 is all of them. Raises BrokenVideo.
    """
    frames = video.stream(path)
    first = next(frames)
    seen = 1

    def counted():
        nonlocal seen
        yield first
        for frame in frames:
            if longest and seen == longest:
                return
            seen += 1
            yield frame

    paths = follow(counted(), boxes)
    rounded = [[None if b is None else [round(v, 2) for v in b] for b in p] for p in paths]
    return {"size": [first.shape[1], first.shape[0]], "frames": seen, "paths": rounded}


def crops(path: Path, boxes: Sequence[Box | None], width: int, height: int, lost: Lost) -> np.ndarray:
    """The crop along one track, ``uint8 [T, height, width, 3]``.

    boxes: one per frame, None where it was lost: such a frame is dropped (as the authors' code does), or shows the last
    place known ('hold'). T is 0 where every frame is dropped.
    """
    made, last = [], None
    for box, frame in zip(boxes, video.stream(path), strict=False):
        last = box or (last if lost == "hold" else None)
        if last is not None:
            place = cover(tuple(last), frame.shape[1], frame.shape[0], width / height)
            made.append(cut(frame, place, width, height))
    return np.stack(made) if made else np.empty((0, height, width, 3), np.uint8)
