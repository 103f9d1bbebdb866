"""One kernel per notebook: this very interpreter, nothing shared with its neighbours, and proof that every cell ran.

papermill executes; this module only decides how its kernel is launched and when a run counts as whole. Three traps are
the reason. Kernels that pick TCP ports collide when many start at once, so ours talk through Unix sockets in a private
folder. A kernel killed from outside leaves a notebook whose cells are all marked completed, so a cell counts only once
the kernel itself has replied for it. And `sys.exit(0)` in the middle of a notebook is no error to papermill.
"""

import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import papermill
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, papermill_engines
from papermill.exceptions import PapermillExecutionError

from vddlib.core.errors import VddError
from vddlib.core.process import ProcessMemory
from vddlib.core.scratch import clear_abandoned, private_folder

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
BAR = re.compile(r"\d+/\d|%\|")  # how far something is: of such lines a log needs few
_SILENT = logging.getLogger("vddlib.notebook.kernel.client")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False  # what nbclient would log, CellFailed says


class CellFailed(Exception):
    """A cell that did not run to its end: which, and what it raised."""

    def __init__(self, index: int, total: int, source: str, name: str, message: str, traceback: str = ""):
        self.index, self.total, self.source = index, total, source
        self.name, self.message, self.traceback = name, message, traceback
        super().__init__(f"{self.where()} {name}: {message}")

    def where(self) -> str:
        """The cell's place and first line, as `cell 7/23 (report = evaluate(...))`."""
        return f"cell {self.index + 1}/{self.total} ({first_line(self.source)})"


def first_line(source: str, width: int = 80) -> str:
    """The first line of a cell that says something, shortened."""
    line = next((line.strip() for line in source.splitlines() if line.strip()), "")
    return line if len(line) <= width else line[: width - 3] + "..."


def runs(cell) -> bool:
    """Whether a cell is one that a kernel executes."""
    skipped = "skip-execution" in cell.metadata.get("tags", [])
    return cell.cell_type == "code" and bool(cell.source.strip()) and not skipped


class _Lines:
    """What papermill writes to as to a file; whole lines go to `line`, an updating one only every few seconds."""

    def __init__(self, line: Callable[[str], None], every: float = 5.0):
        self.line, self.rest, self.every, self.said = line, "", every, 0.0

    def write(self, text: str):
        *whole, self.rest = re.split(r"(?<=[\r\n])", self.rest + text)
        for line in whole:
            shown = _ANSI.sub("", line.rstrip("\r\n")).rstrip()
            updated = line.endswith("\r") and BAR.search(shown)
            if (not updated and (shown or line == "\n")) or (shown and time.monotonic() - self.said >= self.every):
                self.said = time.monotonic()
                self.line(shown)

    def flush(self):
        pass

    def close(self):
        if self.rest:
            self.write("\n")


class _Kernel(AsyncKernelManager):
    """A kernel of this interpreter, which needs no installed kernelspec."""

    @property
    def kernel_spec(self) -> KernelSpec:
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        command += ["--IPKernelApp.log_level=50"]  # else some idle kernels complain of the interrupt before shutdown
        return KernelSpec(argv=command, display_name="Python 3", language="python")


def new_kernel(folder: Path) -> _Kernel:
    """A kernel (not started) whose sockets lie in `folder`, an own short folder; TCP where Unix sockets cannot be."""
    folder = Path(folder)
    if os.name == "nt" or len(bytes(folder)) > 80:  # a socket's whole path has about 100 bytes
        return _Kernel(connection_file=str(folder / "kernel.json"))
    return _Kernel(connection_file=str(folder / "kernel.json"), transport="ipc", ip=str(folder / "k"))


