"""The gallery: what each method keeps or makes of the same class, as videos that play in step."""

import html
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vddlib.core.errors import VddError
from vddlib.core.files import write_atomic
from vddlib.core.progress import say
from vddlib.datasets.video import encode_bytes
from vddlib.distillers import DistilledSet
from vddlib.results.methods import method_rank
from vddlib.results.schema import display
from vddlib.site.runs import Run

CLASSES, SIDE, FPS = 4, 128, 8
HEAD = """# Gallery

The first clip of a class in the set of seed 0 of every method, as a student sees it; clips of the random set are real videos as
they are. All of them play in step.

"""
PLAY = '<button id="gallery-play" type="button">Play all</button>'


def gallery(runs: dict[str, list[Run]], folder: Path) -> str:
    """The page as Markdown; its videos are written to `folder`/_static/gallery. A page that says so where no set was kept.

    Of each notebook the first run counts, and the dataset that most of them have.
    """
    found = list(_sets(runs))
    if not found:
        return HEAD + "No run of this scale has kept its sets.\n"
    datasets = [made.card.get("dataset_classes", made.classes) for _, made in found]
    common = max(datasets, key=datasets.count)
    found = [(run, made) for run, made in found if made.classes == common]
    found.sort(key=lambda one: method_rank(one[1].card["method"]))
    lines, target = [HEAD, "```{raw} html", PLAY, "```", ""], folder / "_static" / "gallery"
    target.mkdir(parents=True, exist_ok=True)
    for label in np.linspace(0, len(common) - 1, min(CLASSES, len(common))).astype(int):
        lines += [f"## {plain(common[label])}", "", "```{raw} html", '<div class="gallery">']
        for _, made in found:
            method = made.card["method"]
            name = f"{re.sub(r'[^A-Za-z0-9_-]', '_', method)}_{label}.mp4"
            clip = made.pixels[int((made.labels == int(label)).nonzero()[0])]
            write_atomic(target / name, encode_bytes(_enlarged(clip), fps=FPS, quality=23))
            said = html.escape(f"{display(method)}, {common[label]}")
            video = f'<video src="_static/gallery/{name}" muted loop playsinline preload="auto" aria-label="{said}"></video>'
            lines.append(f"<figure>{video}<figcaption>{html.escape(display(method))}</figcaption></figure>")
        lines += ["</div>", "```", ""]
    return "\n".join([*lines, "```{raw} html", '<script src="_static/gallery.js"></script>', "```", ""])


def plain(name: str) -> str:
    """A name of a folder or a class as text that Markdown and HTML leave as it is."""
    return re.sub(r"([\\`*_{}\[\]<>()#+.!|$&-])", r"\\\1", name)


def _sets(runs: dict[str, list[Run]]) -> Iterator[tuple[Run, DistilledSet]]:
    """The set of seed 0 of every method, from the first run of each notebook that has it."""
    seen = set()
    for mine in runs.values():
        for folder in sorted(mine[0].sets.glob("*_seed0")):
            try:
                made = DistilledSet.load(folder)
            except VddError as error:
                say(f"gallery: {folder.name} is left out ({error})")
                continue
            if made.card["method"] not in seen:
                seen.add(made.card["method"])
                yield mine[0], made


def _enlarged(clip: np.ndarray) -> np.ndarray:
    """``uint8 [T, H, W, 3]`` by whole times to about `SIDE`: H.264 would smear single pixels."""
    times = max(1, round(SIDE / clip.shape[1]))
    return clip.repeat(times, axis=1).repeat(times, axis=2)
