"""Protocols as data, metrics against their formulas, and what evaluation refuses."""

import importlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vddlib import evaluation
from vddlib.core.errors import VddError
from vddlib.distillers import IDTD, DistilledSet, FeaturePools, Full, Random
from vddlib.evaluation import PROTOCOLS, evaluate, metrics, predict, protocol
from vddlib.training import augmentations
from vddlib.training.fit import Recipe
from vddlib.training.networks import Network, train_network

SMALL = Network(options={"depth": 2, "widths": (4, 4)})
CPU = torch.device("cpu")


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_metrics_are_their_formulas(seed):
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(size=(60, 7)), rng.permutation(np.arange(60) % 7)
    scores, order = np.exp(logits) / np.exp(logits).sum(1, keepdims=True), (-logits).argsort(1)
    areas, harmonic = [], []
    for c in range(7):
        positive, negative = scores[labels == c, c], scores[labels != c, c]
        areas.append((positive[:, None] > negative).mean())  # how often a clip of the class comes before one of another
        hits = ((order[:, 0] == c) & (labels == c)).sum()
        harmonic.append(2 * hits / ((order[:, 0] == c).sum() + (labels == c).sum()))
    ours = metrics(torch.from_numpy(logits), torch.from_numpy(labels))
    assert ours["top1"] == pytest.approx(100 * (order[:, 0] == labels).mean())
    assert ours["top5"] == pytest.approx(100 * (order[:, :5] == labels[:, None]).any(1).mean())
    assert ours["auc"] == pytest.approx(100 * np.mean(areas), abs=1e-2)  # scores are compared in float32
    assert ours["f1"] == pytest.approx(100 * np.mean(harmonic))


def test_metrics_where_little_can_be_said():
    few = metrics(torch.eye(3), torch.arange(3))
    assert few["top1"] == 100 and np.isnan(few["top5"])
    absent = metrics(torch.tensor([[2.0, 1, 0], [0, 2.0, 1]]), torch.tensor([0, 1]))
    assert (
        absent["auc"] == 100 and absent["f1"] == 100
    )  # the class that no test clip has and none is taken for does not count
    assert np.isnan(metrics(torch.eye(3)[:1], torch.tensor([0]))["auc"])


def test_a_diverged_student_counts_as_guessing(tiny):
    train, test = tiny
    nothing = metrics(torch.full((6, 3), torch.nan), torch.tensor([0, 0, 1, 1, 2, 2]))
    assert nothing["top1"] == pytest.approx(100 / 3) and nothing["auc"] == pytest.approx(50)
    report = evaluate(Random().distill(train, 1), test, protocol("A", epochs=9, lr=1e6), seeds=[0], network=SMALL)
    assert report.rows[0]["diverged_at"] >= 1 and report.values()[0] == pytest.approx(100 / 3)


def test_protocols_are_those_of_the_literature():
    a = PROTOCOLS["A"]
    assert (a.student, a.labels, a.augmentation, a.test_passes) == ("minic3d", "hard", (), 3)
    assert a.recipe.model_dump(include={"optimizer", "lr", "momentum", "weight_decay", "epochs", "batch_size"}) == {
        "optimizer": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4, "epochs": 500, "batch_size": 256,
    }  # fmt: skip
    assert (PROTOCOLS["A'"].recipe.epochs, PROTOCOLS["A'"].recipe.lr, PROTOCOLS["A'"].recipe.loss) == (
        1000,
        1e-4,
        "mse",
    )
    assert PROTOCOLS["C"].student == "c3d" and PROTOCOLS["C"].seeds == 5
    e = PROTOCOLS["E"]
    assert (e.student, e.recipe.batch_size, e.recipe.epochs, e.recipe.loss) == ("minic3d_bn", 10, 300, "mse+ce")
    assert set("ABCDE") < set(PROTOCOLS)


def test_protocol_a_on_a_small_set(tiny):
    train, test = tiny
    made = Random().distill(train, 2, seed=0)
    report = evaluate(made, test, protocol("A", epochs=8), seeds=[0, 1], network=SMALL)
    first = report.rows[0]
    assert [row["seed"] for row in report.rows] == [0, 1]
    assert (first["method"], first["dataset"], first["ipc"], first["protocol"]) == ("random", "tiny", 2, "A")
    assert (first["frames"], first["size"], first["epochs"]) == (8, 32, 8)
    assert first["top5"] is None and first["bytes_uint8"] == made.bytes_uint8
    assert first["student"] == "minic3d(depth=2,widths=4x4)" and first["dataset_sha256"] == train.fingerprint
    assert "protocol A: top-1" in str(report)
    again = evaluate(made, test, protocol("A", epochs=8), seeds=[0, 1], network=SMALL)
    assert again.values() == report.values() and torch.equal(again.logits[0], report.logits[0])


