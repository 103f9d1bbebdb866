"""The Fréchet distance against the matrix square root and known normals; nearest neighbours against brute force."""

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st

from vddlib.core.errors import VddError
from vddlib.evaluation.generated import frechet, nearest


def points(seed, n, d, scale=1.0, shift=0.0):
    return torch.from_numpy(np.random.default_rng(seed).normal(shift, scale, (n, d)))


@given(
    st.integers(0, 1000), st.integers(8, 20), st.integers(8, 20), st.integers(1, 6)
)  # singular ones have no stable root
def test_it_is_the_formula(seed, n, m, d):
    a, b = points(seed, n, d), points(seed + 1, m, d, 2.0, 1.0)
    mu, nu = a.mean(0).numpy(), b.mean(0).numpy()
    s, t = (np.cov(x.numpy(), rowvar=False).reshape(d, d) for x in (a, b))
    expected = ((mu - nu) ** 2).sum() + np.trace(s + t - 2 * scipy.linalg.sqrtm(s @ t).real)
    assert frechet(a, b) == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_known_normals():
    a, b = points(0, 5_000, 1), points(1, 5_000, 1, scale=3.0, shift=2.0)
    assert frechet(a, b) == pytest.approx(2**2 + (3 - 1) ** 2, rel=0.1)
    assert frechet(a[:500], a[:500]) == pytest.approx(0, abs=1e-9)
    with pytest.raises(VddError, match="two members"):
        frechet(a[:1], b)


@given(st.integers(0, 1000))
def test_nearest(seed):
    a, b = points(seed, 7, 3), points(seed + 1, 5, 3)
    places, distances = nearest(a, b)
    for x, place, distance in zip(a, places, distances, strict=True):
        all_of_them = [(x - y).square().sum().sqrt().item() for y in b]
        assert place == int(np.argmin(all_of_them)) and distance.item() == pytest.approx(min(all_of_them))
