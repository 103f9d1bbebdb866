"""Following a box through a video with OpenCV's CSRT, and the crops along it (OptDistill, section 5.1, step 2)."""

from collections.abc import Iterable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vddlib.core.errors import BrokenVideo
from vddlib.datasets import video
from vddlib.distillers.optdistill.boxes import Box, cover, cut, inside

Lost = Literal["drop", "hold"]


def follow(frames: Iterable[np.ndarray], boxes: Sequence[Box]) -> list[list[Box | None]]:
    """Where each of `boxes` (of the first frame) is in every frame, None where its tracker lost it.

    frames: ``uint8 [H, W, 3]``, one after another; boxes are in pixels and lie within the frame, as do the results.
    Raises BrokenVideo where a tracker cannot begin.
    """
    import cv2

    paths: list[list[Box | None]] = [[box] for box in boxes]
    trackers = [cv2.TrackerCSRT.create() for _ in boxes]
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # processes run side by side, and one thread gives the same boxes everywhere
    try:
        for number, frame in enumerate(frames):
            picture = np.ascontiguousarray(frame[..., ::-1])
            for path, tracker in zip(paths, trackers, strict=True):
                if number == 0:
                    x, y, w, h = path[0]
                    try:
                        tracker.init(picture, (int(x), int(y), round(w), round(h)))
                    except cv2.error as error:
                        raise BrokenVideo(f"CSRT cannot begin at {path[0]}: {error.err}") from None
                else:
                    path.append(_next(tracker, picture))
    finally:
        cv2.setNumThreads(threads)
    return paths


def _next(tracker, picture: np.ndarray) -> Box | None:
    import cv2

    try:
        found, box = tracker.update(picture)
    except cv2.error:  # of a target that has shrunk to nothing
        return None
    return inside(tuple(map(float, box)), picture.shape[1], picture.shape[0]) if found else None


def track(path: Path, boxes: Sequence[Box], longest: int = 0) -> dict[str, Any]:
    """Tracked boxes of one video as plain JSON: ``paths [boxes][frames]`` of (x, y, width, height) or null, and its size.

    At most `longest` frames are followed; 0 is all of them. Raises BrokenVideo.
    """
    frames = islice(video.stream(path), longest or None)
    first = next(frames)
    paths = follow(chain([first], frames), boxes)
    rounded = [[None if b is None else [round(v, 2) for v in b] for b in p] for p in paths]
    return {"size": [first.shape[1], first.shape[0]], "frames": len(paths[0]), "paths": rounded}


def crops(path: Path, paths: Sequence[Sequence[Box | None]], width: int, height: int, lost: Lost) -> list[np.ndarray]:
    """The crop along each track, ``uint8 [T, height, width, 3]``.

    paths: a box per frame for each track, None where it was lost: such a frame is dropped (as the authors' code does), or
    shows the last place known ('hold'). T is 0 where every frame is dropped.
    """
    made: list[list[np.ndarray]] = [[] for _ in paths]
    last: list[Box | None] = [None for _ in paths]
    longest = max(map(len, paths), default=0)
    for number, frame in zip(range(longest), video.stream(path), strict=False):
        for which, boxes in enumerate(paths):
            box = boxes[number] if number < len(boxes) else None
            last[which] = box or (last[which] if lost == "hold" and number < len(boxes) else None)
            if last[which] is not None:
                region = cover(tuple(last[which]), frame.shape[1], frame.shape[0], width / height)
                made[which].append(cut(frame, region, width, height))
    return [np.stack(frames) if frames else np.empty((0, height, width, 3), np.uint8) for frames in made]
