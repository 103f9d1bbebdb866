"""DD-Ranking's scores and compression against numbers worked by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vddlib.core.errors import VddError
from vddlib.evaluation.scores import (
    augmentation_robust_score,
    compression,
    hard_label_recovery,
    improvement_over_random,
    label_robust_score,
    over_seeds,
)


def test_label_robust_score_by_hand():
    hlr, ior = hard_label_recovery(0.8, 0.5), improvement_over_random(0.6, 0.5)
    assert (hlr, ior) == (pytest.approx(0.3), pytest.approx(0.1))
    # alpha = 0.05 - 0.15 = -0.1: (0.904837 - 0.367879) / (2.718282 - 0.367879)
    assert label_robust_score(hlr, ior) == pytest.approx(0.536958 / 2.350402, abs=1e-6)
    assert label_robust_score(hlr, ior, weight=1) == pytest.approx((math.exp(0.1) - math.exp(-1)) / 2.350402, abs=1e-6)


def test_augmentation_robust_score_by_hand():
    # beta = (0.2 + 0.1) / 2 = 0.15: (1.161834 - 0.367879) / 2.350402
    assert augmentation_robust_score(0.2, 0.1) == pytest.approx(0.793955 / 2.350402, abs=1e-6)
    assert augmentation_robust_score(0, 0) == pytest.approx((1 - math.exp(-1)) / (math.e - math.exp(-1)))


@given(*[st.floats(-1, 1)] * 2, st.floats(0, 1))
def test_scores_lie_between_0_and_1(a, b, weight):
    for score in (label_robust_score(a, b, weight), augmentation_robust_score(a, b, weight)):
        assert -1e-12 <= score <= 1 + 1e-12


def test_a_score_per_seed_and_its_spread():
    scores = improvement_over_random([0.5, 0.7, 0.6], [0.4, 0.4, 0.4])
    assert tuple(over_seeds(scores)) == pytest.approx((0.2, 0.1, 3))
    assert str(over_seeds(scores)) == "0.200 (0.100)" and str(over_seeds(0.25)) == "0.250"
    per_seed = label_robust_score(np.zeros(3), scores)
    assert over_seeds(per_seed).mean == pytest.approx(np.mean([label_robust_score(0, s) for s in scores]))


def test_percent_is_refused():
    with pytest.raises(VddError, match="fractions between 0 and 1, got 80"):
        hard_label_recovery(80.0, 50.0)


def test_compression():
    assert compression(25, 1000) == 0.025
    with pytest.raises(VddError, match="sizes in bytes"):
        compression(25, 0)
