"""The training clips as latents, encoded once: several clips of each video, flipped where the dataset allows it."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vddlib.core import cache, files
from vddlib.core.progress import with_progress
from vddlib.datasets.clips import Clips
from vddlib.distillers.latte.autoencoder import Codec

AT_ONCE = 8  # videos


class Latents(NamedTuple):
    """``values float16 [N, draws, T, C, h, w]``, memory-mapped, and ``labels int64 [N]``."""

    values: np.ndarray
    labels: Tensor

    def batch(self, videos: Tensor, draws: Tensor) -> Tensor:
        """``float32 [n, T, C, h, w]``: the clip ``draws[i]`` of ``videos[i]``."""
        return torch.from_numpy(self.values[videos.numpy(), draws.numpy()].astype(np.float32))


def training_latents(train: Clips, codec: Codec, draws: int) -> Latents:
    """The clips of epochs 0 to ``draws - 1`` of every video, encoded: out of the cache, or now (resumed if interrupted)."""
    code = cache.code_digest(__name__, "vddlib.distillers.latte.autoencoder")
    key = {"train": train.state(), "codec": codec.about, "draws": draws, "code": code}
    side = train.geometry.size // codec.down
    shape = (len(train), draws, train.geometry.frames, codec.channels, side, side)

    def build(folder: Path) -> None:
        done, path = folder / "done.json", folder / "latents.npy"
        begin = json.loads(done.read_text()) if done.is_file() else 0
        mode = "r+" if begin else "w+"
        values = np.lib.format.open_memmap(path, mode, np.float16, None if begin else shape)
        parts = torch.arange(begin, len(train)).split(AT_ONCE)
        for part in with_progress(parts, f"{train.dataset}: encoding clips"):
            for draw in range(draws):
                frames = train.frames(part, epoch=draw, flip=True)
                values[part.numpy(), draw] = codec.encode(frames).numpy().astype(np.float16)
            values.flush()
            files.write_json(done, int(part[-1]) + 1)

    folder = cache.get("latents", key, build)
    return Latents(np.load(folder / "latents.npy", mmap_mode="r"), train.labels)
