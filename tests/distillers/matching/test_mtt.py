"""MTT against a plain unroll and finite differences; how its experts are made, kept and shared."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.func import functional_call

from vddlib import distillers
from vddlib.core import cache, seeding
from vddlib.core.errors import VddError
from vddlib.distillers.matching import experts as making
from vddlib.distillers.matching.experts import Experts, trajectories
from vddlib.distillers.matching.mtt import MTTOptions, TrajectoryMatching
from vddlib.distillers.matching.objective import Draw
from vddlib.distillers.stored.pixels import Pixels
from vddlib.models import count_parameters
from vddlib.training.networks import Network, seed_of

CPU = torch.device("cpu")
LABELS = torch.arange(3).repeat_interleave(2)
SMALL = Network(options={"depth": 1, "widths": (8,), "dropout": 0.0})
INSTANCE = Network(options={"depth": 1, "widths": (8,), "dropout": 0.0, "norm": "instance"})
NOISY = Network(options={"depth": 1, "widths": (8,), "dropout": 0.5})
FEW = Experts(count=2, batch_size=6, lr=0.02)


def matching(train, network=SMALL, experts=None, **options):
    options = {"max_start_epoch": 2, "expert_epochs": 1, "syn_steps": 4, "batch_syn": 4, **options}
    options = {"lr_student": 0.05, "lr_lr": 1e-3, **options}
    return TrajectoryMatching(train, LABELS, network, 0, CPU, MTTOptions(**options), experts=experts)


def unrolled(objective, start, target, clips, iteration):
    """(loss, its gradient in the clips, its gradient in the learning rate) of free pixels."""
    content = Pixels(clips, torch.zeros(3), torch.ones(3))
    loss, in_rate = objective.unroll(start.clone(), target, Draw(content, 0, iteration), iteration)
    return loss, content.clips.grad, in_rate


def flat(train, network, seed):
    return torch.cat([p.detach().reshape(-1) for p in network.build(train.classes, train.geometry, seed).parameters()])


def ends(train, network=SMALL):
    """A start, and a target not far from it."""
    start = flat(train, network, 0)
    return start, start + 0.05 * flat(train, network, 1)


def naive(objective, start, target, clips, rate, iteration):
    """Equation 2 by one differentiable graph over all steps."""
    model, place, theta = objective.model, 0, {}
    for name, p in model.named_parameters():
        theta[name] = start[place : place + p.numel()].view(p.shape)
        place += p.numel()
    theta = {name: weights.requires_grad_() for name, weights in theta.items()}
    for number, some in enumerate(objective.batches(iteration)):
        with seeding.forked("unroll", objective.seed, iteration, number):
            logits = functional_call(model, theta, (clips[some],))
        loss = -logits.log_softmax(1)[range(len(some)), LABELS[some]].mean()
        gradients = torch.autograd.grad(loss, list(theta.values()), create_graph=True)
        theta = {name: theta[name] - rate * g for name, g in zip(theta, gradients, strict=True)}
    end = torch.cat([weights.reshape(-1) for weights in theta.values()])
    return ((end - target) ** 2).sum() / ((start - target) ** 2).sum()


@pytest.mark.parametrize("network", [SMALL, NOISY, INSTANCE], ids=str)
@pytest.mark.parametrize("options", [{}, {"batch_syn": 6, "syn_steps": 2}, {"syn_steps": 1}], ids=str)
def test_the_step_by_step_gradient_is_that_of_the_whole_graph(tiny, pixels, close, network, options):
    train, _ = tiny
    objective, (start, target) = matching(train, network, **options), ends(train, network)
    loss, in_clips, in_rate = unrolled(objective, start, target, pixels.clips, 3)
    clips, rate = pixels.clips.detach().clone().requires_grad_(), torch.tensor(0.05, requires_grad=True)
    whole = naive(objective, start, target, clips, rate, 3)
    whole.backward()
    assert close(loss, whole) and close(in_clips, clips.grad, 1e-3) and close(in_rate, rate.grad, 1e-3)
    assert not (loss.requires_grad or in_clips.requires_grad or in_rate.requires_grad)


@pytest.mark.parametrize("network", [SMALL, NOISY], ids=str)
@pytest.mark.parametrize("stored", [None, distillers.VDSD(images="frames", statics=1)], ids=["pixels", "vdsd"])
def test_graphs_are_kept_where_they_fit_and_the_bits_are_the_same(tiny, pixels, network, stored):
    train, _ = tiny
    start, target = ends(train, network)
    begun = stored.begin(train, 2, torch.arange(6), 0, "cpu") if stored else pixels

    def run(graph_gb, known=None):
        content = deepcopy(begun)
        objective, draw = matching(train, network, graph_gb=graph_gb), Draw(content, 0, 3)
        objective.graph_bytes = known
        path = objective.walk(start, draw, 3)
        kept = sorted(objective.kept)
        made = objective.back(path, target, draw, 3)
        assert not objective.kept  # and freed
        return kept, objective.graph_bytes, [*path, *made, *(p.grad for p in content.parameters() if p.requires_grad)]

    kept, size, none = run(0)
    assert kept == [] and size > 2 * 4 * 3 * 8 * 32 * 32  # more than the clips
    first, measured, some = run(2.5 * size / 1e9)
    assert first == [2, 3] and measured == size  # the last two of four steps
    all_kept, _, everything = run(4.0)
    assert all_kept == [0, 1, 2, 3] and run(2.5 * size / 1e9, size)[0] == [2, 3]
    for other in (some, everything):
        assert all(torch.equal(one, two) for one, two in zip(none, other, strict=True))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_gradient_is_the_limit_of_differences(tiny, dropout):
    """In float64; with dropout only where each step's noise is the same forward and backward."""
    train, network = tiny[0], Network(options={"depth": 1, "widths": (2,), "dropout": dropout})
    objective = matching(train, network, syn_steps=3)
    objective.model.double()
    objective.student_lr.data = objective.student_lr.data.double()
    g = torch.Generator().manual_seed(0)
    clips, direction = (torch.randn(6, 3, 8, 32, 32, generator=g, dtype=torch.float64) for _ in range(2))
    start, target = (weights.double() for weights in ends(train, network))

    def unroll(clips, rate=0.05):
        objective.student_lr.data.fill_(rate)
        return unrolled(objective, start, target, clips, 0)

    def slope(up, down, eps):
        return ((up[0] - down[0]) / (2 * eps)).item()

    _, in_clips, in_rate = unroll(clips)
    one = torch.zeros_like(clips)
    one.view(-1)[in_clips.abs().argmax()] = 1
    for some in (direction, one):
        wanted = slope(unroll(clips + 1e-6 * some), unroll(clips - 1e-6 * some), 1e-6)
        assert (in_clips * some).sum().item() == pytest.approx(wanted, rel=1e-4)
    wanted = slope(unroll(clips, 0.05 + 1e-6), unroll(clips, 0.05 - 1e-6), 1e-6)
    assert in_rate.item() == pytest.approx(wanted, rel=1e-4)


