"""Stretches of clips at other numbers of frames."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vddlib.training.temporal import interval, resample


def ramp(frames=5):
    """``[1, 3, frames, 2, 2]`` whose frame t has the value t."""
    return torch.arange(frames).float().view(1, 1, frames, 1, 1).expand(1, 3, frames, 2, 2).contiguous()


def test_the_whole_clip_at_its_own_frames_is_the_clip():
    clips = torch.randn(3, 3, 6, 4, 4)
    assert torch.allclose(resample(clips, torch.zeros(3), torch.ones(3), 6), clips, atol=1e-6)


@pytest.mark.parametrize(
    ("begin", "end", "frames", "values"),
    [
        (0.0, 1.0, 3, [0, 2, 4]),
        (0.25, 0.75, 5, [1, 1.5, 2, 2.5, 3]),
        (0.5, 0.5, 2, [2, 2]),
        (0.0, 1.0, 9, [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4]),
        (0.0, 1.0, 1, [2]),
    ],
)
def test_frames_between_two_are_interpolated(begin, end, frames, values):
    out = resample(ramp(), torch.tensor([begin]), torch.tensor([end]), frames)
    assert out.shape == (1, 3, frames, 2, 2)
    assert torch.allclose(out[0, 0, :, 0, 0], torch.tensor(values, dtype=torch.float32), atol=1e-5)


def test_a_single_frame_fills_any_clip():
    out = resample(ramp(1) + 7, torch.tensor([0.2]), torch.tensor([0.9]), 4)
    assert (out == 7).all() and out.shape == (1, 3, 4, 2, 2)


def test_gradients_reach_the_frames_in_the_interval_only():
    clips = torch.randn(1, 3, 5, 2, 2, requires_grad=True)
    resample(clips, torch.tensor([0.5]), torch.tensor([1.0]), 3).sum().backward()
    assert (clips.grad[:, :, :2] == 0).all() and (clips.grad[:, :, 2:] == 1).all()


@given(st.floats(0, 0.999), st.floats(0, 0.999), st.floats(0, 1))
def test_intervals_lie_within_the_clip_and_are_long_enough(a, b, least):
    begin, end = interval(torch.tensor([[a, b]]), least)
    assert -1e-6 <= begin <= end + 1e-6 and end <= 1 + 1e-6 and end - begin >= least - 1e-5
    if not least:
        assert begin.item() == pytest.approx(min(a, b), abs=1e-5) and end.item() == pytest.approx(max(a, b), abs=1e-5)
