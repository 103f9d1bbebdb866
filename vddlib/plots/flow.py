"""The idea of a method as a picture: what feeds what, where the gradient goes back, and what it changes."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from vddlib.plots.style import GREY, INK, LINES, Drawing, drawing, styled, tint

WIDE, HIGH = 1.55, 0.62  # inches of a box, and of a row with its gap
UPDATED = LINES[1]


class Box(NamedTuple):
    """A box: its text, its column and its row, counted from the top left; rows may be halves."""

    text: str
    column: float
    row: float


class Flow(NamedTuple):
    """`forward` and `back` are arrows between names of `boxes`; `updated` names what is learned."""

    boxes: dict[str, Box]
    forward: Sequence[tuple[str, str]]
    back: Sequence[tuple[str, str]] = ()
    updated: Sequence[str] = ()


@styled
def flow(given: Flow) -> Drawing:
    """Boxes and arrows: solid is the way forward, dotted the gradient's way back, and what it updates is coloured."""
    columns = max(box.column for box in given.boxes.values()) + 1
    rows = max(box.row for box in given.boxes.values()) + 1
    step, gap = WIDE + 0.45, 0.35
    fig = drawing(step * columns + 0.1, (HIGH + gap) * rows + 0.45)
    ax = fig.add_subplot()
    places = {name: (box.column * step, -box.row * (HIGH + gap)) for name, box in given.boxes.items()}
    for name, box in given.boxes.items():
        x, y = places[name]
        changes = name in given.updated
        edge, fill = (UPDATED, tint(UPDATED, 0.25)) if changes else (GREY, "#F5F5F5")
        corner, rounded = (x - WIDE / 2, y - HIGH / 2), "round,pad=0,rounding_size=0.08"
        shape = FancyBboxPatch(corner, WIDE, HIGH, boxstyle=rounded, ec=edge, fc=fill, lw=1.6 if changes else 0.9)
        ax.add_patch(shape)
        ax.text(x, y, box.text, ha="center", va="center", fontsize=8, color=INK, linespacing=1.2)
    for start, end in given.forward:
        _arrow(ax, places[start], places[end], INK, "-", 0.0)
    for start, end in given.back:
        _arrow(ax, places[start], places[end], UPDATED, ":", 0.28)
    said = "solid: forward" + ("; dotted: the gradient's way back; coloured: what it updates" if given.back else "")
    bottom = -(HIGH + gap) * (rows - 1) - HIGH / 2 - 0.4
    ax.text(-WIDE / 2, bottom, said, ha="left", va="bottom", fontsize=7, color=GREY)
    ax.set(
        xlim=(-WIDE / 2 - 0.1, step * (columns - 1) + WIDE / 2 + 0.1),
        ylim=(bottom - 0.02, HIGH / 2 + 0.25),
        aspect="equal",
    )
    ax.set_axis_off()
    return fig


def _arrow(ax, start, end, colour: str, line: str, bend: float) -> None:
    (x0, y0), (x1, y1) = _rim(start, end), _rim(end, start)
    look = {"arrowstyle": "-|>", "mutation_scale": 9, "color": colour, "lw": 1.1, "ls": line}
    shape = FancyArrowPatch((x0, y0), (x1, y1), connectionstyle=f"arc3,rad={-bend}", **look)
    ax.add_patch(shape)


def _rim(start: tuple[float, float], end: tuple[float, float]) -> tuple[float, float]:
    """Where the line from the centre of one box to another leaves the first."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    reach = min(WIDE / 2 / abs(dx) if dx else 9e9, HIGH / 2 / abs(dy) if dy else 9e9)
    return start[0] + dx * reach, start[1] + dy * reach
