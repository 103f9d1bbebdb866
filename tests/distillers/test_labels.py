"""Labels of one set on the clips of another."""

import pytest
import torch

from vddlib.core.errors import VddError
from vddlib.distillers import DistilledSet, Random, RandomVideos, with_labels_of

SOFT = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]])


@pytest.fixture
def sets(tiny):
    """A method's set with soft labels of a teacher that took 5 of its 30 seconds, and random clips with hard ones."""
    random, clips = Random().distill(tiny[0], 1, 0), Random().distill(tiny[0], 1, 1)
    card = clips.card | {
        "method": "tsgf", "distill_seconds": 30.0, "temperature": 20.0, "teacher": "minic3d", "teacher_seconds": 5.0,
    }  # fmt: skip
    random.card["distill_seconds"] = 2.0
    return DistilledSet(clips.content, clips.labels, clips.classes, card, SOFT), random


def test_random_clips_under_a_method_s_labels(sets):
    tsgf, random = sets
    made = with_labels_of(random, tsgf)
    assert torch.equal(made.draw()[0], random.draw()[0]) and torch.equal(made.targets, SOFT)
    said = ("method", "labels_from", "temperature", "teacher", "teacher_seconds", "distill_seconds")
    assert [made.card[name] for name in said] == ["random", "tsgf", 20.0, "minic3d", 5.0, 32.0]
    assert made.bytes_stream == random.bytes_stream + 4 * 9 and "labels_from" not in random.card


def test_a_method_s_clips_under_hard_labels(sets, tmp_path):
    tsgf, random = sets
    made = with_labels_of(tsgf, random)
    assert torch.equal(made.draw()[0], tsgf.draw()[0]) and torch.equal(made.targets, made.labels)
    assert made.card["method"] == "tsgf" and made.card["labels_from"] == "random"
    assert made.card["temperature"] is None and made.card["teacher"] is None
    assert made.bytes_stream == tsgf.bytes_stream - 4 * 9
    back = DistilledSet.load(made.save(tmp_path / "set"))
    assert back.card["labels_from"] == "random" and back.state() == made.state()


def test_a_teacher_that_both_had_trained_counts_once(sets):
    tsgf, random = sets
    labelled = random.with_targets(
        SOFT.flip(0), temperature=20.0, teacher="minic3d", teacher_seconds=5.0, distill_seconds=7.0
    )
    assert with_labels_of(tsgf, labelled).card["distill_seconds"] == 32.0
    other = random.with_targets(SOFT, temperature=20.0, teacher="minic3d", teacher_seconds=6.0, distill_seconds=8.0)
    assert with_labels_of(tsgf, other).card["distill_seconds"] == 38.0


def test_sets_that_do_not_fit_are_refused(sets, tiny):
    tsgf, random = sets
    train = tiny[0]
    with pytest.raises(
        VddError, match="clips of random and the labels of tsgf are not of the same classes in the same order"
    ):
        with_labels_of(Random().distill(train.only(["Green", "Red", "Blue"]), 1), tsgf)
    with pytest.raises(VddError, match=r"the 6 clips of random and the 3 labels of tsgf .+ take both at the same ipc"):
        with_labels_of(Random().distill(train, 2), tsgf)
    turned = DistilledSet(random.content, random.labels.flip(0), random.classes, random.card)
    with pytest.raises(VddError, match="place by place, of the same class"):
        with_labels_of(turned, tsgf)
    with pytest.raises(VddError, match="a set of random_videos has hard labels"):
        with_labels_of(RandomVideos().distill(train, 1), tsgf)
