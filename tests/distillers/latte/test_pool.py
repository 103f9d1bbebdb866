"""Pools: made once, whole or in shards, read as clips like any other, and refused where they do not fit."""

import os

import pytest

from vddlib import distillers
from vddlib.core.errors import VddError
from vddlib.datasets.clips import load
from vddlib.distillers.latte import load_pool, make_pool, pool
from vddlib.distillers.latte.sampling import sample


def test_a_pool_is_clips_like_any_other(tiny, tiny_latte):
    train, _ = tiny
    made = load_pool(train, tiny_latte())
    clips = made.clips
    assert len(clips) == 9 and clips.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2] and clips.classes == train.classes
    assert (clips.mean == train.mean).all() and (clips.std == train.std).all() and clips.part == "train"
    assert clips.frames([4]).shape == (1, 8, 32, 32, 3)
    kept = distillers.build("random").distill(train, 2, seed=1, candidates=clips)
    assert kept.card["pool"] == "tiny by Latte" and len(kept.labels) == 6
    assert made.train_seconds > 0 and made.sample_seconds > 0
    g = train.geometry
    assert kept.content.frames.shape == (6, g.frames, g.size, g.size, 3)


def test_it_is_made_once_and_another_seed_makes_another(tiny, tiny_latte, monkeypatch):
    train, _ = tiny
    first = load_pool(train, tiny_latte()).clips
    other = load_pool(train, tiny_latte(), seed=1).clips
    assert (first.frames([0]) != other.frames([0])).any() and first.fingerprint != other.fingerprint
    monkeypatch.setattr(pool, "sample", None)
    again = load_pool(train, tiny_latte()).clips
    assert (first.frames(range(9)) == again.frames(range(9))).all() and first.fingerprint == again.fingerprint


def test_another_guidance_does_not_train_again(tiny, tiny_latte, monkeypatch):
    train, _ = tiny
    first = load_pool(train, tiny_latte())
    second = load_pool(train, tiny_latte(guidance=4.0))
    assert second.trained.folder == first.trained.folder
    assert (second.clips.frames([0]) != first.clips.frames([0])).any()


def test_shards_make_what_one_run_makes(tiny, tiny_latte, monkeypatch):
    train, _ = tiny
    whole = load_pool(train, tiny_latte()).clips.frames(range(9))
    monkeypatch.setenv("VDD_CACHE", os.environ["VDD_CACHE"] + "_shards")
    assert len(make_pool(train, tiny_latte(), shard=(1, 2))) == 1
    assert len(make_pool(train, tiny_latte(), shard=(0, 2))) == 2
    monkeypatch.setattr(pool, "sample", None)  # nothing is left to make
    assert (load_pool(train, tiny_latte()).clips.frames(range(9)) == whole).all()
    with pytest.raises(VddError, match="shard"):
        make_pool(train, tiny_latte(), shard=(2, 2))


def test_an_interrupted_pool_goes_on(tiny, tiny_latte, monkeypatch):
    train, _ = tiny
    whole = load_pool(train, tiny_latte()).clips.frames(range(9))
    monkeypatch.setenv("VDD_CACHE", os.environ["VDD_CACHE"] + "_interrupted")
    calls = []

    def dies(*args, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return sample(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(pool, "sample", dies)
        with pytest.raises(KeyboardInterrupt):
            make_pool(train, tiny_latte())
    calls.clear()
    monkeypatch.setattr(pool, "sample", lambda *args, **options: calls.append(1) or sample(*args, **options))
    assert (load_pool(train, tiny_latte()).clips.frames(range(9)) == whole).all()
    assert len(calls) == 5  # two batches of each of three classes, less the first


def test_classes_in_another_order_are_refused(tiny, tiny_latte):
    train, _ = tiny
    clips = load_pool(train, tiny_latte()).clips
    with pytest.raises(VddError, match="not those"):
        distillers.build("random").distill(train.only(["Blue", "Green", "Red"]), 1, candidates=clips)
    with pytest.raises(VddError, match="larger than"):
        distillers.build("random").distill(train, 4, candidates=clips)


def test_a_generator_with_a_size_of_its_own(tiny, tiny_root, tiny_latte, monkeypatch):
    """It learns from larger clips of the same videos, and its pool is read at the size of the others."""
    monkeypatch.setattr(pool, "load", lambda name, g, **options: load(str(tiny_root), g, workers=1, **options))
    train, _ = tiny
    made = load_pool(train, tiny_latte(size=48, stride=1, per_class=1, patch=4))
    assert made.clips.frames([0]).shape == (1, 8, 32, 32, 3) and made.clips.geometry.size == train.geometry.size
    source = pool.source_of(train, tiny_latte(size=48))
    assert (source.geometry.size, source.geometry.stride) == (48, train.geometry.stride)
    assert pool.source_of(train, tiny_latte()) is train
    with pytest.raises(VddError, match="whole datasets"):
        load_pool(train.only(["Blue", "Red"]), tiny_latte(size=48, patch=4))
