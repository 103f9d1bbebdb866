"""The main tables and the ablations, computed from hand-made records; every expected number is worked out by hand."""

import json

import pandas as pd
import pytest

from vddlib import results
from vddlib.core.errors import VddError
from vddlib.results import select
from vddlib.results.main_table import one_protocol_blocks, own_protocol_blocks
from vddlib.results.records import to_csv

SETTING = {
    "dataset": "motions", "protocol": "A", "student": "minic3d", "teacher": "", "frames": 8, "size": 32, "epochs": 60,
    "ipc": 1, "variant": "", "subset": "",
}  # fmt: skip


def students(method: str, values: list[float], **changes) -> list[dict]:
    """A record per value, of seeds 0, 1, ..."""
    return [SETTING | {"method": method, "seed": seed, "top1": v} | changes for seed, v in enumerate(values)]


def frame(*groups: list[dict]) -> pd.DataFrame:
    df = pd.DataFrame([row for group in groups for row in group])
    return df.astype({"ipc": "Int64", "frames": "Int64", "size": "Int64", "epochs": "Int64"})


FULL = students("full", [90.0, 92.0, 94.0], ipc=None)
RANDOM = students("random", [10.0, 12.0, 14.0])
DM = students("dm", [13.0, 13.0, 16.0])  # minus random: 3, 1, 2
TSGF = students("tsgf", [30.0, 34.0, 32.0], protocol="D", teacher="minic3d_bn")
RANDOM_D = students("random", [20.0, 22.0, 27.0], protocol="D", teacher="minic3d_bn")


def only(blocks) -> pd.DataFrame:
    (block,) = blocks
    return block.table.set_index("method")


def test__own_protocol__one_row_per_method_each_under_its_own():
    elsewhere = [*students("tsgf", [1.0, 1.0, 1.0]), *students("dm", [2.0, 2.0, 2.0], protocol="D")]
    table = only(own_protocol_blocks(frame(FULL, RANDOM, RANDOM_D, DM, TSGF, elsewhere))[0])
    assert table.index.tolist() == ["Full data", "Random", "DM", "TSGF"]
    assert table["protocol"].tolist() == ["A", "A", "A", "D"]
    assert table["all data"].tolist() == ["92.0 (2.0)", "", "", ""]
    assert table["IPC 1"].tolist() == ["", "12.0 (2.0)", "14.0 (1.7)", "32.0 (2.0)"]
    assert table["random 1"].tolist() == ["", "", "12.0 (2.0)", "23.0 (3.6)"]
    assert table["difference 1"].tolist() == ["", "", "+2.0 (1.0)", "+9.0 (3.6)"]  # TSGF: 10, 12, 5


def test__own_protocol__the_one_that_a_method_has_where_its_own_is_missing():
    table = only(own_protocol_blocks(frame(RANDOM, students("tsgf", [11.0, 13.0, 15.0])))[0])
    assert table.loc["TSGF", ["protocol", "IPC 1", "difference 1"]].tolist() == ["A", "13.0 (2.0)", "+1.0 (0.0)"]


def test__own_protocol__published_values_and_ipcs():
    rows = frame(FULL, RANDOM, students("random", [20.0, 21.0, 22.0], ipc=5), DM, TSGF)
    blocks, notes = own_protocol_blocks(rows)
    table = only(blocks)
    assert table["published: MiniUCF, IPC 1 / 5"].tolist() == [
        "57.2 (0.1)", "9.9 (0.8) / 22.9 (1.1)", "15.3 (1.1) / –", "39.2 (0.7) / –"
    ]  # fmt: skip
    assert table.loc["DM", "IPC 5"] == "" and table.loc["Random", "IPC 5"] == "21.0 (1.0)"
    assert "MiniUCF (ours: Motions): compare the order, not the level" in notes[0]
    for fact in ("Motions · student MiniC3D · 8 frames of 32x32 · 60 epochs · 3 seeds", "chance 12.5"):
        assert fact in blocks[0].header


def test__own_protocol__published_under_another_protocol_is_marked():
    table = only(own_protocol_blocks(frame(students("tsgf", [11.0, 13.0])))[0])
    assert table.loc["TSGF", "published: MiniUCF, IPC 1"] == "39.2 (0.7) [D]"


def test__own_protocol__no_variant_enters():
    variants = [
        *students("tsgf", [99.0], protocol="D", variant="components"),
        *students("tsgf[no_mask]", [99.0], protocol="D"),
        *students("tsgf", [99.0], protocol="D", subset="dynamic"),
        *students("random", [99.0], protocol="D", variant="labels"),
    ]
    plain = frame(RANDOM, RANDOM_D, TSGF)
    everything = pd.concat([plain, frame(variants)], ignore_index=True)
    assert only(own_protocol_blocks(everything)[0]).equals(only(own_protocol_blocks(plain)[0]))


