"""What work costs: seconds by stage while a `Stopwatch` runs, and the most memory that was held."""

import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
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
    """Count a GPU's peak of memory from here on (`peak_memory_mb`); a CPU's process cannot forget its own."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_mb(device="cpu") -> float:
    """The most memory this process has held so far, in MiB: on the GPU for a CUDA device, else resident."""
    if str(device).startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / 2**20
    if os.name == "nt":
        import psutil

        return psutil.Process().memory_info().peak_wset / 2**20
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes on macOS, KiB elsewhere


class ProcessMemory:
    """The most memory that a process and its children held at once, in MiB, sampled from a thread."""

    def __init__(self, pid: int, every: float = 0.5):
        self.process, self.every, self.peak = psutil.Process(pid), every, 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _watch(self):
        while not self._stop.wait(self.every):
            self.sample()

    def sample(self):
        """Look once; a process that is gone holds nothing."""
        total = 0
        with suppress(psutil.Error):
            for process in (self.process, *self.process.children(recursive=True)):
                with suppress(psutil.Error):
                    total += process.memory_info().rss
        with suppress(OSError, ValueError, IndexError):  # Linux keeps the peak itself, so nothing is missed in between
            status = Path(f"/proc/{self.process.pid}/status").read_text()
            total = max(total, int(status.split("VmHWM:")[1].split()[0]) * 1024)
        self.peak = max(self.peak, total / 2**20)
