"""The rooms of the package: imports point one way, files stay small, and each room is the one that design names."""

import ast
from pathlib import Path

from tests.conftest import ROOT

# From the ground up: a room imports from those on lower floors and from its own. Datasets and models share a floor.
FLOORS = (
    ("core",),
    ("datasets", "models"),
    ("training",),
    ("distillers",),
    ("evaluation",),
    ("results",),
    ("plots",),
    ("notebook",),
    (
        "site",
    ),  # not in the design, which has no reading room: pages of executed notebooks; nothing but the command imports it
    ("cli",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
PACKAGE = ROOT / "vddlib"


def room_of(path: Path, package: Path = PACKAGE) -> str:
    return path.relative_to(package).with_suffix("").parts[0]


def imported(path: Path) -> set[str]:
    """Rooms that a file imports from, at its top or inside functions."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "vddlib":
            modules |= {f"vddlib.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
    return {name.split(".")[1] for name in modules if name.startswith("vddlib.")}


def upward(package: Path) -> list[str]:
    """Every import that runs back: to a higher floor, or to another room of the same floor."""
    found = []
    for path in sorted(package.rglob("*.py")):
        here = room_of(path, package)
        for there in sorted(imported(path) - {here}):
            if here != "__init__" and FLOOR[there] >= FLOOR[here]:
                found.append(f"{path.relative_to(package)} imports {there}")
    return found


def test_every_file_lies_in_a_room():
    assert {room_of(path) for path in PACKAGE.rglob("*.py")} == {*FLOOR, "__init__"}


def test_imports_point_one_way():
    assert upward(PACKAGE) == []


def test_an_import_that_runs_back_is_found(tmp_path):
    for room in ("core", "results"):
        (tmp_path / room).mkdir()
    (tmp_path / "core" / "files.py").write_text("def late():\n    from vddlib.results import records\n")
    (tmp_path / "results" / "records.py").write_text("from vddlib.core import files\n")
    assert upward(tmp_path) == ["core/files.py imports results"]


def test_the_readme_draws_the_same_order():
    line = next(one for one in (ROOT / "README.md").read_text().splitlines() if one.startswith("Imports in `vddlib`"))
    drawn = line.split("`")[3]
    assert [tuple(floor.split(", ")) for floor in drawn.split(" <- ")] == list(FLOORS)


def test_files_and_functions_stay_small():
    """Under 300 lines a file and 50 a function: what has outgrown that is two things."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if text.count("\n") >= 300:
            found.append(f"{path.relative_to(PACKAGE)} has {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= 50:
                found.append(f"{path.relative_to(PACKAGE)}: {node.name} has {node.end_lineno - node.lineno + 1} lines")
    assert found == []
