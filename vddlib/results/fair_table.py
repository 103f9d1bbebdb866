"""The fair table (protocols F and F-soft side by side), and what its scores owe to motion: figures/SCALE/fair_table.*."""

from pathlib import Path

import pandas as pd

from vddlib.core import provenance
from vddlib.core.errors import VddError
from vddlib.evaluation.statistics import interval
from vddlib.results import select
from vddlib.results.fair import FAIR, STILL, comparisons, controls, correct, fair_rows
from vddlib.results.records import load
from vddlib.results.schema import chance, display, with_pool
from vddlib.results.write import Block, Grey, origin, spanned, write_table

LABELS = {"F": "hard labels", "F-soft": "labels of one teacher, the same for every method, for every view"}
CLIPS = {"stilled": "top1_still", "shuffled": "top1_shuffled", "reversed": "top1_reversed"}
UNSURE = "†"  # beside a difference whose own interval leaves out zero, and Holm's correction does not
HEADER = (
    "top-1 in percent, mean [95 % interval over seeds and test videos]. 'minus random': difference to as many random clips, "
    "paired by seed and test video; 'better': probability that a student is above one of random clips. Small (LaTeX: grey): "
    f"not told apart from random: the interval includes zero, or ({UNSURE}) does so after Holm's correction "
    "over the differences of one block."
)


def fair_table(scale: str, root: str | Path | None = None) -> list[Path]:
    """Write figures/SCALE/fair_table.{md,csv,tex,json} and return the four paths. Raises VddError without such records."""
    df = load(scale, root)
    blocks, notes = fair_blocks(df)
    protocols = "; ".join(f"{name}: {LABELS[name]}" for name in FAIR)
    header = f"Scale {scale}, one way to learn and be tested for every method ({protocols}): {HEADER}"
    return write_table(blocks, _folder(scale, root), "fair_table", origin(fair_rows(df), scale), header, notes)


def motion_table(scale: str, root: str | Path | None = None) -> list[Path]:
    """Write figures/SCALE/motion_table.{md,csv,tex,json}: the same students on stilled, shuffled and reversed test clips."""
    df = load(scale, root)
    header = (
        f"Scale {scale}: top-1 in percent, mean [95 % interval], and what the same students gain or lose on test clips that "
        "are stilled (their first frame repeated), shuffled or reversed, paired by seed [95 % interval over seeds]. Small "
        "(LaTeX: grey): the interval includes zero."
    )
    return write_table(motion_blocks(df), _folder(scale, root), "motion_table", origin(fair_rows(df), scale), header)


def fair_blocks(df: pd.DataFrame) -> tuple[list[Block], list[str]]:
    """A block per dataset, student, clip and IPC, full data in each of them, and one of what departs from usual values
    there, if anything does; and notes on gates and on the intervals."""
    numbers, others, blocks = comparisons(df, crossed=True), controls(df), []
    for place, part in numbers.groupby(select.BLOCK, dropna=False, sort=False):
        still = _still(df, part)
        full = part[part["ipc"].isna()]
        for ipc in sorted(part["ipc"].dropna().unique()) or [None]:
            at = part[(part["ipc"] == ipc).fillna(False)] if ipc else part.iloc[:0]
            shown = pd.concat([full, at])
            blocks.append(Block(_caption(shown, at, ipc), _grid(shown, still, ipc)))
            beside = select.at(others, dict(zip(select.BLOCK, place, strict=True)) | {"ipc": ipc})
            if (beside["method"] != "random").any():
                blocks.append(Block(f"{_caption(beside, beside, ipc)} · controls and variants", _grid(beside, {}, ipc)))
    return blocks, _notes(numbers)


def _grid(shown: pd.DataFrame, still: dict, ipc: int | None) -> pd.DataFrame:
    rows = []
    for method in select.in_reading_order(shown["method"]):
        row = {"method": with_pool(method)}
        mine = shown[shown["method"] == method]
        for one in sorted(mine.to_dict("records"), key=lambda one: FAIR.index(one["protocol"])):
            name, seeds = one["protocol"], one["paired_seeds"]
            row[name] = spanned(one["mean"], one["low"], one["high"])
            if pd.notna(seeds):
                row[f"{name} minus random"] = _difference(one)
                row[f"{name} better"] = f"{one['improvement']:.2f}"
        row["without motion (F)"] = still.get((method, None if method == "full" else ipc), "")
        row["moved"] = "" if mine["moved"].isna().all() else f"{mine['moved'].mean():.1f}"
        row["gate"] = _gate(mine)
        rows.append(row)
    columns = [f"{name}{what}" for name in FAIR for what in ("", " minus random", " better")]
    table = pd.DataFrame(
        rows, columns=["method", *columns, "without motion (F)", "moved", "gate"], dtype=object
    ).fillna("")
    return table[[name for name in table if name == "method" or (table[name] != "").any()]]


def _difference(row: dict) -> str:
    text = spanned(row["difference"], row["difference_low"], row["difference_high"], sign=True)
    if row["told_apart"]:
        return text
    return Grey(text + (UNSURE if row["difference_low"] > 0 or row["difference_high"] < 0 else ""))


