"""Action segmentation from condensed videos, fold by fold: what notebook 19 measures, tables and says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pandas as pd
import torch

from vddlib import results
from vddlib.core.errors import unknown
from vddlib.datasets.segmentation import LongVideo, Segmentation
from vddlib.distillers.sequences.condensed import CondensedVideo, condense, share_kept
from vddlib.distillers.sequences.tsgf import SegmentTSGF, condense_tsgf
from vddlib.evaluation.segments import scores
from vddlib.notebook.conclude import MOST_SENTENCES, compare_by_seed, mean_by_seed
from vddlib.results.write import cell
from vddlib.training.segmenter import SegmenterRecipe, train_segmenter

FULL, MEAN, CORESET, TSGF = "full", "segment_mean", "segment_coreset", "tsgf"
PRINTED = {FULL: "All features", MEAN: "Mean", CORESET: "Coreset", TSGF: "TSGF"}
OVER = "folds and seeds"  # what values are of
METRICS = ("acc", "edit", "f1@10", "f1@25", "f1@50")


@dataclass(frozen=True)
class Setting:
    """What all methods share: the dataset, folds (from 1 on) and seeds, MS-TCN's recipe, how many features a segment keeps."""

    data: Segmentation
    folds: Sequence[int]
    seeds: Sequence[int]
    recipe: SegmenterRecipe
    count: int
    tsgf: Mapping[str, Any] = field(default_factory=dict)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def condensed(self, method: str, videos: Sequence[LongVideo], seed: int) -> list[CondensedVideo]:
        """Every training video, condensed by a method. Raises VddError for an unknown one."""
        if method in (MEAN, CORESET):
            return [condense(video, self.count, method) for video in videos]
        if method != TSGF:
            raise unknown("method", method, PRINTED)
        options = SegmentTSGF(**{**dict(self.tsgf), "count": self.count})
        return condense_tsgf(videos, len(self.data.classes), options, seed)


@dataclass(frozen=True)
class Result:
    """One fold and seed of one method: scores in percent, share of the bytes kept, predictions by video, loss by epoch."""

    method: str
    fold: int
    seed: int
    scores: dict[str, float]
    kept: float
    predicted: dict[str, np.ndarray] = field(repr=False)
    losses: list[float] = field(repr=False)


def run(methods: Sequence[str], setting: Setting) -> list[Result]:
    """MS-TCN on what each method keeps of the training videos, tested on whole test videos; finished ones are in the cache."""
    found = []
    for fold in setting.folds:
        train, test = (setting.data.load(setting.data.names(fold, part)) for part in ("train", "test"))
        for method in methods:
            for seed in setting.seeds:
                condensed = [] if method == FULL else setting.condensed(method, train, seed)
                learnt = [one.expanded() for one in condensed] or train
                what = f"{setting.data.name}, fold {fold}: {PRINTED[method]}, seed {seed}"
                options = {"seed": seed, "device": setting.device, "what": what}
                segmenter = train_segmenter(learnt, len(setting.data.classes), setting.recipe, **options)
                predicted = segmenter.predict(test, setting.device)
                measured = scores(predicted, [video.labels for video in test])
                kept = share_kept(condensed, train) if condensed else 100.0
                by_name = {video.name: labels for video, labels in zip(test, predicted, strict=True)}
                found.append(Result(method, fold, seed, measured, kept, by_name, segmenter.losses))
                print(f"{what}: accuracy {measured['acc']:.1f}, edit {measured['edit']:.1f}")
    return found


def rows(found: Sequence[Result]) -> pd.DataFrame:
    """A row per method, fold and seed."""
    return pd.DataFrame(
        [{"method": r.method, "fold": r.fold, "seed": r.seed, "kept (%)": r.kept, **r.scores} for r in found]
    )


def table(found: Sequence[Result]) -> pd.DataFrame:
    """A row per method: 'mean (std)' of each score over folds and seeds, the share of bytes kept, and the published values."""
    theirs = results.published(paper="tsgf")
    theirs = theirs[theirs["table"] == 10]
    made = []
    for method in dict.fromkeys(one.method for one in found):
        mine = [one for one in found if one.method == method]
        row: dict[str, Any] = {"method": PRINTED[method], "kept (%)": fmean(one.kept for one in mine)}
        for metric in METRICS:
            values = [one.scores[metric] for one in mine]
            row[metric] = cell(fmean(values), stdev(values) if len(values) > 1 else float("nan"))
            printed = theirs[(theirs["method"] == method) & (theirs["metric"] == metric)]["mean"]
            row[f"{metric} (50Salads)"] = f"{printed.iloc[0]:.1f}" if len(printed) else ""
        made.append(row)
    return pd.DataFrame(made)


def by_fold(found: Sequence[Result], method: str, metric: str) -> list[float]:
    """A score of every fold and seed of a method, in the order measured."""
    return [one.scores[metric] for one in found if one.method == method]


def sentences(found: Sequence[Result]) -> list[str]:
    """The conclusion, computed: accuracy and edit score beside means of segments, paired by fold and seed."""
    methods = list(dict.fromkeys(one.method for one in found))
    said = [mean_by_seed(f"{PRINTED[methods[0]]}: frame accuracy", by_fold(found, methods[0], "acc"), over=OVER)]
    for method in (CORESET, TSGF):
        for metric, unit in (("acc", "frame accuracy"), ("edit", "edit score")):
            if {method, MEAN} <= set(methods):
                ours, means = by_fold(found, method, metric), by_fold(found, MEAN, metric)
                said.append(compare_by_seed(f"{PRINTED[method]} ({unit})", ours, "Mean", means, over=OVER))
    return said[:MOST_SENTENCES]
