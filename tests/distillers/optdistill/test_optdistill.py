"""OptDistill whole: what is followed, runs that go on and join, the stored set, its two protocols."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import ROOT, in_process, write_ucf
from vddlib import evaluation
from vddlib.core import seeding
from vddlib.core.errors import VddError
from vddlib.datasets import video
from vddlib.datasets.clips import load
from vddlib.datasets.geometry import geometry
from vddlib.distillers import OptDistill, build, relabel
from vddlib.distillers.distilled import DistilledSet
from vddlib.distillers.optdistill import score as scoring
from vddlib.distillers.optdistill import stages, work
from vddlib.distillers.optdistill.detect import Yolo
from vddlib.distillers.optdistill.pipeline import Pipeline
from vddlib.distillers.optdistill.stages import Stage
from vddlib.training.fit import Recipe
from vddlib.training.networks import Network

STAGES = ("detect", "track", "crop", "score")
NARROW = Network(options={"depth": 2, "widths": (8, 8)})
FEW = {
    "detector": "motion", "fallback": "centre", "boxes": 1, "longest": 14, "width": 64, "height": 48, "workers": 1,
    "network": NARROW, "teacher_recipe": Recipe(epochs=2, batch_size=8), "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Two classes of five training videos, as clips of 6 frames of 32x32."""
    root = write_ucf(tmp_path_factory.mktemp("optdistill") / "two", train=5, test=2, classes=("Red", "Green"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VDD_CACHE", str(tmp_path_factory.mktemp("store")))
        return load(str(root), geometry(6, 32, 1), workers=1)


def test_what_is_followed_is_wanted_at_most_so_many_and_by_the_seed(train):
    found = {
        "size": [64, 48],
        "found": [
            {"box": [i, i, 20.0, 20.0], "label": "person" if i % 2 else "dog", "confidence": 0.9} for i in range(8)
        ],
    }
    chosen = OptDistill(boxes=3).pipeline(train[0], 0).chosen_boxes(0, found)
    assert len(chosen) == 3 and all(box[0] % 2 == 1 for box in chosen)
    seeds = [OptDistill(boxes=3).pipeline(train[0], seed).chosen_boxes(0, found) for seed in range(9)]
    assert seeds[0] == chosen and len({tuple(one) for one in seeds}) > 1
    dogs = OptDistill(boxes=9, wanted={"Red": ["dog"], "*": ["cat"]}).pipeline(train[0], 0)
    red = train[0].classes.index("Red")
    of_red = int(train[0].of_class(red)[0])
    assert len(dogs.chosen_boxes(of_red, found)) == 4
    other = int(train[0].of_class(1 - red)[0])
    assert dogs.chosen_boxes(other, found) == []
    cats = OptDistill(wanted={"*": ["cat"]}, fallback="centre").pipeline(train[0], 0)
    assert cats.chosen_boxes(0, found) == [(16, 12, 32, 24)]


@pytest.mark.parametrize("side", [1, 2])
def test_a_set_of_mosaics(train, side, tmp_path):
    method = OptDistill(**FEW, side=side, score="random")
    with pytest.raises(VddError, match="5 usable segments where 20 are needed" if side > 1 else "ipc 6"):
        method.distill(train[0], 5 if side > 1 else 6, 0)
    made = method.distill(train[0], 1, 0)
    assert len(made) == 2 and made.labels.tolist() == [0, 1] and made.card["counts"]["videos"] == 10
    content = made.content
    frames = [video.decode_bytes(content.file(i)) for i in range(2)]
    assert [len(f) for f in frames] == content.lengths.tolist() and frames[0].shape[1:] == (48, 64, 3)
    assert content.pixel_values() == sum(f.size for f in frames) == made.bytes_uint8
    assert made.bytes_video == sum(len(content.file(i)) for i in range(2)) < made.bytes_uint8
    clips, targets = made.draw()
    assert clips.shape == (2, 3, 6, 32, 32) and torch.equal(targets, made.labels)
    again = DistilledSet.load(made.save(tmp_path / "set"))
    assert torch.equal(again.draw()[0], clips) and again.state() == made.state()
    epochs = [made.batch([0, 1], epoch=epoch)[0] for epoch in range(6)]
    assert any(not torch.equal(epochs[0], other) for other in epochs[1:])  # starts are drawn anew


@pytest.mark.parametrize(
    ("settings", "ipc", "told", "untold"),
    [
        ({}, 5, ("lower ipc, now 5", "lower side, now 2", "raise boxes, now 1", "raise longest, now 14"), ("fallback",)),
        ({"fallback": "skip", "side": 9, "lost": "hold"}, 1, ("fallback to 'centre'", "lower side, now 9"), ("ipc,", "lost")),
        ({"side": 9, "segments": "frames", "longest": 0}, 1, ("side",), ("fallback", "boxes", "segments to", "longest")),
        ({"threshold": 2.0}, 1, ("lower threshold, now 2.0",), ("preselect", "one_per_video", "confidence")),
        ({"preselect": 2, "one_per_video": True}, 1, ("raise preselect, now 2", "one_per_video"), ("raise boxes",)),
        ({"threshold": 2.0, "side": 1, "segments": "frames", "longest": 0}, 1, ("lower threshold",), ("side", "ipc,")),
    ],
)  # fmt: skip
def test_advice_names_nothing_that_is_set_already(train, settings, ipc, told, untold):
    with pytest.raises(VddError, match="usable segments where") as refused:
        OptDistill(**{**FEW, "score": "random", **settings}).distill(train[0], ipc, 0)
    advice = str(refused.value).partition("needed; ")[2]
    assert all(part in advice for part in told) and not any(part in advice for part in untold), advice


def test_classes_that_differ_in_stride_are_refused(train):
    paced = train[0].subset(range(len(train[0])))
    paced.paced = True
    with pytest.raises(VddError, match="the classes of two differ in theirs"):
        OptDistill(**FEW).distill(paced, 1, 0)


def test_nine_tiles_of_whole_frames(tmp_path_factory):
    root = write_ucf(tmp_path_factory.mktemp("nine") / "one", train=9, test=1, classes=("Red",))
    train, _ = load(str(root), geometry(6, 32, 1), workers=1)
    method = OptDistill(**{**FEW, "width": 100}, segments="frames", side=3, score="random")
    made = method.distill(train, 1, 0)
    frames = video.decode_bytes(made.content.file(0))
    assert method.tile == (32, 16) and frames.shape == (14, 48, 96, 3)  # even, and no column twice
    assert "detect" not in made.card["stage_seconds"] and len(method.regions(made)) == 9
    assert made.draw()[0].shape == (1, 3, 6, 32, 32)


def test_a_clips_draw_does_not_depend_on_its_batch(train):
    method = OptDistill(**FEW, score="random")
    tiles = method.regions(method.distill(train[0], 1, 0))
    everything = tiles.batch(range(8), epoch=3)[0]
    parts = torch.cat([tiles.batch(part, epoch=3)[0] for part in torch.arange(8).split(3)])
    assert torch.equal(parts, everything) and torch.equal(tiles.batch([5], epoch=3)[0][0], everything[5])


def test_the_teacher_counts_once(train):
    method = OptDistill(**FEW)
    made = method.distill(train[0], 1, 0)
    seconds = made.card["stage_seconds"]
    assert made.card["distill_seconds"] == pytest.approx(sum(seconds.values())) and seconds["teacher"] > 0
    teacher = method.teacher(train[0])
    assert relabel(method.regions(made), teacher, 1.0).card["distill_seconds"] == made.card["distill_seconds"]
    unscored = OptDistill(**FEW, score="random").distill(train[0], 1, 0)
    labelled = relabel(unscored, teacher, 1.0).card["distill_seconds"]
    assert labelled == pytest.approx(unscored.card["distill_seconds"] + teacher.log.seconds)


def test_tiles_are_the_segments_of_the_mosaic(train):
    method = OptDistill(**FEW, score="random")
    made = method.distill(train[0], 1, 0)
    tiles = method.regions(made)
    assert len(tiles) == 8 and tiles.labels.tolist() == [0] * 4 + [1] * 4 and tiles.bytes_video == made.bytes_video
    frames = video.decode_bytes(made.content.file(1))
    expected = train[0].geometry.square(frames[:, 24:, :32])
    assert np.array_equal(tiles.content._squares[4 + 2], expected)
    teacher = method.teacher(train[0])
    soft = relabel(tiles, teacher, 1.0, draws=3)
    own = seeding.derive("logits")  # draws that no student sees
    views = [teacher.model.eval()(tiles.batch(range(8), epoch=draw, seed=own)[0]).softmax(1) for draw in range(3)]
    assert torch.allclose(soft.targets, torch.stack(views).mean(0), atol=1e-5)
    assert soft.bytes_video == made.bytes_video + 4 * 8 * 2  # labels count


def test_both_protocols_train_students(train):
    method = OptDistill(**FEW)
    made = method.distill(train[0], 1, 0)
    whole = evaluation.protocol("A", epochs=2)
    row = evaluation.evaluate(made, train[1], whole, seeds=[0], network=NARROW, device="cpu").rows[0]
    assert row["method"] == "optdistill" and row["bytes_video"] == made.bytes_video
    regions = relabel(method.regions(made), method.teacher(train[0]), 1.0)
    tiled = evaluation.protocol("A-regions", epochs=2)
    row = evaluation.evaluate(regions, train[1], tiled, seeds=[0], network=NARROW, device="cpu").rows[0]
    assert row["protocol"] == "A-regions" and row["teacher"] == "minic3d"
    with pytest.raises(VddError, match="stores hard ones"):
        evaluation.evaluate(made, train[1], tiled, seeds=[0], network=NARROW, device="cpu")


def test_scores_come_from_the_teacher_and_rank_the_segments(train):
    method = OptDistill(**FEW, score="loss")
    chosen, gathered = method.select(train[0], 1, 0)
    assert set(gathered.seconds) == {"detect", "track", "crop", "score"} and min(gathered.seconds.values()) > 0
    assert gathered.counts["segments"] == 10 and gathered.counts["too short"] == 0
    teacher = method.teacher(train[0]).model.eval()
    for label, of_class in enumerate(chosen):
        for one in of_class:
            frames = video.decode(Path(one.file), range(one.frames))
            middle = train[0].geometry.indices(len(frames), train[0].geometry.starts(len(frames)) // 2)
            clip = train[0].standardise(train[0].geometry.square(frames[middle])[None])
            loss = torch.nn.functional.cross_entropy(teacher(clip), torch.tensor([label]))
            assert one.score == pytest.approx(-loss.item(), abs=1e-4)
        everything = [s for s in gathered.segments[label] if s not in of_class]
        assert min(one.score for one in of_class) >= max(one.score for one in everything)


def test_shards_joined_are_one_run_and_nothing_is_done_twice(train, tmp_path, monkeypatch):
    method = OptDistill(**FEW)
    whole = method.distill(train[0], 1, 0)
    monkeypatch.setenv("VDD_CACHE", str(tmp_path))
    method.prepare(train[0], 0, shard=(1, 2))
    with pytest.raises(VddError, match="was not run; run its shard first"):
        method.pipeline(train[0], 0).gather()
    method.prepare(train[0], 0, shard=(0, 2))
    for which in (1, 0):
        method.score_segments(train[0], 0, shard=(which, 2))
    monkeypatch.setattr(stages, "run_each", in_process)
    for name in ("detect", "track", "crops"):
        monkeypatch.setattr(work, name, lambda *a, **k: pytest.fail("a video was worked on again"))
    monkeypatch.setattr(scoring.TeacherScorer, "__call__", lambda *a: pytest.fail("a segment was scored again"))
    joined = method.distill(train[0], 1, 0)
    assert torch.equal(joined.content.encoded, whole.content.encoded)
    with pytest.raises(VddError, match="shard 2 of 2"):
        method.prepare(train[0], 0, shard=(2, 2))


def test_an_interrupted_stage_goes_on_per_video(train, monkeypatch):
    monkeypatch.setattr(stages, "run_each", in_process)
    method, seen = OptDistill(**FEW), []
    real = work.track

    def track_three(path, boxes, longest):
        seen.append(path)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return real(path, boxes, longest)

    monkeypatch.setattr(work, "track", track_three)
    with pytest.raises(KeyboardInterrupt):
        method.prepare(train[0], 0)
    interrupted, seen[:] = list(seen), []
    monkeypatch.setattr(work, "track", lambda *a: seen.append(a[0]) or real(*a))
    method.prepare(train[0], 0)
    assert len(seen) == 7 and not set(interrupted[:3]) & set(seen)


def test_a_killed_run_goes_on_to_the_same_set(train, tmp_path, monkeypatch):
    whole = OptDistill(**FEW).distill(train[0], 1, 0)
    script = tmp_path / "killed.py"
    script.write_text(
        "import os, pickle, sys\n"
        "from vddlib.distillers import OptDistill\n"
        "from vddlib.distillers.optdistill import stages\n"
        "from tests.conftest import in_process\n"
        "stages.run_each = in_process\n"
        "left = [int(sys.argv[1])]\n"
        "def write(path, value, real=stages.files.write_json):\n"
        "    real(path, value)\n"
        "    left[0] -= path.name != 'key.json'\n"
        "    if left[0] < 0:\n"
        "        os.kill(os.getpid(), 9)\n"
        "stages.files.write_json = write\n"
        "if __name__ == '__main__':\n"
        "    train, method = pickle.load(open(sys.argv[2], 'rb'))\n"
        "    method.distill(train, 1, 0)\n"
    )
    pickled = tmp_path / "method.pkl"
    pickled.write_bytes(pickle.dumps((train[0], OptDistill(**FEW))))
    monkeypatch.setenv("VDD_CACHE", str(tmp_path / "cache"))
    results, during = tmp_path / "cache" / "optdistill", []
    for count in (4, 17, 12, 8):  # files that each run writes before it is killed
        command = [sys.executable, script, str(count), pickled]
        ended = subprocess.run(command, timeout=300, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
        assert ended.returncode == -9, ended.stderr.decode()[-2000:]
        done = {name: len(list(results.glob(f"{name}/*/??/{'?' * 20}.json"))) for name in STAGES}
        during.append(next((name for name in STAGES if 0 < done[name] < 10), done))
    assert during == list(STAGES)
    joined = OptDistill(**FEW).distill(train[0], 1, 0)
    assert torch.equal(joined.content.encoded, whole.content.encoded)


@pytest.mark.parametrize("fallback", ["skip", "centre"])
def test_a_set_without_its_broken_and_its_empty_videos(tmp_path, capfd, fallback):
    root = write_ucf(tmp_path / "two", train=6, test=1, classes=("Red", "Green"))
    train, _ = load(str(root), geometry(6, 32, 1), workers=1)
    for label in (0, 1):
        of_class = [train.path(int(i)) for i in train.of_class(label)]
        of_class[0].write_bytes(b"no video any more")
        video.encode(of_class[1], np.full((14, 48, 64, 3), 90, np.uint8))  # nothing moves
    made = OptDistill(**{**FEW, "fallback": fallback}, score="random").distill(train, 1, 0)
    counts = made.card["counts"]
    assert (counts["videos"], counts["not read"], counts["without"]) == (12, 2, 2) and len(made) == 2
    assert counts["segments"] == (10 if fallback == "centre" else 8)
    assert "".join(capfd.readouterr()).count("is left out") == 2


def test_unknown_classes_and_labels_are_refused(train):
    with pytest.raises(VddError, match="wanted names 'Rde', which is no class"):
        OptDistill(**FEW, wanted={"Rde": ["person"]}).prepare(train[0])
    monkey = Yolo.model_construct(weights="w.onnx", confidence=0.2, frames=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Yolo, "labels", lambda self: ["person", "dog"])
        patch.setattr(Pipeline, "detector", property(lambda self: monkey))
        with pytest.raises(VddError, match="knows no 'people'; its labels: dog, person"):
            OptDistill(**FEW, wanted={"*": ["people"]}).prepare(train[0])


def test_settings_that_would_fail_in_the_end_are_refused_before_anything_is_tracked(train, monkeypatch):
    from torchvision.models.video import R3D_18_Weights

    monkeypatch.setattr(Stage, "run", lambda *a, **k: pytest.fail("it began"))
    weights = R3D_18_Weights.KINETICS400_V1
    monkeypatch.setattr(type(weights), "get_state_dict", lambda *a, **k: (_ for _ in ()).throw(OSError("no weights")))
    settings = {
        "top_k is 3 where 4 segments": {"top_k": 3},
        "'loss' needs the dataset's own classes": {"scorer": "r3d_18", "score": "loss"},
        "no weights": {"scorer": "r3d_18"},
    }
    for why, options in settings.items():
        with pytest.raises(VddError, match=why):
            OptDistill(**FEW, **options).select(train[0], 1, 0)


def test_videos_that_are_looked_at_are_drawn_by_class_and_seed(train):
    few = [OptDistill(**FEW, preselect=2).pipeline(train[0], seed).candidates() for seed in (0, 0, 1, 2, 3)]
    everything = OptDistill(**FEW).pipeline(train[0], 0).candidates()
    assert sorted(everything) == list(range(len(train[0]))) and few[0] == few[1]
    assert len({tuple(one) for one in few}) > 1, "seeds draw others"
    for one in few:
        assert sorted(train[0].labels[one].tolist()) == [0, 0, 1, 1] and len(set(one)) == 4


def test_it_is_known_by_name():
    assert type(build("optdistill", side=3)) is OptDistill
