"""Where a number comes from: the code, the locked environment, the parameters and the machine behind it.

Each function returns an empty string where there is nothing to report (no git, no lock file), so that a record can always
be written; only `dirty`, a yes or no, returns None.
"""

import platform
import subprocess
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from vddlib.core.files import digest, file_sha256

PACKAGES = ("torch", "papermill", "decord")


def project_root(start: Path | None = None) -> Path:
    """The nearest folder with pyproject.toml and Snakefile, at or above `start`, else the working folder, else this file.

    The working folder itself where there is none (an installed package outside any project).
    """
    places = [*([Path(start)] if start else []), Path.cwd(), Path(__file__)]
    for place in places:
        place = place.resolve()  # links into the project count as being inside it
        for folder in (place, *place.parents):
            if (folder / "pyproject.toml").is_file() and (folder / "Snakefile").is_file():
                return folder
    return Path.cwd()


def _git(*arguments: str, root: Path | None = None) -> str | None:
    """What git prints; None where it fails (no git, no repository, one that git does not trust)."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root or project_root(), capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def commit(root: Path | None = None) -> str:
    """The commit that is checked out, here or in `root`, in full; '' outside git."""
    return _git("rev-parse", "--verify", "--quiet", "HEAD", root=root) or ""


def of_commit(path: str) -> str | None:
    """The text of a tracked file (its path from the root) as the checked-out commit has it; None where it has none."""
    return _git("show", f"HEAD:{path}")


def dirty() -> bool | None:
    """Whether tracked files differ from the commit; None where nobody knows, outside git.

    figures/ does not count, since the runs themselves write there.
    """
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)figures")
    return None if changed is None else bool(changed)


def lock_sha256() -> str:
    """SHA-256 of uv.lock at the project's root; '' without one."""
    return file_sha256(project_root() / "uv.lock")


def params_sha256(params: Mapping) -> str:
    """SHA-256 of parameters; the order of keys does not matter, the values and their types do."""
    return digest(dict(params))


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")  # on Linux, where platform.processor() is often empty
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def device_name(device="cpu") -> str:
    """The device in words: the GPU's name for a CUDA device, the processor's for the CPU, else the device's own name."""
    kind = str(device).partition(":")[0]
    if kind == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    return _cpu_name() if kind == "cpu" else str(device)


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Installed versions by package name, read without importing anything; '' for a missing one."""
    found = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = metadata.version("eva-decord") if name == "decord" and _has("eva-decord") else ""
    return found


def _has(package: str) -> bool:
    return bool(list(metadata.distributions(name=package)))


def collect(params: Mapping, device=None) -> dict:
    """All of the above in one mapping, ready for JSON; with a device only where `device` is given."""
    named = {"device": device_name(device)} if device is not None else {}
    return {
        "params_sha256": params_sha256(params),
        "commit": commit(),
        "dirty": dirty(),
        "lock_sha256": lock_sha256(),
        **named,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions(),
    }
