"""The stages over videos: detect, track, crop, gather what they left, score. What is chosen of it is the distiller's matter."""

from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from vddlib.core import cache, seeding
from vddlib.core.errors import VddError
from vddlib.datasets.clips import Clips
from vddlib.datasets.layouts import source_of
from vddlib.datasets.store import DECODING
from vddlib.distillers.base import part_of
from vddlib.distillers.optdistill.boxes import Box, inside
from vddlib.distillers.optdistill.compose import Segment
from vddlib.distillers.optdistill.detect import NO_LABEL, Detector, detector_named
from vddlib.distillers.optdistill.score import KineticsScorer, TeacherScorer, halves, kinetics_state, score
from vddlib.distillers.optdistill.stages import Job, Stage
from vddlib.distillers.optdistill.work import TRACKS, crop, detection, score_jobs, tracking
from vddlib.distillers.selection.movinet import MoViNet
from vddlib.training.fit import pick_device

if TYPE_CHECKING:
    from vddlib.distillers.optdistill.distiller import OptDistill

ENCODING = 1  # raise when video.encode gives other files
_READING = {"decoding": DECODING}
Scorer = TeacherScorer | KineticsScorer | MoViNet


class Gathered(NamedTuple):
    """Segments by class; how many videos came to what; seconds per stage, summed over videos (and so over processes)."""

    segments: list[list[Segment]]
    counts: dict[str, int]
    seconds: dict[str, float]


class Scoring(NamedTuple):
    """What one scorer looks at: segments, each with its class, and the stage and jobs that keep its logits."""

    scorer: Scorer
    stage: Stage
    jobs: list[Job]
    segments: list[tuple[Segment, int]]


