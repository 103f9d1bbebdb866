"""Training of the generator: what a step does, the average, one clip learned by heart, interruptions, two processes."""

import json
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from tests.conftest import ROOT
from vddlib.core import cache
from vddlib.core.errors import VddError
from vddlib.distillers.latte import Latte, pick_codec, training
from vddlib.distillers.latte.latents import training_latents
from vddlib.distillers.latte.sampling import sample, schedule
from vddlib.distillers.latte.training import Run, trained_latte


def run_of(train, latte, seed=0):
    from accelerate import Accelerator

    codec = pick_codec("pixels", train)
    return Run(latte, train, codec, training_latents(train, codec, latte.draws), seed, Accelerator(cpu=True))


def test_a_step_is_adam_on_the_error_of_the_noise(tiny, tiny_latte):
    train, _ = tiny
    latte = tiny_latte(class_dropout=0.5, batch_size=8)
    run = run_of(train, latte)
    clean, labels, times, noise = run._batch(5, 3)
    assert labels.max() == 3 and len(labels.unique()) > 1  # some without their class
    model = latte.network(train, run.codec)
    torch.nn.init.normal_(model.head.linear.weight, std=0.1)
    copied = latte.network(train, run.codec)
    copied.load_state_dict(model.state_dict())
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0)
    loss = run._step(model, optimizer, 5, 3)

    kept = schedule().alphas_cumprod[times].view(-1, 1, 1, 1, 1)
    expected = F.mse_loss(copied(kept.sqrt() * clean + (1 - kept).sqrt() * noise, times, labels), noise)
    torch.testing.assert_close(loss, expected.detach())
    expected.backward()
    weight, grad = copied.head.linear.weight, copied.head.linear.weight.grad
    norm = torch.sqrt(sum(p.grad.square().sum() for p in copied.parameters()))
    grad = grad * min(1.0, 1.0 / norm.item())
    moved = weight - 1e-3 * grad / (grad.abs() + 1e-8)  # Adam's first step
    torch.testing.assert_close(model.head.linear.weight, moved, rtol=1e-3, atol=1e-6)


def test_every_video_is_seen_before_any_is_seen_again(tiny, tiny_latte):
    train, _ = tiny
    run = run_of(train, tiny_latte(batch_size=4))
    seen = torch.cat([run._order(1, step) for step in range(9)])  # 36 clips of 18 videos
    assert seen[:18].sort().values.tolist() == seen[18:].sort().values.tolist() == list(range(18))
    assert seen[:18].tolist() != seen[18:].tolist()


def test_the_average_is_that_of_the_weights(tiny, tiny_latte, monkeypatch):
    """decay n = min(ema, (1 + n) / (10 + n)), from the first weights on; re-typed on one parameter."""
    train, _ = tiny
    weights, step = [], Run._step

    def watched(self, model, *args):
        if not weights:
            weights.append(model.embed.bias.detach().clone())
        loss = step(self, model, *args)
        weights.append(model.embed.bias.detach().clone())
        return loss

    monkeypatch.setattr(Run, "_step", watched)
    found = trained_latte(tiny_latte(ema=0.2), train, pick_codec("pixels", train))
    mean = weights[0]
    for n, value in enumerate(weights[1:]):
        decay = 0.0 if n == 0 else min(0.2, (1 + n) / (10 + n))
        mean = decay * mean + (1 - decay) * value
    torch.testing.assert_close(found.model.embed.bias, mean)


def test_one_clip_is_learned_by_heart(tiny, tiny_latte):
    train = tiny[0].subset([0]).only(["Red"])
    shape = {"width": 32, "draws": 1, "batch_size": 8, "class_dropout": 0.0, "lr": 3e-3, "ema": 0.9, "depth": 2}
    codec = pick_codec("pixels", train)
    distances, losses = [], []
    for steps in (1, 150):
        found = trained_latte(tiny_latte(steps=steps, **shape), train, codec)
        clip = training_latents(train, codec, 1).batch(torch.tensor([0]), torch.tensor([0]))
        made = sample(found.model, torch.tensor([0]), clip.shape[1:], [torch.Generator().manual_seed(0)], steps=20)
        distances.append((made - clip).square().mean().sqrt().item())
        losses.append(found.log.loss[-1])
    assert losses[1] < 0.5 * losses[0]
    assert distances[1] < 0.5 * distances[0]


def test_an_interrupted_training_ends_in_the_same_bits(tiny, tiny_latte, monkeypatch):
    train, _ = tiny
    codec = pick_codec("pixels", train)
    whole = trained_latte(tiny_latte(steps=8), train, codec, seed=1)
    monkeypatch.setenv("VDD_CACHE", os.environ["VDD_CACHE"] + "_second")
    step = Run._step

    def dies(self, model, optimizer, own, number):
        if number == 5:
            raise KeyboardInterrupt
        return step(self, model, optimizer, own, number)

    latte = tiny_latte(steps=8, checkpoint_seconds=0)
    with monkeypatch.context() as patch:
        patch.setattr(Run, "_step", dies)
        with pytest.raises(KeyboardInterrupt):
            trained_latte(latte, train, codec, seed=1)
    resumed = trained_latte(latte, train, codec, seed=1)
    assert resumed.key == whole.key
    for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert resumed.log.loss == whole.log.loss and resumed.log.looks == whole.log.looks == [2, 4, 6, 8]
    assert (resumed.looks() == whole.looks()).all() and resumed.looks().shape == (4, 3, 8, 32, 32, 3)
    other = trained_latte(latte, train, codec, seed=2)
    assert not torch.equal(next(other.model.parameters()), next(whole.model.parameters()))


def test_a_rate_that_is_too_high_is_named(tiny, tiny_latte, monkeypatch):
    monkeypatch.setattr(training, "CLIPPED", 1e9)
    with pytest.raises(VddError, match="lower lr"):
        trained_latte(tiny_latte(lr=1e30, steps=20), tiny[0], pick_codec("pixels", tiny[0]))


def test_unknown_and_wrong_settings_are_named():
    with pytest.raises(VddError, match="latte: depht"):
        Latte(depht=2)
    with pytest.raises(VddError, match="ema"):
        Latte(ema=1.0)


SCRIPT = """
import json, sys
import torch
from vddlib.datasets.clips import load
from vddlib.datasets.geometry import geometry
from vddlib.distillers.latte import Latte, pick_codec
from vddlib.distillers.latte.training import trained_latte

if __name__ == "__main__":
    torch.set_num_threads(1)
    train, _ = load(sys.argv[1], geometry(8, 32, 2), workers=1)
    found = trained_latte(Latte(**json.loads(sys.argv[2])), train, pick_codec("pixels", train))
    print("loss", found.log.loss[-1])
"""


def test_two_processes_train_what_one_does(tiny_root, tiny, tiny_latte, tmp_path):
    """`accelerate launch` on two processes: the same steps up to rounding, and one artifact."""
    train, _ = tiny
    latte = tiny_latte(steps=4)
    alone = trained_latte(latte, train, pick_codec("pixels", train))
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    settings = json.dumps(latte.model_dump(mode="json") | {"device": "cpu"})
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "VDD_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
    ]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    done = subprocess.run(
        [*launch, str(script), str(tiny_root), settings], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (place,) = (tmp_path / "cache" / "latte").glob("*/model.safetensors")
    from safetensors.torch import load_file

    both = load_file(place)
    for name, value in alone.model.state_dict().items():
        torch.testing.assert_close(both[name], value, rtol=1e-2, atol=2e-4)
    assert not list(place.parent.glob("checkpoint*")) and cache.folder() != tmp_path / "cache"
