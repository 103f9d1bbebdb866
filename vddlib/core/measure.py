"""What work costs: seconds by stage while a `Stopwatch` runs, and the peak of memory."""

import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

_running: "Stopwatch | None" = None


class Stopwatch:
    """Seconds by stage (``seconds['real']``...) of what runs inside ``with Stopwatch() as watch:``.

    On CUDA every stage waits for the GPU, so that work is counted in the stage that started it.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def __enter__(self) -> "Stopwatch":
        global _running
        _running = self
        return self

    def __exit__(self, *_: object) -> None:
        global _running
        _running = None


def _now() -> float:
    if torch.cuda.is_available():  # CUDA calls return before their work is done
        torch.cuda.synchronize()
    return time.perf_counter()


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Add the time spent inside to the stage `name`; does nothing where no stopwatch runs."""
    watch = _running
    if watch is None:  # the usual case: waiting for the GPU at every stage would slow training down
        yield
        return
    begun = _now()
    yield
    watch.seconds[name] += _now() - begun


class SavedBytes:
    """Bytes of the tensors that the graphs made inside keep for their backward passes; a memory that several share counts once.

    A tensor that lives anyway (a weight, an input) counts too, so that this is no less than what the graph adds.
    """

    def __enter__(self) -> "SavedBytes":
        self._sizes: dict[int, int] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor)
        self._hooks.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._hooks.__exit__(*exception)

    def _pack(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        self._sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    @property
    def bytes(self) -> int:
        """The sum so far."""
        return sum(self._sizes.values())


def forget_peak(device: torch.device) -> None:
    """Reset a GPU's peak, so that `peak_memory_mb` counts from here on; a process cannot reset its own peak."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_mb(device="cpu") -> float:
    """Peak memory of this process so far, in MiB: on the GPU for a CUDA device, else resident memory."""
    if str(device).startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / 2**20
    if os.name == "nt":  # Windows has no module `resource`
        return psutil.Process().memory_info().peak_wset / 2**20
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes on macOS, KiB elsewhere
