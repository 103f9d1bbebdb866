"""Which records enter the main tables and figures, and which students of random clips stand beside a method's."""

from functools import reduce
from operator import and_

import pandas as pd

from vddlib.results.methods import method_of, method_rank, own_protocol

# One block of a table, one panel of a figure: methods are compared only where all of these are the same.
BLOCK = ["dataset", "student", "frames", "size"]
HARD = "hard labels"  # the variant under which methods with soft labels are recorded when students get hard ones


def plain(df: pd.DataFrame) -> pd.DataFrame:
    """The records that are no variant (column `variant`, `method[variant]`) and no part of the classes (`subset`)."""
    return df[_whole(df) & (text(df, "variant") == "")]


def of_papers(df: pd.DataFrame) -> pd.DataFrame:
    """The records under protocols of the literature: F and F-soft have tables of their own (`results.fair_table`).

    All records where there are no others.
    """
    from vddlib.evaluation import FAIR

    others = df[~df["protocol"].isin(FAIR)]
    return others if len(others) else df


def under_own_protocol(df: pd.DataFrame) -> pd.DataFrame:
    """Of every block, each method's records under the protocol of its own paper.

    A method that has none under its own protocol is shown under the one under which it has most records.
    """
    parts = []
    for (*_, method), rows in df.groupby([*_block(df), "method"], dropna=False, sort=False):
        own = rows[rows["protocol"] == own_protocol(method)]
        parts.append(rows[rows["protocol"] == _most_common(rows["protocol"])] if own.empty else own)
    return pd.concat(parts).sort_index() if parts else df


def common_protocol(df: pd.DataFrame) -> str:
    """The protocol with hard labels under which most methods have records; of any labels where there is none."""
    from vddlib.evaluation import PROTOCOLS

    hard = {name for name, protocol in PROTOCOLS.items() if protocol.labels == "hard"}
    part = df[_hard_or_plain(df) & df["protocol"].isin(hard)]
    part = part if len(part) else df
    methods = part.groupby("protocol", sort=False)["method"].nunique()
    return methods[methods == methods.max()].index.min()


def under_one_protocol(df: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Every method's records under `protocol`: the plain ones, or those of variant 'hard labels' where it has no plain
    ones at the same IPC in the same block."""
    df = df[_hard_or_plain(df) & (df["protocol"] == protocol)]
    keys = [*_block(df), "method", "ipc"]
    is_plain = text(df, "variant") == ""
    has_plain = is_plain.groupby([df[key] for key in keys], dropna=False).transform("any")
    return df[is_plain | ~has_plain]


def to_compare(df: pd.DataFrame, keys: list[str]) -> tuple[list[pd.DataFrame], list[pd.DataFrame]]:
    """The parts of `df` with the same `keys`: those with methods to compare, and those with full data alone.

    Where there are none but the latter, these count as the former.
    """
    several, alone = [], []
    for _, part in df.groupby(keys, dropna=False, sort=False):
        (alone if (part["method"] == "full").all() else several).append(part)
    return (several, alone) if several else (alone, [])


def usual_runs(df: pd.DataFrame) -> pd.DataFrame:
    """One training length and teacher per block, method, protocol and IPC: those with most seeds, then most epochs."""
    keys = [*_block(df), "method", "protocol", "ipc"]
    parts = []
    for _, rows in df.groupby(keys, dropna=False, sort=False):
        runs = [run for _, run in rows.groupby(["epochs", "teacher"], dropna=False)]
        parts.append(max(runs, key=lambda run: (run["seed"].nunique(), run["epochs"].fillna(0).max())))
    return pd.concat(parts).sort_index() if parts else df


def random_beside(rows: pd.DataFrame, df: pd.DataFrame) -> pd.DataFrame:
    """For records `rows` of one method, the record of random clips that each is compared with, by the same index.

    It has the same block, protocol, IPC, number of epochs and *seed*: seed s of a method and seed s of random name the
    same draw of real clips (from which most methods start) and the same first weights of the student. A record without
    such a partner is left out of the result, so that means and differences are taken over the seeds that both have.
    Where random was run with several teachers, the partner has the method's own.
    """
    keys = [*_block(df), "protocol", "ipc", "epochs", "seed"]
    partners = plain(df)
    partners = partners[partners["method"] == "random"]
    # The same teacher sorts first: `teacher` also names the network that a method was distilled with, so it may differ.
    pairs = rows[[*keys, "teacher"]].reset_index(names="_row").merge(partners, on=keys, suffixes=("_method", ""))
    pairs["_other"] = pairs["teacher"].fillna("") != pairs["teacher_method"].fillna("")
    pairs = pairs.sort_values(["_row", "_other"], kind="stable").drop_duplicates("_row")
    return pairs.set_index("_row").drop(columns=["_other", "teacher_method"]).rename_axis(None)


def in_reading_order(methods) -> list[str]:
    """Names of methods in the order of METHODS, variants after their base."""
    return sorted(set(methods), key=lambda method: (method_rank(method), method))


def _block(df: pd.DataFrame) -> list[str]:
    return [column for column in [*BLOCK, "subset"] if column in df]


def at(df: pd.DataFrame, place: dict) -> pd.DataFrame:
    """The records whose columns have these values; a missing value is found by another one."""
    same = (df[name].eq(value).fillna(False) | (df[name].isna() & pd.isna(value)) for name, value in place.items())
    return df[reduce(and_, same)]


def text(df: pd.DataFrame, column: str) -> pd.Series:
    """A column with '' where a record has no value, or no record has the column."""
    return df[column].fillna("") if column in df else pd.Series("", index=df.index)


def _whole(df: pd.DataFrame) -> pd.Series:
    named = pd.Series([method_of(name).name == name for name in df["method"]], index=df.index, dtype=bool)
    return named & (text(df, "subset") == "")


def _hard_or_plain(df: pd.DataFrame) -> pd.Series:
    return _whole(df) & text(df, "variant").isin(["", HARD])


def _most_common(values: pd.Series) -> str:
    counts = values.value_counts(sort=False)
    return counts[counts == counts.max()].index[0]
