"""A memory-mapped uint8 store of square frames: decoded once, then read in every epoch.

One file ``frames.u8`` holds, video after video, the frames that any clip may need (`Geometry.stored`), and
``index.json`` says where; a video that is listed at several paces is stored once. The store is built in parallel, resumes
where it stopped, and its size is printed before it is written.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

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
    """Frames ``uint8 [total, size, size, 3]`` of a dataset under one geometry, and a `Row` per video."""

    def __init__(self, folder: Path, geometry: Geometry):
        index = json.loads((folder / "index.json").read_text())
        self.geometry = geometry
        self.rows = {part: [Row(**row) for row in index[part]] for part in ("train", "test")}
        shape = (index["total"], geometry.size, geometry.size, 3)
        self.pixels = np.memmap(folder / "frames.u8", np.uint8, "r", shape=shape)

    def clip(self, part: str, index: int, wanted: np.ndarray) -> np.ndarray:
        """``uint8 [T, size, size, 3]``: the frames ``wanted int64 [T]`` of video `index`."""
        row = self.rows[part][index]
        if self.geometry.sampling == "stride":
            return self.pixels[row.offset + wanted]
        return self.pixels[row.offset + np.searchsorted(self.geometry.stored(row.frames, row.fps), wanted)]


def open_store(dataset: Dataset, geometry: Geometry, workers: int | None = None) -> Store:
    """The store of `dataset` under `geometry`, out of the cache or built now.

    Raises VddError where over 1% of the videos are broken or the disk is too small.
    """
    key = {
        "dataset": dataset.fingerprint,
        "geometry": geometry.model_dump(),
        "decoding": DECODING,  # and not the code of vddlib.datasets.video, which encodes, too
        "code": cache.code_digest("vddlib.datasets.store", "vddlib.datasets.geometry"),
    }
    return Store(cache.get("store", key, lambda folder: _build(folder, dataset, geometry, workers)), geometry)


def _probe(path: Path) -> tuple[int, float, str]:
    try:
        found = video.probe(path)
        return found.frames, found.fps, ""
    except BrokenVideo as error:
        return 0, 0.0, str(error)


def probe_all(dataset: Dataset, workers: int | None = None) -> dict[Path, tuple[int, float, str]]:
    """By path: (frames, fps, why it is broken or '') of every video of the dataset."""
    paths = sorted({entry.path for entry in (*dataset.train, *dataset.test)})
    what = f"{dataset.name}: probing videos"
    return dict(
        run_each(
            paths, _probe, what, workers, limit=PROBING, crashed=lambda path, why: (0, 0.0, crash_reason(path, why))
        )
    )


def _build(folder: Path, dataset: Dataset, geometry: Geometry, workers: int | None) -> None:
    layout = folder / "layout.json"
    if not layout.is_file():
        files.write_json(layout, layout_of(dataset, geometry, workers))
    index = json.loads(layout.read_text())
    shape = (index["total"], geometry.size, geometry.size, 3)
    needed, pixels = int(np.prod(shape)), folder / "frames.u8"
    if not pixels.is_file():
        free = shutil.disk_usage(folder).free
        say(
            f"{dataset.name}: the store of {geometry.size}x{geometry.size} frames takes {needed / 1e9:.2f} GB in {folder}"
        )
        if needed > free:
            raise VddError(
                f"{folder}: the frame store needs {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; make room, "
                "point VDD_CACHE at a larger disk, or open the clips with store=False"
            )
    with pixels.open("ab") as file:
        if needed and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, needed)  # a sparse map on a full disk would die of SIGBUS instead
        file.truncate(needed)
    listed = _listed(dataset)
    flags = folder / "done.u8"
    if not flags.is_file():
        flags.write_bytes(bytes(len(listed)))
    done = np.memmap(flags, np.uint8, "r+")
    jobs = []
    for number, (path, [(part, i), *_same]) in enumerate(listed.items()):
        row = Row(**index[part][i])
        if not done[number] and not row.broken:
            jobs.append((number, path, row, geometry, pixels, shape))
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


def _listed(dataset: Dataset) -> dict[Path, list[tuple[str, int]]]:
    """By path, in the order of the lists: (part, place) of every entry that is cut from this video."""
    found: dict[Path, list[tuple[str, int]]] = {}
    for part in ("train", "test"):
        for i, entry in enumerate(getattr(dataset, part)):
            found.setdefault(entry.path, []).append((part, i))
    return found


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


def layout_of(dataset: Dataset, geometry: Geometry, workers: int | None) -> dict:
    """The result of probing: a `Row`, as a dict, per train and test video, and the total number of frames to store.

    Raises VddError where labels tell the pace and the geometry has no stride.
    """
    pace = dataset.longest_pace
    if pace > 1 and geometry.sampling != "stride":
        raise VddError(
            f"{dataset.name}: its classes differ in stride, and sampling {geometry.sampling!r} has none; choose 'stride'"
        )
    needed, probed = geometry.shortest(pace), probe_all(dataset, workers)
    index: dict = {"train": [None] * len(dataset.train), "test": [None] * len(dataset.test), "total": 0}
    for path, places in _listed(dataset).items():
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
    wanted = geometry.stored(row.frames, row.fps)
    keep, place = set(wanted.tolist()), row.offset
    try:
        for frame_index, frame in enumerate(video.stream(path)):
            if frame_index in keep:
                target[place] = geometry.square(frame[None])[0]
                place += 1
            if frame_index == wanted[-1]:
                break
    except BrokenVideo as error:
        return str(error)
    return ""
