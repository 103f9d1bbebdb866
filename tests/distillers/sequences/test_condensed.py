"""Condensed long videos: what is kept of a segment, what students see, and that recovery moves features the right way."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vddlib.core.errors import VddError
from vddlib.datasets.segmentation import LongVideo
from vddlib.distillers.sequences.condensed import condense, pieces, share_kept
from vddlib.distillers.sequences.tsgf import SegmentTeacher, SegmentTSGF, condense_tsgf, recover, train_segment_teacher
from vddlib.training import saliency


def video(lengths=(7, 5, 9), actions=(0, 2, 1), seed=0, width=6) -> LongVideo:
    """Segments of these lengths, whose features lie around a place of their own."""
    rng = np.random.default_rng(seed)
    parts = [
        3 * np.eye(width)[[action]].T + 0.3 * rng.normal(size=(width, n))
        for action, n in zip(actions, lengths, strict=True)
    ]
    return LongVideo(f"v{seed}", np.concatenate(parts, 1).astype(np.float32), np.repeat(actions, lengths))


def test_means_and_nearest_frames_by_hand():
    features = np.array([[0, 2, 4, 10, 20, 90]], np.float32)
    one = LongVideo("v", features, np.array([0, 0, 0, 1, 1, 1]))
    means, frames = condense(one, 1, "segment_mean"), condense(one, 1, "segment_coreset")
    assert means.kept[:, 0, 0].tolist() == [2, 40] and frames.kept[:, 0, 0].tolist() == [2, 20]
    assert means.labels.tolist() == [0, 1] and means.lengths.tolist() == [3, 3]
    assert means.expanded().features.tolist() == [[2, 2, 2, 40, 40, 40]]
    halves = condense(one, 2, "segment_mean")  # of three frames the first two, and the third
    assert halves.kept[:, :, 0].tolist() == [[1, 4], [15, 90]]
    assert means.bytes_float32 == 4 * 2 + 8 * 2
    assert share_kept([means], [one]) == pytest.approx(100 * 24 / (4 * 6 + 4 * 6))


@given(st.integers(1, 50), st.integers(1, 12))
def test_pieces_are_even_and_in_order(length, count):
    owner = pieces(length, count)
    assert (np.diff(owner) >= 0).all() and owner[0] == 0 and owner[-1] == (length - 1) * count // length
    sizes = np.bincount(owner, minlength=count)
    assert sizes.max() - sizes[sizes > 0].min() <= 1


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 4))
def test_students_see_as_many_frames_and_the_same_labels(lengths, count):
    one = video(lengths, [k % 3 for k in range(len(lengths))])
    for keep in ("segment_mean", "segment_coreset"):
        seen = condense(one, count, keep).expanded()
        assert seen.features.shape == one.features.shape and np.array_equal(seen.labels, one.labels)


def test_a_frame_per_feature_keeps_everything():
    one = video((3,), (1,))
    assert np.allclose(condense(one, 3, "segment_coreset").expanded().features, one.features)
    with pytest.raises(VddError, match="0 features per segment"):
        condense(one, 0, "segment_mean")


VIDEOS = [video(seed=seed) for seed in range(6)]
FEW = SegmentTSGF(count=4, iterations=30, lr=0.05, teacher_steps=60, teacher_width=8, teacher_frames=4)


def statistics(teacher: SegmentTeacher, x: torch.Tensor) -> float:
    """How far the first BatchNorm layer's input is from its running statistics."""
    h = teacher.body[0](x)
    mean, var = h.mean((0, 2)), h.var((0, 2), unbiased=False)
    return float((mean - teacher.body[1].running_mean).norm() + (var - teacher.body[1].running_var).norm())


def test_recovery_moves_features_towards_the_teachers_statistics_and_spares_salient_frames():
    mean, std = torch.zeros(6, 1), torch.ones(6, 1)
    teacher = train_segment_teacher(VIDEOS, 3, mean, std, FEW, seed=0)
    start = torch.from_numpy(condense(VIDEOS[0], 4, "segment_coreset").kept).movedim(1, 2) + 2.0  # away from real ones
    labels = torch.tensor([0, 2, 1])
    moved = recover(teacher, start, labels, FEW)
    assert statistics(teacher, moved) < 0.8 * statistics(teacher, start)
    scores = saliency.saliency(start[:, :, :, None, None])
    spared = saliency.key_frames(scores, saliency.threshold(scores, FEW.epsilon))
    assert spared.any() and not spared.all()
    change = (moved - start).abs().amax(1)
    assert change[spared].max() == 0 and change[~spared].min() > 0
    assert (teacher(moved).argmax(1) == labels).float().mean() >= (teacher(start).argmax(1) == labels).float().mean()


def test_tsgf_gives_every_video_back_and_the_same_bits_again():
    one, again = (condense_tsgf(VIDEOS, 3, FEW, seed=3) for _ in range(2))
    assert [c.name for c in one] == [v.name for v in VIDEOS] and all(c.kept.shape == (3, 4, 6) for c in one)
    assert all(np.array_equal(a.kept, b.kept) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[0].kept, condense(VIDEOS[0], 4, "segment_coreset").kept)
    assert np.array_equal(one[1].expanded().labels, VIDEOS[1].labels)
