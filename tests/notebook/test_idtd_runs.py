"""IDTD's ablations: the cases of every experiment, one run of each at a tiny size, gains by class."""

import pytest
import torch

from vddlib.core.errors import VddError
from vddlib.evaluation import protocol
from vddlib.evaluation.evaluate import Report
from vddlib.notebook import case_runs, idtd_runs
from vddlib.results.ablations import EXPERIMENTS
from vddlib.results.methods import method_of
from vddlib.training.networks import Network

NARROW = Network(name="minic3d", options={"depth": 2, "widths": [4, 4]})


def setting(tiny) -> idtd_runs.Setting:
    few = {"iterations": 2, "batch_real": 3, "lr_pixels": 1.0}
    fields = {"idtd": {**few, "stored": {"selectors": 3}}, "dm+vdsd": {**few, "stored": {"images": "frames"}}}
    own = protocol("B", epochs=1, batch_size=4)
    return idtd_runs.Setting(*tiny, 1, fields, own, NARROW, [], 0, [0, 1])


@pytest.mark.parametrize("experiment", idtd_runs.ASKED)
def test_every_experiment_runs_and_is_recorded(tiny, experiment):
    cases = idtd_runs.cases_of(experiment, 3, [2, 8])  # of two segments eq. 1 as printed compares no pair
    found = case_runs.run(cases, setting(tiny))
    rows = case_runs.records(found, experiment)
    assert len(rows) == 2 * len(cases) and {row["variant"] for row in rows} == {experiment}
    assert [row["method"] for row in rows[::2]] == [case.method for case in cases]
    assert all(method_of(case.method).protocol for case in cases) and EXPERIMENTS[experiment].paper == "idtd"
    table = case_runs.table(found)
    assert list(table["case"]) == [case.printed for case in cases] and table["B"].between(0, 100).all()
    assert idtd_runs.figure(found, "B").axes and 2 <= len(case_runs.sentences(found, "B")) <= 5
    sets = [result.sets[0] for result in found]
    assert len({str(one.state()) for one in sets}) == len(sets)  # no two cases are the same


def test_the_papers_tables_have_the_cases():
    for experiment, number, means in (
        ("modules", 3, [14.99, 18.4, 18.57, 22.52]),
        ("losses", 4, [13.82, 15.81, 20.04, 22.52]),
    ):
        found = [case_runs.Result(case, {}, {}) for case in idtd_runs.cases_of(experiment, 8)]
        published = idtd_runs.published_table(found)
        assert (
            published[published["table"] == number]["mean"].tolist()[:3] == means[:3]
            and means[3] in published["mean"].tolist()
        )


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(VddError, match="lengths: \\[2, 4, 8\\]"):
        idtd_runs.cases_of("lengths", 8)
    with pytest.raises(VddError, match="unknown experiment 'frame'"):
        idtd_runs.cases_of("frame", 8)


def test_gains_by_class():
    labels = torch.tensor([0, 0, 1, 1])

    def report(*guesses):
        logits = [torch.nn.functional.one_hot(torch.tensor(one), 2).float() for one in guesses]
        return Report([], logits, labels, ("a", "b"))

    table = idtd_runs.gains(report([0, 0, 1, 0], [0, 1, 1, 1]), report([0, 1, 1, 1], [1, 1, 1, 1]))
    assert table["IDTD"].tolist() == [75, 75] and table["stitched"].tolist() == [25, 100]
    assert table["gain"].tolist() == [50, -25]
