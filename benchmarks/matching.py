"""Time per iteration and peak memory of DM, Static-DC, DC, MTT, FRePo and TSGF, and where the time goes.

From the project's root, `uv run python benchmarks/matching.py --size small --method dm`; see benchmarks/README.md.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Annotated, NamedTuple
from unittest import mock

import psutil
import torch
import typer
from pydantic import BaseModel
from torch import Tensor

from vddlib import distillers
from vddlib.core import files, provenance, seeding
from vddlib.core.errors import VddError, unknown
from vddlib.core.measure import Stopwatch, peak_memory_mb
from vddlib.core.progress import say
from vddlib.datasets import clips
from vddlib.datasets.clips import Clips
from vddlib.datasets.geometry import Geometry, geometry
from vddlib.distillers import Optimised
from vddlib.distillers.base import check_ipc
from vddlib.distillers.matching.dm import DistributionMatching
from vddlib.distillers.matching.experts import Trajectories
from vddlib.distillers.matching.objective import Draw
from vddlib.training import networks
from vddlib.training.fit import pick_device
from vddlib.training.networks import Network

METHODS = ("dm", "static_dc", "dc", "mtt", "frepo", "tsgf")
PER_CLIP = ("s per clip", "MB per clip")
RATIOS = ("over bare", "over bare (CPU)")
STAGES = ("data", "real", "synthetic", "network")
SEED = 0
CODE = (
    "vddlib.distillers.matching.objective",
    "vddlib.distillers.matching.real_clips",
    "vddlib.distillers.stored.pixels",
    "vddlib.distillers.matching.experts",
    "vddlib.datasets.clips",
    "vddlib.datasets.store",
)
NOTES = (
    "ms: median over the iterations, after one that is not counted. CPU ms: the same in CPU time (all threads), which is "
    "steadier on a machine that is shared. %: shares of all iterations' time. data: reading and standardising real clips "
    "(MTT: reading the experts' weights); real: passes of real clips; synthetic: passes of the distilled clips; network: "
    "its own training on them (FRePo); other: new networks, the update of the clips.",
    "peak MB (2^20 bytes): on the CPU, resident memory of a process of its own, above what it held before the distilled "
    "clips, the networks and the loop were made (pages read from the frame store count); on CUDA what torch allocated.",
    "over bare: time of an iteration of DM over that of the passes it cannot do without, on clips that lie ready in "
    "memory, with a network that is there; median over iterations, each beside its own bare passes. In CPU time, too.",
    "s per clip: the iterations that the method has by default (the published ones; TSGF's are SRe2L's) at this pace, over "
    "the clips that they give; MB per clip: peak MB over the clips that are in the making. Networks trained beforehand "
    "(MTT's experts, TSGF's teacher) do not count.",
    "MTT's expert is a stand-in, random weights that move a little each epoch; it is read as a real one would be. TSGF's "
    "teacher is not trained.",
)


class Size(BaseModel):
    """A size of the problem: the clips, the student for them, real clips per class and MTT's student steps."""

    geometry: Geometry
    network: Network = Network()
    real: int
    syn_steps: int

    def __str__(self) -> str:
        g = self.geometry
        work = f"{self.real} real clips per class, {self.syn_steps} student steps (MTT)"
        return f"{g.frames}x{g.size}x{g.size}, {self.network}, {work}"


SHALLOW = Network(options={"depth": 2, "widths": [64, 128]})
SIZES = {
    "small": Size(geometry=geometry(8, 32, 4), network=SHALLOW, real=40, syn_steps=10),
    "middle": Size(geometry=geometry(8, 64, 4), real=16, syn_steps=5),
    "large": Size(geometry=geometry(16, 112, 4), real=8, syn_steps=2),
}


class Case(BaseModel):
    """One row of the table, before it is measured."""

    dataset: str
    size: Size
    method: str
    ipc: int
    iterations: int
    device: str
    threads: int

    def distiller(self) -> Optimised:
        """The method with its published hyper-parameters, at this size. Static-DC keeps its network, an image one; TSGF's
        teacher has BatchNorm."""
        params = {"device": self.device, "network": self.size.network, "batch_real": self.size.real}
        if self.method == "static_dc":
            del params["network"]
        if self.method == "mtt":
            del params["batch_real"]
            params["syn_steps"] = self.size.syn_steps
        if self.method == "tsgf":
            del params["batch_real"]
            params["network"] = Network(name="minic3d_bn", options=self.size.network.options)
        return distillers.build(self.method, **params)


