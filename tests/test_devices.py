"""What differs between a CPU and a GPU: each test runs on the CPU everywhere, and on CUDA where there is a GPU.

Where there is none, the CUDA half is listed as not run.
"""

import pytest
import torch

from vddlib import distillers
from vddlib.core import seeding
from vddlib.core.measure import forget_peak, peak_memory_mb
from vddlib.core.provenance import device_name
from vddlib.distillers.matching.experts import Experts, _workers_that_fit
from vddlib.distillers.matching.real_clips import RealClips
from vddlib.evaluation import evaluate, protocol
from vddlib.training.fit import Recipe, _ahead, fit
from vddlib.training.networks import Network

SMALL = Network(options={"depth": 1, "widths": (8,), "dropout": 0.5})
RECIPE = Recipe(lr=0.05, epochs=3, batch_size=6)
MATCHING = {
    "dm": {"batch_real": 3},
    "static_dc": {"batch_real": 3, "network": {"name": "convnet", "options": {"width": 4, "depth": 2}}},
    "mtt": {"experts": {"count": 1, "batch_size": 9}, "max_start_epoch": 2, "syn_steps": 2, "lr_pixels": 100},
    "frepo": {"batch_real": 2, "pool": 1, "max_updates": 2},
    "tsgf": {},
}
NEAR = 0.05  # of what moved: a GPU rounds convolutions to 10 bits (TF32) and adds in another order


@pytest.fixture(params=["cpu", "cuda"])
def device(request) -> torch.device:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU here: what differs on CUDA is not run")
    return torch.device(request.param)


def trained(train, device, recipe=RECIPE, **options):
    model = SMALL.build(train.classes, train.geometry, 0)
    log = fit(model, train, recipe, seed=0, device=device, **options)
    return torch.cat([p.detach().flatten().cpu() for p in model.parameters()]), log, model


def test_students_learn_the_same_on_both(tiny, device):
    train, _ = tiny
    plain = Recipe(lr=0.05, epochs=1, batch_size=18)  # one step: what rounding does afterwards is chance
    quiet = Network(options={"depth": 1, "widths": (8,), "dropout": 0.0})
    start = quiet.build(train.classes, train.geometry, 0)
    ends = []
    for place in (torch.device("cpu"), device):
        model = quiet.build(train.classes, train.geometry, 0)
        fit(model, train, plain, seed=0, device=place, flip=True)
        ends.append([p.detach().cpu() for p in model.parameters()])
    for here, there, begin in zip(*ends, start.parameters(), strict=True):
        assert (here - there).norm() <= NEAR * (here - begin).norm() > 0


def test_bfloat16_is_for_gpus_and_leaves_weights_in_float32(tiny, device):
    train, _ = tiny
    rough, log, model = trained(train, device, RECIPE.model_copy(update={"bf16": True}))
    exact, _, _ = trained(train, device)
    assert all(p.dtype == torch.float32 and p.device.type == device.type for p in model.parameters())
    assert torch.isfinite(rough).all() and log.loss[-1] < 2 * log.loss[0]
    assert torch.equal(rough, exact) == (device.type == "cpu")


def test_what_is_read_ahead_is_what_would_have_been_read():
    assert list(_ahead((i, i * i) for i in range(10))) == [(i, i * i) for i in range(10)]
    assert list(_ahead(iter([(1,)]))) == [(1,)] and list(_ahead(iter([]))) == []

    def breaks():
        yield (1,)
        raise OSError("unreadable")

    with pytest.raises(OSError, match="unreadable"):
        list(_ahead(breaks()))


def test_forked_streams_repeat_and_leave_the_global_one_alone(device):
    before = torch.rand(3, device=device)
    with seeding.forked("a", device=device):
        first = torch.rand(3, device=device)
    following = torch.rand(3, device=device)
    with seeding.forked("a", device=device):
        again = torch.rand(3, device=device)
    with seeding.forked("b", device=device):
        other = torch.rand(3, device=device)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not any(torch.equal(first, one) for one in (before, following))


