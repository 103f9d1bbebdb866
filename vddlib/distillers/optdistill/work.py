"""What the stages do to one video (or one batch of segments): results go into files, so that nothing is done twice."""

import time
from pathlib import Path

import numpy as np

from vddlib import artifacts
from vddlib.datasets import video
from vddlib.distillers.optdistill.detect import Detector, detect
from vddlib.distillers.optdistill.score import Kinetics, Teacher
from vddlib.distillers.optdistill.stages import Job, Stage
from vddlib.distillers.optdistill.track import Lost, crops, track
from vddlib.progress import track as progress

NEARLY_LOSSLESS = 10  # CRF of segments: the mosaic encodes them again


def detection(job: Job, place: Path, *, by: Detector) -> dict:
    """Boxes in the first frame."""
    return detect(Path(job.path), by)


def tracking(job: Job, place: Path, *, longest: int) -> dict:
    """The chosen boxes, ``job.given``, frame by frame."""
    return track(Path(job.path), [tuple(box) for box in job.given], longest)


def crop(job: Job, place: Path, *, size: tuple[int, int], lost: Lost, longest: int) -> dict:
    """A video beside `place` for each of the tracks ``job.given``; of the whole frames where there are none."""
    path, paths = Path(job.path), job.given
    if paths is None:
        probe = video.probe(path)
        count = min(probe.frames, longest or probe.frames)
        paths = [[(0.0, 0.0, float(probe.width), float(probe.height))] * count]
    lengths = []
    for number, boxes in enumerate(paths):
        made = crops(path, boxes, *size, lost)
        lengths.append(len(made))
        if len(made):
            video.encode(place.with_name(f"{place.stem}.{number}.mp4"), made, quality=NEARLY_LOSSLESS)
    return {"frames": lengths}


def frames_of(file: str) -> np.ndarray:
    """All frames ``uint8 [T, H, W, 3]`` of a segment."""
    return np.stack(list(video.stream(Path(file))))


def judge(stage: Stage, jobs: list[Job], by: Teacher | Kinetics, at_once: int = 16) -> None:
    """Logits of every segment that has none yet, in batches on the scorer's device."""
    waiting = [job for job in jobs if not stage.place(job).is_file()]
    batches = [waiting[first : first + at_once] for first in range(0, len(waiting), at_once)]
    for some in progress(batches, "score"):
        begun = time.monotonic()
        logits = by([frames_of(job.path) for job in some])
        each = (time.monotonic() - begun) / len(some)
        for job, row in zip(some, logits.tolist(), strict=True):
            place = stage.place(job)
            place.parent.mkdir(exist_ok=True)
            artifacts.write_json(place, {"logits": row, "seconds": each})
