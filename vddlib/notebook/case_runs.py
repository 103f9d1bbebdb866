"""Cases side by side, as ablations and selectors have them: what they share, the students of each, and what is said of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from vddlib import plots
from vddlib.datasets.clips import Clips
from vddlib.distillers import DistilledSet
from vddlib.evaluation import evaluate_each
from vddlib.evaluation.evaluate import Report
from vddlib.evaluation.protocols import Protocol
from vddlib.notebook.conclude import MOST_SENTENCES, compare_by_seed, mean_by_seed
from vddlib.notebook.fair import fair_students
from vddlib.plots.style import Drawing
from vddlib.training.networks import Network


@dataclass(frozen=True)
class Setting:
    """What all cases share: clips, IPC, `fields` of each distiller, protocols, seeds.

    `own` is the paper's protocol with this scale's recipe, `network` its student; `fair` names fair protocols, with
    `fair_steps` steps.
    """

    train: Clips
    test: Clips
    ipc: int
    fields: Mapping[str, Mapping[str, Any]]
    own: Protocol
    network: Network
    fair: Sequence[str]
    fair_steps: int
    seeds: Sequence[int]
    device: str = "auto"

    def sets(self, case: Any) -> dict[int, DistilledSet]:
        """A set of every seed."""
        raise NotImplementedError

    def reports(self, sets: Mapping[int, DistilledSet]) -> dict[str, Report]:
        """Students of every seed by protocol, the paper's own first."""
        own = evaluate_each(sets, self.test, self.own, network=self.network, device=self.device)
        options = {"steps": self.fair_steps, "device": self.device}
        return {self.own.name: own, **fair_students(sets, self.train, self.test, self.fair, **options)}


@dataclass(frozen=True)
class Result:
    """A case, its sets by seed and its students by protocol."""

    case: Any
    sets: Mapping[int, DistilledSet]
    reports: Mapping[str, Report]

    def values(self, protocol: str, metric: str = "top1") -> list[float]:
        """A metric of every seed, in percent."""
        return self.reports[protocol].values(metric)


def run(cases: Sequence[Any], setting: Setting) -> list[Result]:
    """Sets and students of every case; finished ones come from the cache."""
    found = []
    for case in cases:
        sets = setting.sets(case)
        found.append(Result(case, sets, setting.reports(sets)))
    return found


def records(found: Sequence[Result], experiment: str) -> list[dict]:
    """Rows for `results.record`: the experiment is their variant, the case their method."""
    return [
        row | {"method": result.case.method, "variant": experiment}
        for result in found
        for report in result.reports.values()
        for row in report.rows
    ]


def table(found: Sequence[Result]) -> pd.DataFrame:
    """A row per case: mean and std of top-1 by protocol, in percent, bytes, and pixels moved since the start (grey levels)."""
    rows = []
    for result in found:
        cards = [one.card for one in result.sets.values()]
        moved = fmean(card["moved"] for card in cards) if "moved" in cards[0] else float("nan")
        size = fmean(one.bytes_uint8 for one in result.sets.values())
        rows.append({"case": result.case.printed, **by_protocol(result.reports), "bytes": round(size), "moved": moved})
    return pd.DataFrame(rows)


def by_protocol(reports: Mapping[str, Report]) -> dict[str, float]:
    """Mean and std of top-1 over seeds for each protocol, in percent, as columns of a table: 'F', 'std F'."""
    columns = {}
    for protocol, report in reports.items():
        values = report.values()
        columns |= {protocol: fmean(values), f"std {protocol}": stdev(values) if len(values) > 1 else float("nan")}
    return columns


def bars(found: Sequence[Result], protocol: str) -> Drawing:
    """A bar per case with a dot per seed."""
    return plots.cases([result.case.printed for result in found], [result.values(protocol) for result in found])


def sentences(found: Sequence[Result], protocol: str) -> list[str]:
    """The conclusion, computed: accuracy of the last case, and by seed its distance from every other one."""
    last = found[-1]
    said = [mean_by_seed(f"{last.case.printed} under protocol {protocol}", last.values(protocol))]
    for result in found[:-1]:
        said.append(
            compare_by_seed(last.case.printed, last.values(protocol), result.case.printed, result.values(protocol))
        )
    return said[:MOST_SENTENCES]
