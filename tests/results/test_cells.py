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
    shared = {"method": method, "dataset": dataset, "ipc": ipc, "protocol": protocol, "student": student, **more}
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
    split = one(cells(records([6.0, 6.2], dataset="hmdb51-vdsd"), "tsgf"), dataset="hmdb51")
    assert (split["on"], split["status"]) == ("hmdb51-vdsd", REPRODUCED)  # the papers' split


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


def test_tables_of_every_paper_in_print():
    found = cells(records([15.0, 16.0]))
    assert set(found["paper"]) == {"tsgf", "optdistill", "idtd", "diffusion"} and len(found) > 400
    made = blocks(found)
    assert "table 1: " in made[0].header and NOT_RUN in made[0].header and "DM" in set(made[0].table["method"])
    with pytest.raises(VddError, match="paper"):
        cells(found, "nobody's")


def test_the_command_prints_what_was_measured(monkeypatch):
    monkeypatch.setattr("vddlib.results.records.load", lambda scale: records([15.0, 16.0]))
    done = CliRunner().invoke(app, ["compare", "quick", "--paper", "tsgf"])
    assert done.exit_code == 0 and REPRODUCED in done.stdout and "have no record at this scale" in done.stdout
    everything = CliRunner().invoke(app, ["compare", "quick", "--paper", "tsgf", "--all"]).stdout
    assert everything.count("\n") > done.stdout.count("\n") and module.NOT_RUN in everything
