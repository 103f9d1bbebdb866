"""The two tables a reader sees first: every method under its own protocol, and every method under one protocol."""

from collections import Counter
from pathlib import Path

import pandas as pd

from vddlib.core import provenance
from vddlib.core.errors import VddError
from vddlib.results import notes, select
from vddlib.results.compare import compare
from vddlib.results.records import load
from vddlib.results.schema import chance, display, headline
from vddlib.results.write import Block, cell, origin, write_table

NAMES = {"top1": "top-1", "top5": "top-5", "auc": "macro AUC", "f1": "macro F1"}
COLUMNS = "Ours: IPC n is the method, random n random real clips under the same protocol, difference n the method minus random"


def main_table(scale: str, root: str | Path | None = None, metric: str | None = None) -> list[Path]:
    """Write figures/SCALE/table.{md,csv,tex,json}, each method under its own protocol, and table_one_protocol.* beside it.

    In `metric`, or in the one that papers report on each dataset. Returns the eight paths: the four of the first table,
    then the four of the second; the first is the Markdown that the batch prints at its end.
    """
    df = select.of_papers(load(scale, root))
    folder = (Path(root) if root else provenance.project_root()) / "figures" / scale
    used = [metric] if metric else sorted({headline(name) for name in df["dataset"]})
    unit = f"{' or '.join(NAMES.get(one, one) for one in used)} in percent, mean (standard deviation over seeds)"
    both = f"{COLUMNS}, paired by seed."
    own, under_own = own_protocol_blocks(df, metric)
    one, under_one, protocol = one_protocol_blocks(df, metric)
    header = f"Scale {scale}, every method under the protocol of its own paper: {unit}. {both}"
    paths = write_table(own, folder, "table", origin(df, scale), header, under_own)
    header = f"Scale {scale}, every method under protocol {protocol}: {unit}. {both}"
    return [*paths, *write_table(one, folder, "table_one_protocol", origin(df, scale), header, under_one)]


def own_protocol_blocks(df: pd.DataFrame, metric: str | None = None) -> tuple[list[Block], list[str]]:
    """Blocks of the table of own protocols (one per dataset, student and clip), and at most five lines of notes."""
    rows = select.usual_runs(select.under_own_protocol(_measured(select.plain(df), metric)))
    blocks, shown, alone = _blocks(rows, df, metric, with_protocol=True)
    return blocks, notes.under(shown, alone, metric)


def one_protocol_blocks(
    df: pd.DataFrame, metric: str | None = None, protocol: str | None = None
) -> tuple[list[Block], list[str], str]:
    """The same with every method under one protocol, by default the one that `select.common_protocol` finds.

    Returns blocks, notes, and the protocol. Published values are shown where they were measured under that protocol.
    """
    measured = _measured(df, metric)
    protocol = protocol or select.common_protocol(measured)
    rows = select.usual_runs(select.under_one_protocol(measured, protocol))
    if rows.empty:
        raise VddError(f"no method has records under protocol {protocol}")
    blocks, shown, alone = _blocks(rows, df, metric, with_protocol=False)
    absent = set(select.plain(measured)["method"]) - set(rows["method"])
    return blocks, notes.under(shown, alone, metric, absent, protocol), protocol


def _measured(df: pd.DataFrame, metric: str | None) -> pd.DataFrame:
    """The rows that have a value of the metric (None: of each dataset's own)."""
    found = pd.Series([_value(row, metric) is not None for row in df.to_dict("records")], index=df.index, dtype=bool)
    if not found.any():
        raise VddError(f"no record of this scale has a value in column '{metric or 'top1'}'")
    return df[found]


def _value(row: dict, metric: str | None) -> float | None:
    value = row.get(metric or headline(row["dataset"]))
    return None if value is None or pd.isna(value) else float(value)


def _blocks(rows: pd.DataFrame, df: pd.DataFrame, metric: str | None, with_protocol: bool):
    """Blocks of several methods; the rows that they show; and those of students that only the full data was trained on
    (all of them, where there is nothing else, are blocks too)."""
    rich, alone = select.to_compare(rows, select.BLOCK)
    blocks = []
    for part in rich:
        used = metric or headline(part["dataset"].iloc[0])
        blocks.append(Block(_caption(part, used), _grid(part, df, used, with_protocol)))
    return blocks, pd.concat(rich), pd.concat(alone) if alone else rows.iloc[:0]


def _caption(part: pd.DataFrame, metric: str) -> str:
    row, guess = part.iloc[0], chance(part["dataset"].iloc[0])
    seeds = _usual_seeds(part)
    clip = f"{row['frames']} frames of {row['size']}x{row['size']}" if pd.notna(row["frames"]) else "clips as stored"
    facts = [
        display(row["dataset"]),
        f"student {display(row['student'])}",
        clip,
        _epochs(part),
        f"{seeds} seed{'s' if seeds != 1 else ''}",
        NAMES.get(metric, metric),
        f"chance {guess:.1f}" if guess and metric == "top1" else "",
    ]
    return " · ".join(fact for fact in facts if fact)


