"""What a run will take, said before it starts: from what the same parameters took before, or from a forecast."""

import csv
import json
from contextlib import suppress
from pathlib import Path

from vddlib.notebook.job import Job


def expected(job: Job, params_sha256: str) -> str:
    """One sentence; '' where nothing is known of these parameters, or where it is less than a minute."""
    with suppress(OSError, ValueError, KeyError, TypeError):  # no earlier run, or what another program left
        last = json.loads(job.beside(".json").read_text(encoding="utf-8"))
        if last["params_sha256"] == params_sha256:
            minutes = last["wall_seconds"] / 60
            return f"took {minutes:.0f} min here when it was last run" if minutes >= 1 else ""
    made = _rows(job.root / "figures" / job.scale / "records.csv", "params_sha256", params_sha256)
    # Under another variant, protocol or seed a row may tell of the same set, student or pool again: with its very seconds.
    sets = {(row["method"], row["ipc"], row["distill_seconds"]) for row in made}
    students = {(row["method"], row["protocol"], row["ipc"], row["seed"], row["train_seconds"]) for row in made}
    minutes = sum(float(seconds or 0) for *_, seconds in [*sets, *students]) / 60
    if minutes >= 1:
        where = f"in figures/{job.scale}/records.csv, on {made[0]['device'] or 'an unnamed device'}"
        return f"takes up to {minutes:.0f} min, as its sets and students did {where}; what the cache has is not computed again"
    counted = _rows(job.root / "figures" / job.scale / "forecast.csv", "job", f"{job.notebook.stem}/{job.output.stem}")
    if counted:
        hours, memory = float(counted[0]["GPU hours"]), float(counted[0]["GPU memory (GiB)"])
        return f"takes some {hours:.1f} GPU hours and {memory:.0f} GiB, as counted in figures/{job.scale}/forecast.md"
    return ""


def _rows(table: Path, column: str, value: str) -> list[dict]:
    """The rows of a table that have a value; none where there is no such table."""
    if not table.is_file():
        return []
    with table.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row[column] == value]
