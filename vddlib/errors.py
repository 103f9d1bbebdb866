"""The one exception that users are meant to read."""


class VddError(Exception):
    """A mistake the user can mend: one line that says what is wrong, where, and what to do.

    The command line prints it alone (no traceback) and exits with 2; notebooks show it as that one line, too.
    """

    def _render_traceback_(self) -> list[str]:
        """IPython's hook: the stack above is ours, and no help to whoever can mend the mistake."""
        return [f"{type(self).__name__}: {self}"]


class BrokenVideo(VddError):
    """One video cannot be read; whoever walks over many videos skips it, names it and counts it."""
