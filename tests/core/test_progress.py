"""Progress: one line that updates in a notebook, plain lines elsewhere, nothing where it is quick."""

import pytest

from vddlib.core import progress


@pytest.fixture
def clock(monkeypatch):
    """Every look at the clock is four seconds later."""
    now = iter(range(0, 4000, 4))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: False, raising=False)
    monkeypatch.setattr(progress, "_line", None)


def shown(text: str) -> list[str]:
    """What a reader sees in the end: a carriage return begins the line again, a newline ends it."""
    return [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n")]


def test_a_notebook_gets_one_line_that_updates(clock, monkeypatch, capsys):
    monkeypatch.setattr(progress, "_in_notebook", lambda: True)
    assert list(progress.with_progress("abcdefghij", "letters")) == list("abcdefghij")
    text = capsys.readouterr().out
    assert text.count("\r") >= 3 and text.count("\n") == 1
    line, rest = shown(text)
    assert line.startswith("letters: 10/10, ") and line.endswith(" s") and rest == ""


def test_other_lines_begin_on_their_own(clock, monkeypatch, capsys):
    monkeypatch.setattr(progress, "_in_notebook", lambda: True)
    for letter in progress.with_progress("abcdefghij", "letters"):
        if letter == "h":
            progress.say("halfway")
    lines = shown(capsys.readouterr().out)
    assert lines[1] == "halfway" and lines[0].startswith("letters: ") and lines[2].startswith("letters: 10/10")


def test_a_log_gets_plain_lines(clock, monkeypatch, capsys):
    monkeypatch.setattr(progress, "_in_notebook", lambda: False)
    list(progress.with_progress("abcdefghij", "letters"))
    text = capsys.readouterr().out
    assert (
        "\r" not in text and all(line.startswith("letters: ") for line in text.splitlines()) and text.count("\n") >= 2
    )


@pytest.mark.parametrize("notebook", [True, False])
def test_what_is_quick_says_nothing(monkeypatch, capsys, notebook):
    monkeypatch.setattr(progress, "_in_notebook", lambda: notebook)
    assert (
        list(progress.with_progress(range(3), "three")) == [0, 1, 2] and list(progress.with_progress([], "none")) == []
    )
    assert capsys.readouterr().out == ""


def test_one_line_for_many_steps_that_is_gone_at_the_end(clock, monkeypatch, capsys):
    monkeypatch.setattr(progress, "_in_notebook", lambda: True)
    with progress.one_line():
        for seed in range(3):
            list(progress.with_progress("abcdefghij", f"student {seed}"))
            progress.passing(f"student {seed} done")
        progress.say("student 1 diverged")  # what matters stays
        progress.passing("student 3 done")
    print("mean of all")
    text = capsys.readouterr().out
    assert "student 0: " in text and "student 0 done" in text
    assert shown(text) == ["student 1 diverged", "mean of all", ""]


def test_passing_lines_all_stay_in_a_log(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_in_notebook", lambda: False)
    with progress.one_line():
        progress.passing("one")
        progress.passing("two")
    assert capsys.readouterr().out == "one\ntwo\n"


def test_long_work_says_early_how_long_it_takes(monkeypatch, capsys):
    now = iter(range(0, 4000, 3))  # three seconds an item, so half a minute for ten and five minutes for a hundred
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: False, raising=False)
    monkeypatch.setattr(progress, "_in_notebook", lambda: False)
    list(progress.with_progress(range(3), "few", total=3, every=1000))
    assert capsys.readouterr().out == ""
    list(progress.with_progress(range(100), "many", every=1000))
    assert (
        capsys.readouterr().out == "many: 3/100, about 5 min left\n"
    )  # the first item, with all that starts, does not count
