"""IDTD's ablations: the cases of every experiment, their sets and students, what is recorded, tabled and drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from vddlib import distillers, plots, results
from vddlib.core.errors import VddError, unknown
from vddlib.distillers import DistilledSet
from vddlib.evaluation.evaluate import Report
from vddlib.notebook import case_runs
from vddlib.notebook.case_runs import Result
from vddlib.notebook.conclude import MOST_SENTENCES, compare_by_seed, mean_by_seed
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
        columns = [
            {
                protocol: fmean(report.values()),
                f"std {protocol}": stdev(report.values()) if len(cards) > 1 else float("nan"),
            }
            for protocol, report in result.reports.items()
        ]
        moved = fmean(card["moved"] for card in cards) if "moved" in cards[0] else float("nan")
        size = fmean(one.bytes_uint8 for one in result.sets.values())
        rows.append({"case": result.case.printed, **reduce(or_, columns), "bytes": round(size), "moved": moved})
    return pd.DataFrame(rows)


def figure(found: Sequence[Result], protocol: str) -> Drawing:
    """Bars by case, with a dot per seed; lines by number of synthetic frames where the cases differ in it."""
    if found[0].case.length is None:
        return plots.cases([result.case.printed for result in found], [result.values(protocol) for result in found])
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


def sentences(found: Sequence[Result], protocol: str) -> list[str]:
    """The conclusion, computed: accuracy of the last case, and by seed its distance from every other one."""
    last = found[-1]
    said = [mean_by_seed(f"{last.case.printed} under protocol {protocol}", last.values(protocol))]
    for result in found[:-1]:
        said.append(
            compare_by_seed(last.case.printed, last.values(protocol), result.case.printed, result.values(protocol))
        )
    return said[:MOST_SENTENCES]


def gains(ours: Report, baseline: Report) -> pd.DataFrame:
    """A row per class: mean accuracy over students in percent, of `ours`, of `baseline`, and the difference (figure 4)."""
    each = {name: [name] for name in ours.classes}
    columns = {name: group_table({name: one}, each)["top1"] for name, one in (("IDTD", ours), ("stitched", baseline))}
    found = pd.DataFrame({"class": ours.classes, **columns})
    return found.assign(gain=found["IDTD"] - found["stitched"])
