"""Figures of training and of its numbers, drawn from arrays."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from vddlib.plots.panels import label_column
from vddlib.plots.style import INK, LINES, Drawing, colour, drawing, marker, styled, tint
from vddlib.results.schema import display

HEIGHT = 3.2  # of the plane's axes, inches


@styled
def confusion(matrix: np.ndarray, classes: Sequence[str]) -> Drawing:
    """Confusion matrix in percent of each true class; matrix: counts [C, C], rows true, columns predicted."""
    counts = np.asarray(matrix, float)
    share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(3.2, min(11, 0.42 * len(classes) + 1.2))
    fig = drawing(side + 0.9, side)
    ax = fig.add_subplot()
    image = ax.imshow(share, cmap="Blues", vmin=0, vmax=100)
    ax.grid(False)
    size = 8 if len(classes) <= 30 else 5
    ax.set_xticks(range(len(classes)), classes, rotation=45, ha="right", rotation_mode="anchor", fontsize=size)
    ax.set_yticks(range(len(classes)), classes, fontsize=size)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    ax.spines[:].set_visible(False)
    if len(classes) <= 15:
        for (row, column), value in np.ndenumerate(share):
            if value >= 0.5:
                ink = "white" if value > 55 else INK
                ax.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=8, color=ink)
    bar = fig.colorbar(image, shrink=0.8, pad=0.02)
    bar.set_label("of the true class (%)")
    bar.outline.set_visible(False)
    return fig


@styled
def losses(
    series: Mapping[str, Sequence[float]], x_label: str = "iteration", log: bool = False, window: int = 1
) -> Drawing:
    """One line per name over iterations (or epochs); `log` for a logarithmic loss axis.

    With a `window` over 1 the line is the mean of as many values, over the values themselves drawn pale.
    """
    fig = drawing(5.6, 3.0)
    ax = fig.add_subplot()
    for number, (name, values) in enumerate(series.items()):
        colour, dashes = LINES[number % len(LINES)], ["-", "--", ":"][number // len(LINES) % 3]
        steps, width = np.arange(1, len(values) + 1), max(1, min(window, len(values) // 2))
        if width > 1:
            ax.plot(steps, values, dashes, color=tint(colour, 0.3), lw=0.7)
            steps, values = steps[width - 1 :], np.convolve(values, np.full(width, 1 / width), "valid")
        ax.plot(steps, values, dashes, color=colour, label=name)
    ax.set_xlabel(x_label)
    ax.set_ylabel("loss" if window < 2 else f"loss, mean of {window}")
    if log:
        ax.set_yscale("log")
    if len(series) > 1:
        fig.legend(loc="outside right center")
    else:
        ax.set_title(next(iter(series), ""))
    return fig


@styled
def cases(names: Sequence[str], values: Sequence[Sequence[float]], label: str = "top-1 (%)") -> Drawing:
    """A row per case: a bar to the mean of its values with its standard deviation, and a dot per value (seed)."""
    fig = drawing(6.4, 0.36 * len(names) + 0.8)
    ax = fig.add_subplot()
    for row, numbers in enumerate(values):
        spread = float(np.std(numbers, ddof=1)) if len(numbers) > 1 else 0.0
        ax.barh(row, np.mean(numbers), 0.62, color=tint(LINES[0], 0.35), edgecolor=LINES[0], linewidth=0.7)
        if spread:
            ax.errorbar(np.mean(numbers), row, xerr=spread, color=INK, capsize=2.5, elinewidth=1)
        ax.plot(numbers, [row] * len(numbers), "o", ms=3, mfc="white", mec=INK, mew=0.7, zorder=4)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(left=0)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(label)
    return fig


@styled
def curves(
    x: Sequence[float], series: Mapping[str, Sequence[Sequence[float]]], x_label: str, label: str = "top-1 (%)"
) -> Drawing:
    """A line per name over `x` (numbers, or names in their order), mean ± std of the values (seeds) at each place."""
    fig = drawing(5.4, 3.0)
    ax = fig.add_subplot()
    numbers = all(isinstance(value, int | float) for value in x)
    places = list(x) if numbers else list(range(len(x)))
    for number, (name, values) in enumerate(series.items()):
        means = [float(np.mean(seeds)) for seeds in values]
        spreads = [float(np.std(seeds, ddof=1)) if len(seeds) > 1 else 0.0 for seeds in values]
        shade = LINES[number % len(LINES)]
        ax.errorbar(
            places, means, yerr=spreads, fmt="o-", color=shade, mec="white", capsize=2.5, elinewidth=1, label=name
        )
    if numbers and min(x) > 0 and max(x) / min(x) >= 10:
        ax.set_xscale("log")
        ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(places, [f"{value:g}" if numbers else str(value) for value in x])
    ax.set_ylim(bottom=0)
    ax.set_xlabel(x_label)
    ax.set_ylabel(label)
    if len(series) > 1:
        fig.legend(loc="outside right center")
    return fig


@styled
def plane(points: Mapping[str, Sequence[tuple[float, float]]], x_label: str, y_label: str) -> Drawing:
    """Methods in a plane: their means with one standard deviation (over seeds) both ways, named at the right.

    points: method -> (x, y) of each seed. An axis whose means span more than a factor of five is logarithmic.
    """
    fig = drawing(6.4, HEIGHT + 0.7)
    ax = fig.add_subplot()
    names, means, spreads = list(points), [], []
    for method in names:
        places = np.asarray(points[method], float).reshape(-1, 2)
        means.append(places.mean(0))
        spreads.append(places.std(0, ddof=1) if len(places) > 1 else np.zeros(2))
        style = {"color": colour(method), "marker": marker(method), "ms": 6.5, "mec": "white", "mew": 0.5, "ls": ""}
        ax.errorbar(*means[-1], *spreads[-1][::-1], elinewidth=0.8, capsize=1.5, **style)
    low, high = np.min(means, 0), np.max(means, 0)
    for scale, least, most in zip((ax.set_xscale, ax.set_yscale), low, high, strict=True):
        if least > 0 and most > 5 * least:
            scale("log")
    for axis in (axis for axis in (ax.xaxis, ax.yaxis) if axis.get_scale() == "log"):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    ax.margins(0.08)
    label_column(ax, [(display(name), colour(name), *at) for name, at in zip(names, means, strict=True)], HEIGHT)
    return fig


@styled
def gains_by_redundancy(table: pd.DataFrame) -> Drawing:
    """Classes by how redundant their clips are, within a clip and among clips; a disc's area is what they gained or lost.

    table: columns `class`, `within_sample`, `inter_sample` and `gain` (percentage points); gains red, losses blue (IDTD,
    figure 4).
    """
    fig = drawing(6.4, HEIGHT + 0.9)
    ax = fig.add_subplot()
    largest = max(float(table["gain"].abs().max()), 1e-9)
    for _, row in table.iterrows():
        shade = "#CC3311" if row["gain"] > 0 else "#0077BB"
        size = 30 + 500 * abs(row["gain"]) / largest
        ax.scatter(row["within_sample"], row["inter_sample"], s=size, color=shade, alpha=0.5, lw=0)
        text = f"{row['class']} {row['gain']:+.1f}"
        ax.annotate(text, (row["within_sample"], row["inter_sample"]), fontsize=6.5, ha="center", va="center")
    ax.margins(0.15)
    ax.set_xlabel("within-sample redundancy $R_t$")
    ax.set_ylabel("inter-sample redundancy $R_{IC}$")
    return fig
