"""Doors for those who do not install: the start notebook in an environment that holds nothing but the locked packages."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
import yaml

from tests.conftest import ROOT, write_ucf

NOTEBOOK = ROOT / "notebooks" / "00_start_here.ipynb"


def door() -> str:
    """The cell that installs."""
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    return next(cell.source for cell in cells if "find_spec" in cell.source)


def test_the_devcontainer_and_binder_install_from_the_lock_file():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert container["postCreateCommand"].endswith("uv sync") and container["forwardPorts"] == [8888]
    assert "python=3.12" in yaml.safe_load((ROOT / ".binder/environment.yml").read_text())["dependencies"]
    script = ROOT / ".binder/postBuild"
    assert os.access(script, os.X_OK) and "--frozen" in script.read_text()
    assert subprocess.run(["bash", "-n", str(script)]).returncode == 0


@pytest.mark.parametrize(
    ("folder", "repository", "wanted"),
    [("notebooks", "", ".."), ("alone", "git+https://example.org/vdd", "git+https://example.org/vdd")],
)
def test_the_door_installs_from_the_clone_or_from_the_address(tmp_path, monkeypatch, folder, repository, wanted):
    (tmp_path / folder).mkdir()
    if folder == "notebooks":
        (tmp_path / "pyproject.toml").write_text("")
    monkeypatch.chdir(tmp_path / folder)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    asked = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: asked.append(command))
    exec(door(), {"repository": repository})
    assert asked[0][1:5] == ["-m", "pip", "install", "-q"] and asked[0][5] == wanted


def test_the_door_says_what_it_needs_and_does_nothing_where_the_package_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("installs what is there"))
    exec(door(), {"repository": ""})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(AssertionError, match="address of the repository"):
        exec(door(), {"repository": ""})


def test_the_start_notebook_runs_in_a_bare_environment(tmp_path):
    """The locked packages without any group but OpenCV's, as Binder has them; out of uv's cache, else skipped."""
    uv = shutil.which("uv")
    if not uv:
        pytest.skip("no uv on this machine: no bare environment is made")
    environment = os.environ | {
        "UV_PROJECT_ENVIRONMENT": str(tmp_path / "bare"), "UV_COMPILE_BYTECODE": "0", "VDD_CACHE": str(tmp_path / "cache"),
        "UV_OFFLINE": "1",
    }  # fmt: skip
    environment.pop("VIRTUAL_ENV", None)
    sync = [uv, "sync", "--frozen", "--no-default-groups", "--group", "opencv", "--project", str(ROOT)]
    made = subprocess.run(sync, env=environment, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"uv's cache does not hold all packages: {made.stderr.strip().splitlines()[-1][:200]}")
    python = tmp_path / "bare" / "bin" / "python"
    assert not list(Path(tmp_path / "bare").glob("lib/*/site-packages/pytest")), "not bare"
    videos, params = (
        write_ucf(tmp_path / "videos", train=2, test=1),
        tmp_path / "params.yaml",
    )  # rendering motions takes longer
    params.write_text(f"dataset: {videos}\nsteps: 2\nstride: 2\nstudent_options: {{depth: 2, widths: [8, 8]}}\n")
    run = [str(python), "-m", "vddlib.cli", "run", str(NOTEBOOK), str(params)]
    done = subprocess.run(
        [*run, "--output", str(tmp_path / "runs/out.ipynb")], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    cells = nbformat.read(tmp_path / "runs/out.ipynb", as_version=4).cells
    said = "".join(str(output) for cell in cells for output in cell.get("outputs", []))
    assert re.search(r"full", said) and "chance" in said
