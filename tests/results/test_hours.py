"""Hours of a scale, against a case worked out by hand."""

import pandas as pd
import pytest

from vddlib.results import hours


def test_a_set_counts_once_and_a_student_each_time():
    def row(method, seed, protocol, distil, train):
        place = {"dataset": "motions", "frames": 8, "size": 32, "ipc": 5, "variant": ""}
        return place | {"method": method, "seed": seed, "protocol": protocol} | {
            "distill_seconds": distil, "train_seconds": train,
        }  # fmt: skip

    rows = [row("dm", 0, "A", 1800, 360), row("dm", 0, "F", 1800, 720), row("dm", 0, "F-soft", 3600, 720)]
    rows += [row("dm", 1, "F", 1800, 720), row("random", 0, "F", None, 360)]
    table = hours(pd.DataFrame(rows)).set_index("method")
    assert table.loc["DM"].tolist() == pytest.approx([2, 1.5, 4, 0.7])  # 3600 + 1800 s; 2520 s
    assert table.loc["Random"].tolist() == pytest.approx([1, 0, 1, 0.1])
    assert table.loc["all"].tolist() == pytest.approx([3, 1.5, 5, 0.8])
    assert list(table.index) == ["Random", "DM", "all"]
