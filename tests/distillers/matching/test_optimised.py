"""Every distiller that optimises: one seed the same bits, killed or not; histories; real clips; other parameterisations."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from tests.conftest import ROOT
from vddlib import distillers
from vddlib.core.errors import VddError
from vddlib.distillers import Random
from vddlib.distillers.matching.dc import GradientMatching
from vddlib.distillers.matching.dm import DistributionMatching
from vddlib.distillers.matching.frepo import FeatureRegression
from vddlib.distillers.matching.mtt import TrajectoryMatching
from vddlib.distillers.matching.real_clips import RealClips

CPU = torch.device("cpu")
LABELS = torch.arange(3).repeat_interleave(2)
SMALL = {"options": {"depth": 1, "widths": (8,)}}
IMAGE = {"name": "convnet", "options": {"width": 4, "depth": 2}}
METHODS = {
    "dm": (DistributionMatching, {"batch_real": 3}),
    "dc": (GradientMatching, {"batch_real": 2, "schedule": "cosine"}),
    "static_dc": (GradientMatching, {"batch_real": 3, "network": IMAGE}),
    "static_dc, outer 2": (GradientMatching, {"batch_real": 3, "network": IMAGE, "outer": 2, "inner": 2}),
    "static_dc, outer 9": (GradientMatching, {"batch_real": 3, "network": IMAGE, "outer": 9, "stored": {"init": "noise"}}),
    "mtt": (TrajectoryMatching, {
        "experts": {"count": 2, "batch_size": 9}, "max_start_epoch": 2, "syn_steps": 2, "lr_pixels": 100,
    }),
    "frepo": (FeatureRegression, {"batch_real": 2, "pool": 1, "max_updates": 2}),
    "frepo, pool 2": (FeatureRegression, {"batch_real": 2, "pool": 2, "max_updates": 9, "lr_network": 1e-2}),
}  # fmt: skip


def build(name, **more):
    params = {"iterations": 6, "network": SMALL, **METHODS[name][1], **more}
    return distillers.build(name.split(",")[0], **params)


def bits(folder):
    """All that a result is, without what it cost."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.safetensors")}
    card = json.loads((folder / "card.json").read_text())
    return files | {"losses": (folder / "losses.json").read_text()}, {
        name: value
        for name, value in card.items()
        if name not in ("distill_seconds", "experts_seconds", "peak_memory_mb")
    }


def watch(monkeypatch, name, before, what="step"):
    """Call `before(iteration)` before each `what` of the method's objective."""
    kind = METHODS[name][0]
    real = getattr(kind, what)

    def watched(self, draw, iteration):
        before(iteration)
        return real(self, draw, iteration)

    monkeypatch.setattr(kind, what, watched)


@pytest.mark.parametrize("name", METHODS)
def test_same_seed_same_bits(tiny, tmp_path, monkeypatch, name):
    made = []
    for folder, seed in (("a", 0), ("b", 0), ("b", 1)):
        monkeypatch.setenv("VDD_CACHE", str(tmp_path / folder))
        made.append(bits(build(name, stored={"init": "noise"}).folder(tiny[0], 2, seed)))
    assert made[0] == made[1]
    assert made[0][0]["tensors.safetensors"] != made[2][0]["tensors.safetensors"]
    assert made[0][0]["losses"] != made[2][0]["losses"]


@pytest.mark.parametrize("name", METHODS)
def test_interrupted_and_resumed_gives_the_same_bits(tiny, tmp_path, monkeypatch, name):
    """Interrupted twice: before the clips of iteration 2 move, and after those of iteration 3 did."""
    train, _ = tiny
    whole = bits(build(name).folder(train, 2))
    monkeypatch.setenv("VDD_CACHE", str(tmp_path))
    for what, at in (("step", 2), ("after", 3)):

        def stop(iteration, at=at):
            if iteration == at:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            watch(patch, name, stop, what)
            build(name, checkpoint_seconds=0).folder(train, 2)
    iterations = []
    watch(monkeypatch, name, iterations.append)
    resumed = build(name, checkpoint_seconds=0).folder(train, 2)
    assert iterations == [3, 4, 5] and bits(resumed) == whole
    assert not (resumed / "checkpoint.pt").exists()


SCRIPT = """
import sys, time
import torch
from vddlib import distillers
from vddlib.datasets.clips import load
from vddlib.datasets.geometry import geometry
from vddlib.distillers.matching.frepo import FeatureRegression

if __name__ == "__main__":
    torch.set_num_threads(1)
    real = FeatureRegression.step

    def step(self, draw, iteration):
        time.sleep(600 if iteration == 4 else 0)
        return real(self, draw, iteration)

    FeatureRegression.step = step
    train, _ = load(sys.argv[1], geometry(8, 32, 2), workers=1)
    distillers.build("frepo", **eval(sys.argv[2])).folder(train, 2)
"""


