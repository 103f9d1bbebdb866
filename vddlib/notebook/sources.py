"""The gate for notebook sources: ``python -m vddlib.notebook.sources`` names every one that is not clean (exit code 1)."""

import json
import sys
from pathlib import Path


def problems(path: Path) -> list[str]:
    """What is wrong with one notebook source: outputs, execution counts, not exactly one parameters cell, stray metadata."""
    try:
        cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError) as error:
        return [f"{path}: not readable as a notebook ({error})"]
    found = []
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    if any(cell.get("outputs") or cell.get("execution_count") for cell in code):
        found.append(f"{path}: carries outputs or execution counts; clear them before committing")
    tagged = sum("parameters" in cell.get("metadata", {}).get("tags", []) for cell in cells)
    if tagged != 1:
        found.append(f"{path}: {tagged} cells are tagged 'parameters', one is expected")
    if stray := {key for cell in cells for key in cell.get("metadata", {})} - {"tags", "jupyter"}:
        found.append(
            f"{path}: cells carry metadata {', '.join(sorted(stray))}; only tags, and what JupyterLab folds, belong there"
        )
    if not cells or cells[0]["cell_type"] != "markdown":
        found.append(f"{path}: does not begin with a title")
    return found


def main(folder: Path = Path("notebooks")) -> int:
    """Check every notebook under `folder`; 1 where any is not clean or there is none."""
    paths = sorted(Path(folder).glob("*.ipynb"))
    found = [line for path in paths for line in problems(path)] or ([] if paths else [f"{folder}: holds no notebook"])
    print("\n".join(found) or f"{len(paths)} notebooks are clean")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
