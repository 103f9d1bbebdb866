"""The real clips that every objective compares with."""

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from vddlib.core import seeding
from vddlib.core.measure import stage
from vddlib.datasets.clips import Clips


class RealClips:
    """Random real clips of every class, in chunks of classes: what is drawn depends on (seed, iteration) alone.

    `chunks`: the classes of each chunk; `still` keeps one random frame of every clip. Frames travel as uint8 and become
    float32 on the device, chunk by chunk; on a GPU a thread reads the next chunk meanwhile.
    """

    def __init__(
        self,
        train: Clips,
        per_class: int,
        seed: int,
        device: torch.device,
        *,
        classes_at_once: int | None = None,
        still: bool = False,
    ):
        self.train, self.per_class, self.seed, self.device, self.still = train, per_class, seed, device, still
        count = len(train.classes)
        width = classes_at_once or count
        self.chunks = [range(first, min(first + width, count)) for first in range(0, count, width)]
        self._members = [train.of_class(label) for label in range(count)]
        self._reader = ThreadPoolExecutor(1) if device.type == "cuda" else None
        self._coming: tuple[tuple[int, int], Future] | None = None

    def indices(self, iteration: int, classes: range) -> Tensor:
        """Videos ``int64 [n]``, at most `per_class` of each of `classes`, all different, class after class."""
        chosen = []
        for label in classes:
            stream = seeding.generator("real clips", self.seed, iteration, label)
            order = torch.randperm(len(self._members[label]), generator=stream)
            chosen.append(self._members[label][order[: self.per_class]])
        return torch.cat(chosen)

    def __call__(self, iteration: int, chunk: int = 0) -> tuple[Tensor, Tensor]:
        """Model input ``float32 [n, 3, T, H, W]`` and labels ``int64 [n]`` of a chunk, on the device."""
        with stage("data"):
            frames, labels = self._ahead(iteration, chunk) if self._reader else self._read(iteration, chunk)
            frames, labels = (x.to(self.device, non_blocking=True) for x in (frames, labels))
            return self.train.standardise(frames), labels

    def _read(self, iteration: int, chunk: int) -> tuple[Tensor, Tensor]:
        indices = self.indices(iteration, self.chunks[chunk])
        frames = self.train.frames(indices, epoch=iteration, seed=self.seed, flip=True)
        if self.still:
            frames = frames[np.arange(len(frames)), self._places(indices, iteration)][:, None]
        frames = torch.from_numpy(frames)
        return (frames.pin_memory() if self._reader else frames), self.train.labels[indices]

    def _places(self, indices: Tensor, iteration: int) -> np.ndarray:
        """Which frame of each clip, drawn class by class."""
        labels, counts = np.unique(self.train.labels[indices].numpy(), return_counts=True)
        streams = [seeding.rng("real frames", self.seed, iteration, int(label)) for label in labels]
        return np.concatenate(
            [s.integers(self.train.geometry.frames, size=n) for s, n in zip(streams, counts, strict=True)]
        )

    def _ahead(self, iteration: int, chunk: int) -> tuple[Tensor, Tensor]:
        coming, wanted = self._coming, (iteration, chunk)
        ready = coming[1].result() if coming and coming[0] == wanted else self._read(*wanted)
        following = (iteration, chunk + 1) if chunk + 1 < len(self.chunks) else (iteration + 1, 0)
        self._coming = (following, self._reader.submit(self._read, *following))
        return ready
