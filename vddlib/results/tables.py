"""Tables of records beside the published numbers, as Markdown, CSV and LaTeX, each with its provenance in JSON."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from tabulate import tabulate

from vddlib.errors import VddError
from vddlib.results.published import published
from vddlib.results.records import summarise, to_csv, write_atomic
from vddlib.results.schema import EXTRA_KEYS, ORIGIN, SETTING, display, headline

# A dataset of ours that nobody published on stands beside the nearest one, and says so.
STANDS_FOR = {"motions": "miniucf", "ucf10": "miniucf", "hmdb51-vdsd": "hmdb51"}
SAME = {"hmdb51-vdsd": "hmdb51"}  # the papers' HMDB51 is this one
SPLIT_NOTE = "published on the 5236-clip split of HMDB51, ours on official split 1"
NOTHING = {
    "published_on": "", "published_mean": None, "published_std": None, "published_by": "", "difference": None, "remark": "",
}  # fmt: skip


class Block(NamedTuple):
    """A part of a table: a line above it, and its rows (text or numbers)."""

    header: str
    table: pd.DataFrame


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
    numbers = [column for column, blank in NOTHING.items() if blank is None]
    reference = published(metric=metric, reference=True)
    beside = [_beside(row, reference) for row in ours.to_dict("records")]
    theirs = pd.DataFrame(beside, index=ours.index, columns=list(NOTHING))
    theirs[numbers] = theirs[numbers].astype("float64")
    return pd.concat([ours, theirs], axis=1).reset_index(drop=True)


def _beside(ours: dict, reference: pd.DataFrame) -> dict:
    dataset = STANDS_FOR.get(ours["dataset"], ours["dataset"])
    same_ipc = reference["ipc"].isna() if pd.isna(ours["ipc"]) else reference["ipc"].eq(ours["ipc"]).fillna(False)
    found = reference[(reference["method"] == ours["method"]) & (reference["dataset"] == dataset) & same_ipc]
    if found.empty or ours.get("variant") or ours.get("subset"):
        return NOTHING
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


def origin(df: pd.DataFrame, scale: str = "") -> dict:
    """Where the rows of a table or figure come from: commits, hashes of lock, parameters, datasets and the rows."""

    def distinct(column: str) -> list[str]:
        return sorted({v for v in df[column] if v})

    return {
        "scale": scale,
        "rows": len(df),
        **{column: distinct(column) for column in ORIGIN if column != "dataset_sha256"},
        "dataset_sha256": {d: sorted({v for v in g["dataset_sha256"] if v}) for d, g in df.groupby("dataset")},
        "records_sha256": hashlib.sha256(to_csv(df).encode()).hexdigest(),
    }


def write_origin(path: Path, facts: dict) -> Path:
    """Write provenance and its time; the time stays when nothing else has changed, so that a rerun changes no file."""
    text = json.dumps(facts, indent=1, sort_keys=True, default=str)
    if path.exists():
        old = json.loads(path.read_text(encoding="utf-8"))
        old.pop("time", None)
        if old == json.loads(text):
            return path
    stamped = {**json.loads(text), "time": datetime.now(UTC).isoformat(timespec="seconds")}
    return write_atomic(path, json.dumps(stamped, indent=1, sort_keys=True) + "\n")


def write_table(
    table: pd.DataFrame | Sequence[Block],
    folder: str | Path,
    name: str,
    provenance: dict,
    header: str = "",
    notes: Iterable[str] = (),
) -> list[Path]:
    """Write FOLDER/NAME.md, .csv, .tex and .json: one table, or several blocks one under the other.

    `header` stands above everything and `notes` below (Markdown and LaTeX). Empty values stay empty. Floats are printed
    with two decimals, and in full in the CSV, whose first column names the block when there are several.
    """
    blocks = [Block("", table)] if isinstance(table, pd.DataFrame) else list(table)
    folder, notes = Path(folder), list(notes)
    csv = pd.concat([b.table.assign(block=b.header) if len(blocks) > 1 else b.table for b in blocks], ignore_index=True)
    if len(blocks) > 1:
        csv = csv[["block", *(c for c in csv if c != "block")]]
    texts = {
        "md": markdown(blocks, header, notes),
        "csv": csv.to_csv(index=False, lineterminator="\n", float_format="%.10g"),
        "tex": latex(blocks, header, notes),
    }
    paths = [write_atomic(folder / f"{name}.{suffix}", text) for suffix, text in texts.items()]
    return [*paths, write_origin(folder / f"{name}.json", provenance)]


def _printed(table: pd.DataFrame) -> pd.DataFrame:
    def text(value) -> str:
        if not isinstance(value, str) and pd.isna(value):
            return ""
        return f"{value:.2f}" if isinstance(value, float) else str(value)

    return pd.DataFrame({c: [text(v) for v in table[c]] for c in table}, dtype=object)


def markdown(blocks: Sequence[Block], header: str = "", notes: Sequence[str] = ()) -> str:
    """The blocks as aligned Markdown, readable in a terminal too."""
    parts = [header] if header else []
    for block in blocks:
        parts += [f"**{block.header}**"] if block.header else []
        table = _printed(block.table)
        parts.append(tabulate(table.values, headers=list(table), tablefmt="pipe", disable_numparse=True))
    return "\n\n".join([*parts, *notes]) + "\n"


def latex(blocks: Sequence[Block], header: str = "", notes: Sequence[str] = ()) -> str:
    """The blocks as LaTeX tabulars with booktabs rules; header and notes as plain paragraphs around them."""
    parts = ["% needs \\usepackage{booktabs}"] + ([escape(header)] if header else [])
    for block in blocks:
        table = _printed(block.table)
        rows = [" & ".join(map(escape, row)) + r" \\" for row in table.values]
        lines = [rf"\begin{{tabular}}{{l{'r' * (table.shape[1] - 1)}}}", r"\toprule"]
        lines += [" & ".join(map(escape, table)) + r" \\", r"\midrule", *rows, r"\bottomrule", r"\end{tabular}"]
        parts += ([rf"\textbf{{{escape(block.header)}}}"] if block.header else []) + ["\n".join(lines)]
    return "\n\n".join([*parts, *map(escape, notes)]) + "\n"


def escape(text: str) -> str:
    """Text safe in LaTeX."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
        c: "\\" + c for c in "&%$#_{}"
    }
    safe = re.sub(r"[\\~^&%$#_{}]", lambda m: special[m[0]], str(text))
    return safe.replace("±", r"$\pm$").replace("×", r"$\times$").replace("·", r"$\cdot$").replace("–", "--")


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
