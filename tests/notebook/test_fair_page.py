"""Notebook 21's tables and sentences against hand-worked values; controls as records."""

import math

import pytest
import torch

from tests.results.made import fair_records, frame, students
from vddlib.core.errors import VddError
from vddlib.distillers import Random, relabel
from vddlib.evaluation import evaluate, protocol
from vddlib.notebook import fair_page
from vddlib.notebook.controls import control_rows, control_table, label_rows, one_set_rows, still_rows
from vddlib.results import comparisons, display
from vddlib.results.fair import ONE_SET, STILL
from vddlib.training.networks import Network, train_teacher

OPTIONS = {"steps": 2, "device": "cpu"}


def level(method, values, protocol, **changes):
    """One record per value of top-1, in percent, of ten test videos."""
    rows = students(method, 50, len(values), 10, protocol=protocol, **changes)
    return [
        row | {"top1": value, "right_views": "", "bytes_stream": 1000} for row, value in zip(rows, values, strict=True)
    ]


def test_the_share_of_labels_is_paired_by_seed():
    df = frame(level("dm", [40.0, 60.0], "F") + level("dm", [50.0, 72.0], "F-soft") + level("mtt", [40.0], "F"))
    shares = fair_page.share_of_labels(df)
    assert shares[["method", "IPC", "F", "F-soft"]].values.tolist() == [["DM", "5", "50.0", "61.0"]]
    # Differences 10 and 12: mean 11, standard error 1, t quantile of one degree of freedom 12.706.
    assert shares["difference [95 %]"].item() == "+11.0 [-1.7, +23.7]"


def test_dd_ranking_of_hand_worked_numbers():
    full = [row | {"ipc": None, "bytes_stream": 50_000} for row in level("full", [90.0, 80.0], "F")]
    df = frame(
        full
        + level("dm", [60.0, 50.0], "F")
        + level("dm", [70.0, 70.0], "F-soft")
        + level("random", [60.0, 80.0], "F-soft")
    )
    scores = fair_page.dd_ranking(df).set_index("method")
    # HLR 0.3 and 0.3; IOR 0.1 and -0.1; alpha -0.1 and -0.2.
    lrs = [(math.exp(alpha) - math.exp(-1)) / (math.e - math.exp(-1)) for alpha in (-0.1, -0.2)]
    assert scores.loc["DM", "HLR"] == "0.300 (0.000)" and scores.loc["DM", "IOR"] == "0.000 (0.141)"
    assert scores.loc["DM", "LRS"].startswith(f"{sum(lrs) / 2:.3f} (") and scores.loc["DM", "compression"] == "2.00 %"
    assert "Random" not in scores.index, "it has no students of hard labels here"


def test_findings_follow_the_intervals():
    df = fair_records()
    numbers = comparisons(df)
    text = " ".join(fair_page.findings(numbers, df, "F-soft"))
    at = numbers[(numbers["protocol"] == "F-soft") & numbers["ipc"].eq(5).fillna(False) & numbers["difference"].notna()]
    at = at.set_index("method")
    part = text[text.index("IPC 5") :]
    told = at[at["told_apart"] & ~at["gate"].str.contains("failed")]
    assert len(told) and all(f"{display(name)} {row['difference']:+.1f} [" in part for name, row in told.iterrows())
    assert "MTT failed the gate" in part and "MTT +" not in part and "MTT -" not in part
    assert "is its first frame, repeated" in " ".join(fair_page.findings(numbers, df))
    equal = [name for name in at.index if not at.loc[name, "told_apart"] and "failed" not in at.loc[name, "gate"]]
    assert ("not told apart from random clips" in part) == bool(equal)


def test_controls_are_rows_with_their_variant_and_clips(tiny):
    train, test = tiny
    controls = {"random_still": {"method": "random_still"}, "crf 40": {"method": "random_encoded", "quality": 40}}
    rows = control_rows(controls, train, test, 2, [0, 1], ["F"], **OPTIONS)
    assert [(row["method"], row.get("variant"), row["seed"]) for row in rows] == [
        ("random_still", None, 0), ("random_still", None, 1), ("random_encoded", "crf 40", 0), ("random_encoded", "crf 40", 1),
    ]  # fmt: skip
    assert {row["clips"] for row in rows} == {6} and {row["steps"] for row in rows} == {2}
    table = control_table(rows)
    assert table["seeds"].tolist() == [2, 2] and table["top1"].tolist() == pytest.approx(
        [sum(row["top1"] for row in rows[k : k + 2]) / 2 for k in (0, 2)]
    )
    with pytest.raises(VddError, match="'stills' names no method"):
        control_rows({"stills": {}}, train, test, 1, [0], ["F"], **OPTIONS)


def test_without_motion_training_and_test_are_still(tiny):
    train, test = tiny
    rows = still_rows(["full", "random"], train, test, 1, [0], **OPTIONS)
    assert [(row["method"], row["variant"], row["ipc"]) for row in rows] == [
        ("full", STILL, None),
        ("random", STILL, 1),
    ]
    first = [row["top1_still"] for row in rows]
    assert [row["top1_shuffled"] for row in rows] == first, "repeated frames in another order are the same clip"


def test_several_students_of_one_set_differ_in_their_seeds_alone(tiny):
    train, test = tiny
    rows = one_set_rows(train, test, 1, [1000, 1001], **OPTIONS)
    assert [(row["seed"], row["variant"]) for row in rows] == [(1000, ONE_SET), (1001, ONE_SET)]
    assert one_set_rows(train, test, 1, [], **OPTIONS) == []


def test_other_labels_for_the_same_clips(tiny):
    train, test = tiny
    network = Network(options={"depth": 2, "widths": [4, 4]})
    recipe = protocol("A", epochs=1).recipe
    teacher = train_teacher(train, network, recipe, seed=0, device=torch.device("cpu"))
    ours, random = (
        {seed: relabel(method.distill(train, 1, seed + first), teacher, 20.0) for seed in (0, 1)}
        for method, first in ((Random(), 10), (Random(), 0))
    )
    for one in ours.values():
        one.card["method"] = "tsgf"
    soft, hard = protocol("D", epochs=2, batch_size=2), protocol("A", epochs=2)
    rows = label_rows(ours, random, test, soft, hard, network=network, device="cpu")
    found = [(row["method"], row["variant"], row["protocol"], row["seed"]) for row in rows]
    trials = (("labels of {}", "D"), ("hard labels", "D"), ("soft labels", "A"))
    assert found == [
        (mine, variant.format(other), letter, seed)
        for mine, other in (("tsgf", "random"), ("random", "tsgf"))
        for variant, letter in trials
        for seed in (0, 1)
    ]
    crossed = next(row for row in rows if row["variant"] == "labels of tsgf")
    assert crossed["bytes_stream"] == random[0].bytes_stream, "as many labels, of other values"
    plain = evaluate(random[0].with_targets(random[0].labels), test, hard, seeds=[0], network=network, device="cpu")
    softened = next(row for row in rows if row["method"] == "random" and row["variant"] == "soft labels")
    assert softened["train_top1"] is not None and softened["epochs"] == plain.rows[0]["epochs"]
