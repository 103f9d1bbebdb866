"""Optical flow and frame differences of clips whose motion is known."""

import numpy as np
import pytest

from vddlib.evaluation import sets

rng = np.random.default_rng(0)
TEXTURE = (255 * np.kron(rng.random((24, 24, 3)), np.ones((4, 4, 1)))).astype(np.uint8)


def moving(step_x: int, step_y: int, frames: int = 5) -> np.ndarray:
    """A texture that moves by whole pixels per frame, ``uint8 [1, T, 48, 48, 3]``; positive is right and down."""
    return np.stack(
        [TEXTURE[24 - step_y * i : 72 - step_y * i, 24 - step_x * i : 72 - step_x * i] for i in range(frames)]
    )[None]


@pytest.mark.parametrize("step", [(2, 0), (-1, 0), (0, 2), (1, -2)])
def test_flow_is_the_known_motion(step):
    flow = sets.optical_flow(moving(*step))
    assert flow.shape == (1, 4, 48, 48, 2)
    inside = flow[:, :, 8:-8, 8:-8]
    assert np.median(inside[..., 0]) == pytest.approx(step[0], abs=0.25)
    assert np.median(inside[..., 1]) == pytest.approx(step[1], abs=0.25)


def test_a_clip_at_rest_has_neither_flow_nor_differences():
    still = moving(0, 0)
    assert (sets.difference_pictures(still) == 0).all()
    numbers = sets.motion(still)
    assert numbers["flow"] < 0.01 and numbers["difference"] == 0 and np.isnan(numbers["smoothness"])
    assert (sets.flow_pictures(sets.optical_flow(still), 20.0) >= 230).all()


def test_differences_are_absolute_and_do_not_wrap():
    clip = np.zeros((1, 3, 2, 2, 3), np.uint8)
    clip[:, 1] = 250
    assert (sets.difference_pictures(clip) == 250).all()


def test_motion_goes_on_and_noise_does_not():
    noise = rng.integers(0, 256, (1, 5, 48, 48, 3), dtype=np.uint8)
    steady, restless = sets.motion(moving(2, 0)), sets.motion(noise)
    assert steady["smoothness"] > 0.8 > 0.3 > restless["smoothness"]
    assert restless["difference"] > steady["difference"]


def test_opposite_directions_have_opposite_colours():
    flow = np.zeros((2, 1, 1, 2), np.float32)
    flow[0, ..., 0], flow[1, ..., 0] = 3, -3
    right, left = sets.flow_pictures(flow, 3.0)[:, 0, 0].astype(int)
    assert right.tolist() == [255, 0, 0] and left.tolist() == [0, 255, 255]