def test_a_killed_process_leaves_what_another_goes_on_from(tiny, tiny_root, tmp_path, monkeypatch, capsys):
    train, params = tiny[0], {"iterations": 6, "network": SMALL, "checkpoint_seconds": 0, **METHODS["frepo, pool 2"][1]}
    whole = bits(distillers.build("frepo", **params).folder(train, 2))
    cache, script = tmp_path / "cache", tmp_path / "script.py"
    monkeypatch.setenv("VDD_CACHE", str(cache))
    script.write_text(SCRIPT)
    command = [sys.executable, script, str(tiny_root), repr(params)]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None and not list(cache.rglob("checkpoint.pt")):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and not list(cache.rglob("tensors.safetensors"))
    iterations = []
    watch(monkeypatch, "frepo", iterations.append)
    assert bits(distillers.build("frepo", **params).folder(train, 2)) == whole
    assert iterations == list(range(iterations[0], 6)) and iterations[0] >= 1
    assert f"frepo IPC 2 seed 0: going on from iteration {iterations[0]} of 6" in capsys.readouterr().out


@pytest.mark.parametrize("name", METHODS)
def test_a_finished_run_comes_out_of_the_cache(tiny, monkeypatch, name):
    train, _ = tiny
    made = build(name, iterations=1).distill(train, 1)
    monkeypatch.setattr(METHODS[name][0], "step", None)
    again = build(name, iterations=1, device="cpu", checkpoint_seconds=1).distill(train, 1)
    assert again.state() == made.state() and again.card == made.card
    with pytest.raises(TypeError):
        build(name, iterations=1, lr_pixels=0.123).distill(train, 1)


@pytest.mark.parametrize("name", METHODS)
def test_history_has_a_loss_per_iteration_and_pictures_from_first_to_last(tiny, name):
    train, distiller = tiny[0], build(name, iterations=5, snapshots=2)
    made, history = distiller.distill(train, 2), distiller.history(train, 2)
    assert {len(values) for values in history.values.values()} == {5} and np.isfinite(history.values["loss"]).all()
    assert history.iterations == [0, 2, 5]
    assert history.snapshots.dtype == np.uint8 and history.snapshots.shape == (3, 3, 8, 32, 32, 3)
    assert np.array_equal(history.snapshots[-1], made.pixels[::2])
    if not name.startswith("static_dc"):
        assert np.array_equal(history.snapshots[0], Random().distill(train, 2).pixels[::2])


@pytest.mark.parametrize(("name", "lr_pixels"), [("dm", 1), ("dc", 10), ("mtt", 100), ("frepo", 0.1)])
def test_the_loss_falls(tiny, name, lr_pixels):
    losses = (
        build(name, iterations=20, stored={"init": "noise"}, lr_pixels=lr_pixels).history(tiny[0], 2).values["loss"]
    )
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_bad_input(tiny):
    train, _ = tiny
    with pytest.raises(VddError, match="ipc 7 is larger than the class Red of tiny, which has 6"):
        build("dm", stored={"init": "noise"}).distill(train, 7)
    with pytest.raises(VddError, match=r"dm IPC 1 .* no longer finite at iteration \d; lower lr_pixels, now 1e\+30"):
        build("dm", lr_pixels=1e30).distill(train, 1)
    with pytest.raises(VddError, match="dm: lr_pixels: input should be greater than 0"):
        build("dm", lr_pixels=0)
    with pytest.raises(VddError, match="device 'cuda:99' cannot be used here"):
        build("dm", device="cuda:99").distill(train, 1)


def test_real_clips_are_drawn_for_the_seed_and_the_iteration_alone(tiny):
    train, _ = tiny
    real, again = RealClips(train, 4, 0, CPU), RealClips(train, 4, 0, CPU)
    clips, labels = real(7)
    again(2)
    assert clips.shape == (12, 3, 8, 32, 32) and labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert torch.equal(again(7)[0], clips) and not torch.equal(real(8)[0], clips)
    assert not torch.equal(RealClips(train, 4, 1, CPU)(7)[0], clips)
    videos = real.indices(7, range(3))
    assert torch.equal(train.labels[videos], labels) and len(set(videos.tolist())) == 12
    assert not torch.equal(real.indices(8, range(3)), videos)
    assert not torch.equal(RealClips(train, 4, 1, CPU).indices(7, range(3)), videos)
    assert torch.equal(clips, train.standardise(train.frames(videos, epoch=7, seed=0, flip=True)))
    assert sorted(RealClips(train, 99, 0, CPU).indices(0, range(3)).tolist()) == list(range(18))  # all that there are


@pytest.mark.parametrize("classes_at_once", [1, 2])
def test_chunks_of_real_clips_are_the_whole_draw(tiny, classes_at_once):
    whole = RealClips(tiny[0], 3, 0, CPU)
    chunked = RealClips(tiny[0], 3, 0, CPU, classes_at_once=classes_at_once)
    parts = [chunked(5, chunk) for chunk in range(len(chunked.chunks))]
    assert [list(chunk) for chunk in chunked.chunks] == ([[0], [1], [2]] if classes_at_once == 1 else [[0, 1], [2]])
    for a, b in zip((torch.cat(part) for part in zip(*parts, strict=True)), whole(5), strict=True):
        assert torch.equal(a, b)


def test_still_real_clips_are_one_frame_each(tiny):
    train, _ = tiny
    whole, still = RealClips(train, 6, 0, CPU)(5)[0], RealClips(train, 6, 0, CPU, still=True)(5)[0]
    assert still.shape == (18, 3, 1, 32, 32) and torch.equal(still, RealClips(train, 6, 0, CPU, still=True)(5)[0])
    same = (still == whole).flatten(3).all(3).all(1)
    assert same.any(1).all() and len(set(same.int().argmax(1).tolist())) > 3
