"""Sets from outside are measured as ours are: one command, intervals, random clips beside them, export and upload."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from vddlib.cli import app
from vddlib.core.errors import VddError
from vddlib.distillers import Random
from vddlib.evaluation import evaluate_each, fair
from vddlib.results import export, outside

NARROW = {"depth": 2, "widths": [4, 4]}


def vdd(*arguments):
    """The command line, in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_sets_of_several_seeds_are_measured_as_the_notebooks_do(tiny):
    train, test = tiny
    sets = [Random().distill(train, 2, seed) for seed in (0, 1)]
    found = outside.measure(sets, train, test, "F", seeds=[0, 1], steps=2, device="cpu")
    protocol, network = fair("F", train, 2)
    ours = evaluate_each(dict(enumerate(sets)), test, protocol, network=network, device="cpu")
    assert [row["top1"] for row in found.rows[:2]] == ours.values()
    assert found.top1.mean == pytest.approx(np.mean(ours.values()))
    assert found.difference.difference == 0  # they are the random clips of these seeds
    assert (found.top1.seeds, found.top1.videos) == (2, 9)
    assert len(found.lines()) == 3 and "under protocol F" in found.lines()[0]


def test_students_of_one_set_under_a_papers_protocol(tiny):
    train, test = tiny
    made = Random().distill(train, 1, 5)
    options = {"seeds": [0, 1], "recipe": {"epochs": 1}, "student_options": NARROW, "device": "cpu"}
    found = outside.measure([made], train, test, "A", beside_random=False, **options)
    assert len(found.rows) == 2 and found.difference is None and len(found.lines()) == 1
    soft = outside.measure([made], train, test, "F-soft", seeds=[0], steps=1, device="cpu")
    assert soft.random.seeds == 1 and np.isfinite(soft.difference.difference)
    with pytest.raises(VddError, match="one student and recipe for all"):
        outside.measure([made], train, test, "F", **options)
    with pytest.raises(VddError, match="2 sets and 3 seeds"):
        outside.measure([made, made], train, test, "F", seeds=[0, 1, 2])


def test_a_set_goes_out_and_is_measured_by_command(tiny, tiny_root, tmp_path):
    train, _ = tiny
    Random().distill(train, 1, 0).save(tmp_path / "set", previews=False)
    done = vdd("export", tmp_path / "set", tmp_path / "out")
    assert done.exit_code == 0 and "load_dataset" in done.stdout
    network = ("--student-options", '{"depth": 2, "widths": [4, 4]}')
    options = ("--protocol", "A", "--epochs", 1, *network, "--students", 2, "--output", tmp_path / "rows.csv")
    done = vdd("evaluate", tmp_path / "out", tiny_root, *options)
    assert done.exit_code == 0, done.output
    assert "top-1 under protocol A" in done.stdout and "random clips" in done.stdout
    rows = pd.read_csv(tmp_path / "rows.csv")
    assert rows["method"].tolist() == ["random"] * 4 and (rows["frames"] == 8).all()  # cut as the card says
    refused = vdd("evaluate", tmp_path / "out", tiny_root, "--student-options", "depth=2")
    assert refused.exit_code == 2 and "--student-options" in refused.stderr
    refused = vdd("evaluate", tmp_path / "out")
    assert refused.exit_code == 2 and "then the dataset" in refused.stderr


def test_a_card_says_what_the_set_is(tiny, tmp_path, monkeypatch):
    train, _ = tiny
    made = Random().distill(train, 2, 0)
    made.save(tmp_path / "set", previews=False)
    made.card["dataset"] = "hmdb51"
    text = export.card_of(made, 10)
    assert "license: cc-by-4.0" in text and "Random, 2 clips per class of HMDB51" in text and "n<1K" in text
    assert f"{made.bytes_stream:,} bytes" in text and "soft_label" not in text
    made.card["dataset"] = "ssv2"
    assert "license: other" in export.card_of(made, 10) and "no passing on" in export.card_of(made, 10)
    row = {"method": "random", "dataset": train.dataset, "ipc": 2, "protocol": "F", "mean": 41.26, "low": 39.0, "high": 43.5,
           "difference": float("nan"), "difference_low": None, "difference_high": None, "seeds": 5, "videos": 278}  # fmt: skip
    monkeypatch.setattr(export, "load", lambda scale: None)
    monkeypatch.setattr(export, "comparisons", lambda df: pd.DataFrame([row]))
    written = export.export(tmp_path / "set", tmp_path / "out", "quick")
    assert "top-1 41.3 [39.0, 43.5]" in (written / "README.md").read_text()
    part = Random().distill(train, 2, 0)
    part.card["ipc"] = 3
    part.save(tmp_path / "part", previews=False)
    with pytest.raises(VddError, match="6 clips are not 3 of each of 3 classes"):
        export.export(tmp_path / "part", tmp_path / "other")
    monkeypatch.setattr(export, "comparisons", lambda df: pd.DataFrame([row | {"ipc": 1}]))
    with pytest.raises(VddError, match="no record of random"):
        export.export(tmp_path / "set", tmp_path / "other", "quick")


