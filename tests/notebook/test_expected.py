"""What a run says of its length before it starts."""

import json
from pathlib import Path

import pytest

from vddlib.notebook.expected import expected
from vddlib.notebook.job import Job

HEAD = "method,variant,protocol,ipc,seed,params_sha256,distill_seconds,train_seconds,device\n"


@pytest.fixture
def job(tmp_path):
    (tmp_path / "figures/quick").mkdir(parents=True)
    place = Path("quick/04_dm/motions.ipynb")
    return Job(
        tmp_path, tmp_path / "notebooks/04_dm.ipynb", tmp_path / "motions.yaml", tmp_path / "runs" / place, "quick"
    )


def rows(job, *lines):
    (job.root / "figures/quick/records.csv").write_text(HEAD + "".join(f"{line}\n" for line in lines))


def test_a_set_counts_once_and_every_student(job):
    rows(
        job,
        "dm,,A,5,0,mine,120,30,a CPU",
        "dm,,F,5,0,mine,120,30,a CPU",  # the same set under another protocol
        "dm,,F,5,1,mine,60,60,a CPU",
        "dm,,F,5,0,other,9000,9000,a CPU",
    )
    said = expected(job, "mine")  # 120 + 60 for the sets, 30 + 30 + 60 for the students
    assert said.startswith("takes up to 5 min, as its sets and students did") and "on a CPU" in said
    rows(
        job,
        "optdistill,,F,5,0,mine,600,30,a CPU",
        "optdistill,compare,F,5,0,mine,600,30,a CPU",  # the same set and student, recorded as a variant too
        "full[generated],,F,5,0,mine,1200,15,a CPU",  # one pool, whoever learns from it
        "full[generated],,F,5,1,mine,1200,15.5,a CPU",
    )
    assert "up to 31 min" in expected(job, "mine")


def test_what_it_took_here_counts_first(job):
    rows(job, "dm,,A,5,0,mine,1200,30,a CPU")
    job.output.parent.mkdir(parents=True)
    job.beside(".json").write_text(json.dumps({"params_sha256": "mine", "wall_seconds": 150.0}))
    assert expected(job, "mine") == "took 2 min here when it was last run"
    for other in (json.dumps({"params_sha256": "other", "wall_seconds": 150.0}), "{}", "[]", "of no run"):
        job.beside(".json").write_text(other)
        assert "up to" in expected(job, "mine")


def test_nothing_is_said_of_what_is_short_or_unknown(job):
    assert expected(job, "mine") == ""
    rows(job, "random,,F,5,0,mine,,50,a CPU")
    assert expected(job, "mine") == "" and expected(job, "other") == ""


def test_a_forecast_where_nothing_was_measured(job):
    table = job.root / "figures/quick/forecast.csv"
    table.write_text("job,GPU hours,GPU memory (GiB)\n04_dm/motions,12.34,40.6\n04_dm/other,1,1\n")
    assert expected(job, "mine") == "takes some 12.3 GPU hours and 41 GiB, as counted in figures/quick/forecast.md"
