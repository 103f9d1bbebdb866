"""VST-UNet: its formulas typed anew, brute force over all choices, symmetry, resuming, and what the printed forms do."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from vddlib import distillers
from vddlib.core import cache, seeding
from vddlib.core.errors import VddError
from vddlib.distillers import VSTUNet
from vddlib.distillers.selection import vst_training, vst_unet
from vddlib.distillers.selection.vst_losses import (
    distance_to_chosen,
    diversity_loss,
    drawn,
    expected_loss,
    log_probability,
    representativeness_loss,
)
from vddlib.distillers.selection.vst_network import Outcome, VideoUNet
from vddlib.distillers.selection.vst_training import Goal, Weights, losses, train_unet


class Squares:
    """Pixels averaged over squares of eight, in [0, 1]."""

    about = {"autoencoder": "squares"}  # noqa: RUF012

    def encode(self, frames):
        """``[N, T, 3, h, w]``."""
        x = torch.from_numpy(frames).flatten(0, 1).movedim(-1, 1).float() / 255
        return F.avg_pool2d(x, 8).unflatten(0, frames.shape[:2])


SMALL = {"codec": Squares(), "epochs": 2, "width": 4, "depth": 1, "features": 6, "draws": 2}


def points(seed, n=7, d=4):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d))).float()


# --- losses ---------------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.integers(2, 5))
def test_eq_1_typed_anew(seed, size):
    x, chosen = points(seed).double(), torch.randperm(7, generator=seeding.generator(seed))[:size]
    total = 0.0
    for t in chosen.tolist():
        for i in chosen.tolist():
            if i != t:
                total += float(x[t] @ x[i] / (x[t].norm() * x[i].norm()))
    assert diversity_loss(x, chosen).item() == pytest.approx(total / (size * (size - 1)))
    assert diversity_loss(x, chosen[:1]).item() == 0


@given(st.integers(0, 10_000), st.integers(1, 5))
def test_eq_2_typed_anew(seed, size):
    x, chosen = points(seed).double(), torch.randperm(7, generator=seeding.generator(seed))[:size]
    distance = sum(min(float((x[t] - x[i]).norm()) for i in chosen.tolist()) for t in range(7)) / 7
    assert distance_to_chosen(x, chosen).item() == pytest.approx(distance)
    assert representativeness_loss(x, chosen, "printed").item() == pytest.approx(math.exp(-distance))
    assert representativeness_loss(x, chosen, "meant").item() == pytest.approx(1 - math.exp(-distance))


def test_eq_2_as_printed_drives_videos_away_and_as_meant_brings_them_near():
    """Each form minimised over the embeddings alone, from the same start."""
    chosen, after = torch.tensor([0, 3]), {}
    for form in ("meant", "printed"):
        x = (0.3 * points(1)).requires_grad_()
        before = distance_to_chosen(x, chosen).item()
        steps = torch.optim.Adam([x], 0.02)
        for _ in range(60):
            steps.zero_grad()
            representativeness_loss(x, chosen, form).backward()
            steps.step()
        after[form] = distance_to_chosen(x, chosen).item()
    assert after["meant"] < 0.7 * before < before < 1.3 * before < after["printed"]


def test_eq_2_as_printed_prefers_the_worst_choice():
    """Over all choices of two: the form that is meant likes best what lies nearest to all, the printed form what lies
    farthest."""
    x = points(2)
    choices = [torch.tensor(pair) for pair in itertools.combinations(range(7), 2)]
    distances = [distance_to_chosen(x, one).item() for one in choices]
    best = {form: min(choices, key=lambda one: representativeness_loss(x, one, form)) for form in ("meant", "printed")}
    assert distance_to_chosen(x, best["meant"]).item() == min(distances)
    assert distance_to_chosen(x, best["printed"]).item() == max(distances)


# --- the gradient of a choice ---------------------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.integers(1, 3))
@settings(max_examples=20)
def test_probabilities_of_all_choices_sum_to_one(seed, count):
    logs = points(seed, 4, 1)[:, 0].double().log_softmax(0)
    total = 0.0
    for order in itertools.permutations(range(4), count):
        value, left = 1.0, logs.exp().sum().item()
        for video in order:  # by hand: of what is left
            value *= logs[video].exp().item() / left
            left -= logs[video].exp().item()
        assert log_probability(logs, torch.tensor(order)).exp().item() == pytest.approx(value)
        total += value
    assert total == pytest.approx(1)


def test_draws_follow_the_probabilities():
    logs = torch.tensor([0.5, 0.3, 0.2]).log()
    counts, stream = dict.fromkeys(itertools.permutations(range(3), 2), 0), seeding.generator(5)
    for _ in range(3000):
        counts[tuple(drawn(logs, 2, stream).tolist())] += 1
    for order, count in counts.items():
        expected = log_probability(logs, torch.tensor(order)).exp().item()
        assert count / 3000 == pytest.approx(expected, abs=0.03)


def test_the_gradient_is_that_of_the_expected_loss():
    """Against the sum over all choices, weighted by their probabilities; part of the loss has a gradient of its own."""
    scores = torch.tensor([0.3, -0.2, 0.1, 0.5], dtype=torch.float64, requires_grad=True)
    cost = torch.tensor([1.0, 3.0, -2.0, 0.5], dtype=torch.float64)
    scale = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)

    def loss(chosen):
        return scale * cost[chosen].sum() + (cost[chosen].prod() if len(chosen) > 1 else 0)

    logs = scores.log_softmax(0)
    choices = [torch.tensor(order) for order in itertools.permutations(range(4), 2)]
    exact = sum(log_probability(logs, one).exp() * loss(one) for one in choices)
    expected = torch.autograd.grad(exact, (scores, scale))
    stream, draws = seeding.generator(0), 4000
    logs = scores.log_softmax(0)
    taken = [drawn(logs, 2, stream) for _ in range(draws)]
    estimate = expected_loss(
        torch.stack([loss(one) for one in taken]), torch.stack([log_probability(logs, one) for one in taken])
    )
    found = torch.autograd.grad(estimate, (scores, scale))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.1, atol=0.15)


# --- the network ----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 5), st.integers(1, 6))
@settings(max_examples=10)
def test_permuting_videos_permutes_what_comes_out(seed, videos, frames, side):
    with seeding.forked(seed):
        model = VideoUNet(3, 4, width=4, depth=2, features=5)
        latents = torch.randn(videos, frames, 3, side, side)
    order = torch.randperm(videos, generator=seeding.generator(seed))
    with torch.no_grad():
        made, permuted = model(latents), model(latents[order])
    for one, other in zip(made, permuted, strict=True):
        torch.testing.assert_close(one[order], other, rtol=1e-4, atol=1e-5)
    shapes = [tuple(one.shape) for one in made]
    assert shapes == [(videos, 5), (videos,), (videos,), (videos, 4)]
    assert made.probabilities.sum().item() == pytest.approx(1, abs=1e-5)


def test_the_network_sees_all_four_dimensions():
    """Another video, another order of frames, another place in the frame: each changes what the first video gets."""
    with seeding.forked(0):
        model = VideoUNet(2, 3, width=4, depth=1)
        latents = torch.randn(3, 4, 2, 6, 6)
    first = model(latents).features[0]
    other = latents.clone()
    other[2] += 1
    for changed in (other, latents.flip(1), latents.flip(4)):
        assert not torch.allclose(model(changed).features[0], first, atol=1e-5)


# --- training -------------------------------------------------------------------------------------------------------------


def outcome(n=5, d=4, classes=3):
    scores = points(8, n, 1)[:, 0]
    return Outcome(points(9, n, d), scores.softmax(0), scores.log_softmax(0), points(10, n, classes))


def test_eq_3_is_the_weighted_sum_on_the_chosen():
    made, chosen = outcome(), torch.tensor([4, 1])
    goal = Goal(2, Weights(0.1, 1.0), "meant", 2)
    total, parts = losses(made, 2, chosen, goal)
    ce = -made.class_logits.log_softmax(1)[chosen, 2].mean()
    x = made.features / made.features.norm(dim=1, keepdim=True)
    expected = ce + 0.1 * diversity_loss(x, chosen) + representativeness_loss(x, chosen)
    torch.testing.assert_close(total, expected)
    assert set(parts) == {"ce", "diversity", "representativeness"}


@pytest.mark.parametrize(
    "ipc, params, expected",
    [
        (1, {}, (0, 0.1)),
        (5, {}, (0.1, 1)),
        (10, {"losses": "ce"}, (0, 0)),
        (10, {"losses": "ce+div"}, (0.1, 0)),
        (10, {"losses": "ce+rep"}, (0, 1)),
        (5, {"lambda_d": 3.0, "lambda_r": 0.5}, (3, 0.5)),
    ],
)
def test_the_papers_weights(ipc, params, expected):
    assert VSTUNet(**params).weights(ipc) == expected


@pytest.mark.parametrize("form, side", [("meant", "near"), ("printed", "far")])
def test_training_finds_what_the_loss_asks_for(tmp_path, form, side):
    """Two groups of videos, six alike and two strangers: one video shall represent them."""
    generator = torch.Generator().manual_seed(0)
    latents = 0.05 * torch.randn(8, 2, 3, 4, 4, generator=generator)
    latents[:6, :, 0] += 1
    latents[6:, :, 1] -= 2
    with seeding.forked(3):
        model = VideoUNet(3, 2, width=4, depth=1, features=8)
    goal = Goal(1, Weights(0.0, 1.0), form, 8)
    options = {"epochs": 80, "lr": 1e-2, "seed": 0, "folder": tmp_path, "what": "test"}
    log = train_unet(model, [latents, -latents], goal, **options)
    with torch.no_grad():
        chosen = int(model(latents).probabilities.argmax())
    assert (chosen < 6) == (side == "near")
    assert len(log.values["distance"]) == 80 and log.values["ce"][-1] < log.values["ce"][0]


def test_an_interrupted_training_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    latents = [torch.randn(4, 2, 3, 4, 4, generator=torch.Generator().manual_seed(k)) for k in range(2)]
    goal = Goal(2, Weights(0.1, 1.0), "meant", 2)

    def model():
        with seeding.forked(1):
            return VideoUNet(3, 2, width=4, depth=1)

    def train(one, folder, epochs=4):
        folder.mkdir(exist_ok=True)
        return train_unet(one, latents, goal, epochs=epochs, lr=1e-2, seed=0, folder=folder, what="test")

    whole = model()
    log = train(whole, tmp_path / "whole")
    monkeypatch.setattr(vst_training, "SAVE_SECONDS", -1)
    looks, real = [], vst_training.looked

    def interrupted(*a):
        looks.append(1)
        if len(looks) == 6:  # in the third epoch
            raise KeyboardInterrupt
        return real(*a)

    monkeypatch.setattr(vst_training, "looked", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(model(), tmp_path / "parts")
    again = model()
    assert train(again, tmp_path / "parts").values == log.values
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


def test_a_training_that_diverges_is_named(tmp_path):
    latents = [torch.full((3, 2, 3, 4, 4), torch.nan)]
    with pytest.raises(VddError, match=r"test: diverged in epoch 1; lower its learning rate, now 0\.01"):
        train_unet(
            VideoUNet(3, 1, width=4, depth=1), latents, Goal(1, Weights(0, 0), "meant", 2), epochs=2, lr=1e-2, seed=0,
            folder=tmp_path, what="test",
        )  # fmt: skip


# --- the selector ---------------------------------------------------------------------------------------------------------


def test_it_keeps_the_most_probable_or_as_printed_the_least(tiny):
    train, _ = tiny
    method = VSTUNet(**SMALL)
    found = method.learned(train, train, 2, 0)
    highest = method.distill(train, 2)
    lowest = VSTUNet(**SMALL, order="lowest").distill(train, 2)
    for label in range(3):
        members = train.of_class(label).tolist()
        assert found.probabilities[members].sum().item() == pytest.approx(1, abs=1e-5)
        ranked = sorted(members, key=lambda i: -found.probabilities[i])
        assert highest.card["videos"][2 * label : 2 * label + 2] == [train.names[i] for i in ranked[:2]]
        assert lowest.card["videos"][2 * label : 2 * label + 2] == [train.names[i] for i in ranked[::-1][:2]]
    assert highest.card["latents"] == Squares.about and highest.card["method"] == "vst_unet[real]"
    assert highest.card["distill_seconds"] > 0 and len(found.log.values["ce"]) == 2


def test_it_is_trained_once_for_what_it_depends_on(tiny, pool, monkeypatch):
    train, _ = tiny
    built, get = [], cache.get
    monkeypatch.setattr(vst_unet.cache, "get", lambda kind, key, build: built.append(key) or get(kind, key, build))
    sets = [
        VSTUNet(**SMALL | more).distill(train, ipc, seed, candidates=candidates)
        for more, ipc, seed, candidates in (
            ({}, 2, 0, None),
            ({"order": "lowest"}, 2, 0, None),
            ({"lambda_d": 0.1, "lambda_r": 1.0}, 2, 0, None),
            ({}, 2, 0, pool),
            ({}, 2, 1, None),
            ({"representativeness": "printed"}, 2, 0, None),
        )
    ]
    keys = [str(key) for key in built]
    assert keys[0] == keys[1] == keys[2] and len(set(keys)) == 4
    assert sets[0].state() == sets[2].state()
    assert sets[3].card["method"] == "vst_unet" and sets[3].card["pool"] == "pool"
    assert set(sets[3].card["videos"]) <= set(pool.names)


def test_latents_are_standardised_over_all_classes():
    classes = [3 + 2 * torch.randn(4, 2, 3, 5, 5), torch.randn(6, 2, 3, 5, 5)]
    everything = torch.cat(vst_unet.standardised(classes)).movedim(2, 0).flatten(1)
    torch.testing.assert_close(everything.mean(1), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(everything.std(1), torch.ones(3))
    flat = vst_unet.standardised([torch.ones(2, 1, 3, 2, 2)])
    assert flat[0].abs().max() == 0


def test_pools_that_do_not_fit_are_refused(tiny, pool):
    train, _ = tiny
    with pytest.raises(VddError, match="ipc 5 is larger than the class Red of pool, which has 4"):
        VSTUNet(**SMALL).distill(train, 5, candidates=pool)
    with pytest.raises(VddError, match="classes of the pool pool are not those of tiny in the same order"):
        VSTUNet(**SMALL).distill(train, 1, candidates=pool.only(["Green", "Red", "Blue"]))


@pytest.mark.parametrize(
    "field, value", [("losses", "div"), ("draws", 1), ("order", "best"), ("lambda_d", -1), ("lr", 0)]
)
def test_bad_input(field, value):
    with pytest.raises(VddError, match=f"vst_unet: {field}"):
        distillers.build("vst_unet", **{field: value})
