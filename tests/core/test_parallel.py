"""The process pool: items that die or hang cost only themselves, and workers never outlive their parent."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.conftest import ROOT
from vddlib.core.parallel import Apart, Died, apart, run_each


def work(item: int) -> int:
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if item == 5:
        while True:  # as a decoder that hangs; it cannot be interrupted from outside
            signal.pause()
    return item * item


@pytest.mark.parametrize(
    ("items", "workers", "alone"), [(range(9), 2, False), ([2, 3], 1, False), ([5], 1, False), ([3, 5, 6], 2, True)]
)
def test_what_dies_or_hangs_costs_only_itself(items, workers, alone):
    """However few the items are: none is worked on in this process."""
    done = dict(run_each(list(items), work, "work", workers, crashed=lambda item, why: why, limit=8, alone=alone))
    wanted = {item: item * item for item in items}
    wanted |= {3: "it crashed its worker process"} if 3 in items else {}
    wanted |= {5: "it did not end within 8 seconds"} if 5 in items else {}
    assert done == wanted


def test_a_call_apart_returns_raises_or_dies_and_the_next_one_works():
    apart = Apart()
    assert apart(work, 2) == 4
    (worker,) = apart._pool._processes
    with pytest.raises(ZeroDivisionError):
        apart(divmod, 1, 0)
    assert apart(os.getpid) == worker, "one process for all calls"
    with pytest.raises(Died, match="it crashed its worker process"):
        apart(work, 3)
    with pytest.raises(Died, match="it did not end within 2 seconds"):
        apart(work, 5, limit=2)
    assert apart(work, 4) == 16
    apart._pool.shutdown()


def apart_in_a_worker(item: int) -> int:
    return apart(work, item)


@pytest.mark.timeout(120)
def test_a_worker_that_works_apart_ends():
    """A process waits for its own processes when it ends, and that one waits for work."""
    done = dict(run_each([2, 4], apart_in_a_worker, "work", 1, crashed=lambda item, why: why))
    assert done == {2: 4, 4: 16}


def test_nothing_to_do():
    assert list(run_each([], work, "work", crashed=lambda item, why: why)) == []


PARENT = """
import sys, time
from vddlib.core.parallel import run_each

def sleep(item):
    time.sleep(600)

if __name__ == "__main__":
    print("begun", flush=True)
    list(run_each(list(range(20)), sleep, "sleeping", 2, crashed=lambda item, why: why))
"""


@pytest.mark.skipif(os.name == "nt", reason="kills by signal")
def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    """SIGKILL leaves the parent no time to end them; they used to stay for good."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, script], env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
    )
    assert parent.stdout.readline() == b"begun\n"
    children, ends = [], time.monotonic() + 60
    while len([c for c in children if "spawn_main" in " ".join(c.cmdline())]) < 2 and time.monotonic() < ends:
        time.sleep(0.2)
        children = psutil.Process(parent.pid).children(recursive=True)
    time.sleep(2)  # until the workers are at their items
    parent.kill()
    parent.wait()
    gone, alive = psutil.wait_procs(children, timeout=30)
    assert len(gone) >= 2 and not alive
