"""What CSRT costs by its settings, and how far its crops go from those of the default ones.

From the project's root, `uv run python benchmarks/tracking.py`; see benchmarks/README.md.
"""

import time
from itertools import islice
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
import typer

from vddlib.core import provenance
from vddlib.core.progress import say
from vddlib.datasets import clips, video
from vddlib.datasets.geometry import geometry
from vddlib.distillers.optdistill.boxes import Box, cover, overlap
from vddlib.distillers.optdistill.track import _next as next_box

RATIO = 4 / 3  # of a tile
SETTINGS: dict[str, dict] = {
    "as it is": {},
    "no segmentation": {"use_segmentation": False},
    "no colour names": {"use_color_names": False},
    "no HOG": {"use_hog": False},
    "17 scales": {"number_of_scales": 17},
    "template of 150": {"template_size": 150.0},
    "template of 100": {"template_size": 100.0},
    "2 iterations": {"admm_iterations": 2},
    "every 2nd frame": {"every": 2},
    "every 3rd frame": {"every": 3},
    "every 2nd frame, no segmentation": {"every": 2, "use_segmentation": False},
    "KCF": {"tracker": "KCF"},
}
NOTES = (
    """Each video from two boxes of its first frame, half and a third of the frame's height, at its centre. CPU ms: per frame
and box, of the tracker alone, one thread. IoU: of crops (the box widened to the shape of a tile) with those of CSRT as it is;
where a tracker has lost its target, that of its last box. lost: frames in percent. 'every n-th frame': boxes in between are
interpolated.""",
)


def followed(
    frames: list[np.ndarray], box: Box, every: int = 1, tracker: str = "CSRT", **params
) -> tuple[list[Box | None], float]:
    """A box per frame, None where it is lost, and CPU seconds."""
    kind, settings = getattr(cv2, f"Tracker{tracker}"), getattr(cv2, f"Tracker{tracker}_Params")()
    for name, value in params.items():
        setattr(settings, name, value)
    one = kind.create(settings)
    one.init(frames[0], tuple(map(int, box)))
    begun, path = time.process_time(), [box]
    for frame in frames[every::every]:
        path += between(path[-1], next_box(one, frame), every)
    path += [path[-1]] * (len(frames) - len(path))  # after the last that was looked at
    return path, time.process_time() - begun


def between(begin: Box | None, end: Box | None, steps: int) -> list[Box | None]:
    """Boxes of `steps` frames, the last of them `end`, on a straight line from `begin`."""
    if begin is None or end is None:
        return [end] * steps
    return [tuple(a + (b - a) * step / steps for a, b in zip(begin, end, strict=True)) for step in range(1, steps + 1)]


def held(path: list[Box | None]) -> list[Box]:
    """The path with its last box where it is lost."""
    last, boxes = path[0], []
    for box in path:
        last = box or last
        boxes.append(last)
    return boxes


def starts(width: int, height: int) -> list[Box]:
    """Boxes of half and a third of the height, three quarters as wide, at the centre."""
    sizes = [(height * share * 0.75, height * share) for share in (1 / 2, 1 / 3)]
    return [((width - w) / 2, (height - h) / 2, w, h) for w, h in sizes]


def measure(paths: list[Path], longest: int) -> list[dict]:
    """A row per setting."""
    seconds, overlaps = dict.fromkeys(SETTINGS, 0.0), {name: [] for name in SETTINGS}
    lost, frames_seen = dict.fromkeys(SETTINGS, 0), 0
    for number, path in enumerate(paths):
        frames = [np.ascontiguousarray(frame[..., ::-1]) for frame in islice(video.stream(path), longest)]
        height, width = frames[0].shape[:2]
        for box in starts(width, height):
            frames_seen += len(frames) - 1
            usual: list[Box] = []
            for name, params in SETTINGS.items():
                boxes, took = followed(frames, box, **params)
                crops = [cover(one, width, height, RATIO) for one in held(boxes)]
                usual = usual or crops
                seconds[name] += took
                lost[name] += sum(one is None for one in boxes)
                overlaps[name] += [overlap(a, b) for a, b in zip(crops[1:], usual[1:], strict=True)]
        say(f"{number + 1}/{len(paths)} {path.name}")
    return [
        {
            "setting": name,
            "CPU ms": 1000 * seconds[name] / frames_seen,
            "times as fast": seconds["as it is"] / seconds[name],
            "IoU": float(np.mean(overlaps[name])),
            "tenth percentile": float(np.quantile(overlaps[name], 0.1)),
            "lost %": 100 * lost[name] / frames_seen,
        }
        for name in SETTINGS
    ]


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def tracking(
    dataset: Annotated[str, typer.Option(help="a dataset of `vdd datasets`, or a folder")] = "motions",
    videos: Annotated[int, typer.Option(min=1, help="how many, spread over the training split")] = 10,
    longest: Annotated[int, typer.Option(min=2, help="frames of each")] = 30,
    output: Annotated[Path, typer.Option(help="folder of the table")] = Path("benchmarks/results"),
):
    """Measure CSRT's settings on videos of DATASET, into OUTPUT/tracking_DATASET.{md,csv,tex,json}."""
    import pandas as pd

    from vddlib.results import write_table

    cv2.setNumThreads(1)
    train, _ = clips.load(dataset, geometry(8, 32, 4))
    chosen = [train.path(i) for i in range(0, len(train), -(-len(train) // videos))]
    rows = measure(chosen, longest)
    facts = provenance.collect(
        {"dataset": train.dataset, "videos": len(chosen), "longest": longest}, torch.device("cpu")
    )
    header = (
        f"CSRT by its settings: {len(chosen)} videos of {train.dataset}, {longest} frames at most, {facts['device']}."
    )
    write_table(pd.DataFrame(rows), output, f"tracking_{train.dataset}", facts, header, NOTES)
    say((output / f"tracking_{train.dataset}.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    app()
