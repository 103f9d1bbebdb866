"""Progress for people: a bar on a terminal, one line that updates in a notebook, plain log lines everywhere else."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
_line: str | None = None  # the unfinished line of a notebook, which other output must not run into


def say(line: str) -> None:
    """One log line on stdout, flushed, so that it shows while the work goes on."""
    _end_line()
    print(line, flush=True)


def with_progress(items: Iterable[Item], what: str, total: int | None = None, every: float = 10.0) -> Iterator[Item]:
    """Yield `items`, showing how far they are; off a terminal first after `every` seconds, and then that often."""
    total = len(items) if total is None and hasattr(items, "__len__") else total
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, desc=what, total=total, leave=False)
        return
    begun = said = time.monotonic()
    show, of, done = _update if _in_notebook() else say, f"/{total}" if total else "", 0
    for done, item in enumerate(items):
        if time.monotonic() - said >= every:
            said = time.monotonic()
            rest = (said - begun) / max(done, 1) * (total - done) if total and done else None
            show(f"{what}: {done}{of}" + (f", about {rest:.0f} s left" if rest is not None else ""))
        yield item
    if said > begun and show is _update:  # what stays is how long it took
        _update(f"{what}: {done + 1}{of}, {time.monotonic() - begun:.0f} s")
        _end_line()


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this; a plain script never imports IPython for it."""
    return "ipykernel" in sys.modules and "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None


def _update(line: str) -> None:
    """Replace the unfinished line; it ends in a carriage return, so that readers of the stream see it at once."""
    global _line
    print(line.ljust(len(_line or "")), end="\r", flush=True)
    _line = line


def _end_line() -> None:
    """Finish the line that was being updated, so that what follows begins on a line of its own."""
    global _line
    if _line is not None:
        print(_line, flush=True)
        _line = None
