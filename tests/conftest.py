"""Shared fixtures: a made UCF-like dataset of tiny videos, and the real videos where VDD_DATA (or ../shared) has them."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from vddlib.datasets.video import encode

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
torch.set_num_threads(1)
# The same examples in every run, so that a failure is the change's; HYPOTHESIS_PROFILE=search draws others.
# No deadline: how long an example takes is the machine's, and a busy one took 300 ms for the first.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("search", derandomize=False, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(autouse=True)
def _own_environment(tmp_path_factory, monkeypatch):
    """Every test has its cache for itself and sees no dataset unless it asks for one."""
    monkeypatch.setenv("VDD_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("VDD_DATA", raising=False)
    monkeypatch.delenv("VDD_RUN", raising=False)


def in_process(items, work, what, workers=None, *, crashed, limit=0.0, alone=False):
    """In place of `run_each`: in this very process, where tests can see and change what is done to each item."""
    yield from ((item, work(item)) for item in items)


def moving_square(label: int, seed: int, frames: int = 24, width: int = 64, height: int = 48) -> np.ndarray:
    """``uint8 [T, H, W, 3]``: a square in the class's colour that crosses a noisy background."""
    rng = np.random.default_rng([seed, label])
    video = rng.integers(0, 60, (1, height, width, 1)).repeat(frames, 0).repeat(3, 3).astype(np.uint8)
    colour = np.eye(3)[label % 3] * 200 + 55
    x0, y0 = rng.integers(0, width - 16), rng.integers(0, height - 16)
    for t in range(frames):
        x = (x0 + 2 * t) % (width - 16)
        video[t, y0 : y0 + 16, x : x + 16] = colour
    return video


def write_ucf(root: Path, train: int = 6, test: int = 3, classes=("Red", "Green", "Blue"), suffix=".avi") -> Path:
    """A tree in UCF101's layout; the lists say `suffix`, the files are MP4."""
    lists = root / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_text("".join(f"{i + 1} {name}\n" for i, name in enumerate(classes)))
    lines = {"train": [], "test": []}
    for label, name in enumerate(classes):
        (root / "UCF-101" / name).mkdir(parents=True)
        for number in range(train + test):
            part, group = ("train", number + 8) if number < train else ("test", number - train + 1)
            stem = f"v_{name}_g{group:02d}_c01"
            frames = moving_square(label, number, 24 + 3 * number)
            encode(root / "UCF-101" / name / f"{stem}.mp4", frames, quality=10)
            lines[part].append(f"{name}/{stem}{suffix}" + (f" {label + 1}" if part == "train" else ""))
    for part, rows in lines.items():
        (lists / f"{part}list01.txt").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory) -> Path:
    """A made dataset of 3 classes, 6 train and 3 test videos each (24 to 48 frames of 64x48)."""
    return write_ucf(tmp_path_factory.mktemp("data") / "tiny")


@pytest.fixture(scope="session")
def tiny_store(tmp_path_factory) -> Path:
    """A cache in which `tiny` is decoded once for all tests of a process."""
    return tmp_path_factory.mktemp("tiny_store")


@pytest.fixture
def tiny(tiny_root, tiny_store, monkeypatch):
    """Its train and test clips at 8 frames of 32x32: new objects each time, over one store."""
    from vddlib.datasets.clips import load
    from vddlib.datasets.geometry import geometry

    with monkeypatch.context() as patch:
        patch.setenv("VDD_CACHE", str(tiny_store))
        return load(str(tiny_root), geometry(8, 32, 2), workers=1)


def real_folder(*names: str) -> Path:
    """The folder that holds the folder `names` of real videos; skips where there is none."""
    for base in (os.environ.get("VDD_TEST_DATA"), SHARED / "data"):
        if base and (Path(base) / Path(*names)).is_dir():
            return Path(base)
    pytest.skip(f"real videos are not here ({'/'.join(names)}; set VDD_TEST_DATA or put them in ../shared/data)")


def weights_with(name: str) -> Path:
    """The folder of networks of others that holds the file `name`; skips where there is none."""
    for base in (os.environ.get("VDD_WEIGHTS"), SHARED / "weights"):
        if base and (Path(base) / name).is_file():
            return Path(base)
    pytest.skip(f"{name} is not here (set VDD_WEIGHTS or put it into ../shared/weights)")


@pytest.fixture
def real_data(monkeypatch) -> Path:
    """VDD_DATA pointing at real UCF101 videos; skips where there are none."""
    root = real_folder("ucf10")
    monkeypatch.setenv("VDD_DATA", str(root))
    return root


@pytest.fixture
def real_avi() -> Path:
    """Folder of original XVID files; skips where there are none."""
    return real_folder("ucf101-avi") / "ucf101-avi"
