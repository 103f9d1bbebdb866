"""A cache that belongs to somebody else is one line that names VDD_CACHE; errors of other files stay what they are."""

import errno
import os
from pathlib import Path

import pytest

from vddlib.core import cache
from vddlib.core.errors import VddError

KEY = {"a": 1}
CLOSED = "the cache cannot be written or read .*; set VDD_CACHE to a folder of your own"


def build(partial):
    (partial / "made.txt").write_text("made")


def refuse(monkeypatch, name, part, number=errno.EACCES):
    """`os.NAME` fails for paths that hold `part`, as the file system would for anyone but root."""
    real = getattr(os, name)

    def refused(path, *arguments, **named):
        if part in str(path):
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *arguments, **named)

    monkeypatch.setattr(os, name, refused)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_folder_that_may_not_be_made(monkeypatch, number):
    refuse(monkeypatch, "mkdir", "things", number)
    with pytest.raises(VddError, match=CLOSED):
        cache.get("things", KEY, build)


def test_a_lock_of_somebody_else(monkeypatch):
    refuse(monkeypatch, "open", ".lock")
    with pytest.raises(VddError, match=CLOSED):
        cache.get("things", KEY, build)


def test_a_folder_that_may_not_be_entered(monkeypatch):
    refuse(monkeypatch, "stat", "things")
    with pytest.raises(VddError, match=CLOSED):
        cache.get("things", KEY, build)
    with pytest.raises(VddError, match=CLOSED):
        cache.exists("things", KEY)


@pytest.mark.parametrize("name", ["made.txt", "key.json", ""])
def test_a_file_that_may_not_be_read(monkeypatch, name):
    closed = cache.get("things", KEY, build) / name
    assert cache.get("things", KEY, build).is_dir()
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed and real(path, mode))
    with pytest.raises(VddError, match=CLOSED) as error:
        cache.get("things", KEY, build)
    assert str(closed) in str(error.value) and "\n" not in str(error.value)


def test_errors_of_other_files_are_not_blamed_on_the_cache(tmp_path):
    def build_from(partial):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path / "video.avi"))

    with pytest.raises(PermissionError, match=r"video\.avi"):
        cache.get("things", KEY, build_from)
