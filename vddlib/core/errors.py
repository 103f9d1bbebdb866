"""The one exception that users are meant to read."""

import difflib
from collections.abc import Iterable


class VddError(Exception):
    """A mistake the user can mend: one line that says what is wrong, where, and what to do.

    The command line prints it alone (no traceback) and exits with 2; notebooks show it as that one line, too.
    """

    def _render_traceback_(self) -> list[str]:
        """IPython's hook: the stack above is ours, and no help to whoever can mend the mistake."""
        return [f"{type(self).__name__}: {self}"]


def unknown(what: str, name: str, known: Iterable[str], more: str = "") -> VddError:
    """The error for a name that is not among `known`, with the nearest of them where one is near; `more` ends it."""
    near = difflib.get_close_matches(name, known := list(known), n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return VddError(f"unknown {what} {name!r}: {hint}known are {', '.join(known)}{more}")


class BrokenVideo(VddError):
    """One video cannot be read; whoever walks over many videos skips it, names it and counts it."""
