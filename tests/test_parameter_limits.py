"""The limits in every notebook's parameter cell are those of the package's fields of the same name."""

import ast
import json
import re
from typing import Literal, get_args, get_origin

import pytest

from tests.conftest import ROOT
from vddlib import distillers
from vddlib.core.limits import NO_LIMITS
from vddlib.core.params import declared_parameters, notebook_parameters
from vddlib.datasets.geometry import Geometry
from vddlib.distillers.matching.experts import Experts
from vddlib.distillers.sequences.tsgf import SegmentTSGF
from vddlib.distillers.stored.pixels import FreePixels
from vddlib.evaluation.fair import FAIR
from vddlib.evaluation.protocols import PROTOCOLS
from vddlib.training.fit import Recipe
from vddlib.training.segmenter import SegmenterRecipe

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Names that a reader may extend by a file of their own (methods, networks, datasets), paths, and names of rows.
FREE = {
    "repository",
    "dataset", "detector", "scale", "single_frame_classes", "student", "variant", "vary", "wanted",
}  # fmt: skip
RECIPE = re.compile(r"(?:teacher|embedding|observer|region|hard)_(epochs|batch_size|lr)|(lr)s")
EXPERTS = {"experts": "count", "expert_lr": "lr", "expert_batch_size": "batch_size"}
MORE = {  # (parameter, lowest value) that the notebook has besides those of the field, and what it means by it
    ("hard_epochs", 0): "no students of protocol A",
    ("workers", 0): "as many as cores",
}


def field_of(name: str, source: str):
    """The package's field that a parameter sets, if any: of the distillers in a notebook's cells, else of what all use."""
    if "Experts(" in source and name in EXPERTS:
        return Experts.model_fields[EXPERTS[name]]
    if found := RECIPE.fullmatch(name):
        return Recipe.model_fields[found[1] or found[2]]
    named = dict.fromkeys(re.findall(r"\bdistillers\.([A-Z]\w+)\(", source))
    segmenter = (SegmenterRecipe, SegmentTSGF) if "SegmenterRecipe(" in source else ()
    for kind in (*segmenter, *(getattr(distillers, one) for one in named), FreePixels, Geometry, Recipe):
        if name in kind.model_fields:
            return kind.model_fields[name]
    return None


def bound(field, *names):
    return next((getattr(one, name) for one in field.metadata for name in names if hasattr(one, name)), None)


def disagreement(name: str, parameter, field) -> str:
    """How a parameter's limits differ from the field's; a field may leave a side open that the parameter bounds."""
    limits, kind = parameter.limits, field.annotation
    if get_origin(kind) is Literal:
        same = set(limits.choices) == set(get_args(kind))
        return "" if same else f"{name}: {limits.choices} instead of {get_args(kind)}"
    low, high = bound(field, "ge", "gt"), bound(field, "le", "lt")
    begins = low is None or (name, limits.low) in MORE
    begins = begins or (limits.low, limits.above) == (low, bound(field, "gt") is not None)
    ends = high is None or (limits.high, limits.below) == (high, bound(field, "lt") is not None)
    return "" if begins and ends else f"{name}: {limits.range} instead of {field.metadata}"


def sources(notebook):
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_parameters_and_fields_agree(path):
    source, declared = sources(path), notebook_parameters(path)
    compared = {name: field_of(name, source) for name in declared}
    found = [
        disagreement(name, declared[name], field) for name, field in compared.items() if field and name not in FREE
    ]
    assert [line for line in found if line] == []
    assert path.stem.startswith(("20_", "21_")) or sum(field is not None for field in compared.values()) >= 3


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_parameter_has_limits_which_its_default_keeps(path):
    for name, parameter in notebook_parameters(path).items():
        assert (parameter.limits != NO_LIMITS) != (name in FREE or parameter.kind == "bool"), name
        assert parameter.limits.broken_by(ast.literal_eval(parameter.default)) == "", name
        if name == "protocol":
            own = tuple(letter for letter in PROTOCOLS if letter not in FAIR)  # these have a parameter of their own,
            searched = ("F",) if path.stem.startswith("22_") else ()  # except where rates are searched under one
            assert parameter.limits.choices == own + searched
        if name == "fair":
            assert parameter.limits.choices == FAIR
        if re.search(r"\b(int|float)\b", parameter.kind):
            assert parameter.limits.low is not None, name


def test_a_disagreement_is_found():
    cell = "frames: int = 8  # [0 to 9]\nsampling: str = 'even'  # [even, odd]\nmomentum: float = 0.5  # [0 to 1]"
    declared = declared_parameters(cell)
    found = [disagreement(name, declared[name], field_of(name, "")) for name in declared]
    assert all(found) and [line.split(":")[0] for line in found] == ["frames", "sampling", "momentum"]
