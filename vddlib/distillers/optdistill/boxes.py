"""Boxes (x, y, width, height) in pixels, and the crop that follows one (OptDistill, section 5.1, step 2)."""

from collections.abc import Iterable, Sequence

import numpy as np

Box = tuple[float, float, float, float]
COLOURS = ((230, 159, 0), (0, 158, 115), (86, 180, 233), (204, 121, 167))  # Okabe and Ito's
LEAST = 2  # pixels along a side: CSRT cannot follow less


def inside(box: Box, width: int, height: int) -> Box | None:
    """The part of `box` within a frame of `width` x `height`; None where that is under two pixels wide or high."""
    left, top = max(box[0], 0.0), max(box[1], 0.0)
    right, bottom = min(box[0] + box[2], float(width)), min(box[1] + box[3], float(height))
    return (left, top, right - left, bottom - top) if min(right - left, bottom - top) >= LEAST else None


def cover(box: Box, width: int, height: int, ratio: float) -> Box:
    """The smallest box of `ratio` (width over height) that holds `box`, centred on it and moved into the frame.

    Where none that large fits into a frame of `width` x `height`, the largest of that ratio that does. `box` lies within
    the frame.
    """
    x, y, w, h = box
    wide = min(max(w, h * ratio), width, height * ratio)
    high = wide / ratio
    left = min(max(x + (w - wide) / 2, 0.0), width - wide)
    top = min(max(y + (h - high) / 2, 0.0), height - high)
    return left, top, wide, high


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(wide, 0.0) * max(high, 0.0)
    return common / (a[2] * a[3] + b[2] * b[3] - common)


def cut(frame: np.ndarray, box: Box, width: int, height: int) -> np.ndarray:
    """What lies in `box` of ``frame uint8 [H, W, 3]``, scaled linearly to ``uint8 [height, width, 3]``."""
    import cv2

    across, down = box[2] / width, box[3] / height
    # Pixels are squares whose centres lie at halves; cv2 counts from their centres.
    matrix = np.array([[across, 0, box[0] + across / 2 - 0.5], [0, down, box[1] + down / 2 - 0.5]], np.float64)
    return cv2.warpAffine(
        frame, matrix, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )


def outlined(frame: np.ndarray, boxes: Iterable[Box], colours: Sequence[tuple[int, int, int]] = COLOURS) -> np.ndarray:
    """A copy of ``frame uint8 [H, W, 3]`` with the outlines of `boxes`, each in a colour of its own."""
    import cv2

    picture = np.ascontiguousarray(frame).copy()
    thick = max(1, frame.shape[0] // 120)
    for number, (x, y, w, h) in enumerate(boxes):
        corners = (round(x), round(y)), (round(x + w) - 1, round(y + h) - 1)
        cv2.rectangle(picture, *corners, colours[number % len(colours)], thick)
    return picture
