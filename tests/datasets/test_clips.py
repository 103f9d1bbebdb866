"""Which frames a clip takes, and that the store holds exactly what decoding gives."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import ROOT, write_ucf
from vddlib.core import cache, files
from vddlib.core.errors import BrokenVideo, VddError
from vddlib.core.parallel import run_each
from vddlib.datasets import jpeg_store, store
from vddlib.datasets.catalog import Dataset, read
from vddlib.datasets.clips import load, standardise, to_pixels
from vddlib.datasets.geometry import LIGHT, MINI, Geometry, geometry
from vddlib.datasets.layouts import ucf
from vddlib.datasets.store import open_store
from vddlib.datasets.subsets import at_paces
from vddlib.datasets.video import stream_bytes


@given(
    st.integers(1, 700),
    st.integers(1, 32),
    st.integers(1, 12),
    st.sampled_from(["stride", "even", "middle"]),
    st.data(),
)
def test_every_clip_lies_inside_its_video(n, frames, stride, sampling, data):
    g = Geometry(frames=frames, stride=stride, sampling=sampling)
    if n < frames:
        assert g.starts(n) == 0
        return
    start = data.draw(st.integers(0, g.starts(n) - 1))
    wanted = g.indices(n, start, 25.0)
    assert len(wanted) == frames and wanted.min() >= 0 and wanted.max() < n
    assert (np.diff(wanted) >= 0).all()
    assert set(wanted) <= set(g.stored(n, 25.0))


def test_the_light_track_is_vdsd_s():
    assert (LIGHT.frames, LIGHT.size, LIGHT.resize) == (16, 112, (160, 120))
    assert LIGHT.step(64) == 4 and LIGHT.step(63) == 3 and LIGHT.step(16) == 1
    assert LIGHT.starts(64) == 4  # 64 - 15 * 4


def test_frames_of_48_and_112_are_cropped_and_others_are_not():
    assert geometry(8, 48, 8) == MINI and MINI.resize == (64, 48)
    assert geometry(16, 112, 4) == LIGHT
    assert geometry(8, 64, 8).resize == (64, 64) and geometry(8, 32, 4).resize == (32, 32)
    frame = np.zeros((1, 120, 160, 3), np.uint8)
    frame[:, :, 20:140] = 255  # the square in the middle of 4:3
    assert (MINI.square(frame) == 255).all()


def test_a_stride_may_be_shortened_but_not_where_it_is_the_label():
    assert (MINI.shortest(), MINI.shortest(4), MINI.at_pace(4).stride, MINI.at_pace(1)) == (8, 256, 32, MINI)


def test_evenly_spaced_and_middle_frames():
    assert Geometry(frames=4, sampling="even").indices(40, 0).tolist() == [5, 15, 25, 35]
    g = Geometry(frames=3, sampling="middle", sampled_fps=2.0)
    assert g.indices(100, 0, fps=10.0).tolist() == [45, 50, 55]


def test_square_is_a_centre_crop_of_the_resized_frame():
    frame = np.zeros((1, 240, 320, 3), np.uint8)
    frame[:, :, 160:] = 255
    square = LIGHT.square(frame)
    assert square.shape == (1, 112, 112, 3)
    assert (square[0, :, :55] == 0).all() and (square[0, :, 57:] == 255).all()


def test_probing_goes_on_after_what_a_killed_one_noted(tiny_root, tmp_path, monkeypatch):
    dataset, journal = read(str(tiny_root)), tmp_path / "probed.jsonl"
    whole = store.probe_all(dataset, 1, journal)
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == len(whole) == 27
    journal.write_bytes(b"".join(lines[:20]) + lines[20][:9])  # killed in the middle of a line
    asked, real = [], store.run_each
    monkeypatch.setattr(store, "run_each", lambda items, *a, **k: asked.extend(items) or real(items, *a, **k))
    again = store.probe_all(dataset, 1, journal)
    assert {path: tuple(found) for path, found in again.items()} == whole and len(asked) == 7
    assert len(journal.read_bytes().splitlines()) == 27


def test_a_store_of_jpegs_is_near_and_says_that_it_is_another_dataset(tiny_root, monkeypatch, capsys):
    g = geometry(8, 32, 2)
    exact, _ = load(str(tiny_root), g, workers=1)
    monkeypatch.setenv("VDD_STORE", "jpeg")
    monkeypatch.setattr(jpeg_store, "SHARD", 5)  # several files
    train, test = load(str(tiny_root), g, workers=1)
    assert "takes about 0.00 GB" in capsys.readouterr().out
    shards = list(train._store.folder.glob("*.jpegs"))
    assert len(shards) == 6 and sum(path.stat().st_size for path in shards) == train._store.table["size"].sum()
    for i in (0, 7, 17):
        near = np.abs(train.clip(i, epoch=3).astype(int) - exact.clip(i, epoch=3))
        assert near.mean() < 3 and near.max() > 0
    assert (
        len({exact.fingerprint, train.fingerprint}) == 2 == len({files.digest(one.state()) for one in (exact, train)})
    )
    assert train.fingerprint == test.fingerprint
    again = pickle.loads(pickle.dumps(train))
    assert np.array_equal(again.clip(3), train.clip(3))
    monkeypatch.setenv("VDD_STORE", "png")
    with pytest.raises(VddError, match="VDD_STORE=png: frames are kept 'exact' or as 'jpeg'"):
        load(str(tiny_root), g, workers=1)


def test_a_shard_that_lacks_what_was_noted_is_packed_again(tmp_path):
    sizes = {0: [5, 6], 1: [7], jpeg_store.SHARD: [4]}
    for shard, size in ((0, 17), (1, 4 + 3), (2, 9)):  # one byte lost; three bytes too many; of no noted video
        (tmp_path / f"{shard:05d}.jpegs").write_bytes(bytes(size))
    done = {number: (found, "") for number, found in sizes.items()}
    jpeg_store._cut(tmp_path, done)
    assert done == {jpeg_store.SHARD: ([4], "")}
    assert [(path.name, path.stat().st_size) for path in tmp_path.glob("*.jpegs")] == [("00001.jpegs", 4)]
    assert store.read_journal(tmp_path / "packed.jsonl") == [[jpeg_store.SHARD, [4], ""]]


def test_the_size_is_told_by_processes_that_may_crash(tiny_root, monkeypatch):
    monkeypatch.setenv("VDD_STORE", "jpeg")
    asked, real = [], jpeg_store.run_each
    monkeypatch.setattr(
        jpeg_store,
        "run_each",
        lambda items, work, what, *a, **k: asked.append(what) or real(items, work, what, *a, **k),
    )
    load(str(tiny_root), geometry(8, 16, 1), workers=1)
    assert asked[0] == "sizes" and len(asked) == 2


def test_a_damaged_frame_is_named(tiny_root, monkeypatch):
    monkeypatch.setenv("VDD_STORE", "jpeg")
    train, _ = load(str(tiny_root), geometry(8, 16, 1), workers=1)
    kept = train._store
    kept.shards = {number: np.zeros_like(shard) for number, shard in kept.shards.items()}
    with pytest.raises(VddError, match="a frame of shard 0 is damaged"):
        train.clip(0)


def test_a_broken_video_is_left_out_of_a_store_of_jpegs(tmp_path, monkeypatch):
    monkeypatch.setenv("VDD_STORE", "jpeg")
    monkeypatch.setattr(store, "BROKEN_SHARE", 0.1)
    root = write_ucf(tmp_path / "d", train=6, test=2)
    broken = sorted((root / "UCF-101").rglob("*.mp4"))[4]
    content = broken.read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    train, test = load(str(root), geometry(8, 16, 1), workers=1)
    assert len(train) + len(test) == 23
    monkeypatch.delenv("VDD_STORE")
    exact, _ = load(str(root), geometry(8, 16, 1), workers=1)
    assert exact.names == train.names
    off = [np.abs(train.clip(i).astype(int) - exact.clip(i)).mean() for i in range(len(train))]
    assert max(off) < 6  # every other video is in its place


def test_the_store_equals_decoding(tiny_root):
    g = geometry(8, 32, 2)
    (stored, _), (decoded, _) = load(str(tiny_root), g, workers=1), load(str(tiny_root), g, store=False, workers=1)
    for i in (0, 7, 17):
        for epoch in (0, 3):
            assert np.array_equal(stored.clip(i, epoch=epoch, seed=1), decoded.clip(i, epoch=epoch, seed=1))
    assert torch.equal(stored.mean, decoded.mean)


@pytest.mark.parametrize("sampling", ["even", "middle"])
def test_the_store_of_fixed_frames_equals_decoding(tiny_root, sampling):
    g = Geometry(frames=8, size=16, resize=(16, 16), sampling=sampling)
    (stored, _), (decoded, _) = load(str(tiny_root), g, workers=1), load(str(tiny_root), g, store=False, workers=1)
    assert all(np.array_equal(stored.clip(i), decoded.clip(i)) for i in range(len(stored)))


def test_draws_depend_on_seed_epoch_and_index_alone(tiny):
    train, test = tiny
    draws = {(s, e, i): train.draw(i, epoch=e, seed=s) for s in (0, 1) for e in (0, 1, 2) for i in range(len(train))}
    assert draws == {key: train.draw(key[2], epoch=key[1], seed=key[0]) for key in draws}
    assert len({draws[0, e, 5] for e in range(3)} | {draws[1, e, 5] for e in range(3)}) > 1
    assert 0.2 < np.mean([flip for _, flip in draws.values()]) < 0.8
    assert train.draw(0) != test.draw(0) or train.draw(1) != test.draw(1)
    part = train.subset([4, 9])
    assert part.draw(1, epoch=2, seed=1) == train.draw(9, epoch=2, seed=1)


def test_a_flipped_clip_is_the_mirror_image(tiny):
    train, _ = tiny
    i = next(i for i in range(len(train)) if train.draw(i)[1])
    assert np.array_equal(train.frames([i], flip=True)[0], train.clip(i)[:, :, ::-1])
    assert np.array_equal(train.frames([i], flip=False)[0], train.clip(i))


def test_batches_are_standardised_by_the_dataset(tiny):
    train, test = tiny
    clips, labels = train.batch([0, 6, 12])
    assert clips.shape == (3, 3, 8, 32, 32) and clips.dtype == torch.float32
    assert labels.tolist() == [0, 1, 2]
    alone = train.batch([6])[0][0]
    assert torch.equal(clips[1], alone)  # a neighbour changes nothing
    assert torch.equal(train.mean, test.mean)
    assert np.array_equal(to_pixels(clips, train.mean, train.std), train.frames([0, 6, 12]))


@given(st.integers(0, 255), st.floats(0.1, 0.9), st.floats(0.05, 1))
def test_standardise_is_the_formula(value, mean, std):
    frames = np.full((1, 2, 3, 3, 3), value, np.uint8)
    out = standardise(frames, torch.full((3,), mean), torch.full((3,), std))
    assert out.shape == (1, 3, 2, 3, 3)
    assert torch.allclose(out, torch.tensor((value / 255 - mean) / std).float(), atol=1e-4)


def test_still_clips_repeat_one_frame(tiny):
    train, _ = tiny
    frames = train.still().frames([2, 9], epoch=1, flip=True)
    assert (frames == frames[:, :1]).all()
    assert np.array_equal(frames[:, 0], train.frames([2, 9], epoch=1, flip=True)[:, 0])
    assert train.still().state() != train.state()


def test_shuffled_and_reversed_clips_hold_the_same_frames(tiny):
    train, test = tiny
    own, shuffled = train.frames([2, 9], epoch=1, flip=True), train.shuffled().frames([2, 9], epoch=1, flip=True)
    assert np.array_equal(train.reversed().frames([2, 9], epoch=1, flip=True), own[:, ::-1])
    for mixed, clip in zip(shuffled, own, strict=True):
        assert not np.array_equal(mixed, clip)
        assert sorted(frame.tobytes() for frame in mixed) == sorted(frame.tobytes() for frame in clip)
    for other in (train.still(), train.shuffled(), train.reversed()):
        assert other.draw(9, epoch=3, seed=1) == train.draw(9, epoch=3, seed=1)
        assert torch.equal(other.labels, train.labels) and torch.equal(other.mean, train.mean)
    orders = {files.digest(c.state()) for c in (train, train.still(), train.shuffled(), train.reversed())}
    assert len(orders) == 4 and test.reversed().shuffled().state() != test.shuffled().state()
    still = train.still().frames([2, 9], epoch=1, flip=True)
    for other in (train.still().shuffled(), train.still().reversed()):  # of frames that are the same already
        assert np.array_equal(other.frames([2, 9], epoch=1, flip=True), still)
    twice = train.reversed().reversed().frames([2, 9], epoch=1, flip=True)
    assert np.array_equal(twice, train.frames([2, 9], epoch=1, flip=True))


def test_the_order_of_a_shuffled_clip_depends_on_place_epoch_and_seed_alone(tiny):
    train, test = (part.shuffled() for part in tiny)
    places = [(c, i, e, s) for c in (train, test) for i in range(3) for e in (None, 0, 1) for s in (0, 1)]
    orders = [tuple(c._places(i, e, s)) for c, i, e, s in places]
    assert orders == [tuple(c._places(i, e, s)) for c, i, e, s in places]
    assert len(set(orders)) == len(orders)  # of 40320: two are the same once in 60 such lists of 36
    assert np.array_equal(train.subset([4, 9]).frames([1], epoch=2), train.frames([9], epoch=2))


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_shuffled_clip_is_never_in_its_own_order_unless_it_has_one_frame(tiny_root, frames):
    train, _ = load(str(tiny_root), geometry(frames, 16, 2), workers=1)
    orders = {tuple(train.shuffled()._places(i, e, 0)) for i in range(18) for e in range(5)}
    if frames == 1:
        assert orders == {(0,)}
    else:
        assert orders == set(permutations(range(frames))) - {tuple(range(frames))}


@pytest.fixture
def paced(tiny_root, monkeypatch):
    """`tiny` at two paces: 8 frames at stride 1, and at stride 3, which its shortest video (24 frames) just allows."""
    listing = at_paces(ucf(tiny_root), {"slow": 1, "fast": 3})
    dataset = Dataset("paced", tiny_root, listing.classes, listing.train, listing.test)
    monkeypatch.setattr("vddlib.datasets.clips.read", lambda name: dataset)
    return dataset


@pytest.mark.parametrize("store", [True, False])
def test_fast_clips_take_every_third_frame_of_the_video_that_slow_ones_show(paced, store):
    train, _ = load("paced", geometry(8, 16, 1), store=store, workers=1)
    assert train.paced and train.classes == (
        "Red slow",
        "Red fast",
        "Green slow",
        "Green fast",
        "Blue slow",
        "Blue fast",
    )
    for slow, fast in ((0, 1), (18, 19)):
        assert train.path(slow) == train.path(fast) and train.labels[fast] == train.labels[slow] + 1
        video = np.concatenate(
            [train.clip(slow, start=start) for start in (0, 8, 16)]
        )  # all of its 24 frames, or the first
        for start in (0, 2):
            assert np.array_equal(train.clip(slow, start=start), video[start : start + 8])
            assert np.array_equal(train.clip(fast, start=start), video[start : start + 22 : 3])
        assert np.array_equal(train.middle(slow)[0], train.middle(fast)[0])


def test_clips_begin_at_the_same_places_at_every_pace(paced):
    train, _ = load("paced", geometry(8, 16, 1), workers=1)
    for i in range(0, len(train), 7):
        starts = {train.draw(i, epoch=epoch)[0] for epoch in range(300)}
        assert starts == set(range(train.frame_count(i) - 7 * 3))
    slow = train.only(["Green slow"])
    assert slow.draw(1, epoch=5) == train.draw(int(train.of_class(2)[1]), epoch=5)


def test_a_video_at_two_paces_is_stored_and_counted_once(paced, tiny_root):
    g = geometry(8, 16, 1)
    both, once = open_store(paced, g, workers=1), open_store(read(str(tiny_root)), g, workers=1)
    assert np.array_equal(both.pixels, once.pixels)
    (train, _), files_of = load("paced", g, workers=1), {entry.path for entry in paced.train}
    assert len(train) == 36 and train.bytes_video == sum(path.stat().st_size for path in files_of)
    assert train.bytes_stream == sum(map(stream_bytes, files_of))


def test_a_video_too_short_for_the_fast_pace_is_left_out_at_both(paced, monkeypatch):
    """At the slow one alone, its class would tell the pace; at a shorter stride, its label would be wrong."""
    lengths = {path: (24, 25.0, "") for path in {e.path for e in (*paced.train, *paced.test)}}
    short = paced.train[2].path
    monkeypatch.setattr("vddlib.datasets.store.probe_all", lambda *_: lengths | {short: (23, 25.0, "")})
    index = store.layout_of(paced, geometry(8, 16, 1), 1)
    assert [i for i, row in enumerate(index["train"]) if row["broken"]] == [2, 3]
    assert index["train"][2]["broken"] == f"{short}: has 23 frames, a clip needs 24 at 3 times stride 1"
    assert index["total"] == 24 * 26
    assert not any(row["broken"] for row in index["test"])


def test_geometries_that_have_no_such_pace_are_refused(paced):
    with pytest.raises(VddError, match=r"48 of 54 videos are .*has 24 frames, a clip needs 48 at 3 times stride 2"):
        load("paced", geometry(8, 16, 2), workers=1)
    with pytest.raises(VddError, match="paced: its classes differ in stride, and sampling 'even' has none"):
        load("paced", geometry(8, 16, 1, "even"), workers=1)


def test_a_broken_video_is_left_out_at_both_paces(tmp_path, monkeypatch):
    root = write_ucf(tmp_path / "d", train=100, test=1, classes=("A", "B"))
    (root / "UCF-101" / "A" / "v_A_g08_c01.mp4").write_bytes(b"")
    listing = at_paces(ucf(root), {"slow": 1, "fast": 3})
    dataset = Dataset("paced", root, listing.classes, listing.train, listing.test)
    monkeypatch.setattr("vddlib.datasets.clips.read", lambda name: dataset)
    train, _ = load("paced", geometry(8, 16, 1), workers=1)
    assert len(train) == 398 and not any(name.endswith("v_A_g08_c01") for name in train.names)


def test_holdout_keeps_both_paces_of_a_source_on_one_side(paced):
    train, _ = load("paced", geometry(8, 16, 1), workers=1)
    rest, held = train.holdout(0.3)
    sides = [{part.path(i) for i in range(len(part))} for part in (rest, held)]
    assert not sides[0] & sides[1] and len(rest) + len(held) == 36
    assert torch.bincount(held.labels).tolist() == [2] * 6


def test_only_some_classes(tiny):
    train, _ = tiny
    part = train.only(["Blue", "Red"])
    assert part.classes == ("Blue", "Red") and part.labels.tolist() == [0] * 6 + [1] * 6
    assert all(name.startswith("Blue/") for name in part.names[:6])
    assert len({files.digest(c.state()) for c in (part, train, train.only(["Red", "Blue"]), train.still())}) == 4
    with pytest.raises(VddError, match="tiny has no class 'Pink'"):
        train.only(["Pink"])


def test_holdout_keeps_sources_apart_and_classes_whole(tiny):
    train, _ = tiny
    rest, held = train.holdout(0.3)
    assert sorted(rest.names + held.names) == sorted(train.names)
    assert set(held.labels.tolist()) == {0, 1, 2} and len(held) == 6
    assert held.names == train.holdout(0.3)[1].names != train.holdout(0.3, seed=1)[1].names


@pytest.mark.parametrize("store", [True, False])
def test_clips_travel_to_other_processes_without_their_pixels(tiny_root, store):
    train, test = load(str(tiny_root), geometry(8, 32, 2), store=store, workers=1)
    parts = [train, test, train.subset([4, 9]), train.only(["Blue"]), train.shuffled(), train.holdout()[1]]
    for clips in parts:
        packed = pickle.dumps(clips)
        back = pickle.loads(packed)
        assert back.state() == clips.state() and back.names == clips.names and back.classes == clips.classes
        assert torch.equal(back.batch([0, 1], flip=True)[0], clips.batch([0, 1], flip=True)[0])
        assert torch.equal(back.labels, clips.labels)
        assert torch.equal(back.mean, clips.mean) and len(packed) < 20_000
    assert train.clip(0).any()  # the original still reads


def test_one_broken_video_in_many_is_skipped_and_named(tmp_path, capsys):
    root = write_ucf(tmp_path / "d", train=100, test=1, classes=("A", "B"))
    (root / "UCF-101" / "A" / "v_A_g08_c01.mp4").write_bytes(b"")
    train, _ = load(str(root), geometry(8, 16, 1), workers=1)
    assert len(train) == 199 and "A/v_A_g08_c01" not in train.names
    assert "skipped" in (said := capsys.readouterr().out) and "v_A_g08_c01.mp4: the file is empty" in said


def test_over_one_percent_broken_stops(tmp_path):
    root = write_ucf(tmp_path / "d", train=3, test=1)
    path = root / "UCF-101" / "Red" / "v_Red_g08_c01.mp4"
    whole = path.read_bytes()
    path.write_text("not a video")
    for stored in (True, False):
        with pytest.raises(VddError, match=r"1 of 12 videos are broken.*v_Red_g08_c01\.mp4"):
            load(str(root), geometry(8, 16, 1), store=stored, workers=1)
    path.write_bytes(whole)  # mended, it is looked at again
    assert len(load(str(root), geometry(8, 16, 1), workers=1)[0]) == 9


def test_videos_shorter_than_a_clip_are_broken_for_it(tiny_root):
    with pytest.raises(VddError, match="has 24 frames, a clip needs 40"):
        load(str(tiny_root), geometry(40, 16, 1), workers=1)


def test_a_store_larger_than_the_disk_is_refused_before_it_is_written(tiny_root, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(VddError, match=r"needs 0\.0 GB and 0\.0 GB are free.*VDD_CACHE"):
        load(str(tiny_root), geometry(8, 32, 2), workers=1)
    assert not list(cache.folder().rglob("frames.u8"))


def test_two_processes_fill_what_one_would(tiny_root, monkeypatch, tmp_path):
    dataset, g = read(str(tiny_root)), geometry(8, 32, 2)
    one = open_store(dataset, g, workers=1).pixels
    monkeypatch.setenv("VDD_CACHE", str(tmp_path / "other"))
    assert np.array_equal(one, open_store(dataset, g, workers=2).pixels)


@pytest.mark.parametrize("kind", ["exact", "jpeg"])
def test_a_killed_build_goes_on_where_it_stopped(tmp_path, monkeypatch, kind):
    root, cache = write_ucf(tmp_path / "d", train=40, test=2), tmp_path / "cache"
    monkeypatch.setenv("VDD_CACHE", str(cache))
    script = tmp_path / "slow.py"  # whose first lines run in its workers, too
    script.write_text(
        "from vddlib.datasets.clips import load; from vddlib.datasets.geometry import geometry\n"
        "from vddlib.datasets import store, video; import time\n"
        "real = video.stream\n"
        "def slow(path):\n    time.sleep(0.05); yield from real(path)\n"
        "video.stream = slow\n"
        f"if __name__ == '__main__':\n    load({str(root)!r}, geometry(8, 16, 1), workers=1)"
    )
    monkeypatch.setenv("VDD_STORE", kind)
    env = {**os.environ, "VDD_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, script], env=env)
    deadline = time.monotonic() + 120

    def decoded():
        found = [*cache.rglob("done.u8"), *cache.rglob("packed.jsonl")]
        kept = found[0].read_bytes() if found else b""
        return sum(kept) if kind == "exact" else kept.count(b"\n")

    while time.monotonic() < deadline and decoded() < 5:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 5 <= decoded() < 126
    jobs, module = [], store if kind == "exact" else jpeg_store
    real = module.run_each
    monkeypatch.setattr(module, "run_each", lambda items, *a, **k: jobs.append(len(items)) or real(items, *a, **k))
    train, _ = load(str(root), geometry(8, 16, 1), workers=1)
    assert len(jobs) == 1 and 0 < jobs[0] <= 126 - 5  # all were probed before
    fresh, _ = load(str(root), geometry(8, 16, 1), store=False, workers=1)
    off = [np.abs(train.clip(i).astype(int) - fresh.clip(i)) for i in range(0, len(train), 7)]
    assert max(one.mean() for one in off) <= (0 if kind == "exact" else 6)


def test_artifacts_are_built_once_and_complete(tmp_path):
    calls = []

    def build(folder):
        calls.append(1)
        (folder / "x").write_text("x")
        if len(calls) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.get("thing", {"a": 1}, build)
    place = cache.get("thing", {"a": 1}, build)
    assert cache.get("thing", {"a": 1}, build) == place and len(calls) == 2
    assert json.loads((place / "key.json").read_text()) == {"a": 1}
    assert cache.get("thing", {"a": 2}, build) != place


def test_code_digest_ignores_comments_and_docstrings(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in {"one": "x = 1\n", "two": '"""Doc."""\nx = 1  # why\n', "three": "x = 2\n"}.items():
        (tmp_path / f"vdd_digest_{name}.py").write_text(text)
    one, two, three = (cache.code_digest(f"vdd_digest_{name}") for name in ("one", "two", "three"))
    assert one == two != three


def _square_or_die(item):
    mark, n = item
    if n == 0 and not mark.exists():
        mark.touch()
        os._exit(1)
    while n == 15 and not mark.exists():
        time.sleep(0.01)
    return os._exit(1) if n == 15 else n * n


def test_an_item_that_kills_its_process_costs_only_itself(tmp_path):
    """15 does it always, 0 once (short of memory, say), which is nobody's fault."""
    items = [(tmp_path / "once", n) for n in range(20)]
    done = list(run_each(items, _square_or_die, "squaring", 2, crashed=lambda item, why: f"{item[1]} crashed"))
    assert len(done) == 20 and dict(done) == {(m, n): "15 crashed" if n == 15 else n * n for m, n in items}


