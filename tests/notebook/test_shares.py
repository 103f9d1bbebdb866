"""The costly step of a run in shares: each does its part, the run joins them and makes nothing again."""

import json
from pathlib import Path

import pytest
import torch

from tests.notebook.test_run import left, make, project  # noqa: F401  # a fixture
from vddlib import distillers
from vddlib.core.errors import VddError
from vddlib.distillers.matching.experts import Experts
from vddlib.distillers.matching.optimised import Optimised
from vddlib.notebook import run as runner
from vddlib.notebook import shares
from vddlib.notebook.job import parse_share
from vddlib.training.fit import Recipe
from vddlib.training.networks import Network

SMALL = Network(options={"depth": 1, "widths": (8,), "dropout": 0.0})
TEACHER = Network(name="minic3d_bn", options={"depth": 1, "widths": (8,)})
METHODS = {
    "dm": {"iterations": 2, "network": SMALL, "batch_real": 2},
    "mtt": {"iterations": 2, "network": SMALL, "experts": Experts(count=2, batch_size=9), "max_start_epoch": 1, "syn_steps": 1},
    "tsgf": {
        "iterations": 2, "network": TEACHER, "teacher_recipe": Recipe(epochs=1, batch_size=9), "classes_at_once": 1,
    },
}  # fmt: skip
SHARED = """
import os
from pathlib import Path
class ShareDone(Exception): pass
share = os.environ.get("VDD_SHARD")
if share:
    Path(f"share{share[0]}").write_text(str(ipc))
    raise ShareDone(share)
print([Path(f"share{k}").read_text() for k in range(2)])
"""


@pytest.mark.parametrize("text", ["", "1", "2/2", "-1/2", "a/2", "1/b", "0/0"])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(VddError, match="which part, of how many"):
        parse_share(text)


@pytest.mark.parametrize("name", METHODS)
def test_shares_make_all_that_the_run_needs(tiny, tmp_path, monkeypatch, name):
    train, _ = tiny
    method = distillers.build(name, device="cpu", **METHODS[name])
    seeds = [0, 1, 2]

    def made(kind="distilled"):
        return sorted(path.name for path in (tmp_path / "cache" / kind).glob("*") if not path.name.startswith("."))

    monkeypatch.setenv("VDD_CACHE", str(tmp_path / "cache"))
    counts = []
    for share in ("1/2", "0/2"):
        monkeypatch.setenv("VDD_SHARD", share)
        with pytest.raises(shares.ShareDone, match=f"share {share[0]} of 2"):
            shares.sets(method, train, 1, seeds)
        counts.append(len(made()))
    whole = 9 if name == "tsgf" else 3  # three batches of three seeds, or three sets
    assert 0 < counts[0] < counts[1] == whole
    assert len(made("experts")) == (2 if name == "mtt" else 0)

    monkeypatch.delenv("VDD_SHARD")
    monkeypatch.setattr(Optimised, "_make", lambda *_: pytest.fail("made again"))
    joined = shares.sets(method, train, 1, seeds)
    assert list(joined) == seeds and all(torch.isfinite(one.draw()[0]).all() for one in joined.values())


def test_a_job_does_its_share_and_publishes_nothing_else(project):  # noqa: F811
    notebook, params = make("ipc: int = 1", SHARED, params="ipc: 7")
    for share in ("0/2", "1/2"):
        note = runner.run_share(notebook, params, share)
        assert note == project / f"runs/quick/11_tiny/v.shard-{share[0]}-of-2.json"
        assert json.loads(note.read_text())["share"] == [int(share[0]), 2]
    assert [name for name in left() if not name.endswith(".log")] == ["v.shard-0-of-2.json", "v.shard-1-of-2.json"]
    assert not Path("figures").exists()
    made = runner.run(notebook, params)
    assert "['7', '7']" in made.with_suffix(".log").read_text()


def test_a_share_that_fails_or_that_there_is_not_is_an_error(project):  # noqa: F811
    notebook, params = make("ipc: int = 1", "print(ipc)\n1 / 0")
    with pytest.raises(runner.RunFailed, match="ZeroDivisionError"):
        runner.run_share(notebook, params, "0/2")
    notebook, params = make("ipc: int = 1", "print(ipc)")
    with pytest.raises(VddError, match="has no step that is done in shares"):
        runner.run_share(notebook, params, "0/2")
    assert not list(project.glob("runs/quick/11_tiny/*.json"))
