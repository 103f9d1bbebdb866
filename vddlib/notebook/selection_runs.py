"""Selectors side by side: the cases, their sets and students, what is recorded, tabled, drawn and concluded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any, Literal

import numpy as np
import pandas as pd
from torch import Tensor

from vddlib import distillers, results
from vddlib.core.errors import VddError, unknown
from vddlib.datasets.clips import Clips
from vddlib.distillers import DistilledSet, Selector
from vddlib.distillers.selection.embedding import EmbeddingSelector
from vddlib.distillers.selection.herding import Herding
from vddlib.evaluation import FAIR
from vddlib.notebook import case_runs, shares
from vddlib.notebook.case_runs import Result
from vddlib.notebook.conclude import MOST_SENTENCES, NOT_TOLD_APART, compare_by_seed, mean_by_seed, verdict
from vddlib.results.schema import display

CORESETS = (
    "random",
    "herding",
    "kcenter",
)  # whose students under fair protocols, on the real pool, notebook 03 records
METRICS = ["top1", "auc", "f1"]  # of tables 4 and 6
ASKED = {
    "losses": "what L_div and L_rep each bring to VST-UNet (table 6)",
    "printed": "what eq. 2 and algorithm 1 do as they are printed",
    "embedders": "what the embedder is worth to TAC-DT",
}


@dataclass(frozen=True)
class Case:
    """A selector: in print, by name, what departs from its usual values, and its name in records where it is not the set's."""

    printed: str
    distiller: str
    change: Mapping[str, Any] = field(default_factory=dict)
    method: str = ""


RANDOM = Case("Random", "random")


def cases_of(experiment: str, embedders: Sequence[str] = ()) -> list[Case]:
    """What an experiment compares, random clips of the same pool first. Raises VddError for an unknown one."""
    if experiment == "losses":
        parts = {"ce": "CE", "ce+div": "CE+Div", "ce+rep": "CE+Rep", "all": "CE+Div+Rep"}
        return [RANDOM, *(_vst(printed, part, {"losses": part}) for part, printed in parts.items())]
    if experiment == "printed":
        printed, lowest = {"representativeness": "printed"}, {"order": "lowest"}
        return [
            RANDOM,
            _vst("eq. 2 as printed", "eq. 2 as printed", printed),
            _vst("algorithm 1 as printed", "algorithm 1 as printed", lowest),
            _vst("both as printed", "both as printed", printed | lowest),
            _vst("as meant", "all", {}),
        ]
    if experiment != "embedders":
        raise unknown("experiment", experiment, list(ASKED))
    if not embedders:
        raise VddError("the experiment embedders compares some: embedders: [network, untrained, kinetics]")
    changes = {name: {"weights": "random"} if name == "untrained" else {"embedder": name} for name in embedders}
    return [RANDOM, *(Case(f"TAC-DT by {name}", "tac_dt", changes[name], f"tac_dt[{name}]") for name in embedders)]


def _vst(printed: str, variant: str, change: Mapping[str, Any]) -> Case:
    return Case(printed, "vst_unet", change, "vst_unet" if variant == "all" else f"vst_unet[{variant}]")


def candidates(
    pool: Literal["real", "generated"], train: Clips, latte: Mapping[str, Any], seed: int = 0
) -> Clips | None:
    """What is chosen from: None for the real clips themselves, or the videos that Latte, with these hyper-parameters, makes of
    them (once; later out of the cache)."""
    if pool == "real":
        return None
    from vddlib.distillers.latte.settings import Latte

    return shares.pool(train, Latte(**latte), seed).clips


@dataclass(frozen=True)
class Setting(case_runs.Setting):
    """Selectors on one pool, which is None for the real clips. Those of `fields` under 'embedding' are of all that embed."""

    pool: Clips | None = None

    @property
    def chosen_from(self) -> Clips:
        """The pool, whichever it is."""
        return self.train if self.pool is None else self.pool

    def selector(self, case: Case) -> Selector:
        """The selector of a case, with the hyper-parameters of its kind."""
        kind = distillers.DISTILLERS[case.distiller]
        usual = {**self.fields.get("embedding", {})} if issubclass(kind, EmbeddingSelector) else {}
        place = {"device": self.device} if "device" in kind.model_fields else {}
        return distillers.build(
            case.distiller, **{**place, **usual, **self.fields.get(case.distiller, {}), **case.change}
        )

    def sets(self, case: Case) -> dict[int, DistilledSet]:
        """A set of every seed."""
        selector = self.selector(case)
        return {seed: selector.distill(self.train, self.ipc, seed, candidates=self.pool) for seed in self.seeds}

    def embedded(self, label: int) -> tuple[Tensor, dict[str, int]]:
        """Embeddings ``float32 [n, D]`` of one class of the pool (first seed), and the place of each video among them."""
        pool, herding = self.chosen_from, Herding(device=self.device, **self.fields.get("embedding", {}))
        members = pool.of_class(label)
        found, _ = herding.embeddings(self.train, self.seeds[0], pool)
        return found[members], {pool.name(int(i)): place for place, i in enumerate(members)}


