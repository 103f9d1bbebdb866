"""A memory-mapped uint8 store of squared frames: decoded once, read as often as epochs ask.

One file ``frames.u8`` holds, video after video, the frames that any clip may need (`Geometry.stored`), and
``index.json`` says where. Building is parallel, is resumed where it stopped, and says its size before it writes.
"""

import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from vddlib import artifacts
from vddlib.datasets import video
from vddlib.datasets.catalog import Dataset
from vddlib.datasets.geometry import Geometry
from vddlib.datasets.layouts import Entry
from vddlib.errors import BrokenVideo, VddError
from vddlib.progress import say, track

BROKEN_SHARE = 0.01
DECODING = 1  # raise when decoded pixels change


@dataclass(frozen=True)
class Row:
    """Where one video lies: first stored frame, frames of the video, fps; `broken` says why it holds nothing."""

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

    def clip(self, part: str, index: int, start: int) -> np.ndarray:
        """``uint8 [T, size, size, 3]``: the clip of video `index` that begins at `start`."""
        row = self.rows[part][index]
        wanted = self.geometry.indices(row.frames, start, row.fps)
        if self.geometry.sampling == "stride":
            return self.pixels[row.offset + wanted]
        return self.pixels[row.offset + np.searchsorted(self.geometry.stored(row.frames, row.fps), wanted)]


def open_store(dataset: Dataset, geometry: Geometry, workers: int | None = None) -> Store:
    """The store of `dataset` under `geometry`, built first where it is not in the cache.

    Raises VddError where over 1% of the videos are broken or the disk is too small.
    """
    key = {
        "dataset": dataset.fingerprint,
        "geometry": geometry.model_dump(),
        "decoding": DECODING,  # and not the code of vddlib.datasets.video, which encodes, too
        "code": artifacts.code_digest("vddlib.datasets.store", "vddlib.datasets.geometry"),
    }
    return Store(artifacts.get("store", key, lambda folder: _build(folder, dataset, geometry, workers)), geometry)


def over(
    items: Sequence, work: Callable, what: str, workers: int | None = None, *, crashed: Callable, alone: bool = False
):
    """Yield ``(item, work(item))`` as worker processes finish; items are small and picklable, order is not kept.

    An item that takes its process down (a decoder may, on a corrupt file) yields ``(item, crashed(item))``, and the
    others go on; few items, or one worker, are worked on in this very process, where nothing can be caught, unless each is
    to be `alone` in a process of its own. Never more than a few items per worker wait in the queue, so an interruption
    ends it at once.
    """
    if alone:
        yield from track(_one_by_one(items, work, crashed), what, total=len(items))
        return
    workers = min(workers or os.cpu_count() or 1, 16, max(1, len(items)))
    if workers == 1 or len(items) < 8:
        for item in track(items, what):
            yield item, work(item)
        return
    yield from track(_parallel(items, work, workers, crashed), what, total=len(items))


def _pool(workers: int) -> ProcessPoolExecutor:
    # spawn: decoders and torch both keep threads, which a fork would leave behind locked.
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


def _parallel(items: Sequence, work: Callable, workers: int, crashed: Callable):
    waiting, running, pool = deque(items), {}, _pool(workers)
    try:
        while waiting or running:
            try:
                while waiting and len(running) < 4 * workers:
                    future = pool.submit(work, waiting[0])
                    running[future] = waiting.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    yield running.pop(future), result
            except BrokenProcessPool:
                pool.shutdown()  # from here on every running future is done: with its result, or broken
                broken = [f for f in running if isinstance(f.exception(), BrokenProcessPool)]
                yield from ((running[f], f.result()) for f in running if f not in broken)
                yield from _one_by_one([running[f] for f in broken], work, crashed)
                running, pool = {}, _pool(workers)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _one_by_one(items: Sequence, work: Callable, crashed: Callable):
    """Each item alone in a process, a new one after each crash: so it is clear whose fault that was."""
    waiting = deque(items)
    while waiting:
        with _pool(1) as pool:
            try:
                pool.submit(os.getpid).result()
            except BrokenProcessPool:
                raise VddError(
                    "worker processes die as they start: does the script guard its calls by "
                    "`if __name__ == '__main__':`?"
                ) from None
            while waiting:
                item = waiting.popleft()
                try:
                    yield item, pool.submit(work, item).result()
                except BrokenProcessPool:
                    yield item, crashed(item)
                    break


