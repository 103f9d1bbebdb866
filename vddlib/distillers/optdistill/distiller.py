"""OptDistill: real segments, found, followed, scored and tiled. Nothing is optimised."""

import time
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field

from vddlib.core import cache, seeding
from vddlib.core.errors import VddError
from vddlib.core.measure import forget_peak, peak_memory_mb
from vddlib.core.progress import say, with_progress
from vddlib.datasets import video
from vddlib.datasets.clips import Clips
from vddlib.datasets.store import DECODING
from vddlib.distillers.base import Distiller, check_ipc, part_of
from vddlib.distillers.distilled import DistilledSet
from vddlib.distillers.optdistill.boxes import Box, inside
from vddlib.distillers.optdistill.compose import Segment, check_top_k, choose, mosaic
from vddlib.distillers.optdistill.detect import ANY, Detector, detector
from vddlib.distillers.optdistill.score import Kinetics, Score, Teacher, kinetics_state, score
from vddlib.distillers.optdistill.stages import Job, Stage
from vddlib.distillers.optdistill.track import Lost
from vddlib.distillers.optdistill.work import PATHS, crop, detection, frames_of, judge, tracking
from vddlib.distillers.stored.mosaics import Mosaics
from vddlib.training.fit import Recipe, pick_device
from vddlib.training.networks import Network, TrainedNetwork, conditions, train_teacher

_STEPS = ("boxes", "detect", "track", "score", "compose", "work")
ENCODING = 1  # raise when video.encode gives other files
_READING = {"decoding": DECODING}


class Prepared(NamedTuple):
    """Segments by class; how many videos came to what; seconds per stage, summed over videos (and so over processes)."""

    segments: list[list[Segment]]
    counts: dict[str, int]
    seconds: dict[str, float]


