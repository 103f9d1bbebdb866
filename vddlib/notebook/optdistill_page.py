"""What notebook 13 shows of OptDistill: detections, tracked boxes and crops of a video, and tables of what its sets hold."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from vddlib.datasets import video
from vddlib.datasets.clips import Clips
from vddlib.distillers.distilled import DistilledSet
from vddlib.distillers.optdistill import OptDistill
from vddlib.distillers.optdistill.boxes import Box, cover, outlined
from vddlib.distillers.optdistill.compose import Segment
from vddlib.distillers.optdistill.detect import detect
from vddlib.distillers.optdistill.pipeline import Gathered, Pipeline
from vddlib.distillers.optdistill.track import crops, track
from vddlib.evaluation import Report
from vddlib.notebook.case_runs import by_protocol
from vddlib.notebook.fair import fair_students

COUNTED = ("videos", "with a detection", "without", "not read", "followed", "not followed", "not cropped")


class Followed(NamedTuple):
    """One video with what was followed in it.

    `size`: width and height of the frames; `paths`: (x, y, width, height) in pixels by track and frame, None where it was
    lost; `drawn` ``uint8 [T, H, W, 3]``: its frames, enlarged where they are small, with the tracked boxes (solid) and
    their crops (dashed); `crops` ``uint8 [T_k, h, w, 3]`` for each track.
    """

    size: tuple[int, int]
    paths: list[list[Box | None]]
    drawn: np.ndarray
    crops: list[np.ndarray]

    def boxes(self) -> list[Box]:
        """The tracked boxes of all frames and tracks, one after another."""
        return [box for path in self.paths for box in path if box]


def detections(pipeline: Pipeline, count: int) -> dict[int, dict]:
    """What the detector finds in about `count` training videos of all classes, by the video's index. Raises BrokenVideo."""
    train, detector = pipeline.train, pipeline.detector
    return {i: detect(train.path(i), detector) for i in range(0, len(train), max(1, len(train) // count))}


def with_detection(pipeline: Pipeline, detected: Mapping[int, dict]) -> list[int]:
    """The videos that have a wanted detection; all of them where none has."""
    return [i for i, found in detected.items() if pipeline.fitting(i, found)] or list(detected)


def evenly(items: Sequence, count: int) -> list:
    """`count` of `items`, evenly, the first and the last among them."""
    return [items[k] for k in np.linspace(0, len(items) - 1, count).astype(int)]


def detection_table(train: Clips, detected: Mapping[int, dict], videos: Sequence[int]) -> pd.DataFrame:
    """A row per detection in `videos`: the video, the label, the confidence (0 to 1), the box in pixels."""
    return pd.DataFrame(
        {
            "video": train.name(i), "label": found["label"], "confidence": found["confidence"],
            "box (x, y, width, height)": ", ".join(f"{value:.0f}" for value in found["box"]),
        }
        for i in videos
        for found in detected[i]["found"]
    )  # fmt: skip


def detection_pictures(
    train: Clips, detected: Mapping[int, dict], videos: Sequence[int], width: int, height: int
) -> np.ndarray:
    """First frames of `videos` with all boxes found in them, ``uint8 [videos, height, width, 3]``."""
    import cv2

    frames = [
        outlined(
            video.apart(video.first_frames, train.path(i), 1)[0],
            [tuple(found["box"]) for found in detected[i]["found"]],
        )
        for i in videos
    ]
    return np.stack([cv2.resize(frame, (width, height)) for frame in frames])


def follow_video(pipeline: Pipeline, i: int) -> Followed:
    """Detect in training video `i`, track the chosen boxes (the centre where nothing was found), crop. Raises BrokenVideo."""
    settings, train = pipeline.settings, pipeline.train
    centred = settings.model_copy(update={"fallback": "centre"}).pipeline(train, pipeline.seed)
    boxes = centred.chosen_boxes(i, video.apart(detect, train.path(i), pipeline.detector))
    tracked = video.apart(track, train.path(i), boxes, settings.longest)
    paths = [[tuple(box) if box else None for box in path] for path in tracked["paths"]]
    ratio = settings.tile[0] / settings.tile[1]
    drawn = []
    for t, frame in enumerate(video.apart(video.first_frames, train.path(i), tracked["frames"])):
        inner = [path[t] for path in paths if path[t]]
        drawn.append(outlined(frame, inner, crops=[cover(box, *tracked["size"], ratio) for box in inner]))
    cropped = video.apart(crops, train.path(i), paths, *settings.tile, settings.lost)
    return Followed(tuple(tracked["size"]), paths, np.stack(drawn), cropped)


def readable(width: int, height: int, least: int = 320) -> tuple[int, int]:
    """A size of that shape at which outlines in a picture can be told apart: at least `least` pixels wide."""
    factor = max(1.0, least / width)
    return round(width * factor), round(height * factor)


def shortened(frames: np.ndarray, count: int, width: int, height: int) -> np.ndarray:
    """`count` frames of ``uint8 [T, H, W, 3]``, evenly from the first to the last, as ``uint8 [count, height, width, 3]``."""
    import cv2

    how = cv2.INTER_AREA if frames.shape[1] > height else cv2.INTER_LINEAR  # thin lines survive an average
    return np.stack([cv2.resize(frame, (width, height), interpolation=how) for frame in evenly(frames, count)])


def count_table(sets: Mapping[int, DistilledSet]) -> pd.DataFrame:
    """A row per seed: how many videos were looked at, had a detection, were followed, and how many segments they gave."""
    counts = pd.DataFrame({"seed": seed, **distilled.card["counts"]} for seed, distilled in sets.items())
    return counts[[name for name in ("seed", *COUNTED, "segments", "too short") if name in counts]]


def stage_table(distilled: DistilledSet) -> pd.DataFrame:
    """What each stage took: items, seconds (summed over videos, and so over processes), items per second."""
    counts, spent = distilled.card["counts"], distilled.card["stage_seconds"]
    done = {
        "detect": counts["videos"], "track": counts.get("followed"), "crop": counts["segments"],
        "score": counts["segments"], "compose": len(distilled),
    }  # fmt: skip
    return pd.DataFrame(
        {"stage": name, "items": done[name], "seconds": spent[name], "items per second": done[name] / spent[name]}
        for name in done
        if spent.get(name)
    )


def segment_table(distilled: DistilledSet) -> pd.DataFrame:
    """A row per tile of the distilled videos: its class, the video it is from, its frames, its score."""
    return pd.DataFrame(
        {
            "class": distilled.classes[int(label)], "video": segment["video"], "frames": segment["frames"],
            "score": segment["score"],
        }
        for label, group in zip(distilled.labels, distilled.card["segments"], strict=True)
        for segment in group
    )  # fmt: skip


def stored_videos(distilled: DistilledSet, count: int) -> tuple[list[np.ndarray], list[str]]:
    """The first distilled video of each of the first `count` classes, ``uint8 [T, H, W, 3]``, and the classes' names."""
    labels = distilled.labels.tolist()
    firsts = [labels.index(label) for label in range(min(count, len(distilled.classes)))]
    return [video.decode_bytes(distilled.content.file(k)) for k in firsts], [
        distilled.classes[labels[k]] for k in firsts
    ]


def best_video(pipeline: Pipeline, distilled: DistilledSet, gathered: Gathered) -> tuple[str, dict[str, np.ndarray]]:
    """The paper's figure 1 from the segment of the highest score: what it shows, and its rows ``uint8 [T_k, H, W, 3]``.

    Rows: the video with what was followed, its crops with their scores, the distilled video that the best crop is part of.
    """
    used = segment_table(distilled)
    best, train = used.loc[used["score"].idxmax()], pipeline.train
    label = train.classes.index(best["class"])
    i = next(i for i in train.of_class(label).tolist() if train.name(i) == best["video"])
    followed, scores = follow_video(pipeline, i), crop_scores(gathered.segments[label], best["video"])
    rows = {"followed": followed.drawn}
    rows |= {f"crop {k}, score {scores[k]:.2f}": crop for k, crop in enumerate(followed.crops) if k in scores}
    file = distilled.content.file(used["score"].idxmax() // int(distilled.content.side) ** 2)
    return f"{best['class']}, {best['video']}", rows | {"distilled video": video.decode_bytes(file)}


def crop_scores(segments: Sequence[Segment], video_name: str) -> dict[int, float]:
    """Scores of a video's crops, by the crop's number (files are named NAME.NUMBER.mp4)."""
    mine = [segment for segment in segments if segment.video == video_name]
    return {int(Path(segment.file).suffixes[-2][1:]): segment.score for segment in mine}


def region_label_table(regions: Mapping[int, DistilledSet]) -> pd.DataFrame:
    """A row per seed: tiles, the share whose likeliest class by the teacher is their own, and its mean confidence (%)."""
    return pd.DataFrame(
        {
            "seed": seed,
            "tiles": len(tiles),
            "teacher names the class, %": 100 * (tiles.targets.argmax(1) == tiles.labels).float().mean().item(),
            "its mean confidence, %": 100 * tiles.targets.amax(1).mean().item(),
        }
        for seed, tiles in regions.items()
    )


def recall_table(reports: Mapping[str, Report]) -> pd.DataFrame:
    """A row per class, a column per report: of the class's test videos the share found (%), mean over the seeds.

    From the last pass over the test videos.
    """
    classes = next(iter(reports.values())).classes
    return pd.DataFrame(
        {"class": name} | {what: _recall(report, label) for what, report in reports.items()}
        for label, name in enumerate(classes)
    )


def _recall(report: Report, label: int) -> float:
    members = report.labels == label
    found = [(logits.argmax(1) == label)[members].float().mean().item() for logits in report.logits]
    return 100 * sum(found) / len(found)


def case_rows(compared: Mapping[str, Mapping[str, Report]], usual: str) -> list[dict]:
    """Records of cases in which one thing is changed, by case and protocol: `optdistill` for the `usual` one,
    `optdistill[case]` for the others."""
    names = {case: OptDistill.name if case == usual else f"{OptDistill.name}[{case}]" for case in compared}
    return [
        row | {"method": names[case], "variant": "compare"}
        for case, reports in compared.items()
        for report in reports.values()
        for row in report.rows
    ]


def case_table(compared: Mapping[str, Mapping[str, Report]]) -> pd.DataFrame:
    """A row per case: mean and std of top-1 over seeds by protocol, in percent."""
    return pd.DataFrame([{"case": case, **by_protocol(reports)} for case, reports in compared.items()])


def fair_rows(
    mosaics: Mapping[int, DistilledSet],
    tiles: Mapping[int, DistilledSet],
    train: Clips,
    test: Clips,
    protocols: Sequence[str],
    *,
    variant: str = "",
    **options,
) -> list[dict]:
    """Records under the fair protocols: whole mosaics, and tiles as the variant 'tiles'; `options` as in `fair_students`."""
    rows = []
    for sets, what in ((mosaics, variant), (tiles, f"{variant} tiles".strip())):
        named = {"variant": what} if what else {}
        for report in fair_students(sets, train, test, protocols, **options).values():
            rows += [row | named for row in report.rows]
    return rows
