"""The papers' own numbers, from published.yaml: as printed, never adjusted, with a note where they do not add up."""

import re
from functools import cache
from pathlib import Path

import pandas as pd
import yaml

from vddlib.core.errors import VddError

FILE = Path(__file__).with_name("published.yaml")
COLUMNS = [
    "paper", "table", "method", "dataset", "ipc", "protocol", "student", "metric", "mean", "std", "unit", "reference",
    "note",
]  # fmt: skip


def published(
    method: str | None = None,
    dataset: str | None = None,
    metric: str | None = None,
    paper: str | None = None,
    reference: bool | None = None,
) -> pd.DataFrame:
    """Published results, one printed value per row; arguments narrow them down.

    Columns: paper, table, method, dataset (`miniucf[static]` is a part of one), ipc (Int64, NA for all data), protocol
    (A to E, '' where none applies), student, metric, mean, std (NA where not printed), unit
    ('%', 'MB', 'h', ...), reference (whether it stands in the column beside ours), note.
    """
    df = _everything()
    wanted = {"method": method, "dataset": dataset, "metric": metric, "paper": paper, "reference": reference}
    for column, value in wanted.items():
        if value is not None:
            df = df[df[column] == value]
    return df.reset_index(drop=True)


def papers() -> dict[str, str]:
    """Titles of the papers by the short name used in column `paper`."""
    return dict(yaml.safe_load(FILE.read_text())["papers"])


@cache
def _everything() -> pd.DataFrame:
    source = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    entries = [entry for table in source["tables"] for entry in _entries(table, source["protocols"])]
    df = pd.DataFrame(entries, columns=COLUMNS)
    return df.astype({"ipc": "Int64", "mean": "float64", "std": "float64", "reference": "bool"})


def _entries(table: dict, protocols: dict[str, str]):
    for method, row in table["rows"].items():
        values = row if isinstance(row, dict) else dict(zip(table["cells"], row, strict=True))
        base = method.split("[")[0]
        for cell, printed in values.items():
            if printed is None:
                continue
            dataset, *rest = cell.split()
            ipc = int(rest.pop(0)) if rest and rest[0].isdigit() else None
            mean, std, unit = _parse(str(printed))
            protocol = table.get("protocol", protocols.get(base, ""))
            yield {
                "paper": table["paper"],
                "table": table["table"],
                "method": method,
                "dataset": dataset,
                "ipc": ipc,
                "protocol": table.get("row_protocols", {}).get(method, protocol),
                "student": table.get("students", {}).get(method, table.get("student", "minic3d")),
                "metric": rest[0] if rest else table["metric"],
                "mean": mean,
                "std": std,
                "unit": unit or table.get("unit", "%"),
                "reference": method in table.get("reference", []),
                "note": _note(table, method, dataset, cell),
            }


def _note(table: dict, method: str, dataset: str, cell: str) -> str:
    notes = table.get("notes", {})
    found = [table.get("note"), *(notes.get(key) for key in (method, f"{method} {dataset}"))]
    if cell != dataset:
        found.append(notes.get(f"{method} {cell}"))
    return "; ".join(text for text in found if text)


def _parse(printed: str) -> tuple[float, float | None, str]:
    """'15.3 (1.1)' -> (15.3, 1.1, ''); '9.81 GB' -> (9.81, None, 'GB')."""
    match = re.fullmatch(r"([\d.]+)(?: \(([\d.]+)\))?(?: ([A-Za-z]+))?", printed)
    if not match:
        raise VddError(f"{FILE.name}: '{printed}' is not written as 'mean (std) unit'")
    return float(match[1]), float(match[2]) if match[2] else None, match[3] or ""