class Execution:
    """One notebook being executed: says which cell runs, remembers which cells the kernel has finished."""

    def __init__(self, env: Mapping[str, str], cwd: Path, line: Callable[[str], None], attempts: int = 3):
        self.env, self.cwd, self.line, self.attempts = dict(env), cwd, line, attempts
        self.finished: set[int] = set()
        self.cells: list = []
        self.current = 0
        self.process = self.memory = None

    @property
    def peak_memory_mb(self) -> float:
        """The most memory that the kernel and its children held at once."""
        return self.memory.peak if self.memory else 0.0

    def run(self, notebook: Path, output: Path, parameters: Mapping):
        """Execute `notebook` into `output`; returns the executed notebook or raises CellFailed.

        Whatever happens, `output` holds the cells and outputs so far.
        """
        try:
            executed = papermill.execute_notebook(
                _literal(notebook),
                _literal(output),
                dict(parameters),
                engine_name="vddlib",
                kernel_name="python3",
                language="python",
                progress_bar=False,
                execution=self,
            )
        except PapermillExecutionError as error:
            traceback = _ANSI.sub("", "\n".join(error.traceback))
            raise self._failure(error.cell_index, error.ename, error.evalue, traceback) from None
        except DeadKernelError:
            raise self._failure(self.current, "KernelDied", self._how_it_died()) from None
        except CellTimeoutError:
            raise self._failure(self.current, "KernelSilent", "its output did not come within a minute") from None
        for index, cell in enumerate(self.cells):
            if runs(cell) and index not in self.finished:
                raise self._failure(index, "SystemExit", "the notebook stopped here and left the rest of its cells")
        return executed

    def _failure(self, index: int, name: str, message: str, traceback: str = "") -> CellFailed:
        return CellFailed(index, len(self.cells), self.cells[index].source, name, message, traceback)

    def _how_it_died(self) -> str:
        code = self.process.poll() or 0
        held = f"it had held {self.peak_memory_mb:.0f} MB"
        if code == -signal.SIGSEGV:
            return f"the kernel crashed (segmentation fault; {held})"
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return f"the kernel died {how}, likely out of memory ({held})"

    def execute(self, manager):
        """Called back by papermill with its NotebookExecutionManager."""
        self.cells = list(manager.nb.cells)  # papermill inserts a marker at a failure
        out, err = _Lines(self.line), _Lines(self.line)
        clear_abandoned()
        with private_folder() as folder:
            client = PapermillNotebookClient(
                manager,
                log=_SILENT,
                kernel_name="python3",
                startup_timeout=300,  # many kernels may start at once on few cores
                iopub_timeout=60,
                stdout_file=out,
                stderr_file=err,
                on_cell_execute=self._cell_starts,
                on_cell_executed=self._cell_ends,
            )
            try:
                self._start(client, folder)
                self.process = client.km.provisioner.process
                with ProcessMemory(self.process.pid) as self.memory:
                    client.execute(cleanup_kc=True)
            finally:
                out.close()
                err.close()
                if client.km is not None and client.km.has_kernel:  # interrupted while it was starting
                    client.km.provisioner.process.kill()

    def _start(self, client: PapermillNotebookClient, folder: Path):
        env = self.env | {"IPYTHONDIR": str(folder / "ipython"), "JUPYTER_RUNTIME_DIR": str(folder / "jupyter")}
        for attempt in range(1, self.attempts + 1):
            client.km = new_kernel(folder)
            client.km.shutdown_wait_time = 4
            try:
                client.start_new_kernel(env=env, cwd=str(self.cwd))
                client.start_new_kernel_client()
                return
            except RuntimeError as error:  # on TCP another process may have taken the port in between
                if attempt == self.attempts:
                    raise VddError(
                        f"the notebook kernel does not start ({error}); see what "
                        f"`{sys.executable} -m ipykernel_launcher` says"
                    ) from None

    def _cell_starts(self, cell, cell_index: int):
        self.current = cell_index
        self.line(f"cell {cell_index + 1}/{len(self.cells)}: {first_line(cell.source)}")

    def _cell_ends(self, cell, cell_index: int, execute_reply: Mapping):
        self.memory.sample()
        if execute_reply["content"]["status"] == "ok":
            self.finished.add(cell_index)


def _literal(path: Path) -> str:
    return str(path).replace("{", "{{").replace("}", "}}")  # papermill formats paths with the parameters


class _Engine(Engine):
    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, *, execution: Execution, **_):
        execution.execute(nb_man)


papermill_engines.register("vddlib", _Engine)
