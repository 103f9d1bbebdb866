"""Atomic writes (a whole file or none), and hashes of files, arrays and JSON."""

import hashlib
import io
import json
import secrets
from pathlib import Path
from typing import Any

import numpy as np

from vddlib.core.errors import VddError


def digest(value: Any) -> str:
    """sha256 (hex) of a JSON-able value, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_array(array: np.ndarray) -> str:
    """sha256 (hex) of an array's type, shape and bytes."""
    state = hashlib.sha256(f"{array.dtype}{array.shape}".encode())
    state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes; '' when there is no such file."""
    path = Path(path)
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _partial_name(path: Path) -> Path:
    """A temporary name beside `path` that no other process uses, on any of the machines that share the folder."""
    # Beside it, since a rename is atomic only within one file system.
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def write_atomic(path: str | Path, data: str | bytes | memoryview) -> Path:
    """Write a whole file or none: a temporary file beside it takes the final name when it is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial_name(path)
    try:
        partial.write_bytes(data.encode() if isinstance(data, str) else data)
        partial.replace(path)
    except BaseException:  # Ctrl-C too, not only a full disk: no half-written file may stay
        partial.unlink(missing_ok=True)
        raise
    return path


def begin(path: Path) -> None:
    """An empty file at `path`, before hours of work that end in writing it. Raises VddError where it cannot be written."""
    try:
        write_atomic(path, "")
    except OSError as error:
        raise VddError(f"{path}: cannot be written ({error.strerror}); name another file") from None


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all."""
    write_atomic(path, json.dumps(value, indent=1, sort_keys=True, default=str) + "\n")


def write_tensors(path: Path, tensors: dict) -> None:
    """Write tensors as safetensors, whole or not at all."""
    from safetensors.torch import save

    write_atomic(path, save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))


def write_state(path: Path, state: dict) -> None:
    """Write a checkpoint that only this program will read (``torch.load(weights_only=True)``), whole or not at all."""
    import torch

    buffer = io.BytesIO()  # torch.save to a file would report a full disk as a RuntimeError, which nobody handles
    torch.save(state, buffer)
    write_atomic(path, buffer.getbuffer())
