"""Where the time of one iteration goes: named stages, measured only while a `Stopwatch` is running."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_running: "Stopwatch | None" = None


class Stopwatch:
    """Seconds by stage (``seconds['real']``...) of what runs inside ``with Stopwatch() as watch:``.

    On CUDA every stage waits for the GPU, so that its work is counted where it was asked for.
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
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Count the time inside for `name`; free of cost where no stopwatch runs."""
    watch = _running
    if watch is None:
        yield
        return
    begun = _now()
    yield
    watch.seconds[name] += _now() - begun


def forget_peak(device: torch.device) -> None:
    """Count a GPU's peak of memory from here on (`training.peak_memory`); a CPU's process cannot forget its own."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