def test_an_interrupted_training_goes_on_there(tiny, tmp_path, device):
    train, _ = tiny
    whole, _, _ = trained(train, device)

    def stop(epoch, model):
        if epoch == 1:
            raise KeyboardInterrupt

    options = {"checkpoint": tmp_path / "checkpoint.pt", "checkpoint_seconds": -1}
    with pytest.raises(KeyboardInterrupt):
        trained(train, device, on_epoch=stop, **options)
    resumed, log, _ = trained(train, device, **options)
    assert len(log.loss) == 3
    if device.type == "cpu":
        assert torch.equal(resumed, whole)
    torch.testing.assert_close(resumed, whole, rtol=0.05, atol=1e-3)


def test_real_clips_are_the_same_read_ahead_or_not(tiny, device):
    train, _ = tiny
    here, there = (RealClips(train, 2, 0, place, classes_at_once=2) for place in (torch.device("cpu"), device))
    for iteration, chunk in [(0, 0), (0, 1), (1, 0), (5, 1), (0, 0)]:  # in order, and not
        (clips, labels), (wanted, wanted_labels) = there(iteration, chunk), here(iteration, chunk)
        assert clips.device.type == device.type
        assert torch.equal(labels.cpu(), wanted_labels)
        torch.testing.assert_close(clips.cpu(), wanted, rtol=1e-5, atol=1e-5)


def test_experts_at_once_fit_the_memory(tiny, device, monkeypatch):
    train, _ = tiny
    model = SMALL.build(train.classes, train.geometry, 0)
    experts = Experts(count=9, batch_size=6)
    assert 1 <= _workers_that_fit(model, train, experts, device) <= (4 if device.type == "cuda" else 1)
    for free, workers in ((0, 1), (10**15, 4)):  # as much as no GPU has
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, free))
        assert _workers_that_fit(model, train, experts, torch.device("cuda")) == workers


@pytest.mark.parametrize("name", MATCHING)
def test_methods_distil_there(tiny, device, name):
    train, _ = tiny
    teacher = {"network": Network(name="minic3d_bn", options={"depth": 1, "widths": (8,)}), "teacher_recipe": RECIPE}
    own = teacher if name == "tsgf" else {"network": SMALL}
    method = distillers.build(name, **{"iterations": 2, "device": device.type} | own | MATCHING[name])
    made = method.distill(train, 2)
    clips, _ = made.draw()
    assert torch.isfinite(clips).all() and made.card["moved"] > 0
    assert made.card["peak_memory_mb"] > 0


def test_a_student_is_tested_and_recorded_there(tiny, device):
    train, test = tiny
    forget_peak(device)
    chosen = protocol("A", epochs=1, batch_size=4)
    report = evaluate(distillers.Random().distill(train, 1), test, chosen, seeds=[0], network=SMALL, device=device.type)
    (row,) = report.rows
    assert 0 <= row["top1"] <= 100 and row["device"] == device_name(device)
    assert peak_memory_mb(device) > 0


@pytest.fixture
def fresh_accelerate():
    """Accelerate keeps one state for the whole process, of the first device it was asked for."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def test_the_generator_trains_there(tiny, device, fresh_accelerate):
    from accelerate import Accelerator

    from vddlib.distillers.latte import Latte, pick_codec
    from vddlib.distillers.latte.latents import training_latents
    from vddlib.distillers.latte.training import Run

    train, _ = tiny
    latte = Latte(
        depth=2, width=32, heads=2, patch=2, batch_size=4, steps=2, size=16, autoencoder="pixels", precision="bfloat16"
    )
    codec = pick_codec("pixels", train)
    run = Run(
        latte, train, codec, training_latents(train, codec, latte.draws), 0, Accelerator(cpu=device.type == "cpu")
    )
    model = latte.network(train, codec).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    losses = [run._step(model, optimizer, 0, step).item() for step in range(2)]
    assert all(0 < loss < 10 for loss in losses)
    assert all(p.dtype == torch.float32 and torch.isfinite(p).all() for p in model.parameters())
