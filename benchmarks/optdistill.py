"""Videos per second of OptDistill's stages, by number of processes.

From the project's root, `uv run python benchmarks/optdistill.py --workers 1 --workers 2`; see benchmarks/README.md.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Annotated
from unittest import mock

import torch
import typer

from vddlib.core import provenance
from vddlib.core.errors import VddError
from vddlib.core.progress import say
from vddlib.datasets import clips
from vddlib.datasets.geometry import geometry
from vddlib.distillers import OptDistill
from vddlib.distillers.optdistill.stages import Stage
from vddlib.training.fit import Recipe
from vddlib.training.networks import Network

NOTES = (
    """detect and track: per video, of the boxes given; crop: per video, decoding, cutting and encoding its segments; score:
decoding them and a forward pass of the teacher, whose training does not count; compose: choosing, tiling and encoding mosaics.
videos/s: by the clock on the wall, the start of the processes included (some seconds, which tell where there are few videos);
per process: one over the median of the seconds that the videos themselves took. Score and compose take one process.""",
    """videos: that reached the stage (for all stages after detection the same, with fallback 'centre'); frames: followed per
video, at most; side: tiles along a side of a mosaic, of 320 x 240 pixels.""",
)
TEACHER, NETWORK = Recipe(epochs=1, batch_size=32), Network(options={"depth": 2, "widths": [32, 64]})


def measure(method: OptDistill, train: clips.Clips) -> list[dict]:
    """A row per stage, everything done anew in a cache of its own."""
    rows, run = [], Stage.run

    def row(stage: str, workers: int, videos: int, seconds: float, each: float) -> None:
        rates = {"videos/s": videos / seconds, "videos/s per process": 1 / each}
        rows.append({"stage": stage, "workers": workers, "videos": videos, **rates})

    def timed(stage: Stage, jobs, work, workers) -> None:
        begun = time.monotonic()
        run(stage, jobs, work, workers)
        took = time.monotonic() - begun
        row(stage.name, workers, len(jobs), took, median(one["seconds"] for one in stage.results(jobs) if one))

    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(os.environ, VDD_CACHE=folder),
        mock.patch.object(Stage, "run", timed),
    ):
        made = method.distill(train, ipc=1)
    for stage in ("score", "compose"):
        videos, seconds = rows[-1]["videos"], made.card["stage_seconds"][stage]
        row(stage, 1, videos, seconds, each=seconds / videos)
    return rows


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def optdistill(
    dataset: Annotated[str, typer.Option(help="a dataset of `vdd datasets`, or the path of a folder")] = "motions",
    detector: Annotated[str, typer.Option(help="weights for ultralytics, or 'motion'")] = "motion",
    per_class: Annotated[int, typer.Option(min=1, help="videos of each class")] = 4,
    boxes: Annotated[int, typer.Option(min=1, help="boxes followed per video, at most")] = 1,
    longest: Annotated[int, typer.Option(min=2, help="frames followed per video, at most")] = 64,
    side: Annotated[int, typer.Option(min=1, help="tiles along a side of a mosaic")] = 2,
    workers: Annotated[list[int], typer.Option(min=1, help="processes; repeatable")] = (1, 2),
    output: Annotated[Path, typer.Option(help="folder of the table")] = Path("benchmarks/results"),
):
    """The whole pipeline anew, one mosaic per class, into OUTPUT/optdistill_DATASET.{md,csv,tex,json}."""
    import pandas as pd

    from vddlib.results import write_table

    train, _ = clips.load(dataset, geometry(8, 32, 4))
    chosen = {"detector": detector, "fallback": "centre", "boxes": boxes, "longest": longest, "side": side}
    rows = []
    for count in workers:
        say(f"{count} processes")
        method = OptDistill(**chosen, preselect=per_class, teacher_recipe=TEACHER, network=NETWORK, workers=count)
        rows += measure(method, train)
    rows = [row | {"frames": longest, "boxes": boxes, "side": side} for row in rows]
    facts = provenance.collect({"dataset": train.dataset, **chosen, "per_class": per_class}, torch.device("cpu"))
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
