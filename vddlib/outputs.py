"""Where a notebook's figures and tables go, and the provenance they carry."""

import os
from pathlib import Path

from vddlib import plots, provenance, results


def scale() -> str:
    """The scale that the runner executes, or 'interactive' in JupyterLab."""
    return os.environ.get("VDD_SCALE") or "interactive"


def folder() -> Path:
    """``figures/SCALE`` under the runner; ``runs/interactive/figures``, which git ignores, without it."""
    root = provenance.project_root()
    return root / "figures" / scale() if scale() != "interactive" else root / "runs" / "interactive" / "figures"


def figure(drawing, name: str, caption: str, **facts) -> None:
    """Save a figure as ``NAME.png``, ``.svg`` and ``.json``, with `facts` (dataset, seeds...) beside the usual ones."""
    plots.save(drawing, folder() / name, _origin(facts), caption)


def table(frame, name: str, header: str = "", notes=(), **facts) -> None:
    """Save a table as ``NAME.md``, ``.csv``, ``.tex`` and ``.json``."""
    results.write_table(frame, folder(), name, _origin(facts), header, notes)


def _origin(facts: dict) -> dict:
    params = {"params_sha256": os.environ.get("VDD_PARAMS_SHA256", "")}
    return {"scale": scale(), "commit": provenance.commit(), "lock_sha256": provenance.lock_sha256(), **params, **facts}
