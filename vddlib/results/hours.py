"""What the sets and students of a scale took, in hours."""

import pandas as pd

from vddlib.results.schema import display
from vddlib.results.select import in_reading_order, text

SET = ["dataset", "frames", "size", "method", "variant", "ipc", "seed"]  # what makes a set, whoever learns from it
ALL = "all"


def hours(df: pd.DataFrame) -> pd.DataFrame:
    """By method of ``df`` (records): sets and hours to distil them, students and hours to train them; last, the sum.

    An hour is one core's where a run has one (every scale but `paper`), and a device's else. A set counts once, however many
    students learn from it, with the longest time that a row names for it (under protocols with a teacher's labels, the
    teacher's too). A variant counts as sets of its own, also where it is another way to label or draw the same clips. What sets
    share counts with each of them. Testing and decoding are in neither.
    """
    df, rows = df.assign(variant=text(df, "variant")), []
    for method in in_reading_order(df["method"]):
        part = df[df["method"] == method]
        sets = part.groupby(SET, dropna=False)["distill_seconds"].max()
        rows.append([display(method), len(sets), sets.sum() / 3600, len(part), part["train_seconds"].sum() / 3600])
    table = pd.DataFrame(rows, columns=["method", "sets", "hours to distil", "students", "hours to train"])
    total = [ALL, *(table[column].sum() for column in table.columns[1:])]
    return pd.concat([table, pd.DataFrame([total], columns=table.columns)], ignore_index=True)
