"""Protocols F and F-soft: equal steps, equal views, the teacher's labels for the very view, nothing of a method's own."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vddlib.distillers import Full, Herding, Random, relabel
from vddlib.distillers.matching.experts import Experts, trajectories
from vddlib.evaluation import evaluate, evaluate_each, fair, fair_teacher, predict
from vddlib.evaluation import testing as views
from vddlib.evaluation.fair import TEACHERS
from vddlib.training import fit as fitting
from vddlib.training.fit import Recipe, fit
from vddlib.training.networks import Network, seed_of, train_network

CPU = torch.device("cpu")
SMALL = Network(options={"depth": 1, "widths": (4,), "norm": "batch"})


def stepped(**changes) -> Recipe:
    return Recipe(**{"optimizer": "adamw", "schedule": "cosine", "steps": 7, "batch_size": 4, **changes})


@pytest.mark.parametrize("clips", [1, 3, 4, 5, 16, 17])
def test_as_many_steps_whatever_the_size_of_the_set(tiny, clips, monkeypatch):
    train, _ = tiny
    rates = []
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self, *_: rates.append(self.param_groups[0]["lr"]))
    recipe = stepped(lr=0.5)
    log = fit(SMALL.build(train.classes, train.geometry, 0), train.subset(range(clips)), recipe, seed=0)
    assert len(rates) == 7 == recipe.steps_on(clips) and len(log.loss) == recipe.epochs_on(clips) == -(
        -7 // -(-clips // 4)
    )
    assert rates == pytest.approx([0.5 * 0.5 * (1 + np.cos(np.pi * step / 7)) for step in range(7)], abs=1e-6)


def test_recipes_without_steps_count_epochs():
    recipe = Recipe(epochs=10, batch_size=4)
    assert recipe.epochs_on(9) == 10 and recipe.steps_on(9) == 30
    assert [recipe.learning_rate(epoch) for epoch in (4, 5)] == [0.01, pytest.approx(0.001)]


def test_steps_resume_to_the_same_bits(tiny, tmp_path):
    train, _ = tiny

    def build():
        return SMALL.build(train.classes, train.geometry, 0)

    class Killed(Exception):
        pass

    def stop(epoch, _model):
        if epoch == 1:
            raise Killed

    whole, cut, options = build(), build(), {"seed": 3, "checkpoint": tmp_path / "c.pt", "checkpoint_seconds": -1}
    fit(whole, train.subset(range(9)), stepped(), seed=3)
    with pytest.raises(Killed):
        fit(cut, train.subset(range(9)), stepped(), on_epoch=stop, **options)
    fit(cut := build(), train.subset(range(9)), stepped(), **options)
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), cut.state_dict().values(), strict=True))


def test_nothing_shares_first_weights_or_draws(tiny):
    """Expert k was student k: matching the experts of a seed, sets knew the students that would be tested."""
    train, _ = tiny
    seeds, roles = range(4), ("student", "teacher", "expert", "embedding", "observer")
    made = {
        (role, seed): SMALL.build(train.classes, train.geometry, seed_of(role, seed))
        for role in roles
        for seed in seeds
    }
    first = {name: next(model.parameters()).detach() for name, model in made.items()}
    for one, other in combinations(first, 2):
        assert not torch.equal(first[one], first[other]), (one, other)
    assert len({seed_of(role, seed) for role in roles for seed in seeds}) == len(first)


def test_experts_teachers_and_embedding_networks_begin_elsewhere_than_students(tiny, monkeypatch):
    train, _ = tiny
    begun = []
    real = Network.build

    def build(self, classes, geometry, seed):
        begun.append(seed)
        return real(self, classes, geometry, seed)

    monkeypatch.setattr(Network, "build", build)
    recipe = Recipe(epochs=1, batch_size=8)
    trajectories(
        train, SMALL.model_copy(update={"options": {"depth": 1, "widths": (4,)}}), Experts(count=2), 1, device=CPU
    )
    fair_teacher(train, 0, "cpu", steps=1)
    Herding(network=SMALL, recipe=recipe, device="cpu").embeddings(train, 0)
    used = Counter(seed for seed in begun if seed)  # 0: for its shape alone, and to load weights into
    train_network(train, SMALL, recipe, seed=1, device=CPU)
    assert begun[-2] == 1 and len(used) == 4 and not set(used) & set(range(100))


def test_labels_of_f_soft_are_the_teacher_s_for_the_very_view(tiny, monkeypatch):
    train, test = tiny
    protocol, network = fair("F-soft", train, steps=3)
    teacher = fair_teacher(train, 1, "cpu", steps=2)
    seen = []
    real = fitting.loss_of

    def loss_of(recipe, logits, target, labels):
        seen.append(target)
        return real(recipe, logits, target, labels)

    shown = []
    hook = teacher.model.register_forward_pre_hook(lambda _m, inputs: shown.append(inputs[0].clone()))
    monkeypatch.setattr(fitting, "loss_of", loss_of)
    evaluate(Random().distill(train, 1, 0), test, protocol, seeds=[0], network=network, teacher=teacher, device="cpu")
    hook.remove()
    clips, _ = Random().distill(train, 1, 0).draw()
    assert len(seen) == 3 == len(shown)
    for target, view in zip(seen, shown, strict=True):
        torch.testing.assert_close(target, F.softmax(teacher.model(view) / protocol.recipe.temperature, 1))
        assert not torch.equal(view.sort(0).values, clips.sort(0).values), "the view is augmented"
    assert not torch.equal(shown[0], shown[1])


def test_three_teachers_serve_all_seeds(tiny):
    train, _ = tiny
    keys = [fair_teacher(train, seed, "cpu", steps=1).key["seed"] for seed in range(5)]
    assert keys == [0, 1, 2, 0, 1] and TEACHERS == 3


def test_labels_of_a_method_s_own_do_not_count(tiny):
    train, test = tiny
    protocol, network = fair("F", train, steps=2)
    hard = Random().distill(train, 1, 0)
    soft = relabel(hard, fair_teacher(train, 0, "cpu", steps=1), 4.0)
    rows = [evaluate(one, test, protocol, seeds=[0], network=network, device="cpu").rows[0] for one in (hard, soft)]
    assert rows[0]["right_views"] == rows[1]["right_views"] and rows[0]["train_top1"] == rows[1]["train_top1"]


def test_every_view_counts_and_motion_is_taken_away(tiny):
    train, test = tiny
    protocol, network = fair("F", train, steps=6)
    report = evaluate(Full().distill(train), test, protocol, seeds=[0], network=network, device="cpu")
    row, model = report.rows[0], report.students[0].model
    logits = torch.stack([predict(model, test, epoch=view) for view in range(5)])
    right = logits.argmax(-1) == test.labels
    assert row["top1"] == pytest.approx(100 * right.float().mean().item())
    assert np.array_equal(views.from_text(row["right_views"]), right.sum(0).numpy()) and row["views"] == 5
    averaged = logits.softmax(-1).mean(0).argmax(-1) == test.labels
    assert row["top1_averaged"] == pytest.approx(100 * averaged.float().mean().item())
    still = predict(model, test.still(), epoch=0).argmax(-1) == test.labels
    assert row["top1_still"] == pytest.approx(100 * still.float().mean().item())
    assert {"top1_shuffled", "top1_reversed"} < set(row) and row["steps"] == 6


def test_counts_as_text():
    counts = np.array([0, 5, 15, 3])
    assert views.as_text(torch.from_numpy(counts)) == "v05f3" and np.array_equal(views.from_text("v05f3"), counts)


def test_one_seed_s_set_and_student_and_teacher_belong_together(tiny):
    train, test = tiny
    protocol, network = fair("F-soft", train, steps=1)
    sets = {seed: Random().distill(train, 1, seed) for seed in (0, 4)}
    asked = []

    def teacher(seed):
        asked.append(seed)
        return fair_teacher(train, seed, "cpu", steps=1)

    both = evaluate_each(sets, test, protocol, network=network, device="cpu", teacher=teacher)
    assert asked == [0, 4] and [row["seed"] for row in both.rows] == [0, 4]
