"""TSGF's ablations as they are run: sets and students of a case, what is recorded, tabled, drawn and concluded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from vddlib import distillers, evaluation, plots, results
from vddlib.core.files import hash_array
from vddlib.datasets import clips
from vddlib.datasets.clips import Clips
from vddlib.distillers.distilled import DistilledSet
from vddlib.evaluation.evaluate import Report
from vddlib.evaluation.protocols import Protocol
from vddlib.notebook.conclude import MOST_SENTENCES, compare_by_seed, mean_by_seed
from vddlib.notebook.fair import fair_students
from vddlib.notebook.tsgf_cases import EXPERIMENTS, TSGF, Case
from vddlib.plots.style import Drawing
from vddlib.results.schema import display
from vddlib.training.networks import Network, TrainedNetwork

COLUMNS_EXPLAINED = (
    "F, F-soft: mean top-1 under fair protocols, once for the same clips; own clips: accuracy of students on the clips they "
    "learn from; teacher: accuracy of the teacher on {tested}; it names: "
    "share of the set's clips that the teacher takes for their class; moved: mean change of a pixel since recovery began, "
    "of 255 grey levels, over all clips and seeds"
)
AXES = {"ipc": "clips per class (IPC)", "frames": "frames"}


@dataclass(frozen=True)
class Setting:
    """What all cases of an experiment share. `train` and `test` are the clips as loaded, `method` fields of TSGF.

    `teaching` is the protocol whose recipe trains the teacher; `learning` holds epochs, batch_size and lr under protocols
    D and D+; `hard` is protocol A, for `labels`. MiniC3D and the teacher take `options`, other students `other_options`.
    `fair` names fair protocols under which students of clips learn besides, with `fair_steps` steps.
    """

    experiment: str
    train: Clips
    test: Clips
    dataset: str
    ipc: int
    method: Mapping[str, Any]
    teaching: Protocol
    learning: Mapping[str, Any]
    hard: Protocol
    options: Mapping[str, Any]
    other_options: Mapping[str, Any]
    seeds: Sequence[int]
    device: str = "auto"
    fair: Sequence[str] = ()
    fair_steps: int = 0

    @property
    def teacher(self) -> Network:
        """The teacher's architecture: BatchNorm layers hold the statistics that TSGF recovers clips from."""
        return Network(name="minic3d_bn", options=dict(self.options))

    def student(self, case: Case) -> Network:
        """The student's architecture."""
        options = self.options if case.student == "minic3d" else self.other_options
        return Network(name=case.student, options=dict(options))

    def clips(self, case: Case) -> tuple[Clips, Clips]:
        """What is distilled, and what students are tested on: for sensitivity a quarter of the training sources."""
        if case.frames:
            return clips.load(self.dataset, self.train.geometry.model_copy(update={"frames": case.frames}))
        if case.classes:
            return self.train.only(case.classes), self.test.only(case.classes)
        # An unstated value is chosen on training data: on the test split the choice would be part of the result.
        return self.train.holdout(0.25) if self.experiment == "sensitivity" else (self.train, self.test)

    def tsgf(self, case: Case) -> distillers.TSGF:
        """The distiller of a case. `r_bn` is table 11's for its IPC, where neither the case nor `method` names it."""
        fields = {"r_bn": 0.001 if (case.ipc or self.ipc) == 1 else 0.005} | dict(self.method)
        fields |= {name: value for name, value in case.change.items() if name not in self.learning}
        recipe = self.teaching.recipe
        return distillers.TSGF(**fields, network=self.teacher, teacher_recipe=recipe, device=self.device)

    def protocol(self, case: Case, tsgf: distillers.TSGF) -> Protocol:
        """How students learn; guided VideoMix spares the frames that the distiller's mask spares."""
        if case.protocol == "A":
            return self.hard
        changed = {name: value for name, value in case.change.items() if name in self.learning}
        options = {**self.learning, **changed, "temperature": tsgf.temperature}
        return evaluation.protocol(
            case.protocol, augmentation=(guided_videomix(tsgf),) if case.mix is None else case.mix, **options
        )

    def distil(self, case: Case, tsgf: distillers.TSGF, train: Clips, seed: int) -> DistilledSet:
        """The set of a case, with the labels that its protocol asks for."""
        hard, ipc = case.protocol == "A", case.ipc or self.ipc
        if case.method == "full":
            return distillers.Full().distill(train, None)
        if case.method == "random":
            made = distillers.Random().distill(train, ipc, seed)
            return made if hard else distillers.relabel(made, tsgf.teacher(train), tsgf.temperature)
        made = tsgf.distill(train, ipc, seed)
        return made.with_targets(made.labels) if hard else made