def test_student_steps_are_shuffled_passes_over_all_clips(tiny):
    objective = matching(tiny[0], syn_steps=7, batch_syn=4)
    batches = [batch.tolist() for batch in objective.batches(0)]
    assert [len(batch) for batch in batches] == [4, 2, 4, 2, 4, 2, 4]
    passes = [batches[i] + batches[i + 1] for i in (0, 2, 4)]
    assert all(sorted(one) == list(range(6)) for one in passes) and passes[0] != passes[1]
    assert batches == [batch.tolist() for batch in objective.batches(0)]
    assert batches != [batch.tolist() for batch in objective.batches(1)]


def test_a_step_compares_with_an_expert_and_learns_the_rate(tiny, pixels, step, close):
    train, _ = tiny
    objective = matching(train, experts=trajectories(train, SMALL, FEW, 2, device=CPU))
    values, gradient = step(objective, pixels, 5)
    expert, epoch = objective.choice(5)
    start, target = (objective.experts.weights(expert, e) for e in (epoch, epoch + 1))
    loss, in_clips, in_rate = unrolled(objective, start, target, pixels.clips, 5)
    assert torch.equal(values["loss"], loss) and torch.equal(gradient, in_clips)
    assert values["expert_path"] == (target - start).norm() > 0
    end = objective.walk(start, Draw(pixels, 0, 5), 5)[-1]
    assert torch.equal(values["student_path"], (end - start).norm()) and values["student_path"] > 0
    assert values["loss"] == pytest.approx(((end - target).norm() / values["expert_path"]).item() ** 2, rel=1e-5)
    assert torch.equal(objective.student_lr.grad, in_rate)
    assert objective.groups()[0]["params"] == [objective.student_lr]
    assert all(p.grad is None for p in objective.model.parameters())
    objective.student_lr.data.fill_(-1)
    objective.after(None, 5)
    assert objective.student_lr.item() == pytest.approx(0.001)


