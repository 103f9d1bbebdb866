"""Redundancy within and among clips against the paper's formulas, typed again."""

import math

import numpy as np
import pytest
import torch

from vddlib.evaluation.redundancy import inter_sample, redundancy, within_sample
from vddlib.models.minic3d import MiniC3D


def test_the_two_formulas():
    features = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0)) * 2
    clips = [np.var(features[b].numpy(), axis=0, ddof=1).mean() for b in range(5)]
    assert within_sample(features) == pytest.approx(math.tanh(1 / np.mean(clips)), rel=1e-5)
    last = features[:, 0]
    by_hand = math.tanh(1 / (np.var(last.numpy(), axis=0, ddof=1).mean() / 5))
    assert inter_sample(last) == pytest.approx(by_hand, rel=1e-5)


def test_what_never_changes_is_wholly_redundant():
    assert within_sample(torch.ones(3, 4, 2)) == 1 and inter_sample(torch.ones(3, 2)) == 1


def test_stilled_clips_are_more_redundant_in_time(tiny):
    torch.manual_seed(0)
    model, train = MiniC3D(3, frames=8, size=32, depth=2, widths=(8, 8)), tiny[0]
    moving, still = redundancy(model, train), redundancy(model, train.still())
    assert list(moving["class"]) == list(train.classes) and moving.drop(columns="class").to_numpy().min() > 0
    assert (still["within_sample"] >= moving["within_sample"]).all()
