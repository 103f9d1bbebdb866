"""What a user gets wrong ends in one clear line on stderr and a non-zero exit; nothing half-written stays."""

import os
import shutil

import nbformat
import pytest
from typer.testing import CliRunner

from tests.conftest import ROOT, write_ucf
from vddlib.cli import app
from vddlib.core.errors import VddError
from vddlib.datasets.clips import load


@pytest.fixture
def vdd():
    def call(*arguments, **environment):
        return CliRunner().invoke(app, [str(a) for a in arguments], env=environment)

    return call


def one_line(result, *parts, code=2):
    assert result.exit_code == code, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and "Traceback" not in result.output
    for part in parts:
        assert part in lines[0]


def test_datasets_lists_everything_without_data(vdd):
    result = vdd("datasets")
    assert result.exit_code == 0
    for name in (
        "motions",
        "miniucf10",
        "tempo",
        "ucf10",
        "miniucf",
        "ucf101",
        "hmdb51",
        "hmdb51-vdsd",
        "kinetics400",
        "ssv2",
    ):
        assert name in result.stdout
    assert "VDD_DATA = (not set" in result.stdout and "LEAKING" in result.stdout and "to get it" in result.stdout


def test_datasets_shows_where_real_ones_are(vdd, real_data):
    assert f"here: {real_data / 'ucf10'}" in vdd("datasets", VDD_DATA=str(real_data)).stdout


def test_check_without_data(vdd, tmp_path):
    one_line(vdd("check", "ucf101"), "VDD_DATA is not set")
    one_line(vdd("check", "ucf101", VDD_DATA=str(tmp_path)), "ucf101: not found under VDD_DATA", "download")
    one_line(vdd("check", "ucf11"), "unknown dataset 'ucf11'", "did you mean")
    one_line(vdd("check", tmp_path / "none"), "no such folder")


def test_check_of_a_whole_and_a_broken_folder(vdd, tmp_path):
    root = write_ucf(tmp_path / "d", train=2, test=1)
    result = vdd("check", root, "--workers", "1")
    assert result.exit_code == 0 and "sound" in result.stdout
    (root / "UCF-101" / "Red" / "v_Red_g08_c01.mp4").write_text("no video")
    (root / "UCF-101" / "Blue" / "v_Blue_g08_c01.mp4").unlink()
    result = vdd("check", root, "--workers", "1")
    assert result.exit_code == 1
    assert "absent: 1" in result.stdout and "unreadable: 1" in result.stdout and "v_Red_g08_c01.mp4" in result.stdout


def test_check_names_all_unreadable_videos_when_asked(vdd, tmp_path):
    root = write_ucf(tmp_path / "d", train=9, test=1)
    broken = sorted((root / "UCF-101").glob("*/*.mp4"))[:25]
    for path in broken:
        path.write_text("no video " * 40)
    shown = vdd("check", root, "--workers", "2").stdout
    assert "and 5 more (--all names them)" in shown and sum(path.name in shown for path in broken) == 20
    result = vdd("check", root, "--workers", "2", "--all", "--list", tmp_path / "new" / "broken.txt")
    assert result.exit_code == 1 and "more (--all" not in result.stdout
    lines = (tmp_path / "new" / "broken.txt").read_text().splitlines()
    assert len(lines) == 25 and all(any(line.startswith(f"{path}: ") for line in lines) for path in broken)
    assert all(path.name in result.stdout for path in broken)
    one_line(vdd("check", root, "--list", tmp_path), "cannot be written")


def test_a_path_that_is_a_file(tmp_path):
    (tmp_path / "x").write_text("x")
    with pytest.raises(VddError, match="no such folder"):
        load(str(tmp_path / "x"))


@pytest.fixture
def project(tmp_path):
    """A project folder with the real notebook 03 and one params file, to be filled by the test."""
    for name in ("pyproject.toml", "Snakefile"):
        shutil.copy(ROOT / name, tmp_path / name)
    for folder in ("notebooks", "params/quick/03_coresets"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / "notebooks" / "03_coresets.ipynb", tmp_path / "notebooks")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("- 1\n- 2\n", ("not a mapping",)),
        ("just words", ("not a mapping",)),
        ("ipc: [1\n", ("not YAML",)),
        ("ipcs: 1\n", ("unknown parameter 'ipcs'", "did you mean 'ipc'")),
        ("ipc: many\n", ("ipc must be int",)),
        ("seeds: [0, one]\n", ("seeds must be list[int]",)),
        ("frames: 0\nsize: -1\nstride: 0\n", ("frames must be 1 to 1000, not 0", "size must be", "stride must be")),
        ("sampling: all\n", ("sampling must be one of stride, even, middle, not 'all'",)),
        ("seeds: []\nmethods: []\n", ("seeds must not be empty", "methods must not be empty")),
        ("seeds: [-1]\n", ("seeds must be 0 to 2147483647, not -1",)),
        ("ipc: 1000000000\n", ("ipc must be 1 to 1000",)),
        ("student_options: {depth: 2, widths: [1000000000]}\n", ("student_options must be 0 to 4096",)),
        ("lr: .nan\n", ("lr: nan is no finite number",)),
        ("lr: 1e999\n", ("lr must be float",)),
        ("device: meta\n", ("device must be one of auto, cpu, cuda, cuda:N, mps",)),
        ("ipc: 1\nipc: 2\n", ("line 2: not YAML: 'ipc' stands there twice",)),
        ("seeds: &a [0, *a]\n", ("the anchor &a holds itself",)),
        (f"ipc: {'9' * 5000}\n", ("an integer of 5000 digits",)),
    ],
)
def test_params_that_do_not_fit(vdd, project, text, parts):
    path = project / "params" / "quick" / "03_coresets" / "x.yaml"
    path.write_text(text)
    one_line(vdd("run", project / "notebooks" / "03_coresets.ipynb", path), *parts)
    assert not (project / "runs").exists()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("dataset: ucf101", "VDD_DATA is not set"),
        ("dataset: {tiny}\nipc: 99", "ipc 99 is larger than the class"),
    ],
)
def test_what_only_the_notebook_can_know(vdd, project, tiny_root, text, part):
    path = project / "params" / "quick" / "03_coresets" / "x.yaml"
    path.write_text(text.format(tiny=tiny_root) + "\n")
    result = vdd("run", project / "notebooks" / "03_coresets.ipynb", path)
    assert result.exit_code == 2 and "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-3:]
    assert any(part in line and "VddError" in line for line in last), result.stderr
    left = {p.name for p in (project / "runs").rglob("*") if p.is_file()}
    assert left == {"x.failed.ipynb", "x.log", ".x.lock"} or left == {"x.failed.ipynb", "x.log"}
    assert nbformat.read(next((project / "runs").rglob("x.failed.ipynb")), 4)


def test_an_unwritable_cache_is_named(tiny_root, monkeypatch, tmp_path):
    if os.geteuid() == 0:
        (tmp_path / "file").write_text("x")
        monkeypatch.setenv("VDD_CACHE", str(tmp_path / "file"))
    else:
        (tmp_path / "closed").mkdir(mode=0o500)
        monkeypatch.setenv("VDD_CACHE", str(tmp_path / "closed"))
    with pytest.raises(VddError, match="cannot be written"):
        load(str(tiny_root))
