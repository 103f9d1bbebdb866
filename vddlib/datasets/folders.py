"""What lies in the folders of a dataset: videos, and folders that hold some."""

import os
from pathlib import Path

from vddlib.datasets.video import EXTENSIONS


def first_folder(root: Path, names: tuple[str, ...]) -> Path | None:
    """The first of `names` that is a folder under `root` (``.`` is `root` itself)."""
    return next((root / name for name in names if (root / name).is_dir()), None)


def videos_in(folder: Path) -> dict[str, Path]:
    """Stem -> path of every video directly in `folder`."""
    if not folder.is_dir():
        return {}
    paths = (Path(item.path) for item in sorted(os.scandir(folder), key=lambda item: item.name))
    return {path.stem: path for path in paths if path.suffix.lower() in EXTENSIONS}


def folders_with_videos(base: Path) -> list[str]:
    """Names, sorted, of the folders in `base` that hold videos."""
    if not base.is_dir():
        return []
    names = sorted(item.name for item in base.iterdir() if item.is_dir() and not item.name.startswith("."))
    return [name for name in names if videos_in(base / name)]
