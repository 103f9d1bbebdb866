"""Cases side by side, as ablations and selectors have them: what they share, and the students of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vddlib.datasets.clips import Clips
from vddlib.distillers import DistilledSet
from vddlib.evaluation import evaluate_each
from vddlib.evaluation.evaluate import Report
from vddlib.evaluation.protocols import Protocol
from vddlib.notebook.fair import fair_students
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
