"""CPU time of an iteration of DM, MTT and students, in turns with VDSD's public code, from a checkout of it.

From the project's root, `uv run python benchmarks/upstream.py CHECKOUT`; see benchmarks/README.md. Nothing of that code is
part of this project: its own `main` runs as it is, with these clips for its dataset, and is stopped after every update.
"""

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from types import ModuleType, SimpleNamespace
from typing import Annotated, Any
from unittest import mock

import torch
import typer
from torch import Tensor
from torch.nn.utils import vector_to_parameters

sys.path.insert(0, str(Path(__file__).parent.parent))  # for the processes that are started from here

from benchmarks.matching import (
    SEED,
    SIZES,
    Case,
    Loop,
    Size,
    forget_peak,
    peak_since,
    refuse_unknown,
    snapshots,
    touch,
    within,
)  # fmt: skip
from vddlib.core import files, provenance
from vddlib.core.errors import VddError
from vddlib.core.progress import say
from vddlib.datasets import clips
from vddlib.datasets.clips import Clips
from vddlib.distillers import Random
from vddlib.training.fit import Recipe, fit

METHODS = ("dm", "mtt", "students")
FILES = ("distill_baseline.py", "utils.py", "networks.py", "reparam_module.py")  # what of the checkout is run
NOTES = (
    """CPU ms: median over the iterations, after one that is not counted; here, public and here again take turns, and the ratio
is the median over turns. A student's iteration is a step on all distilled clips. peak MB (2^20 bytes): resident memory of a
process of its own, above what it held before; real clips lie in memory in the public code (`--preload`) and are read here.
MTT's expert is a stand-in, random weights that move a little each epoch. Static-DC has no branch in the public script.""",
)


class Done(BaseException):
    """Enough iterations; no Exception, so that no `except` in somebody else's loop keeps it."""


class Turns:
    """Called at the end of every iteration of a loop: waits for its next turn, and says what CPU seconds the last took."""

    def __init__(self, pipe: Connection):
        self.pipe, self.began = pipe, None

    def __call__(self) -> None:
        """Raises Done when it was the last."""
        self.pipe.send(None if self.began is None else time.process_time() - self.began)
        if not self.pipe.recv():
            raise Done
        self.began = time.process_time()


def ours(method: str, size: Size, ipc: int, train: Clips, turn: Callable[[], None], _: Path) -> None:
    """Iterations of this project, until `turn` raises."""
    if method == "students":
        network = size.network.build(train.classes, train.geometry, SEED)
        recipe = Recipe(epochs=10**6)  # protocol A's
        fit(network, Random().distill(train, ipc, SEED), recipe, seed=SEED, on_epoch=lambda *_: turn())
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(case(method, size, ipc, train), train, torch.device("cpu"), Path(folder))
        while True:
            loop()
            turn()


def case(method: str, size: Size, ipc: int, train: Clips) -> Case:
    """What `matching.py` measures of the same work."""
    values = {"dataset": train.dataset, "ipc": ipc, "iterations": 1, "device": "cpu"}
    return Case(size=size, method=method, threads=torch.get_num_threads(), **values)


def public(method: str, size: Size, ipc: int, train: Clips, turn: Callable[[], None], checkout: Path) -> None:
    """Iterations of the checkout's own script, until `turn` raises."""
    script = imported(checkout)
    random.seed(SEED)
    step = torch.optim.SGD.step

    def stepped(optimizer, *args, **kwargs):
        step(optimizer, *args, **kwargs)
        # A student's weights are many tensors, MTT's learned rate is a scalar.
        clips_moved = [p.dim() for group in optimizer.param_groups for p in group["params"]] == [5]
        if clips_moved != (method == "students"):
            turn()

    with tempfile.TemporaryDirectory() as folder, mock.patch.object(torch.optim.SGD, "step", stepped):
        os.chdir(folder)
        args = SimpleNamespace(**arguments(method, size, ipc, Path(folder)))
        if method == "students":
            args.device, args.distributed = "cpu", False
            network = script.get_network(args.model, 3, len(train.classes), (train.geometry.size,) * 2)
            videos, labels = chosen(train, ipc)
            script.evaluate_synset(0, network, videos, labels, None, args, mode="none", test_freq=10**6)
        else:
            if method == "mtt":
                torch.save([expert(case(method, size, ipc, train), train)], Path(folder) / "replay_buffer_0.pt")
            script.get_dataset = lambda *_: dataset(train, 2 * size.real)
            script.evaluate_synset = lambda *_, **__: (None, 0.0, 0.0, 0.0)
            script.main(args)


