"""Stages: one file per video, broken videos, runs side by side, videos that take their process down."""

import os
from pathlib import Path

import numpy as np

from tests.conftest import in_process
from vddlib.datasets import video
from vddlib.distillers.optdistill import stages
from vddlib.distillers.optdistill.stages import BEGUN, Job, Stage

FATAL = [Job("a/0", "live"), Job("a/1", "kill"), Job("a/2", "live")]


def test_one_broken_video_costs_one_line(tmp_path, capfd):
    good = video.encode(tmp_path / "good.mp4", np.zeros((5, 16, 16, 3), np.uint8))
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    stage = Stage("detect", {"test": 1})
    jobs = [Job("a/good", str(good)), Job("a/bad", str(bad)), Job("a/none", str(tmp_path / "none.mp4"))]
    stage.run(jobs, _probe, workers=1)
    assert [found and found["frames"] for found in stage.results(jobs)] == [5, None, None]
    out = "".join(capfd.readouterr())
    assert out.count("is left out") == 2 and "a/bad is left out" in out
    bad.write_bytes(good.read_bytes())  # mended: what failed is tried again, what is done is not
    good.unlink()
    stage.run(jobs, _probe, workers=1)
    assert [found and found["frames"] for found in stage.results(jobs)] == [5, 5, None]


def _probe(job, place):
    return {"frames": video.probe(Path(job.path)).frames}


def test_what_another_run_did_meanwhile_is_not_done_again(monkeypatch):
    monkeypatch.setattr(stages, "run_each", in_process)
    jobs, stage = [Job(f"a/{i}", "") for i in range(6)], Stage("detect", {"test": 3})

    def work(job, place):
        stage.run([other for other in jobs if other != job], lambda job, place: {"run": "another"}, workers=1)
        return {"run": "this"}

    stage.run(jobs, work, workers=1)
    assert sorted(result["run"] for result in stage.results(jobs)) == ["another"] * 5 + ["this"]


def test_workers_that_die_cost_their_video_alone(tmp_path, capfd):
    jobs = [Job(f"a/{i}", "kill" if i == 5 else "live") for i in range(12)]
    stage = Stage("detect", {"test": 2})
    stage.run(jobs, _kill_on_request, workers=2)
    assert [found is None for found in stage.results(jobs)] == [i == 5 for i in range(12)]
    assert "crashed its worker process" in "".join(capfd.readouterr())
    stage.run(jobs, _kill_on_request, workers=1)  # it is not tried again
    assert [found is None for found in stage.results(jobs)] == [i == 5 for i in range(12)]


def test_what_a_killed_run_was_at_is_done_apart_by_the_next(capfd):
    """Such a video may have been to blame, by filling the memory say; it leaves a mark as long as it is worked on."""
    stage = Stage("detect", {"test": 4})
    for job in FATAL[1:]:
        stage.place(job, BEGUN).parent.mkdir(exist_ok=True)
        stage.place(job, BEGUN).touch()
    stage.run(FATAL, _kill_on_request, workers=1)
    assert [found is None for found in stage.results(FATAL)] == [False, True, False]
    assert "".join(capfd.readouterr()).count("is left out: it crashed its worker process") == 1


def _kill_on_request(job, place):
    if job.path == "kill":
        os.kill(os.getpid(), 9)
    return {}
