"""Temporary folders of runs that were killed outright go with the next run; all others stay."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.notebook.test_run import command, make
from vddlib.core import scratch
from vddlib.notebook import run as runner


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in ("pyproject.toml", "Snakefile"):
        (tmp_path / name).write_text("")
    # A short path, since sockets lie in it; the child processes of a test look there, too.
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", None)
        monkeypatch.chdir(tmp_path)
        yield Path(folder)


def test_the_next_run_clears_what_a_killed_one_left(project):
    arguments = make(
        "seconds = 0", "import time\nprint('asleep', flush=True)\ntime.sleep(seconds)", params="seconds: 600"
    )
    process, log = command(*arguments), Path("runs/quick/11_tiny/v.log")
    while not (log.exists() and "asleep" in log.read_text()):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    (left,) = project.glob("vdd-*")
    assert left.name.startswith(f"vdd-{process.pid}-")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert left.is_dir(), "nobody could remove it"
    arguments[1].write_text("seconds: 0")
    assert runner.run(*arguments, quiet=True).is_file()
    assert list(project.glob("vdd-*")) == []


def test_folders_of_others_stay(project):
    machine, gone = scratch._machine(), subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    names = {
        f"vdd-{gone.pid}-{machine}-abandoned": False,
        f"vdd-{os.getpid()}-{machine}-running": True,
        f"vdd-{gone.pid}-00000000-elsewhere": True,
        "vdd-notes": True,
        f"vdd-{gone.pid}": True,
    }
    for name in names:
        (project / name).mkdir()
    assert [path.name for path in scratch.clear_abandoned()] == [f"vdd-{gone.pid}-{machine}-abandoned"]
    assert {name: (project / name).exists() for name in names} == names


def test_folders_of_other_users_stay(project, monkeypatch):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = project / f"vdd-{gone.pid}-{scratch._machine()}-theirs"
    left.mkdir()
    monkeypatch.setattr(os, "getuid", lambda: left.stat().st_uid + 1)
    assert scratch.clear_abandoned() == [] and left.is_dir()
