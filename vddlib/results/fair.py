"""The fair comparison as numbers: every method under protocols F and F-soft, with intervals, beside random clips.

Plain records only, and one training length and teacher per method (`select.usual_runs`). Methods are paired by seed and by
test video; what was classified correctly is in the records' column `right_views`.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd

from vddlib.core.errors import VddError
from vddlib.evaluation.fair import FAIR
from vddlib.evaluation.statistics import Comparison, Spread, compare_paired, crossed_bootstrap, holm, interval
from vddlib.evaluation.statistics import sets_and_students as spread_of
from vddlib.evaluation.testing import from_text
from vddlib.results import select
from vddlib.results.ablations import EXPERIMENTS
from vddlib.results.schema import POOLS, display

STILL = "no motion"  # the variant of students that were trained and tested on repeated frames
ONE_SET = "one set"  # the variant of several students on the set of seed 0
PLACE = [*select.BLOCK, "ipc"]
ALPHA = 0.05


def correct(rows: pd.DataFrame) -> pd.DataFrame:
    """Records of one method in one place as percentages: a row per seed (the index, ascending), a column per test video.

    Without `right_views` there is one column, top1. Raises VddError where a seed stands twice, the numbers of test videos
    differ, or the digits do not give the row's top1.
    """
    rows = rows.sort_values("seed")
    names = [
        f"{display(row.method)}, protocol {row.protocol}, seed {row.seed}"
        for row in rows[["method", "protocol", "seed"]].itertuples()
    ]
    twice = rows["seed"].duplicated()
    if twice.any():
        raise VddError(f"{names[twice.to_numpy().argmax()]}: several records in one place; choose one of them first")
    texts = rows["right_views"].fillna("").tolist() if "right_views" in rows else [""] * len(rows)
    if not all(texts):
        return pd.DataFrame(rows["top1"].to_numpy(float)[:, None], index=rows["seed"].to_numpy(int))
    if len({len(text) for text in texts}) > 1:
        lengths = " and ".join(map(str, sorted({len(from_text(text)) for text in texts})))
        raise VddError(f"{names[0]}: seeds were tested on {lengths} videos; measure them again on the same split")
    values = 100 * np.stack([from_text(text) for text in texts]) / rows["views"].to_numpy(float)[:, None]
    for name, mine, top1 in zip(names, values.mean(1), rows["top1"], strict=True):
        if abs(mine - top1) > 0.01:
            raise VddError(f"{name}: right_views give top-1 {mine:.2f}, the record says {top1:.2f}; measure it again")
    return pd.DataFrame(values, index=rows["seed"].to_numpy(int))


def paired(ours: pd.DataFrame, reference: pd.DataFrame) -> Comparison | None:
    """`compare_paired` of what `correct` gives, over the seeds that both have; None where they share none."""
    seeds = ours.index.intersection(reference.index)
    if ours.shape[1] != reference.shape[1]:
        raise VddError(f"methods were tested on {ours.shape[1]} and {reference.shape[1]} videos: not the same split")
    return compare_paired(ours.loc[seeds].to_numpy(), reference.loc[seeds].to_numpy()) if len(seeds) else None


def fair_rows(df: pd.DataFrame) -> pd.DataFrame:
    """The plain records under F and F-soft. Raises VddError where there are none."""
    rows = select.usual_runs(select.plain(df[df["protocol"].isin(FAIR) & df["top1"].notna()]))
    if rows.empty:
        raise VddError(
            f"no method has records under protocol {' or '.join(FAIR)}: run the fair protocols' params files"
        )
    return rows


def comparisons(df: pd.DataFrame, crossed: bool = False) -> pd.DataFrame:
    """A row per dataset, student, clip, IPC (none for full data), protocol and method, in reading order.

    seeds, videos, mean, low, high: of the method. difference, difference_low, difference_high, paired_seeds, p, improvement
    (probability of) and detectable: against random clips under the same protocol. p_holm: Holm's correction over both
    protocols and all methods at one IPC of a block. told_apart: the interval leaves out zero, and p_holm is below 0.05.
    crossed_low, crossed_high (with `crossed`): percentiles of the crossed bootstrap. moved, gate: the records' mean, and
    texts. Percent and points.
    """
    return _compared(fair_rows(df), crossed)


def controls(df: pd.DataFrame) -> pd.DataFrame:
    """As `comparisons`, for what departs from a method's usual values (column `variant`), each as a method of its own
    (`optdistill[tiles]`), and for choices from another pool than the published one (`csta[real]`, `herding[generated]`), with
    random clips beside it. An empty table where nothing does.

    Ablations have tables of their own (`ablations`): here they would repeat the plain rows and widen Holm's correction.
    """
    under = df[df["protocol"].isin(FAIR) & df["top1"].notna()]
    variant = select.text(under, "variant")
    named = ~variant.isin(["", STILL, ONE_SET, *EXPERIMENTS])
    pool = under["method"].str.extract(r"\[(.+)\]$", expand=False)
    pooled = (variant == "") & pool.isin(POOLS) & ~under["method"].str.startswith("full")
    if not (named | pooled).any():
        return pd.DataFrame(columns=[*PLACE, "protocol", "method"])
    others = [
        under[pooled],
        under[named].assign(method=under["method"][named] + "[" + variant[named] + "]", variant=""),
    ]
    rows = fair_rows(df)
    return _compared(pd.concat([rows[rows["method"] == "random"], *others], ignore_index=True))


def _compared(rows: pd.DataFrame, crossed: bool = False) -> pd.DataFrame:
    numbers = pd.DataFrame([row for place in _places(rows) for row in _rows(*place, crossed)])
    return _told_apart(numbers, numbers["difference_low"], numbers["difference_high"]).astype({"ipc": "Int64"})


def _told_apart(table: pd.DataFrame, low: pd.Series, high: pd.Series) -> pd.DataFrame:
    """With the columns p_holm (Holm's correction of p over what stands in one place) and told_apart.

    Where p is nan (full data, random, methods without a random partner) nothing was compared: the correction does not count it.
    """
    table = table.copy()
    corrected = table.groupby(PLACE, dropna=False, sort=False)["p"].transform(lambda p: holm(p.to_numpy()))
    table.insert(list(table).index("p") + 1, "p_holm", corrected)
    return table.assign(told_apart=((low > 0) | (high < 0)) & (corrected < ALPHA))


def _places(rows: pd.DataFrame) -> Iterator[tuple[dict, pd.DataFrame]]:
    """Where methods are compared: (block, IPC and protocol, records)."""
    keys = [*PLACE, "protocol"]
    for values, part in rows.groupby(keys, dropna=False, sort=False):
        yield dict(zip(keys, values, strict=True)), part


def _rows(place: dict, part: pd.DataFrame, crossed: bool) -> Iterator[dict]:
    reference = part[part["method"] == "random"]
    random = correct(reference) if len(reference) else None
    for method in select.in_reading_order(part["method"]):
        mine = part[part["method"] == method]
        table = correct(mine)
        found = interval(table.to_numpy())
        row = place | {"method": method, "seeds": found.seeds, "videos": found.videos, "mean": found.mean}
        row |= {"low": max(found.low, 0.0), "high": min(found.high, 100.0)}
        row |= _beside(table, random if method not in ("random", "full") else None, crossed)
        gates = sorted(set(mine["gate"].dropna()) - {""}) if "gate" in mine else []
        yield row | {"moved": mine["moved"].mean() if "moved" in mine else np.nan, "gate": "; ".join(gates)}


def _beside(ours: pd.DataFrame, random: pd.DataFrame | None, crossed: bool) -> dict:
    """The columns of the paired comparison; nan where there is none."""
    found = None if random is None else paired(ours, random)
    names = ["difference", "difference_low", "difference_high", "paired_seeds", "p", "improvement", "detectable"]
    names += ["crossed_low", "crossed_high"] if crossed else []
    if found is None:
        return dict.fromkeys(names, np.nan)
    values = [found.difference, found.low, found.high, found.seeds, found.p, found.improvement, found.detectable]
    if crossed and found.seeds > 1 and found.videos > 1:
        seeds = ours.index.intersection(random.index)
        values += crossed_bootstrap((ours.loc[seeds] - random.loc[seeds]).to_numpy()).confidence_interval
    elif crossed:
        values += [np.nan, np.nan]
    return dict(zip(names, values, strict=True))


def pairwise(rows: pd.DataFrame) -> pd.DataFrame:
    """Every pair of methods in one place (one block, IPC and protocol): first, second, difference, low, high, p, p_holm.

    `difference` is first minus second, in points; Holm's correction is over all pairs. Pairs without a common seed are
    left out.
    """
    tables = {method: correct(rows[rows["method"] == method]) for method in select.in_reading_order(rows["method"])}
    found = [(first, second, paired(tables[first], tables[second])) for first, second in combinations(tables, 2)]
    columns = ["first", "second", "difference", "low", "high", "p"]
    shown = [(a, b, one.difference, one.low, one.high, one.p) for a, b, one in found if one]
    pairs = pd.DataFrame(shown, columns=columns)
    return pairs.assign(p_holm=holm(pairs["p"]))


def equal_bytes(df: pd.DataFrame, protocol: str = "F") -> pd.DataFrame:
    """A codec beside every method: real clips encoded into no more bytes, minus the method, paired by seed and test video.

    A row per dataset, student, clip, IPC and method (not `random_...`): bytes (of the set's streams and labels, mean over
    seeds), coded (the setting of `random_encoded` with the most bytes of those that take no more; not the best, which the
    test would have chosen), coded_bytes, coded_mean, difference, low, high, p_holm and told_apart. Methods that take less
    than every setting are left out.
    """
    rows = fair_rows(df)
    rows = rows[(rows["protocol"] == protocol) & rows["ipc"].notna() & rows["bytes_stream"].notna()]
    encoded = df[(df["method"] == "random_encoded") & (df["protocol"] == protocol)]
    found = []
    for values, part in rows.groupby(PLACE, sort=False):
        place = dict(zip(PLACE, values, strict=True))
        here = select.at(encoded, place)
        size = here.groupby("variant")["bytes_stream"].mean().astype(float)
        for method in select.in_reading_order(part["method"]):
            mine = part[part["method"] == method]
            total = float(mine["bytes_stream"].mean())
            smaller = size[size <= total]
            if smaller.empty or (method.startswith("random") and method != "random"):
                continue
            ours = correct(here[here["variant"] == smaller.idxmax()])
            one = paired(ours, correct(mine))
            if one:
                numbers = {"bytes": total, "coded": smaller.idxmax(), "coded_bytes": smaller.max()}
                numbers |= {"coded_mean": ours.to_numpy().mean(), "difference": one.difference}
                found.append(place | {"method": method} | numbers | {"low": one.low, "high": one.high, "p": one.p})
    columns = [*PLACE, "method", "bytes", "coded", "coded_bytes", "coded_mean", "difference", "low", "high", "p"]
    table = pd.DataFrame(found, columns=columns)
    return _told_apart(table, table["low"], table["high"])


def sets_and_students(df: pd.DataFrame) -> pd.DataFrame:
    """Where one set had several students (variant 'one set'): std over its students, over (set, student), due to sets.

    A row per dataset, student, clip, IPC, protocol and method. The plain record of seed 0 counts among the set's students,
    unless it is there already.
    """
    variant = select.text(df, "variant")
    keys, found = [*PLACE, "protocol", "method"], []
    everything = fair_rows(df)
    for values, several in df[variant == ONE_SET].groupby(keys, dropna=False, sort=False):
        place = dict(zip(keys, values, strict=True))
        plain = select.at(everything, place)
        own = plain[(plain["seed"] == 0) & ~plain["seed"].isin(several["seed"])]
        spread: Spread = spread_of([*several["top1"], *own["top1"]], plain["top1"].tolist())
        counts = {"students": len(several) + len(own), "pairs": len(plain)}
        found.append(place | counts | {f"std_{name}": value for name, value in vars(spread).items()})
    return pd.DataFrame(found)
