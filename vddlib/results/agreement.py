"""Records of the same settings and seeds from two machines: what stayed to the last digit, what moved, by how much, and which
statements about methods would read differently.

One seed gives the same bits on one machine. On another one sums are taken in another order, a student's thousand steps carry
the last bit upwards, and what comes out is as good as another student of the same set. So two machines agree if their means
differ by no more than their seeds and test videos explain, and neither's digits are the right ones.
"""

import pandas as pd

from vddlib.core import provenance
from vddlib.core.errors import VddError
from vddlib.results import select
from vddlib.results.fair import FAIR, PLACE, comparisons, correct, paired
from vddlib.results.records import COSTS, ORIGIN, as_text, key, read
from vddlib.results.schema import EXTRA_KEYS, METRICS, display, with_pool
from vddlib.results.write import Block, spanned

HEADER = (
    "Scale {}, top-1 in percent, mean over seeds there and here. 'here minus there': points, paired by seed and test video, "
    "with its 95 % interval; 'same digits': seeds that have the same top-1 to the last digit; 'largest of a seed': points."
)
LAST = 5e-5  # half of the last digit that a record has


def committed(scale: str) -> pd.DataFrame:
    """The records of figures/SCALE/records.csv as the last commit has them. Raises VddError where it has none."""
    path = f"figures/{scale}/records.csv"
    text = provenance.of_commit(path)
    if text is None:
        raise VddError(f"{path} is not in the last commit: name a file of records to compare with")
    return read(path, text)


def common(here: pd.DataFrame, there: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The records of settings and seeds that both have, in the same order, each with its whole row.

    A row that is the same in everything, times and commit too, is one measurement and not two: it is left out. So is what was
    measured on other data, or without a top-1. Raises VddError where nothing is left.
    """
    here, there = (
        df[df["top1"].notna()].assign(**{name: select.text(df, name) for name in EXTRA_KEYS}) for df in (here, there)
    )
    keys = [*key(here), "dataset_sha256"]
    mine, theirs = (df.set_index(pd.MultiIndex.from_frame(as_text(df[keys]))) for df in (here, there))
    shared = mine.index.intersection(theirs.index)
    mine, theirs = mine.loc[shared].reset_index(drop=True), theirs.loc[shared].reset_index(drop=True)
    columns = [name for name in [*METRICS, *COSTS, *ORIGIN] if name in mine and name in theirs]
    twice = (as_text(mine[columns]) != as_text(theirs[columns])).any(axis=1)
    if not twice.any():
        raise VddError(
            "no setting and seed was measured twice: run something first (`uv run snakemake --cores all quick`)"
        )
    return mine[twice].reset_index(drop=True), theirs[twice].reset_index(drop=True)


def agreement(here: pd.DataFrame, there: pd.DataFrame) -> pd.DataFrame:
    """Means of two machines, a row per setting, of what `common` gives; top-1, percent and points.

    seeds; same: how many have the same top-1 to the last digit; there, here: means; difference, low, high: here minus there,
    paired by seed and test video, with its 95 % interval (nan with one value); largest: the largest difference of one seed;
    moved: the interval leaves out zero.
    """
    setting, rows = [name for name in key(here) if name != "seed"], []
    for values, mine in here.groupby(setting, dropna=False, sort=False):
        theirs = there.loc[mine.index]
        ours, others = correct(mine), correct(theirs)
        found, apart = paired(ours, others), ours.mean(axis=1) - others.mean(axis=1)
        numbers = {"seeds": len(mine), "same": int((apart.abs() < LAST).sum())}
        numbers |= {"there": theirs["top1"].mean(), "here": mine["top1"].mean(), "difference": found.difference}
        numbers |= {"low": found.low, "high": found.high, "largest": apart.abs().max()}
        rows.append(dict(zip(setting, values, strict=True)) | numbers)
    table = pd.DataFrame(rows)
    return table.assign(moved=(table["low"] > 0) | (table["high"] < 0))


def verdicts(here: pd.DataFrame, there: pd.DataFrame) -> pd.DataFrame:
    """Differences to random clips under F and F-soft, from the records of each machine alone (what `common` gives).

    A row per place, protocol and method, with `comparisons`' difference, difference_low, difference_high and told_apart of each
    (`told_apart_there`, `told_apart_here`). Empty where nothing was measured under F or F-soft.
    """
    names = ["difference", "difference_low", "difference_high", "told_apart"]
    keys = [*PLACE, "protocol", "method"]
    if not here["protocol"].isin(FAIR).any():
        return pd.DataFrame(columns=[*keys, *(f"{name}_{side}" for side in ("there", "here") for name in names)])
    sides = [comparisons(df).dropna(subset="difference")[[*keys, *names]] for df in (there, here)]
    return sides[0].merge(sides[1], on=keys, suffixes=("_there", "_here"))


def summary(here: pd.DataFrame, there: pd.DataFrame, means: pd.DataFrame) -> list[str]:
    """What to read first of what `common` gives, and `agreement` of it, a sentence each: digits, means, statements."""
    beside = verdicts(here, there)
    apart = (here["top1"] - there["top1"]).abs()
    moved = apart[apart >= LAST]
    digits = f"{len(here)} students were measured on both ({_devices(there)} there, {_devices(here)} here)"
    if moved.empty:
        return [f"{digits}: all have the same top-1 to the last digit."]
    found, largest = int(means["moved"].sum()), means["difference"].abs().max()
    lines = [
        f"{digits}: {len(here) - len(moved)} have the same top-1 to the last digit, the others are {moved.median():.1f} points "
        f"apart in the middle and {moved.max():.1f} at most.",
        f"{found} of {len(means)} means over seeds differ by more than their 95 % intervals allow ({len(means) / 20:.0f} "
        f"would, if everything were drawn anew); the largest difference is {largest:.1f} points.",
    ]
    changed = beside[beside["told_apart_there"] != beside["told_apart_here"]]
    where = zip(changed["method"], changed["ipc"], changed["protocol"], changed["dataset"], strict=True)
    names = [
        f"{with_pool(method)} (IPC {int(ipc)}, {protocol}, {display(dataset)})"
        for method, ipc, protocol, dataset in where
    ]
    if len(beside):
        told = f"{len(changed)} of {len(beside)} differences to random clips are told apart on one machine only"
        lines.append(told + (f": {', '.join(names)}." if names else "."))
    return lines


def blocks(means: pd.DataFrame) -> list[Block]:
    """`agreement` as readers know it, a block per dataset and IPC."""
    places = means.groupby(["dataset", "ipc"], dropna=False, sort=False)
    return [Block(_caption(*place), _printed(part)) for place, part in places]


def _caption(dataset: str, ipc: float) -> str:
    return f"{display(dataset)} · {'full data' if pd.isna(ipc) else f'IPC {int(ipc)}'}"


def _printed(means: pd.DataFrame) -> pd.DataFrame:
    variant, method = select.text(means, "variant"), means["method"].map(with_pool)
    spans = zip(means["difference"], means["low"], means["high"], strict=True)
    return pd.DataFrame(
        {
            "method": method.where(variant == "", method + " [" + variant + "]"),
            "protocol": means["protocol"],
            "seeds": means["seeds"],
            "same digits": means["same"],
            **{name: means[name].map("{:.1f}".format) for name in ("there", "here")},
            "here minus there": [spanned(*span, sign=True) for span in spans],
            "largest of a seed": means["largest"].map("{:.1f}".format),
        }
    )


def _devices(df: pd.DataFrame) -> str:
    return " and ".join(sorted({name or "an unnamed device" for name in df["device"]}))
