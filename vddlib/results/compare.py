"""Our numbers beside the published ones."""

import pandas as pd

from vddlib.core.errors import VddError
from vddlib.results.published import published
from vddlib.results.records import summarise
from vddlib.results.schema import EXTRA_KEYS, SETTING, display, headline

# Datasets without published numbers are shown beside those of the nearest dataset, which is named.
STANDS_FOR = {"motions": "miniucf", "miniucf10": "miniucf", "ucf10": "miniucf", "hmdb51-vdsd": "hmdb51"}
SAME = {"hmdb51-vdsd": "hmdb51"}  # the papers' HMDB51 is this one
SPLIT_NOTE = "published on the 5236-clip split of HMDB51, ours on official split 1"
UNPUBLISHED = {
    "published_on": "", "published_mean": None, "published_std": None, "published_by": "", "difference": None, "remark": "",
}  # fmt: skip


def compare(df: pd.DataFrame, metric: str | None = None) -> pd.DataFrame:
    """Our mean, std and n of a metric (None: of each dataset's own) beside the published ones, one row per setting.

    Added to the setting: `mean, std, n`, then `published_on` ('published (MiniUCF, A)': dataset and protocol),
    `published_mean`, `published_std`, `published_by`, `difference` (ours minus published; only where dataset and IPC
    are the same) and `remark`, which names every way in which the two are not alike.
    """
    if metric is None and len(df):
        parts = [compare(part, headline(dataset)) for dataset, part in df.groupby("dataset", sort=False)]
        return pd.concat(parts, ignore_index=True)
    metric = metric or "top1"
    summary = summarise(df)
    summary = summary[summary[f"{metric}_n"] > 0]
    setting = [c for c in [*SETTING, *EXTRA_KEYS] if c in summary]
    ours = summary[setting].assign(
        mean=summary[f"{metric}_mean"], std=summary[f"{metric}_std"], n=summary[f"{metric}_n"]
    )
    numbers = [column for column, blank in UNPUBLISHED.items() if blank is None]
    reference = published(metric=metric, reference=True)
    beside = [_beside(row, reference) for row in ours.to_dict("records")]
    theirs = pd.DataFrame(beside, index=ours.index, columns=list(UNPUBLISHED))
    theirs[numbers] = theirs[numbers].astype("float64")
    return pd.concat([ours, theirs], axis=1).reset_index(drop=True)


def _beside(ours: dict, reference: pd.DataFrame) -> dict:
    dataset = STANDS_FOR.get(ours["dataset"], ours["dataset"])
    same_ipc = reference["ipc"].isna() if pd.isna(ours["ipc"]) else reference["ipc"].eq(ours["ipc"]).fillna(False)
    found = reference[(reference["method"] == ours["method"]) & (reference["dataset"] == dataset) & same_ipc]
    if found.empty or ours.get("variant") or ours.get("subset"):
        return UNPUBLISHED
    student = ours["student"].partition("(")[0]  # a small MiniC3D is nearer to MiniC3D than to another architecture
    likeness = 2 * (found["student"] == student) + (found["protocol"] == ours["protocol"])
    paper = found.loc[likeness.idxmax()]
    same_dataset = ours["dataset"] == dataset or SAME.get(ours["dataset"]) == dataset
    unlike = [
        None if same_dataset else f"another dataset ({display(dataset)})",
        SPLIT_NOTE if ours["dataset"] == "hmdb51" else None,
        *(
            f"{what} {paper[what]} published, {ours[what]} here" if paper[what] != ours[what] else None
            for what in ("protocol", "student")
        ),
        paper["note"],
    ]
    return {
        "published_on": f"published ({display(dataset)}, {paper['protocol']})",
        "published_mean": paper["mean"],
        "published_std": paper["std"],
        "published_by": f"{paper['paper']}, table {paper['table']}",
        "difference": ours["mean"] - paper["mean"] if same_dataset else None,
        "remark": "; ".join(text for text in unlike if text),
    }


def dataset_table() -> pd.DataFrame:
    """One row per dataset of the catalogue: official counts, what lies under VDD_DATA (empty where it is not there), and
    table 1 of the diffusion paper."""
    from vddlib.datasets import catalog

    paper = published(paper="diffusion")
    counts = {(row.dataset, row.metric): int(row.mean) for row in paper[paper["table"].astype(str) == "1"].itertuples()}
    rows = []
    for name, spec in catalog.CATALOG.items():
        try:
            found = catalog.read(name)
            here = (len(found.train), len(found.test))
        except VddError:
            here = (None, None)
        theirs = [counts.get((name, part)) for part in ("total", "train", "val", "generated")]
        rows.append((name, spec.num_classes, *spec.counts, *here, *theirs))
    columns = ["dataset", "classes", "train", "test", "train here", "test here"]
    columns += [f"{part} (paper)" for part in ("total", "train", "val", "generated")]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[1:], "Int64"))
