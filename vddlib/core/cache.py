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
from collections.abc import Callable
from functools import cache
from pathlib import Path

from filelock import FileLock

from vddlib.core.errors import VddError
from vddlib.core.files import digest, write_json
from vddlib.core.provenance import project_root


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
    """Whether the artifact is in the cache, complete."""
    return (_place(kind, key) / "key.json").is_file()


def get(kind: str, key: dict, build: Callable[[Path], None]) -> Path:
    """The folder of the artifact `kind`/`key`; `build(partial)` fills it first where it does not exist yet.

    `partial` may hold what an interrupted build left: builders skip what is done. Other processes that need the same
    artifact wait for this one. Raises VddError (one line) when the disk is full, and in a worker process that is still
    starting: its parent's script has no ``__main__`` guard, so the worker runs it again and would wait forever for the
    lock that its parent holds.
    """
    place = _place(kind, key)
    if (place / "key.json").is_file():
        return place
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise VddError("a worker process runs the script again; guard its calls by `if __name__ == '__main__':`")
    partial = place.with_name(f".{place.name}.partial")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_name(f".{place.name}.lock")):
            if not (place / "key.json").is_file():  # another process may have built it while this one waited
                partial.mkdir(exist_ok=True)
                build(partial)
                write_json(partial / "key.json", key)  # written last: it marks the artifact as complete
                shutil.rmtree(place, ignore_errors=True)
                partial.rename(place)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise VddError(
                f"{place.parent}: the disk is full; free some space (or set VDD_CACHE) and run again"
            ) from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST) and not os.access(
            place.parent, os.W_OK
        ):
            raise VddError(f"{place.parent}: the cache cannot be written ({error.strerror}); set VDD_CACHE") from None
        raise
    return place
