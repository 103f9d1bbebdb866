"""A random frame of random clips, repeated along time: what Static-DC has to beat, and what it begins with."""

from typing import ClassVar

import numpy as np
import torch

from vddlib.datasets.clips import Clips
from vddlib.distillers.selection.rounds import RandomRounds
from vddlib.distillers.stored.contract import encoded
from vddlib.distillers.stored.pixels import Stills, still_frame


class RandomStill(RandomRounds):
    """As many stills as a set has clips, or as its bytes allow; stored, and counted, as Static-DC's are: a frame each."""

    name: ClassVar[str] = "random_still"

    def stored(self, clips: np.ndarray, seed: int, number: int) -> tuple[list[bytes], np.ndarray]:
        """The frame of each clip that Static-DC would begin with, ``uint8 [C, 1, size, size, 3]``."""
        chosen = [still_frame(clips.shape[1], seed, label, number) for label in range(len(clips))]
        images = clips[np.arange(len(clips)), chosen][:, None]
        return encoded(images), images

    def content(self, files: list[bytes], frames: np.ndarray, train: Clips) -> Stills:
        """The images, shown as clips."""
        return Stills(train.standardise(torch.from_numpy(frames)), train.mean, train.std, train.geometry.frames)
