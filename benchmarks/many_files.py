"""Seconds and memory of reading a dataset, by its number of videos: whether Kinetics-400's 240 000 would fit.

From the project's root, `uv run python benchmarks/many_files.py`; see benchmarks/README.md.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from vddlib.core import provenance
from vddlib.core.progress import say

CLASSES = 400
FRAMES, SIDE = 12, 32
NOTES = (
    """Links to one tiny video (12 frames of 32 x 32), in 400 class folders, every tenth a test video; each row in a process of
its own. read: the lists, all names and sizes; store: probing and decoding every video, with one worker; epoch: every training
clip once, 8 frames of 16 x 16, in batches of 64. MB: peak of resident memory after each, of the process that trains; pages of
the mapped store (0.46 GB for 50000 videos) count as long as the system leaves them there.""",
)


def tree(root: Path, count: int) -> None:
    """`count` videos as UCF101 lies, all one file."""
    from vddlib.datasets.video import encode

    frames = np.zeros((FRAMES, SIDE, SIDE, 3), np.uint8)
    for t, frame in enumerate(frames):
        frame[:, 2 * t : 2 * t + 8] = 255
    one = encode(root / "one.mp4", frames)
    lists: dict[str, list[str]] = {"train": [], "test": []}
    for number in range(count):
        label, part = number % CLASSES, "test" if number // CLASSES % 10 == 0 else "train"
        name = f"class{label:03d}/v_class{label:03d}_g{number // CLASSES:04d}_c01"
        path = root / "UCF-101" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number % 60_000 == 59_999:  # a file may have 65 000 links on ext4
            one = Path(shutil.copy(one, root / f"{number}.mp4"))
        os.link(one, path)
        lists[part].append(f"{name}.avi" + (f" {label + 1}" if part == "train" else ""))
    folder = root / "ucfTrainTestlist"
    folder.mkdir()
    (folder / "classInd.txt").write_text("".join(f"{k + 1} class{k:03d}\n" for k in range(CLASSES)))
    for part, lines in lists.items():
        (folder / f"{part}list01.txt").write_text("\n".join(lines) + "\n")


def measured(root: Path) -> dict:
    """Seconds and peak memory of each step, in this process."""
    import torch

    from vddlib.core.measure import peak_memory_mb
    from vddlib.datasets.catalog import read
    from vddlib.datasets.clips import load
    from vddlib.datasets.geometry import geometry

    row: dict[str, float] = {}

    def step(name: str, begun: float) -> float:
        row[f"{name} (s)"], row[f"{name} (MB)"] = time.perf_counter() - begun, peak_memory_mb()
        return time.perf_counter()

    clock = time.perf_counter()
    dataset = read(str(root))
    row["videos"] = len(dataset.train) + len(dataset.test)
    clock = step("read", clock)
    train, _ = load(str(root), geometry(8, 16, 1), workers=1)
    clock = step("store", clock)
    for indices in torch.arange(len(train)).split(64):
        train.batch(indices, epoch=0)
    step("epoch", clock)
    return row


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def many_files(
    videos: Annotated[list[int], typer.Option(min=4000, help="how many; repeatable")] = (4000, 16000, 50000),
    output: Annotated[Path, typer.Option(help="folder of the table")] = Path("benchmarks/results"),
    one: Annotated[Path | None, typer.Option(hidden=True)] = None,
):
    """A tree of as many videos, read, stored and gone through once, into OUTPUT/many_files.{md,csv,tex,json}."""
    if one:
        typer.echo(json.dumps(measured(one)))
        return
    import pandas as pd

    from vddlib.results import write_table

    rows = []
    for count in videos:
        with tempfile.TemporaryDirectory() as folder:
            tree(Path(folder) / "tree", count)
            say(f"{count} videos")
            command = [sys.executable, "-m", "benchmarks.many_files", "--one", str(Path(folder) / "tree")]
            env = {**os.environ, "VDD_CACHE": str(Path(folder) / "cache")}
            done = subprocess.run(
                command, capture_output=True, text=True, env=env, cwd=Path(__file__).parents[1], check=False
            )
            if done.returncode:
                raise SystemExit(done.stderr)
            rows.append(json.loads(done.stdout.strip().splitlines()[-1]))
            shutil.rmtree(Path(folder) / "tree")
    table = pd.DataFrame(rows)
    table = table[["videos", *(name for name in table if name != "videos")]]
    facts = provenance.collect({"videos": list(videos)})
    header = f"{provenance.device_name()}, one worker, commit {facts['commit'][:10]}."
    write_table(table, output, "many_files", facts, header, NOTES)
    say(f"\n{(output / 'many_files.md').read_text(encoding='utf-8')}")


if __name__ == "__main__":
    app()
