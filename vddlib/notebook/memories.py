"""What methods store that are no pixels, as pictures and tables."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vddlib.datasets.clips import to_pixels
from vddlib.distillers import DistilledSet, Memories


@torch.no_grad()
def memory_rows(content: Memories, video: int, mean: Tensor, std: Tensor) -> tuple[np.ndarray, list[str]]:
    """Rows ``uint8 [n, T, H, W, 3]`` for `plots.filmstrip`, and their titles: a video's images, its dynamic memories in grey,
    from the lowest to the highest of their values, and the clips of every pair.
    """
    statics, dynamics = content.statics[video], content.dynamics[video]
    frames, one = dynamics.shape[2], torch.tensor([video])
    rows, titles = [], []
    for i, image in enumerate(statics):
        rows.append(to_pixels(image[None, :, None].expand(-1, -1, frames, -1, -1), mean, std)[0])
        titles.append(f"image {i + 1}")
    low, high = dynamics.amin(), dynamics.amax()
    for j, memory in enumerate(dynamics):
        grey = (255 * (memory[0] - low) / (high - low).clamp(min=1e-9)).byte().cpu().numpy()
        rows.append(np.repeat(grey[..., None], 3, axis=-1))
        titles.append(f"memory {j + 1}")
    for i in range(len(statics)):
        for j in range(len(dynamics)):
            rows.append(to_pixels(content.pair(one, torch.tensor([i]), torch.tensor([j])), mean, std)[0])
            titles.append(f"clip of {i + 1} and {j + 1}")
    return np.stack(rows), titles


def size_table(sets: Mapping[str, DistilledSet]) -> pd.DataFrame:
    """Bytes of each set in the three ways that records have, and how many videos it stands for."""
    rows = [
        {
            "set": name,
            "videos": len(one),
            "float32": one.bytes_float32,
            "uint8": one.bytes_uint8,
            "encoded": one.bytes_stream,
        }
        for name, one in sets.items()
    ]
    return pd.DataFrame(rows)
