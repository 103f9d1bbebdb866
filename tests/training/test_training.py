"""The fit loop: losses re-typed, one seed the same bits, interrupted or not."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vddlib.core.errors import VddError
from vddlib.distillers import Full, Random
from vddlib.models import build
from vddlib.training import networks
from vddlib.training.fit import Recipe, fit, loss_of, pick_device
from vddlib.training.networks import Network, train_network

SMALL = Network(options={"depth": 2, "widths": (4, 4)})
QUICK = Recipe(epochs=4, batch_size=4, lr=0.05)


def run(source, *, seed=0, checkpoint=None, recipe=QUICK, on_epoch=None, **more):
    model = build("minic3d", 3, frames=8, size=32, depth=2, widths=(4, 4), seed=seed)
    log = fit(model, source, recipe, seed=seed, checkpoint=checkpoint, checkpoint_seconds=0, on_epoch=on_epoch, **more)
    return model.state_dict(), log


def same(a, b):
    return all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("kind", ["full", "random"])
def test_same_seed_same_bits(tiny, kind):
    source = Full().distill(tiny[0]) if kind == "full" else Random().distill(tiny[0], 2)
    a, b, c = (run(source, seed=s, flip=True) for s in (0, 0, 1))
    assert same(a[0], b[0]) and a[1].loss == b[1].loss
    assert not same(a[0], c[0])


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_interrupted_and_resumed_gives_the_same_bits(tiny, tmp_path, optimizer):
    source, recipe = Full().distill(tiny[0]), QUICK.model_copy(update={"optimizer": optimizer})
    whole, log = run(source, recipe=recipe, flip=True)

    def stop(epoch, model):
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(source, recipe=recipe, checkpoint=tmp_path / "c.pt", on_epoch=stop, flip=True)
    epochs = []
    resumed, again = run(
        source, recipe=recipe, checkpoint=tmp_path / "c.pt", on_epoch=lambda e, m: epochs.append(e), flip=True
    )
    assert epochs == [2, 3]
    assert same(whole, resumed) and log.loss == again.loss and log.accuracy == again.accuracy


def test_it_learns(tiny):
    train, _ = tiny
    log = run(Full().distill(train), recipe=Recipe(epochs=30, batch_size=6, lr=0.02))[1]
    assert log.loss[-1] < 0.5 * log.loss[0] and log.accuracy[-1] > 90 and len(log.loss) == 30


def test_learning_rate_drops_as_published():
    recipe = Recipe(epochs=500)
    assert [recipe.learning_rate(e) for e in (0, 249, 250, 499)] == pytest.approx([0.01, 0.01, 0.001, 0.001])
    cosine = Recipe(epochs=10, schedule="cosine", lr=1.0)
    assert [cosine.learning_rate(e) for e in (0, 5)] == pytest.approx([1.0, 0.5], abs=1e-6)
    assert Recipe(schedule="constant").learning_rate(400) == 0.01


@given(st.integers(0, 1000), st.floats(1, 20))
def test_losses_are_the_formulas(seed, t):
    g = torch.Generator().manual_seed(seed)
    z, target, y = torch.randn(4, 5, generator=g), torch.randn(4, 5, generator=g), torch.randint(5, (4,), generator=g)
    p, q = (z / t).softmax(1), (target / t).softmax(1)
    ce = -sum(math.log(z.softmax(1)[i, y[i]]) for i in range(4)) / 4
    mse = ((z - target) ** 2).sum() / 20
    kl = (q * (q / p).log()).sum(1).mean() * t * t
    assert loss_of(Recipe(), z, y, y).item() == pytest.approx(ce, rel=1e-4)
    regions = -(q * z.log_softmax(1)).sum(1).mean()  # OptDistill, eq. 5
    assert loss_of(Recipe(), z, q, y).item() == pytest.approx(regions.item(), rel=1e-4)
    assert loss_of(Recipe(loss="mse"), z, target, y).item() == pytest.approx(mse.item(), rel=1e-4)
    assert loss_of(Recipe(loss="mse+ce"), z, target, y).item() == pytest.approx(mse.item() + 0.1 * ce, rel=1e-4)
    assert loss_of(Recipe(loss="kl", temperature=t), z, q, y).item() == pytest.approx(kl.item(), rel=1e-2, abs=1e-4)
    assert loss_of(Recipe(loss="mse"), z, y, y) == pytest.approx(
        loss_of(Recipe(loss="mse"), z, torch.eye(5)[y], y).item()
    )


def test_a_trained_network_comes_out_of_the_cache(tiny, monkeypatch):
    source = Random().distill(tiny[0], 1)
    options = {"seed": 0, "device": torch.device("cpu"), "geometry": tiny[0].geometry}
    a = train_network(source, SMALL, QUICK, **options)
    monkeypatch.setattr(networks, "fit", None)
    b = train_network(source, SMALL, QUICK, **options)
    assert same(a.model.state_dict(), b.model.state_dict()) and a.log == b.log and a.folder == b.folder
    with pytest.raises(TypeError):  # another seed, recipe or set has to be trained
        train_network(source, SMALL, QUICK, **{**options, "seed": 1})


def test_where_it_was_made_is_kept(tiny, monkeypatch):
    source = Random().distill(tiny[0], 1)
    options = {"seed": 0, "device": torch.device("cpu"), "geometry": tiny[0].geometry}
    monkeypatch.setattr(networks, "commit", lambda: "then")
    assert train_network(source, SMALL, QUICK, **options).made["commit"] == "then"
    monkeypatch.setattr(networks, "commit", lambda: "now")
    assert train_network(source, SMALL, QUICK, **options).made["commit"] == "then"


def test_a_full_disk_is_an_os_error(tiny, tmp_path, monkeypatch):
    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(VddError, match="the disk is full"):
        train_network(
            Random().distill(tiny[0], 1), SMALL, QUICK, seed=0, device=torch.device("cpu"), geometry=tiny[0].geometry
        )


def test_what_was_noted_survives_an_interruption(tiny, monkeypatch):
    source, real = Random().distill(tiny[0], 1), networks.fit
    options = {"seed": 0, "device": torch.device("cpu"), "geometry": tiny[0].geometry, "look_every": 1}

    def fit_until_two(*args, on_epoch, **kwargs):
        def stop(epoch, model):
            on_epoch(epoch, model)
            if epoch == 1:
                raise KeyboardInterrupt

        return real(*args, on_epoch=stop, checkpoint_seconds=0, **kwargs)

    monkeypatch.setattr(networks, "fit", fit_until_two)
    with pytest.raises(KeyboardInterrupt):
        train_network(source, SMALL, QUICK, look=lambda m: {"x": 1}, **options)
    monkeypatch.setattr(networks, "fit", real)
    noted = train_network(source, SMALL, QUICK, look=lambda m: {"x": 2}, **options).looks
    assert [n["epoch"] for n in noted] == [1, 2, 3, 4]


def test_teacher_gives_the_targets_of_each_view(tiny):
    train, _ = tiny
    teacher = build("minic3d", 3, frames=8, size=32, depth=2, widths=(4, 4), seed=9).eval()
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    source, seen = Random().distill(train, 2), []
    teacher.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0].clone(), output.clone())))
    recipe = Recipe(epochs=1, batch_size=6, lr=1e-6, loss="mse")

    def darker(clips, target, generator):
        return clips - 1, target

    student = build("minic3d", 3, frames=8, size=32, depth=2, widths=(4, 4), dropout=0.0)
    start = {k: v.clone() for k, v in student.state_dict().items()}
    log = fit(student, source, recipe, seed=0, teacher=teacher, augment=darker)
    (views, logits), plain = seen[0], source.batch(torch.arange(6))[0]
    assert views.sum() == pytest.approx(float((plain - 1).sum()), rel=1e-4)  # it saw the augmented views
    student.load_state_dict(start)
    with torch.no_grad():
        assert log.loss[0] == pytest.approx(float(((student(views) - logits) ** 2).mean()), rel=1e-4)
    assert same(before, teacher.state_dict())


def test_a_diverged_student_says_so_and_stops(tiny, capsys):
    _, log = run(Random().distill(tiny[0], 1), recipe=Recipe(epochs=50, lr=1e6, batch_size=8))
    assert log.diverged_at is not None and len(log.loss) == log.diverged_at < 50
    assert "diverged in epoch" in capsys.readouterr().out


def test_bad_input():
    with pytest.raises(ValidationError):
        Recipe(lr=-1)
    with pytest.raises(VddError, match="device 'warp'"):
        pick_device("warp")
    if not torch.cuda.is_available():
        with pytest.raises(VddError, match="device 'cuda' cannot be used here"):
            pick_device("cuda")
    assert pick_device("auto").type in ("cpu", "cuda")
