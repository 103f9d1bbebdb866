"""Readers of the layouts that video datasets have on disk; each gives classes and labelled entries, no pixels."""

import csv
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vddlib.core.errors import VddError
from vddlib.datasets.folders import first_folder, folders_with_videos, videos_in
from vddlib.datasets.split_lists import class_names, listed_video, read_lines


@dataclass(frozen=True)
class Entry:
    """One labelled video: its path, its class index, and its name (``CLASS/stem``, the same on every machine).

    `pace`: how many times the geometry's stride its clips take. `video`: the name without the pace, where one video has
    entries at several.
    """

    path: Path
    label: int
    name: str
    pace: int = 1
    video: str = ""

    @property
    def source(self) -> str:
        """The source video that it was cut from (see `source_of`), the same at every pace."""
        return source_of(self.video or self.name)


@dataclass(frozen=True)
class Listing:
    """What a layout holds: class names, train and test entries, and the names of listed videos that do not exist."""

    classes: tuple[str, ...]
    train: tuple[Entry, ...]
    test: tuple[Entry, ...]
    absent: tuple[str, ...] = ()


# Visible part, camera motion, number of people, viewpoint, quality, number of the clip: ..._u_nm_np1_ba_goo_0
HMDB_TAIL = re.compile(r"_[hulf]_[nc]m_np\d+_(fr|ba|le|ri)_(bad|med|goo)_\d+$")


def source_of(name: str) -> str:
    """The source video that a clip was cut from, if its name (``CLASS/stem``, or a stem) tells it; else the name itself.

    UCF101's names tell it up to ``_gNN_``; HMDB51's ``SOURCE_CLASS_PROPERTIES_NUMBER`` is cut before the properties. The
    class stays part of it, so that two classes never share a source.
    """
    if tail := HMDB_TAIL.search(name):
        return name[: tail.start()]
    group = re.search(r"^.*_g\d+(?=_)", name)
    return group.group() if group else name


# --- UCF101 and everything laid out like it -------------------------------------------------------------------------

UCF_VIDEOS = ("UCF-101", "videos", ".")
UCF_LISTS = ("ucfTrainTestlist", "UCF101TrainTestSplits-RecognitionTask/ucfTrainTestlist", ".")


def ucf(root: Path, *, classes: tuple[str, ...] | None = None, split: int = 1, lists: Path | None = None) -> Listing:
    """Class folders of videos, ``trainlist01.txt``, ``testlist01.txt``, and ``classInd.txt``: the classes in their order.

    These lists lie in the folder `lists`, by default one of the usual places under `root`.

    Without ``classInd.txt`` the classes are the folders that hold videos, sorted by name. The lists name files with their
    original extension; files are found by stem, since many copies are re-encoded. `classes` restricts to those classes, in
    that order. Raises VddError where a list is missing or malformed.
    """
    places = [lists] if lists else [root / folder for folder in UCF_LISTS]
    lists = next((place for place in places if (place / f"trainlist{split:02d}.txt").is_file()), None)
    if lists is None:
        raise VddError(f"{root}: no trainlist{split:02d}.txt, neither there nor in ucfTrainTestlist/")
    index = lists / "classInd.txt"
    listed = class_names(index) if index.is_file() else _ucf_folders(root)
    told = f"{index.name} does not list" if index.is_file() else f"{root} has no folder with videos for"
    chosen = classes or tuple(listed)
    if unknown := [name for name in chosen if name not in listed]:
        raise VddError(f"{lists}: {told} the class {unknown[0]}")
    label_of = {name: label for label, name in enumerate(chosen)}
    videos = first_folder(root, tuple(f for f in UCF_VIDEOS if any((root / f / name).is_dir() for name in chosen)))
    videos = videos or root
    files = {name: videos_in(videos / name) for name in chosen}
    absent: list[str] = []

    def entries(path: Path) -> tuple[Entry, ...]:
        found = []
        for number, line in enumerate(read_lines(path), 1):
            name, names = listed_video(line, listed)
            if not names:
                raise VddError(f"{path}, line {number}: expected CLASS/VIDEO, found {line[:60]!r}")
            if name not in listed:
                raise VddError(f"{path}, line {number}: {told} the class {name!r}")
            if name in label_of:
                stems = (stem for file in names for stem in (Path(file).stem, file))
                stem = next((stem for stem in stems if stem in files[name]), None)
                if stem is not None:
                    found.append(Entry(files[name][stem], label_of[name], f"{name}/{stem}"))
                else:
                    absent.append(f"{name}/{names[0]}")
        return tuple(found)

    train, test = (entries(lists / f"{part}list{split:02d}.txt") for part in ("train", "test"))
    return Listing(chosen, train, test, tuple(absent))


