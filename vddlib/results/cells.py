"""Every published accuracy beside ours, with a status: reproduced, differs, measured on another dataset, or not run here."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from vddlib.core.errors import unknown
from vddlib.evaluation.statistics import interval
from vddlib.results import select
from vddlib.results.ablations import EXPERIMENTS
from vddlib.results.compare import SAME, STANDS_FOR
from vddlib.results.published import papers, published
from vddlib.results.schema import display
from vddlib.results.write import Block, cell

REAL_POOL = "real pool"  # in names of experiments: the diffusion paper chooses from generated pools
METRICS = ("top1", "top5", "auc", "f1")
REPRODUCED, DIFFERS, ELSEWHERE, NOT_RUN = "reproduced", "differs", "another dataset", "not run"
Records = Mapping[tuple[str, str, str], pd.DataFrame]  # by method, dataset and protocol
COLUMNS = ["paper", "table", "method", "dataset", "ipc", "metric", "published", "ours", "on", "difference", "status"]
EXPLAINED = (
    "reproduced: the published mean lies in our 95 % interval over seeds (of one seed: at its value), widened by its own "
    "standard deviation; differs: it does not; another dataset: ours is of the nearest one, compare the order and not the "
    "level; not run: no record of this method, protocol, student and number of clips at this scale"
)


def cells(df: pd.DataFrame, paper: str | None = None) -> pd.DataFrame:
    """A row per published accuracy of one paper, or of all: what is printed, ours, and the status that EXPLAINED explains.

    `df` are records. Ours are of the same method, protocol, metric, IPC and architecture of the student (whatever its width),
    and of the same dataset, else of one that stands for it, which `on` names. Raises VddError for an unknown paper.
    """
    if paper and paper not in papers():
        raise unknown("paper", paper, papers())
    theirs = published(paper=paper)
    theirs = theirs[theirs["metric"].isin(METRICS)]
    df = df.assign(architecture=df["student"].str.partition("(")[0])
    ours = dict(tuple(df.groupby(["method", "dataset", "protocol"])))
    found = pd.DataFrame([_beside(row, ours) for row in theirs.to_dict("records")], columns=COLUMNS)
    return found.astype({"ipc": "Int64"})


def blocks(found: pd.DataFrame) -> list[Block]:
    """The cells of each table of each paper, and above them how many have which status."""
    made = []
    for (paper, table), part in found.groupby(["paper", "table"], sort=False):
        shown = in_print(part.drop(columns=["paper", "table"]))
        made.append(Block(f"{papers()[paper]}, table {table}: {counts(part)}", shown))
    return made


def counts(found: pd.DataFrame) -> str:
    """How many of some cells have which status: '3 reproduced, 5 not run'."""
    return ", ".join(f"{count} {status}" for status, count in found["status"].value_counts().items())


def in_print(found: pd.DataFrame) -> pd.DataFrame:
    """Cells with methods and datasets as they are called in print."""
    names = {name: found[name].map(display) for name in ("method", "dataset", "on")}
    return found.assign(**names, ipc=found["ipc"].map(lambda ipc: "" if pd.isna(ipc) else str(ipc)))


def _beside(theirs: dict, ours: Records) -> dict:
    row = {name: theirs[name] for name in ("paper", "table", "method", "dataset", "ipc", "metric")}
    row |= {
        "published": cell(theirs["mean"], theirs["std"]),
        "ours": "",
        "on": "",
        "difference": None,
        "status": NOT_RUN,
    }
    for dataset, same in _datasets(theirs["dataset"].partition("[")[0]):
        values = _ours(theirs, ours, dataset)
        if len(values) == 0:
            continue
        spread = values.std(ddof=1) if len(values) > 1 else np.nan
        status = ELSEWHERE
        if same:
            found = interval(values[:, None])
            reach = (found.high - found.mean if len(values) > 1 else 0.0) + np.nan_to_num(theirs["std"])
            row["difference"] = values.mean() - theirs["mean"]
            status = REPRODUCED if abs(row["difference"]) <= reach else DIFFERS
        return row | {"ours": f"{cell(values.mean(), spread)}, n {len(values)}", "on": dataset, "status": status}
    return row


def _datasets(name: str) -> list[tuple[str, bool]]:
    """The datasets whose records may stand beside one of the papers', best first, and whether it is the papers' own.

    The papers' HMDB51 is the field's split (SAME): the official one stands for it, as any other dataset does.
    """
    own = next((ours for ours, theirs in SAME.items() if theirs == name), name)
    others = [ours for ours, stood in STANDS_FOR.items() if stood == name]
    return [(own, True), *((other, False) for other in dict.fromkeys([name, *others]) if other != own)]


def _ours(theirs: dict, ours: Records, dataset: str) -> np.ndarray:
    """The metric of every seed: of the usual plain run, else of one experiment that answers the table."""
    df = ours.get((theirs["method"], dataset, theirs["protocol"]))
    if df is None:
        return np.empty(0)
    subset = theirs["dataset"].partition("[")[2].rstrip("]")
    fits = df["ipc"].isna() if pd.isna(theirs["ipc"]) else df["ipc"].eq(theirs["ipc"]).fillna(False)
    if theirs["student"]:
        fits &= df["architecture"] == theirs["student"]
    mine = df[fits & df[theirs["metric"]].notna()]
    mine = mine[select.text(mine, "subset") == subset]
    variant = select.text(mine, "variant")
    answers = [n for n, one in EXPERIMENTS.items() if (one.paper, one.table) == (theirs["paper"], theirs["table"])]
    for name in ("", *sorted(answers, key=lambda n: REAL_POOL in n)):
        chosen = select.usual_runs(mine[variant == name])
        if len(chosen):
            usual = chosen["student"].value_counts().index[0]  # of the architecture's widths the one with most records
            chosen = chosen[chosen["student"] == usual].drop_duplicates("seed")
            return chosen[theirs["metric"]].to_numpy(float)
    return np.empty(0)
