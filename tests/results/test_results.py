"""Records on disk, summaries over seeds, and tables beside the published numbers."""

import json
import math
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from vddlib import results
from vddlib.core import provenance
from vddlib.core.errors import VddError
from vddlib.results import records


def row(**changes) -> dict:
    base = {
        "method": "random", "dataset": "motions", "ipc": 1, "protocol": "A", "student": "minic3d", "frames": 8, "size": 32,
        "epochs": 60, "seed": 0, "top1": 25.0, "train_seconds": 3.0, "bytes_uint8": 196608, "dataset_sha256": "d" * 64,
    }  # fmt: skip
    return base | changes


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Records land in this folder: runs/quick/03_coresets of an empty project."""
    folder = tmp_path / "runs" / "quick" / "03_coresets"
    monkeypatch.setenv("VDD_RUN", str(folder))
    return folder


def lines(folder) -> list[str]:
    return (folder / "records.csv").read_text().splitlines()


# ---- records


def test__record__columns_and_origin(run, monkeypatch):
    monkeypatch.setenv("VDD_PARAMS_SHA256", "p" * 64)
    monkeypatch.setattr("vddlib.core.provenance.commit", lambda: "c" * 40)
    monkeypatch.setattr("vddlib.core.provenance.lock_sha256", lambda: "l" * 64)
    results.record(row(top1_best_on_test=26.0, variant="x"))
    assert lines(run)[0].split(",") == [*results.COLUMNS, "top1_best_on_test", "variant"]
    read = results.read(run / "records.csv").iloc[0]
    assert (read["commit"], read["lock_sha256"], read["params_sha256"]) == ("c" * 40, "l" * 64, "p" * 64)
    results.record(row(commit="mine", seed=1))
    assert results.read(run / "records.csv")["commit"].tolist() == ["c" * 40, "mine"]
    assert "mine" in results.read(run / "records.csv")["commit"].tolist()


def test__record__empty_stays_empty(run):
    results.record([row(method="full", ipc=None, top1=0.0, auc=None, f1=float("nan"), teacher="")])
    written = dict(zip(*(line.split(",") for line in lines(run)), strict=True))
    assert [written[c] for c in ("ipc", "top5", "auc", "f1", "teacher", "bytes_video")] == [""] * 6
    assert written["top1"] == "0.0000"  # a measured zero is not an empty value
    read = results.read(run / "records.csv").iloc[0]
    assert pd.isna(read["ipc"]) and pd.isna(read["auc"]) and read["top1"] == 0 and read["teacher"] == ""


def test__record__replaces_same_key(run):
    results.record([row(), row(seed=1), row(variant="b")])
    results.record(row(top1=30.0))
    df = results.read(run / "records.csv")
    assert len(df) == 3
    assert df[(df["seed"] == 0) & (df["variant"] == "")]["top1"].item() == 30.0


def test__record__numpy_scalars(run):
    results.record(row(seed=np.int64(3), top1=np.float32(12.5), ipc=np.int32(5)))
    assert results.read(run / "records.csv")[["seed", "top1", "ipc"]].iloc[0].tolist() == [3, 12.5, 5]


def test__record__without_runner(tmp_path, monkeypatch):
    monkeypatch.delenv("VDD_RUN", raising=False)
    monkeypatch.setattr("vddlib.core.provenance.project_root", lambda: tmp_path)
    assert results.record(row()) == tmp_path / "runs" / "interactive" / "records.csv"


@pytest.mark.parametrize(
    ("bad", "names"),
    [
        ({"method": "rnadom"}, "rnadom"),
        ({"method": "tsgf[no_mask"}, "tsgf[no_mask"),
        ({"top1": 101}, "top1"),
        ({"top1": "high"}, "high"),
        ({"seed": None}, "seed"),
        ({"ipc": 0}, "ipc"),
        ({"ipc": None}, "ipc"),
        ({"method": "full", "ipc": 5}, "ipc"),
        ({"note": [1, 2]}, "note"),
        ({"bytes_uint8": -1}, "bytes_uint8"),
    ],
)
def test__record__refuses(run, bad, names):
    with pytest.raises(VddError, match="record") as error:
        results.record([row(seed=9), row(**bad)])
    assert names in str(error.value) and "\n" not in str(error.value)
    assert not (run / "records.csv").exists()


def test__record__failed_write_leaves_the_old_file(run, monkeypatch):
    results.record(row())
    before = (run / "records.csv").read_bytes()

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(records.os, "replace", full_disk)
    with pytest.raises(VddError, match="No space left"):
        results.record(row(seed=1))
    assert (run / "records.csv").read_bytes() == before
    assert {path.name for path in run.iterdir()} <= {"records.csv", ".records.csv.lock"}


def test__record__parallel_writers_lose_nothing(run):
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda seed: results.record(row(seed=seed)), range(12)))
    assert results.read(run / "records.csv")["seed"].tolist() == list(range(12))


# ---- gather, load


def finish(root, name: str, variant: str = "records") -> None:
    """What the runner leaves of a run that ended whole: its provenance, beside the params file it came from."""
    (root / "runs" / "quick" / name / f"{variant}.json").write_text("{}")
    (root / "params" / "quick" / name).mkdir(parents=True, exist_ok=True)
    (root / "params" / "quick" / name / f"{variant}.yaml").write_text("ipc: 1\n")


def write(root, name: str, rows: list[dict], monkeypatch) -> None:
    monkeypatch.setenv("VDD_RUN", str(root / "runs" / "quick" / name))
    results.record(rows)
    finish(root, name)


def test__gather__is_the_same_whatever_the_order(tmp_path, monkeypatch):
    a = [row(seed=s, method=m, top1=20 + s / 3) for s in range(3) for m in ("kcenter", "random")]
    for root, parts in ((tmp_path / "x", (a[:2], a[2:])), (tmp_path / "y", (a[3:], a[:3]))):
        for name, part in zip(("03_a", "04_b"), parts, strict=True):
            write(root, name, part, monkeypatch)
    one, two = results.gather("quick", tmp_path / "x"), results.gather("quick", tmp_path / "y")
    pd.testing.assert_frame_equal(one, two)
    pd.testing.assert_frame_equal(one, results.load("quick", tmp_path / "x"))
    files = [(tmp_path / r / "figures" / "quick" / "records.csv").read_bytes() for r in "xy"]
    assert files[0] == files[1]
    assert one["method"].tolist() == ["random"] * 3 + ["kcenter"] * 3  # reading order, not the alphabet's


def test__gather__conflict_names_both_runs(tmp_path, monkeypatch):
    write(tmp_path, "00_start_here", [row(top1=25.0)], monkeypatch)
    write(tmp_path, "03_coresets", [row(top1=26.0)], monkeypatch)
    with pytest.raises(VddError) as error:
        results.gather("quick", tmp_path)
    for part in (
        "method random",
        "seed 0",
        "00_start_here/records.csv",
        "03_coresets/records.csv",
        "25.0000",
        "26.0000",
    ):
        assert part in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "figures").exists()


def test__gather__same_result_twice_counts_once(tmp_path, monkeypatch):
    write(tmp_path, "00_start_here", [row(train_seconds=1.0)], monkeypatch)
    write(tmp_path, "03_coresets", [row(train_seconds=2.0)], monkeypatch)
    assert len(results.gather("quick", tmp_path)) == 1


def test__gather__says_where_one_name_means_several_datasets(tmp_path, monkeypatch, capsys):
    write(tmp_path, "03_coresets", [row()], monkeypatch)
    write(tmp_path, "04_dm", [row(method="dm"), row(method="dm", seed=1)], monkeypatch)
    results.gather("quick", tmp_path)
    assert "datasets here" not in capsys.readouterr().out
    write(tmp_path, "05_static_dc", [row(method="static_dc", dataset_sha256="e" * 64)], monkeypatch)
    results.gather("quick", tmp_path)
    assert "motions is 2 datasets here (dddddddddd, eeeeeeeeee)" in capsys.readouterr().out


def test__gather__skips_partial_runs_and_says_when_empty(tmp_path, monkeypatch):
    write(tmp_path, ".03_coresets.partial", [row()], monkeypatch)
    with pytest.raises(VddError, match="no records under"):
        results.gather("quick", tmp_path)
    with pytest.raises(VddError, match="is not there"):
        results.load("quick", tmp_path)


def test__gather__forgets_runs_whose_params_are_gone(tmp_path, monkeypatch):
    write(tmp_path, "03_coresets", [row()], monkeypatch)
    write(tmp_path, "04_dm", [row(method="dm")], monkeypatch)
    assert len(results.gather("quick", tmp_path)) == 2
    (tmp_path / "params/quick/04_dm/records.yaml").unlink()
    assert results.gather("quick", tmp_path)["method"].tolist() == ["random"]


def test__gather__keeps_rows_measured_on_another_machine(tmp_path, monkeypatch, capsys):
    """Until their params file changes or its run is made here; a setting measured here too is the one from here."""
    (tmp_path / "notebooks").mkdir()
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "lr: float = 0.1"}
    (tmp_path / "notebooks" / "04_dm.ipynb").write_text(json.dumps({"cells": [cell]}))
    sha256 = provenance.params_sha256({"lr": 0.5})
    there = [row(method="dm", params_sha256=sha256, commit="c" * 40), row(params_sha256=sha256, top1=11.0)]
    write(tmp_path, "04_dm", there, monkeypatch)
    (tmp_path / "params" / "quick" / "04_dm" / "records.yaml").write_text("lr: 0.5")
    assert len(results.gather("quick", tmp_path)) == 2

    shutil.rmtree(tmp_path / "runs")  # another machine: what was committed, and nothing else
    write(tmp_path, "03_coresets", [row(top1=20.0)], monkeypatch)
    gathered = results.gather("quick", tmp_path).set_index("method")
    assert gathered["top1"].to_dict() == {"random": 20.0, "dm": 25.0}
    assert gathered.loc["dm", "commit"] == "c" * 40 and "ccccccc" in capsys.readouterr().out

    (tmp_path / "params" / "quick" / "04_dm" / "records.yaml").write_text("lr: 0.6")
    assert results.gather("quick", tmp_path)["method"].tolist() == ["random"]


def test__gather__refuses_a_file_that_is_not_records(tmp_path, monkeypatch):
    write(tmp_path, "03_coresets", [row()], monkeypatch)
    (tmp_path / "runs/quick/03_coresets/other.csv").write_text("a,b\n1,2\n")
    assert len(results.gather("quick", tmp_path)) == 1  # no run ended there
    finish(tmp_path, "03_coresets", "other")
    with pytest.raises(VddError, match=r"other.csv is not a records file"):
        results.gather("quick", tmp_path)


# ---- summaries and comparisons


def frame(rows: list[dict], tmp_path, monkeypatch) -> pd.DataFrame:
    write(tmp_path, "03_coresets", rows, monkeypatch)
    return results.gather("quick", tmp_path)


def test__summarise__matches_the_formula(tmp_path, monkeypatch):
    values = [25.0, 27.5, 31.0]
    rows = [row(seed=s, top1=v) for s, v in enumerate(values)] + [row(method="herding", top1=40.0, auc=None)]
    summary = results.summarise(frame(rows, tmp_path, monkeypatch)).set_index("method")
    mean = sum(values) / 3
    std = math.sqrt(sum((v - mean) ** 2 for v in values) / 2)
    assert summary.loc["random", ["top1_mean", "top1_std", "top1_n", "n"]].tolist() == pytest.approx([mean, std, 3, 3])
    assert pd.isna(summary.loc["herding", "top1_std"]) and summary.loc["herding", "top1_n"] == 1
    assert pd.isna(summary.loc["herding", "auc_mean"]) and summary.loc["herding", "auc_n"] == 0


def test__summarise__by(tmp_path, monkeypatch):
    df = frame([row(seed=s, ipc=i, top1=10.0 * i) for s in range(2) for i in (1, 5)], tmp_path, monkeypatch)
    summary = results.summarise(df, columns=["method"])
    assert summary[["n", "top1_mean"]].iloc[0].tolist() == [4, 30.0]


def test__compare__difference_only_for_same_dataset_and_ipc(tmp_path, monkeypatch):
    rows = [row(), row(dataset="miniucf"), row(dataset="miniucf", ipc=2), row(dataset="miniucf", protocol="E")]
    rows += [row(dataset="hmdb51-vdsd"), row(dataset="hmdb51")]
    table = results.compare(frame(rows, tmp_path, monkeypatch))
    find = table.set_index(["dataset", "protocol", "ipc"]).loc
    other = find["motions", "A", 1]
    assert other["published_on"] == "published (MiniUCF, A)" and other["published_mean"] == 9.9
    assert pd.isna(other["difference"]) and "another dataset (MiniUCF)" in other["remark"]
    same = find["miniucf", "A", 1]
    assert same["difference"] == pytest.approx(25.0 - 9.9) and same["published_std"] == 0.8 and same["remark"] == ""
    assert find["miniucf", "A", 2][["published_on", "remark"]].tolist() == ["", ""]
    assert "protocol A published, E here" in find["miniucf", "E", 1]["remark"]
    assert find["hmdb51-vdsd", "A", 1]["difference"] == pytest.approx(25.0 - 4.6)
    assert "official split" in find["hmdb51", "A", 1]["remark"]


def test__compare__prefers_the_protocol_that_we_used(tmp_path, monkeypatch):
    rows = [row(method="full", ipc=None, dataset="miniucf", protocol="A")]
    rows += [row(method="full", ipc=None, dataset="miniucf", protocol="C", student="c3d")]
    table = results.compare(frame(rows, tmp_path, monkeypatch)).set_index("protocol")
    assert table["published_mean"].to_dict() == {"A": 57.22, "C": 60.14}


# ---- table files


def test__write_table__files_parse_back(tmp_path):
    table = pd.DataFrame({"method": ["A & B_1", "C"], "top1": [12.3456, None], "n": [3, 1]})
    paths = results.write_table(table, tmp_path, "t", {"scale": "quick"}, header="Head 50%", notes=["Note"])
    assert [p.name for p in paths] == ["t.md", "t.csv", "t.tex", "t.json"]
    pd.testing.assert_frame_equal(pd.read_csv(paths[1]), table)
    md = paths[0].read_text().splitlines()
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in md if line.startswith("|")]
    assert cells[0] == ["method", "top1", "n"] and cells[2:] == [["A & B_1", "12.35", "3"], ["C", "", "1"]]
    assert len({len(line) for line in md if line.startswith("|")}) == 1  # aligned
    tex = paths[2].read_text()
    assert r"A \& B\_1 & 12.35 & 3 \\" in tex and r"Head 50\%" in tex and r"\toprule" in tex
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == 1
    facts = json.loads(paths[3].read_text())
    assert facts["scale"] == "quick" and "T" in facts["time"]


def test__write_table__rerun_changes_no_file(tmp_path):
    table = pd.DataFrame({"method": ["C"], "top1": [1.0]})
    before = [p.read_bytes() for p in results.write_table(table, tmp_path, "t", {"rows": 1})]
    assert before == [p.read_bytes() for p in results.write_table(table, tmp_path, "t", {"rows": 1})]


# ---- published numbers

SECTION_4 = {  # method: MiniUCF at IPC 1, 5, 10; HMDB51 likewise; typed again from the papers
    "random": ("A", [(9.9, 0.8), (22.9, 1.1)], [(4.6, 0.5), (6.6, 0.7)]),
    "herding": ("A", [(12.7, 1.6), (25.8, 0.3)], [(3.8, 0.2), (8.5, 0.4)]),
    "kcenter": ("A", [(11.5, 0.7), (23.0, 1.3)], [(3.1, 0.1), (5.2, 0.3)]),
    "dm": ("A", [(15.3, 1.1), (25.7, 0.2)], [(6.1, 0.2), (8.0, 0.2)]),
    "mtt": ("A", [(19.0, 0.1), (28.4, 0.7)], [(6.6, 0.5), (8.4, 0.6)]),
    "frepo": ("A'", [(20.3, 0.5), (30.2, 1.7)], [(7.2, 0.8), (9.6, 0.7)]),
    "static_dc": ("A", [(13.7, 1.1), (24.7, 0.5)], [(5.1, 0.9), (7.8, 0.4)]),
    "dm+vdsd": ("A", [(17.5, 0.1), (27.2, 0.4)], [(6.0, 0.4), (8.2, 0.1)]),
    "mtt+vdsd": ("A", [(23.3, 0.6), (28.3, 0.0)], [(6.5, 0.1), (8.9, 0.6)]),
    "frepo+vdsd": ("A'", [(22.0, 1.0), (31.2, 0.7)], [(8.6, 0.5), (10.3, 0.6)]),
    "optdistill": ("A", [(18.2, 0.8), (31.0, 0.4)], [(6.6, 0.5), (10.5, 0.3)]),
    "idtd": ("B", [(22.52, 0.1), (33.29, 0.5)], [(9.52, 0.3), (16.15, 0.9)]),
    "vst_unet": ("C", [(26.28, 1.07), (41.81, 0.99), (49.72, 0.61)], [(13.59, 0.26), (18.05, 0.75), (21.58, 1.25)]),
    "tac_dt": ("C", [(25.20, 0.41), (41.47, 0.32), (49.79, 0.68)], [(13.82, 0.33), (19.62, 0.28), (22.48, 0.99)]),
    "tsgf": ("D", [(39.2, 0.7), (54.8, 0.5), (60.5, 0.6)], [(13.9, 0.9), (20.2, 0.4)]),
}


@pytest.mark.parametrize("method", SECTION_4)
def test__published__numbers(method):
    protocol, *expected = SECTION_4[method]
    for dataset, values in zip(("miniucf", "hmdb51"), expected, strict=True):
        found = results.published(method=method, dataset=dataset, metric="top1", reference=True)
        found = found[(found["protocol"] == protocol) & ~found["student"].isin(["cnn_gru", "cnn_lstm", "swin3d_t"])]
        first = found.drop_duplicates(["ipc", "mean"]).sort_values("ipc")
        assert first["ipc"].tolist() == [1, 5, 10][: len(values)]
        assert list(zip(first["mean"], first["std"], strict=True))[: len(values)] == [
            (m, pytest.approx(s, abs=0.08)) for m, s in values
        ]


def test__published__full_data():
    full = results.published(method="full", metric="top1", reference=True).set_index(["dataset", "protocol"])
    assert full.loc[("miniucf", "A"), ["mean", "std"]].tolist() == [57.22, 0.14]
    assert full.loc[("hmdb51", "A"), ["mean", "std"]].tolist() == [28.58, 0.69]
    assert full.loc[("miniucf", "C"), "mean"] == 60.14 and full["ipc"].isna().all()


def test__published__well_formed():
    df = results.published()
    assert set(df["paper"]) == set(results.papers())
    for method in set(df["method"]) - {"segment_mean", "segment_coreset"}:
        results.method_rank(method)
    assert set(df["protocol"]) <= {"A", "A'", "B", "C", "D", ""}
    assert set(df["student"]) <= {*results.STUDENTS, "ms_tcn"}
    assert set(df["dataset"].str.split("[").str[0]) <= set(results.DATASETS)
    accuracy = df[df["metric"].isin(results.METRICS)]
    assert accuracy["mean"].between(0, 100).all() and accuracy["std"].between(0, 3).all()
    assert accuracy.loc[~accuracy["method"].str.startswith("full"), "ipc"].notna().all()


def test__published__one_reference_value_each():
    df = results.published(reference=True)
    key = ["method", "dataset", "ipc", "protocol", "student", "metric"]
    means = df.groupby(key, dropna=False)["mean"].nunique()
    assert (means == 1).all()


def test__published__what_does_not_add_up_is_noted():
    def note(**where):
        ipc = where.pop("ipc")
        df = results.published(**where)
        return df[df["ipc"] == ipc]["note"].iloc[0]

    assert "5 instances" in note(paper="optdistill", method="dm", dataset="hmdb51", metric="top1", ipc=1)
    assert "float32" in note(paper="optdistill", method="dm", dataset="miniucf", metric="storage", ipc=1)
    assert "57.22" in note(paper="tsgf", method="tsgf", dataset="miniucf", metric="top1", ipc=10)
    assert "diversity" in note(paper="idtd", method="idtd", dataset="miniucf", metric="top1", ipc=1)


def test__compare__a_smaller_minic3d_stands_beside_minic3d_and_not_beside_another_architecture():
    for student, expected in (("minic3d(depth=2,widths=64x128)", 15.3), ("minic3d", 15.3), ("cnn_lstm", 9.2)):
        beside = results.compare(pd.DataFrame([row(method="dm", student=student)]))
        assert beside["published_mean"].item() == expected


def test__large_datasets_stand_beside_the_published_top5(tmp_path, monkeypatch):
    rows = [row(method="dm", dataset="ssv2", ipc=1, seed=s, top1=1.0, top5=3.0 + s) for s in (0, 1)]
    rows += [row(method="dm", dataset="miniucf", ipc=1, seed=s, top1=15.0, top5=40.0) for s in (0, 1)]
    df = frame(rows, tmp_path, monkeypatch)
    beside = results.compare(df).set_index("dataset")
    assert beside.loc["ssv2", ["mean", "published_mean"]].tolist() == [3.5, 3.6]
    assert beside.loc["miniucf", ["mean", "published_mean"]].tolist() == [15.0, 15.3]
