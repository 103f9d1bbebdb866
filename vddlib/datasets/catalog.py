"""What each dataset is: classes, splits, clip geometry, its folder under ``$VDD_DATA``, and how to get it."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vddlib.core.errors import VddError, unknown
from vddlib.datasets import layouts, subsets
from vddlib.datasets.geometry import HEAVY, LIGHT, MINI, Geometry
from vddlib.datasets.layouts import Entry, Listing
from vddlib.datasets.subsets import MINIUCF, UCF10

UNSTATED = "its distributor states no licence; the videos belong to those who made them"


@dataclass(frozen=True)
class Spec:
    """One catalogue entry.

    `counts` are the published (train, test) numbers of videos; `folders` are tried in turn under ``$VDD_DATA``; `get`
    tells how to get it; `mirrors`: whether a clip flipped left to right keeps its label. `absent_allowed`: whether listed
    videos may be missing; `own_lists`: whether the package brings the split lists. `licence`: what its distributor says of use
    and passing on.
    """

    name: str
    about: str
    read: Callable[[Path], Listing]
    folders: tuple[str, ...]
    num_classes: int
    counts: tuple[int, int]
    clip: Geometry
    get: str
    notes: str = ""
    absent_allowed: bool = False
    own_lists: bool = False
    mirrors: bool = True
    licence: str = UNSTATED


_UCF = ("ucf101", "UCF101", "ucf", ".")
_GET_UCF = (
    "download UCF101.rar and UCF101TrainTestSplits-RecognitionTask.zip from https://www.crcv.ucf.edu/data/UCF101.php "
    "and unpack both into $VDD_DATA/ucf101 (UCF-101/ and ucfTrainTestlist/)"
)
_GET_HMDB = (
    "download hmdb51_org.rar and test_train_splits.rar from https://serre-lab.clps.brown.edu/resource/"
    "hmdb-a-large-human-motion-database/ and unpack into $VDD_DATA/hmdb51 (hmdb51_org/CLASS/*.avi, "
    "testTrainMulti_7030_splits/)"
)
_LICENCE_HMDB = "CC BY 4.0; the films belong to those who made them"
_GET_K400 = (
    "get the videos with https://github.com/cvdfoundation/kinetics-dataset into $VDD_DATA/kinetics400 "
    "(train/, val/, train.csv, val.csv)"
)
_GET_SSV2 = (
    "fill the form at https://www.qualcomm.com/developer/software/something-something-v-2-dataset and unpack into "
    "$VDD_DATA/ssv2 (20bn-something-something-v2/*.webm, labels.json, train.json, validation.json)"
)

CATALOG: dict[str, Spec] = {
    spec.name: spec
    for spec in (
        Spec(
            "motions",
            "embedded: rendered videos, half of the classes told apart by motion alone",
            lambda root: layouts.ucf(root),
            (),
            8,
            (320, 480),
            Geometry(frames=8, size=32, stride=4, resize=(32, 32)),
            "nothing to get: it is rendered at first use",
            licence="MIT, as this package that renders it",
        ),
        Spec(
            "miniucf10",
            "979 videos of ten of MiniUCF's classes, official split 1 (found in a full UCF101 too)",
            subsets.miniucf10,
            ("miniucf10", *_UCF),
            10,
            (701, 278),
            MINI,
            _GET_UCF,
            own_lists=True,
        ),
        Spec(
            "tempo",
            "miniucf10's videos, each at two strides: a slow and a fast class of each of its ten",
            subsets.tempo,
            ("miniucf10", *_UCF),
            20,
            (1402, 556),
            MINI.model_copy(update={"stride": 1}),
            _GET_UCF,
            notes="fast is 4 times the stride of slow; one frame says nothing about the pace",
            own_lists=True,
        ),
        Spec(
            "miniucf",
            "50 classes of UCF101, official split 1 restricted",
            lambda root: layouts.ucf(root, classes=MINIUCF),
            _UCF,
            50,
            (4662, 1861),
            LIGHT,
            _GET_UCF,
        ),
        Spec(
            "ucf101",
            "101 actions from the web, official split 1",
            lambda root: layouts.ucf(root),
            _UCF,
            101,
            (9537, 3783),
            LIGHT,
            _GET_UCF,
        ),
        Spec(
            "hmdb51",
            "51 actions from films, official split 1",
            lambda root: layouts.hmdb(root),
            ("hmdb51", "HMDB51", "hmdb", "."),
            51,
            (3570, 1530),
            LIGHT,
            _GET_HMDB,
            licence=_LICENCE_HMDB,
        ),
        Spec(
            "hmdb51-vdsd",
            "HMDB51 as the field's CSV has it: everything outside the test list is train",
            lambda root: layouts.hmdb(root, leftovers_in_train=True),
            ("hmdb51", "HMDB51", "hmdb", "."),
            51,
            (5236, 1530),
            LIGHT,
            _GET_HMDB,
            licence=_LICENCE_HMDB,
            notes="LEAKING: 42% of its test clips share class and source video with a train clip",
        ),
        Spec(
            "kinetics400",
            "400 human actions from YouTube",
            layouts.kinetics,
            ("kinetics400", "k400", "kinetics", "."),
            400,
            (234619, 19760),
            Geometry(frames=8, size=64, stride=8, resize=(64, 64), sampling="middle", sampled_fps=2.0),
            _GET_K400,
            licence="CC BY 4.0 for its annotations; the videos belong to those who uploaded them",
            absent_allowed=True,  # videos leave YouTube, so that no two copies of it are the same
        ),
        Spec(
            "ssv2",
            "174 hand-object interactions, Something-Something V2",
            layouts.ssv2,
            ("ssv2", "something-something-v2", "SSv2", "."),
            174,
            (168913, 24777),
            Geometry(frames=8, size=64, stride=8, resize=(64, 64), sampling="even"),
            _GET_SSV2,
            licence="the licence agreement that its form asks for: research use, no passing on",
            notes="left and right are labels here, so its clips are never flipped when drawn",
            mirrors=False,
        ),
        Spec(
            "ucf10",
            "ten body-motion classes of UCF101, official split 1 (found in a full UCF101 too)",
            lambda root: layouts.ucf(root, classes=UCF10),
            ("ucf10", *_UCF),
            10,
            (528, 212),
            HEAVY,
            _GET_UCF,
        ),
    )
}


@dataclass(frozen=True)
class Dataset:
    """Labelled videos on disk, split into train and test; no pixels are read yet."""

    name: str
    root: Path
    classes: tuple[str, ...]
    train: tuple[Entry, ...]
    test: tuple[Entry, ...]
    absent: tuple[str, ...] = ()
    spec: Spec | None = None

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over split, label, name, size in bytes and pace (unless it is 1) of every video."""
        # Sizes stand for contents: hashing all of Kinetics-400 would take hours before every run.
        state = hashlib.sha256()
        for part, entries in (("train", self.train), ("test", self.test)):
            for entry in entries:
                pace = "" if entry.pace == 1 else f"\t{entry.pace}"
                state.update(f"{part}\t{entry.label}\t{entry.name}\t{entry.path.stat().st_size}{pace}\n".encode())
        return state.hexdigest()

    @property
    def longest_pace(self) -> int:
        """The largest multiple of the stride at which any clip is taken: 1 where labels say nothing about the pace."""
        return max((entry.pace for entry in (*self.train, *self.test)), default=1)


