"""A store of frames as JPEGs: a quarter to a sixth of the bytes of an exact one, which UCF101 on a laptop needs.

Not exact: at quality 95 without subsampled colours a pixel of UCF101 at 112 x 112 is 1.2 grey levels off in the mean, and 20 at
most, of ten clips. miniucf10 takes 1.17 GB for 6.68, and some 400 clips of 16 frames are read per second of a core. Clips of
such a store have a fingerprint of their own, so that nothing learned from them passes for learned from exact frames.
"""

import json
import os
from pathlib import Path

import numpy as np

from vddlib.core import files
from vddlib.core.errors import BrokenVideo, VddError
from vddlib.core.parallel import run_each
from vddlib.datasets.catalog import Dataset
from vddlib.datasets.geometry import Geometry, evenly
from vddlib.datasets.store import (
    DECODING_ONE,
    Store,
    check_room,
    listed_once,
    planned,
    read_journal,
    refuse_many_broken,
    squares,
    whole,
)
from vddlib.datasets.video import crash_reason

QUALITY = 95
SHARD = 2000  # videos per file: some gigabytes, so that no file system or copy minds
TABLE = np.dtype([("shard", "<u2"), ("start", "<u8"), ("size", "<u4")])  # where the bytes of each frame are
JOURNAL = "packed.jsonl"  # while it is built: a line for each video that is in a shard
SAMPLED = 8  # videos that are encoded to tell the size beforehand


class JpegStore(Store):
    """Files of JPEGs and a table of where each frame is, both memory-mapped."""

    kind = f"jpeg{QUALITY}"

    def __init__(self, folder: Path, geometry: Geometry):
        super().__init__(folder, geometry)
        self.table = np.load(folder / "table.npy", mmap_mode="r")
        filled = (path for path in folder.glob("[0-9]*.jpegs") if path.stat().st_size)
        self.shards = {int(path.stem): np.memmap(path, np.uint8, "r") for path in filled}

    def at(self, places: np.ndarray) -> np.ndarray:
        """See `Store`."""
        return np.stack([self._frame(*self.table[place]) for place in places])

    def _frame(self, shard: int, start: int, size: int) -> np.ndarray:
        import cv2

        frame = cv2.imdecode(self.shards[int(shard)][int(start) : int(start) + int(size)], cv2.IMREAD_COLOR_RGB)
        if frame is None:
            raise VddError(
                f"{self.folder}: a frame of shard {shard} is damaged; remove this folder, and it is made again"
            )
        return frame


def encode(frame: np.ndarray) -> bytes:
    """A frame ``uint8 [H, W, 3]`` as a JPEG: the same bytes for the same frame."""
    import cv2

    how = [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode(".jpg", np.ascontiguousarray(frame[..., ::-1]), how)[1].tobytes()


def build(folder: Path, dataset: Dataset, geometry: Geometry, workers: int | None) -> None:
    """Fill `folder`, or go on where it was interrupted. Raises VddError as `open_store` does."""
    layout, index = planned(folder, dataset, geometry, workers)
    jobs = [(*video, geometry) for video in whole(dataset, index)]
    journal = folder / JOURNAL
    if not journal.is_file():
        check_room(folder, dataset, geometry, _guess(jobs, index["total"]), "about ")
    done = {number: (sizes, broken) for number, sizes, broken in read_journal(journal)}
    _cut(folder, done)
    waiting = [job for job in jobs if job[0] not in done]
    what = f"{dataset.name}: decoding videos"
    found = run_each(
        waiting, _packed, what, workers, limit=DECODING_ONE, crashed=lambda job, why: crash_reason(job[1], why)
    )
    with journal.open("a", encoding="utf-8") as file:
        for (number, *_), made in found:
            broken, frames = (made, []) if isinstance(made, str) else ("", made)
            with (folder / f"{number // SHARD:05d}.jpegs").open("ab") as shard:
                shard.write(b"".join(frames))
            # After the bytes: what is in a shard and not in the journal is cut off.
            line = [number, [len(frame) for frame in frames], broken]
            file.write(json.dumps(line) + "\n")
            file.flush()
            done[number] = tuple(line[1:])
    _write_table(folder, done, index, dataset)
    try:
        refuse_many_broken(dataset, index)
    except VddError:
        for path in (journal, *folder.glob("[0-9]*.jpegs"), layout):  # the videos may be replaced
            path.unlink()
        raise
    files.write_json(folder / "index.json", index)


def _packed(job: tuple) -> list[bytes] | str:
    """The JPEGs of one video, or why there are none."""
    _number, path, row, geometry = job
    try:
        return [encode(frame) for frame in squares(path, row, geometry)]
    except BrokenVideo as error:
        return str(error)


def _guess(jobs: list, total: int) -> int:
    """Bytes of all frames, from those of a few videos."""
    some = [jobs[place] for place in evenly(min(SAMPLED, len(jobs)), len(jobs))]
    found = run_each(some, _packed, "sizes", 1, limit=DECODING_ONE, crashed=lambda job, why: why)
    sizes = [len(frame) for _, made in found if not isinstance(made, str) for frame in made]
    return int(np.mean(sizes) * total) if sizes else 0


def _cut(folder: Path, done: dict[int, tuple]) -> None:
    """Take off each shard what a killed process wrote after its last line in the journal; after a crash of the machine a shard
    may instead lack what the journal names: it is forgotten as a whole."""
    ends: dict[int, int] = {}
    for number, (sizes, _) in done.items():
        ends[number // SHARD] = ends.get(number // SHARD, 0) + sum(sizes)
    for shard, end in ends.items():
        path = folder / f"{shard:05d}.jpegs"
        if path.is_file() and path.stat().st_size >= end:
            os.truncate(path, end)
            continue
        path.unlink(missing_ok=True)
        for number in [number for number in done if number // SHARD == shard]:
            del done[number]
    for path in folder.glob("[0-9]*.jpegs"):
        if int(path.stem) not in ends:
            path.unlink()
    lines = [json.dumps([number, *rest]) + "\n" for number, rest in done.items()]
    files.write_atomic(folder / JOURNAL, "".join(lines))


def _write_table(folder: Path, done: dict[int, tuple], index: dict, dataset: Dataset) -> None:
    """Where each frame is; videos lie in a shard in the order of the journal. Broken ones are noted in `index`."""
    table, ends = np.zeros(index["total"], TABLE), {}
    listed = list(listed_once(dataset).values())
    for number, (sizes, broken) in done.items():
        shard = number // SHARD
        for part, i in listed[number]:
            if broken:
                index[part][i]["broken"] = broken
        (part, i), *_same = listed[number]
        first, start = index[part][i]["offset"], ends.get(shard, 0)
        rows = table[first : first + len(sizes)]
        rows["shard"], rows["size"] = shard, sizes
        rows["start"] = start + np.cumsum([0, *sizes])[:-1]
        ends[shard] = start + sum(sizes)
    np.save(folder / "table.npy", table)
