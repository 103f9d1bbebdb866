"""What notebook 14 measures, on a made dataset: methods by name, sizes, records, tables and the sentences at the end."""

import math
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from vddlib.core.errors import VddError
from vddlib.datasets.clips import load
from vddlib.datasets.geometry import geometry
from vddlib.evaluation import Report
from vddlib.notebook import storage
from vddlib.training.fit import Recipe
from vddlib.training.networks import Network

NARROW, RECIPE = Network(options={"depth": 2, "widths": (8, 8)}), Recipe(epochs=1, batch_size=8)


@pytest.fixture(scope="module")
def train(tiny_root, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VDD_CACHE", str(tmp_path_factory.mktemp("store")))
        return load(str(tiny_root), geometry(8, 32, 2), workers=1)[0]


def report(method: str, *top1: float) -> Report:
    rows = [{"method": method, "seed": seed, "top1": value} for seed, value in enumerate(top1)]
    return Report(rows, [], torch.tensor([]), ())


def test_methods_get_what_they_have_fields_for():
    methods = {
        "random": {},
        "herding": {},
        "dm": {"iterations": 2},
        "tsgf": {},
        "static_dc": {},
        "optdistill": {"side": 3},
    }
    built = storage.build_methods(methods, NARROW, RECIPE, "cpu")
    assert list(built) == list(methods) and built["dm"].iterations == 2 and built["optdistill"].side == 3
    assert built["herding"].recipe == RECIPE and built["optdistill"].teacher_recipe == RECIPE
    assert built["optdistill"].network == NARROW and built["tsgf"].network.name == "minic3d_bn"
    assert built["static_dc"].network != NARROW
    assert "optdistill: CRF 23, 25 frames" in storage.codec(built) and "optdistill" not in storage.codec({})
    with pytest.raises(VddError, match="unknown method"):
        storage.build_methods({"dn": {}}, NARROW, RECIPE, "cpu")


def test_sizes_are_means_over_seeds_in_megabytes(train):
    random = storage.build_methods({"random": {}}, NARROW, RECIPE, "cpu")["random"]
    sets = {"random": {seed: random.distill(train, 1, seed) for seed in (0, 1)}}
    (row,) = storage.size_table(sets).to_dict("records")
    values = 3 * 8 * 32 * 32 * 3  # three classes, a clip each
    assert row["MB as float32"] == pytest.approx(4e-6 * values) and row["MB as uint8"] == pytest.approx(1e-6 * values)
    streams, files = (
        sum(getattr(made, kind) for made in sets["random"].values()) / 2e6 for kind in ("bytes_stream", "bytes_video")
    )
    assert row["MB as streams"] == pytest.approx(streams) and row["MB as files"] == pytest.approx(files)
    assert row["float32 / streams"] == pytest.approx(row["MB as float32"] / streams)
    assert row["container, % of files"] == pytest.approx(100 * (files - streams) / files) and streams < files


def test_records_carry_the_bytes_of_the_stored_sets():
    size = {"bytes_float32": 40, "bytes_uint8": 10, "bytes_stream": 4, "bytes_video": 5}
    soft = SimpleNamespace(targets=torch.rand(2, 3), **size)
    hard = SimpleNamespace(targets=torch.tensor([0, 1]), **size)
    sets = {"tsgf": {0: soft}, "optdistill": {0: hard}}
    before = {"tsgf": report("tsgf", 20.0), "optdistill": report("optdistill", 10.0)}
    rows = storage.rows_with_bytes(before, sets, "storage")
    assert rows[0] == {"method": "tsgf", "seed": 0, "top1": 20.0, **size, "variant": "storage"}
    assert [(row["method"], row["variant"]) for row in storage.hard_label_records(rows, sets)] == [
        ("tsgf", "hard labels")
    ]
    after = {"tsgf": report("tsgf", 19.0), "optdistill": report("optdistill", 10.0)}
    records = storage.file_records(before, after, sets)
    assert [(row["method"], row["top1"]) for row in records] == [
        ("tsgf[from_files]", 19.0),
        ("tsgf", 20.0),
        ("optdistill", 10.0),
    ]
    assert {row["variant"] for row in records} == {"from files"}


def test_accuracies_stand_beside_sizes():
    sizes = pd.DataFrame({"method": ["dm", "random"], "MB as streams": [0.2, 0.1]})
    before = {"random": report("random", 10, 12), "dm": report("dm", 20)}
    table = storage.accuracy_table(before, sizes)
    assert table.loc[0, ["method", "top1", "MB as streams"]].tolist() == ["random", 11, 0.1]
    assert table["std"][0] == pytest.approx(math.sqrt(2)) and pd.isna(table["std"][1])
    both = storage.accuracy_table(before, sizes, {"dm": report("dm", 15), "random": report("random", 9, 9)})
    assert both["top1 from files"].tolist() == [9, 15]


def test_the_conclusion_is_computed():
    sizes = pd.DataFrame(
        {"method": ["random", "optdistill"], "MB as streams": [0.1, 0.8], "float32 / streams": [40.0, 300.0]}
    )
    reports = {"random": report("random", 10, 20, 30), "optdistill": report("optdistill", 14, 25, 36)}
    surprises = {"full": [0.2], "random": [0.25, 0.25], "optdistill": [1.75, 1.5], "optdistill[tiles]": [2.0, 2.0]}
    terms = pd.DataFrame({"method": name, "surprise": value} for name, values in surprises.items() for value in values)
    said = storage.sentences(sizes, reports, terms)
    assert len(said) == 5
    assert (
        said[0]
        == "Encoded, the smallest of 2 sets is that of Random (0.10 MB) and the largest that of OptDistill (0.80 MB)."
    )
    assert said[1] == "As float32 a set takes between 40 (Random) and 300 (OptDistill) times its encoded bytes."
    assert "is 5.0 points above Random (std 1.0 over 3 seeds): told apart." in said[2]
    # Differences 1.50 and 1.25: mean 1.375, std 0.18, standard error 0.125, times 12.7 more than the mean.
    assert "mosaics is 1.38 nats above that at random clips (std 0.18 over 2 seeds): not told apart." in said[3]
    assert len(storage.sentences(sizes, {"dm": report("dm", 1)}, terms[terms["method"] == "full"])) == 2


def test_published_sizes_are_the_papers():
    table, note = storage.published_sizes()
    assert list(table) == ["method", "MB at IPC 1", "MB at IPC 5"] and "float32" in note
    assert table.set_index("method").loc["optdistill"].tolist() == [35, 207]