class Loop:
    """A distillation driven by hand, as `Optimised` does it but without checkpoints and pictures."""

    def __init__(self, case: Case, train: Clips, device: torch.device, folder: Path):
        method = case.distiller()
        labels = method.indices(train, case.ipc) // case.ipc
        self.content = method.content(train, case.ipc, SEED).to(device).train()
        experts = mock.patch(
            "vddlib.distillers.matching.mtt.trajectories", lambda *_, **__: snapshots(method, train, folder)
        )
        teacher = mock.patch("vddlib.distillers.matching.tsgf.Recovery.teacher", lambda *_: untrained(method, train))
        with experts, teacher:
            self.objective = method.objective(train, labels, SEED, device)
        self.optimizer = method.updates(self.content, self.objective)
        self.constrain = lambda: method.constrain(self.content, train)
        self.iteration = 0

    def draw(self) -> Draw:
        """What gives the objective its clips."""
        return Draw(self.content, SEED, self.iteration)

    def __call__(self) -> None:
        """The next iteration."""
        self.optimizer.zero_grad(set_to_none=True)
        self.objective.step(self.draw(), self.iteration)
        self.optimizer.step()
        self.constrain()
        self.objective.after(self.draw(), self.iteration)
        self.iteration += 1


class Bare:
    """What an iteration of DM cannot do without: real clips forward, distilled clips forward and back to the input.

    The clips lie ready on the device, the network is there with its weights frozen, chunks are those of DM.
    """

    def __init__(self, loop: Loop):
        objective: DistributionMatching = loop.objective
        self.network = objective.fresh("bare").requires_grad_(False)
        self.real = [objective.real(loop.iteration, chunk)[0] for chunk in range(len(objective.real.chunks))]
        loop.iteration += 1  # these clips are used up: on a GPU those of the next iteration are being read
        count = len(objective.labels)
        at_once = max(1, objective.options.clips_at_once * objective.classes // count) * count // objective.classes
        self.synthetic = loop.draw()(torch.arange(count, device=objective.device)).detach().split(at_once)

    def __call__(self) -> None:
        """The passes of one iteration."""
        with torch.no_grad():
            for some in self.real:
                self.network.embed(some)
        for some in self.synthetic:
            leaf = some.detach().requires_grad_()
            embeddings = self.network.embed(leaf)
            torch.autograd.grad(embeddings, leaf, torch.ones_like(embeddings))


def snapshots(method: Optimised, train: Clips, folder: Path) -> Trajectories:
    """One expert in `folder` with every snapshot MTT may read: random weights, 1% of their std further each epoch."""
    model = method.network.build(train.classes, train.geometry, SEED)
    weights = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    noise = torch.randn(weights.shape, generator=seeding.generator("snapshots", SEED))
    for epoch in range(method.max_start_epoch + method.expert_epochs):
        later = weights + 0.01 * weights.std() * noise * epoch
        files.write_tensors(folder / f"epoch_{epoch:03d}.safetensors", {"weights": later.half()})
    files.write_json(folder / "log.json", {"seconds": 0.0})
    return Trajectories([folder])


def untrained(method: Optimised, train: Clips) -> SimpleNamespace:
    """What stands for TSGF's teacher: the same arithmetic."""
    return SimpleNamespace(model=method.network.build(train.classes, train.geometry, SEED))


class Cost(NamedTuple):
    """Seconds by the clock on the wall, and of CPU time (all threads)."""

    wall: float
    cpu: float


def cost(work: Callable[[], None]) -> Cost:
    """What `work` costs, the GPU's share of it included."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def timed(loop: Loop, iterations: int, device: torch.device) -> tuple[list[Cost], dict[str, float]]:
    """What every iteration costs, and the share (percent) of every stage and 'other' in the time of all."""
    with Stopwatch() as watch:
        costs = [cost(loop) for _ in range(iterations)]
    whole = sum(c.wall for c in costs)
    shares = {f"{name} %": 100 * watch.seconds[name] / whole for name in STAGES}
    shares["other %"] = 100 - sum(shares.values())
    if device.type == "cuda":  # a stage waits for the GPU, an iteration otherwise does not: shares only from the above
        costs = [cost(loop) for _ in range(iterations)]
    return costs, shares


def over_bare(loop: Loop, iterations: int, device: torch.device) -> dict[str, float]:
    """What an iteration of DM costs over its bare passes, taken in turns since the machine may be busy with others."""
    bare = Bare(loop)
    bare()
    pairs = [(cost(loop), cost(bare)) for _ in range(iterations)]
    ratios = {"over bare": median(mine.wall / its.wall for mine, its in pairs)}
    return ratios if device.type == "cuda" else ratios | {"over bare (CPU)": median(a.cpu / b.cpu for a, b in pairs)}


def forget_peak(device: torch.device) -> float:
    """Set the peak of memory back to what is held now; MB of that, which `peak_since` leaves out (0 on CUDA)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return 0.0
    with suppress(OSError):  # not Linux, or not allowed: then the peak of setting up counts, where it is higher
        Path("/proc/self/clear_refs").write_text("5")
    return psutil.Process().memory_info().rss / 2**20


def peak_since(held: float, device: torch.device) -> float:
    """MB at the peak above `held`. Linux: VmHWM, since ru_maxrss begins with the parent process's and cannot go back."""
    status = Path("/proc/self/status")
    if device.type == "cuda" or not status.exists():
        return peak_memory_mb(device) - held
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 2**10 - held


def touch(network: torch.nn.Module, clip: Tensor) -> None:
    """One step of training, so that what libraries import and load on their first use does not count as a method's."""
    optimizer = torch.optim.SGD(network.parameters(), 0.01)
    network(clip).sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def measure(case: Case) -> dict[str, str | int | float | None]:
    """The row of a case. To be run in a process of its own, whose memory is then the method's."""
    torch.set_num_threads(case.threads)
    device, method = pick_device(case.device), case.distiller()
    train, _ = clips.load(case.dataset, case.size.geometry)
    touch(method.network.build(train.classes, train.geometry, SEED).to(device), train.batch([0])[0].to(device))
    held = forget_peak(device)
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(case, train, device, Path(folder))
        loop()
        costs, shares = timed(loop, case.iterations, device)
        peak = peak_since(held, device)
        ratios = over_bare(loop, case.iterations, device) if case.method == "dm" else {}
    times = {"ms": 1000 * median(c.wall for c in costs), "CPU ms": 1000 * median(c.cpu for c in costs)}
    clips_made = len(loop.content)
    per_clip = (times["ms"] / 1000 * method.iterations / clips_made, peak / clips_made)
    row = {"method": case.method, "iterations": case.iterations, **times, **shares, "peak MB": peak}
    row |= dict(zip(PER_CLIP, per_clip, strict=True))
    return row | dict.fromkeys(RATIOS) | ratios


def alone(case: Case) -> dict:
    """`measure` in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, case).result()


def origin(sizes: dict[str, Size], params: dict, train: Clips, device: torch.device) -> dict:
    """Provenance, `conditions` among it: what two rows must share to stand in one table."""
    modules = {kind.__module__ for name in METHODS for kind in distillers.DISTILLERS[name].__mro__}
    modules = {*CODE, *(name for name in modules if name.startswith("vddlib"))}
    named = {name: str(size) for name, size in sizes.items()}
    problem = {**params, "sizes": named, "dataset_sha256": train.fingerprint}
    own = {"benchmark_sha256": files.file_sha256(Path(__file__)), "lock_sha256": provenance.lock_sha256()}
    conditions = {**problem, **own, **networks.conditions(device, *modules)}
    return json.loads(json.dumps({**provenance.collect(problem, device), "conditions": conditions}))


def kept(folder: Path, name: str, conditions: dict) -> list[dict]:
    """Rows of the table that is there already, where it was measured under the very same conditions."""
    there, table = folder / f"{name}.json", folder / f"{name}.csv"
    if not (there.is_file() and table.is_file()):
        return []
    import pandas as pd

    same = json.loads(there.read_text(encoding="utf-8")).get("conditions") == conditions
    return pd.read_csv(table).to_dict("records") if same else []


def in_order(rows: list[dict]) -> list[dict]:
    """Rows by size and method."""
    places = [(size, method) for size in SIZES for method in METHODS]
    return sorted(rows, key=lambda row: places.index((row["size"], row["method"])))


def header(rows: list[dict], facts: dict) -> str:
    """Device and sizes of the problem."""
    here = facts["conditions"]
    threads = f", threads: {here['threads']}" if here["threads"] else ""
    first = f"{here['device']}{threads}, torch {here['torch']}, commit {facts['commit'][:10]}. "
    first += f"{here['dataset']}, {here['classes']} classes, IPC {here['ipc']}."
    sizes = dict.fromkeys(row["size"] for row in rows)
    return "\n".join([first, "", *(f"- {name}: {here['sizes'][name]}" for name in sizes)])


def write(rows: list[dict], output: Path, title: str, facts: dict) -> None:
    """The table and its provenance."""
    import pandas as pd  # here and not above, nor in the processes that measure

    from vddlib.results import write_table

    table = pd.DataFrame(rows).astype(dict.fromkeys(RATIOS, "float64"))
    write_table(table, output, title, facts, header(rows, facts), NOTES)


def refuse_unknown(sizes: Sequence[str], methods: Sequence[str], known: Sequence[str]) -> None:
    """Raises VddError for a size that is not in SIZES, or a method that is not ``known``."""
    for name, names in [*((s, SIZES) for s in sizes), *((m, known) for m in methods)]:
        if name not in names:
            raise unknown("size or method", name, names)


def within(train: Clips, size: Size, real: int | None, syn_steps: int | None) -> Size:
    """`size` with other numbers where they are given, and no more real clips than the smallest class has."""
    smallest = int(torch.bincount(train.labels).min())
    steps = syn_steps or size.syn_steps
    return size.model_copy(update={"real": min(real or size.real, smallest), "syn_steps": steps})


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def matching(
    size: Annotated[list[str], typer.Option(help="small, middle or large; repeatable")] = tuple(SIZES),
    method: Annotated[list[str], typer.Option(help="dm, static_dc, dc, mtt, frepo or tsgf; repeatable")] = METHODS,
    iterations: Annotated[int, typer.Option(min=1, help="measured, besides one to warm up")] = 5,
    ipc: Annotated[int, typer.Option(min=1, help="distilled clips per class")] = 1,
    real: Annotated[int | None, typer.Option(min=1, help="real clips per class  [default: 40, 16, 8 by size]")] = None,
    syn_steps: Annotated[int | None, typer.Option(min=1, help="student steps of MTT  [default: 10, 5, 2]")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="of torch, on the CPU")] = 2,
    dataset: Annotated[str, typer.Option(help="a dataset of `vdd datasets`, or the path of a folder")] = "motions",
    output: Annotated[Path, typer.Option(help="folder of the table")] = Path("benchmarks/results"),
):
    """Measure every method at every size, one process each, into OUTPUT/matching_DEVICE.{md,csv,tex,json}.

    Rows that are there already stay where nothing but the choice of sizes, methods and iterations has changed.
    """
    refuse_unknown(size, method, METHODS)
    torch.set_num_threads(threads)
    chosen = pick_device(device)
    loaded = {name: clips.load(dataset, SIZES[name].geometry)[0] for name in size}  # decoded here, not where it counts
    train = next(iter(loaded.values()))
    check_ipc(train, ipc)
    sizes = {name: within(train, known, real, syn_steps) for name, known in SIZES.items()}
    facts = origin(sizes, {"dataset": train.dataset, "classes": len(train.classes), "ipc": ipc}, train, chosen)
    title = f"matching_{chosen.type}"
    for place, name in [(s, m) for s in size for m in method]:
        say(f"{place} {name}: {iterations} iterations and one to warm up")
        values = {"dataset": dataset, "ipc": ipc, "iterations": iterations, "device": str(chosen), "threads": threads}
        row = {"size": place, **alone(Case(size=sizes[place], method=name, **values))}
        say(f"{place} {name}: {row['ms']:.0f} ms per iteration, {row['peak MB']:.0f} MB")
        old = kept(output, title, facts["conditions"])
        others = [one for one in old if (one["size"], one["method"]) != (place, name)]
        write(in_order([*others, row]), output, title, facts)
    say(f"\n{(output / f'{title}.md').read_text(encoding='utf-8')}")


if __name__ == "__main__":
    try:
        app()
    except VddError as error:
        typer.echo(f"matching: {error}", err=True)
        sys.exit(2)
