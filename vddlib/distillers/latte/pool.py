"""Pools of generated videos: made once, class by class, kept as video, and read as any other clips."""

import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from vddlib.core import cache, files, seeding
from vddlib.core.errors import VddError
from vddlib.core.progress import with_progress
from vddlib.datasets.catalog import Dataset
from vddlib.datasets.clips import Clips, load
from vddlib.datasets.geometry import Geometry, geometry
from vddlib.datasets.layouts import Entry
from vddlib.datasets.store import open_store
from vddlib.distillers.base import part_of
from vddlib.distillers.latte.autoencoder import pick_codec
from vddlib.distillers.latte.sampling import sample
from vddlib.distillers.latte.settings import Latte
from vddlib.distillers.latte.training import CODE, Trained, trained_latte
from vddlib.distillers.stored.contract import encoded


class Pool(NamedTuple):
    """Generated clips, and what they cost: seconds of training and of sampling, and what the network was."""

    clips: Clips
    trained: Trained
    train_seconds: float
    sample_seconds: float


def make_pool(train: Clips, latte: Latte, seed: int = 0, shard: tuple[int, int] | None = None) -> list[Path]:
    """The folders of `per_class` generated videos of each class of a shard (which, of how many), out of the cache or now.

    Without a `shard`, the processes of an `accelerate launch` share the classes; a single one makes them all.

    A video depends on its class, its number and the seed alone: shards give what one run gives, and a larger pool begins with
    the smaller one's videos (as far as a batch's rounding allows).
    """
    source, trained = _trained(train, latte, seed)
    if shard is None:
        from accelerate import PartialState

        shard = PartialState().process_index, PartialState().num_processes
    labels = part_of(range(len(train.classes)), shard, "latte")
    return [_of_class(source, latte, trained, label, seed) for label in labels]


def _trained(train: Clips, latte: Latte, seed: int) -> tuple[Clips, Trained]:
    """The clips that a generator learns from, and the generator."""
    source = source_of(train, latte)
    return source, trained_latte(latte, source, pick_codec(latte.autoencoder, source, device=latte.device), seed)


def source_of(train: Clips, latte: Latte) -> Clips:
    """The training clips as the generator sees them: `train`, or the same videos at its own size and stride.

    Raises VddError where `train` is a part of a dataset, whose other clips are not the same videos.
    """
    g = train.geometry
    size, stride = latte.size or g.size, latte.stride or g.stride
    if (size, stride) == (g.size, g.stride):
        return train
    square = geometry(g.frames, size, stride, g.sampling)
    source, _ = load(train.dataset, square, store=False)  # each clip is decoded once, for its latents
    if source.source != train.source or source.names != train.names:
        raise VddError(
            f"latte: clips of another size are made for whole datasets of the catalogue, not for {train.dataset}"
        )
    return source


def load_pool(train: Clips, latte: Latte, seed: int = 0) -> Pool:
    """The pool as clips like any other: classes, geometry, mean and std of `train`, one generated clip per video."""
    source, trained = _trained(train, latte, seed)
    folders = [_of_class(source, latte, trained, label, seed) for label in range(len(train.classes))]
    entries = [
        Entry(path, label, f"{train.classes[label]}/{folder.name[:8]}_{path.stem}")
        for label, folder in enumerate(folders)
        for path in sorted(folder.glob("*.mp4"))
    ]
    g = train.geometry
    # What is generated is a clip already: no frame is left out, and nothing is cut.
    whole = Geometry(frames=g.frames, size=g.size, stride=1, resize=(g.size, g.size))
    dataset = Dataset(f"{train.dataset} by Latte", folders[0].parent, train.classes, tuple(entries), ())
    store = open_store(dataset, whole)
    clips = Clips(dataset, "train", whole, store, store.rows["train"]).standardised_as(train)
    clips.mirrors = train.mirrors
    seconds = sum(json.loads((folder / "made.json").read_text())["seconds"] for folder in folders)
    return Pool(clips, trained, trained.log.seconds, seconds)


def _of_class(train: Clips, latte: Latte, trained: Trained, label: int, seed: int) -> Path:
    """The folder of one class's videos, ``000.mp4`` and so on."""
    key = {"network": files.digest(trained.key), "drawing": latte.drawing(), "label": label, "seed": seed}
    key |= {"code": cache.code_digest(*CODE, __name__)}

    def build(folder: Path) -> None:
        begun = time.monotonic()
        batches = torch.arange(latte.per_class).split(latte.sample_batch)
        for numbers in with_progress(batches, f"latte: videos of {train.classes[label]}"):
            if all((folder / f"{number:03d}.mp4").is_file() for number in numbers.tolist()):
                continue  # of a run that was interrupted
            made = encoded(draw(train, latte, trained, label, numbers, seed), latte.quality)
            for number, file in zip(numbers.tolist(), made, strict=True):
                files.write_atomic(folder / f"{number:03d}.mp4", file)
        files.write_json(folder / "made.json", {"seconds": time.monotonic() - begun})

    return cache.get("latte_pools", key, build)


def draw(train: Clips, latte: Latte, trained: Trained, label: int, numbers: torch.Tensor, seed: int) -> np.ndarray:
    """The generated videos ``uint8 [n, T, H, W, 3]`` of a class with these numbers."""
    streams = [seeding.generator("latte pool", seed, label, number) for number in numbers.tolist()]
    side = train.geometry.size // trained.codec.down
    shape = (train.geometry.frames, trained.codec.channels, side, side)
    labels = torch.full((len(numbers),), label, device=next(trained.model.parameters()).device)
    options = {"steps": latte.sample_steps, "guidance": latte.guidance}
    options |= {"sampler": latte.sampler, "prediction": latte.prediction}
    return trained.codec.decode(sample(trained.model, labels, shape, streams, **options))
