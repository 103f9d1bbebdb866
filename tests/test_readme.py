"""What the README names is there: pictures, files, notebooks, parameters, commands and scales."""

import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
CODE = re.findall(r"`([^`\n]+)`", TEXT) + re.findall(r"^ {4}(.+)$", TEXT, re.M)
LINKS = sorted({link for link in re.findall(r"\]\(([^)\s]+)\)", TEXT) if "://" not in link})
PATHS = sorted(
    {
        path
        for code in CODE
        for path in re.findall(r"\b(?:notebooks|params|tests|benchmarks|vddlib)/[\w./]+", code)
        if "SCALE" not in path
    }
)


@pytest.mark.parametrize("path", LINKS + PATHS)
def test_what_is_linked_or_named_exists(path):
    assert (ROOT / path).exists()


def test_it_lists_every_notebook_and_room():
    for folder, pattern in (("notebooks", "*.ipynb"), ("vddlib", "*/__init__.py")):
        for found in sorted((ROOT / folder).glob(pattern)):
            name = found.stem if folder == "notebooks" else found.parent.name
            assert f"| `{name}`" in TEXT, name


def test_its_scales_have_parameters_and_its_commands_exist():
    scales = set(re.findall(r"snakemake (?:--cores all|-n) (\w+)", TEXT)) | set(
        re.findall(r"^\| `(\w+)` ?\|.*\|.*\|$", TEXT, re.M)
    )
    assert {"quick", "miniucf10", "paper"} <= scales
    for name in scales & {"quick", "smoke", "search", "miniucf10", "paper"}:
        assert any((ROOT / "params" / name).glob("*/*.yaml")), name
    commands = set(re.findall(r"uv run vdd (\w+)", TEXT))
    listed = subprocess.run([sys.executable, "-m", "vddlib.cli", "--help"], capture_output=True, text=True).stdout
    assert commands and all(re.search(rf"\b{command}\b", listed) for command in commands)
