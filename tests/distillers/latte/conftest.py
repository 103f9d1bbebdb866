"""A generator that trains in a second."""

from pathlib import Path

import pytest

from tests.conftest import weights_with
from vddlib.distillers.latte import Latte

TINY = {
    "depth": 2, "width": 16, "heads": 2, "autoencoder": "pixels", "draws": 2, "steps": 6, "batch_size": 4, "lr": 1e-3,
    "sampler": "ddim", "sample_steps": 2, "guidance": 1.5, "per_class": 3, "sample_batch": 2, "device": "cpu",
}  # fmt: skip


@pytest.fixture
def tiny_latte():
    """`tiny_latte(**changed)`: such settings, changed."""

    def make(**changed) -> Latte:
        return Latte(**{**TINY, **changed})

    return make


@pytest.fixture
def real_weights(monkeypatch) -> Path:
    """$VDD_WEIGHTS with TAESD's kind of autoencoder in it; skips where it is not here."""
    folder = weights_with("taef2_encoder.pth")
    monkeypatch.setenv("VDD_WEIGHTS", str(folder))
    return folder