class Pipeline:
    """The stages with the `settings` of a distiller, over the videos of `train` that `seed` draws.

    Every stage keeps a file per video in the cache (see stages.py). Its folder is named by what its results depend on, so
    that sets of other `ipc` or seeds share what they can.
    """

    def __init__(self, settings: "OptDistill", train: Clips, seed: int):
        self.settings, self.train, self.seed = settings, train, seed

    # --- what is run ----------------------------------------------------------------------------------------------------

    def prepare(self, shard: tuple[int, int] = (0, 1)) -> None:
        """Detect, track and crop the videos of a shard (which, of how many). Raises VddError for what would fail later."""
        settings, videos = self.settings, part_of(self.candidates(), shard, self.settings.method)
        self.check_wanted()
        self.check_scorer()
        tracks = None
        if settings.segments == "crops":
            stage, jobs = self._detect(videos)
            stage.run(jobs, partial(detection, detector=self.detector), settings.workers)
            stage, jobs = tracks = self._track(videos)
            stage.run(jobs, partial(tracking, longest=settings.longest), settings.workers)
        stage, jobs = self._crop(videos, tracks)
        options = {"size": settings.tile, "lost": settings.lost, "longest": settings.longest}
        stage.run(jobs, partial(crop, **options), settings.workers)

    def score_segments(self, shard: tuple[int, int] = (0, 1)) -> None:
        """Score the segments of a shard, once all shards are prepared. Nothing to do for random scores."""
        if self.settings.score != "random":
            for part in self._score(self.gather().segments):
                score_jobs(part.stage, part_of(part.jobs, shard, self.settings.method), part.scorer)

    # --- what is checked beforehand -------------------------------------------------------------------------------------

    def check_wanted(self) -> None:
        """Raises VddError for a class or a label that is unknown to dataset or detector: it would find nothing."""
        settings, train = self.settings, self.train
        unknown = [name for name in settings.wanted if name not in (*train.classes, "*")]
        if unknown:
            raise VddError(f"optdistill: wanted names {unknown[0]!r}, which is no class of {train.dataset}")
        labels = {label for of_class in settings.wanted.values() for label in of_class}
        known = self.detector.labels() if settings.segments == "crops" else None
        for label in sorted(labels - set(known or labels)):
            raise VddError(
                f"optdistill: {settings.detector} knows no {label!r}; its labels: {', '.join(sorted(known))}"
            )

    def check_scorer(self) -> None:
        """Raises VddError for a scorer that cannot be had, or cannot score so: before hours of tracking, not after them."""
        if self.settings.score == "random":
            return
        if self.settings.scorer == "halves":
            halves(self.train)
        if self.settings.scorer not in ("r3d_18", "kinetics"):
            return
        if self.settings.score == "loss":
            raise VddError("optdistill: score 'loss' needs the dataset's own classes: scorer 'teacher'")
        kinetics_state() if self.settings.scorer == "r3d_18" else MoViNet()

    # --- what is followed -----------------------------------------------------------------------------------------------

    @property
    def detector(self) -> Detector:
        """The detector that the settings name."""
        return detector_named(self.settings.detector, self.settings.confidence)

    def detector_key(self) -> dict[str, Any]:
        """What the boxes depend on; nothing where whole frames are kept."""
        return {} if self.settings.segments == "frames" else self.detector.key()

    def candidates(self) -> list[int]:
        """Videos that are looked at: all, or `preselect` of each class."""
        chosen = []
        for label in range(len(self.train.classes)):
            members = self.train.of_class(label)
            order = torch.randperm(len(members), generator=seeding.generator("preselect", self.seed, label))
            chosen += sorted(members[order[: self.settings.preselect or None]].tolist())
        return chosen

    def fitting(self, video: int, detected: dict[str, Any]) -> list[Box]:
        """The detections in a video (its index) that have a wanted label, as far as they lie within the frame."""
        class_name = self.train.classes[int(self.train.labels[video])]
        wanted = self.settings.wanted.get(class_name, self.settings.wanted.get("*", []))
        boxes = [tuple(found["box"]) for found in detected["found"] if found["label"] in (*wanted, NO_LABEL)]
        return [box for box in (inside(box, *detected["size"]) for box in boxes) if box]

    def chosen_boxes(self, video: int, detected: dict[str, Any]) -> list[Box]:
        """The boxes to follow in a video: at most `boxes` of those that fit, drawn by the seed and the video's name."""
        boxes, (width, height) = self.fitting(video, detected), detected["size"]
        if not boxes and self.settings.fallback == "centre":
            return [(width / 4, height / 4, width / 2, height / 2)]
        order = torch.randperm(len(boxes), generator=seeding.generator("boxes", self.seed, self.train.name(video)))
        return [boxes[index] for index in order[: self.settings.boxes].tolist()]

    # --- the stages with their jobs -------------------------------------------------------------------------------------

    def _jobs(self, videos: list[int]) -> list[Job]:
        return [Job(self.train.name(i), str(self.train.path(i))) for i in videos]

    def _detect(self, videos: list[int]) -> tuple[Stage, list[Job]]:
        key = {
            "dataset": self.train.fingerprint, **self.detector_key(), **_READING, "opencv": opencv_version(),
            "code": _code("detect"),
        }  # fmt: skip
        return Stage("detect", key), self._jobs(videos)

    def _track(self, videos: list[int]) -> tuple[Stage, list[Job]]:
        key = {
            "dataset": self.train.fingerprint, "longest": self.settings.longest, **_READING, "opencv": opencv_version(),
            "code": _code("track", "boxes", "work"),
        }  # fmt: skip
        stage, jobs = self._detect(videos)
        detected = zip(videos, jobs, stage.results(jobs), strict=True)
        chosen = [(job, self.chosen_boxes(i, result)) for i, job, result in detected if result]
        return Stage("track", key), [job._replace(inputs=boxes) for job, boxes in chosen if boxes]

    def _crop(self, videos: list[int], tracks: tuple[Stage, list[Job]] | None) -> tuple[Stage, list[Job]]:
        settings = self.settings
        key = {
            "dataset": self.train.fingerprint, "tile": settings.tile, "lost": settings.lost, "longest": settings.longest,
            **_READING, "opencv": opencv_version(), "encoding": ENCODING, "code": _code("track", "boxes", "work"),
        }  # fmt: skip
        if tracks is None:
            return Stage("crop", key), self._jobs(videos)
        stage, jobs = tracks
        tracked = [job for job, result in zip(jobs, stage.results(jobs), strict=True) if result]
        return Stage("crop", key), [job._replace(inputs=_in_cache(stage.place(job, TRACKS))) for job in tracked]

    def _score(self, segments: list[list[Segment]]) -> list[Scoring]:
        """The segments by the scorer that looks at them."""
        shared: dict[Scorer, list[tuple[Segment, int]]] = {}
        for label, of_class in enumerate(segments):
            for segment in of_class:
                shared.setdefault(self.scorer(segment.video), []).append((segment, label))
        parts = []
        for scorer, mine in shared.items():
            key = {"scorer": scorer.about, "geometry": self.train.geometry.model_dump(), "code": _code("score")}
            # One file name may stand for several crops, of other sizes say: the crop stage's folder tells them apart.
            jobs = [Job(_in_cache(Path(segment.file)), segment.file) for segment, _ in mine]
            parts.append(Scoring(scorer, Stage("score", key), jobs, mine))
        return parts

    # --- what they left -------------------------------------------------------------------------------------------------

    def gather(self) -> Gathered:
        """The segments that `prepare` made. Raises VddError where a shard is missing."""
        videos = self.candidates()
        counts, seconds, tracks = {"videos": len(videos)}, {}, None
        if self.settings.segments == "crops":
            stage, jobs = self._detect(videos)
            fits, seconds["detect"] = {True: 0, False: 0, None: 0}, 0.0
            # One after another: the boxes of all videos of Kinetics would take gigabytes.
            for i, result in zip(videos, stage.results(jobs), strict=True):
                fits[bool(self.fitting(i, result)) if result else None] += 1
                seconds["detect"] += result["seconds"] if result else 0.0
            counts |= {"with a detection": fits[True], "without": fits[False], "not read": fits[None]}
            stage, jobs = tracks = self._track(videos)
            tracked = list(stage.results(jobs))
            seconds["track"] = _seconds(tracked)
            counts["followed"], counts["not followed"] = len(tracked) - tracked.count(None), tracked.count(None)
        stage, jobs = self._crop(videos, tracks)
        cropped = list(stage.results(jobs))
        seconds["crop"] = _seconds(cropped)
        segments, too_short = self._segments(stage, jobs, cropped)
        counts |= {"segments": sum(map(len, segments)), "too short": too_short, "not cropped": cropped.count(None)}
        return Gathered(segments, counts, seconds)

    def _segments(self, stage: Stage, jobs: list[Job], cropped: list[dict | None]) -> tuple[list[list[Segment]], int]:
        """Segments by class, without scores yet, and how many have too few frames for a clip."""
        label = {self.train.name(i): int(self.train.labels[i]) for i in range(len(self.train))}
        segments: list[list[Segment]] = [[] for _ in self.train.classes]
        too_short = 0
        for job, result in zip(jobs, cropped, strict=True):
            for number, frames in enumerate(result["frames"] if result else []):
                if frames < self.train.geometry.frames:
                    too_short += 1
                    continue
                file = str(stage.place(job, f".{number}.mp4"))
                segments[label[job.name]].append(Segment(file=file, video=job.name, frames=frames, score=0.0))
        return segments, too_short

    def scorer(self, video: str | None = None) -> Scorer:
        """What looks at the segments of a video (its name): with 'halves' the network that saw nothing of its source.

        Raises VddError as `check_scorer` does, and where 'halves' is not told a video.
        """
        if self.settings.scorer != "halves":
            return self._scorers[0]
        if video is None:
            raise VddError(
                "optdistill: of the two scorers of 'halves' one is chosen by the video that it is to look at"
            )
        first, second = self._scorers
        return second if source_of(video) in first.sources else first

    @cached_property
    def _scorers(self) -> list[Scorer]:
        """The scorer, or the two of 'halves', each trained on its own."""
        self.check_scorer()
        if self.settings.scorer == "r3d_18":
            return [KineticsScorer(pick_device(self.settings.device))]
        if self.settings.scorer == "kinetics":
            return [MoViNet()]
        parts = halves(self.train) if self.settings.scorer == "halves" else (self.train,)
        teachers = [self.settings.teacher(part) for part in parts]
        return [TeacherScorer(one.model, part, one.key) for one, part in zip(teachers, parts, strict=True)]

    def scored(self, gathered: Gathered) -> Gathered:
        """The same segments with their scores; those that cannot be read are left out."""
        scored: list[list[Segment]] = [[] for _ in gathered.segments]
        if self.settings.score == "random":
            flat = [(segment, label) for label, of_class in enumerate(gathered.segments) for segment in of_class]
            values = torch.rand(len(flat), generator=seeding.generator("scores", self.seed)).tolist()
            for (segment, label), value in zip(flat, values, strict=True):
                scored[label].append(segment.model_copy(update={"score": value}))
            return gathered._replace(segments=scored)
        seconds = 0.0
        for part in self._score(gathered.segments):
            score_jobs(part.stage, part.jobs, part.scorer)
            for (segment, label), result in zip(part.segments, part.stage.results(part.jobs), strict=True):
                if result:
                    seconds += result["seconds"]
                    logits = torch.tensor([result["logits"]])
                    value = score(logits, torch.tensor([label]), self.settings.score).item()
                    scored[label].append(segment.model_copy(update={"score": value}))
        return gathered._replace(segments=scored, seconds=gathered.seconds | {"score": seconds})


def _seconds(results: list[dict | None]) -> float:
    """What the jobs of a stage took, one after another."""
    return sum((result["seconds"] for result in results if result), 0.0)


def _in_cache(path: Path) -> str:
    """A file by its place in the cache, which machines may see at other places."""
    return path.relative_to(cache.folder()).as_posix()


def opencv_version() -> str:
    """Of the OpenCV that tracks and scales."""
    import cv2

    return cv2.__version__


def _code(*names: str) -> str:
    return cache.code_digest(*(f"vddlib.distillers.optdistill.{name}" for name in names))
