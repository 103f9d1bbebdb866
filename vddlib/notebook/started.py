"""What surrounds a run: its lock, its folder, its log, and one way to be interrupted."""

import errno
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vddlib.core.errors import VddError
from vddlib.notebook.job import Job


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


@contextmanager
def started(job: Job, quiet: bool) -> Iterator[Log]:
    """A run's lock, its own folder and its log. What an earlier run published goes first, and all of a failed one after it."""
    published = [job.output, job.beside(".csv"), job.beside(".json")]
    with _closed_is_named(job), _signals(), _only_one(job):
        for old in (*published, job.beside(".failed.ipynb")):
            old.unlink(missing_ok=True)
        for folder in (job.scratch, job.sets):
            shutil.rmtree(folder, ignore_errors=True)
        job.scratch.mkdir()
        log = Log(job.beside(".log"), job.label, quiet)
        try:
            yield log
        except BaseException:
            for path in published:
                path.unlink(missing_ok=True)
            shutil.rmtree(job.sets, ignore_errors=True)
            raise
        finally:
            shutil.rmtree(job.scratch, ignore_errors=True)
            log.file.close()  # last: on a full disk it fails too
