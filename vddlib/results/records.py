"""Records on disk: one row per evaluated student, written by notebooks, gathered into `figures/SCALE/records.csv`."""

import os
from collections.abc import Iterable
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from vddlib.core import provenance
from vddlib.core.errors import VddError
from vddlib.core.files import write_atomic
from vddlib.core.progress import say
from vddlib.results.methods import method_rank
from vddlib.results.schema import (
    COLUMNS,
    COSTS,
    EXTRA_KEYS,
    INTEGERS,
    METRICS,
    ORIGIN,
    SETTING,
    TEXTS,
    blank_to_none,
    validated,
)


def records_path() -> Path:
    """Where `record` writes: `$VDD_RUN/records.csv` under the runner, `runs/interactive/records.csv` without it."""
    folder = os.environ.get("VDD_RUN")
    return (Path(folder) if folder else provenance.project_root() / "runs" / "interactive") / "records.csv"


def record(rows: dict | Iterable[dict]) -> Path:
    """Check rows and add them to this run's records; a row of the same setting and seed is replaced.

    `commit`, `lock_sha256` and `params_sha256` are filled in where a row lacks them.
    Returns the file written. Raises VddError for a row that is not well-formed; then nothing is written.
    """
    rows = [validated(row) for row in ([rows] if isinstance(rows, dict) else rows)]
    known = {
        "commit": provenance.commit(),
        "lock_sha256": provenance.lock_sha256(),
        "params_sha256": os.environ.get("VDD_PARAMS_SHA256"),
    }
    new = _typed(pd.DataFrame([{**row, **{k: row[k] or v for k, v in known.items()}} for row in rows]))
    path = records_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(".records.csv.lock")):
            table = pd.concat([read(path), new], ignore_index=True) if path.exists() else new
            table = _typed(table)
            table = table.drop_duplicates(key(table), keep="last")
            write_atomic(path, to_csv(table))
    except OSError as error:
        raise VddError(f"cannot write {path}: {error.strerror or error}") from None
    return path


def gather(scale: str, root: str | Path | None = None) -> pd.DataFrame:
    """Collect the records of every finished run of a scale (`runs/SCALE/*/*.csv`) into `figures/SCALE/records.csv`.

    A row that two runs measured alike counts once, whatever its times; rows that disagree raise VddError. Runs that did
    not end whole, or whose params file is gone, do not count. Rows already in `records.csv` whose params file is as it
    was and has no run here were measured on another machine: they stay, with their commit and device, until it has.
    """
    root = Path(root) if root else provenance.project_root()
    runs, params = root / "runs" / scale, root / "params" / scale
    paths = [path for path in sorted(runs.glob("*/*.csv")) if _counts(path, params)]
    parts = [read(path).assign(_path=path.relative_to(root).as_posix()) for path in paths]
    if not sum(map(len, parts)):
        raise VddError(f"no records under {runs}: run `uv run snakemake --cores all {scale}` first")
    table = _typed(pd.concat(parts, ignore_index=True))
    _refuse_conflicts(table)
    table = _typed(pd.concat([table, *_from_elsewhere(root, scale, paths)], ignore_index=True))
    table = table.drop_duplicates(key(table), keep="first").drop(columns="_path")
    _name_mixtures(table)
    write_atomic(root / "figures" / scale / "records.csv", to_csv(table))
    return load(scale, root)


def _name_mixtures(table: pd.DataFrame) -> None:
    """Say which datasets are several under one name: tables would average over them."""
    for name, kinds in table.groupby("dataset")["dataset_sha256"].unique().items():
        if len(kinds) > 1:
            hashes = ", ".join(sorted(str(kind)[:10] for kind in kinds))
            say(
                f"{name} is {len(kinds)} datasets here ({hashes}): other videos, or frames of VDD_STORE=jpeg; tables mix them"
            )


def _from_elsewhere(root: Path, scale: str, here: Iterable[Path]) -> list[pd.DataFrame]:
    """Gathered rows of params files that are unchanged and have no run among `here`; an empty list where none are."""
    done = {(path.parent.name, path.stem) for path in here}
    files = (root / "params" / scale).glob("*/*.yaml")
    missing = [path for path in files if (path.parent.name, path.stem) not in done]
    gathered = root / "figures" / scale / "records.csv"
    if not missing or not gathered.is_file():
        return []
    old = read(gathered)
    old = old[old["params_sha256"].isin(by_hash(missing, root))]
    if len(old):
        made = sorted({(row.commit[:7], row.device) for row in old[["commit", "device"]].itertuples()})
        where = "; ".join(f"{commit or 'no commit'} on {device or 'an unnamed device'}" for commit, device in made)
        count = old["params_sha256"].nunique()
        say(f"{len(old)} rows of {count} params files without a run here stay as gathered before: {where}")
    return [old.assign(_path="")] if len(old) else []


def by_hash(params: Iterable[Path], root: Path) -> dict[str, list[Path]]:
    """Params files by the `params_sha256` that their records carry; one that does not fit its notebook has no records."""
    from vddlib.core.params import params_of_file

    found: dict[str, list[Path]] = {}
    for path in params:
        with suppress(VddError):
            values = params_of_file(root / "notebooks" / f"{path.parent.name}.ipynb", path)
            found.setdefault(provenance.params_sha256(values), []).append(path)
    return found


def _counts(path: Path, params: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts[-2:])
    wanted = (params / path.parent.name / f"{path.stem}.yaml").is_file()
    return not hidden and wanted and path.with_suffix(".json").is_file()


