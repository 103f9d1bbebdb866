"""The table a reader sees first: a row per method, a column per IPC, the published value beside."""

from collections import Counter
from pathlib import Path

import pandas as pd

from vddlib.core import provenance
from vddlib.core.errors import VddError
from vddlib.results.compare import SPLIT_NOTE, compare
from vddlib.results.methods import method_rank
from vddlib.results.records import load
from vddlib.results.schema import chance, display, headline
from vddlib.results.write import Block, origin, write_table

BLOCK = ["dataset", "protocol", "student", "frames", "size"]
NAMES = {"top1": "top-1", "top5": "top-5", "auc": "macro AUC", "f1": "macro F1"}
APART = ["teacher", "epochs", "variant"]  # named in the row where one method has several in the same cell


def main_table(scale: str, root: str | Path | None = None, metric: str | None = None) -> list[Path]:
    """Write figures/SCALE/table.{md,csv,tex,json}: methods x IPC, a block per dataset, protocol, student and clip.

    In `metric`, or in the one that papers report on each dataset.

    Returns the four paths; the first is the Markdown that the batch prints at its end.
    """
    df = load(scale, root)
    blocks, notes = blocks_of(df, metric)
    folder = (Path(root) if root else provenance.project_root()) / "figures" / scale
    used = [metric] if metric else sorted({headline(name) for name in df["dataset"]})
    header = f"Scale {scale}: {' or '.join(NAMES.get(one, one) for one in used)} in percent, mean (std over seeds)"
    return write_table(blocks, folder, "table", origin(df, scale), header, notes)


def blocks_of(df: pd.DataFrame, metric: str | None = None) -> tuple[list[Block], list[str]]:
    """Blocks of the main table and the notes that stand under them.

    Settings with several methods get a block each; settings where only the full data was trained share the last one.
    Rows measured on a part of the classes (column `subset`) are left to other tables.
    """
    if "subset" in df:
        df = df[df["subset"].fillna("") == ""]
    table = compare(df, metric)
    if table.empty:
        raise VddError(f"no record of this scale has a value in column '{metric or 'top1'}'")
    blocks, alone, notes = [], [], []
    for (dataset, *_), part in table.groupby(BLOCK, dropna=False, sort=False):
        if (part["method"] == "full").all():
            alone.append(part)
        else:
            blocks.append(Block(_header(part, metric or headline(dataset)), _grid(part)))
            notes += _notes(part)
    if alone:
        blocks.append(Block("Full data, other settings", _alone(pd.concat(alone))))
    notes += [*_departures(df), *_shortened(df), *_lost(df)]
    return blocks, list(dict.fromkeys(notes))


def _departures(df: pd.DataFrame) -> list[str]:
    """A note per protocol on the values in which these runs depart from its published recipe."""
    from vddlib.evaluation import PROTOCOLS

    notes = []
    for name, rows in df.groupby("protocol", sort=False):
        recipe = PROTOCOLS[name].recipe.model_dump() if name in PROTOCOLS else {}
        apart = []
        for column in ("epochs", "lr", "batch_size"):
            ours = sorted(rows[column].dropna().unique()) if column in rows else []
            if recipe and [value for value in ours if value != recipe[column]]:
                apart.append(f"{column} {' or '.join(f'{value:g}' for value in ours)} (published {recipe[column]:g})")
        if apart:
            notes.append(f"Protocol {name} departs here from its published recipe: {', '.join(apart)}.")
    return notes


def _shortened(df: pd.DataFrame) -> list[str]:
    """A note on methods that optimise for another number of iterations, or at another rate, than they do by default."""
    from vddlib.distillers import DISTILLERS

    apart = []
    for method, rows in df.groupby("method", sort=False):
        fields = DISTILLERS[method].model_fields if method in DISTILLERS else {}
        for column in (name for name in ("iterations", "lr_pixels") if name in fields and name in rows):
            ours = sorted(rows[column].dropna().unique())
            if [value for value in ours if value != fields[column].default]:
                text = " or ".join(f"{value:g}" for value in ours)
                apart.append(f"{display(method)} {column} {text} (default {fields[column].default:g})")
    return [f"Distillation departs here from the methods' defaults: {', '.join(apart)}."] if apart else []


def _lost(df: pd.DataFrame) -> list[str]:
    """Notes on students that ended unable to classify their own training clips: diverged, or collapsed to guessing.

    Of those that learn soft labels this is less certain: the labels may name other classes than the clips'.
    """
    from vddlib.evaluation import PROTOCOLS

    if "train_top1" not in df:
        return []
    notes, lost = [], df[df["train_top1"] < 50]
    soft = lost["protocol"].isin([name for name, one in PROTOCOLS.items() if one.labels != "hard"])
    for some, why in (
        (lost[~soft], "diverged or collapsed"),
        (lost[soft], "soft labels: collapsed, or taught other classes"),
    ):
        names = [
            f"{display(m)}{f' IPC {i}' if pd.notna(i) else ''}"
            for m, i in zip(some["method"], some["ipc"], strict=True)
        ]
        if names:
            which = ", ".join(f"{name} ({count})" for name, count in Counter(names).items())
            notes.append(f"Students below 50 % on their own training clips at the end ({why}): {which}.")
    return notes