def data_root() -> Path:
    """The folder ``$VDD_DATA``. Raises VddError where it is not set or not a folder."""
    value = os.environ.get("VDD_DATA", "")
    if not value:
        raise VddError(
            "VDD_DATA is not set: point it at the folder that holds your datasets, e.g. export VDD_DATA=~/data"
        )
    if not Path(value).expanduser().is_dir():
        raise VddError(f"VDD_DATA={value}: no such folder; point it at the folder that holds your datasets")
    return Path(value).expanduser()


def spec(name: str) -> Spec:
    """The catalogue entry `name`. Raises VddError, which suggests the closest name, where there is none."""
    if name in CATALOG:
        return CATALOG[name]
    raise unknown("dataset", name, CATALOG, ", or the path of a folder")


def read(name: str, *, absent_allowed: bool = False) -> Dataset:
    """The dataset `name` of the catalogue, or the folder at that path (UCF's layout, or class folders alone).

    Raises VddError where it is unknown or not found, or where its lists name videos that are absent (unless
    `absent_allowed`, as for `vdd check`, which reports them).
    """
    if name == "motions":
        return _dataset(CATALOG[name], _motions())
    if name not in CATALOG and (Path(name).expanduser().is_dir() or os.sep in name):
        return _folder(Path(name).expanduser(), absent_allowed)
    entry = spec(name)
    return _dataset(entry, locate(entry), absent_allowed)


def _motions() -> Path:
    from vddlib.core.provenance import project_root
    from vddlib.datasets import motions

    root = Path(os.environ.get("VDD_MOTIONS") or project_root() / "data" / "motions")
    return motions.write(root, replace=True)


def locate(entry: Spec) -> Path:
    """The folder under ``$VDD_DATA`` that holds the dataset. Raises VddError, with how to get it, where none does."""
    root = data_root()
    problems = []
    for name in entry.folders:
        if (root / name).is_dir():  # the folder may be another dataset's: only reading it tells
            try:
                listing = entry.read(root / name)
                if listing.train or listing.test:
                    return root / name
            except VddError as error:
                problems.append(str(error))
    why = f" ({problems[0]})" if problems else ""
    raise VddError(f"{entry.name}: not found under VDD_DATA={root}{why}; {entry.get}")


def found(entry: Spec) -> Path | None:
    """The same; None where it is not there."""
    try:
        return locate(entry)
    except VddError:
        return None


def _dataset(entry: Spec, root: Path, absent_allowed: bool = False) -> Dataset:
    listing = entry.read(root)
    if listing.absent and not (entry.absent_allowed or absent_allowed):
        remedy = "copy them there" + ("" if entry.own_lists else ", or remove them from the lists")
        raise VddError(
            f"{entry.name}: the split lists name {len(listing.absent)} videos that are not under {root}, first "
            f"{listing.absent[0]}; {remedy}"
        )
    return Dataset(entry.name, root, listing.classes, listing.train, listing.test, listing.absent, entry)


def _folder(path: Path, absent_allowed: bool = False) -> Dataset:
    if not path.is_dir():
        raise VddError(f"{path}: no such folder, and no dataset of that name")
    has_lists = any((path / f / f"{part}list01.txt").is_file() for f in layouts.UCF_LISTS for part in ("train", "test"))
    listing = layouts.ucf(path) if has_lists else layouts.class_folders(path)
    if listing.absent and not absent_allowed:
        raise VddError(
            f"{path}: the split lists name {len(listing.absent)} videos that are not there, first {listing.absent[0]}"
        )
    return Dataset(path.resolve().name, path, listing.classes, listing.train, listing.test, listing.absent)
