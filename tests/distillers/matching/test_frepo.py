"""FRePo against scikit-learn's ridge regression; its pool of networks and its learned labels."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from sklearn.kernel_ridge import KernelRidge

from vddlib import distillers
from vddlib.core import seeding
from vddlib.core.errors import VddError
from vddlib.distillers import DistilledSet, Random
from vddlib.distillers.matching.frepo import (
    FeatureRegression,
    FRePoOptions,
    centred,
    label_margin,
    regress,
    scaled,
    with_scaled_labels,
)
from vddlib.distillers.matching.objective import Draw
from vddlib.evaluation import evaluate, protocol
from vddlib.training.networks import Network

LABELS = torch.arange(3).repeat_interleave(2)
SMALL = Network(options={"depth": 1, "widths": (8,)})


def regression(train, **options):
    options = {"batch_real": 3, "pool": 2, "max_updates": 4, "lr_network": 1e-2, "lr_labels": 0.1, **options}
    return FeatureRegression(train, LABELS, SMALL, 0, torch.device("cpu"), FRePoOptions(ridge=1e-3, **options))


def frepo(**params):
    params = {"iterations": 4, "batch_real": 2, "pool": 2, "max_updates": 2, "network": SMALL, **params}
    return distillers.build("frepo", **params)


@given(st.integers(0, 1000), st.integers(1, 8), st.floats(1e-6, 1))
def test_regress_is_scikit_learn_s_kernel_ridge(seed, n, ridge):
    rng = np.random.default_rng(seed)
    x, support, targets = rng.normal(size=(5, 10)), rng.normal(size=(n, 10)), rng.normal(size=(n, 4))
    alpha = ridge * np.mean([s @ s for s in support])
    wanted = KernelRidge(alpha=alpha, kernel="linear").fit(support, targets).predict(x)
    predicted = regress(*map(torch.from_numpy, (x, support, targets)), ridge)
    assert predicted.dtype == torch.float32
    assert np.allclose(predicted, wanted, rtol=1e-5, atol=1e-6)


@given(st.integers(0, 1000), st.integers(1, 6), st.integers(2, 8), st.floats(0.01, 3))
def test_label_margin_is_the_capped_gap_of_the_two_highest(seed, n, classes, spread):
    targets = spread * torch.randn(n, classes, generator=torch.Generator().manual_seed(seed))
    gaps = [max(row) - sorted(row)[-2] for row in targets.tolist()]
    margin = label_margin(targets).item()
    assert margin == pytest.approx(-sum(min(gap, 1 / classes) for gap in gaps) / n, abs=1e-6)
    assert -1 / classes - 1e-6 <= margin <= 0
    assert label_margin(F.one_hot(torch.arange(classes)).float()) == pytest.approx(-1 / classes)


@pytest.mark.parametrize("classes", [3, 10, 50])
def test_labels_are_centred_and_at_first_scaled(classes):
    labels = torch.arange(classes)
    wanted = np.eye(classes) - 1 / classes
    assert np.allclose(centred(labels, classes), wanted, atol=1e-6)
    assert np.allclose(scaled(labels, classes), wanted / np.sqrt(classes / 10), atol=1e-6)


def test_the_loss_is_the_paper_s(tiny, pixels, step, close):
    """Re-typed in float64 with the inverse of the kernel matrix."""
    objective = regression(tiny[0])
    with torch.no_grad():  # labels on their way, some with a gap under the cap
        objective.targets += 0.05 * torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
        objective.targets[[0, 3]] *= 0.1
    values, gradient = step(objective, pixels)
    in_targets = objective.targets.grad
    network, (real, labels) = objective.fresh(objective.chosen(3), 0).eval(), objective.real(3)
    clips, targets = pixels.clips.detach().requires_grad_(), objective.targets.detach().double().requires_grad_()
    features, support = network.embed(real).double().detach(), network.embed(clips).double()
    kernel = support @ support.T
    ridge = 1e-3 * sum(kernel[i, i] for i in range(6)) / 6
    predicted = features @ support.T @ torch.linalg.inv(kernel + ridge * torch.eye(6).double()) @ targets
    error = sum(((row - (torch.eye(3)[y] - 1 / 3)) ** 2).sum() for row, y in zip(predicted, labels, strict=True)) / 9
    gaps = [row.sort().values[-1] - row.sort().values[-2] for row in targets]
    margin = -sum(min(gap, torch.tensor(1 / 3).double()) for gap in gaps) / 6
    assert min(gaps) < 1 / 3 < max(gaps)
    (error + margin).backward()
    assert close(values["regression"], error) and close(values["label_margin"], margin)
    assert close(values["loss"], error + margin) and next(iter(values)) == "loss"
    assert close(gradient, clips.grad, 1e-3) and close(in_targets, targets.grad, 1e-3)


def test_networks_of_the_pool_move_after_the_clips_only(tiny, pixels, step, close):
    """Re-typed: one step of Adam on the mean squared error, dropout on."""
    objective = regression(tiny[0])
    before = [{k: w.clone() for k, w in one["model"].state_dict().items()} for one in objective.pool]
    step(objective, pixels, 3)
    in_clips, in_targets, place = pixels.clips.grad.clone(), objective.targets.grad.clone(), objective.chosen(3)
    for one, kept in zip(objective.pool, before, strict=True):
        assert all(p.grad is None for p in one["model"].parameters())
        assert all(torch.equal(w, kept[k]) for k, w in one["model"].state_dict().items())
    objective.after(Draw(pixels, 0, 3), 3)
    for number, (one, kept) in enumerate(zip(objective.pool, before, strict=True)):
        moved = {k: w - kept[k] for k, w in one["model"].state_dict().items()}
        assert all(p.grad is None for p in one["model"].parameters())
        assert all((change != 0).any() == (number == place) for change in moved.values())
        assert one["age"] == 2 * number + (number == place)
    naive = objective.fresh(place, 0).train()
    with seeding.forked("online", 0, 3):
        loss = ((naive(pixels.clips.detach()) - scaled(LABELS, 3)) ** 2).mean()
    gradients = torch.autograd.grad(loss, list(naive.parameters()))
    for p, old, g in zip(objective.pool[place]["model"].parameters(), before[place].values(), gradients, strict=True):
        assert close(p - old, -1e-2 * g / (g.abs() + 1e-8), 1e-3)
    assert torch.equal(pixels.clips.grad, in_clips) and torch.equal(objective.targets.grad, in_targets)


def test_the_pool_starts_at_staggered_ages_and_renews_itself(tiny, pixels):
    objective = regression(tiny[0], pool=3, max_updates=6)
    assert [one["age"] for one in objective.pool] == [0, 2, 4]
    first = [one["model"] for one in objective.pool]
    chosen = [objective.chosen(iteration) for iteration in range(200)]
    assert min(chosen.count(place) for place in range(3)) > 40
    ages, generations = [0, 2, 4], [0, 0, 0]
    for iteration, place in enumerate(chosen[:24]):
        objective.after(Draw(pixels, 0, 3), iteration)
        ages[place] += 1
        if ages[place] == 6:
            ages[place], generations[place] = 0, generations[place] + 1
            fresh, new = objective.fresh(place, generations[place]), objective.pool[place]
            assert all(torch.equal(w, new["model"].state_dict()[k]) for k, w in fresh.state_dict().items())
            assert new["model"] is not first[place] and not new["adam"].state
        assert [one["age"] for one in objective.pool] == ages
    assert max(generations) >= 1 and [one["generation"] for one in objective.pool] == generations


def test_learned_labels_are_kept_and_protocol_a_prime_learns_from_them(tiny, tmp_path):
    train, test = tiny
    made = frepo(lr_labels=0.05).distill(train, 2)
    assert made.targets.dtype == torch.float32 and made.targets.shape == (6, 3) and made.labels.equal(LABELS)
    moved = (made.targets - scaled(LABELS, 3)).abs()
    assert 0.01 < moved.max() < 0.25 and frepo(lr_labels=0).distill(train, 2).targets.equal(scaled(LABELS, 3))
    assert made.bytes_uint8 == 6 * 8 * 32 * 32 * 3 + 4 * 18
    back = DistilledSet.load(made.save(tmp_path / "set"))
    assert torch.equal(back.targets, made.targets) and back.state() == made.state()
    report = evaluate(made, test, protocol("A'", epochs=2, batch_size=8), seeds=[0], network=SMALL)
    assert report.rows[0]["method"] == "frepo" and 0 <= report.values()[0] <= 100
    with pytest.raises(VddError, match="protocol A trains on hard labels, and frepo stores soft ones"):
        evaluate(made, test, "A", seeds=[0], network=SMALL)


def test_scaled_labels_open_protocol_a_prime_to_any_set(tiny):
    train, test = tiny
    hard = Random().distill(train, 2)
    with pytest.raises(VddError, match="protocol A' trains on learned labels, and random stores hard ones only"):
        evaluate(hard, test, "A'", seeds=[0], network=SMALL)
    soft = with_scaled_labels(hard)
    assert torch.equal(soft.targets, scaled(hard.labels, 3)) and not hard.targets.is_floating_point()
    assert np.array_equal(soft.pixels, hard.pixels)
    report = evaluate(soft, test, protocol("A'", epochs=2, batch_size=8), seeds=[0], network=SMALL)
    assert report.rows[0]["method"] == "random" and report.rows[0]["protocol"] == "A'"
