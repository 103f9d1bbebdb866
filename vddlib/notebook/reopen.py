"""A notebook as it was last run, to read and to play with: a copy with its outputs, so that the run itself stays as it is."""

import shutil
from itertools import count
from pathlib import Path

from vddlib.core.errors import VddError
from vddlib.core.files import file_sha256
from vddlib.core.provenance import project_root

FOLDER = "runs/interactive"


def reopened(notebook: str, scale: str = "", root: Path | None = None) -> Path:
    """The copy, in runs/interactive/: of the last finished run of `notebook` (a number, a name, a path), at `scale` or at any.

    The clean source is copied where it was never run. A copy that was changed since it was made stays, and a newer run's stands
    beside it under another name. Raises VddError for a notebook that is not there, and for a number that several share.
    """
    root = root or project_root()
    source = _source(notebook, root)
    runs = (root / "runs").glob(f"{scale or '*'}/{source.stem}/*.ipynb")
    finished = [path for path in runs if path.with_suffix(".json").is_file()]
    last = max(finished, key=lambda path: path.stat().st_mtime, default=source)
    if scale and last is source:
        raise VddError(f"{source.stem} has no finished run at scale {scale}")
    name = source.name if last is source else f"{source.stem}-{last.parents[1].name}-{last.name}"
    folder, sha = root / FOLDER, file_sha256(last)
    folder.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        copy = folder / (name if number == 1 else f"{Path(name).stem}-{number}.ipynb")
        note = copy.with_name(f".{copy.name}.sha256")  # of what was copied
        if copy.is_file() and note.is_file() and note.read_text() == sha:
            return copy  # of this very run, changed since or not
        if not copy.is_file() or (note.is_file() and file_sha256(copy) == note.read_text()):
            shutil.copy(last, copy)
            note.write_text(sha)
            return copy
    raise AssertionError("count() ends nowhere")


def _source(notebook: str, root: Path) -> Path:
    name = Path(notebook).stem
    number = f"{int(name):02d}_" if name.isdigit() else ""
    found = [
        path
        for path in sorted((root / "notebooks").glob("*.ipynb"))
        if path.stem == name or (number and path.stem.startswith(number))
    ]
    if len(found) != 1:
        what = f"several notebooks begin with {number[:2]}" if found else "no such notebook in notebooks/"
        raise VddError(f"{notebook}: {what}")
    return found[0]
