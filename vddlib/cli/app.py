"""The command `vdd`. Each command imports what it needs when it runs, so that `vdd --help` is quick."""

import errno

import typer
from typer.core import TyperGroup

from vddlib.core.errors import VddError


class _OneLine(TyperGroup):
    """Prints what a user can fix as one line on stderr, without a traceback."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except VddError as error:
            code = 2
            typer.echo(f"vdd: {error}", err=True)
        except KeyboardInterrupt as stop:
            code = 128 + getattr(stop, "signum", 2)  # as shells report a process that a signal ended
            typer.echo(
                "vdd: stopped; no half-written file is left, and the same command resumes from what was finished",
                err=True,
            )
        except OSError as error:
            code = 2
            if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
                where = f" while writing {error.filename}" if error.filename else ""
                typer.echo(f"vdd: the disk is full{where}; free some space and run the same command again", err=True)
            elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and error.filename:
                typer.echo(f"vdd: {error.filename}: cannot be read or written ({error.strerror})", err=True)
            else:
                raise
        raise typer.Exit(code)


app = typer.Typer(cls=_OneLine, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def vdd():
    """Video dataset distillation, reproduced."""
