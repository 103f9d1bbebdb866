"""Networks as diagrams."""

from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Polygon

from vddlib.plots.style import GREY, INK, Drawing, drawing, styled, tint

KINDS = {"Conv": "#0072B2", "Pool": "#E69F00", "Linear": "#117733", "GRU": "#AA4499", "LSTM": "#AA4499"}
FOLDED = ("Norm", "ReLU", "GELU", "Dropout", "Identity", "StochasticDepth", "Permute")  # named with the layer before


@styled
def layer_diagram(layers: Sequence[tuple[str, str, Sequence[int], int]], input_shape: Sequence[int] = ()) -> Drawing:
    """A network as blocks in reading order, nine to a line: height is the frame side, depth the time steps.

    layers: (name, kind, output shape [C, T, H, W] or shorter, parameters) per leaf layer, as `layer_shapes` gives them;
    norms, activations and dropout are named with the layer before. input_shape: of the clip, drawn first.
    """
    blocks = _folded(layers)
    if len(input_shape):
        blocks.insert(0, (["clip"], "Input", tuple(input_shape), 0))
    per_row, wide, high = 9, 1.28, 2.45  # blocks to a line; inches of a block with its text
    rows, columns = -(-len(blocks) // per_row), min(len(blocks), per_row)
    fig = drawing(wide * columns + 0.2, high * rows)
    ax = fig.add_subplot()
    tallest = max(_extent(shape)[0] for _, _, shape, _ in blocks)
    heights = [0.22 + np.sqrt(_extent(shape)[0] / tallest) for _, _, shape, _ in blocks]
    tip = None
    for number, (names, kind, shape, parameters) in enumerate(blocks):
        row, column = divmod(number, per_row)
        x, y = column * wide, -row * high
        start, end = _slab(ax, x, y, heights[number], 0.05 * min(_extent(shape)[1], 10), kind)
        if column:
            arrow = {"arrowstyle": "-|>", "color": GREY, "lw": 0.8, "shrinkA": 3, "shrinkB": 3}
            ax.annotate("", (start, y), (tip, y), arrowprops=arrow)
        tip = end
        below = y - max(heights[row * per_row : (row + 1) * per_row]) / 2 - 0.08
        text = "\n".join([*names, "×".join(map(str, shape)), _amount(parameters)])
        ax.text(x, below, text, ha="center", va="top", fontsize=7, color=INK, linespacing=1.25)
    ax.set(xlim=(-wide / 2, wide * (columns - 0.5)), ylim=(high * (0.4 - rows), 0.4 * high), aspect="equal")
    ax.set_axis_off()
    return fig


def _folded(layers) -> list[tuple[list[str], str, tuple[int, ...], int]]:
    """Layers with norms, activations and dropout joined to the one before: (lines of text, kind, shape, parameters)."""
    blocks = []
    for name, kind, shape, parameters in layers:
        if blocks and any(word in kind for word in FOLDED):
            names, first, before, amount = blocks[-1]
            blocks[-1] = ([*names, f"+ {kind}"], first, before, amount + parameters)
        else:
            blocks.append(([name, kind], kind, tuple(shape), parameters))
    return blocks


def _extent(shape: Sequence[int]) -> tuple[int, int]:
    """(side, time steps) of a block: [C, T, H, W] -> (H, T), [C, H, W] -> (H, 1), a vector -> (1, 1)."""
    side = shape[-1] if len(shape) >= 3 else 1
    return side, shape[-3] if len(shape) >= 4 else 1


def _slab(ax, centre: float, y: float, height: float, depth: float, kind: str) -> tuple[float, float]:
    """Draw a box seen from the front and above; returns where it begins and ends on the x axis."""
    base = next((colour for word, colour in KINDS.items() if word in kind), GREY)
    low, high, width, rise = y - height / 2, y + height / 2, 0.16, 0.45 * depth
    x = centre - (width + depth) / 2
    front = [(x, low), (x + width, low), (x + width, high), (x, high)]
    top = [(x, high), (x + width, high), (x + width + depth, high + rise), (x + depth, high + rise)]
    side = [(x + width, low), (x + width + depth, low + rise), (x + width + depth, high + rise), (x + width, high)]
    for points, strength in ((side, 0.35), (top, 0.2), (front, 0.7)):
        ax.add_patch(Polygon(points, closed=True, fc=tint(base, strength), ec=base, lw=0.8))
    return x, x + width + depth


def _amount(parameters: int) -> str:
    if not parameters:
        return ""
    unit, text = (1e6, " M") if parameters >= 1e6 else (1e3, " k") if parameters >= 1e3 else (1, "")
    return f"{parameters / unit:.3g}{text} weights"