def _ucf_folders(root: Path) -> list[str]:
    """Names of the class folders that hold videos, in the first place that has any."""
    for place in UCF_VIDEOS:
        if names := folders_with_videos(root / place):
            return names
    return []


def class_folders(root: Path, *, seed: int = 0, test_share: float = 0.3) -> Listing:
    """Class folders without lists: a split drawn from `seed`, about `test_share` of each class for test.

    Clips cut from one source video (see `source_of`) stay on one side. Raises VddError where a class has no video.
    """
    base = root / "videos" if (root / "videos").is_dir() else root
    names = tuple(folders_with_videos(base))
    if len(names) < 2:
        raise VddError(f"{root}: not a dataset: no split lists and fewer than two class folders holding videos")
    train, test = [], []
    for label, name in enumerate(names):
        groups: dict[str, list[Entry]] = {}
        for stem, path in videos_in(base / name).items():
            entry = Entry(path, label, f"{name}/{stem}")
            groups.setdefault(source_of(entry.name), []).append(entry)
        keys = sorted(groups)
        order = np.random.default_rng([seed, label]).permutation(len(keys))
        held = round(len(keys) * test_share) if len(keys) > 1 else 0  # a class with one source is all for training
        held = min(max(held, 1), len(keys) - 1) if len(keys) > 1 else 0
        for rank, index in enumerate(order):
            (test if rank < held else train).extend(groups[keys[index]])
    return Listing(names, tuple(train), tuple(test))


# --- HMDB51 ---------------------------------------------------------------------------------------------------------

HMDB_VIDEOS = ("hmdb51_org", "videos", "hmdb51", ".")
HMDB_LISTS = ("testTrainMulti_7030_splits", "test_train_splits/testTrainMulti_7030_splits", "splits", ".")


def hmdb(root: Path, *, split: int = 1, leftovers_in_train: bool = False) -> Listing:
    """Class folders, and ``CLASS_test_split1.txt`` files whose lines end in 1 (train), 2 (test) or 0 (unused).

    `leftovers_in_train` puts the unused clips into train, as the CSV that the field uses does (5236/1530); many of them
    were cut from the same source videos as test clips. Raises VddError where a list is missing or malformed.
    """
    pattern = f"*_test_split{split}.txt"
    lists = next((root / f for f in HMDB_LISTS if any((root / f).glob(pattern))), None)
    if lists is None:
        raise VddError(f"{root}: no CLASS_test_split{split}.txt, neither there nor in testTrainMulti_7030_splits/")
    paths = sorted(lists.glob(pattern))
    classes = tuple(path.name.removesuffix(pattern[1:]) for path in paths)
    videos = first_folder(root, tuple(f for f in HMDB_VIDEOS if any((root / f / c).is_dir() for c in classes))) or root
    parts: dict[str, list[Entry]] = {"0": [], "1": [], "2": []}
    absent = []
    for label, (name, path) in enumerate(zip(classes, paths, strict=True)):
        files = videos_in(videos / name)
        for number, line in enumerate(read_lines(path), 1):
            file, _, part = line.rpartition(" ")
            if part not in parts:
                raise VddError(f"{path}, line {number}: expected 'VIDEO 0|1|2', found {line[:60]!r}")
            stem = Path(file.strip()).stem
            if stem in files:
                parts[part].append(Entry(files[stem], label, f"{name}/{stem}"))
            else:
                absent.append(f"{name}/{file.strip()}")
    train = parts["1"] + (parts["0"] if leftovers_in_train else [])
    return Listing(classes, tuple(sorted(train, key=lambda e: e.name)), tuple(parts["2"]), tuple(absent))


# --- Kinetics-400 ---------------------------------------------------------------------------------------------------