def test_every_expert_is_used_and_every_start(tiny):
    objective = matching(tiny[0], experts=range(4), max_start_epoch=3)
    rounds = [[objective.choice(4 * turn + place) for place in range(4)] for turn in range(12)]
    assert all(sorted(expert for expert, _ in one) == [0, 1, 2, 3] for one in rounds)
    assert len({tuple(expert for expert, _ in one) for one in rounds}) > 1
    assert {epoch for one in rounds for _, epoch in one} == {0, 1, 2}


def mtt(network=SMALL, **params):
    params = {"max_start_epoch": 2, "syn_steps": 2, "lr_pixels": 100, **params}
    params = {"experts": {"count": 2, "batch_size": 6}, **params}
    return distillers.build("mtt", network=network, **params)


def test_the_card_tells_how_experts_were_used(tiny):
    distiller = mtt(iterations=6)
    card, rates = distiller.distill(tiny[0], 1).card, distiller.history(tiny[0], 1).values["student_lr"]
    assert card["experts_used"] == [3, 3] and card["bytes_experts"] > 0
    assert card["distill_seconds"] > card["experts_seconds"] > 0  # training them counts
    assert rates[0] == pytest.approx(0.01) and len({*rates, card["student_lr"]}) == 7


def test_snapshots_are_kept_in_half_precision_which_costs_little(tiny):
    """Squared rounding error under 0.1 % of the squared step of an epoch."""
    train, _ = tiny
    exactly = FEW.model_copy(update={"precision": "float32"})
    half, full = (trajectories(train, SMALL, experts, 3, device=CPU) for experts in (FEW, exactly))
    for expert, folder in enumerate(half.folders):
        paths = sorted(folder.glob("*.safetensors"))
        assert [path.name for path in paths] == [f"epoch_{epoch:03d}.safetensors" for epoch in range(4)]
        assert all(load_file(path)["weights"].dtype == torch.float16 for path in paths)
        assert torch.equal(full.weights(expert, 0), flat(train, SMALL, seed_of("expert", expert)))
        exact = [full.weights(expert, epoch) for epoch in range(4)]
        for epoch in range(3):
            length = (exact[epoch + 1] - exact[epoch]).square().sum()
            for end in (epoch, epoch + 1):
                assert 0 < (half.weights(expert, end) - exact[end]).square().sum() < 1e-3 * length
    values = count_parameters(SMALL.build(train.classes, train.geometry, 0))
    assert [half.bytes, full.bytes] == pytest.approx([2 * 4 * 2 * values, 2 * 4 * 4 * values], rel=0.05)


