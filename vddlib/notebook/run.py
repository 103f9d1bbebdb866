"""One notebook, one params file -> one executed copy and one record: a thin layer over papermill.

`params/quick/11_tsgf/motions_ipc5.yaml` runs `notebooks/11_tsgf.ipynb` into `runs/quick/11_tsgf/`:

    motions_ipc5.ipynb          the executed copy
    motions_ipc5.csv            the records that the notebook wrote, if any
    motions_ipc5.json           provenance; written last, so where it is, the run is whole
    motions_ipc5.log            what was printed
    motions_ipc5.failed.ipynb   only after a failure: the cells and outputs so far

Until it is whole, a run lies in `.motions_ipc5.partial/`. The notebook finds that folder in VDD_RUN and may write its
records there, as records.csv, and its figures, in figures/, which become figures/SCALE/NOTEBOOK/VARIANT; it also finds
VDD_SCALE and VDD_PARAMS_SHA256.
"""

import csv
import errno
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from vddlib.core import cache, files, provenance
from vddlib.core.errors import VddError
from vddlib.core.params import check_params, notebook_parameters, read_params
from vddlib.notebook.executed import mark, settle
from vddlib.notebook.expected import expected
from vddlib.notebook.job import SETS, SHARE, SHARE_DONE, Job, parse_share, plan
from vddlib.notebook.started import Log, started

PARTIAL = "notebook.ipynb"  # in the scratch folder: the cells so far
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class RunFailed(VddError):
    """A notebook did not run to its end; the message names the cell and what it raised."""


@contextmanager
def _without(module: str) -> Iterator[None]:
    """`module` counts as not installed inside. jsonschema, which nbformat loads, would compile a whole grammar of URIs with it:
    over a second of every run, and no notebook's schema asks for one."""
    absent = sys.modules.setdefault(module, None) is None
    try:
        yield
    finally:
        if absent:
            del sys.modules[module]


def fitted(job: Job) -> tuple[dict, list[str]]:
    """(values, notes) of a job's params file, as its notebook declares them. Raises VddError for those that do not fit."""
    declared = notebook_parameters(job.notebook)
    return check_params(read_params(job.params), declared, job.name(job.params), job.name(job.notebook))


def run(notebook: Path, params: Path, output: Path | None = None, *, threads: int = 1, quiet: bool = False) -> Path:
    """Execute one notebook with one params file; returns the executed copy's path.

    `threads` is what numerical libraries may use: 1 by default, so that results do not depend on the number of cores.
    With `quiet` the console gets one line now and then; VARIANT.log always gets all of them. Raises VddError for parameters
    that do not fit and folders that cannot be written, RunFailed where a cell fails, and Interrupted.
    """
    job = plan(notebook, params, output)
    values, notes = fitted(job)
    ahead = expected(job, provenance.params_sha256(values))  # before the last run's own account goes
    with started(job, quiet) as log:
        shown = " ".join(f"{name}={value!r}" for name, value in values.items())
        log(f"{job.name(job.notebook)} with {shown or 'its own parameters'}", always=True)
        for note in (*notes, *filter(None, [ahead])):
            log(note, always=True)
        _execute(job, values, threads, log)
    return job.output


def run_share(notebook: Path, params: Path, share: str, *, threads: int = 1, quiet: bool = False) -> Path:
    """Execute a notebook up to its costly step and do a share of that, as "0/4" says (see `shares`).

    Nothing is published but a note that it is done, runs/SCALE/NOTEBOOK/VARIANT.shard-0-of-4.json, whose path is returned.
    Raises as `run` does, and VddError for a notebook without such a step.
    """
    which, count = parse_share(share)
    whole = plan(notebook, params)
    job = replace(whole, output=whole.output.with_name(f"{whole.output.stem}.shard-{which}-of-{count}.ipynb"))
    values, notes = fitted(job)
    with started(job, quiet) as log:
        for note in notes:
            log(note, always=True)
        clock = time.monotonic()
        executed, _ = _cells(job, values, threads, log, share)
        if executed is not None:
            raise VddError(
                f"{job.name(job.notebook)} has no step that is done in shares; it ran as a whole, for nothing"
            )
        done = {"share": [which, count], "wall_seconds": round(time.monotonic() - clock, 1), "parameters": values}
        files.write_json(job.beside(".json"), done)
        log(f"share {which} of {count} is done", always=True)
    return job.beside(".json")


def _cells(job: Job, values: dict, threads: int, log: Log, share: str = "") -> tuple:
    """Run all cells: (executed notebook, peak of memory in MiB). Raises RunFailed.

    The notebook is None where it ended with the `share` that it was to do.
    """
    with _without("rfc3987_syntax"):
        from vddlib.notebook.kernel import CellFailed, Execution

    env = _kernel_env(job, provenance.params_sha256(values), threads) | ({SHARE: share} if share else {})
    execution = Execution(env, job.root, log)
    try:
        return execution.run(job.notebook, job.scratch / PARTIAL, values), execution.peak_memory_mb
    except CellFailed as failure:
        if share and failure.name == SHARE_DONE:
            return None, execution.peak_memory_mb
        log(f"{failure.traceback or failure}")
        raise _failed(job, job.scratch / PARTIAL, failure) from None


