"""VDSD's cases: what each changes, and one run of all at a tiny size."""

import pytest

from vddlib import distillers
from vddlib.core.errors import VddError
from vddlib.evaluation import protocol
from vddlib.notebook import case_runs, vdsd_runs
from vddlib.results.ablations import EXPERIMENTS
from vddlib.results.methods import method_of
from vddlib.training.networks import Network

NARROW = Network(name="minic3d", options={"depth": 2, "widths": [4, 4]})


def dm_over_vdsd(**memory) -> distillers.Distiller:
    stored = distillers.VDSD(images="frames", **memory)
    return distillers.DM(iterations=2, batch_real=3, lr_pixels=1.0, network=NARROW, device="cpu", stored=stored)


def test_each_case_changes_what_it_names_alone():
    usual, still = dm_over_vdsd(begin_as="stills"), distillers.StaticDC(device="cpu")
    first, learned, one, last = vdsd_runs.cases_of(
        usual, {"learned": {"lr_static": 1.0}, "one": {"statics": 1, "dynamics": 1}}, still
    )
    assert first.distiller is still and last.distiller is usual
    assert [case.method for case in (first, learned, last)] == ["static_dc", "dm+vdsd[learned]", "dm+vdsd"]
    assert learned.distiller.stored == usual.stored.model_copy(update={"lr_static": 1.0})
    assert (one.distiller.stored.statics, one.distiller.stored.begin_as) == (1, "stills")
    assert learned.distiller.model_copy(update={"stored": usual.stored}) == usual
    assert all(method_of(case.method).protocol == "A" for case in (learned, last))
    with pytest.raises(VddError, match="imges"):
        vdsd_runs.cases_of(usual, {"other images": {"imges": "frames"}})


def test_cases_are_run_recorded_and_told_apart(tiny):
    cases = vdsd_runs.cases_of(dm_over_vdsd(), {"learned": {"lr_static": 5.0}})
    shared = (*tiny, 1, {}, protocol("A", epochs=1, batch_size=4), NARROW, ["F"], 1, [0, 1], "cpu")
    found = case_runs.run(cases, vdsd_runs.Setting(*shared))
    rows = case_runs.records(found, vdsd_runs.VARIANT)
    assert vdsd_runs.VARIANT in EXPERIMENTS and {row["protocol"] for row in rows} == {"A", "F"}
    assert [row["method"] for row in rows[::2]] == ["dm+vdsd[learned]"] * 2 + ["dm+vdsd"] * 2
    table = case_runs.table(found)
    assert list(table["case"]) == ["learned", "as above"] and {"A", "F"} <= set(table)
    drift = [(result.sets[0].content.statics - found[1].sets[0].content.statics).abs().max() for result in found]
    assert drift[0] > 0 and drift[1] == 0  # of one seed both begin with the same images
    assert case_runs.bars(found, "F").axes