def guided_videomix(tsgf: distillers.TSGF) -> tuple[str, dict[str, Any]]:
    """The mixing of students' batches that spares the frames which a distiller's mask spares."""
    return "tsgf_videomix", {name: getattr(tsgf, name) for name in ("epsilon", "window", "length")}


@dataclass(frozen=True)
class Result:
    """A case, its students' report, and facts in percent or grey levels that are not records: see COLUMNS_EXPLAINED.

    `fair` has reports by fair protocol, where the case's clips are its own: these protocols have a student, labels and
    mixing of their own, so that cases which differ in those alone would repeat each other.
    """

    case: Case
    report: Report
    facts: dict[str, float]
    fair: dict[str, Report] = field(default_factory=dict)

    @property
    def top1(self) -> list[float]:
        """Top-1 of every seed, in percent."""
        return self.report.values()


def run(cases: Sequence[Case], setting: Setting) -> list[Result]:
    """Distil the sets of every case, train a student per seed on them and test it; finished ones come from the cache."""
    tested: dict[Path, float] = {}  # top-1 of a teacher by its folder: one serves many cases, and is tested once
    found, made = [], []
    for case in cases:
        (train, test), tsgf = setting.clips(case), setting.tsgf(case)
        teacher = tsgf.teacher(train)
        sets = {seed: setting.distil(case, tsgf, train, seed) for seed in setting.seeds}
        options = {"network": setting.student(case), "teacher": teacher, "device": setting.device}
        report = evaluation.evaluate_each(sets, test, setting.protocol(case, tsgf), **options)
        if teacher.folder not in tested:
            tested[teacher.folder] = _teacher_top1(setting, train, test)
        facts = {"teacher": tested[teacher.folder], "it names": _named(list(sets.values()), teacher)}
        if case.recovered:
            facts["moved"] = fmean(one.card["moved"] for one in sets.values())
        made.append(sets)
        found.append(Result(case, report, facts))
    for place in _with_clips_of_their_own(cases, made):
        options = {"steps": setting.fair_steps, "device": setting.device}
        found[place].fair.update(fair_students(made[place], *setting.clips(cases[place]), setting.fair, **options))
    return found


def _with_clips_of_their_own(cases: Sequence[Case], made: Sequence[Mapping[int, DistilledSet]]) -> list[int]:
    """Places of one case for each different clips, rather one whose students differ in nothing; full data is notebook 02's."""
    first: dict[tuple[str, ...], int] = {}
    for place in sorted(
        range(len(cases)), key=lambda at: cases[at].mix is not None or cases[at].protocol != TSGF.protocol
    ):
        if cases[place].method != "full":
            first.setdefault(tuple(hash_array(one.pixels) for one in made[place].values()), place)
    return sorted(first.values())


def _teacher_top1(setting: Setting, train: Clips, test: Clips) -> float:
    """Of the teacher on the test clips, in percent: it is what the full set teaches its architecture under `teaching`."""
    everything = distillers.Full().distill(train, None)
    options = {"seeds": [0], "network": setting.teacher, "device": setting.device}
    return evaluation.evaluate(everything, test, setting.teaching, **options).values()[0]


def _named(sets: Sequence[DistilledSet], teacher: TrainedNetwork) -> float:
    """Percentage of the clips that the teacher takes for their class, mean over sets."""
    right = [(made.logits(teacher.model)[0].argmax(1) == made.labels).float().mean().item() for made in sets]
    return 100 * fmean(right)


def records(found: Sequence[Result], experiment: str) -> list[dict]:
    """Rows for `results.record`: the experiment is their variant, the case their method, a part of the classes their subset.

    None for sensitivity, whose accuracies are of training clips and so no results.
    """
    if experiment == "sensitivity":
        return []
    rows = []
    for result in found:
        more = {"subset": result.case.subset} if result.case.subset else {}
        reports = (result.report, *result.fair.values())
        named = more | {"method": result.case.method, "variant": experiment}
        rows += [row | named for report in reports for row in report.rows]
    return rows


