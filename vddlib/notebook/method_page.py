"""What the notebook of every optimising method repeats, a call per cell: sets, losses, pictures, students, tables, the end."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean

import pandas as pd
from IPython.display import HTML, Markdown

from vddlib import plots, results
from vddlib.core.errors import VddError
from vddlib.core.progress import one_line, say
from vddlib.datasets.clips import Clips
from vddlib.distillers import TSGF, DistilledSet, Optimised, Random
from vddlib.distillers.matching.gates import Gate, SecondTeacher, gate
from vddlib.distillers.matching.optimising import History
from vddlib.evaluation.evaluate import Report, evaluate_each
from vddlib.evaluation.protocols import Protocol
from vddlib.notebook import outputs, shares, show
from vddlib.notebook.conclude import compare_by_seed, conclusion, mean_by_seed, spread
from vddlib.notebook.fair import fair_students
from vddlib.plots.style import Drawing
from vddlib.training.networks import Network, TrainedNetwork

STUDENT_COLUMNS = [
    "method", "protocol", "ipc", "student", "seed", "top1", "top5", "auc", "f1", "train_top1", "moved", "gate",
    "distill_seconds", "train_seconds",
]  # fmt: skip
LONG_COLUMNS = ["student", "teacher", "frames", "size", "epochs", "remark"]  # left out beside published values
STRIPS = 4  # classes shown before and after
AVERAGED = 10  # iterations that the smooth line of a loss averages over


def gates(
    method: Optimised, train: Clips, sets: Mapping[int, DistilledSet], histories: Mapping[int, History]
) -> dict[int, Gate]:
    """By seed: whether distilling `train` did what the method is for. TSGF is asked by a teacher of the seed after its own."""
    second = SecondTeacher.of(method.teacher(train, another=1), train) if isinstance(method, TSGF) else None
    return {seed: gate(distilled, histories[seed], second) for seed, distilled in sets.items()}


@dataclass
class MethodPage:
    """One method at the notebook's scale, over several seeds.

    Every seed gets a distilled set and a student, and beside it a student on the real clips that `Random` keeps for the same
    seed: the clips that distillation begins with, where it begins with real ones. Sets and students are made when they are
    first asked for, or come out of the cache. Each figure and table is saved under the name of the call that makes it.

    `method` may store anything (`DM(stored=...)` is a method of its own, and named so in every caption). `variant` names
    rows that depart from the usual values of a scale. `fair` names the fair protocols ('F', 'F-soft') under which students
    are trained besides, all with `fair_steps` optimiser steps (0: as many as the dataset's setting says).
    """

    method: Optimised
    train: Clips
    test: Clips
    ipc: int
    seeds: Sequence[int]
    protocol: Protocol
    network: Network
    device: str = "auto"
    variant: str = ""
    fair: Sequence[str] = ()
    fair_steps: int = 0
    recorded: dict[tuple[str, str], Report] = field(default_factory=dict, init=False)  # by method and protocol
    report: Report | None = field(default=None, init=False)  # students on the distilled sets
    random_report: Report | None = field(default=None, init=False)  # students on random clips
    fair_reports: dict[str, tuple[Report, Report]] = field(
        default_factory=dict, init=False
    )  # the same by fair protocol

    @property
    def name(self) -> str:
        """The method's name in print."""
        return results.display(self.method.method)

    @property
    def setting(self) -> str:
        """Dataset and size of the sets, for captions."""
        return f"{self.train.dataset}, IPC {self.ipc}"

    @cached_property
    def sets(self) -> dict[int, DistilledSet]:
        """The distilled set of each seed. An interrupted distillation goes on where it was; a share of one ends here."""
        with one_line():
            return shares.sets(self.method, self.train, self.ipc, self.seeds)

    @cached_property
    def histories(self) -> dict[int, History]:
        """Losses and snapshots of each seed's distillation (of the first batch, where a method distils in batches)."""
        return {seed: self.method.history(self.train, self.ipc, seed) for seed in self.seeds}

    @cached_property
    def gates(self) -> dict[int, Gate]:
        """Whether each seed's distillation did what the method is for."""
        with one_line():  # a gate may train a second teacher
            return gates(self.method, self.train, self.sets, self.histories)

    @cached_property
    def random_sets(self) -> dict[int, DistilledSet]:
        """The real clips that `Random` keeps for each seed, with hard labels."""
        return {seed: Random().distill(self.train, self.ipc, seed) for seed in self.seeds}

    def distil(self) -> HTML:
        """Distil every set that is not in the cache, and keep it beside the run.

        A table: seconds, how far the clips moved, first and last loss, gate.
        `moved` is the mean absolute change of a pixel since the start, in grey levels (0 to 255). `gate` says whether the
        run distilled at all (see `distillers.matching.gates`); one that did not also prints a line.
        """
        outputs.keep(self.sets)
        losses = [self.histories[seed].values["loss"] for seed in self.seeds]
        cards = [distilled.card for distilled in self.sets.values()]
        columns = {
            "seed": [str(seed) for seed in self.seeds],
            "clips": [len(distilled) for distilled in self.sets.values()],
            "seconds": [card["distill_seconds"] for card in cards],
            "moved": [f"{card['moved']:.3g}" for card in cards],
            "first loss": [f"{values[0]:.4g}" for values in losses],
            "last loss": [f"{values[-1]:.4g}" for values in losses],
            "gate": [one.said for one in self.gates.values()],
        }
        for seed, one in self.gates.items():
            if not one.passed:
                say(f"{self.name} on {self.setting}, seed {seed}: gate {one}; this set says nothing of the method")
        return show.table(pd.DataFrame(columns))

    def losses(self, parts: Mapping[str, str] | None = None, log: bool = False) -> Drawing:
        """Figure `losses`: a line per seed, or the `parts` of the first seed's loss (printed name -> name in the history)."""
        if parts is None:
            lines = {f"seed {seed}": history.values["loss"] for seed, history in self.histories.items()}
            what = "loss by iteration, one line per seed"
        else:
            lines = {printed: self._first.values[name] for printed, name in parts.items()}
            what = "parts of the loss"
        drawing = plots.losses(lines, log=log, window=AVERAGED)
        return outputs.figure(drawing, "losses", f"{self.name} on {self.setting}: {what}.", self.train)

    def evolution(self) -> Drawing:
        """Figure `evolution`: middle frames of the first clip of up to eight classes, from first to last (first seed)."""
        drawing = plots.evolution(self._first.snapshots, self._first.iterations, self.train.classes)
        caption = f"{self.name} on {self.setting}: middle frames of clips while they are distilled."
        return outputs.figure(drawing, "evolution", caption, self.train)

    def before_after(self) -> Drawing:
        """Figure `before_after`: whole clips of up to four classes, as they began and as they ended (first seed)."""
        snapshots = self._first.snapshots  # [S, k, T, H, W, 3]
        shown = range(min(STRIPS, snapshots.shape[1]))
        strips = [snapshots[place, k] for k in shown for place in (0, -1)]
        titles = [f"{self.train.classes[k]}, {when}" for k in shown for when in ("before", "after")]
        caption = f"{self.name} on {self.setting}: clips before and after."
        return outputs.figure(plots.filmstrip(strips, titles), "before_after", caption, self.train)

    def students(
        self,
        label_random: Callable[[DistilledSet], DistilledSet] | None = None,
        record_random: bool = False,
        teacher: TrainedNetwork | None = None,
    ) -> HTML:
        """Train the students, record them, and show their rows.

        `label_random` gives random clips the labels that the protocol asks for. `record_random`: whether their rows are
        recorded here; under protocol A notebook 03 records them. `teacher` is for protocols whose labels are a teacher's.
        """
        options = {"network": self.network, "device": self.device, "teacher": teacher}
        chosen = {seed: label_random(one) if label_random else one for seed, one in self.random_sets.items()}
        self.report = evaluate_each(self.sets, self.test, self.protocol, **options)
        self.random_report = evaluate_each(chosen, self.test, self.protocol, **options)
        print(self.report, self.random_report, sep="\n")
        self.record(self.report)
        if record_random:
            self.record(self.random_report)
        self._fair_students()
        return self.student_table()

    def _fair_students(self) -> None:
        """The same sets under the fair protocols. Notebook 03 records random clips under these."""
        options = {"steps": self.fair_steps, "device": self.device}
        for name in self.fair:
            ours, random = (
                fair_students(sets, self.train, self.test, [name], **options)[name]
                for sets in (self.sets, self.random_sets)
            )
            self.fair_reports[name] = (ours, random)
            self.record(ours)

    def record(self, report: Report) -> None:
        """Add a report to this run's records and to the tables below; one of the same method and protocol is replaced."""
        first = report.rows[0]
        self.recorded[first["method"], first["protocol"]] = report
        results.record(self.rows)

    @property
    def rows(self) -> list[dict]:
        """All recorded rows, one per student, with the variant where there is one, and the gate of the method's own sets."""
        named = {"variant": self.variant} if self.variant else {}
        rows = [row | named for report in self.recorded.values() for row in report.rows]
        return [row | self._gated(row) for row in rows]

    def student_table(self) -> HTML:
        """The recorded students: metrics in percent, `train_top1` on their own clips, `moved` in grey levels."""
        table = pd.DataFrame(self.rows).reindex(columns=STUDENT_COLUMNS)
        table["ipc"] = table["ipc"].astype("Int64")  # the whole train split has none
        table["moved"] = ["" if pd.isna(value) else f"{value:.3g}" for value in table["moved"]]
        return show.table(table)

    def against_random(self) -> HTML:
        """Table `against_random`: top-1 in percent by protocol and seed, on distilled and random clips, and the difference."""
        parts = []
        for protocol, (ours, random) in self._pairs().items():
            columns = {"protocol": protocol, "seed": list(map(str, self.seeds)), self.name: ours, "Random": random}
            parts.append(pd.DataFrame(columns))
        table = pd.concat(parts, ignore_index=True)
        table["difference"] = table[self.name] - table["Random"]
        outputs.table(table, "against_random", f"{self.setting}: top-1, percent", clips=self.train)
        return show.table(table)

    def published(self) -> HTML:
        """The recorded means beside published ones; `published_on` names the dataset and the protocol of those."""
        beside = results.compare(pd.DataFrame(self.rows))
        return show.table(beside.drop(columns=LONG_COLUMNS))

    def conclude(self, *more: str, random_name: str = "Random") -> Markdown:
        """At most five sentences: accuracy against random clips, under the paper's protocol and under the first fair one, how
        far the clips moved, the loss, and at most one of `more`.

        `random_name` says what those clips are under the paper's protocol, where they have other labels than `Random`'s own.
        """
        (own, values), *fair = self._pairs().items()
        sentences = [] if fair else [mean_by_seed(f"{self.name} under protocol {own}", values[0])]
        sentences.append(compare_by_seed(self.name, values[0], random_name, values[1]))
        for protocol, (ours, random) in fair[:1]:
            sentences.append(compare_by_seed(f"Under protocol {protocol}, {self.name}", ours, "Random", random))
        sentences += [
            moved_sentence([distilled.card["moved"] for distilled in self.sets.values()]),
            loss_sentence([history.values["loss"] for history in self.histories.values()]),
        ]
        return conclusion([*sentences, *more])

    def _gated(self, row: dict) -> dict[str, str]:
        """The column `gate` of a row, where a set of this page's method was learned."""
        return {"gate": self.gates[row["seed"]].said} if row["method"] == self.method.method else {}

    @property
    def _first(self) -> History:
        """The history of the first seed, whose pictures stand for all."""
        return self.histories[self.seeds[0]]

    def _pairs(self) -> dict[str, tuple[list[float], list[float]]]:
        """By protocol: top-1 by seed, on distilled and on random clips. Raises VddError before students are trained."""
        if self.report is None or self.random_report is None:
            raise VddError(f"{self.name}: no students yet; call students() before what compares them")
        reports = {self.protocol.name: (self.report, self.random_report), **self.fair_reports}
        return {name: (ours.values(), random.values()) for name, (ours, random) in reports.items()}


def moved_sentence(moved: Sequence[float]) -> str:
    """How far a pixel moved in the mean; ``moved`` holds the grey levels (0 to 255) of every seed's set."""
    return f"Distillation moved a pixel by {fmean(moved):.2g} of 255 grey levels in the mean ({spread(moved, '.2g')})."


def loss_sentence(losses: Sequence[Sequence[float]]) -> str:
    """Whether the loss fell. ``losses`` holds each seed's values by iteration.

    Means of the first and the last fifth of the iterations are compared: single values jump where every iteration has
    another network or other real clips.
    """
    fifths = [max(1, len(values) // 5) for values in losses]
    first = [fmean(values[:n]) for values, n in zip(losses, fifths, strict=True)]
    last = [fmean(values[-n:]) for values, n in zip(losses, fifths, strict=True)]
    fell = sum(after < before for before, after in zip(first, last, strict=True))
    change = f"from {fmean(first):.3g} to {fmean(last):.3g}"
    return f"The loss went {change} (means of the first and the last fifth), and fell in {fell} of {len(losses)} seeds."
