"""Segments scored by a network that never saw their source: two teachers, each for the other's half."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch

from tests.conftest import write_ucf
from vddlib.core.errors import VddError
from vddlib.datasets import video
from vddlib.datasets.clips import load
from vddlib.datasets.geometry import geometry
from vddlib.datasets.layouts import source_of
from vddlib.distillers import OptDistill, relabel
from vddlib.distillers.optdistill import pipeline as stages
from vddlib.distillers.optdistill.score import halves
from vddlib.distillers.optdistill.stages import Stage
from vddlib.training.fit import Recipe
from vddlib.training.networks import Network

FEW = {
    "segments": "frames", "longest": 14, "width": 64, "height": 48, "workers": 1, "scorer": "halves", "score": "loss",
    "network": Network(options={"depth": 2, "widths": (8, 8)}), "teacher_recipe": Recipe(epochs=2, batch_size=8),
    "device": "cpu",
}  # fmt: skip


def two_of_each_source(root: Path, sources: int) -> Path:
    """Two classes of so many training sources, two videos of each."""
    write_ucf(root, train=sources, test=1, classes=("Red", "Green"))
    listed = root / "ucfTrainTestlist" / "trainlist01.txt"
    lines = listed.read_text().split("\n")[:-1]
    for path in root.glob("UCF-101/*/*_c01.mp4"):
        shutil.copy(path, path.with_name(path.name.replace("_c01", "_c02")))
    listed.write_text("\n".join(lines + [line.replace("_c01", "_c02") for line in lines]) + "\n")
    return root


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    root = two_of_each_source(tmp_path_factory.mktemp("halves") / "two", 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VDD_CACHE", str(tmp_path_factory.mktemp("store")))
        return load(str(root), geometry(6, 32, 1), workers=1)[0]


def sources(names) -> set[str]:
    return {source_of(name) for name in names}


def test_halves_share_no_source_and_have_every_class(train):
    first, second = halves(train)
    assert not sources(first.names) & sources(second.names) and sorted(first.names + second.names) == sorted(
        train.names
    )
    assert all(Counter(part.labels.tolist()) == {0: 4, 1: 4} for part in (first, second))


def test_no_segment_is_scored_by_a_network_that_saw_its_source(train, monkeypatch):
    trained, looked = {}, []
    teach, score_jobs = OptDistill.teacher, stages.score_jobs

    def teacher(self, clips):
        made = teach(self, clips)
        trained[made.key["source"]["videos"]] = sources(clips.names)
        return made

    monkeypatch.setattr(OptDistill, "teacher", teacher)
    monkeypatch.setattr(
        stages,
        "score_jobs",
        lambda stage, jobs, scorer: looked.append((scorer, jobs)) or score_jobs(stage, jobs, scorer),
    )
    method = OptDistill(**FEW)
    chosen, gathered = method.select(train, 1, 0)
    from_file = {segment.file: segment for of_class in gathered.segments for segment in of_class}
    assert len(looked) == 2 and len(trained) == 2
    scored = []
    for scorer, jobs in looked:
        seen = trained[scorer.about["source"]["videos"]]  # what this very network was trained on
        mine = [from_file[job.path] for job in jobs]
        assert seen == scorer.sources and not seen & sources(segment.video for segment in mine)
        for segment in mine:  # and the score that ranks it is that network's
            frames = video.decode(Path(segment.file), range(segment.frames))
            starts = train.geometry.starts(len(frames)) // 2
            clip = train.standardise(train.geometry.square(frames[train.geometry.indices(len(frames), starts)])[None])
            label = train.classes.index(segment.video.split("/")[0])
            loss = torch.nn.functional.cross_entropy(scorer.model(clip), torch.tensor([label])).item()
            assert segment.score == pytest.approx(-loss, abs=1e-4)
            scored.append(segment.video)
    assert sorted(scored) == sorted(train.names)
    first, second = (scorer.model.state_dict() for scorer, _ in looked)
    assert any(not torch.equal(first[name], second[name]) for name in first)
    assert all(best.score >= max(s.score for s in gathered.segments[0] if s not in chosen[0]) for best in chosen[0])


def test_shards_are_one_run_and_the_scorers_count_besides_a_teacher_of_labels(train, tmp_path, monkeypatch):
    method = OptDistill(**FEW)
    whole = method.distill(train, 1, 0)
    teachers = sum(method.teacher(half).log.seconds for half in halves(train))
    assert whole.card["stage_seconds"]["teacher"] == pytest.approx(teachers) and "teacher_seconds" not in whole.card
    assert whole.card["scorer"].startswith("loss by minic3d") and whole.card["scorer"].endswith("of other sources")
    labelled = relabel(method.regions(whole), method.teacher(train), 1.0)
    expected = whole.card["distill_seconds"] + method.teacher(train).log.seconds
    assert labelled.card["distill_seconds"] == pytest.approx(expected)
    monkeypatch.setenv("VDD_CACHE", str(tmp_path))
    for which in (0, 1):
        method.prepare(train, 0, shard=(which, 2))
    for which in (1, 0):
        method.score_segments(train, 0, shard=(which, 2))
    assert torch.equal(method.distill(train, 1, 0).content.encoded, whole.content.encoded)


def test_a_class_of_one_source_is_refused_before_anything_is_tracked(tmp_path, monkeypatch):
    train, _ = load(str(two_of_each_source(tmp_path / "one", 1)), geometry(6, 32, 1), workers=1)
    monkeypatch.setattr(Stage, "run", lambda *a, **k: pytest.fail("it began"))
    with pytest.raises(VddError, match="all videos of Red are of one source"):
        OptDistill(**FEW).select(train, 1, 0)


def test_which_of_the_two_is_asked_by_video(train):
    pipeline = OptDistill(**FEW).pipeline(train, 0)
    with pytest.raises(VddError, match="chosen by the video"):
        pipeline.scorer()
    assert len({id(pipeline.scorer(name)) for name in train.names}) == 2
