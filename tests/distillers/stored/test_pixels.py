"""Free clips and still images: how they begin, what they store, what they cost."""

import numpy as np
import pytest
import torch

from vddlib import distillers
from vddlib.core.errors import VddError
from vddlib.datasets.video import stream_bytes
from vddlib.distillers import DistilledSet, Pixels, Random, Stills, static_memory
from vddlib.distillers.stored.contract import encoded
from vddlib.distillers.stored.pixels import initial

IMAGE = {"name": "convnet", "options": {"width": 4, "depth": 2}}
VALUES = 6 * 3 * 32 * 32


def stored(content, train, method="toy"):
    return DistilledSet(content, torch.arange(3).repeat_interleave(2), train.classes, {"method": method})


def static_dc(**params):
    return distillers.build("static_dc", **{"iterations": 1, "batch_real": 2, "network": IMAGE, **params})


def test_real_clips_to_begin_with_are_those_that_random_keeps(tiny):
    train, _ = tiny
    for seed in (0, 1):
        clips, kept = initial(train, 2, seed, "real"), Random().distill(train, 2, seed)
        made = stored(Pixels(clips, train.mean, train.std), train)
        assert torch.equal(clips, kept.draw()[0]) and np.array_equal(made.pixels, kept.pixels)
    assert not torch.equal(clips, initial(train, 2, 0, "real"))


def test_noise_to_begin_with_is_standard_normal_and_of_the_seed(tiny):
    a, b, other = (initial(tiny[0], 2, seed, "noise") for seed in (0, 0, 1))
    assert a.shape == (6, 3, 8, 32, 32) and torch.equal(a, b) and not torch.equal(a, other)
    assert a.mean().abs() < 0.02 and abs(a.std() - 1) < 0.02


def test_clips_are_drawn_as_they_are_and_learn_each_for_itself(tiny, pixels):
    drawn = pixels(torch.tensor([4, 1]), None)
    assert torch.equal(drawn, pixels.clips[[4, 1]])
    (3 * drawn[0].sum()).backward()
    assert (pixels.clips.grad[4] == 3).all() and pixels.clips.grad[[0, 1, 2, 3, 5]].eq(0).all()


def test_stills_store_one_frame_and_repeat_it(tiny, pixels):
    train, _ = tiny
    images = Stills(pixels.clips[:, :, :1], train.mean, train.std, 8)
    clips = images(torch.tensor([2, 5]), None)
    assert clips.shape == (2, 3, 8, 32, 32)
    assert all(torch.equal(clips[:, :, t], images.clips[[2, 5], :, 0]) for t in range(8))
    clips.sum().backward()
    assert (images.clips.grad[[2, 5]] == 8).all() and images.clips.grad[[0, 1, 3, 4]].eq(0).all()


def test_bytes_count_what_is_stored(tiny, pixels):
    train, _ = tiny
    whole = stored(pixels, train)
    images = stored(Stills(pixels.clips[:, :, :1], train.mean, train.std, 8), train)
    assert (whole.bytes_uint8, whole.bytes_float32) == (8 * VALUES, 4 * 8 * VALUES)
    assert (images.bytes_uint8, images.bytes_float32) == (VALUES, 4 * VALUES)
    assert images.pixels.shape == whole.pixels.shape == (6, 8, 32, 32, 3)
    assert (images.pixels == images.pixels[:, :1]).all() and (whole.pixels != whole.pixels[:, :1]).any()
    assert 0 < images.bytes_video < whole.bytes_video
    assert images.bytes_stream == sum(map(stream_bytes, encoded(images.pixels[:, :1])))  # a frame each, not eight


@pytest.mark.parametrize("still", [False, True])
def test_saved_and_loaded_is_the_same(tiny, pixels, tmp_path, still):
    train, _ = tiny
    made = stored(Stills(pixels.clips[:, :, :1], train.mean, train.std, 8) if still else pixels, train)
    back = DistilledSet.load(made.save(tmp_path / "set"))
    assert type(back.content) is type(made.content) and back.state() == made.state()
    assert torch.equal(back.draw()[0], made.draw()[0]) and np.array_equal(back.pixels, made.pixels)


def test_static_dc_begins_with_one_frame_of_each_clip_that_random_keeps(tiny):
    train, _ = tiny
    made, kept = static_dc(lr_pixels=1e-12).distill(train, 2, seed=1).pixels, Random().distill(train, 2, seed=1).pixels
    places = [[t for t in range(8) if np.array_equal(made[i, 0], kept[i, t])] for i in range(6)]
    assert (made == made[:, :1]).all() and all(places) and len({one[0] for one in places}) > 1


def test_the_static_memory_is_what_static_dc_stored(tiny, pixels, tmp_path):
    train, _ = tiny
    made = static_dc().distill(train, 2)
    memory = static_memory(DistilledSet.load(made.save(tmp_path / "set")))
    assert memory.shape == (3, 2, 3, 32, 32) and made.bytes_uint8 == VALUES
    assert all(torch.equal(memory[c, i], made.draw()[0][2 * c + i, :, 4]) for c in range(3) for i in range(2))
    for other in (Random().distill(train, 1), stored(pixels, train)):
        with pytest.raises(VddError, match=f"static_dc.*not what {other.card['method']} stores"):
            static_memory(other)


def test_bad_input(tiny):
    train, _ = tiny
    with pytest.raises(VddError, match="ipc 7 is larger than the class Red of tiny, which has 6"):
        static_dc().distill(train, 7)
    with pytest.raises(VddError, match="at least 1"):
        static_dc().distill(train, 0)
    with pytest.raises(VddError, match="static_dc: stored: value error, init: input should be 'real' or 'noise'"):
        static_dc(stored={"init": "rael"})
