"""OptDistill: real segments, found, followed, scored and tiled. Nothing is optimised."""

import time
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from vddlib.core import cache, seeding
from vddlib.core.errors import VddError
from vddlib.core.measure import forget_peak, peak_memory_mb
from vddlib.core.progress import say, with_progress
from vddlib.datasets import video
from vddlib.datasets.clips import Clips
from vddlib.distillers.base import Distiller, check_ipc
from vddlib.distillers.distilled import DistilledSet
from vddlib.distillers.optdistill.compose import Segment, check_top_k, choose, mosaic
from vddlib.distillers.optdistill.pipeline import ENCODING, Gathered, Pipeline, opencv_version
from vddlib.distillers.optdistill.score import Score, halves
from vddlib.distillers.optdistill.track import Lost
from vddlib.distillers.optdistill.work import frames_of
from vddlib.distillers.stored.mosaics import Mosaics
from vddlib.distillers.stored.sei import without_sei
from vddlib.training.fit import Recipe, pick_device
from vddlib.training.networks import Network, TrainedNetwork, conditions, train_teacher

_STEPS = ("boxes", "detect", "track", "score", "compose", "work", "pipeline")


class OptDistill(Distiller):
    """Detect on the first frame, track, crop, score, take the best of each class, tile them N x N.

    The stages (pipeline.py) keep a file per video in the cache: an interrupted run goes on, and `prepare` and
    `score_segments` run in shards on many machines. Defaults are the paper's section 5.1 where it states them, but for the
    scorer (r3d_18 there, whose weights have to be fetched); yolov5su.pt is ultralytics' anchor-free YOLOv5.
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
    fallback: Literal["skip", "centre"] = Field(
        "skip", description="videos without a detection: skip them, or crop the centre"
    )
    segments: Literal["crops", "frames"] = Field(
        "crops", description="'frames': the largest centre crop of W:H, nothing is detected"
    )
    longest: int = Field(0, ge=0, description="frames followed per video; 0: all")
    lost: Lost = Field("drop", description="frames where the tracker lost its target")
    preselect: int = Field(0, ge=0, description="videos per class looked at, drawn at random; 0: all (section 4.3)")
    side: int = Field(2, ge=1, description="N: tiles along a side of a distilled video")
    width: int = Field(320, ge=16, description="W of a distilled video, in pixels; tiles are W/N wide, rounded to even")
    height: int = Field(240, ge=16, description="H of a distilled video, in pixels; tiles likewise")
    fps: float = Field(25.0, gt=0, description="frames per second of a distilled video")
    quality: int = Field(23, ge=0, le=51, description="CRF of H.264 it is stored with")
    score: Score = Field("confidence", description="of the likeliest class, minus the loss of the true one, or random")
    scorer: Literal["teacher", "r3d_18", "kinetics", "halves"] = Field(
        "teacher",
        description="trained on the train split, on Kinetics-400, on Kinetics-600 (MoViNet-A0), or two: each scores what is "
        "of the other's sources",
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
        if train.paced:
            raise VddError(f"optdistill draws clips at one stride, and the classes of {train.dataset} differ in theirs")
        modules = (
            __name__,
            "vddlib.distillers.distilled",
            "vddlib.distillers.stored.encoded",
            "vddlib.distillers.stored.mosaics",
            "vddlib.distillers.stored.sei",
            *(f"vddlib.distillers.optdistill.{name}" for name in _STEPS),
        )
        key = {
            "method": self.method, "params": self.model_dump(mode="json"),
            "detector": self.pipeline(train, seed).detector_key(), "train": train.state(), "ipc": ipc, "seed": seed,
            "opencv": opencv_version(), "encoding": ENCODING, **conditions(pick_device(self.device), *modules),
        }  # fmt: skip
        return DistilledSet.load(cache.get("distilled", key, lambda folder: self._compose(folder, train, ipc, seed)))

    def regions(self, distilled: DistilledSet) -> DistilledSet:
        """The same stored videos, drawn tile by tile (N x N clips each), for region labels (section 4.4): `relabel` it."""
        content = distilled.content.tiles()
        labels = distilled.labels.repeat_interleave(content.parts)
        return DistilledSet(content, labels, distilled.classes, {**distilled.card, "drawn": "tiles"})

    def teacher(self, train: Clips) -> TrainedNetwork:
        """The network that scores segments and labels tiles, trained on `train`: the split, or one of its `halves`."""
        device = pick_device(self.device)
        return train_teacher(train, self.network, self.teacher_recipe, seed=self.teacher_seed, device=device)

    def pipeline(self, train: Clips, seed: int = 0) -> Pipeline:
        """The stages over the videos of `train` that `seed` draws, with these settings."""
        return Pipeline(self, train, seed)

    def prepare(self, train: Clips, seed: int = 0, shard: tuple[int, int] = (0, 1)) -> None:
        """Detect, track and crop the videos of a shard (which, of how many), for sets of any `ipc`, this seed and tile."""
        self.pipeline(train, seed).prepare(shard)

    def score_segments(self, train: Clips, seed: int = 0, shard: tuple[int, int] = (0, 1)) -> None:
        """Let the scorer look at the segments of a shard, once all shards are prepared. Nothing to do for random scores.

        A teacher's scores belong to the device and the number of threads that trained it: run all shards, and `distill`, on
        machines where these are the same, or the last one scores everything again.
        """
        self.pipeline(train, seed).score_segments(shard)

    def select(self, train: Clips, ipc: int, seed: int = 0) -> tuple[list[list[Segment]], Gathered]:
        """The segments of every class that the mosaics are made of, shortest first, and what they were chosen from."""
        check_top_k(self.top_k, self.side**2 * ipc)
        pipeline = self.pipeline(train, seed)
        pipeline.prepare()
        gathered = pipeline.scored(pipeline.gather())
        limits = {"top_k": self.top_k, "threshold": self.threshold, "one_per_video": self.one_per_video}
        chosen = []
        for label, of_class in enumerate(gathered.segments):
            stream = seeding.generator("mosaics", seed, label)
            try:
                chosen.append(choose(of_class, self.side**2 * ipc, stream, **limits))
            except VddError as error:
                raise VddError(f"optdistill, class {train.classes[label]}: {error}{self._remedies(ipc)}") from None
        return chosen, gathered

    def _remedies(self, ipc: int) -> str:
        """What to change where a class has too few segments: only what these settings leave to be changed."""
        found = self.segments == "crops"
        by_yolo = found and self.detector != "motion"
        advice = {
            f"lower ipc, now {ipc}": ipc > 1,
            f"lower side, now {self.side}": self.side > 1,
            f"raise preselect, now {self.preselect} (0: all videos)": self.preselect > 0,
            f"raise boxes, now {self.boxes}": found and not self.one_per_video,
            f"lower confidence, now {self.confidence:g}": by_yolo and self.confidence > 0,
            f"raise longest, now {self.longest} (0: all frames)": self.longest > 0,
            f"lower threshold, now {self.threshold}": self.threshold is not None,
            "set one_per_video to false": self.one_per_video and found,
            "set fallback to 'centre'": found and self.fallback != "centre",
            "set lost to 'hold'": found and self.lost == "drop",
            "set segments to 'frames'": found,
        }
        possible = [what for what, helps in advice.items() if helps]
        return "; to have enough: " + ", or ".join(possible) if possible else "; give it more videos"

    def _compose(self, folder: Path, train: Clips, ipc: int, seed: int) -> None:
        """Make the set anew and write it into `folder`."""
        device = pick_device(self.device)
        forget_peak(device)
        chosen, gathered = self.select(train, ipc, seed)
        begun = time.monotonic()
        videos, lengths, tiles = [], [], self.side**2
        groups = [of_class[first : first + tiles] for of_class in chosen for first in range(0, len(of_class), tiles)]
        for group in with_progress(groups, "compose"):
            frames = mosaic([frames_of(segment.file) for segment in group])
            videos.append(without_sei(video.encode_bytes(frames, self.fps, self.quality)))
            lengths.append(len(frames))
        height, width = frames.shape[1:3]
        content = Mosaics(videos, lengths, (width, height), self.side, train.geometry, train.mean, train.std)
        costs = gathered.seconds | {"compose": time.monotonic() - begun}
        scoring = self._scoring(train)
        costs |= {"teacher": scoring.pop("seconds")} if "seconds" in scoring else {}
        facts = scoring | {
            "distill_seconds": sum(costs.values()), "stage_seconds": costs, "peak_memory_mb": peak_memory_mb(device),
            "counts": gathered.counts, "segments": [[_described(segment) for segment in group] for group in groups],
        }  # fmt: skip
        say(f"optdistill IPC {ipc} seed {seed}: " + ", ".join(f"{n} {what}" for what, n in gathered.counts.items()))
        labels = torch.arange(len(train.classes)).repeat_interleave(ipc)
        DistilledSet(content, labels, train.classes, self.card(train, ipc, seed, **facts)).save(folder, previews=False)

    def _scoring(self, train: Clips) -> dict[str, Any]:
        """What a set's card says of its scorer, and the `seconds` that its networks took to train."""
        if self.score == "random":
            return {"scorer": "random"}
        names = {"teacher": f"{self.network}", "halves": f"{self.network} of other sources", "kinetics": "movinet_a0"}
        by = names.get(self.scorer, self.scorer)
        said = {"scorer": f"{self.score} by {by}"}
        if self.scorer == "halves":  # these label nothing: a teacher that labels tiles counts besides
            return said | {"seconds": sum(self.teacher(half).log.seconds for half in halves(train))}
        if self.scorer == "teacher":
            seconds = self.teacher(train).log.seconds
            return said | {"teacher_seconds": seconds, "seconds": seconds}
        return said


def _described(segment: Segment) -> dict:
    """A segment as a set's card has it: its file by name, since caches lie at other places on other machines."""
    return segment.model_dump(mode="json") | {"file": Path(segment.file).name}
