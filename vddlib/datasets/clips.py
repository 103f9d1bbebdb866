"""Clips of a dataset, as students see them. The clip drawn for an epoch is a function of (seed, epoch, index)."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vddlib.core import cache, files, seeding
from vddlib.core.errors import VddError
from vddlib.core.progress import with_progress
from vddlib.datasets import video
from vddlib.datasets.catalog import Dataset, read
from vddlib.datasets.geometry import Geometry
from vddlib.datasets.store import ExactStore, Row, Store, layout_of, open_store, refuse_many_broken


class Clips(torch.utils.data.Dataset):
    """One split of a dataset under a geometry: labelled videos from which clips are drawn.

    Where classes differ in pace, a video stands here once per pace, and its clips begin at the same places at every pace
    (those that leave room for the fastest), so that a first frame says nothing about it.

    `classes`: names; `labels`: int64 [N]; `mean`, `std`: float32 [3], of the train split's pixels in [0, 1], used for
    every split. `mirrors`: whether a flipped clip keeps its label; `paced`: whether classes differ in stride. `dataset`:
    name; `fingerprint`: sha256 of the dataset; `part`: 'train' or 'test'.
    """

    def __init__(self, dataset: Dataset, part: str, geometry: Geometry, store: Store | None, rows: list):
        self.dataset, self.part = dataset.name, part
        self.source = dataset.fingerprint  # of the videos, however their frames are kept
        lossy = store is not None and store.kind != ExactStore.kind  # other pixels are another dataset
        self.fingerprint = files.digest([dataset.fingerprint, store.kind]) if lossy else dataset.fingerprint
        self.classes, self.geometry = dataset.classes, geometry
        self.mirrors = dataset.spec.mirrors if dataset.spec else True
        self.mean, self.std = torch.zeros(3), torch.ones(3)
        self._orders, self._whole = (), True  # of a clip's frames; _whole: all classes, in their own order
        self._store, self._rows, self._entries = store, rows, getattr(dataset, part)
        self.paced, self._longest = dataset.longest_pace > 1, geometry.at_pace(dataset.longest_pace)
        self._index = np.array([i for i, row in enumerate(rows) if not row.broken], np.int64)
        self.labels = torch.tensor([self._entries[i].label for i in self._index], dtype=torch.int64)

    def __len__(self) -> int:
        return len(self._index)

    @property
    def names(self) -> list[str]:
        """``CLASS/stem`` of every video."""
        return [self._entries[i].name for i in self._index]

    @property
    def bytes_video(self) -> int:
        """Size of the video files, in bytes; one at several paces counts once."""
        return sum(path.stat().st_size for path in self._paths())

    @property
    def bytes_stream(self) -> int:
        """Size of the video streams in these files, without containers and sound, in bytes; read once, then cached."""

        def measure(folder: Path) -> None:
            paths = with_progress(self._paths(), f"{self.dataset}: measuring streams")
            files.write_json(folder / "bytes.json", sum(map(video.stream_bytes, paths)))

        key = {"dataset": self.fingerprint, "part": self.part, "videos": files.digest(self._index.tolist())}
        return json.loads((cache.get("stream_bytes", key, measure) / "bytes.json").read_text())

    def _paths(self) -> list[Path]:
        return list(dict.fromkeys(self._entries[i].path for i in self._index))

    def name(self, i: int) -> str:
        """The name of video `i`."""
        return self._entries[self._index[i]].name

    def path(self, i: int):
        """The file of video `i`."""
        return self._entries[self._index[i]].path

    def frame_count(self, i: int) -> int:
        """Number of frames of video `i`."""
        return self._rows[self._index[i]].frames

    def draw(self, i: int, *, epoch: int = 0, seed: int = 0) -> tuple[int, bool]:
        """(first frame, whether to flip) of the clip of video `i` in `epoch`: always the same for the same arguments."""
        place = int(self._index[i])
        # By the place in the whole split, so that a video keeps its draws in every subset.
        rng = np.random.default_rng([seed, 0 if self.part == "train" else 1, epoch, place])
        start = int(rng.integers(self._longest.starts(self._rows[place].frames)))
        return start, bool(rng.random() < 0.5) and self.mirrors

    def clip(self, i: int, *, epoch: int = 0, seed: int = 0, start: int | None = None) -> np.ndarray:
        """``uint8 [T, size, size, 3]``: the clip of video `i` for `epoch` (or from frame `start` on), not flipped."""
        place = int(self._index[i])
        start = self.draw(i, epoch=epoch, seed=seed)[0] if start is None else start
        row, entry = self._rows[place], self._entries[place]
        wanted = self.geometry.at_pace(entry.pace).indices(row.frames, start, row.fps)
        if self._store is not None:
            return self._store.clip(self.part, place, wanted)
        return self.geometry.square(video.apart(video.decode, entry.path, wanted))

    def middle(self, i: int) -> np.ndarray:
        """``uint8 [T, size, size, 3]``: the clip from the middle of video `i`, for tests without random draws."""
        return self.clip(i, start=self._longest.starts(self._rows[self._index[i]].frames) // 2)

    def frames(self, indices: Sequence[int], *, epoch: int | None = 0, seed: int = 0, flip: bool = False) -> np.ndarray:
        """``uint8 [n, T, size, size, 3]`` of several videos; ``epoch=None`` takes the middle clips, never flipped."""
        out = np.empty((len(indices), self.geometry.frames, self.geometry.size, self.geometry.size, 3), np.uint8)
        for place, i in enumerate(map(int, indices)):
            if epoch is None:
                out[place] = self.middle(i)
            else:
                start, flipped = self.draw(i, epoch=epoch, seed=seed)
                frames = self.clip(i, start=start)
                out[place] = frames[:, :, ::-1] if flip and flipped else frames
            if self._orders:  # after the draws, so that the frames are those of the moving clips
                out[place] = out[place][self._places(i, epoch, seed)]
        return out

    def standardise(self, frames: np.ndarray | Tensor) -> Tensor:
        """``uint8 [n, T, H, W, 3]`` -> model input ``float32 [n, 3, T, H, W]``."""
        return standardise(frames, self.mean, self.std)

    def batch(
        self, indices: Sequence[int], *, epoch: int | None = 0, seed: int = 0, flip: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Model input ``float32 [n, 3, T, H, W]`` and labels ``int64 [n]`` of several videos (see `frames`)."""
        indices = torch.as_tensor(indices)
        return self.standardise(self.frames(indices, epoch=epoch, seed=seed, flip=flip)), self.labels[indices]

    def of_class(self, label: int) -> Tensor:
        """Indices ``int64`` of the videos of one class."""
        return torch.nonzero(self.labels == label).flatten()

    def _copy(self) -> "Clips":
        part = object.__new__(Clips)
        part.__dict__.update(self.__dict__)
        return part

    def subset(self, indices: Sequence[int]) -> "Clips":
        """The same clips, restricted to `indices`; each video keeps the draws it has in the whole."""
        part, indices = self._copy(), torch.as_tensor(indices)
        part._index, part.labels = self._index[indices.numpy()], self.labels[indices]
        return part

    def standardised_as(self, other: "Clips") -> "Clips":
        """The same clips under the mean and std of `other`: those of the real training clips, for a generated pool."""
        part = self._copy()
        part.mean, part.std = other.mean, other.std
        return part

    def still(self) -> "Clips":
        """The same clips with their first frame repeated along time: what can be seen without motion."""
        return self._ordered("still")

    def shuffled(self) -> "Clips":
        """The same clips with their frames in a random order, drawn for each (seed, epoch, index): what is seen without
        the order of frames. Never their own order, but in clips of one frame."""
        return self._ordered("shuffled")

    def reversed(self) -> "Clips":
        """The same clips played backwards: what is seen without the direction of time."""
        return self._ordered("reversed")

    def _ordered(self, order: str) -> "Clips":
        """The same clips, their frames in this order; a second order is applied to what the first one made."""
        part = self._copy()
        part._orders = (*self._orders, order)
        return part

    def _places(self, i: int, epoch: int | None, seed: int) -> np.ndarray:
        """Which frame of the clip of video `i` stands at each time: ``int64 [T]``."""
        times = np.arange(self.geometry.frames)
        places = times
        for order in self._orders:
            if order == "still":
                places = places[np.zeros_like(times)]
            elif order == "reversed":
                places = places[::-1]
            else:
                rng = seeding.rng("shuffled frames", seed, self.part, epoch, self._index[i])
                places = places[_another_order(times, rng)]
        return places

    def only(self, classes: Sequence[str]) -> "Clips":
        """The clips of these classes, labelled in the given order. Raises VddError for a class that the dataset lacks."""
        if unknown := [name for name in classes if name not in self.classes]:
            raise VddError(f"{self.dataset} has no class {unknown[0]!r}; it has {', '.join(self.classes)}")
        old = [self.classes.index(name) for name in classes]
        chosen = torch.cat([self.of_class(label) for label in old])
        part = self.subset(chosen)
        part.classes, part._whole = tuple(classes), False
        part.labels = torch.tensor([old.index(int(label)) for label in self.labels[chosen]], dtype=torch.int64)
        return part

    def holdout(self, share: float = 0.2, seed: int = 0) -> tuple["Clips", "Clips"]:
        """(rest, held out): about `share` of each class set aside for choosing hyper-parameters, never test data.

        Clips cut from one source video (UCF's ``_gNN_``) stay on one side, at whatever pace.
        """
        rng, held = np.random.default_rng([seed, 2]), np.zeros(len(self), bool)
        sources = np.array([self._entries[i].source for i in self._index])
        for label in range(len(self.classes)):
            members = self.of_class(label).numpy()
            for source in rng.permutation(np.unique(sources[members])):  # whole sources, until the share is reached
                if held[members].sum() >= share * len(members):
                    break
                held[sources == source] = True  # in every class: a video may stand in one per pace
        return self.subset(np.flatnonzero(~held)), self.subset(np.flatnonzero(held))

    def state(self) -> dict:
        """What determines these clips, for cache keys and records."""
        state = {"dataset": self.fingerprint, "part": self.part, "geometry": self.geometry.model_dump()}
        state["videos"] = files.digest(self._index.tolist())
        state |= {"mean": self.mean.tolist(), "std": self.std.tolist(), "mirrors": self.mirrors}
        if not self._whole:  # other classes or another order: labels mean something else
            state["classes"] = self.classes
        return state | ({"order": " ".join(self._orders)} if self._orders else {})


