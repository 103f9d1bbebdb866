"""Where a notebook's figures, tables and distilled sets go, and the provenance they carry."""

import os
from collections.abc import Mapping
from pathlib import Path

from vddlib import plots, results
from vddlib.core import provenance
from vddlib.datasets.clips import Clips
from vddlib.distillers import DistilledSet
from vddlib.notebook.job import SETS


def folder() -> Path:
    """Of the run at hand: under the runner a scratch folder, which becomes ``figures/SCALE/NOTEBOOK/VARIANT`` when the
    run is whole; in JupyterLab ``runs/interactive/figures``, which git ignores."""
    run = os.environ.get("VDD_RUN")
    return Path(run) / "figures" if run else provenance.project_root() / "runs" / "interactive" / "figures"


def figure(drawing, name: str, caption: str, clips: Clips | None = None):
    """Save a figure as ``NAME.svg`` (one raster where it shows frames) and ``NAME.json``; and return it.

    The .json holds provenance (with the fingerprint of `clips`) and the caption.
    """
    plots.save(drawing, folder() / name, _origin(clips), caption)
    return drawing


def table(frame, name: str, header: str = "", notes=(), clips: Clips | None = None) -> None:
    """Save a table as ``NAME.md``, ``.csv``, ``.tex`` and ``.json``."""
    results.write_table(frame, folder(), name, _origin(clips), header, notes)


def keep(made: Mapping[int, DistilledSet]) -> None:
    """Save the distilled set of each seed as ``VARIANT.sets/METHOD_seedN`` beside the run, for `vdd export`, `vdd evaluate` and
    whoever wants to look at them. Nothing is saved outside of a run."""
    run = os.environ.get("VDD_RUN")
    for seed, one in made.items() if run else ():
        one.save(Path(run) / SETS / f"{one.card['method']}_seed{seed}", previews=False)


def _origin(clips: Clips | None) -> dict:
    return {
        "scale": os.environ.get("VDD_SCALE") or "interactive",
        "commit": provenance.commit(),
        "dirty": provenance.dirty(),
        "lock_sha256": provenance.lock_sha256(),
        "params_sha256": os.environ.get("VDD_PARAMS_SHA256", ""),
        **({"dataset": clips.dataset, "dataset_sha256": clips.fingerprint} if clips is not None else {}),
    }
