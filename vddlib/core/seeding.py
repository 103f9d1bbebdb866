"""Random streams derived from one seed: each is named after what it is for, and no global generator is seeded."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive(*key: int | str) -> int:
    """A 63-bit seed that depends on every part of `key`, the same on every machine."""
    # Not hash(): Python salts it differently in every process.
    digest = hashlib.sha256("/".join(str(part) for part in key).encode()).digest()
    return (
        int.from_bytes(digest[:8], "big") >> 1
    )  # 63 bits: within the signed integers that torch and JSON readers take


def rng(*key: int | str) -> np.random.Generator:
    """NumPy generator for the stream named `key`."""
    return np.random.default_rng(derive(*key))


def generator(*key: int | str, device: str = "cpu") -> torch.Generator:
    """Torch generator for the stream named `key`."""
    return torch.Generator(device).manual_seed(derive(*key))


@contextmanager
def forked(*key: int | str, device: torch.device | str = "cpu") -> Iterator[None]:
    """Inside, torch's global generators (initialisation, dropout) follow `key`; afterwards they are as before (CPU, CUDA)."""
    device = torch.device(device)
    cuda = []
    if device.type == "cuda":
        cuda = [torch.cuda.current_device() if device.index is None else device.index]
    # Each generator by itself: torch.manual_seed would also seed GPUs whose state is not restored afterwards.
    with torch.random.fork_rng(devices=cuda):
        torch.random.default_generator.manual_seed(derive(*key))
        for index in cuda:
            torch.cuda.default_generators[index].manual_seed(derive(*key))
        yield
