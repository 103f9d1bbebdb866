"""A generated pool, shown: what its autoencoder loses, its distance from real clips, and students of all of it."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vddlib.core.errors import VddError
from vddlib.core.params import notebook_parameters, params_of_file
from vddlib.datasets import clips
from vddlib.datasets.clips import Clips
from vddlib.datasets.geometry import geometry
from vddlib.distillers import Full
from vddlib.distillers.latte import Codec, Latte, Pool, make_pool
from vddlib.distillers.selection.embedding import embed
from vddlib.evaluation import Report, evaluate_each, fair_teacher
from vddlib.evaluation.generated import frechet, nearest
from vddlib.evaluation.protocols import Protocol
from vddlib.notebook.fair import fair_students
from vddlib.training.networks import Network


def make_from(notebook: Path, params: Path, shard: tuple[int, int] | None = None) -> int:
    """Train the generator that a params file of a notebook describes, and make its pool, outside of the notebook: on several
    GPUs (`accelerate launch`), or a shard of the classes. Returns how many classes are there. Raises VddError."""
    declared = notebook_parameters(notebook)
    if "latte" not in declared:
        raise VddError(f"{notebook.name} generates no pool: it has no parameter `latte`")
    values = {name: ast.literal_eval(one.default) for name, one in declared.items()} | params_of_file(notebook, params)
    shape = geometry(values["frames"], values["size"], values["stride"], values["sampling"])
    train, _ = clips.load(values["dataset"], shape)
    latte = Latte(**values["latte"], device=values["device"])
    return len(make_pool(train, latte, values["pool_seed"], shard))


def through(codec: Codec, clips: np.ndarray) -> tuple[np.ndarray, float]:
    """Clips ``uint8 [n, T, H, W, 3]`` encoded and decoded, and the mean of their peak signal-to-noise ratios, in dB."""
    again = codec.decode(codec.encode(clips))
    errors = np.square(again.astype(np.float64) - clips).mean((1, 2, 3, 4))
    return again, float(np.mean(10 * np.log10(255**2 / np.maximum(errors, 1e-9))))


@dataclass
class PoolPage:
    """A pool beside the real clips that its generator learned from, in the features of F-soft's first teacher."""

    pool: Pool
    train: Clips
    test: Clips
    device: str = "auto"
    steps: int = 0

    @cached_property
    def features(self) -> dict[str, Tensor]:
        """``float32 [N, D]`` of the clips of the pool, of the training and of the test videos."""
        teacher = fair_teacher(self.train, 0, self.device, self.steps)
        device = next(teacher.model.parameters()).device
        parts = {"pool": self.pool.clips, "train": self.train, "test": self.test}
        return {name: embed(teacher.model, part, seed=0, device=device) for name, part in parts.items()}

    def distances(self) -> pd.DataFrame:
        """Fréchet distances to as many training clips, of the pool, of test clips, and of other training clips; and how far,
        in the median, a clip is from its nearest training clip. Generated clips that repeat training clips are nearer than
        test clips are."""
        found = self.features
        count = min(len(found["pool"]), len(found["test"]), len(found["train"]) // 2)
        order = torch.randperm(len(found["train"]), generator=torch.Generator().manual_seed(0))
        one, other = found["train"][order[:count]], found["train"][order[-count:]]
        spread = {name: _spread(found[name], count) for name in ("pool", "test")}
        rows = [
            ("generated clips", frechet(spread["pool"], one), median(nearest(spread["pool"], one)[1].tolist())),
            ("test clips", frechet(spread["test"], one), median(nearest(spread["test"], one)[1].tolist())),
            ("other training clips", frechet(other, one), median(nearest(other, one)[1].tolist())),
        ]
        return pd.DataFrame(rows, columns=["clips", "Fréchet distance", "to the nearest training clip"])

    def beside_nearest(self, labels: Sequence[int]) -> tuple[np.ndarray, list[str]]:
        """The first generated clip of each class and, under it, its nearest training clip: ``uint8 [2 n, T, H, W, 3]``."""
        firsts = [int(self.pool.clips.of_class(label)[0]) for label in labels]
        places, _ = nearest(self.features["pool"][firsts], self.features["train"])
        shown, names = [], []
        for i, place in zip(firsts, places.tolist(), strict=True):
            shown += [self.pool.clips.frames([i])[0], self.train.frames([place])[0]]
            names += [self.pool.clips.name(i).split("/")[0], f"nearest: {self.train.name(place)}"]
        return np.stack(shown), names

    def students(self, own: Protocol, network: Network, fair: Sequence[str], seeds: Sequence[int]) -> dict[str, Report]:
        """By protocol, the paper's own first: students of the whole pool (the paper's 'full syn')."""
        everything = Full().distill(self.pool.clips)
        sets = dict.fromkeys(seeds, everything)
        reports = {own.name: evaluate_each(sets, self.test, own, network=network, device=self.device)}
        return reports | fair_students(sets, self.train, self.test, fair, steps=self.steps, device=self.device)

    def rows(self, reports: dict[str, Report]) -> list[dict]:
        """For `results.record`: the method is full data of the generated pool, and what the pool took is its cost."""
        took = self.pool.train_seconds + self.pool.sample_seconds
        facts = {"method": "full[generated]", "distill_seconds": took}
        return [row | facts for report in reports.values() for row in report.rows]


def _spread(features: Tensor, count: int) -> Tensor:
    """`count` of them, evenly spaced, so that every class has its share."""
    return features[torch.linspace(0, len(features) - 1, count).round().long()]
