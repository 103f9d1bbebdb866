"""Long videos in the public layout: read as they lie, and refused in one line where they cannot be right."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import SHARED
from vddlib.core.errors import VddError
from vddlib.datasets.segmentation import RATES, read


@pytest.fixture
def salads(tmp_path):
    """Four videos of three actions, in two folds."""
    root = tmp_path / "50salads"
    for folder in ("features", "groundTruth", "splits"):
        (root / folder).mkdir(parents=True)
    (root / "mapping.txt").write_text("0 cut_tomato\n1 mix\n2 serve\n")
    rng = np.random.default_rng(0)
    for number in range(4):
        actions = ["cut_tomato"] * 5 + ["mix"] * (4 + number) + ["serve"] * 3
        (root / "groundTruth" / f"rgb-0{number}.txt").write_text("\n".join(actions) + "\n")
        np.save(root / "features" / f"rgb-0{number}.npy", rng.normal(size=(6, len(actions))).astype(np.float32))
    for fold, tested in ((1, 0), (2, 1)):
        names = [f"rgb-0{number}.txt" for number in range(4)]
        (root / "splits" / f"test.split{fold}.bundle").write_text(names[tested] + "\n")
        (root / "splits" / f"train.split{fold}.bundle").write_text("\n".join(n for n in names if n != names[tested]))
    return root


def test_videos_are_read_at_the_datasets_rate(salads, monkeypatch):
    monkeypatch.setenv("VDD_DATA", str(salads.parent))
    data = read("50salads")
    assert (data.classes, data.folds, data.rate) == (("cut_tomato", "mix", "serve"), 2, RATES["50salads"])
    assert data.names(1, "test") == ["rgb-00"] and data.names(2, "train") == ["rgb-00", "rgb-02", "rgb-03"]
    (video,) = data.load(["rgb-01"])
    whole = np.load(salads / "features" / "rgb-01.npy")
    assert np.array_equal(video.features, whole[:, ::2]) and video.labels.tolist() == [0, 0, 0, 1, 1, 2, 2]
    every = read("50salads", rate=1).load(["rgb-01"])[0]
    assert np.array_equal(every.features, whole) and every.features.dtype == np.float32
    assert read(str(salads)).rate == 1  # of a folder nothing is known
    assert data.fingerprint != read("50salads", rate=1).fingerprint


def test_a_few_frames_more_or_fewer_do_not_matter(salads):
    long = np.zeros((6, 13), np.float32)  # 12 actions: extraction often gives a frame more
    np.save(salads / "features" / "rgb-00.npy", long)
    assert read(str(salads)).load(["rgb-00"])[0].features.shape == (6, 12)


def broken(salads, what):
    """The dataset with one thing wrong."""
    feature, truth = salads / "features" / "rgb-00.npy", salads / "groundTruth" / "rgb-00.txt"
    return {
        "absent features": feature.unlink,
        "absent truth": truth.unlink,
        "length": lambda: np.save(feature, np.zeros((6, 30), np.float32)),
        "type": lambda: np.save(feature, np.zeros((6, 12), int)),
        "shape": lambda: np.save(feature, np.zeros(12, np.float32)),
        "finite": lambda: np.save(feature, np.full((6, 12), np.nan, np.float32)),
        "pickle": lambda: np.save(feature, np.array([{}], object), allow_pickle=True),
        "half": lambda: feature.write_bytes(feature.read_bytes()[:50]),
        "action": lambda: truth.write_text("cut_tomato\nfly\n"),
        "empty": lambda: truth.write_text(""),
        "mapping": lambda: (salads / "mapping.txt").write_text("0 a\n2 b\n"),
        "no mapping": (salads / "mapping.txt").unlink,
        "twice": lambda: (salads / "splits" / "test.split1.bundle").write_text("rgb-00.txt\nrgb-00.txt\n"),
        "no list": (salads / "splits" / "test.split1.bundle").unlink,
    }[what]()


@pytest.mark.parametrize(
    "what, why",
    [
        ("absent features", r"no features .*rgb-00\.npy; get data\.zip"), ("absent truth", "no annotation"),
        ("length", "30 features of 12 annotated frames"), ("type", "finite float"), ("shape", "finite float"),
        ("finite", "finite float"), ("pickle", "cannot be read as an array"), ("half", "cannot be read as an array"),
        ("action", "'fly' is not in mapping"), ("empty", "holds no action"), ("mapping", "0, 1, 2"),
        ("no mapping", r"no mapping\.txt"), ("twice", "names a video twice"), ("no list", "no test list of fold 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_named(salads, what, why):
    broken(salads, what)
    with pytest.raises(VddError, match=why):
        data = read(str(salads))
        data.load(data.names(1, "test"))


def test_names_that_nobody_knows(monkeypatch):
    with pytest.raises(VddError, match="VDD_DATA is not set"):
        read("gtea")
    with pytest.raises(VddError, match="unknown dataset of long videos 'salad'"):
        read("salad")


def test_the_real_annotations_of_50salads(monkeypatch):
    root = next((Path(base) for base in (os.environ.get("VDD_TEST_DATA"), SHARED / "data") if base), None)
    root = root and root / "50salads-annotations"
    if root is None or not root.is_dir():
        pytest.skip("50Salads' annotations are not here (set VDD_TEST_DATA or put them in ../shared/data)")
    data = read(str(root))
    assert (len(data.classes), data.folds) == (19, 5)
    names = [set(data.names(fold, "test")) for fold in range(1, 6)]
    assert [len(one) for one in names] == [10] * 5 and len(set.union(*names)) == 50
    assert sum(len(data.labels(name)) for name in sorted(set.union(*names))) == 577_595
    with pytest.raises(VddError, match="no features"):
        data.load(sorted(names[0])[:1])
