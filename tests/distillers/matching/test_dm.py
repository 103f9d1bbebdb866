"""DM against the paper's sum over classes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vddlib.distillers.matching.dm import DistributionMatching, DMOptions
from vddlib.distillers.matching.objective import class_means
from vddlib.training.networks import Network

LABELS = torch.arange(3).repeat_interleave(2)
SMALL = Network(options={"depth": 1, "widths": (8,)})
NORMALISED = Network(options={"depth": 1, "widths": (8,), "norm": "batch"})


def matching(train, clips_at_once=512, network=SMALL):
    options = DMOptions(batch_real=4, clips_at_once=clips_at_once)
    return DistributionMatching(train, LABELS, network, 0, torch.device("cpu"), options)


@given(st.integers(0, 1000), st.integers(1, 12), st.integers(1, 5))
def test_class_means_are_a_loop_over_classes(seed, n, classes):
    g = torch.Generator().manual_seed(seed)
    x, labels = torch.randn(n, 3, generator=g), torch.randint(classes, (n,), generator=g)
    for label, mean in enumerate(class_means(x, labels, classes)):
        members = [row for row, other in zip(x, labels, strict=True) if other == label]
        assert torch.allclose(mean, sum(members) / len(members) if members else torch.zeros(3), atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"depth": 1, "widths": (8,)},
        {"depth": 2, "widths": (8, 16), "norm": "instance"},
        {"depth": 2, "widths": (8, 16), "norm": "batch"},
    ],
)
def test_the_loss_is_the_paper_s_class_by_class(tiny, pixels, step, close, options):
    """Re-typed: clip after clip through the network, class after class."""
    objective = matching(tiny[0], network=Network(options=options))
    values, gradient = step(objective, pixels)
    network, (real, labels) = objective.fresh(3).requires_grad_(False), objective.real(3)
    clips, loss = pixels.clips.detach().requires_grad_(), 0
    for label in range(3):
        of_real = [network.embed(clip[None])[0] for clip in real[labels == label]]
        of_clips = [network.embed(clip[None])[0] for clip in clips[label == LABELS]]
        assert (len(of_real), len(of_clips)) == (4, 2)
        loss = loss + ((sum(of_real) / 4 - sum(of_clips) / 2) ** 2).sum()
    loss.backward()
    assert close(values["loss"], loss) and close(gradient, clips.grad)


@pytest.mark.parametrize("network", [SMALL, NORMALISED], ids=str)
@pytest.mark.parametrize(("at_once", "parts", "real_parts"), [(1, 3, 3), (4, 2, 3), (8, 1, 2)])
def test_chunks_give_the_same_gradient(tiny, pixels, step, close, at_once, parts, real_parts, network):
    whole, gradient = step(matching(tiny[0], network=network), pixels)
    objective, drawn = matching(tiny[0], clips_at_once=at_once, network=network), []
    pixels.register_forward_hook(lambda module, inputs, output: drawn.append(inputs[0]))
    chunked, in_chunks = step(objective, pixels)
    assert close(chunked["loss"], whole["loss"], 1e-5) and close(in_chunks, gradient, 1e-5)
    assert torch.cat(drawn).tolist() == list(range(6))
    assert (len(drawn), len(objective.real.chunks)) == (parts, real_parts)
    assert max(map(len, drawn)) <= max(2, at_once)  # a class is never split
    assert max(len(objective.real(3, chunk)[0]) for chunk in range(real_parts)) <= max(4, at_once)


@pytest.mark.parametrize("network", [SMALL, NORMALISED], ids=str)
def test_real_clips_are_looked_at_few_at_a_time_with_the_same_bits(tiny, monkeypatch, network):
    def means(looked_at_once):
        objective = matching(tiny[0], network=network)
        objective.options.looked_at_once = looked_at_once
        model, sizes = objective.fresh(3), []
        embed = model.embed
        monkeypatch.setattr(model, "embed", lambda clips: sizes.append(len(clips)) or embed(clips))
        return objective.real_means(model, 3), sizes

    whole, sizes = means(12)
    assert sizes == [12]  # four of each of three classes
    for looked_at_once, wanted in ((0, [4, 4, 4]), (5, [5, 5, 2])):  # four at a time by itself on a CPU
        parts, sizes = means(looked_at_once)
        assert sizes == wanted and torch.equal(parts, whole)


def test_every_iteration_has_a_frozen_network_of_its_own(tiny, pixels, step, monkeypatch):
    objective, networks = matching(tiny[0]), []
    fresh = objective.fresh
    monkeypatch.setattr(objective, "fresh", lambda *key: networks.append(fresh(*key)) or networks[-1])
    for iteration in (3, 4):
        step(objective, pixels, iteration)
    first, second = (dict(network.named_parameters()) for network in networks)
    assert all(p.grad is None for network in networks for p in network.parameters())
    assert all(torch.equal(p, first[name]) for name, p in fresh(3).named_parameters())
    assert not any(torch.equal(p, first[name]) for name, p in second.items())
