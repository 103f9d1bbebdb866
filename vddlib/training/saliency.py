"""Temporal saliency of a clip's frames (TSGF, equations 6 to 8)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Window = Literal["uniform", "linear", "hann", "exponential"]


def frame_differences(clips: Tensor) -> Tensor:
    r"""Eq. 6, ``float32 [N, T]``: :math:`d_i = (|f_{i+1} - f_i| + |f_i - f_{i-1}|) / 2`, mean absolute values per frame.

    clips: ``float32 [N, 3, T, H, W]``. The first and the last frame have one neighbour, whose difference counts alone; a
    clip of a single frame has a difference of zero.
    """
    if clips.shape[2] == 1:
        return clips.new_zeros(len(clips), 1)
    steps = clips.diff(dim=2).abs().mean((1, 3, 4))
    before, after = F.pad(steps, (1, 0)), F.pad(steps, (0, 1))
    neighbours = torch.full_like(before, 2)
    neighbours[:, 0] = neighbours[:, -1] = 1
    return (before + after) / neighbours


def window(kind: Window, length: int) -> Tensor:
    """Smoothing weights alpha_0 ... alpha_k of eq. 7, ``float32 [length]``, of a frame and those before it; they sum to 1.

    'uniform', 'linear' (falls to 1/length of the first weight), 'hann' (the falling half of that window), 'exponential'
    (halved from frame to frame). The paper does not say which it uses.
    """
    back = torch.arange(length, dtype=torch.float32)
    weights = {
        "uniform": torch.ones(length),
        "linear": 1 - back / length,
        "hann": 0.5 * (1 + torch.cos(torch.pi * back / length)),
        "exponential": 0.5**back,
    }[kind]
    return weights / weights.sum()


def saliency(clips: Tensor, kind: Window = "linear", length: int = 3) -> Tensor:
    r"""Eq. 7, ``float32 [N, T]``: :math:`s_i = \sum_j \alpha_j d_{i-j}`, differences smoothed over `length` frames.

    Where the window reaches before the first frame, the weights that remain are scaled to sum to 1.
    """
    differences, weights = frame_differences(clips), window(kind, length).to(clips)
    kernel = weights.flip(0)[None, None]  # conv1d does not flip its kernel
    smooth = F.conv1d(F.pad(differences[:, None], (length - 1, 0)), kernel)[:, 0]
    weight_inside = F.conv1d(F.pad(torch.ones_like(differences[:1, None]), (length - 1, 0)), kernel)[:, 0]
    return smooth / weight_inside


def threshold(scores: Tensor, share: float) -> Tensor:
    """Epsilon of eq. 8 for each clip, ``float32 [N, 1]``: `share` of the way from its least to its most salient frame.

    The paper gives no value and no unit; a share suits clips that move much and clips that move little.
    """
    low, high = scores.amin(1, keepdim=True), scores.amax(1, keepdim=True)
    return low + share * (high - low)


def mask(scores: Tensor, epsilon: Tensor | float, signed: bool = False) -> Tensor:
    r"""Eq. 8, ``float32 [N, T]``: :math:`\max(\epsilon - s, 0) / (\max s - \min s)`, by which gradients are multiplied.

    `signed` leaves out the max, so that salient frames move against their gradient (table 9, 'both'). The mask of a clip
    whose frames are all equally salient is 1, since no frame is to be spared.
    """
    distance = epsilon - scores
    distance = distance if signed else distance.clamp(min=0)
    spread, flat = _spread(scores)
    return torch.where(flat, torch.ones_like(scores), distance / spread.where(~flat, torch.ones_like(spread)))


def key_frames(scores: Tensor, epsilon: Tensor | float) -> Tensor:
    """Whether a frame is salient, ``bool [N, T]``: above epsilon, so that mask and augmentation do not change it.

    No frame is where all are equally salient.
    """
    return (scores > epsilon) & ~_spread(scores)[1]


def _spread(scores: Tensor) -> tuple[Tensor, Tensor]:
    """max s - min s of each clip, and whether it is only rounding error: both ``[N, 1]``."""
    low, high = scores.amin(1, keepdim=True), scores.amax(1, keepdim=True)
    return high - low, high - low <= 1e-6 * high.abs().clamp(min=1e-6)
