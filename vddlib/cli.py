"""The command `vdd`. Each command imports what it needs when it runs, so that `vdd --help` is quick."""

import errno
import json
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from vddlib.core.errors import VddError


class _OneLine(TyperGroup):
    """Prints what a user can fix as one line on stderr, without a traceback."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except VddError as error:
            code = 2
            typer.echo(f"vdd: {error}", err=True)
        except KeyboardInterrupt as stop:
            code = 128 + getattr(stop, "signum", 2)  # as shells report a process that a signal ended
            typer.echo(
                "vdd: stopped; no half-written file is left, and the same command resumes from what was finished",
                err=True,
            )
        except OSError as error:
            code = 2
            if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
                where = f" while writing {error.filename}" if error.filename else ""
                typer.echo(f"vdd: the disk is full{where}; free some space and run the same command again", err=True)
            elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and error.filename:
                typer.echo(f"vdd: {error.filename}: cannot be read or written ({error.strerror})", err=True)
            else:
                raise
        raise typer.Exit(code)


app = typer.Typer(cls=_OneLine, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def vdd():
    """Video dataset distillation, reproduced."""


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
):
    """Execute one notebook with one params file, into runs/."""
    from vddlib.notebook import run as runner

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

    from vddlib.notebook.pool_page import make_from

    torch.set_num_threads(threads)
    parts = shard.split("/")
    if shard and not (len(parts) == 2 and all(part.isdigit() for part in parts)):
        raise VddError(f"--shard {shard}: which part, of how many, as in 0/4")
    made = make_from(notebook, params, (int(parts[0]), int(parts[1])) if shard else None)
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
def export(
    made: Annotated[
        Path,
        typer.Argument(
            metavar="SET", help="runs/SCALE/NOTEBOOK/VARIANT.sets/METHOD_seedN, or what `DistilledSet.save` wrote"
        ),
    ],
    folder: Annotated[Path, typer.Argument(help="a new folder")],
    scale: Annotated[str, typer.Option(help="the scale whose table has the method's row")] = "",
    quality: Annotated[
        int, typer.Option(min=0, max=51, help="CRF of videos that are encoded for this; 0 loses least")
    ] = 10,
):
    """Write a distilled set for others: videos by class, labels, and a card (a Hugging Face dataset that `datasets` loads)."""
    from vddlib.results.export import export as write

    typer.echo(f"{write(made, folder, scale, quality)}: load it with datasets.load_dataset({str(folder)!r})")


@app.command()
def upload(
    folder: Annotated[Path, typer.Argument(help="what `vdd export` wrote")],
    repository: Annotated[str, typer.Argument(help="NAME/REPOSITORY on the Hugging Face hub")],
    private: Annotated[bool, typer.Option(help="for yourself and your organisation alone")] = False,
):
    """Push an exported set to the Hugging Face hub, with the token of `hf auth login` or $HF_TOKEN."""
    from vddlib.results.export import push

    typer.echo(push(folder, repository, private))


@app.command()
def pack(
    scale: Annotated[str, typer.Argument(help="a scale that has been run, such as quick")],
    archive: Annotated[Path | None, typer.Argument(help="[default: SCALE.vdd.tar]")] = None,
):
    """Collect what a scale's runs made (networks, experts, pools, sets) into one archive, for others to go on from."""
    from vddlib.core.pack import pack as write

    archive = archive or Path(f"{scale}.vdd.tar")
    made = write(scale, archive)
    typer.echo(f"{archive}: {len(made['artifacts'])} artifacts, {archive.stat().st_size / 1e6:.0f} MB")
    if made["absent"]:
        typer.echo(f"{len(made['absent'])} artifacts of runs elsewhere are not in this cache and not in the archive")


@app.command()
def unpack(archive: Annotated[Path, typer.Argument(help="what `vdd pack` wrote")]):
    """Put finished work into the cache, every hash checked: notebooks then find it instead of making it again."""
    from vddlib.core.pack import unpack as read

    new, there = read(archive)
    typer.echo(f"{new} artifacts are new in the cache, {there} were there")


