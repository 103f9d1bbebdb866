"""The workflow on a real Slurm: submitted, killed for memory and repeated, drained and resumed, and a node of two that dies."""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from tests.cluster.slurm import Missing, Slurm
from tests.test_snakefile import SHARED, copy_workflow, write_notebook, write_params

pytest.importorskip("snakemake_executor_plugin_slurm")
pytestmark = pytest.mark.timeout(480)

RECORD = """
import time
from vddlib import results
time.sleep(wait)
row = {"method": "random", "dataset": "motions", "protocol": "A", "student": "minic3d", "top1": 50.0 + ipc}
results.record([row | {"ipc": ipc, "seed": seed} for seed in range(3)])
"""
HUNGRY = """
import numpy as np
held = np.ones(1_400_000_000, np.uint8)
import time
time.sleep(8)  # Slurm looks at memory once a second
held.sum()
"""
OPTIONS = """
--profile profiles/slurm --slurm-init-seconds-before-status-checks 2 --seconds-between-status-checks 2 --latency-wait 10
--slurm-no-account --slurm-status-command squeue
""".split()


@contextmanager
def started(folder, **options):
    """A cluster, ended afterwards; skips where Slurm cannot be started."""
    try:
        cluster = Slurm(folder, **options).start()
    except Missing as why:
        pytest.skip(f"no Slurm is started: {str(why)[:300]}")
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def slurm(tmp_path):
    with started(tmp_path / "slurm") as cluster:
        yield cluster


@pytest.fixture
def project(tmp_path):
    """Two runs that record at quick; a job may take 1200 MB at its first attempt."""
    root = tmp_path / "project"
    root.mkdir()
    copy_workflow(root)
    text = (root / "Snakefile").read_text()
    assert ".get(wildcards.scale, 4000)" in text
    (root / "Snakefile").write_text(text.replace(".get(wildcards.scale, 4000)", ".get(wildcards.scale, 1200)"))
    write_notebook(root, "11_tiny", "ipc: int = 1\nwait: float = 0.0", RECORD)
    for name, ipc in (("one", 1), ("two", 5)):
        write_params(root, f"quick/11_tiny/{name}", f"ipc: {ipc}\n")
    return root


def begin(root, environment, *options):
    command = [sys.executable, "-m", "snakemake", *options, "quick"]
    log = (root / "snakemake.log").open("w")
    return subprocess.Popen(command, cwd=root, env=environment, stdout=log, stderr=log)


def submitted(root, slurm, *options):
    """Exit code and output of the workflow under the Slurm profile."""
    code = begin(root, slurm.environment, *OPTIONS, *options).wait(400)
    return code, (root / "snakemake.log").read_text()


def records(root):
    rows = []
    for path in sorted((root / "runs/quick/11_tiny").glob("*.csv")):
        rows += [{k: v for k, v in row.items() if k != "commit"} for row in csv.DictReader(path.open())]
    return rows


def test_a_drained_node_an_interruption_and_a_second_command_give_the_records_of_a_laptop(slurm, project, tmp_path):
    write_params(project, "quick/11_tiny/two", "ipc: 5\nwait: 40.0\n")  # long enough to be there when the node goes
    first = begin(project, slurm.environment, *OPTIONS, "--jobs", "1")
    done = project / "runs/quick/11_tiny/one.json"
    other = project / "runs/quick/11_tiny/two.json"
    until = time.monotonic() + 150
    while not (done.exists() or other.exists()):
        assert first.poll() is None and time.monotonic() < until, (project / "snakemake.log").read_text()
        time.sleep(0.5)
    finished = done if done.exists() else other
    records_of = done.with_suffix(".csv")  # Snakemake touches the .json itself once more, some seconds after it appears
    made = records_of.stat().st_mtime_ns if finished is done else None
    slurm.run("scontrol", "update", f"nodename={slurm.host}", "state=drain", "reason=test")
    time.sleep(4)
    first.send_signal(signal.SIGINT)  # as somebody does who sees that nothing goes on
    first.wait(240)
    assert not (done.exists() and other.exists())
    slurm.run("scontrol", "update", f"nodename={slurm.host}", "state=resume")
    write_params(project, "quick/11_tiny/two", "ipc: 5\n")
    os.utime(project / "params/quick/11_tiny/two.yaml")
    code, said = submitted(project, slurm)
    assert code == 0, said
    if finished is done:
        assert records_of.stat().st_mtime_ns == made, "what was finished ran again"
    on_slurm = records(project)
    alone = tmp_path / "alone"
    alone.mkdir()
    copy_workflow(alone)
    write_notebook(alone, "11_tiny", "ipc: int = 1\nwait: float = 0.0", RECORD)
    for name, ipc in (("one", 1), ("two", 5)):
        write_params(alone, f"quick/11_tiny/{name}", f"ipc: {ipc}\n")
    assert begin(alone, os.environ, "--cores", "1").wait(300) == 0
    assert on_slurm == records(alone) and len(on_slurm) == 6


def test_a_node_that_dies_leaves_its_job_to_the_other(project, tmp_path):
    for name, ipc in (("one", 1), ("two", 5)):
        write_params(project, f"quick/11_tiny/{name}", f"ipc: {ipc}\nwait: 30.0\n")
    with started(tmp_path / "slurm", cpus=1, nodes=2, patience=10) as cluster:
        begun = begin(project, cluster.environment, *OPTIONS, "--jobs", "2")
        until = time.monotonic() + 150
        while len(set(busy := cluster.run("squeue", "-h", "-t", "running", "-o", "%N").split())) < 2:
            assert begun.poll() is None and time.monotonic() < until, (project / "snakemake.log").read_text()
            time.sleep(0.5)
        time.sleep(8)  # both are in the middle
        cluster.kill(busy[0])
        assert begun.wait(300) == 0, (project / "snakemake.log").read_text()
        states = dict(line.split() for line in cluster.run("sinfo", "-h", "-N", "-o", "%N %T").splitlines())
        assert states[busy[0]].startswith("down")
    assert len(records(project)) == 6


def test_a_job_killed_for_memory_is_repeated_with_more(slurm, project):
    for path in (project / "params/quick/11_tiny").glob("*.yaml"):
        path.unlink()
    write_notebook(project, "12_hungry", "ipc: int = 1", HUNGRY)
    write_params(project, "quick/12_hungry/one", "ipc: 1\n")
    code, said = submitted(project, slurm)
    assert code == 0, said
    asked = [int(found) for found in re.findall(r"mem_mb=(\d+)", said)]
    tries = said.count("Trying to restart job") or len(set(asked)) - 1
    assert tries == 1, said  # once more, and then it fits
    assert (project / "runs/quick/12_hungry/one.json").exists()


def test_shares_of_a_run_are_one_array_and_the_run_joins_them(slurm, project):
    for path in (project / "params/quick/11_tiny").glob("*.yaml"):
        path.unlink()
    write_notebook(project, "11_tsgf", "ipc = 1", SHARED)
    write_params(project, "quick/11_tsgf/one")
    begun = [sys.executable, "-m", "snakemake", *OPTIONS, "quick", "--config", "shards=2"]
    done = subprocess.run(begun, cwd=project, env=slurm.environment, text=True, capture_output=True, timeout=400)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert len(list((project / "runs/quick/11_tsgf").glob("one.shard-*-of-2.json"))) == 2
    assert (project / "runs/quick/11_tsgf/one.json").is_file()
    assert "Submitted array job" in said, said
