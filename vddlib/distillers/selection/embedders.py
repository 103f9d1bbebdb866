"""Networks of others that embed and classify clips: opened by name, and what they saw of a pool, out of the cache."""

import json
import time
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from vddlib.core import cache, files
from vddlib.core.progress import with_progress
from vddlib.datasets.clips import Clips
from vddlib.distillers.selection.movinet import MoViNet
from vddlib.distillers.selection.videomae import VideoMAE
from vddlib.training.networks import DRAWS

Pretrained = Literal["kinetics", "videomae"]
AT_ONCE = 32


class Embedder(Protocol):
    """What embeds clips. `about` is what its output depends on: network, weights and their sha256, for keys and cards."""

    about: dict[str, Any]

    def see(self, clips: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """Embeddings ``float32 [N, D]`` of ``uint8 [N, T, H, W, 3]``, and logits ``[N, K]`` where it classifies."""
        ...


class Seen(NamedTuple):
    """What an embedder saw of a pool: ``float32 [N, D]``, ``[N, K]`` or None, and the seconds it took when it looked."""

    embeddings: Tensor
    logits: Tensor | None
    seconds: float


def pretrained(name: Pretrained, weights: str = "", device: torch.device | str = "cpu") -> Embedder:
    """The embedder `name`: MoViNet-A0 for 'kinetics', or a VideoMAE. Raises VddError where it cannot be had."""
    return MoViNet(weights) if name == "kinetics" else VideoMAE(weights, device)


def seen(embedder: Embedder, pool: Clips, seed: int) -> Seen:
    """What `embedder` sees of each video's clip for (seed, epoch 0), never flipped: kept, since it may take hours."""
    from safetensors.torch import load_file

    key = {"pool": pool.state(), "seed": seed, "draws": DRAWS, "embedder": embedder.about}

    def build(folder: Path) -> None:
        begun, found = time.monotonic(), []
        parts = torch.arange(len(pool)).split(AT_ONCE)
        for part in with_progress(parts, f"{pool.dataset}: embedding by {embedder.about['embedder']}"):
            found.append(embedder.see(pool.frames(part, epoch=0, seed=seed)))
        tensors = {"embeddings": torch.cat([embeddings for embeddings, _ in found])}
        if found[0][1] is not None:
            tensors["logits"] = torch.cat([logits for _, logits in found])
        files.write_tensors(folder / "seen.safetensors", tensors)
        files.write_json(folder / "seconds.json", time.monotonic() - begun)

    folder = cache.get("embeddings", key, build)
    tensors = load_file(folder / "seen.safetensors")
    return Seen(tensors["embeddings"], tensors.get("logits"), json.loads((folder / "seconds.json").read_text()))
