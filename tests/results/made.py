"""Records of students that were never trained: what each classified correctly is drawn, or given."""

import numpy as np
import pandas as pd

from vddlib.results.schema import COLUMNS, INTEGERS

VIEWS = 5
SETTING = {
    "dataset": "motions", "protocol": "F", "student": "minic3d_bn", "teacher": "", "frames": 8, "size": 32, "epochs": 60,
    "ipc": 5, "variant": "", "subset": "", "views": VIEWS, "gate": "", "device": "none", "commit": "c" * 40,
    "params_sha256": "", "lock_sha256": "", "dataset_sha256": "d" * 64,
}  # fmt: skip


def student(method: str, seed: int, digits: str, **changes) -> dict:
    """A record whose `right_views` are `digits` (0 to VIEWS, one per test video)."""
    top1 = 100 * sum(map(int, digits)) / (VIEWS * len(digits))
    return SETTING | {"method": method, "seed": seed, "right_views": f"v{digits}", "top1": top1} | changes


def students(
    method: str, accuracy: float, seeds: int = 5, videos: int = 240, spread: float = 3.0, **changes
) -> list[dict]:
    """Records of seeds 0, 1, ... with an accuracy of about `accuracy` percent, `spread` points over the seeds.

    Videos differ in difficulty, alike for all methods, and a student's views of one video agree more often than by chance.
    """
    hard = np.random.default_rng(0).normal(size=videos)
    stream = np.random.default_rng([sum(map(ord, method + str(sorted(changes.items())))), videos])
    rows = []
    for seed in range(seeds):
        level = accuracy + spread * stream.normal()
        known = hard + stream.normal(size=videos) < 1.414 * np.quantile(stream.normal(size=99_999), level / 100)
        digits = stream.binomial(VIEWS, np.where(known, 0.95, 0.05))
        row = student(method, seed, "".join(map(str, digits)), **changes)
        rows.append(row | {"top1_still": row["top1"] - 6 - stream.normal(), "top1_shuffled": row["top1"] - 3 * stream.normal(),
                           "top1_reversed": row["top1"] - 0.2 * stream.normal()})  # fmt: skip
    return rows


def fair_records(seeds: int = 5) -> pd.DataFrame:
    """Full data, random and some methods under F and F-soft at IPC 1 and 5, with gates and students without motion."""
    rows = []
    for protocol, more in (("F", 0), ("F-soft", 8)):
        rows += students("full", 82, seeds, ipc=None, protocol=protocol)
        for ipc, base in ((1, 38 + more), (5, 60 + more)):
            for method, above in (("random", 0), ("herding", 3), ("kcenter", -5), ("dm", 1), ("mtt", 0), ("tsgf", 9)):
                gates = {"dm": "passed: moved 4.1 grey levels", "mtt": "failed: its loss ended at 0.97"}
                changes = {"gate": gates.get(method, ""), **({"moved": 4.1} if method == "dm" else {})}
                rows += students(method, base + above, seeds, ipc=ipc, protocol=protocol, **changes)
    rows += students("full", 77, seeds, ipc=None, variant="no motion")
    rows += students("random", 58, seeds, ipc=5, variant="no motion")
    return frame(rows)


def frame(rows: list[dict]) -> pd.DataFrame:
    """Records as `results.load` gives them."""
    df = pd.DataFrame(rows)
    df = df.reindex(columns=[*COLUMNS, *(name for name in df if name not in COLUMNS)])
    return df.astype({name: "Int64" for name in INTEGERS if name in df})