def test_the_mean_of_three_redrawn_passes_is_reported(tiny):
    train, test = tiny
    made, chosen = Full().distill(train), protocol("A", epochs=2, batch_size=6)
    report = evaluate(made, test, chosen, seeds=[0], network=SMALL)
    student = train_network(made, SMALL, chosen.recipe, seed=0, device=CPU, flip=True, geometry=test.geometry)
    passes = [metrics(predict(student.model, test, epoch=e), test.labels)["top1"] for e in range(3)]
    assert report.values() == pytest.approx([sum(passes) / 3])


def test_a_student_is_tested_once_for_the_same_test_and_again_for_another(tiny, monkeypatch):
    train, test = tiny
    made = Random().distill(train, 1)
    options = {"seeds": [0], "network": SMALL, "device": "cpu"}
    asked = protocol("A", epochs=2, batch_size=8)
    testing = importlib.import_module("vddlib.evaluation.testing")
    predicted, real = [], testing.predict
    monkeypatch.setattr(testing, "predict", lambda *a, **k: predicted.append(k["epoch"]) or real(*a, **k))
    first = evaluate(made, test, asked, **options)
    assert predicted == [0, 1, 2]
    again = evaluate(made, test, asked, **options)
    assert len(predicted) == 3, "tested again"
    assert again.rows == first.rows and torch.equal(again.logits[0], first.logits[0])
    evaluate(made, test.still(), asked, **options)
    assert len(predicted) == 6, "other clips, and the old numbers"
    evaluate(made, test, asked.model_copy(update={"test_passes": 2}), **options)
    assert len(predicted) == 8, "fewer views, and the old numbers"


def test_full_data_learns_and_the_last_checkpoint_counts(tiny):
    train, test = tiny
    chosen = protocol("A", epochs=30, batch_size=6, lr=0.02)
    report = evaluate(Full().distill(train), test, chosen, seeds=[0], network=SMALL, peek_every=5)
    assert report.values()[0] > 80
    row = report.rows[0]
    assert row["top1_best_on_test"] >= row["top1"] - 1e-9 and row["ipc"] is None
    best = row["top1_best_on_test"]
    other = evaluate(Full().distill(train), test.subset(range(5)), chosen, seeds=[0], network=SMALL, peek_every=5)
    assert other.rows[0]["top1_best_on_test"] >= other.values()[0] and best == row["top1_best_on_test"]
    assert other.students[0].folder != report.students[0].folder  # a look at other clips is another look
    quiet = evaluate(Full().distill(train), test, chosen, seeds=[0], network=SMALL)
    assert quiet.values() == report.values() and "top1_best_on_test" not in quiet.rows[0]


def test_protocol_c_and_e_run(tiny):
    train, test = tiny
    made = Random().distill(train, 1)
    c = evaluate(
        made,
        test,
        protocol("C", epochs=1),
        seeds=[0],
        network=Network(name="c3d", options={"width": 0.05, "hidden": 8}),
    )
    assert c.rows[0]["student"].startswith("c3d(")
    bn = Network(name="minic3d_bn", options={"depth": 2, "widths": (4, 4)})
    teacher = train_network(train, bn, Recipe(epochs=1, batch_size=6), seed=0, device=CPU, flip=True)
    e = evaluate(made, test, protocol("E", epochs=2), seeds=[0], network=bn, teacher=teacher)
    assert e.rows[0]["teacher"] == "minic3d_bn" and 0 <= e.values()[0] <= 100


def test_rates_are_scored_on_held_out_sources(tiny):
    train, _ = tiny
    rest, held = train.holdout(0.25)
    report = evaluation.held_out(
        Random(), train, 1, protocol("A", epochs=2), lr=0.003, seed=0, network=SMALL, device="cpu"
    )
    assert report.rows[0]["lr"] == 0.003 and torch.equal(report.labels, held.labels)
    again = evaluate(Random().distill(rest, 1), held, protocol("A", epochs=2, lr=0.003), seeds=[0], network=SMALL)
    assert again.values() == report.values()


def test_what_protocols_refuse(tiny):
    train, test = tiny
    hard = Random().distill(train, 1)
    soft = DistilledSet(hard.content, hard.labels, hard.classes, hard.card, torch.full((3, 3), 1 / 3))
    for name, made, text in (
        ("D", hard, "protocol D trains on soft labels, and random stores hard ones only"),
        ("A", soft, "protocol A trains on hard labels, and random stores soft ones"),
        ("E", hard, "pass teacher="),
        ("Z", hard, "unknown protocol 'Z'"),
    ):
        with pytest.raises(VddError, match=text):
            evaluate(made, test, name, seeds=[0])
    with pytest.raises(VddError, match="protocol A: epoch: extra inputs"):
        protocol("A", epoch=3)


