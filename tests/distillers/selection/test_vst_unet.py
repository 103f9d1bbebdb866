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
    Ruler,
    distance_to_chosen,
    diversity_loss,
    expected_distance,
    expected_diversity,
    inclusion,
    representativeness_loss,
)
from vddlib.distillers.selection.vst_network import Outcome, VideoUNet
from vddlib.distillers.selection.vst_training import Goal, Weights, class_loss, compared, train_unet


class Squares:
    """Pixels averaged over squares of eight, in [0, 1]."""

    about = {"autoencoder": "squares"}  # noqa: RUF012

    def encode(self, frames):
        """``[N, T, 3, h, w]``."""
        x = torch.from_numpy(frames).flatten(0, 1).movedim(-1, 1).float() / 255
        return F.avg_pool2d(x, 8).unflatten(0, frames.shape[:2])


SMALL = {"codec": Squares(), "epochs": 2, "width": 4, "depth": 1, "features": 6}


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


# --- the expectation over choices -----------------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.integers(1, 6))
@settings(max_examples=20)
def test_probabilities_sum_to_the_count_and_keep_the_order(seed, count):
    scores = (5 * points(seed, 6, 1)[:, 0]).requires_grad_()
    p = inclusion(scores, count)
    assert p.sum().item() == pytest.approx(count, abs=1e-3) and p.min() >= 0 and p.max() <= 1
    if count < 6:
        assert p.argsort().tolist() == scores.argsort().tolist()
        # Moving all scores changes nothing; the gradient is that of differences.
        torch.testing.assert_close(inclusion(scores + 3, count), p, rtol=1e-3, atol=1e-5)
        weights = torch.arange(6.0)
        (gradient,) = torch.autograd.grad((weights * p).sum(), scores)
        with torch.no_grad():
            for i in range(6):
                step = 0.01 * torch.eye(6)[i]
                change = (weights * (inclusion(scores + step, count) - inclusion(scores - step, count))).sum() / 0.02
                assert change.item() == pytest.approx(gradient[i].item(), abs=0.02)


@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_expectations_are_sums_over_all_choices(seed):
    """Against all 2^5 sets of kept videos, each with its probability; an empty one counts the farthest distance."""
    x, p = points(seed, 5), torch.rand(5, generator=seeding.generator(seed))
    distances = torch.cdist(x, x)
    diversity = distance = 0.0
    for kept in itertools.product([False, True], repeat=5):
        weight = math.prod(p[i].item() if one else 1 - p[i].item() for i, one in enumerate(kept))
        chosen = torch.tensor([i for i, one in enumerate(kept) if one], dtype=torch.int64)
        pairs = len(chosen) * (len(chosen) - 1)
        diversity += weight * diversity_loss(x, chosen).item() * pairs / (3 * 2)
        near = distances[:, chosen].amin(1) if len(chosen) else distances.amax(1)
        distance += weight * near.mean().item()
    ruler = Ruler.of(x)
    assert expected_diversity(ruler, p, 3).item() == pytest.approx(diversity, abs=1e-5)
    assert expected_distance(ruler, p).item() == pytest.approx(distance, abs=1e-5)
    assert expected_diversity(ruler, p, 1).item() == 0


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_of_probabilities_0_and_1_they_are_the_papers_equations(seed, count):
    x, chosen = points(seed), torch.randperm(7, generator=seeding.generator(seed))[:count]
    p = torch.zeros(7).index_fill(0, chosen, 1.0)
    torch.testing.assert_close(
        expected_diversity(Ruler.of(x), p, count), diversity_loss(x, chosen), atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(expected_distance(Ruler.of(x), p), distance_to_chosen(x, chosen), atol=1e-5, rtol=1e-4)


def test_minimising_the_expectation_finds_a_good_choice():
    """Of free scores, against all sets of three of nine."""
    x = points(6, 9)
    ruler, scores = Ruler.of(x), (0.01 * points(7, 9, 1)[:, 0]).requires_grad_()
    steps = torch.optim.Adam([scores], 0.1)
    for _ in range(150):
        steps.zero_grad()
        expected_distance(ruler, inclusion(scores, 3)).backward()
        steps.step()
    every = sorted(distance_to_chosen(x, torch.tensor(one)).item() for one in itertools.combinations(range(9), 3))
    assert distance_to_chosen(x, scores.topk(3).indices).item() <= every[len(every) // 10]


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
    assert shapes == [(videos, 5), (videos,), (videos, 4)]


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


@pytest.mark.parametrize("form", ["meant", "printed"])
def test_eq_3_is_the_weighted_sum(form):
    made = Outcome(points(9, 5, 4), points(8, 5, 1)[:, 0], points(10, 5, 3))
    latents = points(3, 5, 24).view(5, 2, 3, 2, 2)
    x = latents.reshape(5, 24) / latents.reshape(5, 24).norm(dim=1, keepdim=True)
    torch.testing.assert_close(compared(latents), x)
    ruler, p = Ruler.of(x), inclusion(made.scores, 2)
    ce = -(p * made.class_logits.log_softmax(1)[:, 2]).sum() / 2
    near = torch.exp(-expected_distance(ruler, p))
    expected = ce + 0.1 * expected_diversity(ruler, p, 2) + 0.7 * (near if form == "printed" else 1 - near)
    torch.testing.assert_close(class_loss(made, ruler, 2, Goal(2, Weights(0.1, 0.7), form)), expected)


def test_l_ce_is_no_reward():
    """With L_ce alone, scores get no gradient."""
    scores = points(8, 5, 1)[:, 0].requires_grad_()
    logits = points(10, 5, 3).requires_grad_()
    made = Outcome(points(9, 5, 4), scores, logits)
    class_loss(made, Ruler.of(points(1, 5)), 1, Goal(2, Weights(0.0, 0.0), "meant")).backward()
    assert logits.grad.abs().max() > 0 and (scores.grad is None or scores.grad.abs().max() == 0)


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
    goal = Goal(1, Weights(0.0, 1.0), form)
    options = {"epochs": 80, "lr": 1e-2, "folder": tmp_path, "what": "test"}
    log = train_unet(model, [latents, -latents], goal, **options)
    with torch.no_grad():
        chosen = int(model(latents).scores.argmax())
    assert (chosen < 6) == (side == "near")
    assert len(log.values["distance"]) == 80 and log.values["ce"][-1] < log.values["ce"][0]


def test_an_interrupted_training_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    latents = [torch.randn(4, 2, 3, 4, 4, generator=torch.Generator().manual_seed(k)) for k in range(2)]
    goal = Goal(2, Weights(0.1, 1.0), "meant")

    def model():
        with seeding.forked(1):
            return VideoUNet(3, 2, width=4, depth=1)

    def train(one, folder, epochs=4):
        folder.mkdir(exist_ok=True)
        return train_unet(one, latents, goal, epochs=epochs, lr=1e-2, folder=folder, what="test")

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
            VideoUNet(3, 1, width=4, depth=1), latents, Goal(1, Weights(0, 0), "meant"), epochs=2, lr=1e-2,
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
        assert found.probabilities[members].sum().item() == pytest.approx(2, abs=1e-3)
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


@pytest.mark.parametrize("field, value", [("losses", "div"), ("order", "best"), ("lambda_d", -1), ("lr", 0)])
def test_bad_input(field, value):
    with pytest.raises(VddError, match=f"vst_unet: {field}"):
        distillers.build("vst_unet", **{field: value})
