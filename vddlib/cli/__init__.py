"""The command `vdd`. Each command imports what it needs when it runs, so that `vdd --help` is quick."""

from vddlib.cli import running, sharing, starting  # noqa: F401  # their commands join the app, in this order of `--help`
from vddlib.cli.app import app

__all__ = ["app"]
