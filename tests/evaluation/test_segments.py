"""Segments, edit score and F1 against cases worked by hand, and what has to hold for any labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vddlib.core.errors import VddError
from vddlib.evaluation.segments import Segment, _levenshtein, edit_score, f1, frame_accuracy, scores, segments

LABELS = st.lists(st.integers(0, 3), min_size=1, max_size=40)


def test_stretches_of_equal_labels():
    assert segments([5]) == [Segment(5, 0, 1)]
    assert segments([0, 0, 2, 2, 2, 0]) == [Segment(0, 0, 2), Segment(2, 2, 5), Segment(0, 5, 6)]
    with pytest.raises(VddError, match="at least one"):
        segments([])


@given(LABELS)
def test_segments_put_together_are_the_labels(labels):
    again = np.concatenate([np.full(one.end - one.start, one.label) for one in segments(labels)])
    assert again.tolist() == labels
    assert all(a.label != b.label for a, b in zip(segments(labels), segments(labels)[1:], strict=False))


def test_accuracy_counts_frames_of_all_videos_alike():
    true = [np.array([0, 0, 0, 0, 0, 0, 0, 0]), np.array([1, 1])]
    assert frame_accuracy([true[0], np.array([0, 0])], true) == 80  # 8 of 10, and not the mean of 100 and 0


def test_edit_score_by_hand():
    assert _levenshtein("kitten", "sitting") == 3 and _levenshtein("", "ab") == 2 and _levenshtein("ab", "b") == 1
    three, four = np.array([0, 0, 1, 1, 2, 2, 2, 2]), np.array([0, 0, 1, 1, 3, 3, 2, 2])
    assert edit_score([three], [four]) == pytest.approx(100 * (1 - 1 / 4))  # an insertion, of four segments
    slow, fast = np.array([0] * 9 + [1]), np.array([0] + [1] * 9)
    assert edit_score([slow], [fast]) == 100 and frame_accuracy([slow], [fast]) == 20  # order alone counts
    flicker = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 1])
    assert edit_score([flicker], [fast]) == pytest.approx(100 * (1 - 8 / 10))
    assert edit_score([slow, flicker], [fast, fast]) == pytest.approx((100 + 20) / 2)  # a mean over videos


def test_f1_by_hand():
    true = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    guess = np.array([0, 0, 1, 1, 1, 1, 1, 1, 0, 0])
    # 0: two of four frames (0.5). 1: four shared of eight (0.5). The last 0 shares nothing with a 0.
    assert f1([guess], [true], 50) == pytest.approx(100 * 2 * 2 / (2 * 2 + 1 + 0))
    assert f1([guess], [true], 51) == 0
    twice = np.array([0, 0, 0, 1, 0, 0, 0, 0, 0, 0])  # two segments on one true 0: the first is right, the second wrong
    once = np.zeros(10, int)
    assert f1([twice], [once], 25) == pytest.approx(100 * 2 * 1 / (2 * 1 + 2 + 0))
    # Over all videos at once: 1 right, 0 wrong, 0 missed, and 0, 1, 1.
    assert f1([once, once], [once, np.ones(10, int)], 10) == pytest.approx(100 * 2 / (2 + 1 + 1))


@given(LABELS)
def test_the_truth_has_everything(labels):
    found = scores([np.array(labels)], [np.array(labels)])
    assert set(found.values()) == {100.0} and list(found) == ["acc", "edit", "f1@10", "f1@25", "f1@50"]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30))
def test_more_overlap_asked_for_is_never_easier(pairs):
    guess, true = (np.array(side) for side in zip(*pairs, strict=True))
    found = scores([guess], [true])
    assert 0 <= found["f1@50"] <= found["f1@25"] <= found["f1@10"] <= 100 and 0 <= found["edit"] <= 100


def test_what_does_not_match_is_refused():
    with pytest.raises(VddError, match="1 predictions of 2 videos"):
        scores([np.array([0])], [np.array([0])] * 2)
    with pytest.raises(VddError, match="video 0: 2 predicted labels of 3 frames"):
        scores([np.array([0, 1])], [np.array([0, 1, 1])])
