"""Every method's sets, learnt by students of every architecture: what notebook 18 measures, tables and says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import kendalltau, ttest_rel

from vddlib import evaluation
from vddlib.core.errors import VddError
from vddlib.datasets.clips import Clips
from vddlib.distillers import TSGF
from vddlib.distillers.base import Distiller
from vddlib.evaluation.evaluate import Report
from vddlib.evaluation.protocols import Protocol
from vddlib.evaluation.statistics import holm
from vddlib.notebook.conclude import MOST_SENTENCES
from vddlib.notebook.fair import fair_students
from vddlib.notebook.storage import Sets
from vddlib.notebook.tsgf_runs import guided_videomix
from vddlib.results.fair import ALPHA
from vddlib.results.methods import own_protocol
from vddlib.results.schema import display
from vddlib.results.write import cell
from vddlib.training.networks import Network

VARIANT, OF_SELECTORS = "cross-architecture", "classifiers"  # in records: TSGF's table 4, the diffusion paper's table 5


@dataclass(frozen=True)
class Setting:
    """What all students share. `recipes`: by protocol, epochs, batch_size and lr of the papers' protocols; `fair` names fair
    ones, whose recipe stays while the student is another; `fair_steps` (for tests) replaces their steps."""

    train: Clips
    test: Clips
    students: Sequence[Network]
    recipes: Mapping[str, Mapping[str, Any]]
    fair: Sequence[str] = ("F",)
    fair_steps: int = 0
    device: str = "auto"

    def own(self, distiller: Distiller) -> Protocol:
        """The protocol of a method's paper, at this scale's recipe. Raises VddError where that has none."""
        letter = own_protocol(distiller.method)
        if letter not in self.recipes:
            raise VddError(f"{distiller.method} is measured under protocol {letter}: recipes names none for it")
        options = dict(self.recipes[letter])
        if isinstance(distiller, TSGF):  # guided by the same saliency, softened by the same temperature
            options |= {"augmentation": (guided_videomix(distiller),), "temperature": distiller.temperature}
        return evaluation.protocol(letter, **options)


@dataclass(frozen=True)
class Result:
    """Students of one architecture on one method's sets, under one protocol."""

    method: str
    student: Network
    report: Report = field(repr=False)
    protocol: str

    @property
    def top1(self) -> list[float]:
        """Top-1 of every seed, in percent."""
        return self.report.values()


def run(built: Mapping[str, Distiller], sets: Sets, setting: Setting) -> list[Result]:
    """A student of every architecture on every set, under the method's own protocol and the fair ones; finished ones come
    out of the cache."""
    found = []
    for name, by_seed in sets.items():
        own = setting.own(built[name])
        for student in setting.students:
            options = {"network": student, "device": setting.device}
            report = evaluation.evaluate_each(by_seed, setting.test, own, **options)
            found.append(Result(name, student, report, own.name))
            fairly = {"steps": setting.fair_steps, "device": setting.device, "student": student}
            reports = fair_students(by_seed, setting.train, setting.test, setting.fair, **fairly)
            found += [Result(name, student, report, letter) for letter, report in reports.items()]
    return found


def records(found: Sequence[Result]) -> list[dict]:
    """Rows for `results.record`; runs with a selector of the diffusion paper among them are an experiment of their own."""
    variant = OF_SELECTORS if any(own_protocol(result.method) == "C" for result in found) else VARIANT
    return [row | {"variant": variant} for result in found for row in result.report.rows]


def table(found: Sequence[Result], fair: bool) -> pd.DataFrame:
    """A row per method and protocol, a column per student: 'mean (std)' over seeds, in percent.

    `fair`: of the fair protocols, else of the papers' own.
    """
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for result in found:
        if (result.protocol in evaluation.FAIR) == fair:
            spread = stdev(result.top1) if len(result.top1) > 1 else float("nan")
            row = rows.setdefault((result.method, result.protocol), {})
            row[printed(result.student)] = cell(fmean(result.top1), spread)
    shown = [{"method": display(method), "protocol": protocol, **row} for (method, protocol), row in rows.items()]
    return pd.DataFrame(shown)


def printed(student: Network) -> str:
    """An architecture in print, without its options."""
    return display(student.name)


def agreement(found: Sequence[Result], protocol: str) -> pd.DataFrame:
    """Kendall's tau between how two architectures order the methods under a protocol, a row per pair: 1 is the same order."""
    means: dict[str, dict[str, float]] = {}
    for result in found:
        if result.protocol == protocol:
            means.setdefault(printed(result.student), {})[result.method] = fmean(result.top1)
    rows = []
    for one, other in combinations(means, 2):
        methods = [name for name in means[one] if name in means[other]]
        if len(methods) > 2:  # of two methods tau is 1 or -1, whatever they are
            tau = kendalltau([means[one][name] for name in methods], [means[other][name] for name in methods]).statistic
            rows.append({"student": one, "other": other, "methods": len(methods), "tau": tau})
    return pd.DataFrame(rows, columns=["student", "other", "methods", "tau"])


def sentences(found: Sequence[Result], protocol: str, reference: str = "random") -> list[str]:
    """The conclusion, computed: for each architecture the methods that are told apart from random clips.

    Student's t-test of the differences by seed, after Holm's correction over the methods of an architecture.
    """
    said = []
    for student in dict.fromkeys(printed(result.student) for result in found):
        mine = {r.method: np.array(r.top1) for r in found if r.protocol == protocol and printed(r.student) == student}
        base, others = mine.get(reference), {name: values for name, values in mine.items() if name != reference}
        if base is None or not others or len(base) < 2:
            continue
        p = holm([ttest_rel(values, base).pvalue for values in others.values()])
        gains = {name: np.mean(values - base) for name, values in others.items()}
        told = [
            f"{display(name)} ({gain:+.1f})" for (name, gain), one in zip(gains.items(), p, strict=True) if one < ALPHA
        ]
        beside = f"told apart from random clips ({base.mean():.1f} %)"
        said.append(f"For {student} under {protocol}, {beside}: {', '.join(told) or 'none'} of {len(others)}.")
    return said[:MOST_SENTENCES]
