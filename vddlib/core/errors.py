"""The exceptions that are written for users to read."""

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # pydantic takes longer to import than most commands that only want an error
    from pydantic import ValidationError


class VddError(Exception):
    """A mistake the user can fix: one line that says what is wrong, where, and what to do.

    The command line prints it alone (no traceback) and exits with 2; notebooks show the same one line.
    """

    def _render_traceback_(self) -> list[str]:
        """IPython's hook: the stack is the package's own, and does not help a user to fix the mistake."""
        return [f"{type(self).__name__}: {self}"]


def unknown(what: str, name: str, known: Iterable[str], more: str = "") -> VddError:
    """The error for a name that is not among `known`: it suggests the closest of them if one is close, and ends with `more`."""
    near = difflib.get_close_matches(name, known := list(known), n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return VddError(f"unknown {what} {name!r}: {hint}known are {', '.join(known)}{more}")


def first_mistake(error: "ValidationError") -> tuple[str, str]:
    """(where, what) of the first mistake that pydantic found: 'network.name', 'input should be a valid string'.

    Where is '' for a mistake of the whole.
    """
    first = error.errors()[0]
    return ".".join(map(str, first["loc"])), first["msg"].lower()


class BrokenVideo(VddError):
    """One video cannot be read. Code that goes through many videos skips it, reports it and counts it."""


def first_line(error: BaseException, most: int = 120, *, end: bool = False) -> str:
    """The first line of an error of another library, at most `most` characters of it, cut between words.

    Its beginning, or with `end` its end, where FFmpeg's readers say what is wrong; its type's name where it says nothing.
    """
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    if len(text) <= most:
        return text
    words, kept = text.split(), []
    for word in reversed(words) if end else words:
        if sum(map(len, kept)) + len(kept) + len(word) > most - 4:  # " ..." takes four
            break
        kept.append(word)
    if not kept:  # one endless word
        return "..." + text[3 - most :] if end else text[: most - 3] + "..."
    return " ".join(["...", *reversed(kept)] if end else [*kept, "..."])
