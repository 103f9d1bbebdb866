"""Videos per second of OptDistill's stages, by number of processes.

From the project's root, `uv run python benchmarks/optdistill.py --workers 1 --workers 2`; see benchmarks/README.md.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated
from unittest import mock

import torch
import typer

from vddlib import provenance
from vddlib.datasets import clips
from vddlib.datasets.geometry import geometry
from vddlib.distillers import OptDistill
from vddlib.distillers.optdistill.stages import Stage
from vddlib.errors import VddError
from vddlib.progress import say

NOTES = (
    "detect and track: per video, of the boxes given; crop: per video, decoding, cutting and encoding its segments. By the "
    "clock on the wall, the start of the processes included; frames: followed per video, at most.",
)


def measure(method: OptDistill, train: clips.Clips) -> list[dict]:
    """A row per stage, everything done anew in a cache of its own."""
    rows, run = [], Stage.run

    def timed(stage: Stage, jobs, work, workers) -> None:
        begun = time.monotonic()
        run(stage, jobs, work, workers)
        seconds = time.monotonic() - begun
        rows.append({"workers": workers, "stage": stage.name, "videos": len(jobs), "videos/s": len(jobs) / seconds})

    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(os.environ, VDD_CACHE=folder),
        mock.patch.object(Stage, "run", timed),
    ):
        method.prepare(train)
    return rows


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def optdistill(
    dataset: Annotated[str, typer.Option(help="a dataset of `vdd datasets`, or the path of a folder")] = "motions",
    detector: Annotated[str, typer.Option(help="weights for ultralytics, or 'motion'")] = "motion",
    per_class: Annotated[int, typer.Option(min=1, help="videos of each class")] = 4,
    boxes: Annotated[int, typer.Option(min=1, help="boxes followed per video, at most")] = 1,
    longest: Annotated[int, typer.Option(min=2, help="frames followed per video, at most")] = 64,
    workers: Annotated[list[int], typer.Option(min=1, help="processes; repeatable")] = (1, 2),
    output: Annotated[Path, typer.Option(help="folder of the table")] = Path("benchmarks/results"),
):
    """Detect, track and crop anew, into OUTPUT/optdistill_DATASET.{md,csv,tex,json}."""
    import pandas as pd

    from vddlib.results import write_table

    train, _ = clips.load(dataset, geometry(8, 32, 4))
    chosen = {"detector": detector, "fallback": "centre", "boxes": boxes, "longest": longest, "preselect": per_class}
    rows = []
    for count in workers:
        say(f"{count} processes")
        rows += measure(OptDistill(**chosen, workers=count), train)
    rows = [row | {"frames": longest, "boxes": boxes} for row in rows]
    facts = provenance.collect({"dataset": train.dataset, **chosen}, torch.device("cpu"))
    name = f"optdistill_{Path(train.dataset).name}"
    header = f"{train.dataset}, detector {Path(detector).name}, {os.cpu_count()} cores, commit {facts['commit'][:10]}."
    write_table(pd.DataFrame(rows), output, name, facts, header, NOTES)
    say(f"\n{(output / f'{name}.md').read_text(encoding='utf-8')}")


if __name__ == "__main__":
    try:
        app()
    except VddError as error:
        typer.echo(f"optdistill: {error}", err=True)
        sys.exit(2)
