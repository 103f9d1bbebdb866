"""Estimates of variability and authenticity: formulas re-typed, bounds, a real set."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vddlib.datasets.geometry import geometry
from vddlib.datasets.video import decode_bytes, encode_bytes
from vddlib.distillers import DistilledSet, Mosaics, Random, StoredClips
from vddlib.distillers.stored.contract import VIDEO_FPS, VIDEO_QUALITY
from vddlib.evaluation.sets import as_encoded, entropy, information, predictions
from vddlib.training.networks import Network


@given(st.integers(0, 10_000), st.integers(1, 20), st.integers(2, 9), st.floats(0.1, 10))
def test_information_is_what_the_formulas_say_and_within_its_bounds(seed, count, classes, sharpness):
    stream = torch.Generator().manual_seed(seed)
    p = (sharpness * torch.randn(count, classes, generator=stream)).double().softmax(1)
    labels = torch.randint(classes, (count,), generator=stream)
    found = information(p, labels)
    mean = [sum(row[c] for row in p.tolist()) / count for c in range(classes)]
    assert found["variability"] == pytest.approx(-sum(q * math.log(q) for q in mean), rel=1e-6)
    doubts = [-sum(q * math.log(q) for q in row) for row in p.tolist()]
    assert found["doubt"] == pytest.approx(sum(doubts) / count, rel=1e-6)
    loss = -sum(math.log(max(row[y], 1e-12)) for row, y in zip(p.tolist(), labels.tolist(), strict=True)) / count
    assert found["surprise"] == pytest.approx(loss, rel=1e-6)
    assert -1e-9 <= found["information"] <= math.log(classes) + 1e-9  # Jensen: never negative


def test_certain_predictions_of_all_classes_tell_everything_and_of_one_nothing():
    everything = information(torch.eye(4), torch.arange(4))
    assert everything["information"] == pytest.approx(math.log(4)) and everything["surprise"] == 0
    one = information(torch.eye(4)[[2, 2, 2]], torch.tensor([2, 2, 2]))
    assert one["variability"] == one["information"] == 0
    assert entropy(torch.full((5,), 0.2)).item() == pytest.approx(math.log(5))


def test_predictions_are_the_observers(tiny):
    train, _ = tiny
    made = Random().distill(train, 2, 0)
    observer = Network(options={"depth": 2, "widths": (8, 8)}).build(train.classes, train.geometry, 0).eval()
    p = predictions(made, observer, draws=2, at_once=4)
    assert p.shape == (12, 3)
    assert torch.allclose(p[:6], observer(made.draw()[0]).softmax(1), atol=1e-6)
    assert torch.equal(p[:6], p[6:])  # stored clips do not change from draw to draw


def test_a_set_from_its_files_is_the_clips_that_were_encoded():
    x = np.linspace(0, 200, 32)
    clips = np.stack([np.stack([np.roll(x[None] + x[:, None] / 5, t + k, 1) for t in range(6)]) for k in range(2)])
    frames = torch.from_numpy(np.repeat(clips[..., None], 3, -1).round().astype(np.uint8))
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.4])
    made = DistilledSet(StoredClips(frames, mean, std), torch.arange(2), ("a", "b"), {"method": "random"}, torch.eye(2))
    read = as_encoded(made)
    again = [decode_bytes(encode_bytes(clip, VIDEO_FPS, VIDEO_QUALITY)) for clip in frames.numpy()]
    assert np.array_equal(read.pixels, np.stack(again)) and torch.equal(read.targets, made.targets)
    assert 0 < np.abs(read.pixels.astype(float) - made.pixels).mean() < 8
    assert 0 < (read.draw()[0] - made.draw()[0]).abs().mean() < 0.2


def test_odd_sides_come_back_as_they_were():
    frames = torch.randint(0, 256, (2, 4, 15, 17, 3), dtype=torch.uint8)
    made = DistilledSet(
        StoredClips(frames, torch.zeros(3), torch.ones(3)), torch.arange(2), ("a", "b"), {"method": "random"}
    )
    assert as_encoded(made).pixels.shape == (2, 4, 15, 17, 3)


def test_what_is_stored_as_files_is_read_from_them_already():
    """Mosaics are encoded videos: encoding the drawn clips again would be another set."""
    frames = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    mosaics = Mosaics(
        [encode_bytes(frames)], [6], (32, 32), 2, geometry(4, 32, 1), torch.full((3,), 0.5), torch.full((3,), 0.3)
    )
    made = DistilledSet(mosaics, torch.zeros(1, dtype=torch.int64), ("a",), {"method": "optdistill"})
    assert as_encoded(made) is made
