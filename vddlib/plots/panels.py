"""What figures of records share: the records of a panel, its title, the lines that give accuracies their meaning, labels."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from vddlib.core.errors import VddError
from vddlib.plots.style import GREY, INK, tint
from vddlib.results.methods import own_protocol
from vddlib.results.schema import chance, display
from vddlib.results.select import BLOCK, to_compare, under_own_protocol

METRIC_LABELS = {"top1": "top-1 (%)", "top5": "top-5 (%)", "auc": "macro AUC (%)", "f1": "macro F1 (%)"}
LINE_POINTS = 10.5  # height of a line of labels, points


def panels(df: pd.DataFrame, metric: str) -> list[tuple[str, pd.DataFrame]]:
    """(title, records) per dataset, student, clip and part of the classes, each method under its own protocol.

    Parts with full data alone are left out, unless there are no others. Raises VddError where no record has a value, or
    where one method has several training lengths, teachers or variants in one place.
    """
    if metric not in df or df[metric].notna().sum() == 0:
        raise VddError(f"no record has a value in column '{metric}'")
    df = under_own_protocol(df[df[metric].notna()])
    keys = [column for column in [*BLOCK, "subset"] if column in df]
    rich, _ = to_compare(df, keys)
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
    names = [display(row["dataset"]), row.get("subset", ""), display(row["student"])]
    return " · ".join(name for name in names if name)


def compared(part: pd.DataFrame) -> pd.DataFrame:
    """The records to draw: full data is a line or a remark, unless there is nothing else."""
    others = part[part["method"] != "full"]
    return part if others.empty else others


def with_protocol(method: str, part: pd.DataFrame) -> str:
    """'TSGF (D)'; a protocol that is not the method's own is marked, 'TSGF (A!)'."""
    protocol = part.loc[part["method"] == method, "protocol"].iloc[0]
    return f"{display(method)} ({protocol}{'' if protocol == own_protocol(method) else '!'})"


def brackets(blocks: Sequence[tuple[str, pd.DataFrame]]) -> str:
    """What the brackets after methods' names mean, for a legend."""
    foreign = any(
        own_protocol(method) != protocol
        for _, part in blocks
        for method, protocol in zip(part["method"], part["protocol"], strict=True)
    )
    return "in brackets: protocol" + (", ! where it is not the method's own" if foreign else "")


def guess(part: pd.DataFrame, metric: str) -> float | None:
    """What guessing has in this metric, percent; None where that is not known."""
    return {"top1": chance(part["dataset"].iloc[0]), "auc": 50.0}.get(metric)


def full_data(part: pd.DataFrame, metric: str) -> tuple[float, float] | None:
    """Mean and standard deviation of full data, percent; None where it was not measured."""
    values = part.loc[part["method"] == "full", metric].astype(float)
    return (values.mean(), std(values)) if len(values) else None


def accuracy_axis(ax: Axes, part: pd.DataFrame, metric: str, label_chance: bool = True) -> None:
    """An axis from zero to above the best method, with the line of chance."""
    shown, guessed = compared(part), guess(part, metric)
    highest = shown.groupby(["method", shown["ipc"].fillna(0)])[metric].agg(lambda values: values.mean() + std(values))
    ax.set_ylim(0, min(max(highest.max() * 1.1, (guessed or 0) * 1.3), 104))
    if guessed:
        ax.axhline(guessed, color=INK, lw=0.9, ls=":", zorder=1.5)
        if label_chance:
            ax.annotate(
                f"chance {guessed:.1f}", (1, guessed), (-3, -2), xycoords=("axes fraction", "data"),
                textcoords="offset points", fontsize=7, color=INK, va="top", ha="right",
            )  # fmt: skip


def log_axis(ax: Axes, label: str) -> None:
    """A logarithmic x axis with plain numbers."""
    ax.set_xscale("log")
    ax.margins(x=0.12)
    low, high = ax.get_xlim()
    near = high / low < 500  # over few decades, powers of ten alone would leave one label or none
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if near else (1,)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel(label)


def ipc_axis(ax: Axes, ipcs: Sequence[int]) -> None:
    """A logarithmic x axis with a tick at every IPC."""
    ax.set_xscale("log")
    ax.set_xticks(ipcs, [str(ipc) for ipc in ipcs])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlim(min(ipcs) / 1.5, max(ipcs) * 1.5)


def label_column(ax: Axes, labels: Sequence[tuple[str, str, float, float]], height: float) -> None:
    """Labels in a column at the right of the axes, each level with its point or moved off its neighbours.

    labels: (text, colour, x, y) each, x and y in data; height: of the axes, inches (about). A pale line leads from each
    point to its label. Limits and scales of the axes have to be set before.
    """
    if not labels:
        return
    level = [ax.transAxes.inverted().transform(ax.transData.transform((x, y)))[1] for _, _, x, y in labels]
    order = np.argsort(level)
    places = spread(np.asarray(level)[order], LINE_POINTS / 72 / height)
    for place, number in zip(places, order, strict=True):
        text, colour, x, y = labels[number]
        line = {"arrowstyle": "-", "color": tint(colour, 0.5), "lw": 0.7, "shrinkA": 0, "shrinkB": 3}
        ax.annotate(
            text, (x, y), (1.03, place), xycoords="data", textcoords="axes fraction", va="center", ha="left", fontsize=8,
            color=colour, arrowprops=line | {"relpos": (0, 0.5)}, annotation_clip=False, zorder=1,
        )  # fmt: skip


def spread(places: np.ndarray, gap: float) -> np.ndarray:
    """Ascending places moved as little as needed to lie at least `gap` apart, their centre kept where they crowd.

    Neighbours that are too close join into groups, which are spaced evenly around their mean and join in turn.
    """
    groups = [[place] for place in places]
    merged = True
    while merged:
        merged = False
        for number in range(len(groups) - 1):
            below, above = groups[number], groups[number + 1]
            top = np.mean(below) + gap * (len(below) - 1) / 2
            bottom = np.mean(above) - gap * (len(above) - 1) / 2
            if bottom - top < gap - 1e-12:
                groups[number : number + 2] = [below + above]
                merged = True
                break
    spaced = [np.mean(group) + gap * (np.arange(len(group)) - (len(group) - 1) / 2) for group in groups]
    return np.concatenate(spaced) if spaced else np.asarray(places)


def std(values) -> float:
    """Sample standard deviation; 0 (no bar) for one value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def strength(place: int, count: int) -> float:
    """How strong the tint of the `place`-th of `count` IPCs is, 0 to 1: the more clips, the stronger."""
    return 0.75 if count == 1 else 0.2 + 0.7 * place / (count - 1)


def remark(ax: Axes, text: str) -> None:
    """A line of small grey text above the axes, at the right."""
    ax.annotate(text, (1, 1), (0, 3), xycoords="axes fraction", textcoords="offset points", fontsize=7, color=GREY,
                ha="right", va="bottom", annotation_clip=False)  # fmt: skip
