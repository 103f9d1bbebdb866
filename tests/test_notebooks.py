"""Notebook sources are clean, their prose has no typed results, and every params file fits the notebook it names."""

import ast
import json
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from vddlib import models
from vddlib.core.params import check_params, notebook_parameters, read_params
from vddlib.datasets.catalog import CATALOG
from vddlib.datasets.segmentation import RATES
from vddlib.notebook import sources

PARAMS = sorted((ROOT / "params").glob("*/*/*.yaml"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_LINES = 20  # of a code cell; what is longer belongs in the package

# What a reader takes for a result: a decimal number, a share, or a quantity with a unit of accuracy, time or size.
MEASURED = re.compile(
    r"(?<![\w.])[+-]?\d+(?:\.\d+\b|(?:\.\d+)?\s*(?:%|per ?cent\b|points?\b|seconds?\b|minutes?\b|hours?\b|[kMG]i?B\b))"
)
# What is no result: formulas, code, addresses, places in a paper, and a published value with its source in parentheses.
NO_PROSE = (
    r"```.*?```",
    r"\$\$.*?\$\$",
    r"\$[^$]+\$",
    r"`[^`]*`",
    r"\]\([^)]*\)",
    r"https?://\S+",
    r"\b\d{4}\.\d{5}\b",  # of arXiv
    r"(?i)\b(?:tables?|figures?|sections?|equations?|eqs?\.|appendix|algorithm)\s+[A-Z]?\.?\d+(?:\.\d+)*",
    r"\([^():]*\b(?:papers?|published|tables?|VDSD|SRe2L|RDED)\b[^():]*:[^()]*\)",  # (VDSD: 0.01)
)
# Numbers that the rule takes for results and are none: (notebook, what stands there) -> why it may.
ALLOWED: dict[tuple[str, str], str] = {}


def cells_of(path: Path, kind: str) -> list[dict]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def typed_results(prose: str) -> list[str]:
    """Numbers in Markdown that look measured."""
    for pattern in NO_PROSE:
        prose = re.sub(pattern, " ", prose, flags=re.DOTALL)
    return MEASURED.findall(prose)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_sources_are_clean(path):
    assert sources.problems(path) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_no_result_is_typed_into_prose(path):
    found = [number for cell in cells_of(path, "markdown") for number in typed_results("".join(cell["source"]))]
    found = [number for number in found if (path.stem, number) not in ALLOWED]
    assert not found, f"compute them, or move them to figures/SCALE/{path.stem}/findings.md: {', '.join(found)}"


@pytest.mark.parametrize(
    "prose, found",
    [
        ("DM has 45.2 (3.1) where random clips have 40.", ["45.2", "3.1"]),
        ("ahead by 12 points, by -3.8 with CNN+GRU, and with 37 % of the clips", ["12 points", "-3.8", "37 %"]),
        ("it took 14 minutes and 3 MB", ["14 minutes", "3 MB"]),
        ("eq. 5, tables 3 and 4, section 3.3, notebook 12, arXiv 2203.11932, ICLR 2018, 16x112x112, 50 classes", []),
        ("random clips lead (DM: 13.5)", ["13.5"]),
        ("a rate (VDSD: 0.01) and `lr=0.05`, $\\lambda = 0.5$, [here](a/0.5)", []),
    ],
)
def test_what_looks_like_a_result(prose, found):
    assert typed_results(prose) == found


def test_numbers_that_are_allowed_still_stand_there():
    for stem, number in ALLOWED:
        cells = cells_of(ROOT / "notebooks" / f"{stem}.ipynb", "markdown")
        assert any(number in typed_results("".join(cell["source"])) for cell in cells), (stem, number)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_code_cells_are_short(path):
    for cell in cells_of(path, "code"):
        lines = "".join(cell["source"]).splitlines()
        if "parameters" not in cell["metadata"].get("tags", []):
            assert len(lines) <= MOST_LINES, f"{len(lines)} lines; move it into the package:\n{lines[0]}\n..."


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_notebook_is_run_by_smoke_and_by_quick_or_a_search(path):
    smoke, quick, search = (
        list((ROOT / "params" / s / path.stem).glob("*.yaml")) for s in ("smoke", "quick", "search")
    )
    assert smoke and (quick or search)


@pytest.mark.parametrize("path", PARAMS, ids=lambda p: "/".join(p.with_suffix("").parts[-3:]))
def test_params_fit_their_notebook(path):
    notebook = ROOT / "notebooks" / f"{path.parent.name}.ipynb"
    values, coerced = check_params(read_params(path), notebook_parameters(notebook), path, notebook)
    assert values and not coerced
    assert values.get("dataset", "motions") in {*CATALOG, *RATES}
    assert values.get("scale", path.parent.parent.name) == path.parent.parent.name


FRAMES = [path for path in PARAMS if read_params(path).get("experiment") == "frames"]


@pytest.mark.parametrize("path", FRAMES, ids=lambda p: "/".join(p.with_suffix("").parts[-3:]))
def test_networks_can_be_built_for_every_number_of_frames(path):
    values = read_params(path)
    options = values.get("student_options", {"depth": 2, "widths": [32, 64]})
    for frames in values["values"]:
        for name in ("minic3d", "minic3d_bn"):
            models.build(name, 4, frames=frames, size=values.get("size", 32), **options)


def test_what_is_not_clean_is_named(tmp_path):
    def write(*cells):
        (tmp_path / "a.ipynb").write_text(json.dumps({"cells": list(cells)}))
        return " ".join(sources.problems(tmp_path / "a.ipynb"))

    title = {"cell_type": "markdown", "metadata": {}, "source": "# T"}
    code = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "outputs": [], "execution_count": None}
    assert write(title, code) == ""
    assert "outputs" in write(title, {**code, "outputs": [{}]})
    assert "outputs" in write(title, {**code, "execution_count": 3})
    assert "0 cells are tagged" in write(title)
    assert "2 cells are tagged" in write(title, code, code)
    assert "metadata collapsed" in write(title, {**code, "metadata": {"collapsed": True, "tags": ["parameters"]}})
    assert "title" in write(code)
    (tmp_path / "a.ipynb").write_text("{")
    assert "not readable" in sources.problems(tmp_path / "a.ipynb")[0]
    assert sources.main(tmp_path) == 1 and sources.main(tmp_path / "none") == 1


WITH_EXERCISES = [
    "04_dm",
    "05_static_dc",
    "06_mtt",
    "07_frepo",
    "08_vdsd",
    "09_idtd",
    "11_tsgf",
    "12_tsgf_ablations",
    "13_optdistill",
]
WITH_EXERCISES += ["15_latte_pool", "16_select_videos", "17_selection_ablations", "18_cross_architecture"]
WITH_EXERCISES += ["19_action_segmentation"]


@pytest.mark.parametrize("name", WITH_EXERCISES)
def test_exercises_are_folded_answered_and_change_nothing_that_the_notebook_goes_on_with(name):
    """Three questions, then one folded cell that prints three answers and takes none of the notebook's parameters or names."""
    path = ROOT / "notebooks" / f"{name}.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    where = [i for i, cell in enumerate(cells) if "hide-cell" in cell["metadata"].get("tags", [])]
    assert len(where) == 1
    (here,) = where
    question, answer = "".join(cells[here - 1]["source"]), "".join(cells[here]["source"])
    assert cells[here]["metadata"]["jupyter"] == {"source_hidden": True, "outputs_hidden": True}
    assert [f"\n{number}. " in question for number in (1, 2, 3)] == [True] * 3
    assert [f'"{number}.' in answer for number in (1, 2, 3)] == [True] * 3

    def names(sources, kind):
        parsed = ast.walk(ast.parse("\n".join(sources)))
        return {node.id for node in parsed if isinstance(node, ast.Name) and isinstance(node.ctx, kind)}

    code = [(i, "".join(cell["source"])) for i, cell in enumerate(cells) if cell["cell_type"] == "code"]
    assigned = {
        target.id
        for statement in ast.parse(answer).body
        if isinstance(statement, ast.Assign | ast.For)
        for target in ast.walk(statement.targets[0] if isinstance(statement, ast.Assign) else statement.target)
        if isinstance(target, ast.Name)
    }
    assert not assigned & set(notebook_parameters(path))
    earlier, later = [s for i, s in code if i < here], [s for i, s in code if i > here]
    assert not assigned & names(earlier, ast.Store) & names(later, ast.Load)
