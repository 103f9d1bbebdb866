"""A set as it comes back out of the files whose bytes are counted."""

import numpy as np
import torch

from vddlib.datasets.video import decode_bytes, encode_bytes
from vddlib.distillers.distilled import VIDEO_FPS, VIDEO_QUALITY, DistilledSet, Stored


def as_encoded(distilled: DistilledSet) -> DistilledSet:
    """The clips of a set as `bytes_video` counts them: rounded to uint8, written as H.264, and read again; labels stay.

    A set that stores encoded videos is returned as it is: its students learn from the files already.
    """
    if hasattr(distilled.content, "bytes_video"):
        return distilled
    high, wide = distilled.pixels.shape[2:4]
    read = [decode_bytes(encode_bytes(clip, VIDEO_FPS, VIDEO_QUALITY))[:, :high, :wide] for clip in distilled.pixels]
    content = Stored(torch.from_numpy(np.stack(read)), distilled.content.mean, distilled.content.std)
    return DistilledSet(content, distilled.labels, distilled.classes, distilled.card, distilled.targets)
