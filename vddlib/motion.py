"""What moves in stored clips, as pictures and as numbers: optical flow and the differences of neighbouring frames."""

from itertools import pairwise

import numpy as np


def optical_flow(clips: np.ndarray) -> np.ndarray:
    """Dense flow from each frame to the next by Farneback's method, in pixels, ``float32 [N, T - 1, H, W, 2]`` (x, y).

    clips: ``uint8 [N, T, H, W, 3]``.
    """
    import cv2

    def pair(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (before, after)]
        return cv2.calcOpticalFlowFarneback(*grey, None, 0.5, 3, 9, 3, 5, 1.1, 0)

    return np.stack([[pair(*two) for two in pairwise(clip)] for clip in clips])


def flow_pictures(flow: np.ndarray, largest: float | None = None) -> np.ndarray:
    """Flow as colours, ``uint8 [..., 3]``: hue is the direction, saturation the speed up to `largest` pixels; white rests.

    flow: ``float32 [..., 2]``; `largest` is by default the flow's own 99th percentile.
    """
    from matplotlib.colors import hsv_to_rgb

    speed, angle = np.hypot(flow[..., 0], flow[..., 1]), np.arctan2(flow[..., 1], flow[..., 0])
    full = np.percentile(speed, 99) if largest is None else largest
    strength = np.clip(speed / max(full, 1e-6), 0, 1)
    colours = np.stack([(angle / (2 * np.pi)) % 1, strength, np.ones_like(strength)], -1)
    return (255 * hsv_to_rgb(colours)).round().astype(np.uint8)


def difference_pictures(clips: np.ndarray) -> np.ndarray:
    """Absolute differences of neighbouring frames, ``uint8 [N, T - 1, H, W, 3]``, of ``uint8 [N, T, H, W, 3]``."""
    return np.abs(np.diff(clips.astype(np.int16), axis=1)).astype(np.uint8)


def numbers(clips: np.ndarray) -> dict[str, float]:
    """Means over ``uint8 [N, T, H, W, 3]``: speed of the flow in pixels per frame, difference of neighbours in 0 to 255,
    and how alike the flows of successive pairs are (mean cosine where both exceed half a pixel; nan where none do).

    Noise has large differences, and flows that do not go on.
    """
    flow = optical_flow(clips)
    speed = np.linalg.norm(flow, axis=-1)
    here, after = flow[:, :-1], flow[:, 1:]
    both = np.minimum(speed[:, :-1], speed[:, 1:]) > 0.5
    cosine = (here * after).sum(-1)[both] / (speed[:, :-1] * speed[:, 1:])[both]
    return {
        "flow": float(speed.mean()),
        "difference": float(difference_pictures(clips).mean()),
        "smoothness": float(cosine.mean()) if both.any() else float("nan"),
    }
