"""Progress of long work: a bar on a terminal, plain log lines everywhere else (batch logs, notebooks)."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def say(line: str) -> None:
    """Print one log line to stdout, flushed, so that it appears while the work goes on."""
    print(line, flush=True)


def with_progress(items: Iterable[Item], what: str, total: int | None = None, every: float = 10.0) -> Iterator[Item]:
    """Yield `items` and show progress; without a terminal, at most one line per `every` seconds.

    `what` names the work, `total` is the number of items where they have no length.
    """
    total = len(items) if total is None and hasattr(items, "__len__") else total
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, desc=what, total=total, leave=False)
        return
    begun = said = time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - said >= every:
            said = time.monotonic()
            rest = (said - begun) / max(done, 1) * (total - done) if total and done else None
            of, left = (f"/{total}" if total else ""), (f", about {rest:.0f} s left" if rest is not None else "")
            say(f"{what}: {done}{of}{left}")
        yield item