@pytest.mark.parametrize("locked", [False, True])
def test_processes_that_cannot_start_blame_no_item(tmp_path, locked):
    script = tmp_path / "unguarded.py"
    work = "list(run_each(range(-8, 8), abs, 'abs', 2, crashed=lambda n, why: print('crashed', n)))"
    script.write_text(
        "from vddlib.core import cache\n"
        "from vddlib.core.parallel import run_each\n"
        + (f"cache.get('numbers', {{'a': 1}}, lambda folder: {work})\n" if locked else f"{work}\n")
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300, env=env)
    assert "worker processes die as they start" in ran.stderr and "crashed" not in ran.stdout


def test_a_guarded_script_may_take_what_is_in_the_cache_as_it_begins(tmp_path):
    script = tmp_path / "guarded.py"
    script.write_text(
        "from vddlib.core import cache\n"
        "from vddlib.core.parallel import run_each\n"
        "cache.get('numbers', {'b': 1}, lambda folder: None)\n"
        "if __name__ == '__main__':\n"
        "    print(sorted(dict(run_each(range(-8, 8), abs, 'abs', 2, crashed=str)).values()))\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "VDD_CACHE": str(tmp_path / "cache")}
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300, env=env)
    assert str(sorted(map(abs, range(-8, 8)))) in ran.stdout, ran.stderr


