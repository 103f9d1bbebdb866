"""What notebook 21 says of the fair comparison: the share of labels, DD-Ranking's scores, and sentences out of intervals."""

from collections.abc import Sequence

import pandas as pd

from vddlib.evaluation.scores import (
    Score,
    hard_label_recovery,
    improvement_over_random,
    label_robust_score,
    over_seeds,
)
from vddlib.evaluation.statistics import interval
from vddlib.results import display, equal_bytes, in_reading_order, select, sets_and_students
from vddlib.results.fair import ONE_SET, PLACE, STILL, fair_rows
from vddlib.results.schema import blank_to_none
from vddlib.results.write import spanned

HARD, SOFT = "F", "F-soft"


def share_of_labels(df: pd.DataFrame) -> pd.DataFrame:
    """F-soft minus F on the same sets, in points, paired by seed: what one teacher's labels bring, method by method."""
    rows = fair_rows(df)
    found = []
    for (*place, method), part in _by_method(rows, [*PLACE, "method"]):
        values = part.pivot_table(index="seed", columns="protocol", values="top1").dropna()
        if {HARD, SOFT} <= set(values) and len(values):
            gain = interval((values[SOFT] - values[HARD]).to_numpy()[:, None])
            shown = [
                _number(values[HARD].mean()),
                _number(values[SOFT].mean()),
                spanned(gain.mean, gain.low, gain.high, sign=True),
            ]
            found.append([place[0], display(method), _ipc(place[-1]), *shown])
    return pd.DataFrame(found, columns=["dataset", "method", "IPC", HARD, SOFT, "difference [95 %]"])


def dd_ranking(df: pd.DataFrame) -> pd.DataFrame:
    """DD-Ranking's HLR, IOR and LRS of every method under F and F-soft, mean (std over seeds), on fractions; and compression.

    `compression`: bytes of the set as video streams, labels included, over those of the training split.
    """
    rows, found = fair_rows(df), []
    for (*place, ipc), part in _by_method(rows, PLACE):
        if pd.isna(ipc):
            continue
        whole = select.at(rows, dict(zip(PLACE, [*place, None], strict=True)))
        full = {name: _by_seed(whole, "full", name) for name in (HARD, SOFT)}
        for method in in_reading_order(part["method"]):
            scores = _scores(part, method, full[HARD])
            if scores:
                mine = part[part["method"] == method]
                stored = mine["bytes_stream"].mean() / whole["bytes_stream"].mean() if len(whole) else float("nan")
                found.append([place[0], display(method), _ipc(ipc), *map(str, scores), f"{100 * stored:.2f} %"])
    return pd.DataFrame(found, columns=["dataset", "method", "IPC", "HLR", "IOR", "LRS", "compression"])


def _scores(part: pd.DataFrame, method: str, full: pd.Series) -> tuple[Score, Score, Score] | None:
    """HLR under F, IOR under F-soft (the labels are the same for both), and LRS of the two; None where seeds are missing."""
    hard, soft, random = _by_seed(part, method, HARD), _by_seed(part, method, SOFT), _by_seed(part, "random", SOFT)
    seeds = hard.index.intersection(soft.index).intersection(random.index).intersection(full.index)
    if not len(seeds):
        return None
    lost = hard_label_recovery(full[seeds].to_numpy(), hard[seeds].to_numpy())
    gained = improvement_over_random(soft[seeds].to_numpy(), random[seeds].to_numpy())
    return over_seeds(lost), over_seeds(gained), over_seeds(label_robust_score(lost, gained))


def _by_seed(rows: pd.DataFrame, method: str, protocol: str) -> pd.Series:
    """Top-1 as a fraction by seed."""
    mine = rows[(rows["method"] == method) & (rows["protocol"] == protocol)]
    return mine.groupby("seed")["top1"].mean() / 100


def variance(df: pd.DataFrame) -> pd.DataFrame:
    """Where the spread comes from: std over students of one set, over sets and students, and the part due to sets (points)."""
    if "variant" not in df or not (df["variant"] == ONE_SET).any():
        return pd.DataFrame()
    found = sets_and_students(df)
    found["method"] = found["method"].map(display)
    return found[
        ["dataset", "method", "ipc", "protocol", "students", "pairs", *(c for c in found if c.startswith("std_"))]
    ]


