"""What a run will take, said before it starts: from what the same parameters took before, or from a forecast."""

import csv
from pathlib import Path

from vddlib.notebook.job import Job


def expected(job: Job, params_sha256: str) -> str:
    """One sentence; '' where nothing is known of these parameters, or where it is less than a minute."""
    made = _rows(job.root / "figures" / job.scale / "records.csv", "params_sha256", params_sha256)
    distilled: dict[tuple, float] = {}  # a set counts once, whoever learns from it
    for row in made:
        one = (row["method"], row["variant"], row["ipc"], row["seed"])
        distilled[one] = max(distilled.get(one, 0.0), float(row["distill_seconds"] or 0))
    minutes = (sum(distilled.values()) + sum(float(row["train_seconds"] or 0) for row in made)) / 60
    if minutes >= 1:
        where = f"as figures/{job.scale}/records.csv has it, on {made[0]['device'] or 'an unnamed device'}"
        return (
            f"takes {minutes:.0f} min or more: its {len(distilled)} sets and {len(made)} students did, {where}; "
            "what the cache has already is not computed again"
        )
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