def test_an_expert_is_plain_sgd_on_the_train_split(tiny, close):
    """Re-typed: no momentum, no decay, a constant rate."""
    train, _ = tiny
    kept = trajectories(train, SMALL, FEW.model_copy(update={"precision": "float32"}), 2, device=CPU)
    own = seed_of("expert", 1)
    model = SMALL.build(train.classes, train.geometry, own)
    for epoch in range(2):
        order = torch.randperm(len(train), generator=seeding.generator("fit", own, epoch))
        for some in order.split(6):
            clips, labels = train.batch(some, epoch=epoch, seed=own, flip=True)
            loss = torch.nn.functional.cross_entropy(model(clips), labels)
            for p, g in zip(model.parameters(), torch.autograd.grad(loss, list(model.parameters())), strict=True):
                p.data -= FEW.lr * g
        weights = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
        assert close(kept.weights(1, epoch + 1), weights, 1e-5)


def test_experts_are_trained_once_for_all_runs_and_the_size_is_said_before(tiny, monkeypatch, capsys):
    fits, fit = [], making.fit

    def counted(*args, **kwargs):
        if not fits:
            assert "experts: 2 of 2 networks to train, 2 epochs each; all trajectories take 0 MB under" in (
                capsys.readouterr().out
            )
        fits.append(kwargs["seed"])
        return fit(*args, **kwargs)

    monkeypatch.setattr(making, "fit", counted)
    mtt(iterations=1).distill(tiny[0], 1)
    mtt(iterations=1, syn_steps=1).distill(tiny[0], 2, seed=1)
    first, second, third = (seed_of("expert", number) for number in range(3))
    assert fits == [first, second] or fits == [second, first]
    mtt(iterations=1, experts={"count": 3, "batch_size": 6}).distill(tiny[0], 1)
    assert fits[2:] == [third] and "experts: 1 of 3 networks to train" in capsys.readouterr().out


def test_the_size_that_is_said_is_that_on_disk(tiny, monkeypatch, capsys):
    train, wide = tiny[0], Network(options={"depth": 2, "widths": (32, 64)})

    def write(folder, *args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(making, "fit", write)
    with pytest.raises(KeyboardInterrupt):
        trajectories(train, wide, FEW, 7, device=CPU)
    first = next(cache.folder().rglob("epoch_000.safetensors")).stat().st_size
    assert f"take {2 * 8 * first / 1e6:.0f} MB" in capsys.readouterr().out and 2 * 8 * first > 5e6


def test_two_workers_train_the_experts_that_one_does(tiny, monkeypatch, tmp_path):
    kept = []
    for workers in (1, 2):
        monkeypatch.setenv("VDD_CACHE", str(tmp_path / str(workers)))
        if workers == 2:
            monkeypatch.setattr(making, "fit", None)  # so that none is trained here
        paths = trajectories(tiny[0], NOISY, FEW, 1, device=CPU, workers=workers)
        kept.append([paths.weights(expert, epoch) for expert in (0, 1) for epoch in (0, 1)])
    assert all(torch.equal(a, b) for a, b in zip(*kept, strict=True))
    assert len({np.asarray(weights).tobytes() for weights in kept[0]}) == 4


def test_bad_input(tiny):
    train, _ = tiny
    with pytest.raises(VddError, match=r"mtt: minic3d\(.*norm=batch.*without BatchNorm") as refused:
        mtt(Network(options={"depth": 1, "widths": (8,), "norm": "batch"})).distill(train, 1)
    assert "\n" not in str(refused.value) and not (cache.folder() / "experts").exists()
    with pytest.raises(VddError, match=r"expert 0 diverged in epoch .*; lower the experts' lr, 1e"):
        trajectories(train, SMALL, Experts(count=1, batch_size=6, lr=1e8), 3, device=CPU)
    with pytest.raises(VddError, match=r"mtt: experts\.coutn: extra inputs"):
        mtt(experts={"coutn": 3})
