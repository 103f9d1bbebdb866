"""MS-TCN: its layers against re-typed arithmetic, its loss by hand, and that it learns and comes back out of the cache."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.distillers.sequences.test_condensed import VIDEOS, video
from vddlib.core import cache
from vddlib.core.errors import VddError
from vddlib.models.ms_tcn import MSTCN, DilatedResidual, loss
from vddlib.training.networks import _MODELS
from vddlib.training.segmenter import SegmenterRecipe, train_segmenter

SMALL = SegmenterRecipe(stages=2, layers=3, width=8, dropout=0.2, lr=5e-3, epochs=30)
CPU = torch.device("cpu")


def test_a_layer_sees_three_frames_a_dilation_apart():
    layer = DilatedResidual(2, 4, 0.0).eval()
    x = torch.randn(1, 2, 12)
    padded = F.pad(x, (4, 4))
    taps = layer.spread.weight  # [out, in, 3]
    by_hand = sum(torch.einsum("oi,nit->not", taps[:, :, k], padded[:, :, 4 * k : 4 * k + 12]) for k in range(3))
    hidden = F.relu(by_hand + layer.spread.bias[None, :, None])
    wanted = x + torch.einsum("oi,nit->not", layer.point.weight[:, :, 0], hidden) + layer.point.bias[None, :, None]
    torch.testing.assert_close(layer(x), wanted)


def test_later_stages_see_probabilities_and_the_network_all_of_time():
    torch.manual_seed(0)
    model = MSTCN(5, 3, stages=3, layers=4, width=6, dropout=0.0).eval()
    assert model.stages[1].enter.in_channels == 3
    x = torch.randn(32, 5, 40, requires_grad=True)  # of one input, ReLU may block the way to the outermost frame
    logits = model(x)
    assert len(logits) == 3 and all(one.shape == (32, 3, 40) for one in logits)
    torch.testing.assert_close(logits[1], model.stages[1](logits[0].softmax(1)))
    (gradient,) = torch.autograd.grad(logits[0][:, :, 20].sum(), x)
    seen = gradient.abs().sum((0, 1)).nonzero().flatten()
    assert (seen.min(), seen.max()) == (5, 35)  # 1 + 2 + 4 + 8 frames to either side


def test_the_loss_by_hand():
    logits = torch.randn(1, 3, 5, requires_grad=True)
    labels = torch.tensor([[0, 1, 1, 2, 2]])
    log_p = logits.log_softmax(1)
    steps = (log_p[:, :, 1:] - log_p[:, :, :-1]).abs().clamp(max=4)
    wanted = -log_p[0, labels[0], torch.arange(5)].mean() + 0.15 * (steps**2).mean()
    torch.testing.assert_close(loss([logits], labels), wanted)
    torch.testing.assert_close(loss([logits, logits], labels), 2 * wanted)
    jump = torch.zeros(1, 2, 2)
    jump[0, 0, 1] = 50.0  # a step of log probabilities far over tau counts as tau
    assert loss([jump], torch.tensor([[0, 0]])) == pytest.approx(
        float(np.log(2) / 2 + 0.15 * 16 * 3 / 4 + 0.15 * np.log(2) ** 2 / 4), abs=1.2
    )
    # The step before is not differentiated: the first frame has no gradient of the smoothing.
    only = loss([logits], labels) - F.cross_entropy(logits, labels)
    (gradient,) = torch.autograd.grad(only, logits)
    assert gradient[0, :, 0].abs().max() == 0 and gradient[0, :, 1].abs().max() > 0


def test_it_learns_what_is_there_and_comes_out_of_the_cache(monkeypatch):
    made = train_segmenter(VIDEOS, 3, SMALL, seed=0, device=CPU, what="a test")
    assert made.losses[-1] < 0.5 * made.losses[0]
    other = video(seed=99)
    (predicted,) = made.predict([other], CPU)
    assert (predicted == other.labels).mean() > 0.9
    monkeypatch.setattr("vddlib.training.segmenter._fit", lambda *a: pytest.fail("trained again"))
    again = train_segmenter(VIDEOS, 3, SMALL, seed=0, device=CPU, what="a test")
    assert np.array_equal(again.predict([other], CPU)[0], predicted) and again.losses == made.losses


def test_a_seed_gives_the_same_bits(monkeypatch, tmp_path):
    short = SMALL.model_copy(update={"epochs": 2})
    first = train_segmenter(VIDEOS, 3, short, seed=1, device=CPU, what="a test").model.state_dict()
    monkeypatch.setenv("VDD_CACHE", str(tmp_path / "other"))
    again = train_segmenter(VIDEOS, 3, short, seed=1, device=CPU, what="a test").model.state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_what_cannot_be_learnt_from_is_refused():
    with pytest.raises(VddError, match="do not have one size"):
        train_segmenter([video(), video(width=7)], 3, SMALL, seed=0, device=CPU, what="a test")
    with pytest.raises(VddError, match="lower the rate"):
        wild = SMALL.model_copy(update={"lr": 1e30, "epochs": 3})
        train_segmenter(VIDEOS, 3, wild, seed=0, device=CPU, what="a test")


def test_networks_of_clips_do_not_depend_on_it():
    assert "vddlib.models.ms_tcn" not in _MODELS and "vddlib.models.minic3d" in _MODELS
    assert cache.code_digest(*_MODELS)