def _epochs(part: pd.DataFrame) -> str:
    """'100 epochs (full data 30)'."""
    is_full = part["method"] == "full"
    distilled, full = (sorted(part[chosen]["epochs"].dropna().unique()) for chosen in (~is_full, is_full))
    text = f"{' or '.join(map(str, distilled or full))} epochs" if distilled or full else ""
    return text + (f" (full data {' or '.join(map(str, full))})" if distilled and full and distilled != full else "")


def _usual_seeds(part: pd.DataFrame) -> int:
    counts = part.groupby(["method", "ipc"], dropna=False)["seed"].nunique()
    return Counter(counts).most_common(1)[0][0]


def _grid(part: pd.DataFrame, df: pd.DataFrame, metric: str, with_protocol: bool) -> pd.DataFrame:
    """A row per method, as text."""
    ipcs, usual = sorted(part["ipc"].dropna().unique()), _usual_seeds(part)
    theirs = compare(part.drop(columns=["variant"], errors="ignore"), metric)
    rows = []
    for method in select.in_reading_order(part["method"]):
        mine = part[part["method"] == method]
        row = {"method": display(method)} | ({"protocol": mine["protocol"].iloc[0]} if with_protocol else {})
        row |= _ours(mine, df, metric, ipcs, usual, with_protocol) | _moved(mine, ipcs)
        rows.append(row | _published(theirs[theirs["method"] == method], ipcs, theirs, only_same=not with_protocol))
    table = pd.DataFrame(rows).fillna("")
    filled = [name for name in table if name in ("method", "protocol") or (table[name] != "").any()]
    return table[filled]


def _ours(
    mine: pd.DataFrame, df: pd.DataFrame, metric: str, ipcs: list[int], usual: int, with_random: bool
) -> dict[str, str]:
    """Cells of the method, of random under the same protocol and seeds, and of the difference paired by seed."""
    beside = select.random_beside(mine, df) if mine["method"].iloc[0] not in ("full", "random") else mine.iloc[:0]
    values, random = mine[metric].astype(float), beside[metric].astype(float)
    cells = {"all data": _cell(values[mine["ipc"].isna()], usual)}
    at = {ipc: mine.index[(mine["ipc"] == ipc).fillna(False)] for ipc in ipcs}
    cells |= {f"IPC {ipc}": _cell(values[rows], usual) for ipc, rows in at.items()}
    shared = {ipc: rows.intersection(random.index) for ipc, rows in at.items()}
    if with_random:
        cells |= {f"random {ipc}": _cell(random[rows], usual) for ipc, rows in shared.items()}
    differences = {ipc: values[rows] - random[rows] for ipc, rows in shared.items()}
    return cells | {f"difference {ipc}": _cell(one, usual, sign=True) for ipc, one in differences.items()}


def _cell(values: pd.Series, usual: int, sign: bool = False) -> str:
    """'45.2 (1.1)', with n where it is not the `usual` number of seeds; '' for none."""
    values = values.dropna()
    if values.empty:
        return ""
    return cell(values.mean(), values.std(), sign=sign) + ("" if len(values) == usual else f" n={len(values)}")


def _moved(mine: pd.DataFrame, ipcs: list[int]) -> dict[str, str]:
    """Mean change of a pixel from its start, in grey levels (0 to 255), by IPC; '' where records do not have it."""
    heading = f"pixels moved, IPC {' / '.join(map(str, ipcs))}"
    if "moved" not in mine or mine["moved"].isna().all():
        return {heading: ""}
    means = [mine.loc[(mine["ipc"] == ipc).fillna(False), "moved"].astype(float).mean() for ipc in ipcs]
    return {heading: " / ".join("–" if pd.isna(mean) else f"{mean:.1f}" for mean in means)}


def _published(mine: pd.DataFrame, ipcs: list[int], theirs: pd.DataFrame, only_same: bool) -> dict[str, str]:
    """Published values in the order of our IPCs; a protocol other than ours stands in square brackets."""
    datasets = sorted({name.partition("(")[2].split(",")[0] for name in theirs["published_on"] if name})
    if not datasets:
        return {}
    heading = f"published: {' or '.join(datasets)}, IPC {' / '.join(map(str, ipcs))}"
    found = mine[mine["published_on"] != ""]
    protocols = found["published_on"].str.rstrip(")").str.split(", ").str[-1]
    found = found[protocols == found["protocol"]] if only_same else found
    if found.empty:
        return {heading: ""}
    where = protocols[found.index[0]]
    other = "" if where == found["protocol"].iloc[0] else f" [{where}]"
    texts = {row.ipc: cell(row.published_mean, row.published_std) for row in found.itertuples() if pd.notna(row.ipc)}
    if not texts:  # all data
        return {heading: cell(*found.iloc[0][["published_mean", "published_std"]]) + other}
    return {heading: " / ".join(texts.get(ipc, "–") for ipc in ipcs) + other}
