"""IDTD's ablations: the cases of every experiment, their sets, and what is drawn of their students."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from vddlib import distillers, plots, results
from vddlib.core.errors import VddError, unknown
from vddlib.distillers import DistilledSet
from vddlib.evaluation.evaluate import Report
from vddlib.notebook import case_runs
from vddlib.notebook.case_runs import Result
from vddlib.notebook.groups import group_table
from vddlib.plots.style import Drawing

ASKED = {
    "modules": "what pool and selectors, and the fusor, each bring (table 3)",
    "losses": "what the three losses each bring (table 4)",
    "lengths": "whether more synthetic frames are better (figure 3)",
    "diversity": "whether segments should be pushed apart, or pulled together as eq. 1 is printed",
}


@dataclass(frozen=True)
class Case:
    """A method's name in records and in print, the distiller's name, and what departs from its usual values."""

    method: str
    printed: str
    distiller: str = "idtd"
    change: Mapping[str, Any] = field(default_factory=dict)
    stored: Mapping[str, Any] = field(default_factory=dict)
    length: int | None = None


IDTD = Case("idtd", "IDTD")


def cases_of(experiment: str, selectors: int, lengths: Sequence[int] = ()) -> list[Case]:
    """What an experiment compares; IDTD as it is comes last. Raises VddError for an unknown one, or lengths without any."""
    if experiment == "modules":
        return [
            Case("idtd[compress_stitch]", "stitched real clips", "random_stitched", {"segments": selectors}),
            Case("idtd[fusor_only]", "fusor only", stored={"parts": "fusor"}),
            Case("idtd[pool_only]", "pool and selectors only", stored={"parts": "selectors"}),
            IDTD,
        ]
    if experiment == "losses":
        return [
            Case("idtd[fusor_loss]", "videos matched only", change={"match_segments": 0.0, "alpha_1": 0.0}),
            Case("idtd[no_selector_loss]", "segments not matched", change={"match_segments": 0.0}),
            Case("idtd[no_diversity_loss]", "no diversity", change={"alpha_1": 0.0}),
            IDTD,
        ]
    if experiment == "diversity":
        return [
            Case("idtd[no_diversity_loss]", "no diversity", change={"alpha_1": 0.0}),
            Case("idtd[as_printed]", "eq. 1 as printed", change={"diversity": "printed"}),
            IDTD,
        ]
    if experiment not in ASKED:
        raise unknown("experiment", experiment, list(ASKED))
    if not lengths:
        raise VddError("the experiment lengths compares numbers of synthetic frames: lengths: [2, 4, 8]")
    pairs = (("dm+vdsd", "DM + VDSD"), ("idtd", "IDTD"))
    return [
        Case(f"{name}[{n} frames]", f"{printed}, {n} frames", name, stored={"length": n}, length=n)
        for name, printed in pairs
        for n in lengths
    ]


class Setting(case_runs.Setting):
    """IDTD's cases: `fields` of each distiller have `stored` among them; sets are fitted with the student's network."""

    def sets(self, case: Case) -> dict[int, DistilledSet]:
        """A set of every seed."""
        usual = dict(self.fields.get(case.distiller, {}))
        stored = {**usual.pop("stored", {}), **case.stored}
        fields = {**usual, **case.change} | ({"stored": stored} if stored else {})
        if case.distiller != "random_stitched":
            fields |= {"network": self.network, "device": self.device}
        method = distillers.build(case.distiller, **fields)
        return {seed: method.distill(self.train, self.ipc, seed) for seed in self.seeds}


def figure(found: Sequence[Result], protocol: str) -> Drawing:
    """Bars by case, with a dot per seed; lines by number of synthetic frames where the cases differ in it."""
    if found[0].case.length is None:
        return case_runs.bars(found, protocol)
    lengths = list(dict.fromkeys(result.case.length for result in found))
    lines: dict[str, list[list[float]]] = {}
    for result in found:
        lines.setdefault(result.case.distiller, []).append(result.values(protocol))
    return plots.curves(lengths, lines, "synthetic frames")


def published_table(found: Sequence[Result]) -> pd.DataFrame:
    """The paper's values of the same cases."""
    theirs = results.published(paper="idtd")
    ours = theirs["method"].isin([result.case.method for result in found]) & theirs["table"].isin([3, 4])
    return theirs[ours][["table", "method", "dataset", "ipc", "mean", "std"]].drop_duplicates(["method", "mean"])


def gains(ours: Report, baseline: Report) -> pd.DataFrame:
    """A row per class: mean accuracy over students in percent, of `ours`, of `baseline`, and the difference (figure 4)."""
    each = {name: [name] for name in ours.classes}
    columns = {name: group_table({name: one}, each)["top1"] for name, one in (("IDTD", ours), ("stitched", baseline))}
    found = pd.DataFrame({"class": ours.classes, **columns})
    return found.assign(gain=found["IDTD"] - found["stitched"])
