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

import ast
import csv
import difflib
import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vddlib import provenance
from vddlib.errors import VddError

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class RunFailed(VddError):
    """A notebook did not run to its end; the message names the cell and what it raised."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or a request to stop from outside; `signum` says which."""

    def __init__(self, signum: int):
        self.signum = signum
        super().__init__(signal.Signals(signum).name)


# --- what a notebook takes, and what a params file gives --------------------------------------------------------------


@dataclass(frozen=True)
class Parameter:
    """One line of a parameter cell: its name, its type as written (or that of its default; '' for any), its default."""

    name: str
    kind: str
    default: str


def declared_parameters(source: str) -> dict[str, Parameter]:
    """The parameters that a cell of lines `name: int = 5  # what it is` declares, by name."""
    found = {}
    for statement in ast.parse(source).body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind, value=ast.expr() as default):
                found[name] = Parameter(name, ast.unparse(kind), ast.unparse(default))
            case ast.Assign(targets=[ast.Name(id=name)], value=default):
                found[name] = Parameter(name, _kind_of(default), ast.unparse(default))
    return found


def _kind_of(default: ast.expr) -> str:
    """The type that a default shows: `[1, 2]` is list[int]; '' where it shows none, as None does."""
    try:
        value = ast.literal_eval(default)
    except ValueError:
        return ""
    if isinstance(value, list):
        kinds = {type(item).__name__ for item in value}
        return f"list[{kinds.pop()}]" if len(kinds) == 1 and kinds <= {"int", "float", "bool", "str"} else "list"
    return "" if value is None else type(value).__name__


def notebook_parameters(notebook: Path) -> dict[str, Parameter]:
    """The parameters of a notebook, from its one cell tagged `parameters`."""
    try:
        content = json.loads(Path(notebook).read_text(encoding="utf-8"))
        tagged = [cell for cell in content["cells"] if "parameters" in cell.get("metadata", {}).get("tags", [])]
        sources = ["".join(cell["source"]) for cell in tagged]
    except FileNotFoundError:
        raise VddError(f"{notebook}: no such notebook") from None
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise VddError(f"{notebook}: not a notebook ({type(error).__name__}: {error})") from None
    if len(sources) != 1:
        raise VddError(f"{notebook}: {len(sources)} cells are tagged `parameters`; tag exactly one")
    try:
        return declared_parameters(sources[0])
    except SyntaxError as error:
        raise VddError(f"{notebook}: line {error.lineno} of the parameter cell is not Python: {error.msg}") from None


def read_params(path: Path) -> dict:
    """A params file as a mapping; an empty file gives no parameters."""
    import yaml

    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise VddError(f"{path}: no such params file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise VddError(f"{path}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise VddError(f"{path}{place}: not YAML: {getattr(error, 'problem', None) or 'cannot be parsed'}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise VddError(f"{path}: holds a {type(values).__name__}, not a mapping; write lines `name: value`")
    return values


def params_of_file(notebook: Path, params: Path) -> dict:
    """What a params file gives its notebook, names and types checked; its hash is `provenance.params_sha256` of it."""
    return check_params(read_params(params), notebook_parameters(notebook), params, notebook)[0]


_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


def _fit(value, kind: ast.expr):
    """`value` as `kind` asks for it; TypeError where it does not fit. An annotation we do not know takes anything."""
    if isinstance(value, str) and _EXPONENT.fullmatch(value) and ast.unparse(kind) in ("int", "float"):
        value = float(value)  # YAML 1.1 reads 1e-4, without a dot, as text
    match kind:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            try:
                return _fit(value, left)
            except TypeError:
                return _fit(value, right)
        case ast.Constant(value=None):
            fits = value is None
        case ast.Name(id="float"):
            fits = isinstance(value, int | float) and not isinstance(value, bool)
            value = float(value) if fits else value
        case ast.Name(id="int"):
            fits = (isinstance(value, int) and not isinstance(value, bool)) or (
                isinstance(value, float) and value.is_integer()
            )
            value = int(value) if fits else value
        case ast.Name(id="bool"):
            fits = isinstance(value, bool)
        case ast.Name(id="str"):
            fits = isinstance(value, str)
        case ast.Name(id="list" | "tuple") | ast.Subscript(value=ast.Name(id="tuple")):
            fits = isinstance(value, list)
        case ast.Name(id="dict"):
            fits = isinstance(value, dict)
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            fits = isinstance(value, list)
            value = [_fit(each, item) for each in value] if fits else value
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[key, item])):
            fits = isinstance(value, dict)
            value = {_fit(k, key): _fit(v, item) for k, v in value.items()} if fits else value
        case _:
            fits = True
    if not fits:
        raise TypeError
    return value


