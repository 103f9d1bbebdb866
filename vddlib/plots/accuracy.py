"""Figures of records: accuracy by method, IPC, stored bytes, time and memory.

Every function takes records (a data frame as `results.load` gives it) and returns a figure, which Jupyter shows as the
last value of a cell; `save` writes it. Error bars are one sample standard deviation over seeds.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from vddlib.core.errors import VddError
from vddlib.plots.style import GREY, INK, Drawing, colour, drawing, marker, styled, tint
from vddlib.results.methods import method_rank, own_protocol
from vddlib.results.schema import chance, display

METRIC_LABELS = {"top1": "top-1 (%)", "top5": "top-5 (%)", "auc": "macro AUC (%)", "f1": "macro F1 (%)"}
BYTES_LABELS = {"bytes_float32": "as float32", "bytes_uint8": "as uint8", "bytes_video": "as encoded video"}
LARGEST = 600  # area of the mark of most memory, square points
PANEL = ["dataset", "protocol", "student", "frames", "size", "subset"]


@styled
def accuracy_by_method(df: pd.DataFrame, metric: str = "top1") -> Drawing:
    """A panel per setting: a bar per method and IPC (mean ± std), a dot per seed, lines for full data and chance."""
    panels = _panels(df, metric)
    most = max(_compared(part)["method"].nunique() for _, part in panels)
    ipcs = sorted(pd.concat([_compared(part)["ipc"] for _, part in panels]).fillna(0).unique())
    columns = 1 if most > 8 else min(len(panels), 2)
    rows = -(-len(panels) // columns)
    fig = drawing(max(4.6, min(11, 1.2 + 0.75 * most)) * columns, 3.1 * rows + 0.3)
    for place, (title, part) in enumerate(panels, 1):
        ax = fig.add_subplot(rows, columns, place)
        _bars(ax, _compared(part), metric, ipcs)
        _finish(ax, title, part, metric)
        ax.set_xlim(-0.6, max(most, 3) - 0.4)
        ax.grid(axis="x", visible=False)
    handles = [
        Patch(fc=tint(GREY, _strength(i, len(ipcs))), ec=GREY, label=f"IPC {n}") for i, n in enumerate(ipcs) if n
    ]
    handles.append(Line2D([], [], marker="o", ls="", ms=3, mfc="white", mec=INK, mew=0.7, label="one seed"))
    fig.legend(handles=handles, loc="outside upper right", ncols=len(handles), columnspacing=1.2)
    return fig


def _bars(ax: Axes, part: pd.DataFrame, metric: str, ipcs: list[int]) -> None:
    methods = _in_order(part["method"].unique())
    width = 0.8 / len(ipcs)
    for x, method in enumerate(methods):
        for place, ipc in enumerate(ipcs):
            values = part[(part["method"] == method) & (part["ipc"].fillna(0) == ipc)][metric].to_numpy(float)
            if len(values):
                at = x + (place - (len(ipcs) - 1) / 2) * width
                fill = tint(colour(method), _strength(place, len(ipcs)))
                ax.bar(at, values.mean(), width * 0.92, color=fill, edgecolor=colour(method), linewidth=0.7)
                _error(ax, at, values.mean(), _std(values))
                spread = np.linspace(-0.22, 0.22, len(values)) * min(width, 0.4) if len(values) > 1 else [0]
                ax.plot(at + np.asarray(spread), values, "o", ms=3, mfc="white", mec=INK, mew=0.7, zorder=4)
    ax.set_xticks(range(len(methods)), [display(m) for m in methods])
    if len(methods) > 4:
        ax.set_xticks(ax.get_xticks(), ax.get_xticklabels(), rotation=35, ha="right", rotation_mode="anchor")


@styled
def accuracy_by_ipc(df: pd.DataFrame, metric: str = "top1") -> Drawing:
    """A panel per setting: a line per method over clips per class, mean ± std."""

    def draw(ax: Axes, part: pd.DataFrame) -> None:
        ipcs = sorted(part["ipc"].dropna().unique()) or [1]
        ax.set_xscale("log")
        ax.set_xticks(ipcs, [str(ipc) for ipc in ipcs])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlim(min(ipcs) / 1.25, max(ipcs) * 1.25)
        ax.set_xlabel("clips per class (IPC)")

    return _curves(df, metric, [("ipc", draw)])


@styled
def accuracy_by_bytes(df: pd.DataFrame, metric: str = "top1", kinds: tuple[str, ...] = tuple(BYTES_LABELS)) -> Drawing:
    """A row per setting, a panel per way of storing (float32, uint8, encoded video): accuracy over size in MB."""

    def draw(kind: str):
        return lambda ax, part: _log_axis(ax, f"stored {BYTES_LABELS[kind]} (MB, 10⁶ bytes)")

    df = df.assign(**{kind: df[kind].astype("float64") / 1e6 for kind in kinds})
    used = [kind for kind in kinds if df[kind].notna().any()]
    return _curves(df, metric, [(kind, draw(kind)) for kind in used])


@styled
def accuracy_by_time(df: pd.DataFrame, metric: str = "top1") -> Drawing:
    """A panel per setting: accuracy over seconds to distil the set and train one student on it."""
    distil = df["distill_seconds"].where(df["method"] != "full", df["distill_seconds"].fillna(0))  # nothing to distil
    df = df.assign(_seconds=distil + df["train_seconds"])
    return _curves(df, metric, [("_seconds", lambda ax, part: _log_axis(ax, "distil and train one student (s)"))])


def costed(df: pd.DataFrame) -> pd.DataFrame:
    """The records that have a time of distillation and a peak memory; full data has nothing to distil."""
    return df[(df["method"] != "full") & df["distill_seconds"].notna() & df["peak_memory_mb"].notna()]


@styled
def accuracy_by_cost(df: pd.DataFrame, metric: str = "top1") -> Drawing:
    """TSGF's figure 1: accuracy over seconds to distil, the area of a mark is peak memory; a panel per student and clip.

    Each method is shown under its own paper's protocol (where it was run under that one), which the legend names. Records
    without a measured time or memory, and full data, have no mark. On the CPU memory is the process's.
    """
    df = costed(df)
    if df.empty:
        raise VddError("no record has both a time of distillation and a peak memory")
    df = df.assign(_seconds=df["distill_seconds"].clip(lower=0.1))  # coresets without a network: next to nothing
    df = _own(df)
    most = df["peak_memory_mb"].max()
    panels = _panels(df, metric)
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    fig = drawing(4.6 * columns + 1.6, 3.3 * rows + 0.3)
    for place, (title, part) in enumerate(panels, 1):
        ax = fig.add_subplot(rows, columns, place)
        for (method, ipc), mine in part.groupby(["method", "ipc"]):
            at = mine["_seconds"].mean(), mine[metric].mean()
            area = LARGEST * mine["peak_memory_mb"].mean() / most
            ax.errorbar(*at, yerr=_std(mine[metric]), ecolor=colour(method), capsize=2, elinewidth=0.8, zorder=2)
            edge = "--" if "[" in method else "-"
            ax.scatter(*at, s=area, color=tint(colour(method), 0.45), edgecolor=colour(method), ls=edge, zorder=3)
            ax.annotate(str(ipc), at, ha="center", va="center", fontsize=7, color=INK, zorder=4)
        _log_axis(ax, "time to distil (s)")
        _finish(ax, title, part, metric)
    order = _in_order(df["method"].unique())
    handles = [Line2D([], [], marker="o", ls="", ms=7, mfc=tint(colour(m), 0.45), mec=colour(m)) for m in order]
    size = max(1, round(most, -int(np.floor(np.log10(most)))))
    handles.append(Line2D([], [], marker="o", ls="", ms=(LARGEST * size / most) ** 0.5, mfc="none", mec=GREY))
    by = df.groupby("method")["_protocol"].first()
    labels = [*(f"{display(m)} ({by[m]})" for m in order), f"area: {size:g} MB\nnumbers: IPC"]
    fig.legend(handles=handles, labels=labels, loc="outside right center", labelspacing=0.8)
    return fig


def _own(df: pd.DataFrame) -> pd.DataFrame:
    """Each method's rows under its own protocol alone, if there are any; else under the first it has."""
    parts = []
    for (method, *_), rows in df.groupby(["method", *(c for c in PANEL if c in df and c != "protocol")], dropna=False):
        own = rows[rows["protocol"] == own_protocol(method)]
        parts.append(rows[rows["protocol"] == rows["protocol"].iloc[0]] if own.empty else own)
    df = pd.concat(parts).sort_index()
    return df.assign(_protocol=df["protocol"], protocol="")


