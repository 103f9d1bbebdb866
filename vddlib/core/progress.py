"""Progress for people: a bar on a terminal, one line that updates in a notebook, plain log lines everywhere else."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
FIRST = 2.0  # seconds after which a long step says for the first time how long it will take
_line: str | None = None  # the unfinished line of a notebook, which other output must not run into
_depth = 0  # of `one_line`


def say(line: str) -> None:
    """One log line on stdout, flushed, so that it shows while the work goes on."""
    _end_line()
    print(line, flush=True)


def passing(line: str) -> None:
    """A line that counts until the next one: within `one_line` of a notebook that replaces it, a log keeps both."""
    if _depth and _in_notebook():
        _update(line)
    else:
        say(line)


@contextmanager
def one_line() -> Iterator[None]:
    """In a notebook all progress and every `passing` line within share one line, which is gone at the end.

    For steps whose result is said or shown afterwards. What `say` prints stays.
    """
    global _depth
    _depth += 1
    try:
        yield
    finally:
        if _depth == 1:
            _end_line()
        _depth -= 1


def with_progress(items: Iterable[Item], what: str, total: int | None = None, every: float = 10.0) -> Iterator[Item]:
    """Yield `items`, showing how far they are; off a terminal first after two seconds, if work for over a minute is left,
    then `every` so many seconds."""
    total = len(items) if total is None and hasattr(items, "__len__") else total
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, desc=what, total=total, leave=False)
        return
    begun = said = first = time.monotonic()
    show, of, done, early = _update if _in_notebook() else say, f"/{total}" if total else "", 0, True
    for done, item in enumerate(items):
        now = time.monotonic()
        first = now if done == 1 else first  # until then processes start, and networks load
        each = (now - first) / (done - 1) if done > 1 else now - begun
        rest = each * (total - done) if total and done else None
        if now - said >= every or (early and done > 2 and now - begun >= FIRST and rest is not None and rest >= 60):
            said, early = now, False
            show(f"{what}: {done}{of}" + (f", about {duration(rest)} left" if rest is not None else ""))
        yield item
    if said > begun and show is _update:  # what stays is how long it took
        _update(f"{what}: {done + 1}{of}, {time.monotonic() - begun:.0f} s")
        if not _depth:
            _end_line()


def duration(seconds: float) -> str:
    """Seconds in the unit that a person would use."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this; a plain script never imports IPython for it."""
    return "ipykernel" in sys.modules and "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None


def _update(line: str) -> None:
    """Replace the unfinished line; it ends in a carriage return, so that readers of the stream see it at once."""
    global _line
    print(line.ljust(len(_line or "")), end="\r", flush=True)
    _line = line


def _end_line() -> None:
    """Finish the line that was being updated, so that what follows begins on a line of its own; of `one_line`, wipe it."""
    global _line
    if _line is not None:
        print(" " * len(_line) if _depth else _line, end="\r" if _depth else "\n", flush=True)
        _line = None
