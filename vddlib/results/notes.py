"""The lines under a main table: where published values are from, and what is unusual about these runs."""

from collections import Counter

import pandas as pd

from vddlib.results.compare import SAME, SPLIT_NOTE, STANDS_FOR, compare
from vddlib.results.schema import display, headline


def under(
    shown: pd.DataFrame,
    alone: pd.DataFrame,
    metric: str | None = None,
    absent: set[str] = frozenset(),
    protocol: str = "",
) -> list[str]:
    """At most five lines of notes on the records `shown` in a table.

    alone: records of full data by students that nothing else was measured with; absent: methods without a record under
    the table's one `protocol`.
    """
    left_out = " ".join(filter(None, (_alone(alone, metric), _absent(absent, protocol))))
    lines = [_published(shown), _recipes(shown), _distillation(shown), _lost(shown), left_out]
    return [line for line in lines if line]


def _published(df: pd.DataFrame) -> str:
    """On which datasets the published values were measured, where that is not ours."""
    beside = compare(df.drop(columns=["variant"], errors="ignore"))
    texts = []
    for name in beside.loc[beside["published_on"] != "", "dataset"].unique():
        theirs = STANDS_FOR.get(name, name)
        if theirs != name and name not in SAME:
            texts.append(f"{display(theirs)} (ours: {display(name)})")
    text = f"Published values are measured on another dataset, {', '.join(texts)}: compare the order, not the level."
    split = f"HMDB51: {SPLIT_NOTE}." if "hmdb51" in set(df["dataset"]) else ""
    return " ".join(filter(None, (text if texts else "", split)))


def _recipes(df: pd.DataFrame) -> str:
    """On the values in which these runs depart from the published recipe of their protocol."""
    from vddlib.evaluation import PROTOCOLS

    texts = []
    for name, rows in df.groupby("protocol", sort=False):
        recipe = PROTOCOLS[name].recipe.model_dump() if name in PROTOCOLS else {}
        changed = []
        for column in ("epochs", "lr", "batch_size"):
            ours = sorted(rows[column].dropna().unique()) if column in rows else []
            if recipe and [value for value in ours if value != recipe[column]]:
                values = " or ".join(f"{value:g}" for value in ours)
                changed.append(f"{column} {values} (published {recipe[column]:g})")
        if changed:
            texts.append(f"{name}: {', '.join(changed)}")
    return f"Protocols depart here from their published recipes. {'; '.join(texts)}." if texts else ""


def _distillation(df: pd.DataFrame) -> str:
    """On methods that optimise for another number of iterations, or at another rate, than they do by default."""
    from vddlib.distillers import DISTILLERS

    texts = []
    for method, rows in df.groupby("method", sort=False):
        name = method.partition("[")[0].partition("+")[0]
        fields = DISTILLERS[name].model_fields if name in DISTILLERS else {}
        for column in (name for name in ("iterations", "lr_pixels") if name in fields and name in rows):
            ours = sorted(rows[column].dropna().unique())
            if [value for value in ours if value != fields[column].default]:
                values = " or ".join(f"{value:g}" for value in ours)
                texts.append(f"{display(method)} {column} {values} (default {fields[column].default:g})")
    return f"Distillation departs here from the methods' defaults: {', '.join(texts)}." if texts else ""


def _lost(df: pd.DataFrame) -> str:
    """On students that ended unable to classify their own training clips: diverged, or collapsed to guessing.

    Of those that learn soft labels this is less certain: the labels may name other classes than the clips'.
    """
    from vddlib.evaluation import PROTOCOLS

    if "train_top1" not in df:
        return ""
    lost = df[df["train_top1"] < 50]
    soft = lost["protocol"].isin([name for name, one in PROTOCOLS.items() if one.labels != "hard"])
    texts = []
    for students, why in (
        (lost[~soft], "diverged or collapsed"),
        (lost[soft], "soft labels: collapsed, or taught other classes"),
    ):
        ipcs = ["" if pd.isna(ipc) else f" IPC {ipc}" for ipc in students["ipc"]]
        counts = Counter(f"{display(method)}{ipc}" for method, ipc in zip(students["method"], ipcs, strict=True))
        if counts:
            texts.append(f"{', '.join(f'{name} ({count})' for name, count in counts.items())} ({why})")
    return f"Students below 50 % on their own training clips at the end: {'; '.join(texts)}." if texts else ""


def _alone(df: pd.DataFrame, metric: str | None) -> str:
    texts = []
    for (dataset, student, protocol), rows in df.groupby(["dataset", "student", "protocol"], sort=False):
        values = rows[metric or headline(dataset)].astype(float)
        seeds = f"{len(values)} seed{'s' if len(values) != 1 else ''}"
        texts.append(f"{display(student)} on {display(dataset)} {values.mean():.1f} (protocol {protocol}, {seeds})")
    return f"Full data with other students: {', '.join(texts)}." if texts else ""


def _absent(methods: set[str], protocol: str) -> str:
    names = ", ".join(sorted(map(display, methods)))
    return f"Without a record under protocol {protocol}: {names}." if names else ""
