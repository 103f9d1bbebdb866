"""Damaged copies of good files, batch after batch until the time is up, and the count of what became of them."""

import os
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

SECONDS = float(os.environ.get("VDD_HOSTILE_SECONDS", 30))  # of all tests of this folder together
LOADED, REFUSED = "loaded", "refused in one line"
FIELDS = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 10**6, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
# What decides how a container is read: boxes of MP4, chunks of AVI.
NAMES = (b"stsz", b"stts", b"stsc", b"stco", b"stsd", b"avc1", b"avcC", b"mdhd", b"tkhd", b"mvhd", b"elst", b"ctts", b"trak",
         b"mdat", b"moov", b"avih", b"strh", b"strf", b"movi", b"idx1", b"hdrl", b"00dc", b"LIST")  # fmt: skip
EDITS = st.tuples(
    st.sampled_from(["field", "field", "named", "named", "named", "byte", "cut", "remove", "repeat", "insert"]),
    st.floats(0, 1, exclude_max=True),  # where, as a share of the file
    st.sampled_from(FIELDS) | st.integers(0, 2**32 - 1),
    st.integers(0, 60),
    st.binary(min_size=1, max_size=12),
)


def damaged(data: bytes, edits: list[tuple]) -> bytes:
    """`data` after one edit after another: bytes overwritten, pieces removed, repeated or put in, the end cut off."""
    for kind, share, value, offset, junk in edits:
        place = int(share * len(data))
        if kind == "named":
            found = [data.find(name) for name in NAMES if name in data]
            place = found[int(share * len(found))] + offset - 4 if found else place
            kind = "field"
        place, order = max(0, place), "<I" if offset % 2 else ">I"
        if kind == "field":
            data = data[:place] + struct.pack(order, value) + data[place + 4 :]
        elif kind == "byte":
            data = data[:place] + junk[:1] + data[place + 1 :]
        elif kind == "cut":
            data = data[:place]
        elif kind == "remove":
            data = data[:place] + data[place + offset + 1 :]
        elif kind == "repeat":
            data = data[:place] + data[place : place + offset + 1] + data[place:]
        else:
            data = data[:place] + junk + data[place:]
    return data


def batches(strategy: st.SearchStrategy, size: int, share: float) -> Iterator[tuple[int, list]]:
    """(seed, examples) of `strategy`, `size` at a time, for a `share` of the seconds there are; at least one batch."""
    until, number = time.monotonic() + share * SECONDS, 0
    while number == 0 or time.monotonic() < until:
        yield number, drawn(strategy, size, number)
        number += 1


def drawn(strategy: st.SearchStrategy, size: int, number: int) -> list:
    """About `size` examples; the same for the same number."""
    found: list = []
    health = list(HealthCheck)

    @seed(number)
    @settings(max_examples=size, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=health)
    @given(strategy)
    def collect(example):
        found.append(example)

    collect()
    return found


def outcome(read: Callable[[], object], expected: type[Exception], named: str = "") -> str:
    """LOADED, REFUSED, or what else happened: another exception, several lines, a line that does not name the file."""
    try:
        read()
    except expected as error:
        text = str(error)
        if "\n" in text or "\r" in text or named not in text:
            return f"refused otherwise: {text!r}"
        return REFUSED
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:300]!r}"
    return LOADED


def told(what: str, outcomes: dict) -> None:
    """Print the counts; AssertionError, with the first of them, where anything was neither refused in one line nor loaded."""
    counts = Counter(outcomes.values())
    others = {item: result for item, result in outcomes.items() if result not in (LOADED, REFUSED)}
    print(f"\n{what}: tried {len(outcomes)}, {REFUSED} {counts[REFUSED]}, loaded {counts[LOADED]}, else {len(others)}")
    assert not others, f"{len(others)} of {len(outcomes)}; first: {list(others.items())[:5]}"