@cache
def imported(checkout: Path) -> ModuleType:
    """The checkout's `distill_baseline`, with a stand-in for the service that it reports to. Raises VddError."""
    missing = [name for name in FILES if not (checkout / name).is_file()]
    if missing:
        raise VddError(f"{checkout} is no checkout of VDSD's public code: it has no {', '.join(missing)}")
    config = SimpleNamespace()
    run = SimpleNamespace(name="benchmark")
    stand_in = ModuleType("wandb")
    stand_in.config, stand_in.run, stand_in.log = config, run, lambda *_, **__: None
    stand_in.init = lambda **known: setattr(config, "_items", vars(known["config"]))
    sys.modules["wandb"] = stand_in
    sys.path.insert(0, str(checkout))
    import distill_baseline

    return distill_baseline


def arguments(method: str, size: Size, ipc: int, folder: Path) -> dict[str, Any]:
    """What the public script's command line would give: its published values at this size."""
    values = {"method": method.upper(), "dataset": "miniUCF101", "model": "ConvNet3D", "dis_metric": "ours"}
    values |= {"ipc": ipc, "frames": size.geometry.frames, "num_workers": 0, "outer_loop": None, "inner_loop": None}
    values |= {"eval_mode": "SS", "num_eval": 1, "eval_it": 10**6, "epoch_eval_train": 10**6, "Iteration": 10**6}
    values |= {"lr_net": 0.01, "lr_img": 30.0, "lr_lr": 1e-5, "lr_teacher": 0.01, "train_lr": method == "mtt"}
    values |= {"batch_real": size.real, "batch_train": 256, "batch_syn": None, "init": "real", "preload": False}
    values |= {"expert_epochs": 1, "syn_steps": size.syn_steps, "max_start_epoch": 10}
    return values | dict.fromkeys(("buffer_path", "save_path", "data_path"), str(folder))


def chosen(train: Clips, per_class: int) -> tuple[Tensor, Tensor]:
    """The first clips of each class as the public code holds them, ``float32 [n, T, 3, H, W]``, and labels ``int64 [n]``."""
    first = torch.cat([train.of_class(k)[:per_class] for k in range(len(train.classes))])
    videos, labels = train.batch(first)
    return videos.transpose(1, 2).contiguous(), labels


def dataset(train: Clips, per_class: int) -> tuple:
    """What the public `get_dataset` returns."""
    videos, labels = chosen(train, per_class)
    held = torch.utils.data.TensorDataset(videos, labels)
    held.labels = labels.tolist()
    return 3, (train.geometry.size,) * 2, len(train.classes), train.classes, None, None, held, None, None


def expert(work: Case, train: Clips) -> list[list[Tensor]]:
    """The weights after each epoch of the expert that `matching.py` has instead of a trained one, a tensor per parameter."""
    method = work.distiller()
    model = method.network.build(train.classes, train.geometry, SEED)
    with tempfile.TemporaryDirectory() as folder:
        paths, after = snapshots(method, train, Path(folder)), []
        for epoch in range(method.max_start_epoch + method.expert_epochs):
            vector_to_parameters(paths.weights(0, epoch), model.parameters())
            after.append([p.detach().clone() for p in model.parameters()])
    return after


def worker(
    pipe: Connection, loop: Callable, method: str, size: Size, ipc: int, name: str, threads: int, checkout: Path
) -> None:
    """A process that runs one of both loops in turns, and at last sends its peak of memory (MB)."""
    torch.set_num_threads(threads)
    train, _ = clips.load(name, size.geometry)
    if loop is public:
        # What it reports says nothing here; errors are seen.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        os.environ["TQDM_DISABLE"] = "1"
        imported(checkout)
    touch(size.network.build(train.classes, train.geometry, SEED), train.batch([0])[0])
    held = forget_peak(torch.device("cpu"))
    try:
        loop(method, size, ipc, train, Turns(pipe), checkout)
    except Done:
        pipe.send(peak_since(held, torch.device("cpu")))


