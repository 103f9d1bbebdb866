"""A stage of the pipeline: one small file per video, so that it resumes per video and runs in shards on many machines."""

import json
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from vddlib.core import cache, files
from vddlib.core.errors import BrokenVideo, VddError
from vddlib.core.parallel import run_each
from vddlib.core.progress import say

FAILED = ".failed.json"
BEGUN = ".begun"
LIMIT = 3600.0  # seconds for one video: CSRT takes minutes for a long one, and a decoder may hang


class Job(NamedTuple):
    """One video of a stage: its name in the dataset, the file to read, and what else the stage works from (boxes, tracks)."""

    name: str
    path: str
    inputs: Any = None


class Stage:
    """Results under ``CACHE/optdistill/NAME/``, in a folder for `key` (all that they depend on besides a job)."""

    def __init__(self, name: str, key: dict[str, Any]):
        self.name = name
        self.folder = cache.folder() / "optdistill" / name / files.digest(key)[:20]
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "key.json").is_file():
            files.write_json(self.folder / "key.json", key)

    def place(self, job: Job, suffix: str = ".json") -> Path:
        """The file of a job; two levels of folders, since there may be hundreds of thousands."""
        name = files.digest([job.name, job.inputs])[:20]
        return self.folder / name[:2] / f"{name}{suffix}"

    def run(self, jobs: Sequence[Job], work: Callable[[Job, Path], dict], workers: int | None = None) -> None:
        """Do the jobs whose file is not there yet, in parallel processes, with progress.

        `work(job, place)` returns a JSON-able result and may write other files beside `place`. A video that cannot be read
        costs one line; it is tried again by the next run, in case the disk or the memory was to blame, unless it took its
        process down. Where that was the run itself, the next one does the videos it was at in processes of their own, at the
        end. Runs that want the same videos at the same time share the work.
        """
        waiting = [job for job in jobs if not self.place(job).is_file() and not self.crashed(job)]
        if waiting and len(waiting) < len(jobs):
            say(f"{self.name}: {len(jobs) - len(waiting)} of {len(jobs)} videos are done already")
        random.SystemRandom().shuffle(waiting)  # two runs in one order would do the same video at the same time
        run_job, note_crash = partial(_run_job, self, work), partial(_note_crash, self)
        suspects = {job.name for job in waiting if self.place(job, BEGUN).is_file()}
        others = [job for job in waiting if job.name not in suspects]
        for job, failed in run_each(others, run_job, self.name, workers, crashed=note_crash, limit=LIMIT):
            self._report(job, failed)
        # By now another run may have done the suspects, or noted that they crash.
        left = [j for j in waiting if j.name in suspects and not self.place(j).is_file() and not self.crashed(j)]
        for job, failed in run_each(left, run_job, self.name, crashed=note_crash, limit=LIMIT, alone=True):
            self._report(job, failed)

    def _report(self, job: Job, failed: str) -> None:
        if failed:
            say(f"{self.name}: {job.name} is left out: {failed}")

    def fail(self, job: Job, why: str, crashed: bool = False) -> str:
        """Write down why a job failed; returns it."""
        place = self.place(job, FAILED)
        place.parent.mkdir(exist_ok=True)
        files.write_json(place, {"name": job.name, "failed": why, "crashed": crashed})
        return why

    def crashed(self, job: Job) -> bool:
        """Whether a job took its process down before."""
        place = self.place(job, FAILED)
        return place.is_file() and json.loads(place.read_text())["crashed"]

    def results(self, jobs: Iterable[Job]) -> Iterator[dict | None]:
        """The result of every job, one after another; None where the video failed. Raises VddError where one never ran."""
        for job in jobs:
            place = self.place(job)
            if place.is_file():
                yield json.loads(place.read_text())
            elif self.place(job, FAILED).is_file():
                yield None
            else:
                raise VddError(f"{self.name}: {job.name} was not run; run its shard first")


def _run_job(stage: Stage, work: Callable[[Job, Path], dict], job: Job) -> str:
    """Do one job and write its file, unless another run has by now; returns why it failed, or nothing."""
    place, begun = stage.place(job), time.monotonic()
    if place.is_file():
        return ""
    place.parent.mkdir(exist_ok=True)
    mark = stage.place(job, BEGUN)
    mark.touch()  # what stays of a video that takes this process down
    try:
        result = work(job, place)
    except BrokenVideo as error:
        return stage.fail(job, str(error))
    finally:
        mark.unlink(missing_ok=True)
    files.write_json(place, {"name": job.name, **result, "seconds": time.monotonic() - begun})
    return ""


def _note_crash(stage: Stage, job: Job, why: str) -> str:
    return stage.fail(job, why, crashed=True)
