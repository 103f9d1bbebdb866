"""Executed notebooks as readers get them."""

from nbformat import v4

from vddlib.notebook.executed import settle
from vddlib.notebook.kernel import _Lines


def printed(*parts):
    """The outputs of one cell that printed `parts` (name, text) one after another."""
    cell = v4.new_code_cell("work()", outputs=[v4.new_output("stream", name=name, text=text) for name, text in parts])
    settle(v4.new_notebook(cells=[cell]))
    return [(output.name, output.text) for output in cell.outputs]


def test_a_line_that_was_updated_is_its_last_state_however_it_came():
    assert printed(
        ("stdout", "track: 6/40\r"), ("stdout", "track: 40/40, 47 s\r"), ("stdout", "track: 40/40, 47 s\n")
    ) == [("stdout", "track: 40/40, 47 s\n")]
    assert printed(("stdout", "a: 1/9\ra: 9/9\nb\n")) == [("stdout", "a: 9/9\nb\n")]


def test_what_was_wiped_leaves_nothing_and_what_follows_stands_alone():
    wiped = ("stdout", "seed 0: 41.0 %\r"), ("stdout", " " * 14 + "\r")
    assert printed(*wiped) == []
    assert printed(*wiped, ("stdout", "mean 40.0 %\n")) == [("stdout", "mean 40.0 %\n")]


def test_errors_and_results_stay_apart():
    assert printed(("stdout", "one\n"), ("stderr", "careful\n"), ("stdout", "two\n")) == [
        ("stdout", "one\n"), ("stderr", "careful\n"), ("stdout", "two\n"),
    ]  # fmt: skip


def test_a_log_has_every_student_and_few_of_a_bar_s_lines():
    logged = []
    lines = _Lines(logged.append)
    for n in range(50):
        lines.write(f"teacher: {n}/50, about 9 s left\r")
    for seed in range(3):
        lines.write(f"random IPC 1, protocol F, seed {seed}: top-1 4{seed}.00 %\r")
    lines.write(" " * 40 + "\rmean 41.0 %\n")
    students = [f"random IPC 1, protocol F, seed {seed}: top-1 4{seed}.00 %" for seed in range(3)]
    assert logged == ["teacher: 0/50, about 9 s left", *students, "mean 41.0 %"]
