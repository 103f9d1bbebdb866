"""What notebook 13 shows, on a made dataset: the pictures' shapes, the tables' numbers, figure 1's rows."""

import numpy as np
import pytest
import torch

from tests.conftest import write_ucf
from vddlib.datasets.clips import load
from vddlib.datasets.geometry import geometry
from vddlib.distillers import OptDistill
from vddlib.distillers.optdistill.compose import Segment
from vddlib.evaluation import Report
from vddlib.notebook import optdistill_page as page

SETTINGS = {
    "detector": "motion", "fallback": "centre", "boxes": 1, "longest": 10, "width": 64, "height": 48, "workers": 1,
    "score": "random", "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A method, its clips (two classes of four videos), its set and the cache that all of it lies in."""
    root = write_ucf(tmp_path_factory.mktemp("page") / "two", train=4, test=1, classes=("Red", "Green"))
    cache = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VDD_CACHE", str(cache))
        train, _ = load(str(root), geometry(6, 32, 1), workers=1)
        method = OptDistill(**SETTINGS)
        return method, train, method.distill(train, 1, 0), cache


def test_pictures_of_detections_and_of_what_is_followed(made):
    method, train, _, _ = made
    pipeline = method.pipeline(train, 0)
    detected = page.detections(pipeline, count=4)
    assert list(detected) == [0, 2, 4, 6]
    fitting = page.with_detection(pipeline, detected)
    assert set(fitting) <= set(detected) and page.with_detection(pipeline, {3: {"size": [64, 48], "found": []}}) == [3]
    table = page.detection_table(train, detected, fitting)
    assert len(table) == sum(len(detected[i]["found"]) for i in fitting) and table["video"][0] == train.name(fitting[0])
    assert page.detection_pictures(train, detected, fitting, 40, 30).shape == (len(fitting), 30, 40, 3)
    followed = page.follow_video(pipeline, fitting[0])
    assert followed.drawn.shape == (10, 8 * 48, 8 * 64, 3) and followed.drawn.dtype == np.uint8
    assert len(followed.paths) == len(followed.crops) == 1 and len(followed.boxes()) == len(followed.crops[0])
    assert followed.crops[0].shape[1:] == (24, 32, 3)
    assert page.shortened(followed.crops[0], 4, 16, 12).shape == (4, 12, 16, 3)


def test_tables_of_a_set(made):
    _, train, distilled, _ = made
    counts = page.count_table({0: distilled}).iloc[0]
    assert list(counts.index[:2]) == ["seed", "videos"] and counts["videos"] == 8 and counts["segments"] == 8
    stages = page.stage_table(distilled).set_index("stage")
    assert list(stages.index) == ["detect", "track", "crop", "compose"]  # random scores take no stage
    assert stages.loc["compose", "items"] == 2
    assert (stages["items"] / stages["seconds"]).tolist() == pytest.approx(stages["items per second"].tolist())
    segments = page.segment_table(distilled)
    assert segments["class"].tolist() == [train.classes[0]] * 4 + [train.classes[1]] * 4
    videos, names = page.stored_videos(distilled, 6)
    assert names == list(train.classes) and [v.shape[1:] for v in videos] == [(48, 64, 3)] * 2


def test_figure_1_shows_the_best_segments_video_crop_and_mosaic(made, monkeypatch):
    method, train, distilled, cache = made
    monkeypatch.setenv("VDD_CACHE", str(cache))
    _, gathered = method.select(train, 1, 0)
    shown, rows = page.best_video(method.pipeline(train, 0), distilled, gathered)
    best = page.segment_table(distilled).sort_values("score").iloc[-1]
    assert shown == f"{best['class']}, {best['video']}"
    assert list(rows) == ["followed", f"crop 0, score {best['score']:.2f}", "distilled video"]
    assert rows["followed"].shape[1:] == (8 * 48, 8 * 64, 3) and rows["distilled video"].shape[1:] == (48, 64, 3)


def test_scores_are_found_by_the_number_of_the_crop():
    segments = [
        Segment(file=f"/a/bc.{n}.mp4", video=v, frames=9, score=n / 4) for n, v in ((0, "x"), (2, "x"), (1, "y"))
    ]
    assert page.crop_scores(segments, "x") == {0: 0.0, 2: 0.5}


def test_recall_by_class_is_the_mean_over_seeds():
    right, wrong = torch.eye(2)[[0, 0, 1]], torch.eye(2)[[0, 1, 0]]
    report = Report([{}, {}], [right, wrong], torch.tensor([0, 0, 1]), ("Red", "Green"))
    assert page.recall_table({"ours": report})["ours"].tolist() == [75, 50]


def test_cases_are_recorded_as_variants():
    report = Report([{"method": "optdistill", "seed": 0, "top1": 40.0}], [], torch.tensor([]), ())
    rows = page.case_rows({"as above": {"A": report, "F": report}, "n1": {"A": report}}, "as above")
    assert [(row["method"], row["variant"]) for row in rows] == [
        ("optdistill", "compare"),
        ("optdistill", "compare"),
        ("optdistill[n1]", "compare"),
    ]


def test_the_table_of_cases_has_a_column_by_protocol():
    one, other = (
        Report([{"top1": value} for value in pair], [], torch.tensor([]), ()) for pair in ((40, 44), (50, 50))
    )
    table = page.case_table({"as above": {"A": one, "F": other}, "real clips": {"A": other}})
    assert list(table) == ["case", "A", "std A", "F", "std F"]
    assert table["A"].tolist() == [42, 50] and table["std A"][0] == pytest.approx(2 * 2**0.5)
    assert table["F"].isna().tolist() == [False, True]


def test_evenly_keeps_both_ends():
    assert page.evenly(list(range(11)), 3) == [0, 5, 10]
