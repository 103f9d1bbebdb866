"""A pool beside the real clips: what encoding loses, distances, nearest clips, students of all of it, and `vdd latte`."""

import numpy as np
import pytest
import torch
import yaml

from tests.conftest import ROOT
from vddlib import evaluation
from vddlib.core.errors import VddError
from vddlib.distillers.latte import Latte, load_pool, pick_codec, pool
from vddlib.notebook.pool_page import PoolPage, make_from, through
from vddlib.training.networks import Network

SMALL = {
    "depth": 2, "width": 16, "heads": 2, "patch": 4, "autoencoder": "pixels", "draws": 1, "steps": 2, "batch_size": 4,
    "sampler": "ddim", "sample_steps": 2, "per_class": 3,
}  # fmt: skip


@pytest.fixture
def page(tiny):
    train, test = tiny
    return PoolPage(load_pool(train, Latte(**SMALL, device="cpu")), train, test, device="cpu", steps=2)


def test_what_encoding_loses(tiny):
    train, _ = tiny
    clips = train.frames([0, 1])
    again, ratio = through(pick_codec("pixels", train), clips)
    error = np.square(again.astype(float) - clips).mean((1, 2, 3, 4))
    assert ratio == pytest.approx(np.mean(10 * np.log10(255**2 / error)), abs=1e-6) and ratio > 15


def test_distances_and_nearest_clips(page):
    table = page.distances()
    assert table["clips"].tolist() == ["generated clips", "test clips", "other training clips"]
    generated, unseen, _ = table["Fréchet distance"]
    assert generated > unseen > 0  # two steps teach a generator nothing
    clips, names = page.beside_nearest([0, 2])
    assert clips.shape == (4, 8, 32, 32, 3) and names[0] == "Red" and names[1].startswith("nearest: ")
    place = page.train.names.index(names[3].removeprefix("nearest: "))
    assert (clips[3] == page.train.frames([place])[0]).all()
    gaps = (page.features["pool"][6] - page.features["train"]).flatten(1).norm(dim=1)
    assert place == int(gaps.argmin())


def test_a_clip_of_the_training_set_is_its_own_nearest(page):
    page.features["pool"] = page.features["train"][torch.tensor([4, 9, 15])]
    page.pool.clips.of_class = lambda label: torch.tensor([label])
    _, names = page.beside_nearest([0, 1, 2])
    assert [name.removeprefix("nearest: ") for name in names[1::2]] == [page.train.name(i) for i in (4, 9, 15)]


def test_students_of_the_whole_pool(page):
    network = Network(name="minic3d", options={"depth": 1, "widths": [8]})
    own = evaluation.protocol("C", epochs=1)
    reports = page.students(own, network, ["F"], [0, 1])
    rows = page.rows(reports)
    assert [(row["method"], row["protocol"], row["seed"]) for row in rows] == [
        ("full[generated]", name, seed) for name in ("C", "F") for seed in (0, 1)
    ]
    assert all(row["distill_seconds"] == page.pool.train_seconds + page.pool.sample_seconds for row in rows)
    assert all(row["dataset"] == "tiny" for row in rows)


def test_vdd_latte_makes_what_the_notebook_reads(tiny_root, tmp_path, tiny, monkeypatch):
    params = tmp_path / "params.yaml"
    values = {"dataset": str(tiny_root), "frames": 8, "size": 32, "stride": 2, "latte": SMALL, "device": "cpu"}
    params.write_text(yaml.safe_dump(values))
    notebook = ROOT / "notebooks" / "15_latte_pool.ipynb"
    assert make_from(notebook, params, (0, 2)) == 2
    assert make_from(notebook, params) == 3
    monkeypatch.setattr(pool, "sample", None)  # all of it is there
    assert len(load_pool(tiny[0], Latte(**SMALL, device="cpu")).clips) == 9
    with pytest.raises(VddError, match="generates no pool"):
        make_from(ROOT / "notebooks" / "04_dm.ipynb", params)
