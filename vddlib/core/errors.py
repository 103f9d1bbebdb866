"""The exceptions that are written for users to read."""

import difflib
from collections.abc import Iterable


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


class BrokenVideo(VddError):
    """One video cannot be read. Code that goes through many videos skips it, reports it and counts it."""