def findings(numbers: pd.DataFrame, df: pd.DataFrame, protocol: str = HARD, ipc: int | None = None) -> list[str]:
    """What a reader may conclude, a sentence each, from the intervals of `results.comparisons`; of one `ipc`, or of all."""
    said = []
    numbers = numbers if ipc is None else numbers[numbers["ipc"].eq(ipc).fillna(False)]
    for (dataset, at), part in _by_method(numbers[numbers["protocol"] == protocol], ["dataset", "ipc"]):
        if pd.isna(at):
            continue
        compared = part[part["difference"].notna()]
        where = f"On {display(dataset)} at IPC {at} under {protocol}"
        valid = compared[~compared["gate"].str.contains("failed")]
        for word, told in (("above", valid["difference"] > 0), ("below", valid["difference"] < 0)):
            names = [_told(row) for row in valid[valid["told_apart"] & told].to_dict("records")]
            said += [f"{where}, {word} random clips: {'; '.join(names)}."] if names else []
        equal = [display(name) for name in valid.loc[~valid["told_apart"], "method"]]
        if equal:
            least = valid.loc[~valid["told_apart"], "detectable"].median()
            said.append(
                f"{where}, not told apart from random clips: {', '.join(equal)}; a difference of {least:.1f} points would have "
                "been found four times in five."
            )
        failed = [display(name) for name in compared.loc[compared["gate"].str.contains("failed"), "method"]]
        if failed:
            said.append(f"{where}, {', '.join(failed)} failed the gate: these runs say nothing about the method.")
    return said + _coded(df, protocol, ipc) + _motion(df, protocol)


def beside_a_codec(df: pd.DataFrame) -> pd.DataFrame:
    """`results.equal_bytes` under F, in kB, percent and points, for people."""
    table = equal_bytes(df, HARD)
    spans = [spanned(row.difference, row.low, row.high, sign=True) for row in table.itertuples()]
    shown = table[["dataset", "method", "ipc"]].assign(
        kilobytes=table["bytes"].div(1000).round(1), encoded=table["coded"], top1=table["coded_mean"].round(1),
        difference=spans, told_apart=table["told_apart"].map({True: "yes", False: "no"}),
    )  # fmt: skip
    shown["method"] = shown["method"].map(display)
    titles = {"ipc": "IPC", "kilobytes": "kB", "encoded": "real clips, encoded", "top1": "their top-1"}
    return shown.rename(columns=titles | {"difference": "minus the method [95 %]", "told_apart": "told apart"})


def _coded(df: pd.DataFrame, protocol: str, ipc: int | None) -> list[str]:
    """What a codec makes of the same bytes."""
    said, table = [], equal_bytes(df, protocol)
    table = table if ipc is None else table[table["ipc"].eq(ipc)]
    for (dataset, at), part in _by_method(table, ["dataset", "ipc"]):
        where = f"On {display(dataset)} at IPC {at} under {protocol}, real clips encoded into no more bytes are"
        for word, told in (("above", part["difference"] > 0), ("below", part["difference"] < 0)):
            names = [f"{display(r.method)} ({r.difference:+.1f})" for r in part[part["told_apart"] & told].itertuples()]
            said += [f"{where} {word} {', '.join(names)}."] if names else []
    return said


def _motion(df: pd.DataFrame, protocol: str) -> list[str]:
    """What full data lose without motion."""
    if "variant" not in df:
        return []
    said = []
    full = df[(df["method"] == "full") & (df["protocol"] == protocol)]
    for dataset, part in full.groupby("dataset"):
        plain, still = (part[part["variant"].fillna("") == name]["top1"] for name in ("", STILL))
        if len(plain) and len(still):
            said.append(
                f"On {display(dataset)}, students of all clips have {plain.mean():.1f} %, and {still.mean():.1f} % where every "
                "clip is its first frame, repeated."
            )
    return said


def _told(row: dict) -> str:
    return f"{display(row['method'])} {spanned(row['difference'], row['difference_low'], row['difference_high'], sign=True)}"


def _by_method(rows: pd.DataFrame, keys: Sequence[str]):
    return rows.groupby(list(keys), dropna=False, sort=False)


def _ipc(value) -> str:
    return "all" if blank_to_none(value) is None else str(value)


def _number(value: float) -> str:
    return f"{value:.1f}"
