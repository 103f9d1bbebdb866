"""Figures of the fair comparison: which methods are told apart, and how far each is from random clips.

Both take records as `results.load` gives them and show plain ones of one protocol at one IPC, a panel per dataset, student
and clip. Intervals are of 95 %, over seeds and test videos.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from vddlib.core.errors import VddError
from vddlib.evaluation.statistics import interval
from vddlib.plots.panels import remark
from vddlib.plots.style import GREY, INK, Drawing, colour, drawing, marker, styled
from vddlib.results.fair import ALPHA, comparisons, correct, fair_rows, pairwise
from vddlib.results.schema import chance, display, with_pool
from vddlib.results.select import BLOCK, at

ROW = 0.27  # inches of a method's row


@styled
def critical_difference(df: pd.DataFrame, protocol: str = "F", ipc: int = 5) -> Drawing:
    """Methods from best to worst with their intervals; a bar at the right joins those that are not told apart.

    After Demšar (JMLR 2006), with means of accuracy for ranks and paired comparisons with Holm's correction over all pairs.
    Raises VddError where no method has records there.
    """
    panels = _panels(df, protocol, ipc)
    fig, axes = _column(panels, 6.4)
    for ax, (title, part, rows) in zip(axes, panels, strict=True):
        part = part.sort_values("mean", ascending=False)
        _intervals(ax, part, ("mean", "low", "high"), dict.fromkeys(part["method"], True))
        bars = groups(part["method"].tolist(), pairwise(rows))
        for column, (first, last) in enumerate(bars):
            x = 1.025 + 0.022 * column
            ax.plot([x, x], [first - 0.25, last + 0.25], color=INK, lw=3, solid_capstyle="butt", clip_on=False,
                    transform=ax.get_yaxis_transform())  # fmt: skip
        guess = chance(part["dataset"].iloc[0])
        if guess and guess > ax.get_xlim()[0]:
            ax.axvline(guess, color=INK, lw=0.9, ls=":", zorder=1.5)
        ax.set_title(title)
        ax.set_xlabel("top-1 (%)")
    remark(axes[0], "bars join methods that are not told apart")
    return fig


@styled
def differences_to_random(df: pd.DataFrame, protocol: str = "F", ipc: int = 5) -> Drawing:
    """A forest plot: each method's paired difference to random clips with its interval; grey where it is not told apart.

    Raises VddError where no method has a random partner there.
    """
    panels = [(title, part[part["difference"].notna()], rows) for title, part, rows in _panels(df, protocol, ipc)]
    panels = [panel for panel in panels if len(panel[1])]
    if not panels:
        raise VddError(f"no method has random clips beside it under protocol {protocol} at IPC {ipc}")
    fig, axes = _column(panels, 6.4)
    for ax, (title, part, _) in zip(axes, panels, strict=True):
        part = part.sort_values("difference", ascending=False)
        told = dict(zip(part["method"], part["told_apart"], strict=True))
        _intervals(ax, part, ("difference", "difference_low", "difference_high"), told)
        ax.axvline(0, color=INK, lw=0.9, zorder=1.5)
        ax.set_title(title)
        ax.set_xlabel("top-1 minus random clips (points), paired by seed and test video")
    remark(axes[0], "grey: not told apart from random")
    return fig


def groups(ordered: list[str], pairs: pd.DataFrame) -> list[tuple[int, int]]:
    """(first, last) places of every longest run of methods in which no two are told apart (Holm's p below 0.05).

    ordered: methods from best to worst; pairs: what `results.fair.pairwise` gives. Runs of one are left out.
    """
    apart = {frozenset((row.first, row.second)) for row in pairs.itertuples() if row.p_holm < ALPHA}
    runs = []
    for first in range(len(ordered)):
        last = first
        while last + 1 < len(ordered) and not any(
            frozenset((ordered[last + 1], one)) in apart for one in ordered[first : last + 1]
        ):
            last += 1
        if last > first and not (runs and runs[-1][1] >= last):
            runs.append((first, last))
    return runs


def _panels(df: pd.DataFrame, protocol: str, ipc: int) -> list[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """(title, numbers, records) per block; full data is left out."""
    numbers, rows = comparisons(df), fair_rows(df)
    panels = []
    for (_, part), (_, mine) in zip(*(one.groupby(BLOCK, dropna=False) for one in (numbers, rows)), strict=True):
        part, mine = (one[(one["protocol"] == protocol) & one["ipc"].eq(ipc).fillna(False)] for one in (part, mine))
        if len(part):
            head = part.iloc[0]
            title = f"{display(head['dataset'])} · IPC {ipc} · protocol {protocol}"
            panels.append((title, part, mine))
    if not panels:
        raise VddError(f"no method has records under protocol {protocol} at IPC {ipc}")
    return panels


def _column(panels: list, width: float) -> tuple[Drawing, list[Axes]]:
    """An empty figure with a panel under the other, as high as their methods need."""
    heights = [ROW * len(part) + 0.75 for _, part, _ in panels]
    fig = drawing(width, sum(heights) + 0.1)
    return fig, list(fig.subplots(len(panels), 1, height_ratios=heights, squeeze=False)[:, 0])


def _intervals(ax: Axes, part: pd.DataFrame, columns: tuple[str, str, str], told: dict[str, bool]) -> None:
    """A row per method from top to bottom: its point and its interval."""
    middle, low, high = columns
    for place, row in enumerate(part.to_dict("records")):
        shade = colour(row["method"]) if told[row["method"]] else GREY
        ax.plot([row[low], row[high]], [place, place], color=shade, lw=1.6, zorder=2)
        face = shade if told[row["method"]] else "white"
        ax.plot(row[middle], place, marker(row["method"]), color=shade, mfc=face, ms=5.5, zorder=3)
    ax.set_yticks(range(len(part)), [with_pool(method) for method in part["method"]])
    ax.set_ylim(len(part) - 0.45, -0.55)
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)


@styled
def rate_accuracy(df: pd.DataFrame, protocol: str = "F") -> Drawing:
    """Top-1 against bytes of a set (H.264 streams and labels; containers apart), one panel per dataset, student and clip.

    Points: every method at every IPC, with intervals. Line: real clips at other qualities and sizes (`random_encoded`, all
    variants), the best of those that take no more bytes; small dots are its settings. Raises VddError without records.
    """
    rows = fair_rows(df)
    rows = rows[(rows["protocol"] == protocol) & rows["ipc"].notna() & (rows["method"] != "random_encoded")]
    coded = df[(df["method"] == "random_encoded") & (df["protocol"] == protocol)]
    if rows.empty:
        raise VddError(f"no method has records under protocol {protocol}")
    blocks = list(rows.groupby(BLOCK, dropna=False, sort=False))
    fig = drawing(6.4, 3.6 * len(blocks))
    axes = fig.subplots(len(blocks), 1, squeeze=False)[:, 0]
    for ax, (block, part) in zip(axes, blocks, strict=True):
        for (method, _), mine in part.groupby(["method", "ipc"], sort=False):
            _point(ax, method, mine)
        _curve(ax, at(coded, dict(zip(BLOCK, block, strict=True))))
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        ax.xaxis.set_major_formatter(EngFormatter("B"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_xlabel("bytes of the set (video streams and labels)")
        ax.set_ylabel("top-1 (%)")
        ax.set_title(f"{display(part['dataset'].iloc[0])} · protocol {protocol}")
        handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
        ax.legend(
            handles.values(), handles.keys(), loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=7, frameon=False
        )
    return fig


def _point(ax: Axes, method: str, mine: pd.DataFrame) -> None:
    found, x = interval(correct(mine).to_numpy()), float(mine["bytes_stream"].mean())
    if found.low == found.low:  # one value has no interval
        ax.plot([x, x], [found.low, found.high], color=colour(method), lw=1.0, alpha=0.7)
    ax.plot(x, found.mean, marker(method), color=colour(method), ms=5, label=with_pool(method), ls="none")


def _curve(ax: Axes, coded: pd.DataFrame) -> None:
    """The settings of encoded real clips, and the highest mean for so many bytes or fewer."""
    if coded.empty:
        return
    settings = coded.fillna({"variant": ""}).groupby(["variant", "ipc"])[["bytes_stream", "top1"]].mean()
    settings = settings.astype(float).sort_values("bytes_stream")
    shade = colour("random_encoded")
    ax.plot(settings["bytes_stream"], settings["top1"], ".", color=shade, ms=4)
    label = "real clips, encoded:\nbest for so many bytes"
    ax.step(settings["bytes_stream"], settings["top1"].cummax(), where="post", color=shade, lw=1.2, label=label)