def results_table(found: Sequence[Result], experiment: str) -> pd.DataFrame:
    """A row per case: mean and std of top-1 over seeds, in percent, and the facts that COLUMNS_EXPLAINED explains."""
    varies, rows = EXPERIMENTS[experiment].varies, []
    fair, nan = dict.fromkeys(name for result in found for name in result.fair), float("nan")
    for result in found:
        value = result.case.varied(experiment)
        rows.append(
            {
                "case": result.case.method,
                **({varies: "" if value is None else str(value)} if varies else {}),
                "mean": fmean(result.top1),
                "std": stdev(result.top1) if len(result.top1) > 1 else nan,
                **{name: fmean(result.fair[name].values()) if name in result.fair else nan for name in fair},
                "own clips": fmean(result.report.values("train_top1")),
                **result.facts,
            }
        )
    return pd.DataFrame(rows)


def header(setting: Setting) -> str:
    """What the table and the figure are of."""
    ipc = "" if setting.experiment == "ipcs" else f" IPC {setting.ipc},"
    seeds = f"{len(setting.seeds)} seed{'s' if len(setting.seeds) > 1 else ''}"
    return f"{setting.train.dataset},{ipc} {setting.experiment}: top-1, percent, {seeds}"


def columns_explained(experiment: str) -> str:
    """What the columns of `results_table` say."""
    tested = "held-out training videos" if experiment == "sensitivity" else "the test videos"
    return COLUMNS_EXPLAINED.format(tested=tested)


def figure(found: Sequence[Result], experiment: str, vary: str = "") -> Drawing:
    """Bars by case, with a dot per seed; lines where the cases vary a number of clips or frames, or the value `vary`."""
    if experiment not in ("frames", "ipcs", "sensitivity"):
        return plots.cases([result.case.name(experiment) for result in found], [result.top1 for result in found])
    lines: dict[str, dict[Any, list[float]]] = {}
    for result in found:
        lines.setdefault(result.case.method, {})[result.case.varied(experiment)] = result.top1
    values = list(next(iter(lines.values())))
    axis = AXES.get(EXPERIMENTS[experiment].varies, vary)
    return plots.curves(values, {name: list(line.values()) for name, line in lines.items()}, axis)


def published_table(experiment: str) -> pd.DataFrame | None:
    """The paper's own table of the same experiment, TSGF's rows; None where it has none, or none that is legible."""
    theirs = results.published(paper="tsgf")
    ours = theirs["method"].str.startswith("tsgf") & (theirs["table"] == EXPERIMENTS[experiment].table)
    theirs = theirs[ours]
    return None if theirs.empty else theirs[["method", "dataset", "ipc", "student", "mean", "std", "note"]]


def sentences(found: Sequence[Result], experiment: str, vary: str = "") -> list[str]:
    """The conclusion, computed: TSGF's accuracy, and by seed its distance from every case that it can be set against.

    At most five; where there are more comparisons, the table has the others.
    """
    if experiment == "sensitivity":
        return _best_value(found, vary)
    if experiment == "groups":
        return [mean_by_seed(f"TSGF on {result.case.subset or 'all'} classes", result.top1) for result in found]
    ours = {result.case.varied(experiment): result for result in found if result.case.method == TSGF.method}
    last = list(ours.values())[-1]
    said, fairly = [mean_by_seed(last.case.name(experiment), last.top1)], []
    for result in found:
        beside = ours.get(result.case.varied(experiment))
        if beside is None or beside is result or result.case.method == "full":
            continue
        name = result.case.name(experiment)
        said.append(compare_by_seed(display(TSGF.method), beside.top1, name, result.top1))
        for protocol in sorted({*result.fair} & {*beside.fair}):
            ours_fair, theirs_fair = beside.fair[protocol].values(), result.fair[protocol].values()
            fairly.append(compare_by_seed(f"Under {protocol} {display(TSGF.method)}", ours_fair, name, theirs_fair))
    fairly = fairly[: MOST_SENTENCES // 2]
    return said[: MOST_SENTENCES - len(fairly)] + fairly


def _best_value(found: Sequence[Result], vary: str) -> list[str]:
    """Which value TSGF is best with, against its worst one and against random clips under the same value."""
    ours = [result for result in found if result.case.method == TSGF.method]
    best, worst = max(ours, key=lambda result: fmean(result.top1)), min(ours, key=lambda result: fmean(result.top1))
    random = next(result for result in found if result.case.method == "random" and result.case.value == best.case.value)
    name = f"TSGF with {vary} {best.case.value}"
    return [
        mean_by_seed(f"On held-out training clips {name}", best.top1),
        compare_by_seed(name, best.top1, f"TSGF with {vary} {worst.case.value}", worst.top1),
        compare_by_seed(name, best.top1, "random clips under the same value", random.top1),
    ]