def _die(path, *_):
    os._exit(1)


def test_clips_without_a_store_survive_a_video_that_ends_its_decoder(tiny_root, monkeypatch):
    """Each draw decodes; here, too, it is another process that does."""
    train, _ = load(str(tiny_root), geometry(8, 16, 1), store=False, workers=1)
    whole = train.clip(0)
    with monkeypatch.context() as patch:
        patch.setattr("vddlib.datasets.video.decode", _die)
        with pytest.raises(BrokenVideo, match=rf"{train.path(0)}: decoding it failed: it crashed its worker process"):
            train.clip(0)
    assert np.array_equal(train.clip(0), whole)


@pytest.mark.parametrize("step", ["probing", "decoding"])
def test_a_video_that_crashes_the_decoder_is_a_broken_one(tmp_path, monkeypatch, step):
    def crashing(items, work, what, workers=None, *, crashed, limit):
        for item in items:
            yield (
                item,
                crashed(item, "it crashed its worker process")
                if step in what and "v_Green_g08_c01" in str(item)
                else work(item),
            )

    root = write_ucf(tmp_path / "d", train=3, test=1)
    monkeypatch.setattr("vddlib.datasets.store.run_each", crashing)
    with pytest.raises(
        VddError, match=r"1 of 12 videos.*v_Green_g08_c01\.mp4: decoding it failed: it crashed its worker process"
    ):
        load(str(root), geometry(8, 16, 1), workers=1)