def all_cases(methods: Sequence[str]) -> list[Case]:
    """A case for each method as it is. Raises VddError for one that selects nothing."""
    for name in methods:
        kind = distillers.DISTILLERS.get(name)
        if kind is None or not issubclass(kind, Selector):
            known = [n for n, one in distillers.DISTILLERS.items() if issubclass(one, Selector)]
            raise unknown("selector", name, known)
    return [Case(display(name), name) for name in methods]


def records(found: Sequence[Result], variant: str = "") -> list[dict]:
    """Rows for `results.record`. Random clips of the real pool, and coresets of it, are notebook 03's under fair protocols."""
    rows = []
    for result in found:
        for protocol, report in result.reports.items():
            if protocol in FAIR and report.rows[0]["method"] in CORESETS:
                continue
            named = {"method": result.case.method} if result.case.method else {}
            rows += [row | named | ({"variant": variant} if variant else {}) for row in report.rows]
    return rows


def table(found: Sequence[Result]) -> pd.DataFrame:
    """A row per case: accuracy, AUC and F1 under the first protocol, accuracy under the others, mean and std over seeds, in
    percent; and the seconds that a selection took."""
    rows = []
    for result in found:
        own, *others = result.reports
        asked = [(own, metric) for metric in METRICS] + [(protocol, "top1") for protocol in others]
        row: dict[str, Any] = {"selector": result.case.printed}
        for protocol, metric in asked:
            values = result.values(protocol, metric)
            named = f"{protocol} {metric}"
            row |= {named: fmean(values), f"std {named}": stdev(values) if len(values) > 1 else float("nan")}
        row["seconds"] = fmean(one.card["distill_seconds"] for one in result.sets.values())
        rows.append(row)
    return pd.DataFrame(rows)


def published_table(found: Sequence[Result], number: int, ipc: int) -> pd.DataFrame:
    """The paper's values of the same selectors in one of its tables, from a generated pool; of all its IPCs where it has none
    of this one."""
    theirs = results.published(paper="diffusion")
    names = {result.case.method or result.case.distiller for result in found} | {"random[generated]"}
    theirs = theirs[(theirs["table"] == number) & theirs["method"].isin(names) & theirs["metric"].isin(METRICS)]
    same = theirs[(theirs["ipc"] == ipc).fillna(False)]
    theirs = same if len(same) else theirs
    wide = theirs.pivot_table(index=["dataset", "ipc", "method"], columns="metric", values="mean", sort=False)
    return wide.reset_index().rename_axis(columns=None)


def kept_frames(found: Sequence[Result], label: int, seed: int) -> tuple[np.ndarray, list[str]]:
    """``uint8 [cases, ipc, H, W, 3]``: the middle frame of every clip that each case keeps of a class; and their names."""
    kept = [result.sets[seed].pixels[(result.sets[seed].labels == label).numpy()] for result in found]
    return np.stack([clips[:, clips.shape[1] // 2] for clips in kept]), [result.case.printed for result in found]


def chosen_places(found: Sequence[Result], places: Mapping[str, int], seed: int) -> dict[str, list[int]]:
    """By method: which videos of a class it keeps, as `places` has them, in the order chosen."""
    kept = {result.case.distiller: result.sets[seed].card["videos"] for result in found}
    return {name: [places[video] for video in videos if video in places] for name, videos in kept.items()}


def sentences(found: Sequence[Result], reference: int = 0) -> list[str]:
    """The conclusion, computed: the reference case's accuracy, which cases are told apart from it by protocol, and the two
    that are furthest above it."""
    base = found[reference]
    others = [result for result in found if result is not base]
    own, *fair = base.reports
    said = [mean_by_seed(f"{base.case.printed} under protocol {own}", base.values(own))]
    ranked = sorted(others, key=lambda result: -fmean(result.values(own)))
    said += [compare_by_seed(r.case.printed, r.values(own), base.case.printed, base.values(own)) for r in ranked[:2]]
    said += [_told_apart(others, base, protocol) for protocol in fair]
    return said[:MOST_SENTENCES]


def _told_apart(others: Sequence[Result], base: Result, protocol: str) -> str:
    """Which cases are above and below the base under a protocol, and how many are neither."""
    verdicts = {r.case.printed: verdict(r.values(protocol), base.values(protocol)) for r in others}
    parts = [
        f"{word} it: {', '.join(names)}"
        for word in ("above", "below")
        if (names := [name for name, found in verdicts.items() if found == word])
    ]
    equal = sum(found == NOT_TOLD_APART for found in verdicts.values())
    parts.append(f"not told apart from it: {equal} of {len(verdicts)}")
    return f"Under protocol {protocol}, beside {base.case.printed}: {'; '.join(parts)}."
