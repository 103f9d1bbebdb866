"""Figures of accuracy over what it costs: stored bytes, time, memory. Every method under the protocol of its own paper."""

from collections.abc import Callable, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from vddlib.core.errors import VddError
from vddlib.plots.panels import (
    METRIC_LABELS,
    accuracy_axis,
    brackets,
    compared,
    full_data,
    label_column,
    log_axis,
    panels,
    remark,
    std,
    strength,
    with_protocol,
)
from vddlib.plots.style import GREY, Drawing, colour, drawing, marker, styled, tint
from vddlib.results.select import in_reading_order

BYTES_LABELS = {
    "bytes_stream": "as encoded video streams",
    "bytes_video": "as encoded video files",
    "bytes_uint8": "as uint8",
    "bytes_float32": "as float32",
}
HEIGHT = 3.2  # of a panel's axes, inches
ALIKE = 1.5  # peak memories that differ by a smaller factor are said in words and not drawn
SHORTEST = 0.1  # seconds: coresets without a network take next to nothing, and the axis is logarithmic


@styled
def accuracy_by_bytes(df: pd.DataFrame, metric: str = "top1", kinds: Sequence[str] | None = None) -> Drawing:
    """Accuracy over the size of the set in MB; a row per dataset, student and clip.

    By default as encoded: video streams where records have them (`bytes_stream`), else whole files (`bytes_video`).
    `kinds`, a panel each: columns among BYTES_LABELS. Full data stands above the panel, not in it.
    """
    if kinds is None:
        measured = [kind for kind in ("bytes_stream", "bytes_video") if kind in df and df[kind].notna().any()]
        kinds = measured[:1]
    used = [kind for kind in kinds if kind in df and df[kind].notna().any()]
    if not used:
        asked = ", ".join(kinds) or "bytes_stream or bytes_video"
        raise VddError(f"no record has a size in column {asked}: choose others with kinds=('bytes_uint8',)")
    df = df.assign(**{kind: df[kind].astype("float64") / 1e6 for kind in used})
    axes = [(kind, f"stored {BYTES_LABELS[kind]} (MB, 10⁶ bytes)", "{:.2g} MB") for kind in used]
    return _trade_off(df, metric, axes)


@styled
def accuracy_by_time(df: pd.DataFrame, metric: str = "top1") -> Drawing:
    """Accuracy over seconds to distil the set and train one student on it; a row per dataset, student and clip."""
    distil = df["distill_seconds"].where(df["method"] != "full", df["distill_seconds"].fillna(0))  # nothing to distil
    df = df.assign(_seconds=distil + df["train_seconds"])
    return _trade_off(df, metric, [("_seconds", "distil and train one student (s)", "{:.0f} s")])


def costed(df: pd.DataFrame) -> pd.DataFrame:
    """The records that have a time of distillation and a peak memory; full data has nothing to distil."""
    return df[(df["method"] != "full") & df["distill_seconds"].notna() & df["peak_memory_mb"].notna()]


@styled
def accuracy_by_cost(df: pd.DataFrame, metric: str = "top1") -> Drawing:
    """TSGF's figure 1: accuracy over seconds to distil and, in a second panel, over peak memory where it differs.

    Records without a measured time or memory, and full data, are left out. On the CPU memory is that of the whole process,
    and so about the same for all; then it is one line above the panel.
    """
    df = costed(df)
    if df.empty:
        raise VddError("no record has both a time of distillation and a peak memory")
    df = df.assign(_seconds=df["distill_seconds"].clip(lower=SHORTEST), _memory=df["peak_memory_mb"].astype("float64"))
    low, high = df["_memory"].min(), df["_memory"].max()
    axes = [("_seconds", "time to distil (s)", ""), ("_memory", "peak memory (MB)", "")]
    if high <= ALIKE * low:
        fig = _trade_off(df, metric, axes[:1])
        remark(fig.axes[0], f"peak memory of all: {low:.0f} to {high:.0f} MB")
        return fig
    return _trade_off(df, metric, axes)


def _trade_off(df: pd.DataFrame, metric: str, axes: Sequence[tuple[str, str, str]]) -> Drawing:
    """Panels of accuracy over columns of records; axes: (column, label, how a value of full data is printed) each."""
    blocks = panels(df, metric)
    fig = drawing(3.4 * len(axes) + 2.2, (HEIGHT + 0.75) * len(blocks) + 0.3)
    ipcs = sorted(pd.concat([compared(part)["ipc"] for _, part in blocks]).dropna().unique()) or [1]
    grid = fig.subplots(len(blocks), len(axes), squeeze=False)
    for row, (title, part) in zip(grid, blocks, strict=True):
        for place, (ax, (column, label, printed)) in enumerate(zip(row, axes, strict=True)):
            last = place == len(axes) - 1
            _points(ax, compared(part), column, metric, ipcs, lambda drawn, text=label: log_axis(drawn, text), last)
            ax.set_title(title if place == 0 else "", pad=14)
            ax.set_ylabel(METRIC_LABELS.get(metric, metric) if place == 0 else "")
            if printed and full_data(part, metric) and compared(part) is not part:
                cost = part.loc[part["method"] == "full", column].mean()
                at = f" at {printed.format(cost)}" if pd.notna(cost) else ""
                remark(ax, f"full data: {full_data(part, metric)[0]:.1f}{at}")
    shades = [tint(GREY, strength(place, len(ipcs))) for place in range(len(ipcs))]
    handles = [
        Line2D([], [], marker="o", ls="", ms=5.5, mfc=shade, mec=GREY, label=f"IPC {ipc}")
        for shade, ipc in zip(shades, ipcs, strict=True)
    ]
    fig.legend(handles=handles, loc="outside lower right", ncols=len(handles), title=brackets(blocks), title_fontsize=8)
    return fig


def _points(
    ax: Axes,
    part: pd.DataFrame,
    column: str,
    metric: str,
    ipcs: list[int],
    scale: Callable[[Axes], None],
    labelled: bool,
) -> None:
    """A mark per method and IPC (mean ± std), those of a method joined; at the largest IPC its label where `labelled`."""
    ends = []
    for method in in_reading_order(part["method"]):
        mine = part[(part["method"] == method) & part[column].notna()]
        if mine.empty:
            continue
        groups = mine.groupby(mine["ipc"].fillna(ipcs[0]))
        xs, ys = groups[column].mean().astype(float), groups[metric].mean().astype(float)
        ax.plot(xs, ys, "-", color=tint(colour(method), 0.5), lw=0.8, zorder=2)
        for ipc, rows in groups:
            spread = {"yerr": std(rows[metric]), "ecolor": colour(method), "elinewidth": 0.8, "capsize": 1.5}
            shade = tint(colour(method), strength(ipcs.index(ipc), len(ipcs)))
            style = {"marker": marker(method), "ms": 6.5, "mfc": shade, "mec": colour(method), "mew": 0.9, "ls": ""}
            ax.errorbar(xs[ipc], ys[ipc], **spread, **style, zorder=3)
        ends.append((with_protocol(method, part), colour(method), xs.iloc[-1], ys.iloc[-1]))
    accuracy_axis(ax, part, metric)
    scale(ax)
    if labelled:
        label_column(ax, ends, HEIGHT)
