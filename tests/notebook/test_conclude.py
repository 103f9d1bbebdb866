"""Conclusions: the verdicts of hand-worked numbers, the sentences word by word, and what is refused."""

import pytest

from vddlib.core.errors import VddError
from vddlib.notebook.conclude import compare_by_seed, conclusion, mean_by_seed, t_quantile, verdict


def test_quantiles_are_those_of_the_printed_tables():
    assert t_quantile(1) == pytest.approx(12.706, abs=1e-3)
    assert t_quantile(2) == pytest.approx(4.303, abs=1e-3)
    assert t_quantile(2, 0.9) == pytest.approx(2.920, abs=1e-3)


def test_verdicts_of_hand_worked_numbers():
    # Differences 4, 5, 6: mean 5, std 1, standard error 0.577; times 4.303 that is 2.48, less than 5.
    assert verdict([14, 25, 36], [10, 20, 30]) == "above"
    assert verdict([10, 20, 30], [14, 25, 36]) == "below"
    # Differences 1, 2, 3: mean 2, the same standard error; 2 is less than 2.48, but more than 0.577 x 2.920 = 1.69.
    assert verdict([11, 22, 33], [10, 20, 30]) == "not told apart"
    assert verdict([11, 22, 33], [10, 20, 30], confidence=0.9) == "above"


def test_one_seed_tells_nothing_apart_and_equal_values_neither():
    assert verdict([90], [10]) == "not told apart"
    assert verdict([10, 20], [10, 20]) == "not told apart"
    assert verdict([11, 21], [10, 20]) == "above"  # every difference is 1: the spread is 0


def test_values_are_paired_by_seed():
    # The seeds differ far more than the methods do: unpaired, nothing could be told.
    assert verdict([11, 51.5, 91], [10, 50, 90]) == "above"
    assert verdict([11, 51.5, 91], [90, 10, 50]) == "not told apart"


def test_sentences_word_by_word():
    # Differences 3.3, 1.2, -0.6: mean 1.3, squares of the rest 4.00 + 0.01 + 3.61 = 7.62, std 1.95.
    text = compare_by_seed("DM", [23.3, 31.2, 9.4], "Random", [20, 30, 10])
    assert text == "DM is 1.3 points above Random (std 2.0 over 3 seeds): not told apart."
    text = compare_by_seed("DM", [10, 20, 30], "Random", [14, 25, 36])
    assert text == "DM is 5.0 points below Random (std 1.0 over 3 seeds): told apart."
    assert compare_by_seed("DM", [12], "chance", [10]) == "DM is 2.0 points above chance (one seed): not told apart."
    text = compare_by_seed("A", [0.25, 0.5], "B", [0.25, 0.5], unit="nats", decimals=2)
    assert text == "A is 0.00 nats above B (std 0.00 over 2 seeds): not told apart."
    assert mean_by_seed("DM", [10, 12]) == "DM reaches 11.0 % (std 1.4 over 2 seeds)."
    assert mean_by_seed("DM", [0.5], unit="MB", decimals=2) == "DM reaches 0.50 MB (one seed)."


@pytest.mark.parametrize(
    "ours, reference, why",
    [([1, 2], [1], "2 values against 1"), ([], [], "no values"), ([1.0, float("nan")], [1, 2], "finite")],
)
def test_values_that_are_no_pairs_are_refused(ours, reference, why):
    with pytest.raises(VddError, match=why):
        compare_by_seed("A", ours, "B", reference)


def test_a_conclusion_has_one_to_five_sentences():
    assert conclusion(["One.", "Two."]).data == "- One.\n- Two."
    assert conclusion(f"{n}." for n in range(5)).data.count("\n") == 4
    for sentences in ([], ["One."] * 6):
        with pytest.raises(VddError, match="a notebook ends in 1 to 5"):
            conclusion(sentences)