def test_an_interval_is_cut_once_by_the_protocol_or_by_what_is_stored(tiny, monkeypatch):
    class Seen(Exception):
        pass

    def seen(*arguments, augmentation, **options):
        raise Seen(augmentation)

    train, test = tiny
    monkeypatch.setattr(importlib.import_module("vddlib.evaluation.evaluate"), "train_network", seen)
    stored = {"crops": FeaturePools(), "whole": FeaturePools(crop=False)}
    sets = {
        n: IDTD(iterations=1, batch_real=1, network=SMALL, stored=one).distill(train, 1) for n, one in stored.items()
    }
    cut = ("temporal_crop",)
    for made, wanted in (
        (sets["crops"], ()),
        (sets["whole"], cut),
        (Random().distill(train, 1), cut),
        (Full().distill(train), cut),
    ):
        with pytest.raises(Seen) as error:
            evaluate(made, test, "B", seeds=[0], network=SMALL)
        assert error.value.args[0] == wanted


def test_augmentations_change_all_frames_alike():
    clips = torch.randn(6, 3, 1, 20, 20).repeat(1, 1, 4, 1, 1)
    for name in ("flip", "random_resized_crop"):
        out, _ = augmentations.compose((name,))(clips, torch.arange(6), torch.Generator().manual_seed(0))
        assert out.shape == clips.shape and not torch.equal(out, clips)
        assert torch.allclose(out, out[:, :, :1].expand_as(out))
    out, _ = augmentations.flip(clips, torch.arange(6), torch.Generator().manual_seed(0))
    assert all(torch.equal(o, c) or torch.equal(o, c.flip(-1)) for o, c in zip(out, clips, strict=True))


def test_temporal_crops_are_intervals_of_their_own_clip():
    clips = torch.arange(6.0).view(6, 1, 1, 1, 1) * 100 + torch.arange(8.0).view(1, 1, 8, 1, 1)
    clips, targets = clips.expand(6, 3, 8, 4, 4).contiguous(), torch.arange(6)
    out, same = augmentations.compose((("temporal_crop", {"least": 0.25}),))(
        clips, targets, torch.Generator().manual_seed(0)
    )
    assert torch.equal(same, targets) and out.shape == clips.shape
    begin, end = out[:, 0, 0, 0, 0] - 100 * targets, out[:, 0, -1, 0, 0] - 100 * targets
    assert (begin >= -1e-3).all() and (end <= 7.001).all() and (end - begin >= 0.25 * 7 - 1e-3).all()
    steps = out[:, 0, :, 0, 0].diff(dim=1)
    assert torch.allclose(steps, steps[:, :1].expand_as(steps), atol=1e-3) and len(begin.unique()) == 6


def test_random_resized_crop_is_differentiable_and_stays_inside():
    clips = torch.rand(5, 3, 2, 16, 16, requires_grad=True)
    out, _ = augmentations.random_resized_crop(clips, torch.arange(5), torch.Generator().manual_seed(1))
    out.sum().backward()
    assert clips.grad.abs().sum() > 0
    assert out.min() >= clips.min() - 1e-6 and out.max() <= clips.max() + 1e-6
    ramp = torch.linspace(0, 1, 16).expand(5, 3, 2, 16, 16)
    half, _ = augmentations.random_resized_crop(
        ramp, torch.arange(5), torch.Generator().manual_seed(0), scale=(0.25, 0.25)
    )
    span = (half.amax(-1) - half.amin(-1))[:, 0, 0, 0]  # of the ramp a quarter of the area shows about half
    assert (span > 0.35).all() and (span < 0.65).all()


def test_report_says_spread(tiny):
    report = evaluation.Report(
        [{"method": "random", "ipc": 1, "protocol": "A", "top1": v} for v in (10.0, 14.0)], [], None, ()
    )
    assert str(report) == "random IPC 1, protocol A: top-1 12.0 ± 2.8 % (n = 2)"


def test_a_set_of_other_classes_or_another_order_is_refused(tiny):
    """A pool in another order was silently mislabelled: labels are places in the list of classes."""
    train, test = tiny
    made = Random().distill(train, 1)
    with pytest.raises(VddError, match="random and tiny have the same classes in another order"):
        evaluate(made, test.only(["Green", "Red", "Blue"]), "A", seeds=[0], network=SMALL)
    with pytest.raises(VddError, match="random and tiny do not have the same classes, first 'Blue'"):
        evaluate(made, test.only(["Red", "Green"]), "A", seeds=[0], network=SMALL)


@pytest.mark.parametrize("mirrors", [True, False])
def test_clips_that_may_not_be_mirrored_never_are(tiny, monkeypatch, mirrors):
    """Protocol E flips; on SSv2, where left and right are labels, it must not."""
    train, test = tiny
    test.mirrors, used = mirrors, []
    compose = augmentations.compose
    monkeypatch.setattr(augmentations, "compose", lambda names: used.append(names) or compose(names))
    named = protocol("A", augmentation=("random_resized_crop", "flip"), epochs=1, batch_size=8)
    evaluate(Random().distill(train, 1), test, named, seeds=[0], network=SMALL)
    assert used == [("random_resized_crop", "flip") if mirrors else ("random_resized_crop",)]
    with_options = (("flip", {}), ("videomix", {"alpha": 0.5}))
    assert augmentations.where_mirroring_is(False, with_options) == (("videomix", {"alpha": 0.5}),)
