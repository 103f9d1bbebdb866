"""Params files of random YAML, and mutants of real ones: accepted, or refused in one line."""

import pytest
import yaml
from hypothesis import strategies as st

from tests.conftest import ROOT
from tests.hostile.mutants import EDITS, batches, damaged, outcome, told
from vddlib.core.errors import VddError
from vddlib.core.params import notebook_parameters, params_of_file

pytestmark = pytest.mark.hostile
NOTEBOOK = ROOT / "notebooks" / "13_optdistill.ipynb"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates() | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=6,
)
PIECES = st.sampled_from(
    ["ipc: ", "wanted: ", "- ", "{", "}", "[", "]", "&a ", "*a", "!!python/object:os.system ", "? ", ": ", "\n", "  ", "1e999",
     "!!int ",
     "!!float ", "!!timestamp ", "2001-99-99", "0x", "1_0", "|", "\t", "\x00", "\ufeff", "---\n", "%YAML 9\n", "<<: ", "'"]
)  # fmt: skip


def test_params_files(tmp_path):
    known = notebook_parameters(NOTEBOOK)
    real = sorted((ROOT / "params").glob("*/13_optdistill/*.yaml"))
    named = st.dictionaries(st.sampled_from(sorted(known)) | st.text(max_size=5), VALUES, max_size=4)
    texts = (
        named.map(lambda values: yaml.safe_dump(values, allow_unicode=True).encode())
        | st.lists(PIECES, max_size=12).map(lambda pieces: "".join(pieces).encode())
        | st.builds(
            lambda path, edits: damaged(path.read_bytes(), edits), st.sampled_from(real), st.lists(EDITS, max_size=3)
        )
        | st.binary(max_size=40)
        | st.sampled_from([b"[" * 5000, b"{a: " * 5000, b"ipc: " + b"9" * 5000, b"ipc: 1:" + b"59:" * 3000])
    )
    outcomes: dict[str, str] = {}
    path = tmp_path / "x.yaml"
    for number, batch in batches(texts, 200, 0.1):
        for k, text in enumerate(batch):
            path.write_bytes(text)
            outcomes[f"{number}_{k}: {text[:120]!r}"] = outcome(
                lambda: params_of_file(NOTEBOOK, path), VddError, str(path)
            )
    told("params files", outcomes)
