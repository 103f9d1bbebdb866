"""The papers' parameters run: 16 frames of 112x112, the published network, every other value as it stands, on made videos.

Cut is what takes the time (the dataset, iterations and steps, epochs, experts, the pool, seeds), and replaced what is fetched
from hubs (the detector, R3D-18).
"""

import csv

import numpy as np
import pytest
import yaml

from tests.conftest import ROOT, write_ucf
from vddlib.core.params import notebook_parameters
from vddlib.distillers import build
from vddlib.notebook.run import run

SHORT = {
    "iterations": 2, "experts": 1, "max_start_epoch": 1, "syn_steps": 2, "pool": 2, "teacher_epochs": 1,
    "embedding_epochs": 1, "observer_epochs": 1, "epochs": 1, "hard_epochs": 1, "region_epochs": 1, "seeds": [0],
    "single_frame_classes": [], "fair_steps": 2,
}  # fmt: skip
WITHOUT_WEIGHTS = {
    "detector": "motion", "scorer": "teacher", "fallback": "centre", "embedder": "network", "latents": "pixels",
}  # fmt: skip
PAPER = {
    "02_students_and_full_data": "miniucf",
    "03_coresets": "miniucf_ipc1",
    "04_dm": "miniucf_ipc1",
    "05_static_dc": "miniucf_ipc1",
    "06_mtt": "miniucf_ipc1",
    "07_frepo": "miniucf_ipc1",
    "08_vdsd": "miniucf_dm_ipc1",
    "09_idtd": "miniucf_ipc1",
    "10_idtd_ablations": "lengths_ipc1",
    "11_tsgf": "miniucf_ipc1",
    "12_tsgf_ablations": "labels_ipc1",
    "13_optdistill": "miniucf_ipc1",
    "14_storage_and_information": "miniucf_ipc1",
    "15_latte_pool": "miniucf",
    "16_select_videos": "miniucf_ipc1",
    "17_selection_ablations": "miniucf_printed_ipc5",
    "18_cross_architecture": "miniucf_ipc1",
}
# A generator of 674 M parameters at 256 x 256, in latents of weights that are not here: the same values in a small one.
GENERATOR = {
    "depth": 2, "width": 32, "heads": 2, "patch": 8, "size": 0, "stride": 0, "autoencoder": "pixels", "draws": 1, "steps": 2,
    "batch_size": 2, "sample_steps": 2, "per_class": 5,
}  # fmt: skip


@pytest.fixture(scope="module")
def two_classes(tmp_path_factory):
    """Two classes of four training videos and one test video, long enough for 16 frames at stride 4."""
    return write_ucf(tmp_path_factory.mktemp("paper") / "two", train=4, test=1, classes=("Red", "Green"))


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory):
    """The notebooks share decoded frames, teachers and experts, as they do for a user."""
    return tmp_path_factory.mktemp("paper_cache")


@pytest.mark.parametrize("notebook", PAPER)
def test_the_papers_parameters_run(notebook, two_classes, shared_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("VDD_CACHE", str(shared_cache))
    source = ROOT / "notebooks" / f"{notebook}.ipynb"
    given = yaml.safe_load((ROOT / "params" / "paper" / notebook / f"{PAPER[notebook]}.yaml").read_text())
    assert (given["frames"], given["size"]) == (16, 112)
    declared = notebook_parameters(source)
    short = {name: value for name, value in (SHORT | WITHOUT_WEIGHTS).items() if name in declared}
    for name in {"method", "dm", "static_params", "idtd", "vdsd"} & given.keys():
        short[name] = given[name] | {"iterations": 2}
    if "vdsd" in given:
        short["vdsd"]["stored"] = given["vdsd"]["stored"] | {
            "static": given["vdsd"]["stored"]["static"] | {"iterations": 2}
        }
        short["lengths"] = given["lengths"][:1]
    if "vst" in given:
        short["vst"] = given["vst"] | {"epochs": 1}
    if "latte" in given:
        short.pop("pool", None)  # in FRePo's notebook the number of networks, here where clips come from
        short["latte"] = given["latte"] | GENERATOR
        short["student_options"] = {"width": 0.1, "hidden": 32}  # a whole C3D at 112 x 112 takes a minute each
    if notebook == "16_select_videos":
        short["methods"] = ["random", "vst_unet", "tac_dt"]  # the paper's own
    if "methods" in given:
        for name, values in given["methods"].items():
            build(name, **values)  # each runs with these in its own notebook
        short["methods"] = {"random": {}, "tsgf": given["methods"]["tsgf"] | {"iterations": 2}}
    if "recipes" in given:
        short["recipes"] = {name: recipe | {"epochs": 1} for name, recipe in given["recipes"].items()}
        short["students"] = {name: given["students"][name] for name in ("minic3d", "cnn_gru")}
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump(given | short | {"dataset": str(two_classes)}))
    made = run(source, params, tmp_path / "runs" / "out.ipynb", quiet=True)
    rows = list(csv.DictReader(made.with_suffix(".csv").open()))
    assert rows and all((row["frames"], row["size"]) == ("16", "112") for row in rows)
    assert {row["student"].partition("(")[0] for row in rows} <= {"minic3d", "minic3d_bn", "c3d", "cnn_gru"}
    assert all(0 <= float(row["top1"]) <= 100 for row in rows)


def test_action_segmentation_runs_as_published(shared_cache, tmp_path, monkeypatch):
    """MS-TCN and its recipe as they stand, on made features of 50Salads' width in its layout, for one pass over two videos."""
    monkeypatch.setenv("VDD_CACHE", str(shared_cache))
    monkeypatch.setenv("VDD_DATA", str(tmp_path))
    root, rng = tmp_path / "50salads", np.random.default_rng(0)
    for folder in ("features", "groundTruth", "splits"):
        (root / folder).mkdir(parents=True)
    (root / "mapping.txt").write_text("0 cut\n1 mix\n2 serve\n")
    for name in ("a", "b", "c"):
        (root / "groundTruth" / f"{name}.txt").write_text("cut\n" * 40 + "mix\n" * 30 + "serve\n" * 20)
        np.save(root / "features" / f"{name}.npy", rng.normal(size=(2048, 90)).astype(np.float32))
    (root / "splits" / "train.split1.bundle").write_text("a.txt\nb.txt\n")
    (root / "splits" / "test.split1.bundle").write_text("c.txt\n")
    source = ROOT / "notebooks" / "19_action_segmentation.ipynb"
    given = yaml.safe_load((ROOT / "params/paper/19_action_segmentation/50salads.yaml").read_text())
    params = tmp_path / "params.yaml"
    params.write_text(
        yaml.safe_dump(given | {"folds": [1], "seeds": [0], "epochs": 1, "tsgf": {"iterations": 2, "teacher_steps": 2}})
    )
    run(source, params, tmp_path / "runs" / "out.ipynb", quiet=True)
    table = (tmp_path / "runs" / "out_figures" / "table10.md").read_text()
    assert all(f"| {name} " in table for name in ("Mean", "Coreset", "TSGF")) and "69.0" in table
