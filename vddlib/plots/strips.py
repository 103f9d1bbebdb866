"""Clips as strips of frames: one row per clip, and what strips of optical flow or of mixed clips need beside them."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.textpath import TextPath

from vddlib.core.errors import VddError
from vddlib.plots.style import INK, Drawing, drawing, styled

TITLE_SIZE = 8  # points
WHEEL = 1.5  # inches of a colour wheel with its title
LEAST_LINE = 24  # letters: shorter lines of a title are not broken


@styled
def filmstrip(
    clips: np.ndarray, titles: Sequence[str] | None = None, columns: int = 8, along: str | None = None
) -> Drawing:
    """One clip per row, `columns` frames of it evenly along time.

    clips: uint8 [N, T, H, W, 3]; titles: N texts, at the left of the rows, however long; along: what stands below instead
    of the frames' numbers, where these are no frames of one clip.
    """
    titles = list(titles) if titles is not None else [""] * len(clips)
    return _strips(clips, titles, columns, along)


def _strips(clips: np.ndarray, titles: Sequence[str], columns: int, along: str | None, aside: float = 0.0) -> Drawing:
    """The figure of `filmstrip`, with `aside` inches left free at the right.

    Everything is placed in inches: matplotlib's own layout would centre the pictures and cut titles off.
    """
    sheet, chosen, step = _sheet(clips, columns)
    inch = 8.0 / max(len(chosen), 6) / step[1]  # of a pixel of the sheet
    titles = [_wrapped(title, step[0] * inch) for title in titles]
    left, below, around = widest(titles) + 0.2, 0.5 if along is None else 0.35, 0.08
    high, wide = sheet.shape[0] * inch, sheet.shape[1] * inch
    fig = drawing(left + wide + around + aside, below + high + around)
    fig.set_layout_engine("none")
    ax = fig.add_axes(_fractions(fig, left, below, wide, high))
    ax.imshow(sheet, interpolation="antialiased")  # small frames keep their pixels, large ones their thin lines
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.set_yticks((np.arange(len(titles)) + 0.5) * step[0], titles, fontsize=TITLE_SIZE)
    numbers = [str(frame) for frame in chosen] if along is None else [""] * len(chosen)
    ax.set_xticks((np.arange(len(chosen)) + 0.5) * step[1], numbers)
    ax.set_xlabel("frame of the clip" if along is None else along)
    return fig


def _fractions(fig: Drawing, left: float, below: float, wide: float, high: float) -> tuple[float, float, float, float]:
    """A place in a figure, given in inches, as the fractions that matplotlib takes."""
    across, up = fig.get_size_inches()
    return left / across, below / up, wide / across, high / up


def _sheet(clips: np.ndarray, columns: int) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """The frames as one picture ``uint8 [H, W, 3]``, which of the clips' frames they are, and the step from one to the
    next in pixels (down, across). Raises VddError for anything but ``uint8 [N, T, H, W, 3]``."""
    clips = np.asarray(clips)
    if clips.ndim != 5 or clips.shape[-1] != 3 or clips.dtype != np.uint8:
        raise VddError(f"filmstrip: clips are uint8 [N, T, H, W, 3], got {clips.dtype} {list(clips.shape)}")
    count, frames, height, width = clips.shape[:4]
    chosen = np.unique(np.linspace(0, frames - 1, min(columns, frames)).round().astype(int))
    gap = max(1, width // 24)
    sheet = np.full((count * (height + gap) - gap, len(chosen) * (width + gap) - gap, 3), 255, np.uint8)
    for row, clip in enumerate(clips):
        for column, frame in enumerate(chosen):
            y, x = row * (height + gap), column * (width + gap)
            sheet[y : y + height, x : x + width] = clip[frame]
    return sheet, chosen, (height + gap, width + gap)


def _wrapped(title: str, height: float) -> str:
    """A title broken into as many lines as a row of `height` inches holds, if it is long."""
    lines = max(1, int(height / (1.3 * TITLE_SIZE / 72)))
    if len(title) <= LEAST_LINE or "\n" in title:
        return title
    width = max(LEAST_LINE, -(-len(title) // lines))
    while len(broken := textwrap.wrap(title, width)) > lines:  # words do not fill their lines
        width += 4
    return "\n".join(broken)


def widest(titles: Sequence[str]) -> float:
    """Width of the widest line among the titles, inches."""
    lines = [line for title in titles for line in title.split("\n") if line.strip()]
    widths = [TextPath((0, 0), line, size=TITLE_SIZE).get_extents().width / 72 for line in lines]
    return 1.06 * max(widths, default=0.0)  # letters drawn as pixels are up to so much wider


# ---- optical flow


@styled
def flow_filmstrip(flows: Mapping[str, np.ndarray], largest: float | None = None, columns: int = 8) -> Drawing:
    """Optical flow as strips, a row per name, with the wheel that says which hue is which direction.

    flows: name -> ``float32 [T - 1, H, W, 2]`` (x, y) in pixels per frame; largest: the speed of full colour, on one scale
    for all rows (by default the 99th percentile of them all).
    """
    from vddlib.evaluation.sets import flow_pictures

    speeds = np.concatenate([np.linalg.norm(flow, axis=-1).ravel() for flow in flows.values()])
    largest = float(np.percentile(speeds, 99)) if largest is None else float(largest)
    pictures = np.stack([flow_pictures(flow, largest) for flow in flows.values()])
    fig = _strips(pictures, list(flows), columns, "from each frame to the next, in order", aside=WHEEL)
    across, up = fig.get_size_inches()
    _draw_wheel(fig.add_axes(_fractions(fig, across - WHEEL, max(0.0, up - WHEEL), WHEEL, WHEEL - 0.4)), largest)
    return fig


@styled
def flow_wheel(largest: float) -> Drawing:
    """The legend of flow pictures: hue is the direction of motion as seen, saturation the speed up to `largest` pixels."""
    fig = drawing(1.7, 1.8)
    _draw_wheel(fig.add_subplot(), largest)
    return fig


def _draw_wheel(ax: Axes, largest: float, side: int = 121) -> None:
    from vddlib.evaluation.sets import flow_pictures

    place = np.linspace(-1, 1, side)
    across, down = np.meshgrid(place, place)  # y points down, as in frames
    picture = flow_pictures(largest * np.stack([across, down], -1), largest)
    picture[np.hypot(across, down) > 1] = 255
    ax.imshow(picture, extent=(-1, 1, 1, -1))
    for x, y, text in ((1.08, 0, "→"), (-1.08, 0, "←"), (0, -1.08, "↑"), (0, 1.08, "↓")):
        ax.text(x, y, text, ha="center", va="center", color=INK, fontsize=9, clip_on=False)
    ax.set(xlim=(-1.25, 1.25), ylim=(1.25, -1.25))
    ax.set_axis_off()
    ax.set_title(f"rim: {largest:.2g} pixels\nper frame, centre: rest", fontsize=7, loc="center", color=INK)


# ---- mixed clips


@styled
def mixed_filmstrip(clips: np.ndarray, shares: np.ndarray, classes: Sequence[str], columns: int = 8) -> Drawing:
    """Mixed clips, each titled with what it is mixed of: '70 % Rise + 30 % Fall'.

    clips: uint8 [N, T, H, W, 3]; shares: float [N, C], each row the shares of the classes (what the mixing makes of one-hot
    labels), summing to 1; classes: C names.
    """
    titles = [mixture(row, classes) for row in np.asarray(shares, float)]
    titles = [title if len(title) <= LEAST_LINE else title.replace(" + ", "\n+ ") for title in titles]
    return filmstrip(clips, titles, columns)


def mixture(shares: Sequence[float], classes: Sequence[str]) -> str:
    """'70 % Rise + 30 % Fall', the largest share first; shares under half a percent are left out."""
    if len(shares) != len(classes):
        raise VddError(f"mixture: {len(shares)} shares for {len(classes)} classes")
    order = sorted(range(len(shares)), key=lambda k: -shares[k])
    return " + ".join(f"{100 * shares[k]:.0f} % {classes[k]}" for k in order if shares[k] >= 0.005)
