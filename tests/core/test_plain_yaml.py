"""A params file holds plain values, within limits; all else is one line."""

from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from vddlib.core.errors import VddError
from vddlib.core.params import read_params

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
REFUSED = {
    "bomb": (BOMB, "line 4: not YAML: more than 20 aliases (*name)"),
    "itself": ("a: &a [1, *a]\n", "line 1: not YAML: the anchor &a holds itself"),
    "itself as a mapping": ("a: &a\n  b: *a\n", "line 2: not YAML: the anchor &a holds itself"),
    "deep": ("a: " + "[" * 5000 + "]" * 5000, "line 1: not YAML: nested more than 20 deep"),
    "large": ("a: 1\n" * 30_000, "larger than 100 kB"),
    "twice": ("ipc: 1\nlr: 0.1\nipc: 2\n", "line 3: not YAML: 'ipc' stands there twice"),
    "twice inside": ("options:\n  a: 1\n  a: 1\n", "line 3: not YAML: 'a' stands there twice"),
    "infinite": ("lr: .inf\n", "lr: inf is no finite number"),
    "infinite by size": ("lr: 1.0e+999\n", "lr: inf is no finite number"),
    "no number": ("options: {a: [.nan]}\n", "a: nan is no finite number"),
    "digits": ("ipc: " + "9" * 5000 + "\n", "line 1: not YAML: an integer of 5000 digits; at most 30 are read"),
    "date": ("variant: 2024-01-31\n", "line 1: not YAML: '2024-01-31' is a date; write it in quotes"),
    "no date": ("variant: 2024-13-45\n", "line 1: not YAML: '2024-13-45' is a date"),
    "date of two lines": ("variant: !!timestamp 'x\n\n  y'\n", r"line 1: not YAML: 'x\ny' is a date"),
    "set": ("methods: !!set {a, b}\n", "methods: a value of type set; parameters are numbers"),
    "bytes": ("variant: !!binary aGVsbG8=\n", "variant: a value of type bytes;"),
    "pairs": ("methods: !!omap [a: 1]\n", "methods: a value of type tuple;"),
    "name": ("options: {1: 2}\n", "options: the name 1 is no text; write it in quotes"),
    "object": ("a: !!python/object/apply:os.getcwd []\n", "not YAML: could not determine a constructor"),
    "tag": ("a: !!int x\n", "not YAML: a value does not fit its own tag"),
    "empty tag": ("a: !!int ''\n", "not YAML: a value does not fit its own tag"),
    "no yes": ("a: !!bool x\n", "not YAML: a value does not fit its own tag"),
    "two documents": ("a: 1\n---\nb: 1\n", "line 2: not YAML"),
    "half a character": ('dataset: "\\ud800"\n', "dataset: '\\ud800' holds characters that no file or log can"),
    "no character": ('dataset: "a\\0b"\n', "dataset: 'a\\x00b' holds characters"),
    "control characters": ("a: \x00\n", "not YAML"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_one_line(tmp_path, case):
    text, said = REFUSED[case]
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(VddError) as error:
        read_params(path)
    assert str(error.value).startswith(f"{path}") and said in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_few_anchors_and_merged_mappings_are_read(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc: {<<: *b, y: 4}\nd: [*a, *a]\n")
    assert read_params(path) == yaml.safe_load(path.read_text())
    assert read_params(path)["c"] == {"x": 3, "y": 4}


@pytest.mark.parametrize("scale", sorted(folder.name for folder in (ROOT / "params").iterdir()))
def test_every_params_file_is_read_as_before(scale):
    """So that the hashes of their parameters, which records carry, stay the same."""
    paths = sorted((ROOT / "params" / scale).glob("*/*.yaml"))
    assert paths
    for path in paths:
        assert repr(read_params(path)) == repr(yaml.safe_load(Path(path).read_text()))
