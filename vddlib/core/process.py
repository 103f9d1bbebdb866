"""The memory of another process: apart from `measure`, so that who only starts processes does not load torch."""

import threading
from contextlib import suppress
from pathlib import Path

import psutil


class ProcessMemory:
    """Peak memory of a process and its children together, in MiB, sampled from a thread."""

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
        """Measure once; a process that has ended counts as nothing."""
        total = 0
        with suppress(psutil.Error):
            for process in (self.process, *self.process.children(recursive=True)):
                with suppress(psutil.Error):
                    total += process.memory_info().rss
        with suppress(OSError, ValueError, IndexError):  # Linux keeps the peak, so nothing between samples is lost
            status = Path(f"/proc/{self.process.pid}/status").read_text()
            total = max(total, int(status.split("VmHWM:")[1].split()[0]) * 1024)
        self.peak = max(self.peak, total / 2**20)
