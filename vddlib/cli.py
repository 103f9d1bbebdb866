"""The command `vdd`. Each command imports what it needs when it runs, so that `vdd --help` is quick."""

import errno
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
    from vddlib.core.files import write_atomic
    from vddlib.datasets import catalog
    from vddlib.datasets.check import check as examine

    if into:  # before hours of reading
        try:
            write_atomic(into, "")
        except OSError as error:
            raise VddError(f"{into}: cannot be written ({error.strerror}); name another file") from None
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