def test__own_protocol__a_block_per_student_and_full_data_alone_in_the_notes():
    rows = frame(
        RANDOM, students("random", [5.0], student="c3d"), students("full", [80.0], ipc=None, student="cnn_gru")
    )
    blocks, notes = own_protocol_blocks(rows)
    assert ["student MiniC3D" in block.header for block in blocks] == [True, False]
    assert "Full data with other students: CNN+GRU on Motions 80.0 (protocol A, 1 seed)." in notes
    assert len(own_protocol_blocks(frame(FULL))[0]) == 1  # nothing else was measured


def test__own_protocol__pixels_moved_only_where_recorded():
    assert not any("moved" in name for name in only(own_protocol_blocks(frame(RANDOM, DM))[0]))
    moved = [row | {"moved": value} for row, value in zip(DM, (3.0, 4.0, 5.0), strict=True)]
    table = only(own_protocol_blocks(frame(RANDOM, moved))[0])
    assert table["pixels moved, IPC 1"].tolist() == ["", "4.0"]


# ---- the same seeds


def test__random_beside__only_seeds_that_both_have():
    later = [row | {"seed": row["seed"] + 1} for row in DM]  # seeds 1, 2, 3 with 13, 13, 16; random has 0, 1, 2
    table = only(own_protocol_blocks(frame(RANDOM, later))[0])
    assert table.loc["DM", "IPC 1"] == "14.0 (1.7)"  # all of its seeds
    assert table.loc["DM", "random 1"] == "13.0 (1.4) n=2"  # seeds 1 and 2: 12, 14
    assert table.loc["DM", "difference 1"] == "+0.0 (1.4) n=2"  # 13 - 12, 13 - 14


def test__random_beside__is_by_seed_and_not_by_order():
    backwards = DM[::-1]
    table = only(own_protocol_blocks(frame(backwards, RANDOM))[0])
    assert table.loc["DM", "difference 1"] == "+2.0 (1.0)"


@pytest.mark.parametrize("other", [{"protocol": "D"}, {"ipc": 5}, {"epochs": 30}, {"size": 64}, {"variant": "x"}])
def test__random_beside__nothing_of_another_setting(other):
    df = frame([row | other for row in RANDOM], DM)
    mine = df[df["method"] == "dm"]
    assert select.random_beside(mine, df).empty


def test__random_beside__prefers_the_methods_own_teacher():
    wrong = [row | {"teacher": "a", "top1": 99.0} for row in RANDOM_D]
    df = frame(wrong, RANDOM_D, TSGF)
    beside = select.random_beside(df[df["method"] == "tsgf"], df)
    assert beside["top1"].tolist() == [20.0, 22.0, 27.0]


def test__usual_runs__the_one_with_most_seeds():
    short = [row | {"epochs": 90} for row in DM[:2]]
    assert select.usual_runs(frame(short, DM))["epochs"].unique().tolist() == [60]
    assert select.usual_runs(frame(short, DM[:2]))["epochs"].unique().tolist() == [90]


# ---- one protocol


def test__one_protocol__hard_labels_stand_in_only_where_the_plain_row_is_missing():
    hard = [
        *students("tsgf", [11.0, 13.0, 15.0], variant="hard labels"),
        *students("dm", [99.0, 99.0, 99.0], variant="hard labels"),
        *students("frepo", [99.0, 99.0, 99.0], variant="from files"),
    ]
    blocks, _, protocol = one_protocol_blocks(frame(FULL, RANDOM, RANDOM_D, DM, TSGF, hard))
    table = only(blocks)
    assert protocol == "A" and "protocol" not in table and "random 1" not in table
    assert table["IPC 1"].to_dict() == {
        "Full data": "", "Random": "12.0 (2.0)", "DM": "14.0 (1.7)", "TSGF": "13.0 (2.0)"
    }  # fmt: skip
    assert table.loc["TSGF", "difference 1"] == "+1.0 (0.0)"
    assert table.loc["TSGF", "published: MiniUCF, IPC 1"] == ""  # published under D


def test__one_protocol__says_which_methods_have_no_record_under_it():
    _, notes, _ = one_protocol_blocks(frame(RANDOM, DM, TSGF))
    assert any("Without a record under protocol A: TSGF." in note for note in notes)
    assert one_protocol_blocks(frame(RANDOM, DM, TSGF), protocol="D")[2] == "D"


def test__common_protocol__has_hard_labels_where_there_are_any():
    assert select.common_protocol(frame(DM, TSGF, RANDOM_D)) == "A"
    assert select.common_protocol(frame(TSGF, RANDOM_D)) == "D"


# ---- notes and files