def kinetics(root: Path) -> Listing:
    """``train.csv`` and ``val.csv`` (label, youtube_id, time_start, time_end) beside ``train/`` and ``val/``.

    Videos are ``ID_SSSSSS_EEEEEE.mp4``, in class folders (spaces or underscores) or in one folder. Many copies lack videos
    that are no longer online: those are `absent`. Raises VddError where a csv is missing or malformed.
    """
    tables = {part: _kinetics_rows(root, part) for part in ("train", "val")}
    classes = tuple(sorted({label for label, _, _ in tables["train"]}))
    label_of = {name: label for label, name in enumerate(classes)}
    absent: list[str] = []

    def entries(part: str) -> tuple[Entry, ...]:
        folder, found = root / part, []
        files = dict(videos_in(folder))
        for name in classes:
            for spelling in {name, name.replace(" ", "_")}:  # copies name their folders either way
                files.update(videos_in(folder / spelling))
        for label, youtube_id, stem in tables[part]:
            path = files.get(stem) or files.get(youtube_id)
            if path is not None and label in label_of:
                found.append(Entry(path, label_of[label], f"{label}/{stem}"))
            else:
                absent.append(f"{part}/{label}/{stem}.mp4")
        return tuple(found)

    return Listing(classes, entries("train"), entries("val"), tuple(absent))


def _kinetics_rows(root: Path, part: str) -> list[tuple[str, str, str]]:
    """(label, youtube_id, stem of the video file) of every row."""
    places = [root / f"{part}.csv", root / "annotations" / f"{part}.csv"]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise VddError(f"{root}: no {part}.csv, neither there nor in annotations/")
    rows = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            for row in reader:
                for column in ("label", "youtube_id", "time_start", "time_end"):
                    if column not in row:
                        raise VddError(f"{path}: has no column {column!r} (columns: {', '.join(map(str, row))})")
                    if not row[column]:
                        raise VddError(f"{path}, line {reader.line_num}: has no {column}")
                begin, end = (_seconds(row[column], path, reader.line_num) for column in ("time_start", "time_end"))
                rows.append((row["label"], row["youtube_id"], f"{row['youtube_id']}_{begin:06d}_{end:06d}"))
    except (UnicodeDecodeError, csv.Error):
        raise VddError(f"{path}: not a csv in UTF-8; get it again") from None
    return rows


def _seconds(text: str, path: Path, line: int) -> int:
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        raise VddError(f"{path}, line {line}: expected a time in seconds, found {text[:60]!r}") from None


# --- Something-Something V2 -----------------------------------------------------------------------------------------

SSV2_VIDEOS = ("20bn-something-something-v2", "videos", ".")


def ssv2(root: Path) -> Listing:
    """``labels.json``, ``train.json``, ``validation.json`` (in the root or ``labels/``) beside ``ID.webm`` files.

    A clip's class is its template without the brackets. Raises VddError where a file is missing or malformed.
    """
    path, labels = _ssv2_json(root, "labels", dict)
    try:
        label_of = {name: int(index) for name, index in labels.items()}
    except (TypeError, ValueError):
        raise VddError(f"{path}: expected a number for each template") from None
    classes = tuple(sorted(label_of, key=label_of.__getitem__))
    folder = first_folder(root, tuple(f for f in SSV2_VIDEOS if videos_in(root / f))) or root
    files, absent = videos_in(folder), []

    def entries(part: str) -> tuple[Entry, ...]:
        found = []
        path, items = _ssv2_json(root, part, list)
        for number, item in enumerate(items, 1):
            for key in ("id", "template"):
                if not isinstance(item, dict) or not isinstance(item.get(key), str):
                    raise VddError(f"{path}, item {number}: needs a text {key!r}")
            name = item["template"].replace("[", "").replace("]", "")
            if name not in label_of:
                raise VddError(f"{path}, item {number}: labels.json does not list the template {name!r}")
            if item["id"] in files:
                found.append(Entry(files[item["id"]], label_of[name], item["id"]))
            else:
                absent.append(f"{item['id']}.webm")
        return tuple(found)

    train, test = entries("train"), entries("validation")
    return Listing(classes, train, test, tuple(absent))


def _ssv2_json(root: Path, part: str, kind: type[dict] | type[list]):
    """(path, content) of one of the annotation files; the content is of the type `kind`."""
    names = [f"{part}.json", f"labels/{part}.json", f"something-something-v2-{part}.json"]
    path = next((root / name for name in names if (root / name).is_file()), None)
    if path is None:
        raise VddError(f"{root}: no {part}.json, neither there nor in labels/")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise VddError(f"{path}: not JSON ({error})") from None
    if not isinstance(value, kind):
        raise VddError(f"{path}: expected a {kind.__name__}, found a {type(value).__name__}")
    return path, value
