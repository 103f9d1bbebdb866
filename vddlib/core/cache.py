"""A content-addressed cache for what is costly to make: frame stores, teachers, students, expert trajectories.

An artifact is a folder named by the hash of its *key* (everything that determines it, as plain JSON). It is built once,
under a lock, in a sibling folder that survives an interruption, so that the builder can resume; it appears under its own
name only when it is complete.
"""

import ast
import errno
import importlib
import inspect
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from filelock import FileLock

from vddlib.core.errors import VddError
from vddlib.core.files import digest, write_json
from vddlib.core.provenance import project_root

_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)  # somebody else's, or no folder at all
OWN = "set VDD_CACHE to a folder of your own"
USED = "artifacts.txt"  # in the folder of a run: what it took out of the cache, a line each


def folder() -> Path:
    """The folder of all artifacts: ``$VDD_CACHE``, else ``artifacts/`` of the project."""
    return Path(os.environ.get("VDD_CACHE") or project_root() / "artifacts")


@cache
def code_digest(*modules: str) -> str:
    """Hash of what the named modules *do*: their syntax trees without docstrings and comments.

    It is part of every key, so that changed code never finds an artifact of the old code.
    """
    trees = []
    for name in modules:
        tree = ast.parse(inspect.getsource(importlib.import_module(name)))
        for node in ast.walk(tree):  # a docstring cannot change a result, so editing one must not discard results
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
                value = body[0].value
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    node.body = body[1:]
        trees.append(ast.dump(tree))
    return digest(trees)


def _place(kind: str, key: dict) -> Path:
    return folder() / kind / digest(key)[:20]  # 80 bits: no two keys collide, and paths stay short


def exists(kind: str, key: dict) -> bool:
    """Whether the artifact is in the cache, complete. Raises VddError where the cache cannot be read."""
    place = _place(kind, key)
    with _closed_is_named(place):
        return (place / "key.json").is_file()


def _note_use(place: Path) -> None:
    """Let the run at hand know that it used this artifact; its provenance lists them, and `vdd pack` packs them."""
    if run := os.environ.get("VDD_RUN"):
        with suppress(OSError), Path(run, USED).open("a", encoding="utf-8") as file:
            file.write(f"{place.parent.name}/{place.name}\n")


@contextmanager
def _closed_is_named(place: Path) -> Iterator[None]:
    """Turns what the file system says of a full disk, and of a cache that cannot be written or read, into one line."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise VddError(
                f"{place.parent}: the disk is full; free some space (or set VDD_CACHE) and run again"
            ) from None
        # A build reads other files, too, whose errors are not the cache's.
        ours = Path(error.filename).is_relative_to(folder()) if error.filename else not os.access(place.parent, os.W_OK)
        if error.errno in _CLOSED and ours:
            where = error.filename or place.parent
            raise VddError(f"{where}: the cache cannot be written or read ({error.strerror}); {OWN}") from None
        raise


def _readable(place: Path) -> Path:
    """The folder of a complete artifact; PermissionError where it or a file in it may not be read."""
    for path in (place, *place.iterdir()):
        if not os.access(path, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    return place


def get(kind: str, key: dict, build: Callable[[Path], None]) -> Path:
    """The folder of the artifact `kind`/`key`; `build(partial)` fills it first where it does not exist yet.

    `partial` may hold what an interrupted build left: builders skip what is done. Other processes that need the same
    artifact wait for this one. Raises VddError (one line) when the disk is full, when the cache or the artifact cannot be
    written or read, and in a worker process that is still starting: its parent's script has no ``__main__`` guard, so the
    worker runs it again and would wait forever for the lock that its parent holds.
    """
    place = _place(kind, key)
    _note_use(place)
    if exists(kind, key):
        with _closed_is_named(place):
            return _readable(place)
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise VddError("a worker process runs the script again; guard its calls by `if __name__ == '__main__':`")
    partial = place.with_name(f".{place.name}.partial")
    with _closed_is_named(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_name(f".{place.name}.lock")):
            if not (place / "key.json").is_file():  # another process may have built it while this one waited
                partial.mkdir(exist_ok=True)
                build(partial)
                write_json(partial / "key.json", key)  # written last: it marks the artifact as complete
                shutil.rmtree(place, ignore_errors=True)
                partial.rename(place)
    return place
