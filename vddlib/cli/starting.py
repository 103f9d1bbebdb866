"""Commands for whoever begins: a method of their own, which datasets there are, whether one is as it should be."""

from pathlib import Path
from typing import Annotated

import typer

from vddlib.cli.app import app
from vddlib.core.errors import VddError


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
        place = catalog.found(entry) if name != "motions" else None
        here = "embedded" if name == "motions" else f"here: {place}" if place else "not here"
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


@app.command()
def doctor(
    quick: Annotated[bool, typer.Option("--quick", help="look only; leave out the self test and its speeds")] = False,
    threads: Annotated[int, typer.Option(min=1, help="threads of numerical libraries, as runs have them")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps")] = "auto",
):
    """Say what this machine has, what will be slow on it, and whether the package works here (about a minute).

    Exit code 1 where something has to be mended.
    """
    from itertools import chain

    from vddlib.notebook import doctor

    found = chain.from_iterable(doctor.guarded(check.__name__, check) for check in doctor.CHECKS)
    if not quick:
        import torch

        from vddlib.notebook.self_test import self_test
        from vddlib.training.fit import pick_device

        torch.set_num_threads(threads)
        found = chain(found, self_test(pick_device(device)))
    states = []
    for state, what, said in found:  # each as soon as it is known
        typer.echo(f"{state:5}{what:16} {said}")
        states.append(state)
    wrong = states.count("bad")
    typer.echo(f"{wrong} thing(s) to mend, see 'bad' above" if wrong else "nothing to mend")
    raise typer.Exit(1 if wrong else 0)
