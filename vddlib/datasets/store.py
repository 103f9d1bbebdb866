"""A store of square frames: decoded once, then read in every epoch.

It holds, video after video, the frames that any clip may need (`Geometry.stored`), and ``index.json`` says where; a video that
is listed at several paces is stored once. It is built in parallel, resumes where it stopped (probing, too), and its size is
printed before it is written. `ExactStore` keeps frames as they decode in one memory-mapped file; `jpeg_store` a fraction of
the bytes, where ``$VDD_STORE`` asks for it.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from vddlib.core import cache, files
from vddlib.core.errors import BrokenVideo, VddError
from vddlib.core.parallel import run_each
from vddlib.core.progress import say
from vddlib.datasets import video
from vddlib.datasets.catalog import Dataset
from vddlib.datasets.geometry import Geometry
from vddlib.datasets.video import crash_reason

BROKEN_SHARE = 0.01
DECODING = 1  # raise when decoded pixels change
PROBING, DECODING_ONE = 60.0, 1800.0  # seconds that one video may take before it counts as one that hangs


@dataclass(frozen=True)
class Row:
    """One video in the store: place of its first stored frame, frames and fps of the video; `broken`: why none is stored."""

    offset: int
    frames: int
    fps: float
    broken: str = ""


class Store:
    """Frames of a dataset under one geometry, and a `Row` per video; `kind` says how frames are kept."""

    kind: ClassVar[str]

    def __init__(self, folder: Path, geometry: Geometry):
        index = json.loads((folder / "index.json").read_text())
        self.folder, self.geometry, self.total = folder, geometry, index["total"]
        self.rows = {part: [Row(**row) for row in index[part]] for part in ("train", "test")}

    def clip(self, part: str, index: int, wanted: np.ndarray) -> np.ndarray:
        """``uint8 [T, size, size, 3]``: the frames ``wanted int64 [T]`` of video `index`."""
        row = self.rows[part][index]
        if self.geometry.sampling == "stride":
            return self.at(row.offset + wanted)
        return self.at(row.offset + np.searchsorted(self.geometry.stored(row.frames, row.fps), wanted))

    def at(self, places: np.ndarray) -> np.ndarray:
        """``uint8 [T, size, size, 3]``: the stored frames with these numbers, ``int64 [T]``."""
        raise NotImplementedError

    def __reduce__(self) -> tuple:
        """For other processes: the folder, not its gigabytes."""
        return type(self), (self.folder, self.geometry)


class ExactStore(Store):
    """Frames as they decode, ``uint8 [total, size, size, 3]``."""

    kind = "exact"

    def __init__(self, folder: Path, geometry: Geometry):
        super().__init__(folder, geometry)
        shape = (self.total, geometry.size, geometry.size, 3)
        self.pixels = np.memmap(folder / "frames.u8", np.uint8, "r", shape=shape)

    def at(self, places: np.ndarray) -> np.ndarray:
        """See `Store`."""
        return self.pixels[places]


def kind_of_store() -> str:
    """What ``$VDD_STORE`` asks for: 'exact' where it is not set, or 'jpeg'. Raises VddError for anything else."""
    kind = os.environ.get("VDD_STORE") or ExactStore.kind
    if kind not in (ExactStore.kind, "jpeg"):
        raise VddError(f"VDD_STORE={kind}: frames are kept 'exact' or as 'jpeg'")
    return kind


def open_store(dataset: Dataset, geometry: Geometry, workers: int | None = None) -> Store:
    """The store of `dataset` under `geometry`, of the kind that ``$VDD_STORE`` asks for, out of the cache or built now.

    Raises VddError where over 1% of the videos are broken or the disk is too small.
    """
    key = {
        "dataset": dataset.fingerprint,
        "geometry": geometry.model_dump(),
        "decoding": DECODING,  # and not the code of vddlib.datasets.video, which encodes, too
        "code": cache.code_digest("vddlib.datasets.store", "vddlib.datasets.geometry"),
    }
    if kind_of_store() == ExactStore.kind:
        return ExactStore(cache.get("store", key, lambda folder: _build(folder, dataset, geometry, workers)), geometry)
    from vddlib.datasets import jpeg_store

    key |= {"kind": jpeg_store.JpegStore.kind, "jpeg": cache.code_digest("vddlib.datasets.jpeg_store")}
    folder = cache.get("store", key, lambda folder: jpeg_store.build(folder, dataset, geometry, workers))
    return jpeg_store.JpegStore(folder, geometry)


def _probe(path: Path) -> tuple[int, float, str]:
    try:
        found = video.probe(path)
        return found.frames, found.fps, ""
    except BrokenVideo as error:
        return 0, 0.0, str(error)


def probe_all(dataset: Dataset, workers: int | None = None, journal: Path | None = None) -> dict[Path, tuple]:
    """By path: (frames, fps, why it is broken or '') of every video of the dataset.

    With a `journal` (a file) what is known is noted there, a line per video, and an interrupted probing goes on after it.
    """
    paths = sorted({entry.path for entry in (*dataset.train, *dataset.test)})
    known = {Path(path): tuple(found) for path, *found in read_journal(journal)} if journal else {}
    what = f"{dataset.name}: probing videos"
    each = run_each(
        [path for path in paths if path not in known], _probe, what, workers,
        limit=PROBING, crashed=lambda path, why: (0, 0.0, crash_reason(path, why)),
    )  # fmt: skip
    with journal.open("a", encoding="utf-8") if journal else nullcontext() as file:
        for path, found in each:
            known[path] = found
            if file:
                file.write(json.dumps([str(path), *found]) + "\n")
                file.flush()
    return known


def read_journal(path: Path) -> list:
    """The whole lines of a file of JSON lines; what a killed process left of a last one is cut off."""
    if not path.is_file():
        return []
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        os.truncate(path, len(whole))
    return [json.loads(line) for line in whole.splitlines()]


def planned(folder: Path, dataset: Dataset, geometry: Geometry, workers: int | None) -> tuple[Path, dict]:
    """(file, layout) of a store that is being built in `folder`; see `layout_of`."""
    layout, journal = folder / "layout.json", folder / "probed.jsonl"
    if not layout.is_file():
        files.write_json(layout, layout_of(dataset, geometry, workers, journal))
        journal.unlink(missing_ok=True)
    return layout, json.loads(layout.read_text())


def check_room(folder: Path, dataset: Dataset, geometry: Geometry, needed: int, about: str = "") -> None:
    """Say how many bytes a store takes; raise VddError where the disk has not as many."""
    free = shutil.disk_usage(folder).free
    size = f"{geometry.size}x{geometry.size}"
    say(f"{dataset.name}: the store of {size} frames takes {about}{needed / 1e9:.2f} GB in {folder}")
    smaller = ", keep frames as JPEGs (VDD_STORE=jpeg)" if kind_of_store() == ExactStore.kind else ""
    if needed > free:
        raise VddError(
            f"{folder}: the frame store needs {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; make room, point "
            f"VDD_CACHE at a larger disk{smaller}, or open the clips with store=False"
        )


def _build(folder: Path, dataset: Dataset, geometry: Geometry, workers: int | None) -> None:
    layout, index = planned(folder, dataset, geometry, workers)
    shape = (index["total"], geometry.size, geometry.size, 3)
    needed, pixels = int(np.prod(shape)), folder / "frames.u8"
    if not pixels.is_file():
        check_room(folder, dataset, geometry, needed)
    with pixels.open("ab") as file:
        if needed and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, needed)  # a sparse map on a full disk would die of SIGBUS instead
        file.truncate(needed)
    listed = listed_once(dataset)
    flags = folder / "done.u8"
    if not flags.is_file():
        flags.write_bytes(bytes(len(listed)))
    done = np.memmap(flags, np.uint8, "r+")
    jobs = [(*one, geometry, pixels, shape) for one in whole(dataset, index) if not done[one[0]]]
    what = f"{dataset.name}: decoding videos"
    for (number, path, *_rest), reason in run_each(
        jobs, _fill, what, workers, limit=DECODING_ONE, crashed=lambda job, why: crash_reason(job[1], why)
    ):
        if reason:
            for part, i in listed[path]:
                index[part][i]["broken"] = reason
            files.write_json(layout, index)
        done[number] = 1
        done.flush()
    try:
        refuse_many_broken(dataset, index)
    except VddError:
        layout.unlink()  # the videos may be replaced: probe them again next time
        flags.unlink()
        raise
    files.write_json(folder / "index.json", index)


def listed_once(dataset: Dataset) -> dict[Path, list[tuple[str, int]]]:
    """By path, in the order of the lists: (part, place) of every entry that is cut from this video."""
    found: dict[Path, list[tuple[str, int]]] = {}
    for part in ("train", "test"):
        for i, entry in enumerate(getattr(dataset, part)):
            found.setdefault(entry.path, []).append((part, i))
    return found


def whole(dataset: Dataset, index: dict) -> Iterator[tuple[int, Path, Row]]:
    """(place among those listed once, path, row) of every video of a layout that is not broken."""
    for number, (path, [(part, i), *_same]) in enumerate(listed_once(dataset).items()):
        row = Row(**index[part][i])
        if not row.broken:
            yield number, path, row


def refuse_many_broken(dataset: Dataset, index: dict) -> None:
    """Print why videos of a layout are broken; raise VddError where more than 1 % of them are."""
    rows = index["train"] + index["test"]
    broken = [row["broken"] for row in rows if row["broken"]]
    for reason in dict.fromkeys(broken):  # once for a video at several paces
        say(f"skipped: {reason}")
    if len(broken) > BROKEN_SHARE * len(rows):
        raise VddError(
            f"{dataset.name}: {len(broken)} of {len(rows)} videos are broken or too short, over 1%; first: {broken[0]}"
        )


def layout_of(dataset: Dataset, geometry: Geometry, workers: int | None, journal: Path | None = None) -> dict:
    """The result of probing: a `Row`, as a dict, per train and test video, and the total number of frames to store.

    Raises VddError where labels tell the pace and the geometry has no stride.
    """
    pace = dataset.longest_pace
    if pace > 1 and geometry.sampling != "stride":
        raise VddError(
            f"{dataset.name}: its classes differ in stride, and sampling {geometry.sampling!r} has none; choose 'stride'"
        )
    needed, probed = geometry.shortest(pace), probe_all(dataset, workers, journal)
    index: dict = {"train": [None] * len(dataset.train), "test": [None] * len(dataset.test), "total": 0}
    for path, places in listed_once(dataset).items():
        frames, fps, broken = probed[path]
        if not broken and frames < needed:
            at = f" at {pace} times stride {geometry.stride}" if pace > 1 else ""
            broken = f"{path}: has {frames} frames, a clip needs {needed}{at}"
        row = {"offset": index["total"], "frames": frames, "fps": fps, "broken": broken}
        for part, i in places:
            index[part][i] = dict(row)
        if not broken:
            index["total"] += len(geometry.stored(frames, fps))
    return index


def _fill(job) -> str:
    """Decode one video into its place in the store; returns why that failed, or ''."""
    _number, path, row, geometry, pixels, shape = job
    target = np.memmap(pixels, np.uint8, "r+", shape=shape)
    try:
        for place, frame in enumerate(squares(path, row, geometry), row.offset):
            target[place] = frame
    except BrokenVideo as error:
        return str(error)
    return ""


def squares(path: Path, row: Row, geometry: Geometry) -> Iterator[np.ndarray]:
    """The frames of a video that a store keeps, in order, each ``uint8 [size, size, 3]``. Raises BrokenVideo."""
    wanted = geometry.stored(row.frames, row.fps)
    keep = set(wanted.tolist())
    for number, frame in enumerate(video.stream(path)):
        if number in keep:
            yield geometry.square(frame[None])[0]
        if number == wanted[-1]:
            return
