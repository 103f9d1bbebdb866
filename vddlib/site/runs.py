"""The executed notebooks of a scale: which are there, which stands for its notebook, and where its page is."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Which variant is the notebook's own page; the others follow it. Otherwise the first by name.
MAIN = ("motions_ipc5", "ipc5", "dm_ipc5", "real_ipc5", "components_ipc5", "modules_ipc1", "losses_ipc5", "all")


@dataclass(frozen=True)
class Run:
    """A finished run: its scale, notebook and variant, and the executed copy."""

    scale: str
    notebook: str
    variant: str
    path: Path

    @property
    def about(self) -> dict[str, Any]:
        """Its provenance."""
        return json.loads(self.path.with_suffix(".json").read_text(encoding="utf-8"))

    @property
    def sets(self) -> Path:
        """The distilled sets that it made, where it kept them."""
        return self.path.with_suffix(".sets")


def finished(root: Path, scale: str) -> dict[str, list[Run]]:
    """By notebook the runs of a scale that ended whole, the one with the notebook's own page first."""
    found: dict[str, list[Run]] = {}
    for path in sorted((root / "runs" / scale).glob("*/*.ipynb")):
        if path.with_suffix(".json").is_file():
            found.setdefault(path.parent.name, []).append(Run(scale, path.parent.name, path.stem, path))
    for runs in found.values():
        runs.sort(key=lambda run: (MAIN.index(run.variant) if run.variant in MAIN else len(MAIN), run.variant))
    return found


def document(runs: list[Run], run: Run) -> str:
    """The page of a run in the site, without its ending: the first one has the notebook's name."""
    return f"notebooks/{run.notebook}" if run is runs[0] else f"notebooks/{run.notebook}/{run.variant}"


def page_of(runs: dict[str, list[Run]], notebook: str, variant: str) -> str:
    """Where the page of a run is, relative to the site; '' where there is none."""
    mine = runs.get(notebook, [])
    return next((f"{document(mine, run)}.html" for run in mine if run.variant == variant), "")
