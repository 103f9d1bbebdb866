"""Scores: the paper's two, and R3D-18 as torchvision gives it."""

import numpy as np
import pytest
import torch

from vddlib.core.errors import VddError
from vddlib.distillers.optdistill import score as scoring
from vddlib.distillers.optdistill.score import score


def test_scores_are_the_papers_two():
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 5.0]])
    p = logits.exp() / logits.exp().sum(1, keepdim=True)
    labels = torch.tensor([0, 1])
    assert torch.allclose(score(logits, labels, "confidence"), torch.stack([p[0, 0], p[1, 2]]))
    assert torch.allclose(score(logits, labels, "loss"), torch.stack([p[0, 0], p[1, 1]]).log())


def test_r3d_18_is_loaded_as_torchvision_gives_it(monkeypatch):
    """The real loading path, with weights that are not trained: those of Kinetics cannot be fetched in a test."""
    from torchvision.models.video import R3D_18_Weights, r3d_18

    torch.manual_seed(0)
    state = r3d_18().state_dict()
    monkeypatch.setattr(type(R3D_18_Weights.KINETICS400_V1), "get_state_dict", lambda *a, **k: state)
    scorer = scoring.KineticsScorer(torch.device("cpu"))
    frames = np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), dtype=np.uint8)
    logits = scorer([frames])
    network = r3d_18()
    network.load_state_dict(state)
    chosen = torch.from_numpy(frames[[round(k * 19 / 15) for k in range(16)]]).permute(0, 3, 1, 2)
    expected = network.eval()(R3D_18_Weights.KINETICS400_V1.transforms()(chosen)[None])
    assert logits.shape == (1, 400) and torch.allclose(logits, expected, atol=1e-5)
    assert 0 < scoring.score(logits, torch.tensor([0]), "confidence") <= 1

    def refuse(*a, **k):
        raise OSError("no route to host")

    monkeypatch.setattr(type(R3D_18_Weights.KINETICS400_V1), "get_state_dict", refuse)
    with pytest.raises(VddError, match="use scorer 'teacher'"):
        scoring.KineticsScorer(torch.device("cpu"))
