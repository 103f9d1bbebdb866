"""Tables as Markdown, CSV and LaTeX, and the provenance that every table and figure carries in JSON."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from tabulate import tabulate

from vddlib.core.files import write_atomic
from vddlib.results.records import to_csv
from vddlib.results.schema import ORIGIN


class Block(NamedTuple):
    """A part of a table: a line above it, and its rows (text or numbers)."""

    header: str
    table: pd.DataFrame


class Grey(str):
    """Text of a cell that is to be seen less: grey in LaTeX, small in Markdown, where GitHub lets nothing be coloured.

    It needs a column of dtype object: pandas' own type of text, where pyarrow is installed, keeps the letters alone.
    """

    __slots__ = ()


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


def cell(mean: float, std: float, decimals: int = 1, sign: bool = False) -> str:
    """'45.2 (1.1)'; without the brackets where there is no std, with a plus before a positive mean for `sign`."""
    return f"{mean:{'+' if sign else ''}.{decimals}f}" + ("" if pd.isna(std) else f" ({std:.{decimals}f})")


def spanned(mean: float, low: float, high: float, sign: bool = False) -> str:
    """'45.2 [43.1, 47.3]', for `sign` '+4.2 [+1.0, +7.4]'; the mean alone where there is no interval."""
    plus = "+" if sign else ""
    return f"{mean:{plus}.1f}" + ("" if pd.isna(low) else f" [{low:{plus}.1f}, {high:{plus}.1f}]")


def _printed(table: pd.DataFrame, safe: Callable[[str], str], grey: str) -> pd.DataFrame:
    """Every cell as `safe` text; one that is `Grey` stands in the pattern `grey`."""

    def text(value) -> str:
        if not isinstance(value, str) and pd.isna(value):
            return ""
        if isinstance(value, Grey) and value:
            return grey.format(safe(value))
        return safe(f"{value:.2f}" if isinstance(value, float) else str(value))

    return pd.DataFrame({c: [text(v) for v in table[c]] for c in table}, dtype=object)


def markdown(blocks: Sequence[Block], header: str = "", notes: Sequence[str] = ()) -> str:
    """The blocks as aligned Markdown, readable in a terminal too."""
    parts = [header] if header else []
    for block in blocks:
        parts += [f"**{block.header}**"] if block.header else []
        table = _printed(block.table, str, "<sub>{}</sub>")
        parts.append(tabulate(table.values, headers=list(table), tablefmt="pipe", disable_numparse=True))
    return "\n\n".join([*parts, *notes]) + "\n"


def latex(blocks: Sequence[Block], header: str = "", notes: Sequence[str] = ()) -> str:
    """The blocks as LaTeX tabulars with booktabs rules; header and notes as plain paragraphs around them."""
    parts = ["% needs \\usepackage{booktabs}"] + ([escape(header)] if header else [])
    for block in blocks:
        table = _printed(block.table, escape, r"\textcolor{{gray}}{{{}}}")
        rows = [" & ".join(row) + r" \\" for row in table.values]
        lines = [rf"\begin{{tabular}}{{l{'r' * (table.shape[1] - 1)}}}", r"\toprule"]
        lines += [" & ".join(map(escape, table)) + r" \\", r"\midrule", *rows, r"\bottomrule", r"\end{tabular}"]
        parts += ([rf"\textbf{{{escape(block.header)}}}"] if block.header else []) + ["\n".join(lines)]
    text = "\n\n".join([*parts, *map(escape, notes)]) + "\n"
    return text.replace("{booktabs}", "{booktabs,xcolor}", 1) if r"\textcolor" in text else text


def escape(text: str) -> str:
    """Text safe in LaTeX."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
        c: "\\" + c for c in "&%$#_{}"
    }
    safe = re.sub(r"[\\~^&%$#_{}]", lambda m: special[m[0]], str(text))
    return (
        safe.replace("±", r"$\pm$")
        .replace("×", r"$\times$")
        .replace("·", r"$\cdot$")
        .replace("–", "--")
        .replace("†", r"$\dagger$")
    )
