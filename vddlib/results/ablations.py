"""Ablations side by side: what every experiment of a paper measured, beside the table that it answers."""

import pandas as pd

from vddlib.results.compare import STANDS_FOR
from vddlib.results.methods import method_rank
from vddlib.results.published import published
from vddlib.results.records import summarise
from vddlib.results.schema import blank_to_none, display, headline
from vddlib.results.write import Block

# Records of an experiment carry its name as their variant. (what it asks, paper, the table that it answers)
EXPERIMENTS = {
    "components": ("TSGF's two parts", "tsgf", 3),
    "architectures": ("students that the clips were not recovered from", "tsgf", 4),
    "initialisation": ("what recovery begins with", "tsgf", 5),
    "augmentation": ("what students' batches are mixed by", "tsgf", 6),
    "groups": ("classes that move little and much", "tsgf", 7),
    "ipcs": ("clips per class", "tsgf", 8),
    "mask": ("what the mask does to the gradient", "tsgf", 9),
    "frames": ("frames in a clip (figure 4)", "tsgf", None),
    "labels": ("the share of soft labels", "tsgf", None),
    "compare": ("OptDistill with one thing changed", "optdistill", None),
    "hard labels": ("sets with soft labels, under hard ones", "optdistill", None),
    "from files": ("students of the clips as they are, and of what comes back out of their files", "optdistill", None),
}
ILLEGIBLE = {5, 8}  # of TSGF, in the copy at hand, but for single values
SHOWN = ["dataset", "method", "subset", "ipc", "protocol", "student", "teacher", "frames"]


def ablations(df: pd.DataFrame) -> list[Block]:
    """A block per experiment: our mean, std and n by setting, the published value beside where its table has that case.

    The published value is of the same method, student and part of the classes, and of the same IPC (of another, which is
    named, where the paper's table has none of ours); it is of the dataset that stands for ours, so that the order can be
    compared and not the level. Experiments without a record are left out.
    """
    if "variant" not in df:
        return []
    blocks = []
    for experiment, (asks, paper, number) in EXPERIMENTS.items():
        part = df[df["variant"] == experiment]
        if part.empty:
            continue
        theirs = published(paper=paper)
        theirs = theirs[theirs["table"] == number]
        table = _beside(summarise(part), theirs)
        answered = f", table {number} of the paper" if number else ""
        answered += " (illegible in the copy at hand)" if number in ILLEGIBLE else ""
        blocks.append(Block(f"{experiment}: {asks}{answered}", table))
    return blocks


def _beside(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    rows, other_ipc = [], not theirs["ipc"].isin(ours["ipc"]).any()
    for row in ours.sort_values("method", key=lambda names: names.map(method_rank), kind="stable").to_dict("records"):
        metric = headline(row["dataset"])
        shown = {name: row[name] for name in SHOWN if blank_to_none(row.get(name)) is not None}
        shown |= {name: display(row[name]) for name in ("dataset", "method")}
        shown |= {"mean": row[f"{metric}_mean"], "std": row[f"{metric}_std"], "n": row[f"{metric}_n"]}
        rows.append(shown | _published(row, theirs, other_ipc))
    table = pd.DataFrame(rows)
    table = table.astype({"ipc": "Int64"}) if "ipc" in table else table
    order = [*SHOWN, "mean", "std", "n", "published", "published std", "published on"]
    return table[[name for name in order if name in table and table[name].notna().any()]]


def _published(row: dict, theirs: pd.DataFrame, other_ipc: bool) -> dict:
    dataset = STANDS_FOR.get(row["dataset"], row["dataset"])
    subset = blank_to_none(row.get("subset"))
    dataset += f"[{subset}]" if subset else ""
    student = row["student"].partition("(")[0]
    found = theirs[
        (theirs["method"] == row["method"]) & (theirs["dataset"] == dataset) & (theirs["student"] == student)
    ]
    found = found if other_ipc else found[found["ipc"] == row["ipc"]]
    if found.empty:
        return {}
    paper = found.iloc[0]
    where = f"{display(dataset)}, IPC {paper['ipc']}"
    return {"published": paper["mean"], "published std": paper["std"], "published on": where}
