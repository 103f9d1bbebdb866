"""Figures of the fair comparison: what is drawn is what the numbers say."""

import numpy as np
import pandas as pd
import pytest

from tests.results.made import fair_records, frame, students
from vddlib import plots
from vddlib.core.errors import VddError
from vddlib.plots.fair import groups
from vddlib.results.fair import comparisons, pairwise
from vddlib.results.schema import display


def pairs_of(*apart: str, methods: str = "abcd") -> pd.DataFrame:
    """All pairs, with p 0.01 for those named ('ab') and 0.5 for the others."""
    both = [(one, two) for place, one in enumerate(methods) for two in methods[place + 1 :]]
    p = [0.01 if one + two in apart else 0.5 for one, two in both]
    return pd.DataFrame(both, columns=["first", "second"]).assign(p_holm=p)


def test__groups__by_hand():
    ordered = list("abcd")
    assert groups(ordered, pairs_of()) == [(0, 3)]
    assert groups(ordered, pairs_of("ad")) == [(0, 2), (1, 3)]
    assert groups(ordered, pairs_of("ab", "ac", "ad", "bd", "cd")) == [(1, 2)]
    assert groups(list("dcba"), pairs_of("ad")) == [(0, 2), (1, 3)]  # the order of a pair's names says nothing
    assert groups(list("ab"), pairs_of("ab", methods="ab")) == []


def test__critical_difference__rows_in_order_and_bars_of_the_pairs():
    df = fair_records()
    (ax,) = plots.critical_difference(df).axes
    numbers = comparisons(df)
    numbers = numbers[(numbers["protocol"] == "F") & numbers["ipc"].eq(5).fillna(False)]
    ordered = numbers.sort_values("mean", ascending=False)
    assert [label.get_text() for label in ax.get_yticklabels()] == [display(name) for name in ordered["method"]]
    spans = [line.get_xdata() for line in ax.lines[: 2 * len(ordered) : 2]]
    assert np.allclose(spans, ordered[["low", "high"]])
    bars = [tuple(line.get_ydata().round(2)) for line in ax.lines if not line.get_clip_on()]
    rows = df[(df["protocol"] == "F") & (df["ipc"] == 5) & (df["variant"] == "")]
    expected = groups(ordered["method"].tolist(), pairwise(rows))
    assert bars == [(first - 0.25, last + 0.25) for first, last in expected] and bars


def test__differences_to_random__colour_only_where_told_apart():
    df = fair_records()
    (ax,) = plots.differences_to_random(df, "F-soft").axes
    numbers = comparisons(df)
    numbers = numbers[(numbers["protocol"] == "F-soft") & numbers["ipc"].eq(5).fillna(False)].set_index("method")
    names = {display(name): name for name in numbers.index}
    drawn = [names[label.get_text()] for label in ax.get_yticklabels()]
    assert sorted(drawn) == sorted(set(numbers.index) - {"random"})
    colours = [line.get_color() for line in ax.lines[: 2 * len(drawn) : 2]]
    told = numbers["told_apart"]
    assert colours == [plots.colour(name) if told[name] else "#888888" for name in drawn]
    assert told.any() and not told[drawn].all()


def test__fair_figures__same_bytes_each_time(tmp_path):
    df = fair_records(seeds=3)
    for draw in (plots.critical_difference, plots.differences_to_random):
        files = [plots.save(draw(df), tmp_path / name, {})[0] for name in "ab"]
        assert files[0].suffix == ".svg" and files[0].read_bytes() == files[1].read_bytes()


def test__fair_figures__nothing_to_show():
    with pytest.raises(VddError, match="protocol F at IPC 50"):
        plots.critical_difference(fair_records(2), ipc=50)


def test__rate_accuracy__is_the_best_for_so_many_bytes():
    bytes_of = {"crf 40": 2_000, "crf 30": 4_000, "crf 23": 9_000}
    rows = [
        row | {"bytes_stream": count}
        for (name, count), accuracy in zip(bytes_of.items(), (40, 60, 50), strict=True)
        for row in students("random_encoded", accuracy, 3, spread=0.1, variant=name)
    ]
    rows += [row | {"bytes_stream": 6_000} for row in students("random", 55, 3) + students("dm", 58, 3)]
    df = frame(rows)
    (ax,) = plots.rate_accuracy(df).axes
    step = ax.lines[-1]
    means = df[df["method"] == "random_encoded"].groupby("variant")["top1"].mean()
    best = [means["crf 40"], means["crf 30"], means["crf 30"]]  # what more bytes do not improve stays
    assert list(step.get_xdata()) == list(bytes_of.values()) and list(step.get_ydata()) == pytest.approx(best)
    points = sorted(line.get_ydata()[0] for line in ax.lines if line.get_marker() in ("o", "^"))
    assert points == pytest.approx(sorted(df[df["method"] == name]["top1"].mean() for name in ("random", "dm")))