def _gate(mine: pd.DataFrame) -> str:
    texts = {text for texts in mine["gate"] for text in texts.split("; ") if text}
    failed = any(text.startswith("failed") for text in texts)
    return "" if not texts else "failed" if failed else "passed"


def _still(df: pd.DataFrame, part: pd.DataFrame) -> dict[tuple, str]:
    """(method, IPC) -> accuracy of students that were trained and tested on repeated frames, under F, in one block."""
    if "variant" not in df:
        return {}
    here = {name: part[name].iloc[0] for name in select.BLOCK}
    rows = select.at(df, here | {"variant": STILL, "protocol": FAIR[0]})
    groups = rows.groupby(["method", "ipc"], dropna=False)
    found = {
        (method, None if pd.isna(ipc) else ipc): interval(correct(one).to_numpy()) for (method, ipc), one in groups
    }
    return {key: spanned(one.mean, max(one.low, 0.0), min(one.high, 100.0)) for key, one in found.items()}


def _caption(shown: pd.DataFrame, at: pd.DataFrame, ipc: int | None) -> str:
    row, guess = shown.iloc[0], chance(shown["dataset"].iloc[0])
    counts = sorted(set((at if len(at) else shown)["seeds"]))
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    found = shown["detectable"].dropna()
    facts = [
        display(row["dataset"]),
        f"IPC {ipc}" if ipc else "",
        f"student {display(row['student'])}",
        f"{row['frames']} frames of {row['size']}x{row['size']}" if pd.notna(row["frames"]) else "",
        f"{seeds} seed{'' if seeds == '1' else 's'}",
        f"{row['videos']} test videos" if row["videos"] > 1 else "",
        # What a single comparison finds: Holm's correction asks for more.
        f"differences of {found.median():.1f} points found in 4 of 5 cases" if len(found) else "",
        f"chance {guess:.1f}" if guess else "",
    ]
    return " · ".join(fact for fact in facts if fact)


def _notes(numbers: pd.DataFrame) -> list[str]:
    """On gates that failed, and on the verdicts that the wider crossed bootstrap does not share."""
    notes = []
    texts = [
        f"{display(row.method)}{'' if pd.isna(row.ipc) else f' IPC {row.ipc}'} {text}"
        for row in numbers.itertuples()
        for text in row.gate.split("; ")
        if text.startswith("failed")
    ]
    if texts:
        notes.append(f"Gates: {'. '.join(dict.fromkeys(texts))}.")
    both = numbers[numbers["crossed_low"].notna() & numbers["told_apart"]]
    lost = both[(both["crossed_low"] <= 0) & (both["crossed_high"] >= 0)]
    if len(both):
        notes.append(
            f"Of {len(both)} differences that are told apart, percentiles of the crossed bootstrap (seeds and videos redrawn "
            f"at once, scipy; a cautious interval) include zero for {len(lost)}."
        )
    return notes


def motion_blocks(df: pd.DataFrame) -> list[Block]:
    """A block per dataset, student, clip and protocol: a row per method and IPC, how top-1 changes without order in time.

    Raises VddError where no record was tested on such clips.
    """
    rows, blocks = fair_rows(df), []
    measured = [name for name in CLIPS.values() if name in rows]
    rows = rows[rows[measured].notna().any(axis=1)] if measured else rows.iloc[:0]
    for (*_, protocol), part in rows.groupby([*select.BLOCK, "protocol"], dropna=False, sort=False):
        table = []
        for method in select.in_reading_order(part["method"]):
            for ipc, mine in part[part["method"] == method].groupby("ipc", dropna=False):
                whole = interval(correct(mine).to_numpy())
                row = {"method": with_pool(method), "IPC": "" if pd.isna(ipc) else str(ipc)}
                row["as they are"] = spanned(whole.mean, max(whole.low, 0.0), min(whole.high, 100.0))
                table.append(
                    row | {name: _change(mine, column) for name, column in CLIPS.items() if column in measured}
                )
        head = part.iloc[0]
        clip = f"{head['frames']} frames of {head['size']}x{head['size']}"
        names = f"{display(head['dataset'])} · protocol {protocol} · student {display(head['student'])} · {clip}"
        blocks.append(Block(names, pd.DataFrame(table, dtype=object)))  # else pandas makes plain text of Grey
    if not blocks:
        raise VddError(
            "no record has a student tested on stilled, shuffled or reversed clips (columns top1_still, ...)"
        )
    return blocks


def _change(mine: pd.DataFrame, column: str) -> str:
    """The paired change of top-1 from `top1` to `column`, over seeds."""
    changes = (mine[column].astype(float) - mine["top1"].astype(float)).dropna()
    if changes.empty:
        return ""
    found = interval(changes.to_numpy()[:, None])
    text = spanned(found.mean, found.low, found.high, sign=True)
    return text if found.low > 0 or found.high < 0 else Grey(text)


def _folder(scale: str, root: str | Path | None) -> Path:
    return (Path(root) if root else provenance.project_root()) / "figures" / scale
