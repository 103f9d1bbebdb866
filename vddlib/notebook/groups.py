"""Accuracy by groups of classes: which kinds of classes a method helps."""

from collections.abc import Mapping, Sequence

import pandas as pd
import torch

from vddlib.datasets.clips import Clips
from vddlib.datasets.motions import DYNAMIC, STATIC
from vddlib.evaluation.evaluate import Report
from vddlib.training.saliency import frame_differences

# Enough clips to order classes by motion; a class of Kinetics-400 has many hundreds, and decoding them all takes hours.
CLIPS_RANKED = 20


def group_table(reports: Mapping[str, Report], groups: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Top-1 in percent on the test clips of each group of classes: a row per report and group, mean and std over students.

    `groups` holds names of classes. A student chooses among all classes; of the passes over the test set the last counts.
    """
    rows = []
    for name, report in reports.items():
        for group, names in groups.items():
            wanted = torch.tensor([report.classes.index(one) for one in names])
            there = torch.isin(report.labels, wanted)
            right = [(one.argmax(1) == report.labels)[there].float().mean().item() for one in report.logits]
            values = 100 * torch.tensor(right)
            std = values.std().item() if len(values) > 1 else float("nan")
            rows.append({"method": name, "classes": group, "top1": values.mean().item(), "std": std, "n": len(values)})
    return pd.DataFrame(rows)


def motion_groups(train: Clips) -> dict[str, tuple[str, ...]]:
    """Classes by how much they move: 'static' and 'dynamic', the halves in that order.

    Those of `motions` are known, since it is rendered; those of other datasets are ranked by the mean difference of
    neighbouring frames over some training clips of each class.
    """
    if train.dataset == "motions":
        return {"static": tuple(STATIC), "dynamic": tuple(DYNAMIC)}

    def motion(name: str) -> float:
        members = train.of_class(train.classes.index(name))[:CLIPS_RANKED]
        return frame_differences(train.batch(members)[0]).mean().item()

    ranked = sorted(train.classes, key=motion)
    half = len(ranked) // 2
    return {"static": tuple(ranked[:half]), "dynamic": tuple(ranked[half:])}
