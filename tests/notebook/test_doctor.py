"""`vdd doctor`: what it finds here, and that it notices what is wrong."""

import subprocess
from collections import namedtuple

import pytest
import torch

from vddlib.notebook import doctor, self_test

Room = namedtuple("Room", "total used free")


def states(found):
    return {one.what: one.state for one in found}


def said(found, what):
    return next(one.said for one in found if one.what == what)


def test_this_installation_is_sound():
    for check in (doctor.machine, doctor.packages, doctor.disk):
        assert "bad" not in states(check()).values()
    assert f"torch {torch.__version__.partition('+')[0]}" in said(doctor.packages(), "packages")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_what_follows(monkeypatch):
    monkeypatch.setattr(doctor, "_nvidia_driver", lambda: "")
    (none,) = doctor.gpu()
    assert none.state == "note" and "paper" in none.said
    monkeypatch.setattr(doctor, "_nvidia_driver", lambda: "999.1")  # one that torch cannot use
    (old,) = doctor.gpu()
    assert old.state == "bad" and "driver 999.1" in old.said


def test_opencv_without_contrib_is_named(monkeypatch):
    import cv2

    monkeypatch.delattr(cv2, "TrackerCSRT_create")
    found = list(doctor.packages())
    assert states(found)["OpenCV"] == "bad" and "opencv-contrib-python" in said(found, "OpenCV")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(doctor.provenance, "versions", lambda: {"torch": "2", "decord": ""})
    found = list(doctor.packages())
    assert states(found)["packages"] == "bad" and said(found, "packages") == "missing: decord; run `uv sync`"


def test_a_full_disk_and_locks_that_do_not_hold(monkeypatch, tmp_path):
    monkeypatch.setenv("VDD_CACHE", str(tmp_path))
    assert states(doctor.disk())["locks"] == "ok"  # a real second process
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: Room(9, 9, 1e9))
    taken = subprocess.CompletedProcess([], 0, b"", b"")  # the other process got it
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: taken)
    found = list(doctor.disk())
    assert states(found) == {"cache": "note", "locks": "bad"} and "1 GB free" in said(found, "cache")
    assert list(tmp_path.iterdir()) == []


def test_weights_and_data_as_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("VDD_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.delenv("VDD_DATA", raising=False)
    found = list(doctor.data())
    assert states(found) == {"datasets": "note", "weights": "bad"}
    monkeypatch.setenv("VDD_WEIGHTS", str(tmp_path))
    (tmp_path / "yolo.onnx").touch()
    (tmp_path / "README.md").touch()
    assert said(doctor.data(), "weights") == "yolo.onnx"


def test_the_self_test_passes_here_and_fails_where_it_should(monkeypatch):
    found = list(self_test.self_test(torch.device("cpu"), seconds=0.0))
    assert [one.what for one in found] == ["decoding", "notebooks", "one seed", *["speed"] * 3, "paper scale"]
    assert "bad" not in states(found).values()
    drawn = iter(range(2))
    monkeypatch.setattr(self_test, "_trained", lambda device: torch.full((3,), float(next(drawn))))
    assert self_test.same_bits(torch.device("cpu")).state == "bad"
    monkeypatch.setattr(self_test.video, "stream", lambda path: list(torch.zeros(39, 48, 64, 3).byte().numpy()))
    assert self_test.videos().state == "bad"


def test_a_check_that_fails_altogether_is_a_finding(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VDD_CACHE", str(tmp_path / "file" / "cache"))  # a folder that cannot be
    (found,) = doctor.guarded("disk", doctor.disk)
    assert (found.state, found.what) == ("bad", "disk") and "NotADirectoryError" in found.said

    def broken(path):
        raise OSError("no decoder")

    monkeypatch.setattr(self_test.video, "stream", broken)
    first = next(self_test.self_test(torch.device("cpu"), 0.0))
    assert first == ("bad", "decoding", "OSError: no decoder")


def test_the_command_ends_with_what_to_mend(monkeypatch):
    from typer.testing import CliRunner

    from vddlib.cli import app

    finding = doctor.Found("bad", "OpenCV", "no CSRT")
    monkeypatch.setattr(doctor, "CHECKS", (lambda: iter([doctor.Found("ok", "Python", "3"), finding]),))
    result = CliRunner().invoke(app, ["doctor", "--quick"])
    assert result.exit_code == 1 and result.output.splitlines()[1:] == [
        "bad  OpenCV           no CSRT", "1 thing(s) to mend, see 'bad' above",
    ]  # fmt: skip
    monkeypatch.setattr(doctor, "CHECKS", (lambda: iter([doctor.Found("ok", "Python", "3")]),))
    assert CliRunner().invoke(app, ["doctor", "--quick"]).exit_code == 0
