"""The fair comparison from made records: pairing, Holm's correction, what is printed small, and the files."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.results.made import fair_records, frame, student, students
from vddlib import results
from vddlib.core.errors import VddError
from vddlib.evaluation.statistics import compare_paired, holm
from vddlib.results.fair import comparisons, controls, correct, equal_bytes, pairwise, sets_and_students
from vddlib.results.fair_table import fair_blocks, motion_blocks
from vddlib.results.records import to_csv
from vddlib.results.schema import with_pool
from vddlib.results.write import Grey, latex, markdown


def by_method(numbers: pd.DataFrame, protocol: str = "F", ipc: int = 5) -> pd.DataFrame:
    return numbers[(numbers["protocol"] == protocol) & numbers["ipc"].eq(ipc).fillna(False)].set_index("method")


def blocks_by_ipc(df: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {block.header.split(" · ")[1]: block.table.set_index("method") for block in fair_blocks(df)[0]}


# ---- what was classified correctly


def test__correct__a_row_per_seed_a_column_per_video():
    table = correct(frame([student("dm", 1, "05"), student("dm", 0, "31")]))
    assert table.index.tolist() == [0, 1] and table.to_numpy().tolist() == [[60, 20], [0, 100]]
    without = correct(frame([student("dm", 3, "05", right_views="")]))
    assert without.to_numpy().tolist() == [[50]] and without.index.tolist() == [3]


def test__correct__what_does_not_fit_is_refused():
    with pytest.raises(VddError, match="DM, protocol F, seed 0: several records in one place"):
        correct(frame([student("dm", 0, "05"), student("dm", 0, "55")]))
    with pytest.raises(VddError, match="tested on 2 and 3 videos"):
        correct(frame([student("dm", 0, "05"), student("dm", 1, "055")]))
    with pytest.raises(VddError, match=r"right_views give top-1 50\.00, the record says 60\.00"):
        correct(frame([student("dm", 0, "05", top1=60.0)]))


def test__records__keep_the_digits_of_right_views(tmp_path):
    path = tmp_path / "records.csv"
    path.write_text(to_csv(frame([student("dm", 0, "0054" * 100, gate="passed: moved 4")])))
    read = results.read(path).iloc[0]
    assert (read["right_views"], read["views"], read["gate"]) == ("v" + "0054" * 100, 5, "passed: moved 4")


# ---- numbers


def test__comparisons__paired_by_seed_and_video_by_hand():
    # Seed 0: videos +20, 0; seed 1: +40, +20; seed 2 has no partner and counts in the mean only.
    ours = [student("dm", 0, "21"), student("dm", 1, "42"), student("dm", 2, "55")]
    random = [student("random", 1, "21"), student("random", 0, "11")]
    row = by_method(comparisons(frame([*ours, *random]))).loc["dm"]
    expected = compare_paired(np.array([[40.0, 20], [80, 40]]), np.array([[20.0, 20], [40, 20]]))
    assert (row["seeds"], row["paired_seeds"], row["mean"]) == (3, 2, pytest.approx(190 / 3))
    assert row["difference"] == expected.difference == 20
    assert (row["difference_low"], row["p"]) == pytest.approx((expected.low, expected.p))


def test__comparisons__holm_over_both_protocols_at_one_ipc():
    numbers = comparisons(fair_records())
    for ipc in (1, 5):
        rows = numbers[numbers["ipc"].eq(ipc).fillna(False) & numbers["p"].notna()]
        assert len(rows) == 10  # five methods, two protocols
        assert rows["p_holm"].to_numpy() == pytest.approx(holm(rows["p"]))
    told = numbers[numbers["told_apart"]]
    assert 0 < len(told) < 20 and (told["p_holm"] < 0.05).all() and (told["difference_low"] > 0).any()
    assert numbers.loc[numbers["method"].isin(["full", "random"]), "p"].isna().all()


def test__comparisons__no_variant_enters():
    df = fair_records()
    control = frame(students("dm", 80, variant="hard labels"))
    assert comparisons(pd.concat([df, control], ignore_index=True)).equals(comparisons(df))


def test__controls__stand_beside_random_clips_in_a_block_of_their_own():
    df = fair_records()
    assert controls(df).empty, "students without motion are in a column of the main block"
    tiles = [*students("dm", 80, variant="tiles"), *students("random_encoded", 40, variant="crf 30")]
    more = pd.concat([df, frame(tiles)], ignore_index=True)
    numbers = controls(more).set_index("method")
    assert set(numbers.loc[numbers["difference"].notna()].index) == {"dm[tiles]", "random_encoded[crf 30]"}
    usual = comparisons(df).query("method == 'random' and protocol == 'F' and ipc == 5").iloc[0]
    found = numbers.loc["dm[tiles]"]
    assert found["difference"] == pytest.approx(found["mean"] - usual["mean"]) and found["told_apart"]
    blocks, _ = fair_blocks(more)
    (block,) = (one for one in blocks if "controls" in one.header)
    assert block.table["method"].tolist() == ["Random", "Random, encoded [crf 30]", "DM [tiles]"]
    assert len(blocks) == 1 + len(fair_blocks(df)[0])


def test__controls__have_choices_from_another_pool_than_the_published_one():
    df = fair_records()
    pools = ("csta[real]", "herding[generated]", "full[generated]", "tsgf[no_mask]")
    found = controls(pd.concat([df, *(frame(students(name, 80)) for name in pools)], ignore_index=True))
    assert set(found["method"]) == {"random", "csta[real]", "herding[generated]"}
    assert found.set_index("method").loc["csta[real]", "difference"] > 0


def test__comparisons__another_split_is_refused():
    with pytest.raises(VddError, match="tested on 3 and 2 videos"):
        comparisons(frame([student("dm", 0, "555"), student("random", 0, "55")]))


def test__comparisons__without_fair_records():
    with pytest.raises(VddError, match="protocol F or F-soft"):
        comparisons(frame(students("dm", 50, protocol="A")))


def test__pairwise__every_pair_once():
    df = fair_records()
    pairs = pairwise(df[(df["protocol"] == "F") & (df["ipc"] == 5) & (df["variant"] == "")])
    assert len(pairs) == 15 and pairs["p_holm"].to_numpy() == pytest.approx(holm(pairs["p"]))
    row = pairs[(pairs["first"] == "random") & (pairs["second"] == "tsgf")].iloc[0]
    assert row["difference"] == pytest.approx(-by_method(comparisons(df)).loc["tsgf", "difference"])


def test__equal_bytes__the_largest_setting_that_takes_no_more():
    def row(method, seed, digits, size, variant=""):
        return student(method, seed, digits, variant=variant) | {"bytes_stream": size}

    digits = {"random": "5000", "dm": "5500", "tsgf": "5550"}  # 25, 50, 75
    rows = [
        row(m, seed, d, size) for (m, d), size in zip(digits.items(), (100, 200, 300), strict=True) for seed in (0, 1)
    ]
    coded = (("crf 40, small", "5500", 90), ("crf 30, small", "5000", 99), ("crf 30, large", "5555", 290))
    rows += [row("random_encoded", seed, d, size, name) for name, d, size in coded for seed in (0, 1)]
    rows += [row("static_dc", seed, "5000", 50) for seed in (0, 1)]  # takes less than every setting
    table = equal_bytes(frame(rows)).set_index("method")
    assert table["coded"].to_dict() == {"random": "crf 30, small", "dm": "crf 30, small", "tsgf": "crf 30, large"}
    assert table["difference"].tolist() == pytest.approx([0, -25, 25]) and table["coded_mean"].tolist() == [25, 25, 100]
    assert equal_bytes(fair_records()).empty


def test__sets_and_students__by_hand():
    plain = [student("dm", seed, digits) for seed, digits in enumerate(("55500", "55550", "55555"))]  # 60, 80, 100
    same_set = [
        student("dm", seed, digits, variant="one set") for seed, digits in ((1, "55510"), (2, "55520"))
    ]  # 64, 68
    full = [student("full", seed, "55555", ipc=None) for seed in (0, 1)]  # without an IPC
    row = sets_and_students(frame([*plain, *same_set, *full])).iloc[0]
    assert (row["students"], row["pairs"]) == (3, 3)  # seed 0's student is the set's third: 60, 64, 68
    assert (row["std_students"], row["std_pairs"], row["std_sets"]) == pytest.approx((4, 20, 384**0.5))


# ---- the tables


def test__fair_table__cells():
    df = fair_records()
    tables, numbers = blocks_by_ipc(df), by_method(comparisons(df), "F-soft")
    assert list(tables) == ["IPC 1", "IPC 5"]
    at5 = tables["IPC 5"]
    assert at5.index.tolist() == ["Full data", "Random", "Herding", "K-Center", "DM", "MTT", "TSGF"]
    tsgf = numbers.loc["tsgf"]
    assert at5.loc["TSGF", "F-soft"] == f"{tsgf['mean']:.1f} [{tsgf['low']:.1f}, {tsgf['high']:.1f}]"
    assert at5.loc["TSGF", "F-soft better"] == f"{tsgf['improvement']:.2f}"
    assert at5.loc["Random", "F minus random"] == "" and at5.loc["Full data", "F"].startswith("79.6 [")
    assert at5.loc["DM", ["moved", "gate"]].tolist() == ["4.1", "passed"] and at5.loc["MTT", "gate"] == "failed"
    assert [name for name in at5.index if at5.loc[name, "without motion (F)"]] == ["Full data", "Random"]
    assert tables["IPC 1"].loc["Random", "without motion (F)"] == ""


def test__fair_table__small_exactly_where_not_told_apart():
    df = fair_records()
    tables, numbers = blocks_by_ipc(df), comparisons(df)
    for row in numbers[numbers["difference"].notna()].to_dict("records"):
        cell = tables[f"IPC {row['ipc']}"].loc[results.display(row["method"]), f"{row['protocol']} minus random"]
        assert isinstance(cell, Grey) == (not row["told_apart"])
        own = row["difference_low"] > 0 or row["difference_high"] < 0
        assert cell.endswith("†") == (own and not row["told_apart"])


def test__fair_table__what_it_could_have_detected_is_said():
    df = fair_records()
    blocks, notes = fair_blocks(df)
    found = comparisons(df)[lambda numbers: numbers["ipc"].eq(5).fillna(False)]["detectable"].median()
    assert f"5 seeds · 240 test videos · differences of {found:.1f} points found in 4 of 5 cases" in blocks[1].header
    assert "chance 12.5" in blocks[1].header
    assert notes[0].startswith("Gates: MTT IPC 1 failed: its loss ended at 0.97.")
    assert "percentiles of the crossed bootstrap" in notes[1]


def test__one_seed_is_said_and_has_intervals_over_videos():
    (block,) = fair_blocks(frame([*students("dm", 60, 1), *students("random", 50, 1)]))[0]
    assert "1 seed ·" in block.header and "[" in block.table.set_index("method").loc["DM", "F"]


def test__motion_table__changes_paired_by_seed():
    rows = [
        student("dm", seed, digits, top1_still=value, top1_reversed=other)
        for seed, (digits, value, other) in enumerate((("50", 40.0, 52.0), ("55", 88.0, 97.0), ("50", 39.0, 50.0)))
    ]
    table = motion_blocks(frame(rows))[0].table.set_index("method")
    assert table.loc["DM", "stilled"] == "-11.0 [-13.5, -8.5]"  # -10, -12, -11; std 1, t 4.303 over sqrt(3)
    assert isinstance(table.loc["DM", "reversed"], Grey) and not isinstance(table.loc["DM", "stilled"], Grey)
    assert "shuffled" not in table
    with pytest.raises(VddError, match="stilled, shuffled or reversed"):
        motion_blocks(frame([student("dm", 0, "50")]))


def test__files__are_written_as_all_tables_are(tmp_path):
    folder = tmp_path / "figures" / "quick"
    folder.mkdir(parents=True)
    (folder / "records.csv").write_text(to_csv(fair_records(seeds=3)))
    paths = [*results.fair_table("quick", tmp_path), *results.motion_table("quick", tmp_path)]
    names = [f"{name}.{suffix}" for name in ("fair_table", "motion_table") for suffix in ("md", "csv", "tex", "json")]
    assert [path.name for path in paths] == names
    assert "<sub>" in paths[0].read_text() and "<sub>" not in paths[1].read_text()
    assert r"\textcolor{gray}{" in paths[2].read_text() and "{booktabs,xcolor}" in paths[2].read_text()
    assert json.loads(paths[3].read_text())["rows"] == 3 * 26


def test__grey__is_escaped_once():
    table = pd.DataFrame({"a": [Grey("50 % †"), "50 %", Grey("")]}, dtype=object)
    assert "<sub>50 % †</sub>" in markdown([results.Block("", table)])
    text = latex([results.Block("", table)])
    assert r"\textcolor{gray}{50 \% $\dagger$}" in text and text.count("textcolor") == 1


def test__of_papers__leaves_the_fair_protocols_to_their_own_table():
    df = fair_records(2)
    papers = pd.concat([df, df[df["method"] == "dm"].assign(protocol="A")], ignore_index=True)
    assert set(results.of_papers(papers)["protocol"]) == {"A"}
    assert len(results.of_papers(df)) == len(df), "where nothing else was measured, everything is shown"


def test__controls__leave_ablations_to_their_own_table():
    df = fair_records(2)
    mine = df[df["method"] == "dm"]
    tiles = mine.assign(method="optdistill", variant="tiles")
    ablations = [
        mine.assign(method=name, variant=variant)
        for name, variant in (("optdistill[n1]", "compare"), ("random", "components"))
    ]
    found = results.fair.controls(pd.concat([df, tiles, *ablations], ignore_index=True))
    assert set(found["method"]) == {"random", "optdistill[tiles]"}
    blocks, _ = fair_blocks(pd.concat([df, tiles, *ablations], ignore_index=True))
    assert blocks and results.fair.controls(pd.concat([df, *ablations], ignore_index=True)).empty


def test__fair_table__says_which_pool_was_chosen_from():
    pools = {"csta": "CSTA, generated", "csta[real]": "CSTA, real clips", "herding[generated]": "Herding, generated"}
    assert [with_pool(name) for name in pools] == list(pools.values())
    assert [with_pool(name) for name in ("tsgf[no_mask]", "herding")] == ["TSGF [no mask]", "Herding"]
    df = pd.concat([fair_records(), *(frame(students(name, 80)) for name in pools)], ignore_index=True)
    printed = pd.concat([block.table for block in fair_blocks(df)[0]])["method"]
    assert set(pools.values()) <= set(printed)
