"""Equations 6 to 8 of TSGF, re-typed frame by frame."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vddlib.training import saliency


def clips_of(seed: int, n: int = 2, t: int = 6) -> torch.Tensor:
    return torch.randn(n, 3, t, 4, 5, generator=torch.Generator().manual_seed(seed))


@given(st.integers(0, 1000), st.integers(2, 9))
def test_differences_are_equation_6_and_boundary_frames_use_the_neighbour_they_have(seed, t):
    clips = clips_of(seed, t=t)
    f = clips.numpy().transpose(0, 2, 1, 3, 4)
    for n, row in enumerate(saliency.frame_differences(clips).numpy()):
        for i in range(t):
            around = [np.abs(f[n, j + 1] - f[n, j]).mean() for j in (i - 1, i) if 0 <= j < t - 1]
            assert row[i] == pytest.approx(np.mean(around), rel=1e-5)


@pytest.mark.parametrize("kind", ["uniform", "linear", "hann", "exponential"])
@pytest.mark.parametrize("length", [1, 2, 4, 9])
def test_saliency_is_equation_7(kind, length):
    clips, alpha = clips_of(0), saliency.window(kind, length).numpy()
    assert alpha.sum() == pytest.approx(1) and (np.diff(alpha) <= 1e-7).all() and (alpha > 0).all()
    d, s = saliency.frame_differences(clips).numpy(), saliency.saliency(clips, kind, length).numpy()
    for n in range(len(d)):
        for i in range(d.shape[1]):
            reach = range(min(length, i + 1))
            expected = sum(alpha[j] * d[n, i - j] for j in reach) / sum(alpha[j] for j in reach)
            assert s[n, i] == pytest.approx(expected, rel=1e-4)


@given(st.lists(st.floats(0, 10), min_size=2, max_size=8).filter(lambda v: max(v) - min(v) > 1e-2), st.floats(-1, 12))
def test_mask_is_equation_8(values, epsilon):
    s = torch.tensor([values])
    spread = max(values) - min(values)
    signed = [(epsilon - value) / spread for value in values]
    assert saliency.mask(s, epsilon)[0].tolist() == pytest.approx([max(v, 0) for v in signed], rel=1e-3, abs=1e-4)
    assert saliency.mask(s, epsilon, signed=True)[0].tolist() == pytest.approx(signed, rel=1e-3, abs=1e-4)


@given(st.integers(0, 1000), st.floats(0, 1))
def test_key_frames_are_still_and_the_mask_is_between_0_and_the_share(seed, share):
    scores = saliency.saliency(clips_of(seed))
    epsilon = saliency.threshold(scores, share)
    mask = saliency.mask(scores, epsilon)
    assert (mask[saliency.key_frames(scores, epsilon)] == 0).all()
    assert mask.min() >= 0 and mask.max() <= share + 1e-5


def test_clips_without_motion_are_updated_everywhere():
    still = clips_of(0)[:, :, :1].expand(-1, -1, 6, -1, -1)
    scores = saliency.saliency(still)
    assert (saliency.mask(scores, saliency.threshold(scores, 0.3)) == 1).all()
    rounding = scores + torch.tensor([0, 1e-8, 0, 2e-8, 0, 0]) * scores.amax()
    for nearly in (scores, rounding, torch.full((2, 6), 3.0) + torch.tensor([0, 3e-7, 0, 0, 3e-7, 0])):
        assert not saliency.key_frames(nearly, saliency.threshold(nearly, 0.3)).any()
        assert (saliency.mask(nearly, saliency.threshold(nearly, 0.3)) == 1).all()
    single = saliency.saliency(still[:, :, :1])
    assert single.shape == (2, 1) and (saliency.mask(single, saliency.threshold(single, 0.3)) == 1).all()
