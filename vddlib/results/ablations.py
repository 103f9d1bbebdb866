"""Ablations side by side: what every experiment of a paper measured, beside the table that it answers."""

from typing import NamedTuple

import pandas as pd

from vddlib.evaluation.fair import FAIR
from vddlib.results.compare import STANDS_FOR
from vddlib.results.methods import method_rank
from vddlib.results.published import published
from vddlib.results.records import summarise
from vddlib.results.schema import blank_to_none, display, headline
from vddlib.results.write import Block, cell


class Experiment(NamedTuple):
    """What an experiment is about, the paper it belongs to, and the table of it that it answers."""

    about: str
    paper: str
    table: int | None


EXPERIMENTS = {  # by the variant that its records carry
    "components": Experiment("TSGF's two parts", "tsgf", 3),
    "architectures": Experiment("students that the clips were not recovered from", "tsgf", 4),
    "initialisation": Experiment("what recovery begins with", "tsgf", 5),
    "augmentation": Experiment("what students' batches are mixed by", "tsgf", 6),
    "groups": Experiment("classes that move little and much", "tsgf", 7),
    "ipcs": Experiment("clips per class", "tsgf", 8),
    "mask": Experiment("what the mask does to the gradient", "tsgf", 9),
    "frames": Experiment("frames in a clip (figure 4)", "tsgf", None),
    "labels": Experiment("the share of soft labels", "tsgf", None),
    "memories": Experiment("VDSD's memories, one thing changed at a time", "vdsd", None),
    "modules": Experiment("IDTD's two parts", "idtd", 3),
    "losses": Experiment("IDTD's three losses", "idtd", 4),
    "lengths": Experiment("synthetic frames (figure 3)", "idtd", None),
    "diversity": Experiment("IDTD's diversity loss, and eq. 1 as printed", "idtd", None),
    "selection losses, real pool": Experiment("VST-UNet's losses, choosing from real clips", "diffusion", 6),
    "selection printed, real pool": Experiment(
        "eq. 2 and algorithm 1 as printed, choosing from real clips", "diffusion", None
    ),
    "selection embedders, real pool": Experiment("what embeds for TAC-DT, choosing from real clips", "diffusion", None),
    "selection losses, generated pool": Experiment("VST-UNet's losses, choosing from generated clips", "diffusion", 6),
    "selection printed, generated pool": Experiment(
        "eq. 2 and algorithm 1 as printed, choosing from generated clips", "diffusion", None
    ),
    "selection embedders, generated pool": Experiment(
        "what embeds for TAC-DT, choosing from generated clips", "diffusion", None
    ),
    "cross-architecture": Experiment("every method's clips, students of other architectures", "tsgf", 4),
    "classifiers": Experiment("C3D and Video Swin on chosen clips", "diffusion", 5),
    "compare": Experiment("OptDistill with one thing changed", "optdistill", None),
    "hard labels": Experiment("sets with soft labels, under hard ones", "optdistill", None),
    "from files": Experiment(
        "students of the clips as they are, and of what comes back out of their files", "optdistill", None
    ),
}
ILLEGIBLE = {("tsgf", 5), ("tsgf", 8)}  # in the copy at hand, but for single values
SETTINGS = ["dataset", "method", "subset", "ipc", "protocol", "student", "teacher", "frames"]
KEPT = ["method", "ours", "published"]  # columns that stay although all rows have the same value
IN_CAPTION = {  # how a value that all rows share is said in the caption
    "subset": "{} classes", "ipc": "IPC {}", "protocol": "protocol {}", "student": "student {}", "teacher": "teacher {}",
    "frames": "{} frames", "n": "{} seeds", "published on": "published on {}",
}  # fmt: skip


def ablations(df: pd.DataFrame) -> list[Block]:
    """A block per experiment: ours as 'mean (std)' by setting, the published value beside where its table has that case.

    What all rows share (dataset, IPC, student, number of seeds n, ...) is said in the block's header instead of a column.
    The published value is of the same method, student and part of the classes, and of the same IPC (of another, which is
    named, where the paper's table has none of ours); it is of the dataset that stands for ours, so that the order can be
    compared and not the level. Experiments without a record are left out.
    """
    if "variant" not in df:
        return []
    blocks = []
    for experiment, (about, paper, number) in EXPERIMENTS.items():
        part = df[df["variant"] == experiment]
        if part.empty:
            continue
        theirs = published(paper=paper)
        theirs = theirs[theirs["table"] == number]
        table, shared = _without_constants(_beside(summarise(part), theirs))
        answered = f", table {number} of the paper" if number else ""
        answered += " (illegible in the copy at hand)" if (paper, number) in ILLEGIBLE else ""
        blocks.append(Block(" · ".join([f"{experiment}: {about}{answered}", *shared]), table))
    return blocks


def _beside(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """A row per setting of ours: its columns, our 'mean (std)', n, and the published 'mean (std)' where there is one."""
    rows, other_ipc = [], not theirs["ipc"].isin(ours["ipc"]).any()
    for row in ours.sort_values("method", key=lambda names: names.map(method_rank), kind="stable").to_dict("records"):
        metric = headline(row["dataset"])
        shown = {name: row[name] for name in SETTINGS if blank_to_none(row.get(name)) is not None}
        shown |= {name: display(row[name]) for name in ("dataset", "method", "student")}
        shown |= {"ours": cell(row[f"{metric}_mean"], row[f"{metric}_std"]), "n": row[f"{metric}_n"]}
        rows.append(shown | _published(row, theirs, other_ipc))
    table = pd.DataFrame(rows)
    table = table.astype({name: "Int64" for name in ("ipc", "frames") if name in table})
    order = [*SETTINGS, "ours", "n", "published", "published on"]
    return table[[name for name in order if name in table and table[name].notna().any()]]


def _without_constants(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The table without the columns in which all rows have the same value, and those values as texts of a caption."""
    shared = []
    for name in (name for name in table if name not in KEPT):
        # Rows without a published value say nothing of where it is from; an empty setting is a value of its own.
        values = table[name].dropna() if name == "published on" else table[name]
        if values.nunique(dropna=False) == 1:
            text = IN_CAPTION.get(name, "{}").format(values.iloc[0])
            shared.append("1 seed" if text == "1 seeds" else text)
            table = table.drop(columns=name)
    return table, shared


def _published(row: dict, theirs: pd.DataFrame, other_ipc: bool) -> dict:
    if row.get("protocol") in FAIR:  # no paper has these
        return {}
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
    return {"published": cell(paper["mean"], paper["std"]), "published on": where}
