"""Properties of a set: what it tells an observer, how it moves, and what encoding leaves of it."""

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vddlib.datasets.video import decode_bytes, encode_bytes
from vddlib.distillers.distilled import DistilledSet
from vddlib.distillers.stored.clips import StoredClips
from vddlib.distillers.stored.contract import VIDEO_FPS, VIDEO_QUALITY


def entropy(p: Tensor) -> Tensor:
    """Entropy in nats of distributions ``float32 [..., C]``; a class of probability 0 adds nothing."""
    return -torch.xlogy(p, p).sum(-1)


def predictions(distilled: DistilledSet, observer: nn.Module, draws: int = 1, at_once: int = 64) -> Tensor:
    """Class probabilities ``float32 [draws * N, C]`` that the `observer` gives the set's clips, drawn `draws` times."""
    return F.softmax(distilled.logits(observer, draws, at_once).flatten(0, 1), 1)


def information(p: Tensor, labels: Tensor) -> dict[str, float]:
    r"""Estimates of eq. 4's terms, in nats, from an observer's predictions ``p [N, C]`` and ``labels int64 [N]``.

    The paper gives the terms and no estimator. Here `variability` is the entropy of the mean prediction, which stands for
    :math:`H(Z|\emptyset)`: at most log C, and less where the observer sees only some of the classes. Of
    :math:`H(Z|A)`, which is small where the set is authentic, there are two: `doubt`, the mean entropy of the predictions,
    and `surprise`, the mean loss of the labels. `information` is variability minus doubt: what a clip tells the observer.
    """
    variability, doubt = entropy(p.mean(0)).item(), entropy(p).mean().item()
    surprise = F.nll_loss(p.clamp(min=1e-12).log(), labels).item()  # finite also where a label has probability 0
    return {"variability": variability, "doubt": doubt, "surprise": surprise, "information": variability - doubt}


def optical_flow(clips: np.ndarray) -> np.ndarray:
    """Dense flow from each frame to the next by Farneback's method, in pixels, ``float32 [N, T - 1, H, W, 2]`` (x, y).

    clips: ``uint8 [N, T, H, W, 3]``.
    """
    import cv2

    def pair(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (before, after)]
        # Pyramid of 3 levels by halves, a window of 9 pixels, 3 iterations, polynomials over 5 pixels (sigma 1.1).
        return cv2.calcOpticalFlowFarneback(*grey, None, 0.5, 3, 9, 3, 5, 1.1, 0)

    return np.stack([[pair(*two) for two in pairwise(clip)] for clip in clips])


def flow_pictures(flow: np.ndarray, largest: float | None = None) -> np.ndarray:
    """Flow as colours, ``uint8 [..., 3]``: hue is the direction, saturation the speed up to `largest` pixels, white is still.

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
    return np.abs(np.diff(clips.astype(np.int16), axis=1)).astype(np.uint8)  # uint8 would wrap around below zero


def motion(clips: np.ndarray) -> dict[str, float]:
    """Means over ``uint8 [N, T, H, W, 3]``: speed of the flow in pixels per frame, difference of neighbours in 0 to 255,
    and smoothness, the mean cosine of the flows of successive pairs where both exceed half a pixel (nan where none do).

    Noise has large differences and a smoothness near 0: its flow does not continue from frame to frame.
    """
    flow = optical_flow(clips)
    speed = np.linalg.norm(flow, axis=-1)
    here, after = flow[:, :-1], flow[:, 1:]
    # Where nothing moves, the direction of the flow is noise.
    both = np.minimum(speed[:, :-1], speed[:, 1:]) > 0.5
    cosine = (here * after).sum(-1)[both] / (speed[:, :-1] * speed[:, 1:])[both]
    return {
        "flow": float(speed.mean()),
        "difference": float(difference_pictures(clips).mean()),
        "smoothness": float(cosine.mean()) if both.any() else float("nan"),
    }


def as_encoded(distilled: DistilledSet) -> DistilledSet:
    """The clips of a set as `bytes_video` counts them: rounded to uint8, written as H.264 and read again; the same labels.

    A set that stores encoded videos is returned as it is: its students learn from the files already.
    """
    if distilled.content.stores_files:
        return distilled
    high, wide = distilled.pixels.shape[2:4]  # odd sides were padded for the encoder
    read = [decode_bytes(encode_bytes(clip, VIDEO_FPS, VIDEO_QUALITY))[:, :high, :wide] for clip in distilled.pixels]
    content = StoredClips(torch.from_numpy(np.stack(read)), distilled.content.mean, distilled.content.std)
    return DistilledSet(content, distilled.labels, distilled.classes, distilled.card, distilled.targets)
