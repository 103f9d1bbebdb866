"""Gates: they fire on runs that stay where they begin, pass on runs that distil, and say so in one line."""

import dataclasses

import pytest
import torch

from vddlib import distillers
from vddlib.core.errors import VddError
from vddlib.distillers.matching.gates import SecondTeacher, gate
from vddlib.distillers.matching.optimising import History
from vddlib.training.fit import Recipe
from vddlib.training.networks import Network

SMALL = {"options": {"depth": 1, "widths": (8,)}}
IMAGE = {"name": "convnet", "options": {"width": 4, "depth": 2}}
RUNS = {  # a rate at which clips move, and the rest
    "dm": (1.0, {"batch_real": 3, "network": SMALL}),
    "dc": (30.0, {"batch_real": 3, "network": SMALL}),
    "static_dc": (30.0, {"batch_real": 3, "network": IMAGE}),
    "frepo": (0.1, {"batch_real": 2, "pool": 1, "network": SMALL}),
}
STILL = 1e-9


def run(train, name, **params):
    method = distillers.build(name, device="cpu", **params)
    return method.distill(train, 1), method.history(train, 1)


@pytest.mark.parametrize("name", RUNS)
def test_clips_that_stay_fail_and_clips_that_move_pass(tiny, name):
    rate, params = RUNS[name]
    still = gate(*run(tiny[0], name, iterations=2, lr_pixels=STILL, **params))
    assert not still.passed and still.said.startswith("failed: moved ") and still.said.endswith(", below 1")
    made, history = run(tiny[0], name, iterations=8, lr_pixels=rate, **params)
    passed = gate(made, history)
    assert passed.passed and passed.said == f"passed: moved {made.card['moved']:.2g} grey levels"
    assert "\n" not in still.said + passed.said and str(passed) == passed.said


def test_the_bounds_are_one_grey_level_and_a_picture_s_range_and_a_storage_changes_nothing(tiny):
    made, history = run(tiny[0], "dm", iterations=1, lr_pixels=STILL, **RUNS["dm"][1])
    for method in ("dm", "dm+vdsd"):
        for moved, passed in ((0.99, False), (1.0, True), (128.0, True), (1e13, False)):
            made.card |= {"method": method, "moved": moved}
            assert gate(made, history).passed is passed


def test_mtt_passes_where_its_student_comes_near_the_expert_and_fails_where_it_stays(tiny):
    common = {
        "iterations": 15, "experts": {"count": 1, "batch_size": 6, "lr": 0.02}, "max_start_epoch": 1, "syn_steps": 3,
        "network": {"options": {"depth": 1, "widths": (8,), "dropout": 0.0}},
    }  # fmt: skip
    still = gate(*run(tiny[0], "mtt", lr_student=1e-3, lr_lr=0.0, lr_pixels=STILL, **common))
    assert not still.passed and still.said.startswith("failed: loss 0.9")
    passed = gate(*run(tiny[0], "mtt", lr_student=0.02, lr_lr=0.0, lr_pixels=100.0, **common))
    assert passed.passed and passed.said.startswith("passed: loss 0.")


@pytest.mark.parametrize(
    ("loss", "way", "passed"), [(0.79, 0.5, True), (0.81, 0.5, False), (0.79, 0.49, False), (0.3, 2.0, True)]
)
def test_mtt_needs_both_over_the_last_fifth(tiny, loss, way, passed):
    """Ten iterations: the last fifth is two of them; what was before does not count."""
    made, history = run(tiny[0], "dm", iterations=1, lr_pixels=STILL, **RUNS["dm"][1])
    made.card["method"] = "mtt"
    ends = {"loss": loss, "student_path": way, "expert_path": 1.0}
    values = {name: [9.0] * 8 + [end - 0.01, end + 0.01] for name, end in ends.items()}
    assert gate(made, dataclasses.replace(history, values=values)).passed is passed


@pytest.fixture(scope="module")
def recovered(tiny_root, tiny_store):
    """(train, TSGF's set, its history, a second teacher) of the made dataset."""
    from vddlib.datasets.clips import load
    from vddlib.datasets.geometry import geometry

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VDD_CACHE", str(tiny_store))
        train, _ = load(str(tiny_root), geometry(8, 32, 2), workers=1)
        network = Network(name="minic3d_bn", options={"depth": 1, "widths": (8,), "dropout": 0.0})
        recipe = Recipe(optimizer="adam", lr=0.01, epochs=20, batch_size=6, weight_decay=0)
        method = distillers.TSGF(
            iterations=3, lr_pixels=0.01, network=network, teacher_recipe=recipe, temperature=1, device="cpu"
        )
        second = method.teacher(train, another=1)
        assert not torch.equal(second.model.classifier.weight, method.teacher(train).model.classifier.weight)
        return train, method.distill(train, 2), method.history(train, 2), SecondTeacher.of(second, train)


def test_tsgf_is_judged_by_a_second_teacher(recovered):
    _, made, history, second = recovered
    assert second.on_real > 0.8  # colours are easy
    passed = gate(made, history, second)
    guessed = second.network.model(made.draw()[0]).argmax(1)
    share = (guessed == made.labels).float().mean().item()
    assert passed.passed and f"{100 * share:.0f} % of the clips" in passed.said
    wrong = distillers.DistilledSet(made.content, made.labels.roll(2), made.classes, made.card)
    assert gate(wrong, history, second).said.startswith("failed: a second teacher classifies 0 % of the clips")


def test_halfway_from_chance_is_needed_and_a_teacher_at_chance_passes_nothing(recovered):
    _, made, history, second = recovered
    guessed = second.network.model(made.draw()[0]).argmax(1)
    for right, on_real, passed in ((4, 1.0, True), (3, 1.0, False), (3, 2 / 3, True), (6, 1 / 3, False)):
        # Of six clips in three classes: 1/3 + (1 - 1/3) / 2 = 2/3 are needed, for a teacher that knows 2/3 a half.
        labels = torch.cat([guessed[:right], (guessed[right:] + 1) % 3])
        one = distillers.DistilledSet(made.content, labels, made.classes, made.card)
        assert gate(one, history, dataclasses.replace(second, on_real=on_real)).passed is passed


def test_tsgf_without_a_second_teacher_is_refused(recovered):
    _, made, history, _ = recovered
    with pytest.raises(VddError, match="gate of tsgf asks a second teacher; pass second_teacher="):
        gate(made, history)


def test_a_second_teacher_is_measured_in_draws_of_its_own(recovered, monkeypatch):
    train, _, _, second = recovered
    seeds, batch = [], train.batch
    monkeypatch.setattr(train, "batch", lambda some, **how: seeds.append(how) or batch(some, **how))
    assert SecondTeacher.of(second.network, train, videos=5, at_once=2).on_real * 5 == pytest.approx(
        round(SecondTeacher.of(second.network, train, videos=5, at_once=5).on_real * 5)
    )
    assert len(seeds) == 4 and all(how["seed"] > 2**31 and how["flip"] for how in seeds)


def test_a_history_without_values_of_another_method_does_not_matter(recovered):
    _, made, _, second = recovered
    assert gate(made, History({"loss": [1.0]}, [], None), second).said