def _execute(job: Job, values: dict, threads: int, log: Log):
    origin = provenance.collect(values)
    notebook_sha256 = files.file_sha256(job.notebook)
    began, clock = datetime.now(UTC), time.monotonic()
    executed, peak = _cells(job, values, threads, log)
    seconds, partial = time.monotonic() - clock, job.scratch / PARTIAL
    import nbformat

    settle(executed)
    executed.metadata.papermill.update(input_path=job.name(job.notebook), output_path=job.name(job.output))
    nbformat.write(executed, partial)
    records = job.scratch / "records.csv"
    record = {
        "notebook": job.name(job.notebook),
        "notebook_sha256": notebook_sha256,
        "params": job.name(job.params),
        "scale": job.scale,
        "variant": job.output.stem,
        "parameters": values,
        **origin,
        **_summary(records),
        "started": began.isoformat(timespec="seconds"),
        "wall_seconds": round(seconds, 1),
        "peak_memory_mb": round(peak, 1),
        "threads": threads,
        "artifacts": _used(job.scratch / cache.USED),
    }
    draft = job.scratch / "provenance.json"
    draft.write_text(json.dumps(record, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8")

    if records.is_file():
        records.replace(job.beside(".csv"))
    _publish(job.scratch / "figures", job.figures)
    if (job.scratch / SETS).is_dir():
        (job.scratch / SETS).replace(job.sets)
    partial.replace(job.output)
    draft.replace(job.beside(".json"))
    log(f"done in {seconds:.0f} s, {record['peak_memory_mb']:.0f} MB: {job.name(job.output)}", always=True)


def _used(listed: Path) -> list[str]:
    """What the run took out of the cache: KIND/NAME, each once."""
    return sorted(set(listed.read_text(encoding="utf-8").split())) if listed.is_file() else []


def _failed(job: Job, partial: Path, failure) -> RunFailed:
    """Keep the cells that ran, and say in a few lines what failed where."""
    kept = job.beside(".failed.ipynb")
    with suppress(OSError):  # on a full disk the message still comes
        mark(partial, failure, kept)
    return RunFailed(
        f"{job.label} failed in {failure.where()}\n"
        f"  {failure.name}: {failure.message.strip().partition(chr(10))[0]}{_hint(failure.message)}\n"
        f"  the cells up to there: {job.name(kept)}; everything printed: {job.name(job.beside('.log'))}"
    )


def _hint(message: str) -> str:
    """What to do about a file of the cache that a cell could not write or read; '' where that is not what happened."""
    closed = any(os.strerror(number) in message for number in (errno.EACCES, errno.EPERM, errno.EROFS))
    return f"; this is in the cache: {cache.OWN}" if closed and str(cache.folder()) in message else ""


def _publish(made: Path, place: Path):
    """Put the figures of a whole run in place of those of the last one; a .json that differs in its time alone stays."""
    if not made.is_dir():
        return
    place.mkdir(parents=True, exist_ok=True)
    for old in place.iterdir():
        if not (made / old.name).exists():
            old.unlink()
    for new in made.iterdir():
        old = place / new.name
        if not (new.suffix == ".json" and old.is_file() and _timeless(new) == _timeless(old)):
            new.replace(old)


def _timeless(path: Path) -> dict:
    return {name: value for name, value in json.loads(path.read_text(encoding="utf-8")).items() if name != "time"}


def _kernel_env(job: Job, params_sha256: str, threads: int) -> dict[str, str]:
    env = dict(os.environ)
    env.pop("MPLBACKEND", None)  # so that figures appear in the executed notebook
    env.pop(SHARE, None)
    env |= dict.fromkeys(THREADS, str(threads))
    env |= {"VDD_RUN": str(job.scratch), "VDD_SCALE": job.scale, "VDD_PARAMS_SHA256": params_sha256}
    env |= {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # else every kernel warns about frozen modules
    # tqdm, which diffusers brings, asks for widgets that would show nothing in an executed notebook.
    env |= {"PYTHONWARNINGS": ",".join(filter(None, [env.get("PYTHONWARNINGS"), "ignore:IProgress not found"]))}
    quiet = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false", "PYTHONHASHSEED": "0"}
    return quiet | env


def _summary(records: Path) -> dict:
    """What the notebook's records say about the whole run: seeds, datasets, devices; each once, nothing if unsaid."""
    rows = []
    if records.is_file():
        with records.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))

    def distinct(column: str) -> list[str]:
        return sorted({row[column] for row in rows if row.get(column)})

    return {
        "records": len(rows),
        "seeds": sorted({int(float(seed)) for seed in distinct("seed")}),
        "dataset_sha256": distinct("dataset_sha256"),
        "device": distinct("device"),
    }
