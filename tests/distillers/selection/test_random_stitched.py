"""Random clips, shortened and stitched."""

import numpy as np
import pytest
import torch

from vddlib.core.errors import VddError
from vddlib.distillers import Random, RandomStitched
from vddlib.distillers.selection.random_stitched import stitch


def test_frames_follow_one_another_clip_by_clip():
    """``clips[k, t]`` has the value 10 k + t."""

    def values(count, length):
        clips = (10 * np.arange(count)[:, None] + np.arange(length)).astype(np.uint8)
        return stitch(clips[..., None, None, None].repeat(3, -1))[:, 0, 0, 0].tolist()

    assert values(2, 8) == [1, 3, 5, 7, 11, 13, 15, 17]
    assert values(4, 8) == [2, 6, 12, 16, 22, 26, 32, 36]
    assert values(8, 8) == [4, 14, 24, 34, 44, 54, 64, 74]
    assert values(1, 4) == [0, 1, 2, 3]
    assert len(values(3, 8)) == 8 and values(16, 8)[0] // 10 == 1


def test_a_set_is_made_of_the_clips_that_random_keeps_first(tiny):
    train = tiny[0]
    made, real = RandomStitched(segments=2).distill(train, 2, 5), Random().distill(train, 4, 5)
    clips = real.pixels.reshape(3, 2, 2, *real.pixels.shape[1:])
    assert len(made) == 6 and made.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert all(np.array_equal(made.pixels[2 * c + m], stitch(clips[c, m])) for c in range(3) for m in range(2))
    assert made.card["videos"] == real.card["videos"] and made.card["method"] == "random_stitched"


def test_a_class_with_few_videos_begins_again_and_too_few_are_refused(tiny):
    made = RandomStitched(segments=100).distill(tiny[0], 1)
    assert len(set(made.card["videos"])) == len(tiny[0]) and torch.isfinite(made.draw()[0]).all()
    with pytest.raises(VddError, match="ipc"):
        RandomStitched().distill(tiny[0], 1000)
