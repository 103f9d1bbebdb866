r"""DD-Ranking's scores (Li et al., arXiv 2505.13300) as formulas, and compression.

Accuracies are **fractions** between 0 and 1, single numbers or one per seed (``float [S]``, paired). With them

.. math:: HLR = acc(real, hard) - acc(set, hard), \quad IOR = acc(set, its labels) - acc(random, same labels)

.. math:: LRS = \frac{e^\alpha - e^{-1}}{e - e^{-1}}, \quad \alpha = w\,IOR - (1 - w)\,HLR, \quad w = 1/2

and ARS is the same function of the mean, by weight, of the differences to random with and without augmentation. A fraction
keeps alpha between -1 and 1 and the scores between 0 and 1. The package published with the paper works on percent, and
feeds it into the exponential: its values are not these.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vddlib.core.errors import VddError

Fractions = float | Sequence[float] | np.ndarray


class Score(NamedTuple):
    """Mean over seeds, sample standard deviation (nan for one seed) and number of seeds."""

    mean: float
    std: float
    seeds: int

    def __str__(self) -> str:
        return f"{self.mean:z.3f}" + ("" if np.isnan(self.std) else f" ({self.std:.3f})")


def over_seeds(values: Fractions) -> Score:
    """A score of every seed, summarised."""
    values = np.atleast_1d(np.asarray(values, float))
    return Score(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else np.nan, len(values))


def hard_label_recovery(real_hard: Fractions, set_hard: Fractions) -> np.ndarray:
    """HLR: what hard labels on the set lack to hard labels on the whole train split; smaller is better."""
    return _fractions(real_hard) - _fractions(set_hard)


def improvement_over_random(ours: Fractions, random: Fractions) -> np.ndarray:
    """IOR: what the set has over as many random clips, students of both trained with the same labels."""
    return _fractions(ours) - _fractions(random)


def label_robust_score(hlr: Fractions, ior: Fractions, weight: float = 0.5) -> np.ndarray:
    """LRS, between 0 and 1, of `hard_label_recovery` and `improvement_over_random`; `weight` is that of the latter."""
    return _normalised(weight * _fractions(ior) - (1 - weight) * _fractions(hlr))


def augmentation_robust_score(with_augmentation: Fractions, without: Fractions, weight: float = 0.5) -> np.ndarray:
    """ARS, between 0 and 1, of the improvement over random with augmentation and without (the paper's gamma: `weight`)."""
    return _normalised(weight * _fractions(with_augmentation) + (1 - weight) * _fractions(without))


def compression(bytes_set: int, bytes_train: int) -> float:
    """Bytes of the set, its labels and whatever draws it included, over bytes of the train split (counted alike)."""
    if bytes_train <= 0 or bytes_set < 0:
        raise VddError(f"compression needs sizes in bytes, got {bytes_set} over {bytes_train}")
    return bytes_set / bytes_train


def _normalised(alpha: np.ndarray) -> np.ndarray:
    return (np.exp(alpha) - np.exp(-1)) / (np.e - np.exp(-1))


def _fractions(values: Fractions) -> np.ndarray:
    values = np.asarray(values, float)
    if (np.abs(values) > 1).any():
        raise VddError(
            f"DD-Ranking's scores are of fractions between 0 and 1, got {np.abs(values).max():g}: percent / 100"
        )
    return values
