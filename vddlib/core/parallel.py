"""A process pool that survives crashes: an item that kills its worker (a video decoder may) does not stop the others."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from vddlib.core.errors import VddError
from vddlib.core.progress import with_progress


def run_each(
    items: Sequence, work: Callable, what: str, workers: int | None = None, *, crashed: Callable, alone: bool = False
):
    """Yield ``(item, work(item))`` as worker processes finish; items are small and picklable, and their order is not kept.

    An item that crashes its process (a decoder may, on a corrupt file) yields ``(item, crashed(item))``, and the others go
    on. With few items, or one worker, the work is done in the calling process, where a crash cannot be caught; with
    `alone` it is done in a worker process, one item at a time. Only a few items per worker wait in the queue, so that an
    interruption ends the work at once.
    """
    if alone:
        yield from with_progress(_one_by_one(items, work, crashed), what, total=len(items))
        return
    workers = min(workers or os.cpu_count() or 1, 16, max(1, len(items)))
    if workers == 1 or len(items) < 8:
        for item in with_progress(items, what):
            yield item, work(item)
        return
    yield from with_progress(_parallel(items, work, workers, crashed), what, total=len(items))


def _pool(workers: int) -> ProcessPoolExecutor:
    # spawn: decoders and torch both keep threads, which a fork would leave behind locked.
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


def _parallel(items: Sequence, work: Callable, workers: int, crashed: Callable):
    waiting, running, pool = deque(items), {}, _pool(workers)
    try:
        while waiting or running:
            try:
                while waiting and len(running) < 4 * workers:
                    future = pool.submit(work, waiting[0])
                    running[future] = waiting.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    yield running.pop(future), result
            except BrokenProcessPool:
                pool.shutdown()  # from here on every running future is done: with its result, or broken
                broken = [f for f in running if isinstance(f.exception(), BrokenProcessPool)]
                yield from ((running[f], f.result()) for f in running if f not in broken)
                yield from _one_by_one([running[f] for f in broken], work, crashed)
                running, pool = {}, _pool(workers)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _one_by_one(items: Sequence, work: Callable, crashed: Callable):
    """One item at a time in one worker process, with a new process after each crash: so the item that crashed it is known."""
    waiting = deque(items)
    while waiting:
        with _pool(1) as pool:
            try:
                pool.submit(os.getpid).result()
            except BrokenProcessPool:
                raise VddError(
                    "worker processes die as they start: does the script guard its calls by "
                    "`if __name__ == '__main__':`?"
                ) from None
            while waiting:
                item = waiting.popleft()
                try:
                    yield item, pool.submit(work, item).result()
                except BrokenProcessPool:
                    yield item, crashed(item)
                    break
