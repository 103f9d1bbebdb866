"""Boxes (x, y, width, height) in pixels, and the crop that follows one (OptDistill, section 5.1, step 2)."""

from collections.abc import Iterable, Sequence

import numpy as np

Box = tuple[float, float, float, float]
COLOURS = ((230, 159, 0), (0, 158, 115), (86, 180, 233), (204, 121, 167))  # Okabe and Ito's
DARK = (20, 20, 20)
DRAWN_HEIGHT = 360  # pixels: what `outlined` enlarges smaller frames to, at least
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


def outlined(
    frame: np.ndarray,
    boxes: Iterable[Box],
    colours: Sequence[tuple[int, int, int]] = COLOURS,
    crops: Iterable[Box] = (),
) -> np.ndarray:
    """A copy of ``frame uint8 [H, W, 3]`` with thin outlines: `boxes` solid, `crops` dashed, the n-th of each in one colour.

    Small frames are enlarged by a whole factor, to DRAWN_HEIGHT pixels or more, so that lines are thin beside what they
    frame. Every line has a dark edge; smaller boxes are drawn over larger ones, and boxes over crops.
    """
    factor = max(1, -(-DRAWN_HEIGHT // frame.shape[0]))
    picture = np.ascontiguousarray(frame.repeat(factor, 0).repeat(factor, 1))
    thick = max(2, picture.shape[0] // 180)
    for group, dashed in ((list(crops), True), (list(boxes), False)):
        largest_first = sorted(range(len(group)), key=lambda number: -group[number][2] * group[number][3])
        for number in largest_first:
            x, y, w, h = (factor * value for value in group[number])
            corners = (round(x), round(y)), (round(x + w) - 1, round(y + h) - 1)
            for colour, extra in ((DARK, 2), (colours[number % len(colours)], 0)):
                _outline(picture, corners, colour, thick + extra, 5 * thick if dashed else 0)
    return picture


def _outline(
    picture: np.ndarray,
    corners: tuple[tuple[int, int], tuple[int, int]],
    colour: tuple[int, int, int],
    thick: int,
    dash: int,
) -> None:
    """Draw a rectangle into `picture`; with dashes of `dash` pixels, or solid where that is 0."""
    import cv2

    (left, top), (right, bottom) = corners
    if not dash:
        cv2.rectangle(picture, (left, top), (right, bottom), colour, thick)
        return
    for begin in range(left, right, 2 * dash):
        for y in (top, bottom):
            cv2.line(picture, (begin, y), (min(begin + dash, right), y), colour, thick)
    for begin in range(top, bottom, 2 * dash):
        for x in (left, right):
            cv2.line(picture, (x, begin), (x, min(begin + dash, bottom)), colour, thick)
