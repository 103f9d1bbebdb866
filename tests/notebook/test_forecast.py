"""What jobs will take: operations against hand counts, the shared parts, the committed table, and what a user is told."""

import pandas as pd
import pytest
import torch
from torch import nn

from tests.conftest import ROOT
from vddlib.core.errors import VddError
from vddlib.notebook import forecast, workload
from vddlib.notebook.flops import of_model, of_network
from vddlib.notebook.plan import FROZEN, LEARN, LOOK, SECOND_ORDER, UNROLLED, Plan, Work


def test_operations_are_those_counted_by_hand():
    # MiniC3D of two blocks at 8 x 32 x 32: outputs x taps x channels, two operations each; a 1x1x1 classifier at the end.
    first = 8 * 16 * 16 * 4 * (3 * 7 * 7 * 3)
    second = 8 * 4 * 4 * 6 * (3 * 7 * 7 * 4)
    last = 3 * 5 * 6  # three places in time (four frames, averaged in pairs), five classes, six maps
    found = of_model("minic3d", 5, 8, 32, (("depth", 2), ("widths", (4, 6))))
    assert found.flops == 2 * (first + second + last)


def test_kept_is_what_a_backward_pass_needs_and_no_weight():
    with torch.device("meta"):
        found = of_network(nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 3)), torch.empty(2, 10))
    assert found.weights == 4 * (10 * 20 + 20 + 20 * 3 + 3)
    assert found.kept == 4 * (10 + 20)  # the first layer's input, and what ReLU gives, once for both that keep it
    assert found.flops == 2 * (10 * 20 + 20 * 3)


def test_every_architecture_is_counted():
    for name in ("minic3d_bn", "cnn_gru", "cnn_lstm", "r3d_18"):
        assert of_model(name, 4, 8, 32 if name != "minic3d_bn" else 64).flops > 1e6


def test_work_adds_up():
    network = of_model("minic3d", 5, 8, 32, (("depth", 2), ("widths", (4, 6))))
    work = Work("students", network, clips=100, passes=LEARN, together=10, copies=3)
    assert work.flops == 300 * network.flops
    assert work.memory == 3 * network.weights + 10 * network.kept


GIVEN = {
    "dataset": "miniucf", "frames": 16, "size": 112, "seeds": [0, 1, 2], "ipc": 5, "protocol": "A", "student": "",
    "student_options": {}, "epochs": 500, "batch_size": 256,
}  # fmt: skip


def test_mtt_counts_the_epochs_that_are_read_and_every_unrolled_step():
    plan = Plan(GIVEN)
    options = {"iterations": 8000, "syn_steps": 10, "batch_syn": 256, "max_start_epoch": 10, "expert_epochs": 1}
    experts, unrolled = plan.mtt(options, {"count": 30, "batch_size": 256}, plan.network())
    assert experts.clips == 30 * 10 * 4662  # nine start epochs after the first, and the one that is matched
    assert (unrolled.clips, unrolled.passes) == (3 * 8000 * 10 * 250, UNROLLED)  # all 250 clips in each step


def test_real_clips_are_no_more_than_a_class_has_and_frozen_networks_get_no_gradient():
    plan = Plan(GIVEN)
    real, distilled = plan.dm({"iterations": 10, "batch_real": 64}, plan.network())
    assert (real.clips, real.passes) == (3 * 10 * 50 * 64, LOOK)
    assert (distilled.clips, distilled.passes, distilled.together) == (3 * 10 * 250, FROZEN, 250)
    real, images = plan.static_dc({"iterations": 10, "batch_real": 256}, 100)
    assert (
        real.clips == pytest.approx(3 * 10 * 4662) and images.passes == SECOND_ORDER
    )  # every clip of the training split


def test_tsgf_makes_one_set_of_dm_and_its_ablations_share_a_teacher():
    params = {
        name: ROOT / f"params/paper/{name}.yaml" for name in ("11_tsgf/miniucf_ipc1", "12_tsgf_ablations/mask_ipc1")
    }
    notebooks = {name: ROOT / "notebooks" / f"{name.partition('/')[0]}.ipynb" for name in params}
    work = {name: forecast.work_of(notebooks[name], path) for name, path in params.items()}
    first = {part.what: part.clips for part in work["11_tsgf/miniucf_ipc1"]}
    assert first["real clips"] == 5000 * 50 * 64 and first["recovered clips"] == 4 * 1000 * 50
    assert first["teachers"] == 3 * 500 * 4662
    teachers = [part for part in work["12_tsgf_ablations/mask_ipc1"] if part.what == "teachers"]
    assert [part.clips for part in teachers] == [2 * 500 * 4662]


def test_students_are_tested_as_often_as_the_protocol_says():
    trained, tested = Plan(GIVEN).students(2)
    assert trained.clips == 2 * 3 * 500 * 250 and tested.clips == 2 * 3 * 1861 * 3


def test_every_paper_job_has_its_row_and_the_committed_table_is_of_these_files():
    files = sorted((ROOT / "params/paper").glob("*/*.yaml"))
    found = forecast.forecast(files, ROOT / "notebooks").set_index("job")
    kept = pd.read_csv(ROOT / "figures/paper/forecast.csv").set_index("job")
    told = "the params files or the networks have changed: run `vdd forecast`"
    assert list(found.index) == list(kept.index), told
    for column in forecast.COLUMNS[2:]:
        assert found[column].tolist() == pytest.approx(kept[column].tolist(), rel=1e-3, abs=1e-5), told
    uncounted = {p.parent.name for p in files} - set(workload.WORK)
    assert uncounted == {"01_datasets", "20_tables_and_figures", "22_searches"}
    assert (found["PFLOP"] > 0).all() and (found["GPU memory (GiB)"] > 1).all()
    assert (found["CPU core-hours"] > 0).sum() == sum(p.parent.name == "13_optdistill" for p in files)


def test_ten_clips_per_class_take_more_than_one_and_a_faster_gpu_less():
    files = [ROOT / f"params/paper/11_tsgf/miniucf_ipc{ipc}.yaml" for ipc in (10, 20)]
    table = forecast.forecast(files, ROOT / "notebooks")
    assert table["PFLOP"].is_monotonic_increasing
    fast = forecast.forecast(files, ROOT / "notebooks", sustained=2 * forecast.SUSTAINED)
    assert fast["GPU hours"].tolist() == pytest.approx((table["GPU hours"] / 2).tolist())


def test_what_cannot_be_counted_is_named(tmp_path, monkeypatch):
    params = tmp_path / "params/paper/04_dm/wrong.yaml"
    params.parent.mkdir(parents=True)
    params.write_text("dataset: motions\niterations: 5\nmistake: 1\n")
    with pytest.raises(VddError, match="mistake"):
        forecast.forecast([params], ROOT / "notebooks")
    params.write_text("dataset: nowhere\n")
    with pytest.raises(VddError, match="how many videos nowhere has is not known"):
        forecast.forecast([params], ROOT / "notebooks")
    monkeypatch.setattr(forecast, "project_root", lambda: tmp_path / "empty")
    with pytest.raises(VddError, match="params/paper has no params file"):
        forecast.write("paper")
