"""A content-addressed cache for what is dear to make: frame stores, teachers, students, expert trajectories.

An artifact is a folder named by the hash of its *key* (everything that determines it, as plain JSON). It is built once,
under a lock, in a sibling folder that survives an interruption, so that the builder can go on; it appears under its own
name only when complete.
"""

import ast
import errno
import hashlib
import importlib
import inspect
import io
import json
import multiprocessing
import os
import secrets
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from vddlib.errors import VddError
from vddlib.provenance import project_root


def folder() -> Path:
    """Where artifacts lie: ``$VDD_CACHE``, else ``artifacts/`` of the project."""
    return Path(os.environ.get("VDD_CACHE") or project_root() / "artifacts")


def digest(key: Any) -> str:
    """sha256 (hex) of a JSON-able value, independent of dict order."""
    text = json.dumps(key, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_array(array: np.ndarray) -> str:
    """sha256 (hex) of an array's type, shape and bytes."""
    state = hashlib.sha256(f"{array.dtype}{array.shape}".encode())
    state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()


@cache
def code_digest(*modules: str) -> str:
    """Hash of what the named modules *do*: their syntax trees without docstrings and comments.

    Part of every key, so that a change of code never finds an artifact of the old one.
    """
    trees = []
    for name in modules:
        tree = ast.parse(inspect.getsource(importlib.import_module(name)))
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
                value = body[0].value
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    node.body = body[1:]
        trees.append(ast.dump(tree))
    return digest(trees)


def _place(kind: str, key: dict) -> Path:
    return folder() / kind / digest(key)[:20]


def there(kind: str, key: dict) -> bool:
    """Whether the artifact is in the cache, complete."""
    return (_place(kind, key) / "key.json").is_file()


def get(kind: str, key: dict, build: Callable[[Path], None]) -> Path:
    """The folder of the artifact `kind`/`key`; `build(partial)` fills it first where it is not there yet.

    `partial` may hold what an interrupted build left: builders skip what is done. Other processes that want the same
    artifact wait for this one. Raises VddError (one line) when the disk is full, and in a process that is only being
    started: its parent, whose script has no ``__main__`` guard, holds the lock and waits for it.
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
            if not (place / "key.json").is_file():
                partial.mkdir(exist_ok=True)
                build(partial)
                write_json(partial / "key.json", key)
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


def unfinished(path: Path) -> Path:
    """A place beside `path` to write to first: nobody else's, on any of the machines that share the folder."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def write_tensors(path: Path, tensors: dict) -> None:
    """Write tensors as safetensors, whole or not at all."""
    from safetensors.torch import save

    partial = unfinished(path)
    partial.write_bytes(save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))
    partial.replace(path)


def write_state(path: Path, state: dict) -> None:
    """Write a checkpoint that only this program will read (``torch.load(weights_only=True)``), whole or not at all."""
    import torch

    buffer = io.BytesIO()  # torch.save itself reports a full disk as a RuntimeError of its own
    torch.save(state, buffer)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(buffer.getbuffer())
    partial.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all."""
    partial = unfinished(path)
    partial.write_text(json.dumps(value, indent=1, sort_keys=True, default=str) + "\n")
    partial.replace(path)
