"""Notebook sources are clean, and every params file fits the notebook it names."""

import json

import pytest

from tests.conftest import ROOT
from vddlib import models
from vddlib.core.params import check_params, notebook_parameters, read_params
from vddlib.datasets.catalog import CATALOG
from vddlib.notebook import sources

PARAMS = sorted((ROOT / "params").glob("*/*/*.yaml"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_sources_are_clean(path):
    assert sources.problems(path) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_notebook_is_run_by_smoke_and_quick(path):
    for scale in ("smoke", "quick"):
        assert list((ROOT / "params" / scale / path.stem).glob("*.yaml"))


@pytest.mark.parametrize("path", PARAMS, ids=lambda p: "/".join(p.with_suffix("").parts[-3:]))
def test_params_fit_their_notebook(path):
    notebook = ROOT / "notebooks" / f"{path.parent.name}.ipynb"
    values, coerced = check_params(read_params(path), notebook_parameters(notebook), path, notebook)
    assert values and not coerced
    assert values.get("dataset", "motions") in CATALOG
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
