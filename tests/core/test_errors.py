"""Errors of other libraries in one line, cut between words."""

import pytest

from vddlib.core.errors import first_line


def test_first_lines_are_cut_between_words():
    error = ValueError("the quick brown fox\njumps over the lazy dog")
    assert first_line(error) == "the quick brown fox"
    assert first_line(error, 16) == "the quick ..."
    assert first_line(error, 16, end=True) == "... brown fox"
    assert first_line(ValueError()) == "ValueError"
    assert (
        first_line(ValueError("x" * 50), 10) == "xxxxxxx..."
        and first_line(ValueError("x" * 50), 10, end=True) == "...xxxxxxx"
    )


@pytest.mark.parametrize("most", range(14, 60))
@pytest.mark.parametrize("end", [False, True])
def test_no_cut_is_too_long_or_within_a_word(most, end):
    text = "Invalid data found when processing input of a file that is none"
    cut = first_line(OSError(text), most, end=end)
    assert len(cut) <= most and set(cut.split()) <= {*text.split(), "..."}