def load(scale: str, root: str | Path | None = None) -> pd.DataFrame:
    """The gathered records of a scale, from `figures/SCALE/records.csv`. Raises VddError where there are none."""
    path = (Path(root) if root else provenance.project_root()) / "figures" / scale / "records.csv"
    if not path.exists():
        raise VddError(f"{path} is not there: run `uv run snakemake --cores all {scale}` first")
    return read(path)


def summarise(df: pd.DataFrame, columns: Iterable[str] | None = None) -> pd.DataFrame:
    """Mean, sample standard deviation and number of seeds of every metric and cost, one row per setting.

    Returns these `columns` (default: all that makes a setting, less the seed), then `n`, the number of students,
    then for each measure NAME_mean, NAME_std (n - 1 in the denominator; empty for one seed), NAME_n (values measured).
    """
    df = df if "bytes_video" in df and str(df["ipc"].dtype) == "Int64" else _typed(df)
    setting = [c for c in key(df) if c != "seed"] if columns is None else list(columns)
    extras = [c for c in df if c not in [*COLUMNS, *EXTRA_KEYS] and pd.api.types.is_numeric_dtype(df[c])]
    groups = df.groupby(setting, dropna=False, sort=False)
    summary = {"n": groups.size()}
    for measure in (m for m in [*METRICS, *extras, *COSTS] if m not in setting):
        values = df[measure].astype("float64").groupby([df[c] for c in setting], dropna=False, sort=False)
        summary |= {f"{measure}_mean": values.mean(), f"{measure}_std": values.std(), f"{measure}_n": values.count()}
    return pd.DataFrame(summary).reset_index()


def key(df: pd.DataFrame) -> list[str]:
    """The columns that tell a record from all others: its setting and its seed."""
    return [*SETTING, "seed", *(c for c in EXTRA_KEYS if c in df)]


def _refuse_conflicts(table: pd.DataFrame) -> None:
    """One line for the first two runs that measured the same setting and seed with different results."""
    spared = {"_path", "gate", "distill_seconds", "train_seconds", "peak_memory_mb", *ORIGIN} - {"dataset_sha256"}
    results = [c for c in table if c not in spared and c not in key(table)]
    text = as_text(table)
    for _, same in text.groupby(key(table), sort=False):
        for column in results:
            if same[column].nunique() > 1:
                first, other = same.iloc[0], same[same[column] != same[column].iloc[0]].iloc[0]
                setting = ", ".join(f"{c} {first[c]}" for c in key(table) if first[c])
                raise VddError(
                    f"two runs disagree on {setting}: {column} is '{first[column]}' in {first['_path']} and "
                    f"'{other[column]}' in {other['_path']}; remove one of them"
                )


def read(path: str | Path, text: str | None = None) -> pd.DataFrame:
    """Read a records file into typed columns: Int64 counts, float64 metrics (NA where empty), text ('' where empty).

    With `text`, that is what is read, and `path` only its name. Raises VddError for what is no file of records.
    """
    try:
        df = pd.read_csv(path if text is None else StringIO(text), dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise VddError(f"{path} cannot be read as records: {str(error).splitlines()[0]}") from None
    missing = [c for c in [*SETTING, "seed"] if c not in df]
    if missing:
        raise VddError(f"{path} is not a records file: no column '{missing[0]}'")
    try:
        return _typed(df)
    except ValueError as error:
        raise VddError(f"{path} holds a number that cannot be read: {error}") from None


def _typed(df: pd.DataFrame) -> pd.DataFrame:
    df = df.reset_index(drop=True).reindex(columns=[*COLUMNS, *(c for c in df if c not in COLUMNS)])
    for column in df:
        values = pd.Series([blank_to_none(v) for v in df[column]], dtype=object, index=df.index)
        if column in TEXTS or column == "_path":
            df[column] = ["" if v is None else str(v) for v in values]
        elif column in INTEGERS:
            df[column] = pd.to_numeric(values).astype("Int64")
        else:
            numbers = pd.to_numeric(values, errors="raise" if column in COLUMNS else "coerce").astype("float64")
            is_text = bool((numbers.isna() & values.notna()).any())
            df[column] = ["" if v is None else str(v) for v in values] if is_text else numbers
    return _sorted(df)


def _sorted(df: pd.DataFrame) -> pd.DataFrame:
    first = ["dataset", "protocol", "student", "frames", "size"]
    order = [*first, "_rank", "method", *(c for c in key(df) if c not in [*first, "method"])]
    ranked = df.assign(_rank=df["method"].map(method_rank))
    return ranked.sort_values(order, kind="stable", na_position="first", ignore_index=True).drop(columns="_rank")


def as_text(df: pd.DataFrame) -> pd.DataFrame:
    """Every value as the text that stands in the file: fixed decimals, empty where nothing was measured."""

    def text(column: str, value: Any) -> str:
        if blank_to_none(value) is None:
            return ""
        if isinstance(value, str) or column in INTEGERS:
            return str(value)
        if column in COSTS:
            return f"{value:.2f}"
        return f"{value:.4f}" if column.startswith(tuple(METRICS)) else f"{value:.10g}"

    return pd.DataFrame({c: [text(c, v) for v in df[c]] for c in df}, index=df.index)


def to_csv(df: pd.DataFrame) -> str:
    """Records as CSV text, the same every time: columns in the fixed order, then extra ones by name; rows sorted."""
    extras = sorted(c for c in df if c not in COLUMNS)
    return as_text(_sorted(df)[[*COLUMNS, *extras]]).to_csv(index=False, lineterminator="\n")