def compare(
    method: str, size: Size, ipc: int, name: str, threads: int, checkout: Path, turns: int, loops=(ours, public)
) -> dict:
    """A row: CPU milliseconds and peak memory here and there, and the ratio here / there (median over turns)."""
    context, pipes, processes = get_context("spawn"), [], []
    for loop in loops:
        mine, its = context.Pipe()
        processes.append(
            context.Process(target=worker, args=(its, loop, method, size, ipc, name, threads, checkout), daemon=True)
        )
        processes[-1].start()
        its.close()
        pipes.append(mine)
        heard(mine)  # one iteration to warm up, alone
    costs = [[asked(pipe) for pipe in pipes] for _ in range(turns)]
    peaks = []
    for pipe, process in zip(pipes, processes, strict=True):
        pipe.send(False)
        peaks.append(heard(pipe))
        process.join()
    here, there = ([1000 * cost[which] for cost in costs] for which in (0, 1))
    row = {"method": method, "turns": turns, "CPU ms here": median(here), "CPU ms public": median(there)}
    row["here / public"] = median(a / b for a, b in zip(here, there, strict=True))
    return row | {"peak MB here": peaks[0], "peak MB public": peaks[1]}


def asked(pipe: Connection) -> float:
    """CPU seconds of the next iteration of a loop."""
    pipe.send(True)
    return heard(pipe)


def heard(pipe: Connection) -> Any:
    """What a loop sends. Raises VddError where it ended instead; its own process has printed why."""
    try:
        return pipe.recv()
    except EOFError:
        raise VddError("the process of a loop ended; its last lines are above") from None


def commit(checkout: Path) -> str:
    """The checkout's commit, or the first digits of its files' digest where it is no git repository."""
    if (checkout / ".git").exists() and (known := provenance.commit(checkout)):
        return f"commit {known[:10]}"
    return f"files {files.digest([files.file_sha256(checkout / name) for name in FILES])[:10]}"


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def upstream(
    checkout: Annotated[Path, typer.Argument(help="folder of VDSD's public code", exists=True, file_okay=False)],
    size: Annotated[list[str], typer.Option(help="large or middle; repeatable")] = ("large",),
    method: Annotated[list[str], typer.Option(help="dm, mtt or students; repeatable")] = METHODS,
    turns: Annotated[int, typer.Option(min=1, help="iterations of each, besides one to warm up")] = 5,
    ipc: Annotated[int, typer.Option(min=1, help="distilled clips per class")] = 1,
    real: Annotated[int | None, typer.Option(min=1, help="real clips per class  [default: 8 or 16 by size]")] = None,
    syn_steps: Annotated[int | None, typer.Option(min=1, help="student steps of MTT  [default: 2 or 5]")] = None,
    threads: Annotated[int, typer.Option(min=1, help="of torch")] = 1,
    dataset: Annotated[str, typer.Option(help="a dataset of `vdd datasets`, or a folder")] = "motions",
    output: Annotated[Path, typer.Option(help="folder of the table")] = Path("benchmarks/results"),
):
    """Measure this project beside VDSD's public code, into OUTPUT/upstream.{md,csv,tex,json}."""
    import pandas as pd

    from vddlib.results import write_table

    refuse_unknown(size, method, METHODS)
    rows = []
    for place in size:
        train, _ = clips.load(dataset, SIZES[place].geometry)
        sized = within(train, SIZES[place], real, syn_steps)
        for name in method:
            row = {"size": place} | compare(name, sized, ipc, dataset, threads, checkout.resolve(), turns)
            say(f"{place} {name}: {row['CPU ms here']:.0f} ms here, {row['CPU ms public']:.0f} public")
            rows.append(row)
    params = {"dataset": dataset, "ipc": ipc, "threads": threads, "checkout": commit(checkout)}
    facts = provenance.collect(params | {"sizes": {place: str(SIZES[place]) for place in size}}, torch.device("cpu"))
    where = f"{dataset}, IPC {ipc}, {threads} thread(s), {facts['device']}"
    header = f"This project beside VDSD's public code ({params['checkout']}): {where}."
    write_table(pd.DataFrame(rows), output, "upstream", facts, header, NOTES)
    say((output / "upstream.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    try:
        app()
    except VddError as error:
        typer.echo(f"upstream: {error}", err=True)
        sys.exit(2)