def _curves(df: pd.DataFrame, metric: str, axes: list[tuple]) -> Drawing:
    if not axes:
        raise VddError("no record has a measured value on the x axis of this figure")
    panels = _panels(df, metric)
    columns = len(axes) if len(axes) > 1 else min(len(panels), 2)
    rows = len(panels) if len(axes) > 1 else -(-len(panels) // columns)
    methods = pd.concat([part["method"] for _, part in panels]).nunique()
    fig = drawing(3.5 * columns + 1.5, max(3.0 * rows + 0.2, 0.19 * methods + 0.3))
    seen: dict[str, Line2D] = {}
    for number, (title, part) in enumerate(panels):
        for place, (x, draw) in enumerate(axes):
            ax = fig.add_subplot(rows, columns, number * len(axes) + place + 1)
            for method, mine in part.groupby("method", sort=False):
                if x != "ipc" or method != "full":
                    _curve(ax, method, mine, x, metric, seen)
            draw(ax, part)
            _finish(ax, title if place == 0 else "", part, metric, label_full=x == "ipc")
            ax.set_ylabel(METRIC_LABELS.get(metric, metric) if place == 0 else "")
    order = _in_order(seen)
    fig.legend(handles=[seen[m] for m in order], labels=[display(m) for m in order], loc="outside right center")
    return fig


def _curve(ax: Axes, method: str, rows: pd.DataFrame, x: str, metric: str, seen: dict[str, Line2D]) -> None:
    rows = rows[rows[x].notna()]
    if rows.empty:
        return
    groups = rows.groupby(rows["ipc"].fillna(0))
    xs, means = groups[x].mean().astype(float), groups[metric].mean()
    stds = groups[metric].std().fillna(0)
    dashes = "" if method == "full" else "--" if "[" in method else "-"
    style = {"color": colour(method), "marker": marker(method), "ls": dashes, "ms": 9 if method == "full" else 5.5}
    style |= {"mec": "white", "mew": 0.5}
    ax.errorbar(xs, means, yerr=stds, fmt="none", ecolor=colour(method), capsize=2.5, elinewidth=1)
    ax.plot(xs, means, **style)
    seen.setdefault(method, Line2D([], [], **style))


def _panels(df: pd.DataFrame, metric: str) -> list[tuple[str, pd.DataFrame]]:
    """(title, rows) per dataset, protocol, student and part; those with full data alone only if there are no others."""
    if metric not in df or df[metric].notna().sum() == 0:
        raise VddError(f"no record has a value in column '{metric}'")
    df = df[df[metric].notna()]
    keys = [c for c in PANEL if c in df]
    parts = [part for _, part in df.groupby(keys, dropna=False, sort=False)]
    rich = [part for part in parts if not (part["method"] == "full").all()] or parts
    for part in rich:
        _refuse_mixture(part)
    titles = [_title(part.iloc[0]) for part in rich]
    if len(set(titles)) < len(titles):  # several clip geometries
        titles = [f"{t} · {p['frames'].iloc[0]}×{p['size'].iloc[0]}²" for t, p in zip(titles, rich, strict=True)]
    return list(zip(titles, rich, strict=True))


def _refuse_mixture(part: pd.DataFrame) -> None:
    """A mean over different settings would mean nothing: say which column to choose from first."""
    for column in (c for c in ("teacher", "epochs", "variant") if c in part):
        several = part.groupby(["method", "ipc"], dropna=False)[column].nunique(dropna=False)
        if (several > 1).any():
            method = several[several > 1].index[0][0]
            values = ", ".join(map(str, part.loc[part["method"] == method, column].unique()))
            raise VddError(
                f"'{method}' has several {column} in one panel ({values}): choose one, df[df.{column} == ...]"
            )


def _title(row: pd.Series) -> str:
    names = [display(row["dataset"]), row.get("subset", ""), row["protocol"] and f"protocol {row['protocol']}"]
    student = display(row["student"])
    apart = "\n" if len(student) > 16 else " · "  # options of a network need a line of their own
    return " · ".join(name for name in names if name) + apart + student


def _compared(part: pd.DataFrame) -> pd.DataFrame:
    """The rows to draw as bars: full data is a line, unless there is nothing else."""
    others = part[part["method"] != "full"]
    return part if others.empty else others


def _finish(ax: Axes, title: str, part: pd.DataFrame, metric: str, label_full: bool = True) -> None:
    """Title, axis from zero, and the lines that give an accuracy its meaning: full data and chance."""
    full = part[part["method"] == "full"][metric]
    guess = {"top1": chance(part["dataset"].iloc[0]), "auc": 50.0}.get(metric)
    top = max(part[metric].max() * 1.08, (guess or 0) * 1.3)
    ax.set_ylim(0, min(top, 104))
    if len(full) and label_full:
        ax.axhspan(full.mean() - _std(full), full.mean() + _std(full), color="#000000", alpha=0.08, lw=0)
        _line(ax, full.mean(), "full data", "-")
    if guess:
        _line(ax, guess, "chance", ":")
    ax.set_ylabel(METRIC_LABELS.get(metric, metric))
    ax.set_title(title)


def _line(ax: Axes, y: float, text: str, dashes: str) -> None:
    ax.axhline(y, color=INK, lw=0.9, ls=dashes, zorder=1.5)
    ax.annotate(
        f"{text}\n{y:.1f}", (1, y), (3, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
        ha="left", va="center", fontsize=7, color=INK, annotation_clip=False,
    )  # fmt: skip


def _log_axis(ax: Axes, label: str) -> None:
    ax.set_xscale("log")
    ax.margins(x=0.12)
    low, high = ax.get_xlim()
    near = high / low < 50  # under two decades, powers of ten alone would leave one label or none
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if near else (1,)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel(label)


def _error(ax: Axes, x: float, y: float, std: float) -> None:
    if std > 0:
        ax.errorbar(x, y, yerr=std, color=INK, capsize=2.5, elinewidth=1, capthick=1, zorder=3)


def _in_order(methods: Iterable[str]) -> list[str]:
    return sorted(methods, key=lambda m: (method_rank(m), m))


def _std(values) -> float:
    """Sample standard deviation; 0 (no bar) for one value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _strength(place: int, count: int) -> float:
    return 0.75 if count == 1 else 0.35 + 0.5 * place / (count - 1)
