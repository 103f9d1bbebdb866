"""What methods store that are no pixels, as pictures and tables."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vddlib.datasets.clips import to_pixels
from vddlib.distillers import DistilledSet, Diversified, Memories


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


@torch.no_grad()
def pool_rows(
    content: Diversified, video: int, draw: Tensor, mean: Tensor, std: Tensor
) -> tuple[np.ndarray, list[str]]:
    """Rows ``uint8 [n, frames, H, W, 3]`` and their titles: a video's pool, its segments one after another, the video that
    the fusor makes of them, and one ``draw float32 [3, T, H, W]`` of it. What a row has no frame for is white.
    """
    one = torch.tensor([video])
    segments = content.segments(one)
    parts = {
        "pool": content.pool[video].transpose(0, 1).flatten(1, 2),  # [3, R * t, H, W]
        "segments": segments[0].transpose(0, 1).flatten(1, 2),
        "video": content.fused(segments, one)[0],
        "a draw": draw,
    }
    rows, titles = [], []
    width = int(content.frames)
    for name, clip in parts.items():
        frames = to_pixels(clip[None], mean, std)[0]
        for first in range(0, len(frames), width):
            row = np.full((width, *frames.shape[1:]), 255, np.uint8)
            part = frames[first : first + width]
            row[: len(part)] = part
            rows.append(row)
            titles.append(name if first == 0 else "")
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
