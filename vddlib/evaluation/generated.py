"""What a generated pool is like: how far its clips are from the real ones as a whole, and one by one."""

import numpy as np
import torch
from torch import Tensor

from vddlib.core.errors import VddError


def frechet(a: Tensor, b: Tensor) -> float:
    r"""Fréchet distance of features ``[n, D]``, ``[m, D]``, each set taken for a normal distribution (Heusel et al., 2017):

    :math:`\|\mu_a - \mu_b\|^2 + \mathrm{tr}\big(\Sigma_a + \Sigma_b - 2 (\Sigma_a \Sigma_b)^{1/2}\big)`.

    It grows as sets get smaller, so that two are compared at equal sizes only. Raises VddError where a set has one member.
    """
    if min(len(a), len(b)) < 2:
        raise VddError("the Fréchet distance needs two members of each set at least")
    a, b = (x.double().flatten(1).numpy() for x in (a, b))
    gap = np.square(a.mean(0) - b.mean(0)).sum()
    centred = [(x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (a, b)]
    spread = sum(np.square(x).sum() for x in centred)
    # tr (S_a S_b)^1/2 is the nuclear norm of X_a X_b^T, whose sides are members or, after QR, features: whatever is fewer.
    centred = [np.linalg.qr(x, mode="r") if len(x) > x.shape[1] else x for x in centred]
    return float(gap + spread - 2 * np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum())


def nearest(features: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Of each ``features [n, D]`` the nearest of ``others [m, D]``: its place ``int64 [n]`` and its distance ``[n]``."""
    distances = torch.cdist(features.flatten(1), others.flatten(1), compute_mode="donot_use_mm_for_euclid_dist")
    found = distances.min(1)
    return found.indices, found.values
