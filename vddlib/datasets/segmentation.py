"""Long videos of several actions, as features: the layout in which 50Salads, GTEA and Breakfast are passed on (MS-TCN's).

ROOT/features/NAME.npy            float32 [D, T] (I3D: D = 2048)
ROOT/groundTruth/NAME.txt         the action of every frame, a line each
ROOT/mapping.txt                  number and name of every action
ROOT/splits/train.split1.bundle   names of videos, one line each; test.split1.bundle, ...
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vddlib.core.errors import VddError, unknown
from vddlib.core.files import digest

# Frames per feature that is used: 50Salads is annotated at 30 frames a second and measured at 15 (MS-TCN's code).
RATES = {"50salads": 2, "gtea": 1, "breakfast": 1}
GET = (
    "get data.zip of MS-TCN (https://zenodo.org/records/3625992) and unpack it, so that {name}/ with features/, groundTruth/, "
    "splits/ and mapping.txt lies in $VDD_DATA"
)
SLACK = 0.02  # share of a video by which features and annotation may differ in length: the shorter counts


class Segment(NamedTuple):
    """A stretch of frames with one label: from `start` up to, and not with, `end`."""

    label: int
    start: int
    end: int


def segments(labels: Sequence[int] | np.ndarray) -> list[Segment]:
    """The stretches of equal labels in ``int64 [T]``, in order."""
    labels = np.asarray(labels)
    if labels.ndim != 1 or not len(labels):
        raise VddError(f"labels of a video are int64 [T], at least one, not {list(labels.shape)}")
    starts = np.flatnonzero(np.diff(labels, prepend=labels[0] - 1))
    return [Segment(int(labels[a]), int(a), int(b)) for a, b in zip(starts, [*starts[1:], len(labels)], strict=True)]


@dataclass(frozen=True)
class LongVideo:
    """One video: ``features float32 [D, T]`` and ``labels int64 [T]``."""

    name: str
    features: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Segmentation:
    """A dataset of long videos in that layout; `rate`: every so many frames are used."""

    name: str
    root: Path
    classes: tuple[str, ...]
    rate: int = 1

    @cached_property
    def folds(self) -> int:
        """How many pairs of a training and a test list there are."""
        numbers = range(1, 1000)
        return next(k - 1 for k in numbers if not (self.root / "splits" / f"train.split{k}.bundle").is_file())

    def names(self, fold: int, part: str) -> list[str]:
        """Videos of one fold (from 1 on), of part 'train' or 'test'. Raises VddError where there is no such list."""
        path = self.root / "splits" / f"{part}.split{fold}.bundle"
        if part not in ("train", "test") or not path.is_file():
            raise VddError(f"{self.name}: no {part} list of fold {fold}; there are {self.folds} folds")
        names = [Path(line.strip()).stem for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        if not names or len(set(names)) < len(names):
            raise VddError(f"{path}: {'names a video twice' if names else 'names no video'}")
        return names

    def load(self, names: Sequence[str]) -> list[LongVideo]:
        """These videos. Raises VddError where a file is missing or broken, or features and annotation do not fit."""
        return [self._video(name) for name in names]

    def labels(self, name: str) -> np.ndarray:
        """``int64 [frames]``: the action of every frame, at the annotation's own rate."""
        path = self.root / "groundTruth" / f"{name}.txt"
        if not path.is_file():
            raise VddError(f"{self.name}: no annotation {path}")
        numbers = {action: number for number, action in enumerate(self.classes)}
        lines = path.read_text(encoding="utf-8").split()
        strange = next((action for action in lines if action not in numbers), None)
        if strange or not lines:
            raise VddError(f"{path}: {f'{strange!r} is not in mapping.txt' if strange else 'holds no action'}")
        return np.array([numbers[action] for action in lines], np.int64)

    def _video(self, name: str) -> LongVideo:
        path, labels = self.root / "features" / f"{name}.npy", self.labels(name)
        if not path.is_file():
            raise VddError(f"{self.name}: no features {path}; {GET.format(name=self.name)}")
        try:
            features = np.load(path, allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise VddError(f"{path}: cannot be read as an array ({error})") from None
        if features.ndim != 2 or not np.issubdtype(features.dtype, np.floating) or not np.isfinite(features).all():
            raise VddError(f"{path}: features are finite float [D, T], not {features.dtype} {list(features.shape)}")
        length = min(features.shape[1], len(labels))
        if max(features.shape[1], len(labels)) - length > SLACK * length + self.rate:
            raise VddError(f"{path}: {features.shape[1]} features of {len(labels)} annotated frames")
        used = slice(0, length, self.rate)
        return LongVideo(name, features[:, used].astype(np.float32), labels[used])

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over classes, rate, lists, and name and size of every file."""
        files = sorted(
            path for folder in ("features", "groundTruth", "splits") for path in (self.root / folder).glob("*")
        )
        lists = [path.read_text(encoding="utf-8") for path in files if path.suffix == ".bundle"]
        return digest([self.classes, self.rate, lists, [(path.name, path.stat().st_size) for path in files]])


def read(name: str, rate: int | None = None) -> Segmentation:
    """50salads, gtea or breakfast under $VDD_DATA, or the path of a folder in that layout.

    `rate`: every so many frames are used; by default the dataset's own, 1 for a folder. Raises VddError where it is not there.
    """
    if os.sep in name or name in (".", "..") or Path(name).is_dir():
        root, called, own = Path(name), Path(name).name, 1
    elif name in RATES:
        base = os.environ.get("VDD_DATA")
        if not base:
            raise VddError(f"{name}: VDD_DATA is not set; {GET.format(name=name)}")
        root, called, own = Path(base) / name, name, RATES[name]
    else:
        raise unknown("dataset of long videos", name, RATES)
    listed = root / "mapping.txt"
    if not listed.is_file():
        raise VddError(f"{root}: no mapping.txt; {GET.format(name=name)}")
    return Segmentation(called, root, _classes(listed), rate or own)


def _classes(listed: Path) -> tuple[str, ...]:
    """Names by number. Raises VddError where the numbers are not 0, 1, 2, ... once each."""
    rows = [line.split(maxsplit=1) for line in listed.read_text(encoding="utf-8").splitlines() if line.strip()]
    named = {int(row[0]): row[1].strip() for row in rows if len(row) == 2 and row[0].isdigit()}
    if len(named) < len(rows) or sorted(named) != list(range(len(rows))) or len(set(named.values())) < len(rows):
        raise VddError(f"{listed}: lines are a number and a name, the numbers 0, 1, 2, ... once each")
    return tuple(named[number] for number in range(len(rows)))
