"""The page of a method: its tables against what they are made of, its files, its sentences, and composed methods."""

import csv
import json
import re
from typing import ClassVar

import pytest
import torch

from vddlib import distillers
from vddlib.core.errors import VddError
from vddlib.distillers.matching.frepo import with_scaled_labels
from vddlib.distillers.stored.contract import Storage
from vddlib.distillers.stored.pixels import FreePixels, Pixels
from vddlib.evaluation import evaluate, evaluate_each, protocol
from vddlib.notebook.method_page import MethodPage, loss_sentence, moved_sentence
from vddlib.results.records import read
from vddlib.training.networks import Network

SMALL = Network(options={"depth": 1, "widths": (8,)})
SEEDS = [0, 3]
FILES = ("losses.svg", "evolution.*", "before_after.*", "against_random.csv", "against_random.md")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The folder of a run, as the runner gives one."""
    monkeypatch.setenv("VDD_RUN", str(tmp_path / "run"))
    return tmp_path / "run"


def page_of(tiny, method=None, letter="A", **options):
    train, test = tiny
    method = method or distillers.DM(iterations=4, batch_real=2, lr_pixels=0.01, network=SMALL, device="cpu")
    return MethodPage(method, train, test, 1, SEEDS, protocol(letter, epochs=2, batch_size=4), SMALL, "cpu", **options)


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_page_leaves_its_figures_tables_and_records(tiny, run):
    page = page_of(tiny, variant="short")
    shown = page.distil().data
    assert shown.count("<tr>") == 1 + len(SEEDS) and "moved" in shown
    for drawing in (page.losses(), page.evolution(), page.before_after()):
        assert drawing.axes
    assert "moved" in page.students().data
    page.against_random(), page.published()
    assert all(path.stat().st_size for name in FILES for path in [next((run / "figures").glob(name))])
    rows = table(run / "records.csv")
    assert [(row["method"], row["seed"], row["variant"]) for row in rows] == [
        ("dm", "0", "short"),
        ("dm", "3", "short"),
    ]
    assert [float(row["moved"]) for row in rows] == [pytest.approx(page.sets[s].card["moved"], rel=0.01) for s in SEEDS]
    caption = json.loads((run / "figures" / "losses.json").read_text())["caption"]
    assert caption == "DM on tiny, IPC 1: loss by iteration, one line per seed."


def test_the_gate_stands_on_the_page_and_in_the_rows_of_the_method_s_sets(tiny, run, capsys):
    still = distillers.DM(iterations=1, batch_real=2, lr_pixels=1e-9, network=SMALL, device="cpu")
    page = page_of(tiny, still)
    shown = page.distil().data
    lines = [line for line in capsys.readouterr().out.splitlines() if "gate" in line]
    assert len(lines) == len(SEEDS) and lines[0].startswith("DM on tiny, IPC 1, seed 0: gate failed: moved ")
    assert shown.count("failed: moved") == len(SEEDS)
    page.students(record_random=True)
    rows = table(run / "records.csv")
    assert {row["gate"] for row in rows if row["method"] == "random"} == {""}
    assert [row["gate"] for row in rows if row["method"] == "dm"] == [page.gates[seed].said for seed in SEEDS]
    assert list(read(run / "records.csv")["gate"]) == [row["gate"] for row in rows]


def test_a_gate_that_is_passed_prints_no_line(tiny, run, capsys):
    moving = distillers.DM(iterations=8, batch_real=2, lr_pixels=1.0, network=SMALL, device="cpu")
    page = page_of(tiny, moving)
    assert page.distil().data.count("passed: moved") == len(SEEDS)
    assert "gate" not in capsys.readouterr().out


def test_students_and_random_ones_are_those_of_the_same_seeds(tiny, run):
    page = page_of(tiny)
    page.students()
    for seed, ours, random in zip(SEEDS, page.report.values(), page.random_report.values(), strict=True):
        for method, value in ((page.method, ours), (distillers.Random(), random)):
            one = method.distill(page.train, 1, seed)
            alone = evaluate(one, page.test, page.protocol, seeds=[seed], network=SMALL, device="cpu")
            assert alone.values() == [value]
    page.against_random()
    rows = table(run / "figures" / "against_random.csv")
    assert [row["seed"] for row in rows] == ["0", "3"] and set(rows[0]) == {
        "protocol",
        "seed",
        "DM",
        "Random",
        "difference",
    }
    for row in rows:
        assert float(row["difference"]) == pytest.approx(float(row["DM"]) - float(row["Random"]), abs=1e-6)


def test_random_clips_get_the_labels_of_the_protocol_and_are_recorded_where_asked(tiny, run):
    method = distillers.FRePo(iterations=2, batch_real=2, pool=2, max_updates=2, network=SMALL, device="cpu")
    page = page_of(tiny, method, "A'")
    with pytest.raises(VddError, match="learned labels, and random stores hard ones"):
        page.students()
    page.students(label_random=with_scaled_labels, record_random=True)
    rows = table(run / "records.csv")
    assert sorted((row["method"], row["protocol"]) for row in rows) == [("frepo", "A'")] * 2 + [("random", "A'")] * 2
    assert all((row["moved"] == "") == (row["method"] == "random") for row in rows)


def test_a_report_of_another_protocol_joins_the_records_and_one_of_the_same_replaces(tiny, run):
    page = page_of(tiny)
    page.students()
    other = evaluate_each(page.random_sets, page.test, protocol("A", epochs=1), network=SMALL, device="cpu")
    for _ in range(2):
        page.record(other)
    assert len(page.rows) == len(table(run / "records.csv")) == 4
    assert page.student_table().data.count("<tr>") == 5


def test_parts_of_a_loss_are_those_of_the_first_seed(tiny, run):
    method = distillers.FRePo(iterations=3, batch_real=2, pool=2, max_updates=2, network=SMALL, device="cpu")
    page = page_of(tiny, method, "A'")
    drawing = page.losses({"error": "regression"})
    lines = drawing.axes[0].get_lines()
    assert list(lines[0].get_ydata()) == page.histories[0].values["regression"]


def test_the_conclusion_is_computed(tiny, run):
    page = page_of(tiny)
    with pytest.raises(VddError, match="DM: no students yet"):
        page.conclude()
    page.students()
    sentences = page.conclude("One more.", random_name="the same clips").data.splitlines()
    assert len(sentences) == 5 and sentences[-1] == "- One more."
    mean = sum(page.report.values()) / 2
    assert sentences[0].startswith(f"- DM under protocol A reaches {mean:.1f} % (std")
    assert re.fullmatch(
        r"- DM is (.* points (above|below)|level with) the same clips.* \(std .* over 2 seeds\): .*told apart\.",
        sentences[1],
    )
    moved = [page.sets[seed].card["moved"] for seed in SEEDS]
    assert sentences[2] == f"- {moved_sentence(moved)}" and sentences[3].startswith("- The loss went from")
    with pytest.raises(VddError, match="6 sentences"):
        page.conclude("One more.", "And another.")


def test_sentences_of_hand_worked_numbers():
    # Fifths of ten values are two: means 9.5 and 1.5 of the first seed, 4 and 4 of the second.
    falling, level = [float(10 - i) for i in range(10)], [4.0] * 10
    text = loss_sentence([falling, level])
    assert text == "The loss went from 6.75 to 2.75 (means of the first and the last fifth), and fell in 1 of 2 seeds."
    assert "from 3 to 1 (" in loss_sentence([[3.0, 2.0, 1.0]])
    # 2 and 4: mean 3, std 1.41.
    assert moved_sentence([2, 4]) == (
        "Distillation moved a pixel by 3 of 255 grey levels in the mean (std 1.4 over 2 seeds)."
    )
    assert moved_sentence([0.25]) == "Distillation moved a pixel by 0.25 of 255 grey levels in the mean (one seed)."


def test_a_composed_method_has_a_page_of_its_own_name(tiny, run, monkeypatch):
    monkeypatch.setattr(Storage, "registry", dict(Storage.registry))

    class Halves(FreePixels):
        """A storage that gives its clips back at half their contrast."""

        suffix: ClassVar[str] = "vdsd"  # a name that records know

        def finished(self, content, train):
            return Pixels(content.clips.data / 2, content.mean, content.std)

    method = distillers.build("dm+vdsd", iterations=2, batch_real=2, lr_pixels=1e-3, network=SMALL, device="cpu")
    assert isinstance(method.stored, Halves)
    page = page_of(tiny, method)
    page.students()
    assert page.name == "DM + VDSD" and {row["method"] for row in page.rows} == {"dm+vdsd"}
    assert page.conclude().data.startswith("- DM + VDSD under protocol A reaches")
    start = method.content(page.train, 1, 0).clips.detach()
    assert torch.allclose(page.sets[0].content.clips, start / 2, atol=0.01)
