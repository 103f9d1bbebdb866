"""The benchmark of matching methods: it runs, its shares add up. How long anything takes is not tested."""

import json
from unittest import mock

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from benchmarks.matching import PER_CLIP, RATIOS, SIZES, STAGES, Bare, Case, Loop, app, kept
from vddlib.core.errors import VddError
from vddlib.datasets.clips import load
from vddlib.distillers import DM, TSGF
from vddlib.models.minic3d import MiniC3D

SHARES = [f"{name} %" for name in (*STAGES, "other")]


@pytest.fixture
def run(tiny_root, tmp_path):
    """Calls the command at the small size on the made dataset, into `tmp_path`."""

    load(str(tiny_root), SIZES["small"].geometry, workers=1)

    def call(*options: str):
        fixed = "--size small --iterations 1 --real 2 --syn-steps 1 --threads 1 --device cpu".split()
        command = [*fixed, "--dataset", str(tiny_root), "--output", str(tmp_path), *options]
        return CliRunner().invoke(app, command, catch_exceptions=False)

    return call


def test_methods_give_a_row_each_and_shares_of_100_percent(run, tmp_path):
    result = run("--method", "dm", "--method", "mtt", "--method", "tsgf")
    assert result.exit_code == 0
    table = pd.read_csv(tmp_path / "matching_cpu.csv")
    assert list(table) == ["size", "method", "iterations", "ms", "CPU ms", *SHARES, "peak MB", *PER_CLIP, *RATIOS]
    assert list(table["method"]) == ["dm", "mtt", "tsgf"] and set(table["size"]) == {"small"}
    assert table[SHARES].sum(axis=1).to_numpy() == pytest.approx(100) and (table[SHARES] >= 0).all(axis=None)
    assert (table[["ms", "CPU ms", "peak MB"]] > 0).all(axis=None)
    assert table[[*RATIOS]].notna().to_numpy().tolist() == [[True, True], [False, False], [False, False]]
    by_method = table.set_index("method")
    assert (by_method.loc["dm", ["data %", "real %", "synthetic %"]] > 0).all()
    assert by_method.loc["mtt", "real %"] == 0 and by_method.loc["mtt", "synthetic %"] > 0
    assert by_method.loc["tsgf", "real %"] == 0 and by_method.loc["tsgf", "synthetic %"] > 0
    tsgf = table.iloc[2]  # three classes, one clip each
    assert tsgf["s per clip"] == pytest.approx(tsgf["ms"] / 1000 * TSGF().iterations / 3, rel=0.02)
    assert tsgf["MB per clip"] == pytest.approx(tsgf["peak MB"] / 3, abs=0.02)
    text = (tmp_path / "matching_cpu.md").read_text()
    assert text in result.output and "3 classes, IPC 1" in text and "2 real clips per class, 1 student steps" in text
    facts = json.loads((tmp_path / "matching_cpu.json").read_text())
    assert facts["device"] and facts["lock_sha256"] and {"commit", "dirty", "packages"} <= set(facts)
    here = facts["conditions"]
    assert here["threads"] == 1 and len(kept(tmp_path, "matching_cpu", here)) == 3
    assert kept(tmp_path, "matching_cpu", here | {"threads": 2}) == []


def test_an_unknown_method_is_refused(run):
    with pytest.raises(VddError, match=r"did you mean 'frepo'\?"):
        run("--method", "frep")


def test_bare_passes_are_those_of_an_iteration(tiny, tmp_path):
    """As many real and distilled clips, in the same chunks."""
    train, cpu = tiny[0], torch.device("cpu")
    size = SIZES["small"].model_copy(update={"real": 2})
    case = Case(dataset="", size=size, method="dm", ipc=2, iterations=1, device="cpu", threads=1)
    loop = Loop(case, train, cpu, tmp_path)
    loop.objective = DM(network=size.network, batch_real=2, clips_at_once=4).objective(
        train, loop.objective.labels, 0, cpu
    )
    seen, embed = [], MiniC3D.embed

    def noted(network, clips):
        seen.append((len(clips), clips.requires_grad))
        return embed(network, clips)

    with mock.patch.object(MiniC3D, "embed", noted):
        loop()
        iteration, seen[:] = list(seen), []
        Bare(loop)()
    assert seen == iteration == [(4, False), (2, False), (4, True), (2, True)]


def test_the_pipelines_stages_are_timed(tiny_root, tmp_path, monkeypatch):
    from benchmarks.optdistill import app as pipeline

    command = f"--dataset {tiny_root} --per-class 2 --longest 12 --side 1 --workers 1 --output {tmp_path}".split()
    assert CliRunner().invoke(pipeline, command, catch_exceptions=False).exit_code == 0
    (made,) = tmp_path.glob("optdistill_*.csv")
    table = pd.read_csv(made)
    assert list(table["stage"]) == ["detect", "track", "crop", "score", "compose"] and (table["videos"] == 6).all()
    assert (table["videos/s"] > 0).all()


@pytest.mark.parametrize("what", ["MP4, H.264", "AVI, MPEG-4 (XVID)"])
def test_readers_are_timed_and_compared_frame_by_frame(tmp_path, what, monkeypatch):
    from benchmarks import decoding

    suffix, codec = decoding.FILES[what]
    path = tmp_path / f"video{suffix}"
    decoding.write(path, codec, 30)
    for reader in ("ours", "PyAV"):
        row = decoding.alone(reader, path, 1)
        assert row.pop("frames/s") > 0 and row == {"in order": "yes", "seeks": "16/16"}
    frames = list(decoding.pyav(path)[0]())
    late = (lambda: iter(frames[1:]), lambda place: frames[place + 1])  # one that is a frame late
    monkeypatch.setitem(decoding.READERS, "late", lambda _: late)
    row = decoding.alone("late", path, 1)
    assert row["in order"] == "NO" and row["seeks"] == "0/16"


def test_a_reader_that_is_not_there_is_said(tmp_path):
    from benchmarks import decoding

    said = decoding.measured("ours", tmp_path / "none.mp4", 1)["said"]
    assert "FileNotFoundError" in said