def test__notes__at_most_five_lines_and_what_is_in_them():
    dm = [row | {"iterations": 100, "lr": 0.0025, "batch_size": 256, "train_top1": 12.0} for row in DM]
    tsgf = [row | {"train_top1": 45.0} for row in TSGF]
    alone = students("full", [80.0], ipc=None, student="cnn_gru")
    _, notes = own_protocol_blocks(frame(RANDOM, dm, tsgf, alone))
    assert len(notes) == 5
    text = "\n".join(notes)
    assert "A: epochs 60 (published 500), lr 0.0025 (published 0.01); D: epochs 60 (published 300)" in text
    assert "DM iterations 100 (default 5000)" in text
    assert "DM IPC 1 (3) (diverged or collapsed)" in text
    assert "TSGF IPC 1 (3) (soft labels: collapsed, or taught other classes)" in text
    published = [row | {"epochs": 500, "lr": 0.01, "batch_size": 256, "iterations": 5000} for row in DM]
    assert not any("depart" in note for note in own_protocol_blocks(frame(published))[1])


def test__main_table__writes_both(tmp_path):
    df = frame(FULL, RANDOM, RANDOM_D, DM, TSGF)
    folder = tmp_path / "figures" / "quick"
    folder.mkdir(parents=True)
    (folder / "records.csv").write_text(to_csv(results.records._typed(df)))
    paths = results.main_table("quick", tmp_path)
    names = [f"{name}.{suffix}" for name in ("table", "table_one_protocol") for suffix in ("md", "csv", "tex", "json")]
    assert [path.name for path in paths] == names
    assert "every method under the protocol of its own paper" in paths[0].read_text()
    assert "every method under protocol A" in paths[4].read_text()
    csv = pd.read_csv(paths[1], keep_default_na=False).set_index("method")
    assert csv.loc["DM", ["IPC 1", "difference 1"]].tolist() == ["14.0 (1.7)", "+2.0 (1.0)"]
    assert json.loads(paths[3].read_text())["rows"] == len(df) == 15
    assert "[D]" not in paths[0].read_text() and r"\toprule" in paths[2].read_text()


def test__main_table__headline_metric_by_dataset():
    rows = frame(
        students("dm", [1.0, 2.0], dataset="ssv2", top5=3.0), students("dm", [15.0, 16.0], dataset="miniucf", top5=40.0)
    )
    ssv2, miniucf = own_protocol_blocks(rows)[0]
    assert "top-5" in ssv2.header and ssv2.table["IPC 1"].tolist() == ["3.0 (0.0)"]
    assert "top-1" in miniucf.header and miniucf.table["IPC 1"].tolist() == ["15.5 (0.7)"]
    with pytest.raises(VddError, match="'f1'"):
        own_protocol_blocks(rows, "f1")


# ---- ablations

SOFT = {"protocol": "D", "teacher": "minic3d_bn", "ipc": 5}


def ablation_blocks(*groups):
    return results.ablations(results.records._typed(frame(*groups)))


def test__ablations__what_all_rows_share_is_in_the_header():
    (block,) = ablation_blocks(
        students("tsgf", [40.0, 42.0], variant="components", **SOFT),
        students("tsgf[no_mask]", [30.0, 31.0], variant="components", **SOFT),
    )
    assert list(block.table) == ["method", "ours", "published"]
    assert block.table.values.tolist() == [
        ["TSGF", "41.0 (1.4)", "54.8 (0.5)"], ["TSGF [no mask]", "30.5 (0.7)", "46.9 (0.2)"]
    ]  # fmt: skip
    assert block.header == (
        "components: TSGF's two parts, table 3 of the paper · Motions · IPC 5 · protocol D · student MiniC3D · "
        "teacher minic3d_bn · 8 frames · 2 seeds · published on MiniUCF, IPC 5"
    )


def test__ablations__what_differs_is_a_column():
    ipcs, groups, labels = ablation_blocks(
        *(students("tsgf", [40.0], variant="ipcs", **SOFT | {"ipc": ipc}) for ipc in (1, 5)),
        students("tsgf", [50.0, 52.0], variant="groups", subset="static", **SOFT),
        students("tsgf", [50.0], variant="groups", subset="dynamic", **SOFT),
        students("tsgf", [48.0], variant="labels", **SOFT),
        students("full", [90.0], variant="labels", **SOFT | {"ipc": None}),
        students("tsgf", [1.0], variant="not an experiment", **SOFT),
    )
    order = {block.header.partition(":")[0]: block.table for block in (ipcs, groups, labels)}
    assert list(order["ipcs"]) == ["method", "ipc", "ours", "published", "published on"]
    assert order["ipcs"]["published"].tolist() == ["39.2 (0.7)", "54.8 (0.5)"]
    assert order["groups"][["subset", "ours", "n"]].values.tolist() == [
        ["dynamic", "50.0", 1], ["static", "51.0 (1.4)", 2]
    ]  # fmt: skip
    assert order["labels"]["ipc"].astype("string").fillna("").tolist() == ["", "5"]


def test__ablations__another_student_stands_beside_its_own_published_value():
    (block,) = ablation_blocks(
        students("tsgf", [20.0], student="cnn_gru(width=8)", variant="architectures", **SOFT),
        students("tsgf", [40.0], variant="architectures", **SOFT),
    )
    assert block.table["published"].tolist() == ["17.8 (0.4)", "39.2 (0.7)"]
    assert "published on MiniUCF, IPC 1" in block.header
