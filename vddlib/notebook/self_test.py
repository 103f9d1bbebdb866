"""Whether the package works on this machine, and how fast: the second half of `vdd doctor`, within two minutes."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vddlib import models
from vddlib.core import seeding
from vddlib.core.progress import duration
from vddlib.datasets import video
from vddlib.datasets.catalog import CATALOG
from vddlib.notebook.doctor import Found, guarded
from vddlib.notebook.flops import of_model

SIZES = ((8, 32, 2), (8, 64, 3), (16, 112, 3))  # frames, side, blocks of MiniC3D: motions, between, the light track
CLASSES, BATCH = 10, 4
TRAINING = 3  # forward passes that a forward and a backward pass cost
SECONDS = 10.0  # for each speed
CLOSE = 1e-3  # logits on a GPU against those on the CPU, of numbers of the order of 1


def self_test(device: torch.device, seconds: float = SECONDS) -> Iterator[Found]:
    """Findings, each as soon as it is known; `seconds` bound each measurement of speed."""
    yield from guarded("decoding", lambda: [videos()])
    yield from guarded("notebooks", lambda: [kernel()])
    yield from guarded("one seed", lambda: [same_bits(device)])
    if device.type == "cuda":
        yield from guarded("GPU against CPU", lambda: [like_the_cpu(device)])
    yield from guarded("speed", lambda: speeds(device, seconds))


def videos() -> Found:
    """A moving square, encoded and decoded, in order and by seeking."""
    frames = np.full((40, 48, 64, 3), 60, np.uint8)
    for t, frame in enumerate(frames):
        frame[10:30, t : t + 20] = 200
    with tempfile.TemporaryDirectory() as folder:
        path = video.encode(Path(folder) / "square.mp4", frames, quality=10)
        begun = time.perf_counter()
        back = np.stack(list(video.stream(path)))
        rate = len(back) / (time.perf_counter() - begun)
        exact = video.seek_is_exact(path)
    error = float(np.abs(back.astype(int) - frames).mean()) if back.shape == frames.shape else np.inf
    if error > 3 or not exact:
        came = f"{back.shape[0]} of {len(frames)} frames came back, {error:.1f} grey levels off"
        return Found("bad", "decoding", came if exact else f"{came}; seeking gives other frames than reading in order")
    return Found(
        "ok",
        "decoding",
        f"frames come back exactly where they were, in order and by seeking; {rate:.0f} small frames/s",
    )


def kernel() -> Found:
    """A notebook of one cell through the runner's own kernel."""
    import nbformat

    from vddlib.notebook.kernel import CellFailed, Execution

    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder, "one.ipynb"), Path(folder, "out.ipynb")
        cells = [nbformat.v4.new_code_cell("a: int = 1", metadata={"tags": ["parameters"]})]
        nbformat.write(nbformat.v4.new_notebook(cells=[*cells, nbformat.v4.new_code_cell("assert a == 2")]), source)
        try:
            Execution(os.environ, Path(folder), lambda line: None).run(source, output, {"a": 2})
        except CellFailed as failure:
            return Found("bad", "notebooks", f"a kernel does not run one cell: {failure}")
    return Found("ok", "notebooks", f"a kernel starts and runs in {time.perf_counter() - begun:.0f} s")


def _trained(device: torch.device, steps: int = 3) -> Tensor:
    """All weights ``float32 [P]`` of a small student after a few steps from one seed."""
    with seeding.forked("doctor", device=device):
        model = models.build("minic3d", CLASSES, frames=8, size=32, depth=2, widths=(8, 16)).to(device).train()
    clips, labels = _batch(8, 32, device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    with seeding.forked("doctor", "dropout", device=device):
        for _ in range(steps):
            _step(model, clips, labels, optimizer)
    return torch.cat([p.detach().flatten().cpu() for p in model.parameters()])


def _batch(frames: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    clips = torch.randn(BATCH, 3, frames, size, size, generator=seeding.generator("doctor", frames, size))
    return clips.to(device), torch.arange(BATCH, device=device)


def _step(model: nn.Module, clips: Tensor, labels: Tensor, optimizer: torch.optim.Optimizer | None = None) -> None:
    model.zero_grad()
    F.cross_entropy(model(clips), labels).backward()
    if optimizer is not None:
        optimizer.step()


def same_bits(device: torch.device) -> Found:
    """One seed, trained twice."""
    one, two = _trained(device), _trained(device)
    if torch.equal(one, two):
        return Found("ok", "one seed", f"trained twice on {device.type}, the same bits")
    apart = (one - two).abs().max().item()
    if device.type == "cuda":  # backward of 3D max-pooling adds in any order there
        return Found(
            "note",
            "one seed",
            f"trained twice on the GPU, weights differ by up to {apart:.1g}: pooling adds in any order",
        )
    return Found("bad", "one seed", f"trained twice on {device.type}, weights differ by up to {apart:.1g}")


@torch.no_grad()
def like_the_cpu(device: torch.device) -> Found:
    """The same network on the same clips, on the device and on the CPU; and in bfloat16, by which training may go."""
    with seeding.forked("doctor", device="cpu"):
        model = models.build("minic3d", CLASSES, frames=8, size=32, depth=2).eval()
    clips, _ = _batch(8, 32, torch.device("cpu"))
    wanted, there = model(clips), model.to(device)
    apart = (there(clips.to(device)).cpu() - wanted).abs().max().item()
    with torch.autocast(device.type, torch.bfloat16):
        rough = (there(clips.to(device)).float().cpu() - wanted).abs().max().item()
    state = "ok" if apart <= CLOSE and np.isfinite(rough) else "bad"
    return Found(state, "GPU against CPU", f"logits differ by up to {apart:.1g} in float32, {rough:.1g} in bfloat16")


def speeds(device: torch.device, seconds: float) -> Iterator[Found]:
    """Clips that train per second at each size, and what follows for MiniUCF at the last."""
    rate = flops = 0.0
    for frames, size, depth in SIZES:
        model = models.build("minic3d", CLASSES, frames=frames, size=size, depth=depth).to(device).train()
        clips, labels = _batch(frames, size, device)
        rate = BATCH * _per_second(lambda m=model, c=clips, y=labels: _step(m, c, y), device, seconds)
        flops = rate * TRAINING * of_model("minic3d", CLASSES, frames, size, (("depth", depth),)).flops
        said = f"{rate:.3g} clips of {frames}x{size}x{size} train per second, {flops / 1e9:.0f} GFLOP/s"
        yield Found("ok", "speed", f"{said} ({device.type}, {torch.get_num_threads()} thread(s))")
    train, _ = CATALOG["miniucf"].counts
    epoch = train / rate
    student = duration(500 * 50 / rate)  # 500 epochs on a clip of each of 50 classes
    after = f"an epoch of MiniUCF at 16x112x112 takes {duration(epoch)}, a student at IPC 1 {student}"
    state = "note" if epoch > 120 else "ok"
    yield Found(state, "paper scale", f"{after}; all jobs: vdd forecast paper --tflops {flops / 1e12:.2g}")


def _per_second(work: Callable[[], None], device: torch.device, seconds: float) -> float:
    """How often `work` is done in a second, after once to warm up."""

    def wait() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    work()
    begun, done = wait(), 0
    while done == 0 or wait() - begun < seconds:
        work()
        done += 1
    return done / (wait() - begun)
