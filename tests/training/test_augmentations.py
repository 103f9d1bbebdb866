"""VideoMix, guided by saliency or not: what is replaced, and that labels follow it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vddlib.core.errors import VddError
from vddlib.training import saliency
from vddlib.training.augmentations import compose, image_mix, tsgf_videomix, videomix

N, T, SIDE = 4, 6, 8


def flat_clips() -> tuple[torch.Tensor, torch.Tensor]:
    """Clip i is i + 1 everywhere, so that every pixel tells whose it is; labels are one-hot."""
    return torch.arange(1.0, N + 1).view(N, 1, 1, 1, 1).expand(N, 3, T, SIDE, SIDE).contiguous(), torch.eye(N)


def shares(mixed: torch.Tensor) -> torch.Tensor:
    """``[N, N]``: of each mixed clip, the share of pixels that came from each clip."""
    return torch.stack([(mixed == owner + 1).float().mean((1, 2, 3, 4)) for owner in range(N)], 1)


@given(st.integers(0, 10_000))
def test_labels_are_the_areas_really_replaced(seed):
    for mix in (videomix, image_mix, tsgf_videomix):
        clips, labels = flat_clips()
        mixed, targets = mix(clips, labels, torch.Generator().manual_seed(seed), probability=1.0)
        assert torch.allclose(targets, shares(mixed), atol=1e-5)
        assert torch.allclose(targets.sum(1), torch.ones(N), atol=1e-5)


@given(st.integers(0, 10_000))
def test_videomix_replaces_one_box_in_all_frames_of_all_clips(seed):
    clips, labels = flat_clips()
    mixed, _ = videomix(clips, labels, torch.Generator().manual_seed(seed), probability=1.0)
    changed = (mixed != clips).any(1)
    moved = changed[changed.flatten(1).any(1)]
    assert (moved == moved[:1, :1]).all()
    if len(moved):
        rows, columns = moved[0, 0].any(1), moved[0, 0].any(0)
        assert moved[0, 0].sum() == rows.sum() * columns.sum()


@given(st.integers(0, 10_000), st.floats(0, 0.9))
def test_key_frames_are_untouched_and_only_they(seed, epsilon):
    g = torch.Generator().manual_seed(seed)
    clips = torch.randn(N, 3, T, SIDE, SIDE, generator=g)
    mixed, targets = tsgf_videomix(clips, torch.eye(N), g, probability=1.0, epsilon=epsilon)
    scores = saliency.saliency(clips)
    keys = saliency.key_frames(scores, saliency.threshold(scores, epsilon))
    changed = (mixed != clips).any(1).flatten(2).any(2)
    assert not changed[keys].any() and keys.any()
    touched = changed.any(1)
    assert (changed[touched] == ~keys[touched]).all()
    replaced = (mixed != clips).any(1).float().mean((1, 2, 3))  # random pixels of two clips are never alike
    assert torch.allclose(1 - targets.diagonal(), replaced, atol=1e-5)
    assert torch.allclose(targets.sum(1), torch.ones(N), atol=1e-5)


def test_probability_and_seed():
    clips, labels = flat_clips()
    same = videomix(clips, labels, torch.Generator().manual_seed(0), probability=0.0)
    assert same[0] is clips and same[1] is labels
    a, b = (videomix(clips, labels, torch.Generator().manual_seed(3), probability=1.0)[0] for _ in range(2))
    assert torch.equal(a, b)


def test_bad_input():
    clips, labels = flat_clips()
    with pytest.raises(VddError, match="soft labels"):
        videomix(clips, torch.arange(N), torch.Generator(), probability=1.0)
    with pytest.raises(VddError, match="no option 'epsilom'; it has probability, alpha, epsilon"):
        compose((("tsgf_videomix", {"epsilom": 0.5}),))
    assert (
        compose((("tsgf_videomix", {"epsilon": 0.5}), "flip"))(clips, labels, torch.Generator())[0].shape == clips.shape
    )
