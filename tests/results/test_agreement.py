"""Two machines' records of the same settings: what counts as measured twice, what moved, and which statements change."""

import subprocess

import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.results.made import fair_records, frame, student, students
from vddlib.cli import app
from vddlib.core.errors import VddError
from vddlib.results import agreement
from vddlib.results.records import to_csv


def elsewhere(df: pd.DataFrame, device: str = "another") -> pd.DataFrame:
    return df.assign(device=device)


def test_what_is_one_measurement_does_not_count_as_two():
    here = frame(students("random", 40) + students("dm", 45))
    there = elsewhere(here).where(here["method"] == "dm", here)
    mine, theirs = agreement.common(here, there)
    assert set(mine["method"]) == {"dm"} and list(mine["seed"]) == list(theirs["seed"])
    with pytest.raises(VddError, match="no setting and seed was measured twice"):
        agreement.common(here, here)
    with pytest.raises(VddError, match="no setting and seed was measured twice"):
        agreement.common(here, elsewhere(here.assign(ipc=10)))
    with pytest.raises(VddError, match="no setting and seed was measured twice"):
        agreement.common(here, elsewhere(here.assign(dataset_sha256="e" * 64)))


def test_rows_are_matched_by_setting_and_seed_whatever_their_order():
    here = frame([student("dm", seed, digits) for seed, digits in enumerate(("55000", "50000", "55555"))])
    # A run without variants has no such column.
    there = elsewhere(here).iloc[::-1].reset_index(drop=True).drop(columns="variant")
    there = pd.concat([there, elsewhere(frame(students("dm", 45, variant="hard labels")))])
    both = agreement.common(here, there)
    means = agreement.agreement(*both)
    row = means.iloc[0]
    assert (row["seeds"], row["same"], row["difference"], row["largest"], row["moved"]) == (3, 3, 0, 0, False)
    assert agreement.summary(*both, means) == [
        "3 students were measured on both (another there, none here): all have the same top-1 to the last digit."
    ]


def test_a_difference_by_hand():
    here = frame([student("dm", 0, "5500"), student("dm", 1, "5550")])
    # One view of seed 1: 100 / 20 = 5 points.
    there = elsewhere(frame([student("dm", 0, "5500"), student("dm", 1, "5540")]))
    row = agreement.agreement(*agreement.common(here, there)).iloc[0]
    assert row["same"] == 1 and row["largest"] == pytest.approx(5) and row["difference"] == pytest.approx(2.5)
    assert row["low"] < 0 < row["high"] and not row["moved"]


def test_what_moved_on_every_seed_and_video_is_said_to_have_moved():
    here = frame([student("dm", seed, "5" * 20) for seed in range(3)])
    there = elsewhere(frame([student("dm", seed, "4" * 20) for seed in range(3)]))
    both = agreement.common(here, there)
    means = agreement.agreement(*both)
    assert means["moved"].all()
    assert "1 of 1 means over seeds differ" in agreement.summary(*both, means)[1]


def test_statements_come_from_each_machine_alone():
    here = fair_records()
    there = elsewhere(here)
    tsgf = (there["method"] == "tsgf") & (there["ipc"] == 5) & (there["protocol"] == "F-soft")
    random = here[
        (here["method"] == "random") & (here["ipc"] == 5) & (here["protocol"] == "F-soft") & (here["variant"] == "")
    ]
    for column in ("right_views", "top1"):  # there TSGF's students are those of random clips
        there.loc[tsgf, column] = random[column].to_numpy()
    both = agreement.common(here, there)
    beside = agreement.verdicts(*both)
    changed = beside[beside["told_apart_here"] != beside["told_apart_there"]]
    assert changed[["method", "ipc", "protocol"]].to_numpy().tolist() == [["tsgf", 5, "F-soft"]]
    last = agreement.summary(*both, agreement.agreement(*both))[-1]
    assert last.endswith("told apart on one machine only: TSGF (IPC 5, F-soft, Motions).")


def test_command_reads_the_last_commit_or_a_file(tmp_path, monkeypatch):
    here = fair_records()
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "Snakefile").touch()
    records = tmp_path / "figures" / "quick" / "records.csv"
    records.parent.mkdir(parents=True)
    records.write_text(to_csv(elsewhere(here, "their machine")))
    monkeypatch.chdir(tmp_path)
    author = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "theirs"]):
        subprocess.run(["git", *command], check=True)
    records.write_text(to_csv(here.assign(device="mine")))
    run = CliRunner().invoke(app, ["agree", "quick"])
    assert run.exit_code == 0 and "(their machine there, mine here)" in run.output and "Motions · IPC 5" in run.output

    (tmp_path / "other.csv").write_text(to_csv(elsewhere(here, "a third")))
    run = CliRunner().invoke(app, ["agree", "quick", "--with", "other.csv", "--write", "out/both"])
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert run.exit_code == 0 and written == {f"both.{suffix}" for suffix in ("md", "csv", "tex", "json")}
    assert "(a third there, mine here)" in (tmp_path / "out" / "both.md").read_text()


def test_command_without_anything_to_compare_with(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "Snakefile").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VddError, match="is not in the last commit"):
        agreement.committed("quick")
