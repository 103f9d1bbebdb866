"""VST-UNet's network: a U-Net over all videos of a class at once (diffusion paper, section 3.1)."""

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Outcome(NamedTuple):
    """Of N videos: features ``[N, D]``, scores ``[N]`` that rank them, and class logits ``[N, C]``."""

    features: Tensor
    scores: Tensor
    class_logits: Tensor


class VideoUNet(nn.Module):
    """A U-Net in four dimensions: height, width and time of each video, and the videos of a class.

    Convolutions see the first three. The order of videos means nothing, so the fourth is mixed by attention between whole
    videos, at every level: permuting them permutes what comes out. The paper draws the network (figure 1) and gives no layer
    of it; width, depth and this factorisation are ours.
    """

    def __init__(self, channels: int, classes: int, width: int = 16, depth: int = 2, features: int = 32):
        """`width` of the first level, doubled at each of `depth` further ones; `features` is D."""
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(Block(a, b) for a, b in zip([channels, *widths], widths, strict=False))
        self.up = nn.ModuleList(Block(a + b, a) for a, b in pairwise(widths))
        self.embed = nn.Sequential(nn.Linear(width + widths[-1], features), nn.SiLU())
        self.classify = nn.Linear(features, classes)
        # A hidden layer of its own: until classes are told apart, L_ce moves all that comes before by far the most.
        self.choose = nn.Sequential(nn.Linear(features, 2 * features), nn.SiLU(), nn.Linear(2 * features, 1))

    def forward(self, latents: Tensor) -> Outcome:
        """What it makes of ``latents [N, T, C, h, w]``, all videos of one class."""
        x, levels = latents.transpose(1, 2), []  # [N, C, T, h, w]
        for level, block in enumerate(self.down):
            x = block(halved(x) if level else x)
            levels.append(x)
        deepest = x.mean((2, 3, 4))
        for block, across in zip(reversed(self.up), reversed(levels[:-1]), strict=True):
            x = block(torch.cat([across, F.interpolate(x, across.shape[2:])], 1))
        f = self.embed(torch.cat([x.mean((2, 3, 4)), deepest], 1))
        # Chosen is by what tells a video from the others: the class, which all of them show, fills most of f.
        spread = (f - f.mean(0)) / (f.std(0, correction=0) + 1e-5)
        return Outcome(f, self.choose(spread).squeeze(1), self.classify(f))


class Block(nn.Module):
    """A convolution over time and space within each video, then attention across videos; a residual around the second."""

    def __init__(self, into: int, width: int):
        super().__init__()
        # One group: statistics of each video by itself, and of no other.
        self.within = nn.Sequential(nn.Conv3d(into, width, 3, padding=1), nn.GroupNorm(1, width), nn.SiLU())
        self.across = AcrossVideos(width)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, width, T, h, w]`` of ``[N, into, T, h, w]``."""
        x = self.within(x)
        return x + self.across(x.mean((2, 3, 4)))[:, :, None, None, None]


class AcrossVideos(nn.Module):
    """Attention between videos, each described by the mean of its feature maps."""

    def __init__(self, width: int):
        super().__init__()
        self.norm, self.parts, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, videos: Tensor) -> Tensor:
        """What each of ``videos [N, width]`` takes from all of them, ``[N, width]``."""
        query, key, value = self.parts(self.norm(videos)).chunk(3, 1)
        weights = (query @ key.T / query.shape[1] ** 0.5).softmax(1)
        return self.out(weights @ value)


def halved(x: Tensor) -> Tensor:
    """``[N, C, T, h, w]`` at half the frames, height and width (rounded up), by averaging."""
    return F.adaptive_avg_pool3d(x, [-(-side // 2) for side in x.shape[2:]])