@app.command()
def compare(
    scale: Annotated[str, typer.Argument(help="quick, miniucf10, paper, ...")] = "quick",
    paper: Annotated[str, typer.Option(help="tsgf, optdistill, idtd or diffusion  [default: all]")] = "",
    everything: Annotated[bool, typer.Option("--all", help="cells without a record of ours, too")] = False,
):
    """Print every published accuracy beside ours at a scale, with a status per cell."""
    from vddlib.results.cells import EXPLAINED, NOT_RUN, blocks, cells
    from vddlib.results.records import load
    from vddlib.results.write import markdown

    found = cells(load(scale), paper or None)
    shown = found if everything else found[found["status"] != NOT_RUN]
    left_out = len(found) - len(shown)
    notes = [f"{left_out} published cells have no record at this scale (--all lists them)."] if left_out else []
    typer.echo(markdown(blocks(shown), f"Scale {scale}, percent, mean (std). {EXPLAINED}.", notes))


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


@app.command(name="new-method")
def new_method(
    name: Annotated[str, typer.Argument(help="in records and files: lower-case letters, digits and _")],
    printed: Annotated[str, typer.Option(help="in print  [default: made of the name]")] = "",
    kind: Annotated[
        str, typer.Option(help="selector (keeps clips of a pool) or objective (what clips are fitted to)")
    ] = "selector",
):
    """Add a method of your own to this checkout: a file, a notebook, two params files and a row, which run as they are."""
    from vddlib.notebook.new_method import FOLDERS
    from vddlib.notebook.new_method import new_method as make

    if kind not in FOLDERS:
        raise VddError(f"--kind {kind}: one of {', '.join(FOLDERS)}")
    made = make(name, printed, kind)
    for path in made:
        typer.echo(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
    source, notebook, smoke = made[:3]
    typer.echo(
        f"\nedit {source.name}, then: vdd run notebooks/{notebook.name} params/smoke/{smoke.parent.name}/{smoke.name}"
    )


@app.command()
def datasets():
    """Show each dataset: what it is, whether it is here, and how to get it."""
    import os

    from vddlib.datasets import catalog

    typer.echo(
        f"VDD_DATA = {os.environ.get('VDD_DATA') or '(not set; point it at the folder that holds your datasets)'}\n"
    )
    for name, entry in catalog.CATALOG.items():
        try:
            found = name == "motions" or catalog.locate(entry)
            here = "embedded" if name == "motions" else f"here: {found}"
        except VddError:
            here = "not here"
        typer.echo(f"{name:12} {here}")
        train, test = entry.counts
        typer.echo(f"{'':12} {entry.about}; {entry.num_classes} classes, {train} train / {test} test videos")
        if entry.notes:
            typer.echo(f"{'':12} note: {entry.notes}")
        if here == "not here":
            typer.echo(f"{'':12} to get it: {entry.get}")
    typer.echo("\nThe path of any folder in UCF101's layout, or of class folders alone, names a dataset, too.")


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="a dataset of `vdd datasets`, or the path of a folder")],
    workers: Annotated[int | None, typer.Option(help="parallel processes  [default: one per core]")] = None,
    every: Annotated[bool, typer.Option("--all", help="name every video that is not as it should be, not 20")] = False,
    into: Annotated[
        Path | None, typer.Option("--list", help="write a line for each absent or unreadable video into this file")
    ] = None,
):
    """Verify a dataset: counts, every video opened, seeking, duplicates. Exit code 1 where it is incomplete or broken."""
    from vddlib.core.files import begin, write_atomic
    from vddlib.datasets import catalog
    from vddlib.datasets.check import check as examine

    if into:  # before hours of reading
        begin(into)
    found = examine(catalog.read(name, absent_allowed=True), workers)
    for line in found.lines(None) if every else found.lines():
        typer.echo(line)
    if into:
        lines = [f"{listed}: absent" for listed in found.absent] + found.unreadable
        write_atomic(into, "".join(f"{line}\n" for line in lines))
    typer.echo(f"{name}: " + ("sound" if found.sound else "NOT sound, see above"))
    raise typer.Exit(0 if found.sound else 1)


if __name__ == "__main__":
    app()