def cell(mean: float, std: float, decimals: int = 1) -> str:
    """'45.2 (1.1)'; without the brackets where there is no std."""
    return f"{mean:.{decimals}f}" + ("" if pd.isna(std) else f" ({std:.{decimals}f})")


def _clip(row: pd.Series) -> str:
    return f"{row['frames']} frames of {row['size']}x{row['size']}" if pd.notna(row["frames"]) else "clips as stored"


def _usual_n(part: pd.DataFrame) -> int:
    return Counter(part["n"]).most_common(1)[0][0]


def _header(part: pd.DataFrame, metric: str) -> str:
    row, n, guess = part.iloc[0], _usual_n(part), chance(part["dataset"].iloc[0])
    epochs = sorted(part["epochs"].dropna().unique())
    facts = [
        display(row["dataset"]),
        f"protocol {row['protocol']}",
        display(row["student"]),
        _clip(row),
        f"{' or '.join(map(str, epochs))} epochs" if epochs else "",
        f"{n} seed{'s' if n != 1 else ''}",
        NAMES.get(metric, metric) if metric != "top1" else "",
        f"chance {guess:.1f}" if guess and metric == "top1" else "",
    ]
    return " · ".join(fact for fact in facts if fact)


def _grid(part: pd.DataFrame) -> pd.DataFrame:
    """Methods x IPC, as text."""
    part = part.assign(row=_row_names(part), column=[_column(ipc) for ipc in part["ipc"]])
    ipcs = sorted(part["ipc"].dropna().unique())
    columns = [*(_column(ipc) for ipc in ipcs), *(["all data"] if part["ipc"].isna().any() else [])]
    usual, theirs = _usual_n(part), _published_name(part)
    heading = f"{theirs}, IPC {' / '.join(map(str, ipcs))}" if ipcs else theirs
    rows = []
    names = part.assign(rank=part["method"].map(method_rank)).sort_values("rank", kind="stable")["row"].unique()
    for name in names:
        mine = part[part["row"] == name].drop_duplicates("column").set_index("column")
        row = {"method": name}
        for column in columns:
            found = mine.loc[column] if column in mine.index else None
            odd = "" if found is None or found["n"] == usual else f" n={found['n']}"
            row[column] = "" if found is None else cell(found["mean"], found["std"]) + odd
        if theirs:
            row[heading] = _published_cell(mine, columns, theirs)
        rows.append(row)
    return pd.DataFrame(rows)


def _column(ipc) -> str:
    return "all data" if pd.isna(ipc) else f"IPC {ipc}"


def _row_names(part: pd.DataFrame) -> list[str]:
    """Names in print, told apart by teacher, epochs or variant where one method has several of them at one IPC."""
    names = [display(method) for method in part["method"]]
    for column in (c for c in APART if c in part):
        several = part.groupby(["method", "ipc"], dropna=False)[column].transform(lambda v: v.nunique(dropna=False)) > 1
        methods = set(part.loc[several, "method"])
        for place, (method, value) in enumerate(zip(part["method"], part[column], strict=True)):
            if column == "variant":  # always named, never taken for the plain method
                names[place] += f", {value}" if value else ""
            elif method in methods:
                names[place] += f", {value} epochs" if column == "epochs" else f", {value or 'no teacher'}"
    return names


def _published_name(part: pd.DataFrame) -> str:
    """Heading of the published column: dataset and usual protocol; '' where nothing was published."""
    names = Counter(name for name in part["published_on"] if name)
    return names.most_common(1)[0][0] if names else ""


def _published_cell(mine: pd.DataFrame, columns: list[str], usual: str) -> str:
    """Published values in the order of our columns; a protocol other than the heading's in square brackets."""
    found = mine[mine["published_on"] != ""]
    if found.empty:
        return ""
    name = found["published_on"].iloc[0]
    other = "" if name == usual else f" [{name.rstrip(')').split(', ')[-1]}]"
    if "all data" in found.index:
        return cell(found["published_mean"].iloc[0], found["published_std"].iloc[0]) + other
    cells = [c for c in columns if c != "all data"]
    texts = [cell(*found.loc[c, ["published_mean", "published_std"]]) if c in found.index else "–" for c in cells]
    return " / ".join(texts) + other


def _notes(part: pd.DataFrame) -> list[str]:
    theirs = _published_name(part)
    if not theirs:
        return []
    ours = display(part["dataset"].iloc[0])
    notes = []
    if part["difference"].isna().all():
        notes.append(f"The published values beside {ours} are on another dataset: compare the order, not the level.")
    protocols = {name.rstrip(")").split(", ")[-1] for name in part["published_on"] if name}
    mine = part["protocol"].iloc[0]
    if protocols - {mine}:
        notes.append(f"Published under protocol {', '.join(sorted(protocols))}; ours in the block of {ours}: {mine}.")
    if part["dataset"].iloc[0] == "hmdb51":
        notes.append(f"HMDB51: {SPLIT_NOTE}.")
    return notes


def _alone(part: pd.DataFrame) -> pd.DataFrame:
    rows = [
        {
            "dataset": display(row["dataset"]),
            "protocol": row["protocol"],
            "student": display(row["student"]),
            "clip": _clip(row),
            "epochs": "" if pd.isna(row["epochs"]) else str(row["epochs"]),
            "all data": cell(row["mean"], row["std"]),
            "seeds": str(row["n"]),
        }
        for _, row in part.iterrows()
    ]
    return pd.DataFrame(rows)