def crash(path: Path) -> str:
    """Why the video at `path` is broken, where decoding it took the process down."""
    return f"{path}: the decoder crashed on it"


def _probe(path: Path) -> tuple[int, float, str]:
    try:
        found = video.probe(path)
        return found.frames, found.fps, ""
    except BrokenVideo as error:
        return 0, 0.0, str(error)


def probe_all(dataset: Dataset, workers: int | None = None) -> dict[Path, tuple[int, float, str]]:
    """Path -> (frames, fps, why it is broken or '') of every video of the dataset."""
    paths = sorted({entry.path for entry in (*dataset.train, *dataset.test)})
    what = f"{dataset.name}: probing videos"
    return dict(over(paths, _probe, what, workers, crashed=lambda path: (0, 0.0, crash(path))))


def _build(folder: Path, dataset: Dataset, geometry: Geometry, workers: int | None) -> None:
    layout = folder / "layout.json"
    if not layout.is_file():
        artifacts.write_json(layout, layout_of(dataset, geometry, workers))
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
                "set VDD_CACHE to a larger disk, or open the clips with store=False"
            )
    with pixels.open("ab") as file:
        if needed and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, needed)  # a sparse map on a full disk would die of SIGBUS instead
        file.truncate(needed)
    flags = folder / "done.u8"
    if not flags.is_file():
        flags.write_bytes(bytes(len(dataset.train) + len(dataset.test)))
    done = np.memmap(flags, np.uint8, "r+")
    entries: list[tuple[str, int, Entry]] = [
        (part, i, entry) for part in ("train", "test") for i, entry in enumerate(getattr(dataset, part))
    ]
    jobs = []
    for number, (part, i, entry) in enumerate(entries):
        row = Row(**index[part][i])
        if not done[number] and not row.broken:
            jobs.append((number, entry.path, row, geometry, pixels, shape))
    what = f"{dataset.name}: decoding videos"
    for (number, *_rest), reason in over(jobs, _fill, what, workers, crashed=lambda job: crash(job[1])):
        part, i, _ = entries[number]
        if reason:
            index[part][i]["broken"] = reason
            artifacts.write_json(layout, index)
        done[number] = 1
        done.flush()
    try:
        refuse_many_broken(dataset, index)
    except VddError:
        layout.unlink()  # the videos may be mended: look again next time
        flags.unlink()
        raise
    artifacts.write_json(folder / "index.json", index)


def refuse_many_broken(dataset: Dataset, index: dict) -> None:
    """Name every broken video of a layout; VddError where they are over 1 %."""
    rows = index["train"] + index["test"]
    broken = [row["broken"] for row in rows if row["broken"]]
    for reason in broken:
        say(f"skipped: {reason}")
    if len(broken) > BROKEN_SHARE * len(rows):
        raise VddError(
            f"{dataset.name}: {len(broken)} of {len(rows)} videos are broken or too short, over 1%; first: {broken[0]}"
        )


def layout_of(dataset: Dataset, geometry: Geometry, workers: int | None) -> dict:
    """What probing says: a `Row`, as a dict, per train and test video, and the total of frames to be stored."""
    probed = probe_all(dataset, workers)
    index: dict = {"train": [], "test": [], "total": 0}
    for part in ("train", "test"):
        for entry in getattr(dataset, part):
            frames, fps, broken = probed[entry.path]
            if not broken and not geometry.starts(frames):
                broken = f"{entry.path}: has {frames} frames, a clip needs {geometry.frames}"
            index[part].append({"offset": index["total"], "frames": frames, "fps": fps, "broken": broken})
            if not broken:
                index["total"] += len(geometry.stored(frames, fps))
    return index


def _fill(job) -> str:
    """Decode one video into its place in the store; why it could not be, or ''."""
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
