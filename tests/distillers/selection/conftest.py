"""What the tests of selectors share: a pool, small networks, and the real MoViNet where its file is here."""

from pathlib import Path

import pytest

from tests.conftest import weights_with, write_ucf
from vddlib.datasets.clips import load
from vddlib.datasets.geometry import geometry
from vddlib.distillers.selection.movinet import WEIGHTS

SMALL = {"weights": "random", "network": {"options": {"depth": 2, "widths": (4, 4)}}}


@pytest.fixture
def pool(tiny_root, tmp_path):
    """Another set of videos with the classes of `tiny`: a pool as a generator makes one, with statistics of its own."""
    write_ucf(tmp_path / "pool", train=4, test=1)
    return load(str(tmp_path / "pool"), geometry(8, 32, 2), workers=1)[0]


@pytest.fixture
def movinet_weights(monkeypatch) -> Path:
    """$VDD_WEIGHTS with MoViNet-A0 in it; skips where it is not here."""
    folder = weights_with(WEIGHTS)
    pytest.importorskip("ai_edge_litert")
    monkeypatch.setenv("VDD_WEIGHTS", str(folder))
    return folder
