"""What the stages do to one video (or one batch of segments): results go into files, so that nothing is done twice."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from vddlib.core import cache, files
from vddlib.core.errors import BrokenVideo
from vddlib.core.progress import say, with_progress
from vddlib.datasets import video
from vddlib.distillers.optdistill.detect import Detector, detect
from vddlib.distillers.optdistill.score import KineticsScorer, TeacherScorer
from vddlib.distillers.optdistill.stages import Job, Stage
from vddlib.distillers.optdistill.track import Lost, crops, track

NEARLY_LOSSLESS = 10  # CRF of segments: the mosaic encodes them again
TRACKS = ".paths.json"  # tracks lie in files of their own: there may be gigabytes of them


def detection(job: Job, place: Path, *, detector: Detector) -> dict:
    """Boxes in the first frame."""
    return detect(Path(job.path), detector)


def tracking(job: Job, place: Path, *, longest: int) -> dict:
    """The chosen boxes, ``job.inputs``, frame by frame: the tracks go into a file beside `place`."""
    tracked = track(Path(job.path), [tuple(box) for box in job.inputs], longest)
    paths = tracked.pop("paths")
    files.write_json(place.with_name(place.stem + TRACKS), paths)
    return tracked | {"lost": [path.count(None) for path in paths]}


def crop(job: Job, place: Path, *, size: tuple[int, int], lost: Lost, longest: int) -> dict:
    """A video beside `place` for each track in the file ``job.inputs`` (of the cache); of whole frames where it is None."""
    path = Path(job.path)
    if job.inputs is None:
        probe = video.probe(path)
        count = min(probe.frames, longest or probe.frames)
        paths = [[(0.0, 0.0, float(probe.width), float(probe.height))] * count]
    else:
        paths = json.loads((cache.folder() / job.inputs).read_text())
    made = crops(path, paths, *size, lost)
    for number, frames in enumerate(made):
        if len(frames):
            video.encode(place.with_name(f"{place.stem}.{number}.mp4"), frames, quality=NEARLY_LOSSLESS)
    return {"frames": [len(frames) for frames in made]}


def frames_of(file: str) -> np.ndarray:
    """All frames ``uint8 [T, H, W, 3]`` of a segment."""
    return np.stack(list(video.stream(Path(file))))


def score_jobs(stage: Stage, jobs: list[Job], scorer: TeacherScorer | KineticsScorer, at_once: int = 16) -> None:
    """Logits of every segment that has none yet, in batches on the scorer's device; the next batch is decoded meanwhile."""
    waiting = [job for job in jobs if not stage.place(job).is_file()]
    batches = [waiting[first : first + at_once] for first in range(0, len(waiting), at_once)]
    with ThreadPoolExecutor(4) as readers:
        coming = [readers.submit(_read, stage, job) for job in (batches[0] if batches else [])]
        for number, _ in enumerate(with_progress(batches, "score")):
            begun = time.monotonic()
            read = [(job, frames) for job, frames in (future.result() for future in coming) if frames is not None]
            following = batches[number + 1] if number + 1 < len(batches) else []
            coming = [readers.submit(_read, stage, job) for job in following]
            logits = scorer([frames for _, frames in read]).tolist() if read else []
            each = (time.monotonic() - begun) / max(1, len(read))
            for (job, _), row in zip(read, logits, strict=True):
                place = stage.place(job)
                place.parent.mkdir(exist_ok=True)
                files.write_json(place, {"logits": row, "seconds": each})


def _read(stage: Stage, job: Job) -> tuple[Job, np.ndarray | None]:
    """The frames ``uint8 [T, H, W, 3]`` of a segment; None, and a line, where it cannot be read."""
    try:
        return job, frames_of(job.path)
    except BrokenVideo as error:
        say(f"{stage.name}: {job.name} is left out: {stage.fail(job, str(error))}")
        return job, None
