"""Commands that take work away or bring it: export, upload, pack, unpack; published numbers beside ours."""

from pathlib import Path
from typing import Annotated

import typer

from vddlib.cli.app import app


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
def agree(
    scale: Annotated[str, typer.Argument(help="a scale that was run here: quick, miniucf10, ...")] = "quick",
    there: Annotated[
        Path | None, typer.Option("--with", help="a records.csv of another machine  [default: the last commit's]")
    ] = None,
    write: Annotated[Path | None, typer.Option(help="FOLDER/NAME of the table  [default: print it]")] = None,
):
    """Hold what this machine measured against another's: equal digits, means that moved, statements that would change."""
    from vddlib.results import agreement
    from vddlib.results.records import load, read
    from vddlib.results.write import markdown, origin, write_table

    mine, theirs = agreement.common(load(scale), read(there) if there else agreement.committed(scale))
    means = agreement.agreement(mine, theirs)
    shown = agreement.blocks(means), agreement.HEADER.format(scale), agreement.summary(mine, theirs, means)
    if not write:
        return typer.echo(markdown(*shown))
    facts = origin(mine, scale) | {"there": origin(theirs, scale)}
    for path in write_table(shown[0], write.parent, write.name, facts, *shown[1:]):
        typer.echo(path)