def test_datasets_loads_what_is_exported(tiny, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    train, _ = tiny
    soft = Random().distill(train, 2, 0)
    soft = soft.with_targets(np_softmax(soft), temperature=1.0)
    soft.save(tmp_path / "set", previews=False)
    folder = export.export(tmp_path / "set", tmp_path / "out")
    options = {"data_dir": str(folder), "cache_dir": str(tmp_path / "hf"), "split": "train"}
    loaded = datasets.load_dataset("videofolder", **options).cast_column("video", datasets.Video(decode=False))
    assert loaded["label"] == ["Red", "Red", "Green", "Green", "Blue", "Blue"]
    np.testing.assert_allclose(loaded["soft_label"], soft.targets.numpy(), rtol=1e-5)
    assert all(one["path"].endswith(".mp4") for one in loaded["video"])


def np_softmax(made):
    """Some soft labels."""
    import torch

    return torch.randn(len(made), len(made.classes), generator=torch.Generator().manual_seed(0)).softmax(1)


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's API as an upload needs; `server.said` keeps what it was told."""

    def log_message(self, *arguments):
        """Nothing on the terminal."""

    def _answer(self, value, code=200):
        data = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        """What the repository is, before a commit."""
        if self.server.refuse:
            return self._answer({"error": "no such repository"}, 404)
        return self._answer({"id": "me/mine", "sha": "0" * 40, "siblings": []})

    def do_POST(self):
        """To create the repository, to ask how each file goes up, and the commit."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        said = self.server.said
        if self.server.refuse:
            return self._answer({"error": "You don't have the rights to create a dataset there"}, 403)
        if self.path == "/api/repos/create":
            said["created"] = json.loads(body)
            return self._answer({"url": f"{self.server.address}/datasets/me/mine", "name": "me/mine"})
        if "/preupload/" in self.path:
            asked = json.loads(body)["files"]
            return self._answer(
                {"files": [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in asked]}
            )
        if self.path == "/api/validate-yaml":  # the card's header
            said["header"] = yaml.safe_load(json.loads(body)["content"].split("---")[1])
            return self._answer({"errors": [], "warnings": []})
        for line in filter(None, body.decode().splitlines()):
            entry = json.loads(line)
            if entry["key"] == "file":
                said[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
        return self._answer(
            {
                "commitUrl": f"{self.server.address}/datasets/me/mine/commit/{'1' * 40}",
                "commitOid": "1" * 40,
                "hookOutput": "",
                "pullRequestUrl": None,
            }
        )


@pytest.fixture
def hub():
    """A stand-in of the hub on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.said, server.refuse = {}, False
    server.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_an_upload_sends_every_file(tiny, tmp_path, hub, monkeypatch):
    from huggingface_hub import HfApi

    monkeypatch.setattr("huggingface_hub.HfApi", lambda: HfApi(endpoint=hub.address, token="hf_test"))
    train, _ = tiny
    Random().distill(train, 1, 0).save(tmp_path / "set", previews=False)
    folder = export.export(tmp_path / "set", tmp_path / "out")
    assert export.push(folder, "me/mine", private=True).endswith("/datasets/me/mine")
    created, header = hub.said.pop("created"), hub.said.pop("header")
    assert header["pretty_name"] == "Random, 1 clips per class of tiny" and header["size_categories"] == ["n<1K"]
    assert created["type"] == "dataset" and (created.get("visibility") == "private" or created.get("private"))
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {name: data for name, data in hub.said.items() if name != ".gitattributes"} == files
    hub.refuse = True
    with pytest.raises(VddError, match="me/mine: the upload failed"):
        export.push(folder, "me/mine")
    with pytest.raises(VddError, match="no exported set"):
        export.push(tmp_path / "set", "me/mine")
