"""Figures of accuracy by method and by IPC.

Every function takes records (a data frame as `results.load` gives it, variants left out by `results.plain`) and returns
a figure, which Jupyter shows as the last value of a cell; `save` writes it. Every method is shown under the protocol of
its own paper. Error bars are one sample standard deviation over seeds.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from vddlib.plots.panels import (
    METRIC_LABELS,
    accuracy_axis,
    brackets,
    compared,
    full_data,
    guess,
    ipc_axis,
    panels,
    std,
    with_protocol,
)
from vddlib.plots.style import GREY, INK, Drawing, colour, drawing, marker, styled, tint
from vddlib.results.select import in_reading_order, random_beside

RANDOM = "random clips, same protocol and seeds"
ROW = 0.27  # inches of a method's row


@styled
def accuracy_by_method(df: pd.DataFrame, metric: str = "top1") -> Drawing:
    """A bar per method (mean ± std), a dot per seed, a tick where random clips are under the same protocol.

    A panel per IPC, a row of them per dataset, student and clip; lines for full data and chance.
    """
    blocks = panels(df, metric)
    heights = [ROW * compared(part)["method"].nunique() + 1.05 for _, part in blocks]
    fig = drawing(8.4, sum(heights) + 0.3)
    rows = fig.subfigures(len(blocks), 1, height_ratios=heights, squeeze=False)[:, 0]
    for block, (title, part) in zip(rows, blocks, strict=True):
        shown = compared(part)
        ipcs = sorted(shown["ipc"].fillna(0).unique())
        methods = in_reading_order(shown["method"])
        axes = block.subplots(1, len(ipcs), sharex=True, sharey=True, squeeze=False)[0]
        for ax, ipc in zip(axes, ipcs, strict=True):
            mine = shown[shown["ipc"].fillna(0) == ipc]
            _bars(ax, mine, methods, df, metric)
            _reference_lines(ax, part, metric)
            ax.set_title(f"{ipc} clip{'s' if ipc > 1 else ''} per class" if ipc else "", pad=13)
            ax.set_xlabel(METRIC_LABELS.get(metric, metric))
        axes[0].set_yticks(range(len(methods)), [with_protocol(method, part) for method in methods])
        axes[0].set_ylim(len(methods) - 0.45, -0.55)
        block.suptitle(title, x=0.01, ha="left", fontsize=10)
    tick = Line2D([], [], marker="|", ls="", ms=11, mew=2, color=INK, label=RANDOM)
    dot = Line2D([], [], marker="o", ls="", ms=3.5, mfc="white", mec=INK, mew=0.7, label="one seed")
    fig.legend(handles=[tick, dot], loc="outside lower right", ncols=2, title=brackets(blocks), title_fontsize=8)
    return fig


def _bars(ax: Axes, rows: pd.DataFrame, methods: list[str], df: pd.DataFrame, metric: str) -> None:
    for place, method in enumerate(methods):
        mine = rows[rows["method"] == method]
        values = mine[metric].to_numpy(float)
        if not len(values):
            continue
        ax.barh(place, values.mean(), 0.72, color=tint(colour(method), 0.55), edgecolor=colour(method), linewidth=0.7)
        if len(values) > 1:
            ax.errorbar(values.mean(), place, xerr=std(values), color=INK, capsize=2, elinewidth=0.9, zorder=3)
        offsets = np.linspace(-0.2, 0.2, len(values)) if len(values) > 1 else np.zeros(1)
        ax.plot(values, place + offsets, "o", ms=3.2, mfc="white", mec=INK, mew=0.7, zorder=4)
        beside = random_beside(mine, df)
        if method not in ("random", "full") and len(beside):
            ax.plot([beside[metric].mean()] * 2, [place - 0.42, place + 0.42], color=INK, lw=2, zorder=3.5)
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)


def _reference_lines(ax: Axes, part: pd.DataFrame, metric: str) -> None:
    """Vertical lines of chance and of full data, named above the axes."""
    ax.set_xlim(0, min(104, max(part[metric].max() * 1.08, (guess(part, metric) or 0) * 1.3)))
    full = full_data(part, metric) if part["method"].nunique() > 1 else None
    lines = [("chance", guess(part, metric), ":"), ("full data", full[0] if full else None, "-")]
    for name, value, dashes in lines:
        if value:
            ax.axvline(value, color=INK, lw=0.9, ls=dashes, zorder=1.5)
            ax.annotate(f"{name} {value:.1f}", (value, 1), (0, 2), xycoords=("data", "axes fraction"), fontsize=7,
                        textcoords="offset points", ha="center", va="bottom", color=INK)  # fmt: skip


@styled
def accuracy_by_ipc(df: pd.DataFrame, metric: str = "top1") -> Drawing:
    """A small panel per method: accuracy over clips per class (mean ± std), random clips under the same protocol in grey."""
    blocks = panels(df, metric)
    columns, wide, high = 5, 1.65, 1.5
    counts = [max(1, len(_besides_random(part))) for _, part in blocks]
    heights = [high * -(-count // columns) + 0.55 for count in counts]
    fig = drawing(wide * min(columns, max(*counts, 3)) + 0.5, sum(heights) + 0.25)
    rows = fig.subfigures(len(blocks), 1, height_ratios=heights, squeeze=False)[:, 0]
    for block, (title, part) in zip(rows, blocks, strict=True):
        methods = _besides_random(part) or in_reading_order(compared(part)["method"])
        across = min(columns, len(methods))
        axes = block.subplots(-(-len(methods) // across), across, sharex=True, sharey=True, squeeze=False)
        for ax in axes.flat[len(methods) :]:
            ax.set_visible(False)
        for ax, method in zip(axes.flat, methods, strict=False):
            _slope(ax, part, method, df, metric)
            ax.set_title(with_protocol(method, part), fontsize=8.5, color=colour(method))
            ax.tick_params(labelbottom=True)
        for ax in axes[:, 0]:
            ax.set_ylabel(METRIC_LABELS.get(metric, metric))
        full = full_data(part, metric)
        text = f"{title} · full data {full[0]:.1f}" if full else title
        block.suptitle(text, x=0.01, ha="left", fontsize=10)
        block.supxlabel("clips per class (IPC)", fontsize=9, color=INK)
    _ipc_legend(fig, brackets(blocks))
    return fig


def _ipc_legend(fig: Drawing, title: str) -> None:
    grey = Line2D([], [], color=GREY, marker="o", ls="--", ms=4, label=RANDOM)
    line = Line2D([], [], color=INK, ls=":", lw=0.9, label="chance")
    fig.legend(handles=[grey, line], loc="outside lower right", ncols=2, title=title, title_fontsize=8)


def _besides_random(part: pd.DataFrame) -> list[str]:
    return in_reading_order(set(part["method"]) - {"full", "random"})


def _slope(ax: Axes, part: pd.DataFrame, method: str, df: pd.DataFrame, metric: str) -> None:
    mine = part[part["method"] == method]
    if method != "random":
        _line(ax, random_beside(mine, df), metric, color=GREY, marker="o", ls="--", ms=3.5, zorder=2)
    _line(ax, mine, metric, color=colour(method), marker=marker(method), ls="-", ms=5, mec="white", mew=0.4, zorder=3)
    ipc_axis(ax, sorted(part["ipc"].dropna().unique()) or [1])
    accuracy_axis(ax, part, metric, label_chance=False)


def _line(ax: Axes, rows: pd.DataFrame, metric: str, **style) -> None:
    """Mean ± std over IPC; nothing where there are no rows."""
    if rows.empty:
        return
    groups = rows[metric].astype(float).groupby(rows["ipc"].fillna(1).astype(int))
    xs, means, spreads = list(groups.groups), groups.mean(), groups.std().fillna(0)
    ax.errorbar(xs, means, yerr=spreads, fmt="none", ecolor=style["color"], capsize=2, elinewidth=0.9, zorder=2)
    ax.plot(xs, means, **style)
