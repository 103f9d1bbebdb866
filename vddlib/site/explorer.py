"""The records of every scale as what the explorer draws: a row per method and setting, with where its numbers come from."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from vddlib.evaluation.statistics import interval
from vddlib.results import records
from vddlib.results.fair import correct
from vddlib.results.methods import METHODS
from vddlib.results.schema import SETTING, blank_to_none, with_pool
from vddlib.results.select import text
from vddlib.site.runs import Run, page_of

WHOLE = ["variant", "subset", "clips"]  # optional columns that tell two settings apart


def explored(root: Path, shown: str, runs: dict[str, list[Run]]) -> list[dict[str, Any]]:
    """A row for every method and setting of every scale whose `figures/SCALE/records.csv` is there, plain JSON; the scale that
    is `shown` first, whose `runs` have pages.

    `each` holds top-1 of every seed in the order of seeds, `top1` its mean, `low` and `high` the 95 % interval over seeds and
    test videos. `plain`: neither a variant nor of a part of the classes. `params` and `pages` name the params files with the
    records' hash, and the pages of their runs.
    """
    rows: list[dict[str, Any]] = []
    for path in sorted(root.glob("figures/*/records.csv"), key=lambda path: path.parent.name != shown):
        pages = runs if path.parent.name == shown else {}
        rows += _of_scale(path.parent.name, records.read(path), root, pages)
    return rows


def _of_scale(scale: str, df: pd.DataFrame, root: Path, runs: dict[str, list[Run]]) -> Iterator[dict[str, Any]]:
    files = records.by_hash(sorted((root / "params" / scale).glob("*/*.yaml")), root)
    df = df.assign(**{name: text(df, name) for name in WHOLE}).dropna(subset=["top1"])
    for _, part in df.groupby([*SETTING, *WHOLE], dropna=False, sort=False):
        part = part.drop_duplicates("seed").sort_values("seed")
        first, found = part.iloc[0], interval(correct(part).to_numpy())
        params = [path for sha in part["params_sha256"].dropna().unique() for path in files.get(sha, [])]
        said = [str(first[name]) for name in WHOLE[:2] if first[name] != ""]
        said += [f"{float(first['clips']):.0f} clips"] if first["clips"] != "" else []
        extra = ", ".join(said)
        printed = with_pool(first["method"]) + (f" ({extra})" if extra else "")
        yield {
            "scale": scale,
            **{name: blank_to_none(first[name]) for name in ("method", "dataset", "ipc", "protocol", "student")},
            "printed": printed,
            "plain": first["variant"] == "" and first["subset"] == "",
            "colour": METHODS[base].colour if (base := first["method"].partition("[")[0]) in METHODS else "#666666",
            "seeds": len(part),
            "each": part["top1"].tolist(),
            "top1": found.mean,
            "low": found.low if len(part) > 1 else found.mean,
            "high": found.high if len(part) > 1 else found.mean,
            "bytes_stream": _mean(part["bytes_stream"]),
            "distill_seconds": _mean(part["distill_seconds"]),
            "commit": [one[:7] for one in part["commit"].dropna().unique()],
            "device": part["device"].dropna().unique().tolist(),
            "params": [path.relative_to(root).as_posix() for path in params],
            "text": "\n".join(path.read_text(encoding="utf-8") for path in params[:1]),
            "pages": [
                {"name": f"{p.parent.name}/{p.stem}", "href": page}
                for p in params
                if (page := page_of(runs, p.parent.name, p.stem))
            ],
        }


def _mean(values: pd.Series) -> float | None:
    values = values.dropna()
    return round(float(values.mean()), 3) if len(values) else None
