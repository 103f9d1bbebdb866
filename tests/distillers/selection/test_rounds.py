"""Random clips stored otherwise: under a budget in bytes, as stills, and as whole videos."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import write_ucf
from vddlib import distillers
from vddlib.core.errors import VddError
from vddlib.datasets.clips import load
from vddlib.datasets.geometry import geometry
from vddlib.datasets.video import decode_bytes, stream_bytes
from vddlib.distillers import (
    DistilledSet,
    Full,
    FullSet,
    Random,
    RandomEncoded,
    RandomStill,
    RandomVideos,
    Stills,
)
from vddlib.distillers.stored.contract import encoded

SHORT = settings(max_examples=12)
CONTROLS = [RandomEncoded, RandomStill]


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Two classes of 4 and 3 training videos (the second has lost one), as clips of 6 frames of 32x32."""
    root = write_ucf(tmp_path_factory.mktemp("rounds") / "two", train=4, test=1, classes=("Red", "Green"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VDD_CACHE", str(tmp_path_factory.mktemp("store")))
        return load(str(root), geometry(6, 32, 2), workers=1)[0].subset(range(7))


def per_class(made):
    """The clips of every class, as bytes that can be compared."""
    return [[clip.tobytes() for clip in made.pixels[made.labels == label]] for label in range(len(made.classes))]


@pytest.mark.parametrize("method", CONTROLS)
@SHORT
@given(st.integers(0, 3), st.integers(0, 20_000), st.integers(1, 20_000))
def test_the_budget_is_never_exceeded_and_larger_ones_keep_the_clips_of_smaller(train, method, seed, smaller, more):
    def made(budget):
        try:
            return method(budget=budget).distill(train, 1, seed)
        except VddError as error:
            assert "a clip of every class takes" in str(error) and budget < int(
                str(error).split("takes ")[1].split()[0]
            )
            return None

    small, large = made(smaller) if smaller else None, made(smaller + more)
    for one, budget in ((small, smaller), (large, smaller + more)):
        if one is not None:
            assert (
                one.bytes_stream <= budget and torch.bincount(one.labels).tolist() == [one.card["clips_per_class"]] * 2
            )
    if small is not None:
        assert large is not None and all(
            b[: len(a)] == a for a, b in zip(per_class(small), per_class(large), strict=True)
        )


@pytest.mark.parametrize("method", CONTROLS)
def test_a_count_is_of_each_class_whatever_the_row_is_called(train, method):
    two, three = method().distill(train, 2, 1), method(count=3).distill(train, 1, 1)
    assert (
        three.card["ipc"] == 1
        and three.card["clips_per_class"] == 3
        and torch.bincount(three.labels).tolist() == [3, 3]
    )
    assert all(b[:2] == a for a, b in zip(per_class(two), per_class(three), strict=True))
    with pytest.raises(VddError, match="count 5"):
        method(count=5).distill(train, 1, 1)


@pytest.mark.parametrize("method", CONTROLS)
def test_a_budget_is_used_as_far_as_whole_clips_of_every_class_go(train, method):
    three = method().distill(train, 3, 1)
    exact, short = (method(budget=three.bytes_stream - less).distill(train, 5, 1) for less in (0, 1))
    assert exact.state() == three.state() and exact.card["ipc"] == 5 and exact.card["clips_per_class"] == 3
    assert short.card["clips_per_class"] == 2
    first = method().distill(train, 1, 1).bytes_stream
    with pytest.raises(
        VddError, match=f"{method.name}: a clip of every class takes {first} bytes, and the budget is {first - 1}"
    ):
        method(budget=first - 1).distill(train, 1, 1)


@pytest.mark.parametrize("method", CONTROLS)
def test_where_videos_run_out_other_clips_of_them_follow(train, method):
    made = method(budget=10**9, per_video=2).distill(train, 1, 0)
    assert made.labels.tolist() == [0] * 6 + [1] * 6  # twice the three videos of the smaller class
    videos = made.card["videos"]
    assert (
        len(set(videos[:4])) == 4 and videos[4:6] == videos[:2]
    )  # the larger class has a fourth before it begins again
    assert len(set(videos[6:9])) == 3 and videos[9:] == videos[6:9]
    clips = per_class(made)
    assert clips[0][0] != clips[0][4] and clips[1][0] != clips[1][3]


def test_encoded_clips_are_those_that_random_keeps(train):
    made, kept = RandomEncoded(quality=30).distill(train, 2, 3), Random().distill(train, 2, 3)
    assert made.card["videos"] == kept.card["videos"] and torch.equal(made.labels, kept.labels)
    assert np.array_equal(made.pixels, np.stack([decode_bytes(data) for data in encoded(kept.pixels, 30)]))
    assert {name: made.card[name] for name in ("clips_per_class", "quality", "side")} == {
        "clips_per_class": 2, "quality": 30, "side": 32,
    }  # fmt: skip
    fine, coarse, small = (RandomEncoded(**p).distill(train, 2, 3) for p in ({}, {"quality": 40}, {"side": 16}))
    assert fine.bytes_stream > coarse.bytes_stream and fine.bytes_stream > small.bytes_stream
    assert small.bytes_uint8 == 4 * 6 * 16 * 16 * 3 and small.pixels.shape == kept.pixels.shape
    errors = [np.square(one.pixels.astype(float) - kept.pixels).mean() for one in (fine, coarse, small)]
    assert errors[0] < errors[1] and errors[0] < errors[2]


def test_stills_are_what_static_dc_begins_with_and_cost_what_it_costs(train):
    image = {"name": "convnet", "options": {"width": 4, "depth": 2}}
    params = {"iterations": 1, "batch_real": 2, "network": image, "lr_pixels": 1e-12}
    made, begun = RandomStill().distill(train, 2, 1), distillers.build("static_dc", **params).distill(train, 2, 1)
    assert type(made.content) is Stills and np.array_equal(made.pixels, begun.pixels)
    assert (made.pixels == made.pixels[:, :1]).all()
    assert (made.bytes_uint8, made.bytes_float32, made.bytes_stream) == (
        begun.bytes_uint8, begun.bytes_float32, begun.bytes_stream,
    )  # fmt: skip
    assert made.bytes_uint8 == 4 * 32 * 32 * 3
    assert made.bytes_stream == sum(map(stream_bytes, encoded(made.pixels[:, :1])))


def test_random_videos_are_redrawn_as_the_full_set_s(train):
    made, full, kept = RandomVideos().distill(train, 2, 3), Full().distill(train), Random().distill(train, 2, 3)
    assert (
        isinstance(made, FullSet)
        and made.labels.tolist() == [0, 0, 1, 1]
        and made.card["videos"] == kept.card["videos"]
    )
    places = [train.names.index(name) for name in made.card["videos"]]
    for epoch in range(4):
        assert torch.equal(
            made.batch(range(4), epoch=epoch, seed=7, flip=True)[0],
            full.batch(places, epoch=epoch, seed=7, flip=True)[0],
        )
    assert not torch.equal(made.batch(range(4), epoch=0)[0], made.batch(range(4), epoch=1)[0])
    assert made.bytes_stream == sum(stream_bytes(train.path(i)) for i in places) < full.bytes_stream
    three = RandomVideos(videos=3).distill(train, 1, 3)
    assert three.card["ipc"] == 1 and len(three) == 6 and set(made.card["videos"]) < set(three.card["videos"])
    assert made.state() != three.state() != full.state()


@pytest.mark.parametrize("params", [{}, {"side": 16, "quality": 30, "budget": 9000}])
def test_saved_and_loaded_is_the_same(train, tmp_path, params):
    for number, made in enumerate([RandomEncoded(**params).distill(train, 2, 0), RandomStill().distill(train, 2, 0)]):
        back = DistilledSet.load(made.save(tmp_path / str(number)))
        assert back.state() == made.state() and torch.equal(back.draw()[0], made.draw()[0])
        assert back.card["clips_per_class"] == made.card["clips_per_class"] and back.bytes_video == made.bytes_video


def test_bad_input(train, tmp_path):
    for method in (RandomEncoded, RandomStill, RandomVideos):
        with pytest.raises(VddError, match="ipc 4 is larger than the class Green of two, which has 3"):
            method().distill(train, 4)
        with pytest.raises(VddError, match="ipc must be at least 1"):
            method().distill(train, 0)
    with pytest.raises(VddError, match="ipc must be at least 1"):
        RandomEncoded(budget=10**6).distill(train, 0)
    with pytest.raises(VddError, match="videos 4 is larger than the class Green"):
        RandomVideos(videos=4).distill(train, 1)
    with pytest.raises(VddError, match=r"random_encoded: side: .+multiple of 2"):
        RandomEncoded(side=15)
    with pytest.raises(VddError, match="clips of side 32 cannot be stored at side 34"):
        RandomEncoded(side=34).distill(train, 1)
    few = RandomVideos().distill(train, 1)
    with pytest.raises(VddError, match="a set of random_videos is the dataset's own videos"):
        few.save(tmp_path / "set")
    with pytest.raises(VddError, match="a set of random_videos has hard labels"):
        few.with_targets(torch.rand(2, 2))
