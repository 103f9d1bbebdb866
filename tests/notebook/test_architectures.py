"""Every method's sets for students of every architecture: protocols, records, tables and the agreement of their orders."""

import pytest

from vddlib import distillers
from vddlib.core.errors import VddError
from vddlib.evaluation.evaluate import Report
from vddlib.notebook import architectures
from vddlib.notebook.architectures import Result
from vddlib.results.ablations import EXPERIMENTS
from vddlib.training.networks import Network

NARROW = Network(name="minic3d", options={"depth": 2, "widths": [4, 4]})
FRAMEWISE = Network(name="cnn_gru", options={"width": 4, "hidden": 4})


def setting(tiny, **changes) -> architectures.Setting:
    recipes = {"A": {"epochs": 1, "batch_size": 4}, "C": {"epochs": 1}, "D": {"epochs": 1, "batch_size": 4, "lr": 0.01}}
    fields = {"students": [NARROW, FRAMEWISE], "recipes": recipes, "fair_steps": 1, "device": "cpu"}
    return architectures.Setting(*tiny, **fields | changes)


def test_a_student_of_each_architecture_learns_from_each_set(tiny):
    train, _ = tiny
    built = {
        "random": distillers.Random(),
        "prototypes": distillers.build("prototypes", weights="random", network=NARROW),
    }
    sets = {name: {seed: one.distill(train, 1, seed) for seed in (0, 1)} for name, one in built.items()}
    found = architectures.run(built, sets, setting(tiny, fair=["F", "F-soft"]))
    assert [(one.method, one.student.name, one.protocol) for one in found[:3]] == [
        ("random", "minic3d", "A"), ("random", "minic3d", "F"), ("random", "minic3d", "F-soft")
    ]  # fmt: skip
    assert (
        len(found) == 2 * 2 * 3 and found[-3].protocol == "C"
    )  # prototypes are measured as the diffusion paper's selectors
    rows = architectures.records(found)
    assert {row["variant"] for row in rows} == {"classifiers"} < set(EXPERIMENTS)  # a selector is among them
    assert {row["variant"] for row in architectures.records(found[:6])} == {"cross-architecture"} < set(EXPERIMENTS)
    assert {row["student"].partition("(")[0] for row in rows} == {"minic3d", "cnn_gru"}
    fair = architectures.table(found, fair=True)
    assert list(fair) == ["method", "protocol", "MiniC3D", "CNN+GRU"] and len(fair) == 4
    assert fair["MiniC3D"][0].endswith(")")  # a spread over seeds
    said = architectures.sentences(found, "F")
    assert len(said) == 2 and said[0].startswith("For MiniC3D under F, told apart from random clips")


def test_own_protocols_have_the_recipes_and_tsgfs_mixing(tiny):
    given, tsgf = setting(tiny), distillers.TSGF(epsilon=0.3, temperature=7.0)
    chosen = given.own(tsgf)
    assert (chosen.name, chosen.recipe.lr, chosen.recipe.temperature) == ("D", 0.01, 7.0)
    assert chosen.augmentation[0][0] == "tsgf_videomix" and chosen.augmentation[0][1]["epsilon"] == 0.3
    with pytest.raises(VddError, match="frepo is measured under protocol A': recipes names none"):
        given.own(distillers.FRePo())


def result(method, student, top1, protocol="F"):
    rows = [{"top1": value} for value in top1]
    return Result(method, student, Report(rows, [], None, ()), protocol)


def test_agreement_is_kendalls_tau_of_the_means():
    means = {"random": (10, 30), "dm": (20, 20), "mtt": (30, 10)}
    found = [
        result(name, one, [value])
        for name, pair in means.items()
        for one, value in zip((NARROW, FRAMEWISE), pair, strict=True)
    ]
    table = architectures.agreement(found, "F")
    assert table.values.tolist() == [["MiniC3D", "CNN+GRU", 3, -1.0]]  # the opposite order
    assert architectures.agreement(found[:4], "F").empty  # of two methods it says nothing
    assert architectures.agreement(found, "A").empty


def test_what_is_told_apart_is_said_after_holms_correction():
    base = [10.0, 12.0, 11.0, 13.0]
    found = [
        result("random", NARROW, base),
        result("dm", NARROW, [value + more for value, more in zip(base, (10, 10.5, 9.5, 10), strict=True)]),
        result("mtt", NARROW, [value + more for value, more in zip(base, (1, 3, 0.2, 1.9), strict=True)]),
    ]
    (said,) = architectures.sentences(found, "F")  # of MTT p is 0.08
    assert said == "For MiniC3D under F, told apart from random clips (11.5 %): DM (+10.0) of 2."
    alone = architectures.sentences([found[0], result("mtt", NARROW, [11.5, 13.4, 11.2, 14.9])], "F")
    assert alone[0].endswith("none of 1.") or "MTT" in alone[0]
    assert architectures.sentences(found[:1], "F") == []
