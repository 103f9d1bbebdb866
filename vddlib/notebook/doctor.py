"""What this machine has and what will be slow on it: the first half of `vdd doctor`; nothing here takes more than seconds."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from vddlib.core import cache, provenance
from vddlib.core.weights import weights_folder

# File systems that several machines share.
NETWORK = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "fuse.sshfs", "ceph")
ROOM = 20e9  # bytes: all stores and finished work of quick and miniucf10 take some fifteen gigabytes
MEMORY = 6 * 2**30  # bytes: two of quick's runs at once, and the desktop beside them


class Found(NamedTuple):
    """One finding: 'bad' is what has to be mended, 'note' what a user should know."""

    state: Literal["ok", "note", "bad"]
    what: str
    said: str


def machine() -> Iterator[Found]:
    """Python, processor, memory."""
    import psutil

    yield Found("ok", "Python", f"{sys.version.split()[0]} in {sys.prefix}")
    cores, memory = _usable_cores(), psutil.virtual_memory()
    yield Found("ok", "processor", f"{provenance.device_name()}, {cores} core(s) of it for this process")
    said = f"{memory.total / 2**30:.0f} GiB, {memory.available / 2**30:.0f} GiB of them free"
    if memory.available < MEMORY:
        yield Found(
            "note", "memory", f"{said}: a run of quick takes up to 2.2 GiB and one of miniucf10 4.6; use --cores 1"
        )
    else:
        yield Found("ok", "memory", said)


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpu() -> Iterator[Found]:
    """Every GPU that torch can use, or what follows from having none."""
    import torch

    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        about = torch.cuda.get_device_properties(index)
        half = "" if about.major >= 8 else "; no bfloat16, which `bf16` recipes and Latte ask for"
        said = (
            f"{about.name}, {about.total_memory / 2**30:.0f} GiB, compute capability {about.major}.{about.minor}{half}"
        )
        yield Found("note" if half else "ok", f"GPU {index}", said)
    if not torch.cuda.is_available():
        driver = _nvidia_driver()
        if driver:
            why = f"there is one (driver {driver}), and torch {torch.__version__} (CUDA {torch.version.cuda}) cannot use it"
            yield Found("bad", "GPU", f"{why}: update the driver, or install a torch for it")
        else:
            yield Found(
                "note",
                "GPU",
                "none: quick and miniucf10 are made for that, paper's jobs are not (`vdd forecast paper`)",
            )


def _nvidia_driver() -> str:
    """The version of NVIDIA's driver, where its tool finds a GPU; else ''."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return ""
    asked = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    answer = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=False)
    return answer.stdout.split("\n")[0].strip() if answer.returncode == 0 else ""


def packages() -> Iterator[Found]:
    """Packages that are here but do not fit together: the usual accidents of an installation by hand."""
    versions = provenance.versions()
    absent = [name for name, version in versions.items() if not version]
    said = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    yield Found(
        "bad" if absent else "ok", "packages", f"missing: {', '.join(absent)}; run `uv sync`" if absent else said
    )
    yield _works(
        "torchvision",
        "its operators load",
        _torchvision,
        "torch and torchvision are of different builds; run `uv sync`",
    )
    tracker = "cv2 has no CSRT: opencv-python has overwritten opencv-contrib-python; uninstall both, then `uv sync`"
    yield _works("OpenCV", "has the tracker CSRT", _tracker, tracker)


def _torchvision() -> None:
    import torch
    from torchvision.ops import nms

    nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5)


def _tracker() -> None:
    import cv2

    cv2.TrackerCSRT_create()


def _works(what: str, said: str, attempt: Callable[[], None], otherwise: str) -> Found:
    try:
        attempt()
    except Exception as error:
        return Found("bad", what, f"{otherwise} ({str(error).splitlines()[0] if str(error) else type(error).__name__})")
    return Found("ok", what, said)


def disk() -> Iterator[Found]:
    """Room where the cache lies, and whether locks hold there."""
    folder = cache.folder()
    folder.mkdir(parents=True, exist_ok=True)
    free, kind = shutil.disk_usage(folder).free, _file_system(folder)
    said = f"{folder}: {free / 1e9:.0f} GB free ({kind})"
    if free < ROOM:
        yield Found("note", "cache", f"{said}; quick and miniucf10 take some fifteen, another disk: VDD_CACHE")
    else:
        yield Found("ok", "cache", said)
    shared = " on a file system of several machines (profiles/slurm/cluster.md)" if kind.startswith(NETWORK) else ""
    if _lock_holds(folder):
        yield Found("note" if shared else "ok", "locks", f"two processes exclude each other{shared}")
    else:
        yield Found(
            "bad", "locks", f"two processes held one lock at once{shared}: point VDD_CACHE at another file system"
        )


def _file_system(folder: Path) -> str:
    import psutil

    parts = [part for part in psutil.disk_partitions(all=True) if folder.resolve().is_relative_to(part.mountpoint)]
    return max(parts, key=lambda part: len(part.mountpoint)).fstype if parts else "unknown"


def _lock_holds(folder: Path) -> bool:
    """Whether another process fails to take a lock that this one holds."""
    from filelock import FileLock

    path = folder / f".doctor-{os.getpid()}.lock"
    take = "import sys; from filelock import FileLock; FileLock(sys.argv[1]).acquire(timeout=0)"
    try:
        with FileLock(path):
            other = subprocess.run(
                [sys.executable, "-c", take, str(path)], capture_output=True, check=False, timeout=60
            )
        return other.returncode != 0 and b"Timeout" in other.stderr
    finally:
        path.unlink(missing_ok=True)


def data() -> Iterator[Found]:
    """Which datasets and which networks of others are here."""
    from vddlib.datasets import catalog

    here = [name for name, entry in catalog.CATALOG.items() if name == "motions" or catalog.found(entry)]
    root = os.environ.get("VDD_DATA")
    said = f"{', '.join(here)} (`vdd datasets` says how to get others)"
    yield Found("ok" if root else "note", "datasets", said if root else f"{said}; VDD_DATA is not set")
    folder = weights_folder()
    if folder is None:
        yield Found("note", "weights", "VDD_WEIGHTS is not set: detectors and autoencoders are fetched when first used")
    elif not folder.is_dir():
        yield Found("bad", "weights", f"VDD_WEIGHTS={folder}: there is no such folder")
    else:
        names = sorted(path.name for path in folder.iterdir() if path.suffix.lower() not in (".md", ".txt"))
        yield Found("ok", "weights", ", ".join(names) or f"{folder} is empty")


def guarded(what: str, check: Callable[[], Iterable[Found]]) -> Iterator[Found]:
    """What a check of `what` finds; where it fails altogether, that."""
    try:
        yield from check()
    except Exception as error:  # whatever is wrong with a machine is what the doctor is asked about
        yield Found("bad", what, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")


CHECKS: tuple[Callable[[], Iterator[Found]], ...] = (machine, gpu, packages, disk, data)
