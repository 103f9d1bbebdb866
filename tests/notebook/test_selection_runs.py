"""Selectors side by side: cases, one run of each experiment at a tiny size, records, tables, sentences."""

import pytest

from vddlib.core.errors import VddError
from vddlib.evaluation import protocol
from vddlib.notebook import case_runs, selection_runs
from vddlib.results.methods import method_of
from vddlib.training.networks import Network

NARROW = Network(name="minic3d", options={"depth": 2, "widths": [4, 4]})
FIELDS = {
    "embedding": {"network": NARROW, "weights": "random"},
    "vst_unet": {"latents": "pixels", "epochs": 1, "width": 4, "depth": 1},
}
METHODS = ["random", "herding", "mae_score", "csta", "dm_mmd", "vst_unet", "tac_dt", "prototypes"]


def setting(tiny, pool=None, fair=(), seeds=(0, 1)) -> selection_runs.Setting:
    train, test = tiny
    own = protocol("C", epochs=1, batch_size=4)
    return selection_runs.Setting(train, test, 2, FIELDS, own, NARROW, fair, 2, seeds, "cpu", pool)


def test_all_selectors_side_by_side(tiny):
    here = setting(tiny, fair=["F"], seeds=[3])
    found = case_runs.run(selection_runs.all_cases(METHODS), here)
    table = selection_runs.table(found)
    assert list(table["selector"][:3]) == ["Random", "Herding", "MAE-Score"] and table["C auc"].between(0, 100).all()
    rows = selection_runs.records(found, "named")
    asked = [(row["method"], row["protocol"]) for row in rows]
    assert ("random", "C") in asked and ("random", "F") not in asked  # notebook 03 has these
    assert ("vst_unet[real]", "F") in asked and {row["variant"] for row in rows} == {"named"}
    assert all(method_of(row["method"]) for row in rows)
    frames, names = selection_runs.kept_frames(found, 1, 3)
    assert frames.shape == (8, 2, 32, 32, 3) and names[-1] == "Prototypes"
    embedded, places = here.embedded(1)
    assert embedded.shape[0] == len(places) == 6
    kept = selection_runs.chosen_places(found, places, 3)
    assert set(kept) == set(METHODS) and all(len(one) == 2 for one in kept.values())
    said = selection_runs.sentences(found)
    assert 2 <= len(said) <= 5 and said[0].startswith("Random under protocol C") and "of 7" in said[-1]


@pytest.mark.parametrize("experiment", selection_runs.ASKED)
def test_every_experiment_runs_and_is_recorded(tiny, experiment):
    cases = selection_runs.cases_of(experiment, ["network", "untrained"])
    found = case_runs.run(cases, setting(tiny, seeds=[0]))
    rows = selection_runs.records(found, "x")
    assert [row["method"] for row in rows] == [case.method or "random" for case in cases]
    assert len({row["method"] for row in rows}) == len(cases)  # no two are one record
    assert selection_runs.table(found)["C top1"].between(0, 100).all()


def test_the_cases_are_those_of_the_paper_s_table():
    found = [case_runs.Result(case, {}, {}) for case in selection_runs.cases_of("losses")]
    published = selection_runs.published_table(found, 6, 5)
    assert published["top1"].tolist() == [31.77, 40.18, 39.80, 41.81]
    found = [case_runs.Result(case, {}, {}) for case in selection_runs.all_cases(METHODS)]
    published = selection_runs.published_table(found, 4, 5)
    mini = published[published["dataset"] == "miniucf"].set_index("method")
    assert mini.loc["tac_dt", "auc"] == 88.73 and mini.loc["random[generated]", "top1"] == 38.0
    assert set(published["ipc"]) == {5} and set(selection_runs.published_table(found, 4, 3)["ipc"]) == {1, 5, 10}


def test_what_each_case_changes():
    cases = {case.method: dict(case.change) for case in selection_runs.cases_of("printed")}
    assert cases["vst_unet"] == {} and cases["vst_unet[both as printed]"] == {
        "representativeness": "printed", "order": "lowest",
    }  # fmt: skip


def test_what_cannot_be_compared_is_refused(tiny):
    with pytest.raises(VddError, match="unknown experiment 'loss'"):
        selection_runs.cases_of("loss")
    with pytest.raises(VddError, match="embedders: \\[network, untrained, kinetics\\]"):
        selection_runs.cases_of("embedders")
    with pytest.raises(VddError, match=r"unknown selector .dm.: .*random"):
        selection_runs.all_cases(["random", "dm"])
    assert selection_runs.candidates("real", tiny[0], {}) is None
    with pytest.raises(VddError, match="latte: widht"):
        selection_runs.candidates("generated", tiny[0], {"widht": 8})
