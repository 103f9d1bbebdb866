"""Where networks of others lie: ``$VDD_WEIGHTS``."""

import os
from pathlib import Path


def weights_folder() -> Path | None:
    """The folder ``$VDD_WEIGHTS``, where it is set."""
    value = os.environ.get("VDD_WEIGHTS")
    return Path(value).expanduser() if value else None


def in_weights(name: str) -> Path:
    """The path of `name` in ``$VDD_WEIGHTS``, or in the current folder where that is not set; it need not exist."""
    return (weights_folder() or Path()) / name