class OptDistill(Distiller):
    """Detect on the first frame, track, crop, score, take the best of each class, tile them N x N.

    The stages keep a file per video in the cache: an interrupted run goes on, and `prepare` and `rate` run in shards on many
    machines. Defaults are the paper's section 5.1 where it states them, but for the scorer (r3d_18 there, whose weights have to
    be fetched); yolov5su.pt is ultralytics' anchor-free YOLOv5.
    """

    name: ClassVar[str] = "optdistill"

    detector: str = Field(
        "yolov5su.pt", description="weights for ultralytics (names or paths, the first there is), or 'motion'"
    )
    confidence: float = Field(0.25, ge=0, le=1, description="least confidence of a detection by YOLO")
    wanted: dict[str, list[str]] = Field(
        {"*": ["person"]}, description="labels to look for, by class of the dataset; '*': all other classes"
    )
    boxes: int = Field(3, ge=1, description="detections followed per video, drawn at random")
    fallback: Literal["skip", "centre"] = Field("skip", description="a video without a detection: none, or its middle")
    segments: Literal["crops", "frames"] = Field(
        "crops", description="'frames': the largest centre crop of W:H, nothing is detected"
    )
    longest: int = Field(0, ge=0, description="frames followed per video; 0: all")
    lost: Lost = Field("drop", description="frames where the tracker lost its target")
    preselect: int = Field(0, ge=0, description="videos per class looked at, drawn at random; 0: all (section 4.3)")
    side: int = Field(2, ge=1, description="N: tiles along a side of a distilled video")
    width: int = Field(320, ge=16, description="W of a distilled video, in pixels; tiles are W/N wide, rounded to even")
    height: int = Field(240, ge=16, description="H of it, likewise")
    fps: float = Field(25.0, gt=0, description="of it")
    quality: int = Field(23, ge=0, le=51, description="CRF of H.264 it is stored with")
    score: Score = Field("confidence", description="of the likeliest class, minus the loss of the true one, or random")
    scorer: Literal["teacher", "r3d_18"] = Field(
        "teacher", description="trained on the train split, or on Kinetics-400"
    )
    top_k: int = Field(0, ge=0, description="segments of the best scores to draw from; 0: as many as are needed")
    threshold: float | None = Field(None, description="least score of a segment")
    one_per_video: bool = Field(False, description="only the best segment of each video (section 4.3)")
    network: Network = Field(default_factory=Network, description="architecture of the teacher")
    teacher_recipe: Recipe = Field(Recipe(), description="how it is trained")
    teacher_seed: int = Field(0, ge=0, description="its seed; one teacher scores for all sets")
    device: str = Field("auto", exclude=True)
    workers: int | None = Field(
        None, exclude=True, description="processes that detect, track and crop, at most 16; none: all cores"
    )

    @property
    def tile(self) -> tuple[int, int]:
        """Width and height of one tile, even, as H.264 wants them."""
        return self.width // self.side // 2 * 2, self.height // self.side // 2 * 2

    def distill(self, train: Clips, ipc: int, seed: int = 0) -> DistilledSet:
        """`ipc` mosaics per class, with hard labels. Raises VddError where a class has too few segments."""
        check_ipc(train, ipc)
        if train.geometry.sampling != "stride":
            raise VddError("optdistill draws clips from its videos at a stride; this geometry samples otherwise")
        modules = (
            __name__,
            "vddlib.distillers.distilled",
            "vddlib.distillers.stored.mosaics",
            *(f"vddlib.distillers.optdistill.{name}" for name in _STEPS),
        )
        key = {
            "method": self.method, "params": self.model_dump(mode="json"), "detector": self._detecting,
            "train": train.state(), "ipc": ipc, "seed": seed, "opencv": _opencv(), "encoding": ENCODING,
            **conditions(pick_device(self.device), *modules),
        }  # fmt: skip
        return DistilledSet.load(cache.get("distilled", key, lambda folder: self._make(folder, train, ipc, seed)))

    def regions(self, made: DistilledSet) -> DistilledSet:
        """The same stored videos, drawn tile by tile (N x N clips each), for region labels (section 4.4): `relabel` it."""
        content = made.content.tiles()
        labels = made.labels.repeat_interleave(content.parts)
        return DistilledSet(content, labels, made.classes, {**made.card, "drawn": "tiles"})

    def teacher(self, train: Clips) -> TrainedNetwork:
        """The network that scores segments and labels tiles."""
        device = pick_device(self.device)
        return train_teacher(train, self.network, self.teacher_recipe, seed=self.teacher_seed, device=device)

    # --- stages ---------------------------------------------------------------------------------------------------------

    def prepare(self, train: Clips, seed: int = 0, shard: tuple[int, int] = (0, 1)) -> None:
        """Detect, track and crop the videos of a shard (which, of how many), for sets of any `ipc`, this seed and tile."""
        videos = part_of(self.candidates(train, seed), shard, self.method)
        self._check_wanted(train)
        self._check_scorer()
        tracks = None
        if self.segments == "crops":
            stage, jobs = self._detect(train, videos)
            stage.run(jobs, partial(detection, by=self._detector), self.workers)
            stage, jobs = tracks = self._track(train, videos, seed)
            stage.run(jobs, partial(tracking, longest=self.longest), self.workers)
        stage, jobs = self._crop(train, videos, tracks)
        stage.run(jobs, partial(crop, size=self.tile, lost=self.lost, longest=self.longest), self.workers)

    def rate(self, train: Clips, seed: int = 0, shard: tuple[int, int] = (0, 1)) -> None:
        """Let the scorer look at the segments of a shard, once all shards are prepared. Nothing to do for random scores.

        A teacher's scores belong to the device and the number of threads that trained it: run all shards, and `distill`, on
        machines where these are the same, or the last one scores everything again.
        """
        if self.score != "random":
            by = self._scorer(train)
            stage, jobs = self._rate(train, self.gather(train, seed), by)
            judge(stage, part_of(jobs, shard, self.method), by)

    def _check_wanted(self, train: Clips) -> None:
        """Raises VddError for a class or a label that nobody knows, which would find nothing in any video."""
        unknown = [name for name in self.wanted if name not in (*train.classes, "*")]
        if unknown:
            raise VddError(f"optdistill: wanted names {unknown[0]!r}, which is no class of {train.dataset}")
        labels = {label for some in self.wanted.values() for label in some}
        known = self._detector.labels() if self.segments == "crops" else None
        for label in sorted(labels - set(known or labels)):
            raise VddError(f"optdistill: {self.detector} knows no {label!r}; its labels: {', '.join(sorted(known))}")

    def _check_scorer(self) -> None:
        """Raises VddError for a scorer that cannot be had, or cannot score so: before hours of tracking, not after them."""
        if self.scorer != "r3d_18" or self.score == "random":
            return
        if self.score == "loss":
            raise VddError("optdistill: score 'loss' needs the dataset's own classes: scorer 'teacher'")
        kinetics_state()

    @property
    def _detector(self) -> Detector:
        return detector(self.detector, self.confidence)

    @property
    def _detecting(self) -> dict[str, Any]:
        return {} if self.segments == "frames" else self._detector.key()

    def candidates(self, train: Clips, seed: int) -> list[int]:
        """Videos that are looked at: all, or `preselect` of each class."""
        chosen = []
        for label in range(len(train.classes)):
            members = train.of_class(label)
            order = torch.randperm(len(members), generator=seeding.generator("preselect", seed, label))
            chosen += sorted(members[order[: self.preselect or None]].tolist())
        return chosen

    def fitting(self, train: Clips, i: int, detected: dict[str, Any]) -> list[Box]:
        """The detections in video `i` that have a wanted label, as far as they lie within the frame."""
        wanted = self.wanted.get(train.classes[int(train.labels[i])], self.wanted.get("*", []))
        boxes = [tuple(one["box"]) for one in detected["found"] if one["label"] in (*wanted, ANY)]
        return [box for box in (inside(box, *detected["size"]) for box in boxes) if box]

    def chosen(self, train: Clips, i: int, detected: dict[str, Any], seed: int) -> list[Box]:
        """The boxes to follow in video `i`: at most `boxes` of those that fit, drawn by the seed and the video's name."""
        found, (width, height) = self.fitting(train, i, detected), detected["size"]
        if not found and self.fallback == "centre":
            return [(width / 4, height / 4, width / 2, height / 2)]
        order = torch.randperm(len(found), generator=seeding.generator("boxes", seed, train.name(i)))
        return [found[place] for place in order[: self.boxes].tolist()]

    def _detect(self, train: Clips, videos: list[int]) -> tuple[Stage, list[Job]]:
        key = {
            "dataset": train.fingerprint,
            **self._detecting,
            **_READING,
            "opencv": _opencv(),
            "code": _code("detect"),
        }
        return Stage("detect", key), [Job(train.name(i), str(train.path(i))) for i in videos]

    def _track(self, train: Clips, videos: list[int], seed: int) -> tuple[Stage, list[Job]]:
        code = _code("track", "boxes", "work")
        key = {"dataset": train.fingerprint, "longest": self.longest, **_READING, "opencv": _opencv(), "code": code}
        stage, jobs = self._detect(train, videos)
        chosen = (
            (i, self.chosen(train, i, found, seed))
            for i, found in zip(videos, stage.results(jobs), strict=True)
            if found
        )
        return Stage("track", key), [Job(train.name(i), str(train.path(i)), boxes) for i, boxes in chosen if boxes]

    def _crop(self, train: Clips, videos: list[int], tracks: tuple[Stage, list[Job]] | None) -> tuple[Stage, list[Job]]:
        key = {
            "dataset": train.fingerprint, "tile": self.tile, "lost": self.lost, "longest": self.longest, **_READING,
            "opencv": _opencv(), "encoding": ENCODING, "code": _code("track", "boxes", "work"),
        }  # fmt: skip
        if tracks is None:
            return Stage("crop", key), [Job(train.name(i), str(train.path(i))) for i in videos]
        stage, jobs = tracks
        tracked = (job for job, found in zip(jobs, stage.results(jobs), strict=True) if found)
        return Stage("crop", key), [Job(job.name, job.path, _in_cache(stage.place(job, PATHS))) for job in tracked]

    def gather(self, train: Clips, seed: int = 0) -> Prepared:
        """The segments that `prepare` made. Raises VddError where a shard is missing."""
        videos = self.candidates(train, seed)
        label = {train.name(i): int(train.labels[i]) for i in videos}
        segments: list[list[Segment]] = [[] for _ in train.classes]
        counts, seconds, tracks = {"videos": len(videos)}, {}, None
        if self.segments == "crops":
            stage, jobs = self._detect(train, videos)
            fits = {True: 0, False: 0, None: 0}
            seconds["detect"] = 0.0
            for i, found in zip(videos, stage.results(jobs), strict=True):
                fits[bool(self.fitting(train, i, found)) if found else None] += 1
                seconds["detect"] += found["seconds"] if found else 0
            counts |= {"with a detection": fits[True], "without": fits[False], "not read": fits[None]}
            stage, jobs = tracks = self._track(train, videos, seed)
            took = [one["seconds"] if one else None for one in stage.results(jobs)]
            seconds["track"] = sum(filter(None, took))
            counts |= {"followed": len(took) - took.count(None), "not followed": took.count(None)}
        stage, jobs = self._crop(train, videos, tracks)
        seconds["crop"], short, broken = 0.0, 0, 0
        for job, found in zip(jobs, stage.results(jobs), strict=True):
            broken += found is None
            seconds["crop"] += found["seconds"] if found else 0
            for number, frames in enumerate(found["frames"] if found else []):
                if frames < train.geometry.frames:
                    short += 1
                    continue
                file = stage.place(job, f".{number}.mp4")
                segments[label[job.name]].append(Segment(file=str(file), video=job.name, frames=frames, score=0.0))
        counts |= {"segments": sum(map(len, segments)), "too short": short, "not cropped": broken}
        return Prepared(segments, counts, seconds)

    def _scorer(self, train: Clips) -> Teacher | Kinetics:
        self._check_scorer()
        if self.scorer == "r3d_18":
            return Kinetics(pick_device(self.device))
        teacher = self.teacher(train)
        return Teacher(teacher.model, train, teacher.key)

    def _rate(self, train: Clips, prepared: Prepared, by: Teacher | Kinetics) -> tuple[Stage, list[Job]]:
        about = {"scorer": by.about, "geometry": train.geometry.model_dump(), "code": _code("score")}
        # One file name may stand for several crops, of other sizes say: the crop stage's folder tells them apart.
        jobs = [Job(_in_cache(Path(one.file)), one.file) for some in prepared.segments for one in some]
        return Stage("score", about), jobs

    def scored(self, train: Clips, prepared: Prepared, seed: int) -> Prepared:
        """The same segments with their scores; those that cannot be read are left out."""
        out: list[list[Segment]] = [[] for _ in prepared.segments]
        flat = [(one, label) for label, some in enumerate(prepared.segments) for one in some]
        if self.score == "random":
            values = torch.rand(len(flat), generator=seeding.generator("scores", seed)).tolist()
            for (one, label), value in zip(flat, values, strict=True):
                out[label].append(one.model_copy(update={"score": value}))
            return prepared._replace(segments=out)
        by = self._scorer(train)
        stage, jobs = self._rate(train, prepared, by)
        judge(stage, jobs, by)
        seconds = 0.0
        for (one, label), found in zip(flat, stage.results(jobs), strict=True):
            if found:
                seconds += found["seconds"]
                value = score(torch.tensor([found["logits"]]), torch.tensor([label]), self.score).item()
                out[label].append(one.model_copy(update={"score": value}))
        return prepared._replace(segments=out, seconds=prepared.seconds | {"score": seconds})

    # --- the set --------------------------------------------------------------------------------------------------------

    def select(self, train: Clips, ipc: int, seed: int = 0) -> tuple[list[list[Segment]], Prepared]:
        """The segments of every class that the mosaics are made of, shortest first, and what they were chosen from."""
        check_top_k(self.top_k, self.side**2 * ipc)
        self.prepare(train, seed)
        prepared = self.scored(train, self.gather(train, seed), seed)
        chosen = []
        for label, some in enumerate(prepared.segments):
            stream = seeding.generator("mosaics", seed, label)
            limits = {"top_k": self.top_k, "threshold": self.threshold, "one_per_video": self.one_per_video}
            try:
                chosen.append(choose(some, self.side**2 * ipc, stream, **limits))
            except VddError as error:
                raise VddError(
                    f"optdistill, class {train.classes[label]}: {error}; lower ipc or side, look at more videos or boxes, "
                    f"or set fallback to 'centre'"
                ) from None
        return chosen, prepared

    def _make(self, folder: Path, train: Clips, ipc: int, seed: int) -> None:
        device = pick_device(self.device)
        forget_peak(device)
        chosen, prepared = self.select(train, ipc, seed)
        begun = time.monotonic()
        videos, lengths, size = [], [], self.side**2
        groups = [some[first : first + size] for some in chosen for first in range(0, len(some), size)]
        for group in with_progress(groups, "compose"):
            frames = mosaic([frames_of(one.file) for one in group])
            videos.append(video.encode_bytes(frames, self.fps, self.quality))
            lengths.append(len(frames))
        high, wide = frames.shape[1:3]
        content = Mosaics.of(videos, lengths, (wide, high), self.side, train.geometry, train.mean, train.std)
        costs = prepared.seconds | {"compose": time.monotonic() - begun}
        scored = {"scorer": self.score}
        if self.score != "random":
            scored["scorer"] += f" by {self.network if self.scorer == 'teacher' else self.scorer}"
            if self.scorer == "teacher":
                costs["teacher"] = scored["teacher_seconds"] = self.teacher(train).log.seconds
        facts = scored | {
            "distill_seconds": sum(costs.values()), "stage_seconds": costs, "peak_memory_mb": peak_memory_mb(device),
            "counts": prepared.counts,
            "segments": [[one.model_dump(mode="json") | {"file": Path(one.file).name} for one in g] for g in groups],
        }  # fmt: skip
        say(f"optdistill IPC {ipc} seed {seed}: " + ", ".join(f"{n} {what}" for what, n in prepared.counts.items()))
        labels = torch.arange(len(train.classes)).repeat_interleave(ipc)
        DistilledSet(content, labels, train.classes, self.card(train, ipc, seed, **facts)).save(folder, previews=False)


def _in_cache(path: Path) -> str:
    """A file by its place in the cache, which machines may see at other places."""
    return path.relative_to(cache.folder()).as_posix()


def _opencv() -> str:
    import cv2

    return cv2.__version__


def _code(*names: str) -> str:
    return cache.code_digest(*(f"vddlib.distillers.optdistill.{name}" for name in names))
