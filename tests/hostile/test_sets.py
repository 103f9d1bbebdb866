"""Saved sets with damaged files: refused by name in one line, or loaded and drawn."""

import shutil

import pytest
from hypothesis import strategies as st

from tests.distillers.test_load import folders  # noqa: F401  (a fixture)
from tests.hostile.mutants import EDITS, batches, damaged, told
from tests.hostile.work import read_set
from vddlib.core.parallel import run_each

pytestmark = pytest.mark.hostile


def test_mutants_of_saved_sets(folders, tmp_path):  # noqa: F811
    outcomes: dict[str, str] = {}
    examples = st.tuples(
        st.sampled_from(sorted(folders)),
        st.sampled_from(["card.json", "tensors.safetensors"]),
        st.lists(EDITS, min_size=1, max_size=2),
    )
    for number, batch in batches(examples, 60, 0.3):
        places = []
        for k, (kind, name, edits) in enumerate(batch):
            places.append(tmp_path / f"{number}_{k}_{kind}")
            shutil.copytree(folders[kind], places[-1])
            file = places[-1] / name
            file.write_bytes(damaged(file.read_bytes(), edits))
        outcomes |= {
            place.name: found for place, found in run_each(places, read_set, "mutants", 2, crashed=why, limit=300)
        }
    told(f"saved sets ({tmp_path})", outcomes)


def why(folder, reason: str) -> str:
    return f"CRASHED: {reason}"
