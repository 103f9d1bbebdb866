"""Intervals against scipy, pairing worked by hand, coverage by simulation, Holm's correction, spreads."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vddlib.core.errors import VddError
from vddlib.evaluation.statistics import (
    compare_paired,
    crossed_bootstrap,
    holm,
    interval,
    over,
    sets_and_students,
)


def drawn(seed: int, seeds: int, videos: int, sigmas=(4, 20, 40), mean: float = 0.0) -> np.ndarray:
    """``[S, M]`` with standard deviations `sigmas` of seeds, of videos, and of single pairs of the two."""
    stream = np.random.default_rng([seed, seeds, videos])
    shapes = ((seeds, 1), (1, videos), (seeds, videos))
    return mean + sum(sigma * stream.normal(size=shape) for sigma, shape in zip(sigmas, shapes, strict=True))


# ---- against scipy


@pytest.mark.parametrize("shape", [(5, 1), (1, 40)])
def test_along_one_way_it_is_students_t(shape):
    ours, theirs = drawn(1, *shape, mean=60), drawn(2, *shape, mean=55)
    found = compare_paired(ours, theirs)
    scipy = stats.ttest_rel(ours.ravel(), theirs.ravel())
    assert found.p == pytest.approx(scipy.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(scipy.confidence_interval()))
    assert interval(ours).error == pytest.approx(stats.sem(ours, axis=None))


@pytest.mark.parametrize(("axis", "sigmas"), [(0, (5, 0, 0)), (1, (0, 30, 0))])
def test_where_one_way_is_all_the_variance_the_error_is_scipys_bootstrap_over_it(axis, sigmas):
    values = drawn(3, 8, 30, sigmas)
    alone = values.mean(1 - axis)
    scipy = stats.bootstrap((alone,), np.mean, n_resamples=9999, rng=np.random.default_rng(0)).standard_error
    # A bootstrap's variance is that of n in the denominator.
    assert interval(values).error == pytest.approx(scipy * (len(alone) / (len(alone) - 1)) ** 0.5, rel=0.03)


def test_both_ways_by_hand():
    # Rows 1 and 4, columns 0.5, 2.5 and 4.5, grand mean 2.5; residuals +-0.5, +-0.5, 0.
    values = np.array([[-0.5, 0.5, 3.0], [1.5, 4.5, 6.0]])
    by_seed, by_video, by_pair = 4.5 / 2, 4 / 3, (4 * 0.25 / 2) / 6
    assert interval(values).mean == 2.5
    assert interval(values).error == pytest.approx((by_seed + by_video - by_pair) ** 0.5)
    degrees = (by_seed + by_video) ** 2 / (by_seed**2 / 1 + by_video**2 / 2)
    reach = stats.t.ppf(0.975, degrees) * (by_seed + by_video - by_pair) ** 0.5
    assert (interval(values).low, interval(values).high) == pytest.approx((2.5 - reach, 2.5 + reach))


def test_crossed_bootstrap_is_that_of_redrawn_rows_and_columns():
    values, stream = drawn(4, 5, 40), np.random.default_rng(0)
    means = [values[stream.integers(5, size=5)][:, stream.integers(40, size=40)].mean() for _ in range(4000)]
    found = crossed_bootstrap(values)
    assert found.standard_error == pytest.approx(np.std(means), rel=0.06)
    assert tuple(found.confidence_interval) == pytest.approx(
        np.quantile(means, [0.025, 0.975]), abs=0.15 * np.std(means)
    )
    assert crossed_bootstrap(values).confidence_interval == found.confidence_interval


@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(2, 30))
def test_the_interval_knows_no_order_and_is_never_narrower_than_along_either_way(seed, seeds, videos):
    values = drawn(seed, seeds, videos)
    found, stream = interval(values), np.random.default_rng(seed)
    shuffled = interval(values[stream.permutation(seeds)][:, stream.permutation(videos)])
    assert (shuffled.low, shuffled.high) == pytest.approx((found.low, found.high))
    assert found.error >= max(stats.sem(values.mean(1)), stats.sem(values.mean(0))) * (1 - 1e-9)
    assert found.low <= found.mean <= found.high


@pytest.mark.parametrize(("seeds", "sigmas"), [(5, (3, 20, 40)), (5, (0, 0, 45)), (3, (6, 10, 40))])
def test_the_interval_covers_the_true_difference_in_about_95_of_100_cases(seeds, sigmas):
    cases = [interval(drawn(case, seeds, 60, sigmas, mean=2.0)) for case in range(200)]
    assert 0.88 <= np.mean([one.low <= 2.0 <= one.high for one in cases]) <= 0.99


def test_a_difference_of_the_detectable_size_is_found_in_about_80_of_100_cases():
    size = np.mean([compare_paired(drawn(c, 8, 60), np.zeros((8, 60))).detectable for c in range(200)])
    found = [compare_paired(drawn(c, 8, 60, mean=size), np.zeros((8, 60))).p < 0.05 for c in range(200)]
    assert 0.7 <= np.mean(found) <= 0.9


# ---- pairs


def test_pairing_by_video_by_hand():
    """Both are right on half of the views; paired, they differ on one video of four only."""
    ours, theirs = np.array([[100.0, 0, 100, 20]]), np.array([[100.0, 0, 100, 0]])
    found = compare_paired(ours, theirs)
    assert found.difference == 5
    assert found.high - 5 == pytest.approx(stats.t.ppf(0.975, 3) * 5)  # differences 0, 0, 0, 20: std 10, over sqrt(4)
    mixed = compare_paired(ours, theirs[:, ::-1])
    assert mixed.difference == 5 and mixed.high > 2 * found.high
    assert over(found.seeds, found.videos) == "4 test videos (one seed)"


def test_pairing_by_seed_by_hand():
    ours, theirs = np.array([[50.0], [60], [70]]), np.array([[48.0], [59], [67]])
    found = compare_paired(ours, theirs)  # 2, 1, 3: mean 2, std 1
    assert (found.difference, found.high - found.difference) == pytest.approx((2, 4.302653 / 3**0.5))
    assert compare_paired(ours, theirs[::-1]).p > 10 * found.p
    assert str(found) == "+2.0 [-0.5, +4.5] over 3 seeds"


def test_probability_of_improvement_over_all_pairs_of_seeds():
    # 2 > 1, 2 = 2, 4 > 1, 4 > 2: three and a half of four.
    found = compare_paired(np.array([[2.0], [4.0]]), np.array([[1.0], [2.0]]))
    assert found.improvement == 3.5 / 4
    stream = np.random.default_rng(0)
    a, b = stream.integers(0, 5, (6, 1)), stream.integers(0, 5, (6, 1))
    assert compare_paired(a, b).improvement == pytest.approx(stats.mannwhitneyu(a.ravel(), b.ravel()).statistic / 36)


def test_equal_and_constant_differences():
    same = np.full((3, 4), 40.0)
    assert (compare_paired(same, same).p, compare_paired(same, same).improvement) == (1, 0.5)
    above = compare_paired(same + 1, same)
    assert (above.p, above.low, above.high, above.improvement) == (0, 1, 1, 1)


def test_one_value_has_no_interval():
    found = compare_paired(np.array([[3.0]]), np.array([[1.0]]))
    assert found.difference == 2 and np.isnan([found.low, found.high, found.p, found.detectable]).all()


@pytest.mark.parametrize("bad", [np.zeros((0, 3)), np.zeros(3), np.array([[1.0, np.nan]])])
def test_what_cannot_be_averaged_is_refused(bad):
    with pytest.raises(VddError, match="statistics need"):
        interval(bad)


def test_other_seeds_or_videos_are_refused():
    with pytest.raises(VddError, match=r"same seeds and test videos: \(2, 3\) against \(2, 4\)"):
        compare_paired(np.zeros((2, 3)), np.zeros((2, 4)))


# ---- many comparisons, spreads


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1: 0.04, 0.06, 0.06, then no less than before.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1, 1])
    assert holm([np.nan, 0.02, 0.5]) == pytest.approx([np.nan, 0.04, 0.5], nan_ok=True)
    assert len(holm([])) == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_none_and_bonferroni(p):
    adjusted = holm(p)
    assert (adjusted >= np.array(p) - 1e-12).all() and (adjusted <= np.minimum(len(p) * np.array(p), 1) + 1e-12).all()


def test_spread_of_sets_by_hand():
    found = sets_and_students([60, 62, 64], [50, 60, 70])  # variances 4 and 100
    assert (found.students, found.pairs, found.sets) == pytest.approx((2, 10, 96**0.5))
    assert sets_and_students([50, 70], [60, 61]).sets == 0
    assert np.isnan(sets_and_students([50], [60, 61]).sets)
