"""Where a number comes from: every answer is right, or empty where there is nothing to answer."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from vddlib.core import measure, provenance


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project, and we stand in one of its folders."""
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "Snakefile").write_text("")
    (tmp_path / "figures").mkdir()
    monkeypatch.chdir(tmp_path / "figures")
    return tmp_path


def git(*arguments, cwd):
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=cwd, check=True, capture_output=True)


def test_project_root_is_the_nearest_with_both_files(project):
    inner = project / "inner"
    inner.mkdir()
    (inner / "pyproject.toml").write_text("")  # a package of its own, but not a project
    assert provenance.project_root() == project
    assert provenance.project_root(inner) == project


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_commit_and_dirty(project):
    assert provenance.commit() == "" and provenance.dirty() is None
    git("init", cwd=project)
    assert provenance.commit() == "", "no commit yet"
    git("add", ".", cwd=project)
    git("commit", "-m", "first", cwd=project)
    assert len(provenance.commit()) == 40
    (project / "untracked").write_text("x")
    assert provenance.dirty() is False
    (project / "figures" / "table.md").write_text("x")
    git("add", ".", cwd=project)
    git("commit", "-m", "second", cwd=project)
    (project / "figures" / "table.md").write_text("y")
    assert not provenance.dirty(), "runs write figures/ themselves"
    (project / "Snakefile").write_text("y")
    assert provenance.dirty()


def test_without_git(project, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance.commit() == ""
    assert provenance.dirty() is None, "unknown, and not clean"
    assert '"dirty": null' in json.dumps(provenance.collect({}))


def test_hashes(project):
    assert provenance.lock_sha256() == ""
    (project / "uv.lock").write_bytes(b"abc")
    assert provenance.lock_sha256() == hashlib.sha256(b"abc").hexdigest()
    assert provenance.params_sha256({"b": 1, "a": [2.5, None]}) == provenance.params_sha256({"a": [2.5, None], "b": 1})
    assert provenance.params_sha256({"b": 1}) == hashlib.sha256(b'{"b":1}').hexdigest()
    assert provenance.params_sha256({"b": 1}) != provenance.params_sha256({"b": "1"})


def test_collect_is_json(project):
    found = provenance.collect({"where": Path("x")}, device="cpu")
    assert json.loads(json.dumps(found)) == found
    assert found["device"] and found["python"] and found["packages"]["torch"]
    assert "device" not in provenance.collect({})


def test_peak_memory_only_grows():
    before = measure.peak_memory_mb()
    held = b"x" * 2**26
    assert 0 < before <= measure.peak_memory_mb()
    assert measure.peak_memory_mb() >= len(held) / 2**20
