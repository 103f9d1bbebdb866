"""Commands that run something: a notebook, a generator, a set that somebody made; and what a scale will take."""

import json
from pathlib import Path
from typing import Annotated

import typer

from vddlib.cli.app import app
from vddlib.core.errors import VddError


@app.command()
def run(
    notebook: Annotated[Path, typer.Argument(help="for example notebooks/11_tsgf.ipynb")],
    params: Annotated[Path, typer.Argument(help="for example params/quick/11_tsgf/motions_ipc5.yaml")],
    output: Annotated[
        Path | None, typer.Option(help="the executed copy  [default: runs/SCALE/NOTEBOOK/VARIANT.ipynb]")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="threads of numerical libraries")] = 1,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="print a line now and then; the .log has all of them")
    ] = False,
    shard: Annotated[
        str, typer.Option(help="do one share of the costly step and end there: 0/4; a run without joins them")
    ] = "",
):
    """Execute one notebook with one params file, into runs/."""
    from vddlib.notebook import run as runner

    if shard:
        if output:
            raise VddError("--shard goes with no --output: what it makes is in the cache")
        runner.run_share(notebook, params, shard, threads=threads, quiet=quiet)
        return
    runner.run(notebook, params, output, threads=threads, quiet=quiet)


@app.command()
def latte(
    notebook: Annotated[Path, typer.Argument(help="for example notebooks/15_latte_pool.ipynb")],
    params: Annotated[Path, typer.Argument(help="for example params/paper/15_latte_pool/miniucf.yaml")],
    shard: Annotated[str, typer.Option(help="which part of the classes to sample, of how many: 0/4")] = "",
    threads: Annotated[int, typer.Option(min=1, help="threads of numerical libraries")] = 1,
):
    """Train the generator of a params file and make its pool, into the cache where notebooks find both.

    On several GPUs: accelerate launch -m vddlib.cli latte NOTEBOOK PARAMS
    """
    import torch

    from vddlib.notebook.job import parse_share
    from vddlib.notebook.pool_page import make_from

    torch.set_num_threads(threads)
    made = make_from(notebook, params, parse_share(shard) if shard else None)
    typer.echo(f"videos of {made} classes are in the cache")


@app.command()
def evaluate(
    what: Annotated[
        list[Path],
        typer.Argument(
            metavar="SET... DATASET", help="saved sets or folders of videos by class, and the dataset's name"
        ),
    ],
    protocol: Annotated[str, typer.Option(help="F, F-soft, or a paper's: A, A', B, C, D, E")] = "F",
    students: Annotated[int, typer.Option(min=1, help="students of one set; of several sets each has one")] = 5,
    frames: Annotated[int, typer.Option(min=0, help="frames in a clip  [default: the dataset's own]")] = 0,
    size: Annotated[int, typer.Option(min=0, help="side of a frame, in pixels  [default: the dataset's own]")] = 0,
    stride: Annotated[
        int, typer.Option(min=0, help="distance of neighbouring frames  [default: the dataset's own]")
    ] = 0,
    epochs: Annotated[int, typer.Option(min=0, help="passes, of a paper's protocol  [default: as published]")] = 0,
    student_options: Annotated[
        str, typer.Option(help='of the student of a paper\'s protocol, as in {"depth": 2, "widths": [32, 64]}')
    ] = "{}",
    random: Annotated[bool, typer.Option(help="measure as many random clips beside it")] = True,
    output: Annotated[Path | None, typer.Option(help="write a row for every student into this .csv")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps")] = "auto",
):
    """Measure a distilled set, ours or anybody's, as every method here is measured.

    SET is a folder that `DistilledSet.save` or `vdd export` wrote, or one of videos in a folder for each class; several sets of
    one method, from different seeds, give an interval over sets.
    """
    from vddlib.results.outside import measure_folders

    if len(what) < 2:
        raise VddError("name a set (or several) and then the dataset, as in: vdd evaluate my_set miniucf10")
    cut = {name: value for name, value in (("frames", frames), ("size", size), ("stride", stride)) if value}
    try:
        student = dict(json.loads(student_options))
    except (ValueError, TypeError):
        raise VddError(f"--student-options {student_options}: not a JSON mapping") from None
    recipe = {"epochs": epochs} if epochs else {}
    options = {"recipe": recipe, "student_options": student, "beside_random": random, "device": device}
    found = measure_folders(what[:-1], str(what[-1]), protocol, students, cut, output, **options)
    typer.echo("\n".join(found.lines()))


@app.command()
def forecast(
    scale: Annotated[str, typer.Argument(help="paper, or any other scale with params files")] = "paper",
    tflops: Annotated[float, typer.Option(min=0.001, help="10^12 operations per second that your GPU sustains")] = 15.0,
):
    """Count what every job of a scale will compute: GPU hours and memory, before anything runs (figures/SCALE/forecast.md)."""
    from vddlib.notebook.forecast import write

    table = write(scale, tflops * 1e12)
    typer.echo(table.round(2).to_string(index=False))
    typer.echo(f"\n{len(table)} jobs, figures/{scale}/forecast.md; computed, not measured")


@app.command(name="open")
def reopen(
    notebook: Annotated[str, typer.Argument(help="its number, such as 11, or its name")],
    scale: Annotated[str, typer.Option(help="the scale of the run  [default: the last run of any]")] = "",
    lab: Annotated[bool, typer.Option(help="start JupyterLab; else print the path alone")] = True,
):
    """Open a notebook in JupyterLab with the outputs of its last run, as a copy that is yours to change."""
    import os
    import sys

    from vddlib.notebook.reopen import reopened

    path = reopened(notebook, scale)
    typer.echo(path)
    if lab:
        os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", str(path)])


@app.command()
def site(
    scale: Annotated[str, typer.Argument(help="a scale that has been run")] = "quick",
    output: Annotated[Path | None, typer.Option(help="[default: site/]")] = None,
    api: Annotated[bool, typer.Option(help="with pages of the package's docstrings")] = True,
):
    """Build the reading room from a scale's executed notebooks: pages that open from disk. Nothing is executed."""
    from vddlib.site.build import build

    build(scale, output, api)  # says where it is