def check_params(values: Mapping, declared: Mapping[str, Parameter], params, notebook) -> tuple[dict, list[str]]:
    """Values that fit the notebook's parameters, and a line for each that had to be turned into a number.

    Refused, all at once and by name: an unknown parameter (papermill would only warn), a value of the wrong type.
    """
    fitted, notes, wrong = {}, [], []
    for name, value in values.items():
        if name not in declared:
            near = difflib.get_close_matches(str(name), declared, n=1)
            wrong.append(f"unknown parameter {str(name)!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
            continue
        kind = declared[name].kind
        try:
            fitted[name] = _fit(value, ast.parse(kind or "Any", mode="eval").body)
        except TypeError:
            wrong.append(f"{name} must be {kind}, as in `{name}: {declared[name].default}`, not {value!r}")
            continue
        if fitted[name] != value:  # 5 and 5.0 are equal, '1e-4' and 0.0001 are not
            notes.append(f"{name}: YAML reads {value!r} as text; taken as {fitted[name]!r} (write 1.0e-4, not 1e-4)")
    if wrong:
        known = f"; it takes {', '.join(declared) or 'none'}" if any("unknown" in line for line in wrong) else ""
        raise VddError(f"{params} does not fit {notebook}: {'; '.join(wrong)}{known}")
    return fitted, notes


# --- where a run lies -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """One run: the project it belongs to, its two inputs, and the executed copy beside which the rest lies."""

    root: Path
    notebook: Path
    params: Path
    output: Path
    scale: str

    @property
    def label(self) -> str:
        """How the run is called in logs: quick/11_tsgf/motions_ipc5."""
        return self.name(self.output.with_suffix("")).removeprefix("runs/")

    @property
    def scratch(self) -> Path:
        """The kernel's own folder; its contents are moved to their names at success."""
        return self.output.with_name(f".{self.output.stem}.partial")

    @property
    def figures(self) -> Path:
        """Where the figures of this run go: figures/SCALE/NOTEBOOK/VARIANT, or beside an output of another name."""
        if not self.scale:
            return self.output.with_name(f"{self.output.stem}_figures")
        return self.root.joinpath("figures", self.scale, self.notebook.stem, self.output.stem)

    def beside(self, suffix: str) -> Path:
        """The file of this run with another suffix: .csv .json .log .failed.ipynb"""
        return self.output.with_suffix(suffix)

    def name(self, path: Path) -> str:
        """A path as the project sees it, the same on every machine."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)


def plan(notebook: Path, params: Path, output: Path | None = None) -> Job:
    """Where a run of `notebook` with `params` goes; by default what the path params/SCALE/NAME/VARIANT.yaml says."""
    notebook, params = Path(notebook).resolve(), Path(params).resolve()
    root = provenance.project_root(params.parent)
    place = params.relative_to(root).parts if params.is_relative_to(root) else ()
    batched = len(place) == 4 and place[0] == "params"
    if output is not None:
        output = Path(output).resolve()
        if output.suffix != ".ipynb":
            raise VddError(f"{output}: the output is the executed notebook; give it a name that ends in .ipynb")
    elif not batched:
        raise VddError(f"{params}: not at params/SCALE/NOTEBOOK/VARIANT.yaml; say with --output where the run goes")
    elif place[2] != notebook.stem:
        raise VddError(f"{params}: lies under {place[2]}/, so it is for {place[2]}.ipynb and not for {notebook.name}")
    else:
        output = root.joinpath("runs", place[1], place[2], f"{params.stem}.ipynb")
    return Job(root, notebook, params, output, place[1] if batched else "")


# --- what is said while it runs ---------------------------------------------------------------------------------------


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
def _only_one(job: Job) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(job.output.with_name(f".{job.output.stem}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise VddError(f"{job.label} is being run by another `vdd run`; wait for that one or stop it") from None
    try:
        yield
    finally:
        lock.release()


# --- the run ----------------------------------------------------------------------------------------------------------


def run(notebook: Path, params: Path, output: Path | None = None, *, threads: int = 1, quiet: bool = False) -> Path:
    """Execute one notebook with one params file; returns the executed copy's path.

    `threads` is what numerical libraries may use: 1 by default, so that results do not depend on the number of cores.
    With `quiet` the console gets one line now and then; VARIANT.log always gets all of them.
    """
    job = plan(notebook, params, output)
    declared = notebook_parameters(job.notebook)
    values, notes = check_params(read_params(job.params), declared, job.name(job.params), job.name(job.notebook))
    job.output.parent.mkdir(parents=True, exist_ok=True)
    published = [job.output, job.beside(".csv"), job.beside(".json")]
    with _signals(), _only_one(job):
        for old in (*published, job.beside(".failed.ipynb")):
            old.unlink(missing_ok=True)
        shutil.rmtree(job.scratch, ignore_errors=True)
        job.scratch.mkdir()
        log = Log(job.beside(".log"), job.label, quiet)
        try:
            given = " ".join(f"{name}={value!r}" for name, value in values.items())
            log(f"{job.name(job.notebook)} with {given or 'its own parameters'}", always=True)
            for note in notes:
                log(note, always=True)
            _execute(job, values, threads, log)
        except BaseException:
            for path in published:
                path.unlink(missing_ok=True)
            raise
        finally:
            shutil.rmtree(job.scratch, ignore_errors=True)
            log.file.close()  # last: on a full disk it fails too
    return job.output


def _execute(job: Job, values: dict, threads: int, log: Log):
    import nbformat

    from vddlib.kernels import CellFailed, Execution

    origin = provenance.collect(values)
    notebook_sha256 = provenance.file_sha256(job.notebook)
    started, clock = datetime.now(UTC), time.monotonic()
    partial = job.scratch / "notebook.ipynb"
    execution = Execution(_kernel_env(job, origin["params_sha256"], threads), job.root, log)
    try:
        executed = execution.run(job.notebook, partial, values)
    except CellFailed as failure:
        log(f"{failure.traceback or failure}")
        kept = job.beside(".failed.ipynb")
        with suppress(OSError):
            _mark(partial, failure, kept)
        raise RunFailed(
            f"{job.label} failed in {failure.where()}\n"
            f"  {failure.name}: {failure.message.strip().partition(chr(10))[0]}\n"
            f"  the cells up to there: {job.name(kept)}; everything printed: {job.name(job.beside('.log'))}"
        ) from None
    seconds = time.monotonic() - clock

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
    }
    draft = job.scratch / "provenance.json"
    draft.write_text(json.dumps(record, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8")

    if records.is_file():
        records.replace(job.beside(".csv"))
    _publish(job.scratch / "figures", job.figures)
    partial.replace(job.output)
    draft.replace(job.beside(".json"))
    log(f"done in {seconds:.0f} s, {record['peak_memory_mb']:.0f} MB: {job.name(job.output)}", always=True)


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


def _mark(partial: Path, failure, kept: Path):
    """Keep what ran, but honestly: papermill marks the cells after a dead kernel as completed too."""
    import nbformat

    content = nbformat.read(partial, as_version=4)
    for cell in content.cells:
        about = cell.metadata.get("papermill", {})
        if cell.cell_type == "code" and about.get("start_time") is None:
            about["status"] = "pending"
    if failure.name == "KernelDied":
        cell = content.cells[failure.index]
        cell.metadata.papermill.update(exception=True, status="failed")
        cell.outputs.append(
            nbformat.v4.new_output("error", ename=failure.name, evalue=failure.message, traceback=[failure.message])
        )
    nbformat.write(content, kept)
