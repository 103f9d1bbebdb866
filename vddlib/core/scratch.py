"""Temporary folders of this process alone, and what is cleared of those that killed runs left behind.

A run that is killed outright (by the out-of-memory killer, or by `kill -9`) cannot remove its folder. Its name therefore says
which process made it, `vdd-PID-MACHINE-...`, and the next run removes it.
"""

import os
import re
import shutil
import socket
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

_OWNED = re.compile(r"vdd-(\d+)-([0-9a-f]{8})-\w+")


def _machine() -> str:
    """This machine, in few letters, since the path of a socket is short.

    Process ids mean nothing on another machine, or in another container, which may share the temporary folder.
    """
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


@contextmanager
def private_folder() -> Iterator[Path]:
    """A temporary folder for this process alone, removed at the end, or by a later run's `clear_abandoned`."""
    prefix = f"vdd-{os.getpid()}-{_machine()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def clear_abandoned() -> list[Path]:
    """Remove this user's folders whose process no longer exists; returns them.

    A process id may have been given to another process since: then the folder stays until that one has ended, too.
    """
    gone = []
    with suppress(OSError):  # a temporary folder that may not be listed
        for path in Path(tempfile.gettempdir()).glob("vdd-*"):
            name = _OWNED.fullmatch(path.name)
            if name and name[2] == _machine() and not psutil.pid_exists(int(name[1])) and _mine(path):
                shutil.rmtree(path, ignore_errors=True)  # another run may be at it as well
                gone.append(path)
    return gone


def _mine(path: Path) -> bool:
    with suppress(OSError):  # it has just gone
        return not path.is_symlink() and path.is_dir() and (os.name == "nt" or path.stat().st_uid == os.getuid())
    return False
