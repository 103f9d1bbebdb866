"""Work on many items in worker processes; an item that crashes or hangs its worker is reported, and the rest go on."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait as wait_for_sentinel
from multiprocessing.util import Finalize
from typing import Any

from vddlib.core.errors import VddError
from vddlib.core.progress import with_progress

MOST_WORKERS = 16
LIMIT_APART = 1800.0  # seconds: CSRT takes minutes for a long video
PR_SET_PDEATHSIG = 1  # of Linux's prctl
CRASHED = "it crashed its worker process"


class Died(Exception):
    """Work in another process took it down, or did not end; the message says which."""


def run_each(
    items: Sequence,
    work: Callable[[Any], Any],
    what: str,
    workers: int | None = None,
    *,
    crashed: Callable[[Any, str], Any],
    limit: float = 600.0,
    alone: bool = False,
) -> Iterator[tuple[Any, Any]]:
    """Yield ``(item, work(item))`` as worker processes finish; items are small and picklable, order is not kept.

    An item that takes its process down (a decoder may, on a corrupt file), or does not end within `limit` seconds (it may
    hang, too), yields ``(item, crashed(item, why))``, and the others go on. Nothing is ever worked on in this process.
    With `alone` each item has a process to itself, one after another. Never more than a few items per worker wait in the
    queue, so an interruption ends it at once. Raises VddError where worker processes cannot start.
    """
    workers = max(1, min(workers or os.cpu_count() or 1, MOST_WORKERS, len(items)))
    each = _one_by_one(items, work, crashed, limit) if alone else _parallel(items, work, workers, crashed, limit)
    yield from with_progress(each, what, total=len(items))


def end_with_parent(then: Callable | None = None, *arguments: Any) -> None:
    """The initializer of every pool: call `then`, and end this worker when its parent ends, for whatever reason.

    Linux sends a signal, which works even while a decoder holds the interpreter; elsewhere a thread watches the parent.
    """
    if then is not None:
        then(*arguments)
    parent = parent_process()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent is None:
        return
    if os.name == "posix" and os.getppid() != parent.pid:  # it died before the line above
        os._exit(1)

    def watch() -> None:
        wait_for_sentinel([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def worker_pool(workers: int, *begin: Any) -> Iterator[ProcessPoolExecutor]:
    """A pool whose processes end with it, or with this process; each first calls `begin` (a function and its arguments)."""
    # spawn: decoders and torch both keep threads, which a fork would leave behind locked.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=end_with_parent, initargs=begin)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _ready(work: Callable) -> None:
    """Done once a worker has started and has imported what `work` needs to be unpickled."""


def _kill(pool: ProcessPoolExecutor) -> None:
    """End the processes of a pool in which something hangs; its futures are then broken."""
    for process in list((pool._processes or {}).values()):
        process.kill()


def _parallel(items: Sequence, work: Callable, workers: int, crashed: Callable, limit: float) -> Iterator[tuple]:
    waiting = deque(items)
    while waiting:
        running: dict[Future, Any] = {}
        with worker_pool(workers) as pool:
            try:
                yield from _until_broken(pool, waiting, running, work, workers, limit)
                return
            except BrokenProcessPool:
                pool.shutdown()  # from here on every running future is done: with its result, or broken
        broken = [future for future in running if isinstance(future.exception(), BrokenProcessPool)]
        yield from ((item, future.result()) for future, item in running.items() if future not in broken)
        yield from _one_by_one([running[future] for future in broken], work, crashed, limit)


def _until_broken(
    pool: ProcessPoolExecutor, waiting: deque, running: dict[Future, Any], work: Callable, workers: int, limit: float
) -> Iterator[tuple]:
    """Results as they come; raises BrokenProcessPool where a process died, or was killed since none came for too long."""
    while waiting or running:
        while waiting and len(running) < 4 * workers:
            running[pool.submit(work, waiting[0])] = waiting[0]
            waiting.popleft()
        finished = wait(running, timeout=limit, return_when=FIRST_COMPLETED).done
        if not finished:
            _kill(pool)
            finished = wait(running, return_when=FIRST_COMPLETED).done
        for future in finished:
            result = future.result()
            yield running.pop(future), result


def _one_by_one(items: Sequence, work: Callable, crashed: Callable, limit: float) -> Iterator[tuple]:
    """Each item alone in a process, a new one after each that died: so it is clear whose fault that was."""
    waiting = deque(items)
    while waiting:
        with worker_pool(1) as pool:
            while waiting:
                item = waiting.popleft()
                try:
                    yield item, _alone_in(pool, work, (item,), limit)
                except Died as death:
                    yield item, crashed(item, str(death))
                    break


def _alone_in(pool: ProcessPoolExecutor, work: Callable, arguments: tuple, limit: float) -> Any:
    """``work(*arguments)`` in a pool of one process. Raises Died, the pool being of no use from then on."""
    try:
        pool.submit(_ready, work).result()  # what it imports does not count as time of the work
    except BrokenProcessPool:
        raise VddError(
            "worker processes die as they start: does the script guard its calls by `if __name__ == '__main__':`?"
        ) from None
    future, begun = pool.submit(work, *arguments), time.monotonic()
    try:
        return future.result(timeout=limit)
    except BrokenProcessPool:
        raise Died(CRASHED) from None
    except TimeoutError:
        if time.monotonic() - begun < limit:  # raised by the work itself
            raise
        _kill(pool)
        raise Died(f"it did not end within {limit:g} seconds") from None


class Apart:
    """Calls in one other process, which stays for the next call and is replaced after a call that it did not survive."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._mine = 0  # the process whose pool it is
        self._one = threading.Lock()

    def __call__(self, work: Callable, *arguments: Any, limit: float = LIMIT_APART) -> Any:
        """``work(*arguments)``, all picklable; what it raises is raised here.

        Raises Died where it takes its process down, or does not end within `limit` seconds.
        """
        with self._one:
            if self._mine != os.getpid():  # a fork has a copy of the pool, and no process in it
                self._pool, self._mine = None, os.getpid()
                # A process joins its own processes before executors hear of its end: this one would wait for work forever.
                Finalize(None, self._end, exitpriority=100)
            if self._pool is None:
                self._pool = ProcessPoolExecutor(1, get_context("spawn"), end_with_parent)
            try:
                return _alone_in(self._pool, work, arguments, limit)
            except (Died, VddError) as error:
                if isinstance(error, Died) or self._pool._broken:
                    self._pool.shutdown()
                    self._pool = None
                raise

    def _end(self) -> None:
        if self._pool is not None:
            _kill(self._pool)


apart = Apart()  # the one of this process: whoever reads a few videos shares it
