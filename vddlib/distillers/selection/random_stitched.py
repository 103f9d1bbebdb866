"""Several random clips shortened and stitched into one: IDTD's table 3, A, what its pools and fusors have to beat."""

import time
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field

from vddlib.datasets.clips import Clips
from vddlib.datasets.geometry import evenly
from vddlib.distillers.base import Distiller, check_ipc
from vddlib.distillers.distilled import DistilledSet
from vddlib.distillers.selection.rounds import random_order
from vddlib.distillers.stored.clips import StoredClips


class RandomStitched(Distiller):
    """Clips of as many frames as any, each of `segments` real clips: evenly spaced frames of the first, of the second, ..."""

    name: ClassVar[str] = "random_stitched"

    segments: int = Field(8, ge=1, description="real clips in a stitched one (the paper's K)")

    def distill(self, train: Clips, ipc: int, seed: int = 0) -> DistilledSet:
        """`ipc` stitched clips per class, of videos in the order in which `random` keeps them.

        A class with fewer than ``ipc * segments`` videos begins again with its first. Raises VddError where a class is
        smaller than `ipc`.
        """
        check_ipc(train, ipc)
        begun, clips, videos = time.monotonic(), [], []
        for order in random_order(train, seed):
            used = order[torch.arange(ipc * self.segments) % len(order)]
            frames = train.frames(used, epoch=0, seed=seed)  # [ipc * segments, T, H, W, 3]
            clips += [stitch(part) for part in np.split(frames, ipc)]
            videos += [train.name(int(i)) for i in used]
        labels = torch.arange(len(train.classes)).repeat_interleave(ipc)
        facts = {"videos": videos, "distill_seconds": time.monotonic() - begun}
        content = StoredClips(torch.from_numpy(np.stack(clips)), train.mean, train.std)
        return DistilledSet(content, labels, train.classes, self.card(train, ipc, seed, **facts))


def stitch(clips: np.ndarray) -> np.ndarray:
    """``uint8 [T, H, W, 3]`` of ``clips uint8 [K, T, H, W, 3]``: T // K evenly spaced frames of each, one clip after another.

    Where K does not divide T, evenly spaced ones of these are kept; where K exceeds it, not every clip has a frame.
    """
    length = clips.shape[1]
    per_clip = -(-length // len(clips))
    joined = clips[:, evenly(per_clip, length)].reshape(-1, *clips.shape[2:])
    return joined[evenly(length, len(joined))]