def _another_order(places: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """``int64 [T]`` in a random order, but not the given one where there is another."""
    while True:
        order = rng.permutation(places)
        if len(places) < 2 or (order != places).any():
            return order


def standardise(frames: np.ndarray | Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """``uint8 [..., T, H, W, 3]`` -> ``float32 [..., 3, T, H, W]``, minus `mean` over `std` per channel."""
    x = torch.as_tensor(np.ascontiguousarray(frames) if isinstance(frames, np.ndarray) else frames)
    x = x.to(torch.float32, copy=True)  # in place from here: to allocate temporaries takes longer than to compute
    return x.div_(255).sub_(mean.to(x.device)).div_(std.to(x.device)).movedim(-1, -4)


def to_pixels(clips: Tensor, mean: Tensor, std: Tensor) -> np.ndarray:
    """The inverse of `standardise`, rounded and clipped to ``uint8 [..., T, H, W, 3]``."""
    x = clips.detach().cpu().movedim(-4, -1) * std + mean
    return (x * 255).round().clamp(0, 255).to(torch.uint8).numpy()


def load(
    name: str, geometry: Geometry | None = None, *, store: bool = True, workers: int | None = None
) -> tuple[Clips, Clips]:
    """Train and test clips of a dataset (a catalogue name or a folder), under its own geometry unless one is given.

    With `store` the frames are decoded once into a memory-mapped cache; without, every clip is decoded when drawn.
    Raises VddError (one line) where anything is missing or broken.
    """
    dataset = read(name)
    geometry = geometry or (dataset.spec.clip if dataset.spec else Geometry())
    if not dataset.train or not dataset.test:
        raise VddError(
            f"{dataset.name}: {len(dataset.train)} train and {len(dataset.test)} test videos; both are needed"
        )
    if store:
        opened = open_store(dataset, geometry, workers)
        rows = opened.rows
    else:
        opened, index = None, layout_of(dataset, geometry, workers)
        refuse_many_broken(dataset, index)
        rows = {part: [Row(**row) for row in index[part]] for part in ("train", "test")}
    train, test = (Clips(dataset, part, geometry, opened, rows[part]) for part in ("train", "test"))
    missing = sorted(set(range(len(train.classes))) - set(train.labels.tolist()))
    if missing:
        raise VddError(f"{dataset.name}: the class {train.classes[missing[0]]} has no train video")
    train.mean, train.std = test.mean, test.std = statistics(train)  # of train alone: nothing of the test set leaks
    return train, test


def statistics(train: Clips, videos: int = 256) -> tuple[Tensor, Tensor]:
    """Mean and std ``float32 [3]`` of pixels in [0, 1], over the middle clips of `videos` evenly spaced train videos."""
    chosen = np.unique(np.linspace(0, len(train) - 1, videos).round().astype(int))
    total, square, count = np.zeros(3), np.zeros(3), 0
    for i in chosen:
        pixels = train.middle(int(i)).reshape(-1, 3) / 255.0
        total, square, count = total + pixels.sum(0), square + (pixels**2).sum(0), count + len(pixels)
    mean = total / count
    std = np.sqrt(np.maximum(square / count - mean**2, 1e-8))  # a channel without variation must not divide by 0
    return torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)
