"""Published cells beside ours: what is reproduced, what differs, what stands on another dataset, what was not run."""

import pandas as pd
import pytest
from scipy import stats
from typer.testing import CliRunner

from vddlib.cli import app
from vddlib.core.errors import VddError
from vddlib.results import cells as module
from vddlib.results.cells import DIFFERS, ELSEWHERE, NOT_RUN, REPRODUCED, blocks, cells


def records(values, method="dm", dataset="miniucf", ipc=1, protocol="A", student="minic3d", **more):
    """A record per seed."""
    shared = {"method": method, "dataset": dataset, "ipc": ipc, "protocol": protocol, "student": student}
    shared |= {"teacher": None, "frames": 16, "size": 112, "epochs": 500, **more}
    rows = [
        shared | {"seed": seed, "top1": value, "top5": None, "auc": None, "f1": None}
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows).astype({"ipc": "Int64"})


def one(found, method="dm", dataset="miniucf", ipc=1, table=1):
    """The row of one cell of TSGF's tables."""
    fits = (
        (found["method"] == method) & (found["dataset"] == dataset) & (found["ipc"] == ipc) & (found["table"] == table)
    )
    assert fits.sum() == 1
    return found[fits].iloc[0]


def test_a_cell_is_reproduced_where_the_interval_reaches_it():
    values = [15.0, 16.0, 17.5]  # published: 15.3 (1.1)
    row = one(cells(records(values), "tsgf"))
    assert (row["published"], row["ours"], row["on"], row["status"]) == (
        "15.3 (1.1)",
        "16.2 (1.3), n 3",
        "miniucf",
        REPRODUCED,
    )
    reach = stats.t.ppf(0.975, 2) * pd.Series(values).std() / 3**0.5 + 1.1
    assert row["difference"] == pytest.approx(16.1667 - 15.3, abs=1e-3)
    shifted = [value + reach - row["difference"] for value in values]
    assert one(cells(records([value - 0.01 for value in shifted]), "tsgf"))["status"] == REPRODUCED
    assert one(cells(records([value + 0.01 for value in shifted]), "tsgf"))["status"] == DIFFERS
    assert one(cells(records([15.3 + 1.2]), "tsgf"))["status"] == DIFFERS  # one seed has no interval


def test_other_datasets_stand_beside_and_are_named():
    row = one(cells(records([40.0, 42.0], dataset="miniucf10"), "tsgf"))
    assert (row["on"], row["status"]) == ("miniucf10", ELSEWHERE) and pd.isna(row["difference"])
    both = pd.concat([records([40.0], dataset="miniucf10"), records([15.3])])
    assert one(cells(both, "tsgf"))["on"] == "miniucf"  # its own, where there is one
    both = pd.concat([records([20.0, 21.0], dataset="hmdb51"), records([6.0, 6.2], dataset="hmdb51-vdsd")])
    split = one(cells(both, "tsgf"), dataset="hmdb51")
    assert (split["on"], split["status"]) == ("hmdb51-vdsd", REPRODUCED)  # the papers' split, and not the official one
    official = one(cells(both[both["dataset"] == "hmdb51"], "tsgf"), dataset="hmdb51")
    assert (official["on"], official["status"]) == ("hmdb51", ELSEWHERE) and pd.isna(official["difference"])


@pytest.mark.parametrize(
    "change", [{"protocol": "F"}, {"ipc": 5}, {"student": "cnn_gru"}, {"method": "mtt"}, {"variant": "x"}]
)
def test_what_differs_in_the_setting_does_not_count(change):
    row = one(cells(records([15.0, 16.0], **change), "tsgf"))
    assert row["status"] == NOT_RUN and row["ours"] == ""


def test_a_students_width_may_differ_and_experiments_answer_their_table():
    assert one(cells(records([15.0, 15.5], student="minic3d(widths=16x32x64)"), "tsgf"))["status"] == REPRODUCED
    df = records([54.0, 55.0], method="tsgf[no_mix]", ipc=5, protocol="D", variant="components")
    assert one(cells(df, "tsgf"), "tsgf[no_mix]", ipc=5, table=3)["status"] == REPRODUCED


def test_runs_that_differ_are_never_averaged():
    longer, shorter = records([15.0, 15.5]), records([25.0, 26.0], epochs=50)
    assert one(cells(pd.concat([shorter, longer]), "tsgf"))["ours"] == "15.2 (0.4), n 2"  # the one with more epochs
    narrow = records([30.0, 31.0, 32.0], student="minic3d(widths=8x8)")
    assert one(cells(pd.concat([longer, narrow]), "tsgf"))["ours"] == "31.0 (1.0), n 3"  # the width with most seeds
    same = {"method": "random", "student": "cnn_gru", "protocol": "A"}
    two = [
        records([10.0, 11.0], **same, variant="architectures"),
        records([20.0, 22.0], **same, variant="cross-architecture"),
    ]
    found = cells(pd.concat(two), "tsgf")
    mine = found[(found["table"] == 4) & (found["method"] == "random") & (found["status"] != NOT_RUN)]
    assert mine["ours"].tolist() == ["10.5 (0.7), n 2"]  # of one experiment
    pools = {"method": "vst_unet[ce]", "student": "c3d", "protocol": "C", "ipc": 5}
    generated = records([50.0, 51.0], **pools, variant="selection losses, generated pool")
    real = records([30.0, 31.0], **pools, variant="selection losses, real pool")
    found = cells(pd.concat([real, generated]), "diffusion")
    losses = found[(found["table"] == 6) & (found["method"] == "vst_unet[ce]") & (found["metric"] == "top1")]
    assert losses["ours"].tolist() == ["50.5 (0.7), n 2"]  # the paper's pool is a generated one


def test_tables_of_every_paper_in_print():
    found = cells(records([15.0, 16.0]))
    assert set(found["paper"]) == {"tsgf", "optdistill", "idtd", "diffusion"} and len(found) > 400
    made = blocks(found)
    assert "table 1: " in made[0].header and NOT_RUN in made[0].header and "DM" in set(made[0].table["method"])
    assert set(made[0].table["ipc"]) == {"", "1", "5"}
    with pytest.raises(VddError, match="paper"):
        cells(found, "nobody's")


def test_the_command_prints_what_was_measured(monkeypatch):
    monkeypatch.setattr("vddlib.results.records.load", lambda scale: records([15.0, 16.0]))
    done = CliRunner().invoke(app, ["compare", "quick", "--paper", "tsgf"])
    assert done.exit_code == 0 and REPRODUCED in done.stdout and "have no record at this scale" in done.stdout
    everything = CliRunner().invoke(app, ["compare", "quick", "--paper", "tsgf", "--all"]).stdout
    assert everything.count("\n") > done.stdout.count("\n") and module.NOT_RUN in everything
