"""The one table of the README: every method against random clips under F, at the scales whose figures are committed.

``python -m vddlib.results.headline`` writes it between its markers in README.md, from figures/SCALE/records.csv.
"""

from pathlib import Path

import pandas as pd

from vddlib.core.files import write_atomic
from vddlib.core.provenance import project_root
from vddlib.results import records
from vddlib.results.fair import comparisons, controls
from vddlib.results.methods import METHODS, method_rank
from vddlib.results.schema import with_pool
from vddlib.results.write import Block, markdown, spanned

SHOWN = (("miniucf10", "miniucf10", 1), ("miniucf10", "miniucf10", 5), ("miniucf10", "miniucf10", 10),
         ("quick", "motions", 1), ("quick", "motions", 5))  # fmt: skip  # (scale, dataset, IPC)
CONTROLS = ("random_still", "random_stitched", "random_videos", "random_encoded")  # have tables of their own
# Selectors were published on a generated pool, and are measured on the real clips too: of the baselines the latter is shown.
BASELINES = ("mae_score", "csta", "dm_mmd")
LISTED = ({*METHODS} | {f"{name}[real]" for name in METHODS}) - {*CONTROLS, *BASELINES}
BEGIN, END = "<!-- written by python -m vddlib.results.headline -->", "<!-- end -->"
PROTOCOL = "F"


def table(root: Path | None = None) -> pd.DataFrame:
    """A row per method, a column per (dataset, IPC).

    Of full data and random clips it has top-1 with its interval, of the others the difference to as many random clips: bold
    where told apart (see `fair.comparisons`), with ‡ where a gate failed, '' where none was measured.
    """
    root = root or project_root()
    found: dict[str, dict[str, str]] = {}
    columns = []
    for scale in dict.fromkeys(scale for scale, _, _ in SHOWN):
        loaded = records.load(scale, root)
        df = pd.concat([comparisons(loaded), controls(loaded).query("method != 'random'")], ignore_index=True)
        df = df[(df["protocol"] == PROTOCOL) & df["method"].isin(LISTED)]
        for _, dataset, ipc in (one for one in SHOWN if one[0] == scale):
            part = df[(df["dataset"] == dataset) & ((df["ipc"] == ipc) | (df["method"] == "full"))]
            if not (part["ipc"] == ipc).any():  # full data alone says nothing of this IPC
                continue
            columns.append(f"`{dataset}` IPC {ipc}")
            for row in part.to_dict("records"):
                found.setdefault(row["method"], {})[columns[-1]] = _cell(row)
    rows = [{"method": with_pool(method)} | found[method] for method in sorted(found, key=method_rank)]
    return pd.DataFrame(rows).reindex(columns=["method", *columns]).fillna("")


def _cell(row: dict) -> str:
    if pd.isna(row["difference"]):
        return spanned(row["mean"], row["low"], row["high"])
    text = spanned(row["difference"], row["difference_low"], row["difference_high"], sign=True)
    return (f"**{text}**" if row["told_apart"] else text) + (" ‡" if "failed" in row["gate"] else "")


def inserted(readme: str, root: Path | None = None) -> str:
    """The README's text with the table as it is now."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{markdown([Block('', table(root))])}\n{END}{after}"


if __name__ == "__main__":
    path = project_root() / "README.md"
    print(write_atomic(path, inserted(path.read_text(encoding="utf-8"))))
