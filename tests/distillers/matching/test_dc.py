"""DC and Static-DC against the paper's layer-wise cosine distance."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vddlib.distillers.matching.dc import DCOptions, GradientMatching, gradient_distance
from vddlib.distillers.stored.pixels import Pixels
from vddlib.training.networks import Network

LABELS = torch.arange(3).repeat_interleave(2)
SMALL = Network(options={"depth": 1, "widths": (8,)})
NORMALISED = Network(options={"depth": 1, "widths": (8,), "norm": "batch"})
IMAGE = Network(name="convnet", options={"width": 4, "depth": 2})


def matching(train, network=SMALL, **options):
    options = {"batch_real": 4, "outer": 1, "inner": 1, "lr_network": 0.01, "still": network is IMAGE, **options}
    return GradientMatching(train, LABELS, network, 0, torch.device("cpu"), DCOptions(**options))


def images(pixels):
    return Pixels(pixels.clips[:, :, 3:4], pixels.mean, pixels.std)


def by_hand(real, synthetic):
    """Output channel by output channel, weights only; 1e-6 is the public code's."""
    total = 0.0
    for a, b in zip(real, synthetic, strict=True):
        for channel in range(len(a) if a.ndim > 1 else 0):
            x, y = a[channel].ravel(), b[channel].ravel()
            total += 1 - (x @ y) / (np.sqrt(x @ x) * np.sqrt(y @ y) + 1e-6)
    return total


def random_gradients(seed):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=g) for shape in ((4, 3, 2, 2, 2), (4,), (5, 8), (5,))]


@given(st.integers(0, 1000), st.floats(0.1, 100))
def test_gradient_distance_sees_directions_of_weights_alone(seed, scale):
    real, other = random_gradients(seed), random_gradients(seed + 1)
    assert gradient_distance(real, other) == pytest.approx(by_hand(*([t.numpy() for t in r] for r in (real, other))))
    assert gradient_distance(real, [scale * g for g in real]) == pytest.approx(0, abs=1e-4)
    assert gradient_distance(real, [-g for g in real]) == pytest.approx(2 * 9, abs=1e-4)
    rescaled = [scale * g for g in other]
    assert gradient_distance(real, rescaled) == pytest.approx(gradient_distance(real, other).item(), abs=1e-4)
    biases = [g if g.ndim > 1 else torch.zeros_like(g) for g in other]
    assert gradient_distance(real, biases) == gradient_distance(real, other)


@pytest.mark.parametrize("network", [SMALL, NORMALISED, IMAGE], ids=str)
def test_the_loss_is_the_paper_s_class_by_class(tiny, pixels, step, close, network):
    """Re-typed: the loss in NumPy loops, its second-order gradient by the plainest autograd; no dropout anywhere."""
    objective, content = matching(tiny[0], network), images(pixels) if network is IMAGE else pixels
    values, gradient = step(objective, content)
    model = objective.fresh(3).eval()
    weights = list(model.parameters())

    def gradients(clips, label, **options):
        picked = model(clips).log_softmax(1)[:, label]
        return torch.autograd.grad(-sum(picked) / len(clips), weights, **options)

    in_numpy, in_torch, clips = 0.0, 0, content.clips.detach().requires_grad_()
    for label in range(3):
        real, labels = objective.real(3, label)
        assert labels.tolist() == [label] * 4 and real.shape[2] == content.clips.shape[2]
        wanted, got = gradients(real, label), gradients(clips[label == LABELS], label, create_graph=True)
        in_numpy += by_hand(*([g.detach().double().numpy() for g in gs] for gs in (wanted, got)))
        for a, b in zip(wanted, got, strict=True):
            for x, y in zip(a, b, strict=True) if a.ndim > 1 else ():
                in_torch = in_torch + 1 - (x * y).sum() / (x.square().sum().sqrt() * y.square().sum().sqrt() + 1e-6)
    in_torch.backward()
    assert close(values["loss"], in_numpy) and close(gradient, clips.grad, 1e-3)


def test_the_network_keeps_no_gradient_and_does_not_move_in_a_step(tiny, pixels, step):
    objective = matching(tiny[0], outer=2)
    for iteration in (0, 1):
        step(objective, pixels, iteration)
        assert all(p.grad is None for p in objective.model.parameters())
        fresh = objective.fresh(0)
        assert all(torch.equal(a, b) for a, b in zip(objective.model.parameters(), fresh.parameters(), strict=True))
    step(objective, pixels, 2)
    assert not torch.equal(objective.model.classifier.weight, fresh.classifier.weight)


def test_between_iterations_the_network_learns_from_the_distilled_clips(tiny, pixels, step, close):
    """Re-typed: full-batch SGD with momentum 0.5; after the last of the `outer` iterations a new one comes."""
    objective = matching(tiny[0], outer=2, inner=2, lr_network=0.1)
    step(objective, pixels, 0)
    gradient = pixels.clips.grad.clone()
    objective.after(lambda indices: pixels(indices, None), 0)
    naive = objective.fresh(0).eval()
    speed = [0.0 for _ in naive.parameters()]
    for _ in range(2):
        loss = torch.nn.functional.cross_entropy(naive(pixels.clips.detach()), LABELS)
        for i, (p, g) in enumerate(zip(naive.parameters(), torch.autograd.grad(loss, naive.parameters()), strict=True)):
            speed[i] = 0.5 * speed[i] + g
            p.data -= 0.1 * speed[i]
    start = objective.fresh(0)
    for mine, wanted, before in zip(*(m.parameters() for m in (objective.model, naive, start)), strict=True):
        assert close(mine - before, wanted - before, 1e-3) and mine.grad is None
    assert torch.equal(pixels.clips.grad, gradient)
    kept = {name: w.clone() for name, w in objective.model.state_dict().items()}
    objective.after(lambda indices: pixels(indices, None), 1)
    assert all(torch.equal(w, kept[name]) for name, w in objective.model.state_dict().items())
