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
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from vddlib.core import cache, files, provenance
from vddlib.core.errors import VddError
from vddlib.core.params import check_params, notebook_parameters, read_params
from vddlib.notebook.executed import mark, settle
from vddlib.notebook.expected import expected
from vddlib.notebook.job import SETS, Job, plan

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class RunFailed(VddError):
    """A notebook did not run to its end; the message names the cell and what it raised."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or a request to stop from outside; `signum` says which."""

    def __init__(self, signum: int):
        self.signum = signum
        super().__init__(signal.Signals(signum).name)


class Log:
    """Lines go to VARIANT.log, and with the run's name in front to stderr; with `quiet` only some of them there."""

    def __init__(self, path: Path, label: str, quiet: bool, every: float = 10.0):
        self.label, self.quiet, self.every = label, quiet, every
        self.file, self.last = path.open("w", encoding="utf-8"), time.monotonic()

    def __call__(self, text: str, always: bool = False):
        print(text, file=self.file, flush=True)
        now = time.monotonic()
        if always or not self.quiet or now - self.last >= self.every:
            self.last = now
            print(f"[{self.label}] {text}", file=sys.stderr, flush=True)


@contextmanager
def _signals() -> Iterator[None]:
    """Turn Ctrl-C and requests to stop into one Interrupted; more of them do not disturb the cleaning up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in caught}

    def stop(signum, _frame):
        for number in caught:
            signal.signal(number, signal.SIG_IGN)
        raise Interrupted(signum)

    for number in caught:
        if before[number] is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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


@contextmanager
def _only_one(job: Job) -> Iterator[None]:
    from filelock import FileLock, Timeout

    job.output.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(job.output.with_name(f".{job.output.stem}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise VddError(f"{job.label} is being run by another `vdd run`; wait for that one or stop it") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _closed_is_named(job: Job) -> Iterator[None]:
    """Turns what the file system says of a folder that cannot be written into one line."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        where = job.name(Path(error.filename or job.output))
        goes = f"this run goes to {job.name(job.output.parent)}/ (another place: --output)"
        raise VddError(f"{where}: cannot be written ({error.strerror}); {goes}") from None


def run(notebook: Path, params: Path, output: Path | None = None, *, threads: int = 1, quiet: bool = False) -> Path:
    """Execute one notebook with one params file; returns the executed copy's path.

    `threads` is what numerical libraries may use: 1 by default, so that results do not depend on the number of cores.
    With `quiet` the console gets one line now and then; VARIANT.log always gets all of them. Raises VddError for parameters
    that do not fit and folders that cannot be written, RunFailed where a cell fails, and Interrupted.
    """
    job = plan(notebook, params, output)
    declared = notebook_parameters(job.notebook)
    values, notes = check_params(read_params(job.params), declared, job.name(job.params), job.name(job.notebook))
    published = [job.output, job.beside(".csv"), job.beside(".json")]
    with _closed_is_named(job), _signals(), _only_one(job):
        for old in (*published, job.beside(".failed.ipynb")):
            old.unlink(missing_ok=True)
        for folder in (job.scratch, job.sets):
            shutil.rmtree(folder, ignore_errors=True)
        job.scratch.mkdir()
        log = Log(job.beside(".log"), job.label, quiet)
        try:
            shown = " ".join(f"{name}={value!r}" for name, value in values.items())
            log(f"{job.name(job.notebook)} with {shown or 'its own parameters'}", always=True)
            ahead = expected(job, provenance.params_sha256(values))
            for note in (*notes, *filter(None, [ahead])):
                log(note, always=True)
            _execute(job, values, threads, log)
        except BaseException:
            for path in published:
                path.unlink(missing_ok=True)
            shutil.rmtree(job.sets, ignore_errors=True)
            raise
        finally:
            shutil.rmtree(job.scratch, ignore_errors=True)
            log.file.close()  # last: on a full disk it fails too
    return job.output


def _execute(job: Job, values: dict, threads: int, log: Log):
    with _without("rfc3987_syntax"):
        import nbformat

        from vddlib.notebook.kernel import CellFailed, Execution

    origin = provenance.collect(values)
    notebook_sha256 = files.file_sha256(job.notebook)
    started, clock = datetime.now(UTC), time.monotonic()
    partial = job.scratch / "notebook.ipynb"
    execution = Execution(_kernel_env(job, origin["params_sha256"], threads), job.root, log)
    try:
        executed = execution.run(job.notebook, partial, values)
    except CellFailed as failure:
        log(f"{failure.traceback or failure}")
        raise _failed(job, partial, failure) from None
    seconds = time.monotonic() - clock

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
        "started": started.isoformat(timespec="seconds"),
        "wall_seconds": round(seconds, 1),
        "peak_memory_mb": round(execution.peak_memory_mb, 1),
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
