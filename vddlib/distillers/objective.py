"""What a parameterisation is fitted to, and the real clips that every objective compares with."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vddlib import seeding
from vddlib.datasets.clips import Clips
from vddlib.students import Network
from vddlib.timing import stage

Draw = Callable[[Tensor], Tensor]


class Objective:
    """A loss over drawn clips, whatever parameterisation they come from.

    `labels` ``int64 [N]`` are the classes of the distilled clips, class after class; `targets` what students will learn:
    `labels` themselves, or ``float32 [N, C]`` where the objective learns them. Further arguments go to `setup`.
    """

    prepared: float = 0.0  # seconds that networks trained beforehand took, now or when they went into the cache

    def __init__(self, train: Clips, labels: Tensor, network: Network, seed: int, device: torch.device, **options: Any):
        self.train, self.network, self.seed, self.device = train, network, seed, device
        self.labels = labels.to(device)
        self.targets: Tensor = self.labels
        self.setup(**options)

    def setup(self) -> None:
        """Take the options that one kind of objective has; the rest is there already."""

    @property
    def everything(self) -> Tensor:
        """Indices of all distilled clips, ``int64 [N]``, for `draw`."""
        return torch.arange(len(self.labels), device=self.device)

    def step(self, draw: Draw, iteration: int) -> dict[str, Tensor]:
        """Leave the gradients of this iteration's loss in what `draw` depends on.

        `draw(indices)` gives clips ``float32 [n, 3, T, H, W]`` that carry gradients. Returns detached scalars, 'loss'
        first, then its parts where it has several.
        """
        raise NotImplementedError

    def after(self, draw: Draw, iteration: int) -> None:
        """What follows the update of the clips: online updates of networks, limits of learned values."""

    def groups(self) -> list[dict[str, Any]]:
        """Optimiser groups of what the objective itself learns (labels, a student's rate)."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """All that the next iteration depends on and that (seed, iteration) do not determine."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""

    def facts(self) -> dict[str, Any]:
        """What the card of the result should tell (a learned rate, the experts used)."""
        return {}

    def fresh(self, *key: int | str) -> nn.Module:
        """An untrained network of its own for `key`, on the device."""
        seed = seeding.derive(type(self).__name__, self.seed, *key)
        return self.network.build(self.train.classes, self.train.geometry, seed).to(self.device)


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


def class_means(embeddings: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Mean embedding of every class, ``float32 [C, D]``, of ``embeddings [n, D]`` with ``labels int64 [n]``.

    A class without a clip has a mean of zero.
    """
    sums = embeddings.new_zeros(classes, embeddings.shape[1]).index_add(0, labels, embeddings)
    return sums / torch.bincount(labels, minlength=classes).clamp(min=1)[:, None]
