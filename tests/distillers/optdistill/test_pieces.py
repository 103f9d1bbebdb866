"""OptDistill's pieces: the geometry of crops, tracking, choosing, tiling."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vddlib.core.errors import BrokenVideo, VddError
from vddlib.datasets import video
from vddlib.distillers.optdistill.boxes import LEAST, cover, cut, inside, overlap
from vddlib.distillers.optdistill.compose import Segment, choose, mosaic, speed_up
from vddlib.distillers.optdistill.track import crops, follow, track

numbers = st.floats(-50, 400, allow_nan=False)
sizes = st.floats(1, 400)


@given(numbers, numbers, sizes, sizes, st.integers(20, 400), st.integers(20, 300), st.floats(0.3, 3))
def test_the_crop_has_the_ratio_lies_within_the_frame_and_holds_the_box(x, y, w, h, width, height, ratio):
    box = inside((x, y, w, h), width, height)
    if box is None:
        return
    left, top, wide, high = cover(box, width, height, ratio)
    tight = 1e-6 * max(width, height)
    assert wide / high == pytest.approx(ratio)
    assert left >= -tight and top >= -tight and left + wide <= width + tight and top + high <= height + tight
    fits = max(box[2], box[3] * ratio) <= min(width, height * ratio) + tight
    if fits:
        assert left <= box[0] + tight and top <= box[1] + tight
        assert left + wide >= box[0] + box[2] - tight and top + high >= box[1] + box[3] - tight
        assert wide == pytest.approx(max(box[2], box[3] * ratio))  # and is no larger than it must be
        centred = left == pytest.approx(box[0] + box[2] / 2 - wide / 2, abs=tight)
        assert centred or left <= tight or left + wide >= width - tight
    else:
        assert wide == pytest.approx(width) or high == pytest.approx(height)


@given(numbers, numbers, sizes, sizes)
def test_the_part_inside_is_the_common_part(x, y, w, h):
    box = inside((x, y, w, h), 100, 80)
    if box is not None:
        assert box[0] >= 0 and box[1] >= 0 and box[0] + box[2] <= 100 + 1e-6 and box[1] + box[3] <= 80 + 1e-6
        assert overlap(box, box) == pytest.approx(1) and 0 <= overlap(box, (x, y, w, h)) <= 1 + 1e-9
    else:
        assert min(x + w, 100) - max(x, 0) < LEAST or min(y + h, 80) - max(y, 0) < LEAST


def test_a_cut_of_the_whole_frame_is_the_frame_and_of_a_half_is_the_half():
    frame = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    assert np.array_equal(cut(frame, (0, 0, 32, 24), 32, 24), frame)
    assert np.array_equal(cut(frame, (8, 6, 16, 12), 16, 12), frame[6:18, 8:24])


def test_a_cut_is_scaled_linearly():
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8)[None, :, None] * 3, (32, 64, 3)).copy()
    twice = cut(ramp, (10, 4, 20, 10), 40, 20)[:, :, 0].astype(float)
    expected = 3 * (10 + (np.arange(40) + 0.5) / 2 - 0.5)
    assert np.abs(twice - expected).max() <= 1


def scene(frames: int = 40) -> tuple[np.ndarray, list]:
    """A textured disc that crosses a textured wall, ``uint8 [T, 120, 160, 3]``, and its true boxes."""
    rng = np.random.default_rng(3)
    wall = np.kron(rng.integers(60, 160, (30, 40, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    skin = np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    disc = np.hypot(*np.mgrid[-15.5:16, -15.5:16]) < 16
    video_, boxes = [], []
    for t in range(frames):
        x, y = 10 + 2.5 * t, 30 + 20 * np.sin(t / 8)
        left, top = round(x), round(y)
        frame = wall.copy()
        frame[top : top + 32, left : left + 32][disc] = skin[disc]
        video_.append(frame)
        boxes.append((float(left), float(top), 32.0, 32.0))
    return np.stack(video_), boxes


def test_csrt_follows_a_rendered_object():
    frames, boxes = scene()
    (path,) = follow(frames, [boxes[0]])
    found = [overlap(a, b) if a else 0.0 for a, b in zip(path, boxes, strict=True)]
    assert len(path) == len(frames) and np.mean(found) > 0.6
    assert follow(frames, [boxes[0]]) == [path]  # the same boxes each time


def test_tracks_and_crops_of_a_video(tmp_path):
    frames, boxes = scene(20)
    path = video.encode(tmp_path / "scene.mp4", frames, quality=5)
    found = track(path, [boxes[0], (100.0, 60.0, 30.0, 40.0)], longest=12)
    assert found["size"] == [160, 120] and found["frames"] == 12 and [len(p) for p in found["paths"]] == [12, 12]
    assert len(track(path, [boxes[0]])["paths"][0]) == 20
    made = crops(path, found["paths"], 40, 30, "drop")
    assert [one.shape for one in made] == [(12, 30, 40, 3)] * 2
    assert np.array_equal(made[1], crops(path, found["paths"][1:], 40, 30, "drop")[0])  # tracks do not mix
    gaps = [boxes[0], None, boxes[2], None]
    for lost, lengths in (("drop", [2, 0, 20]), ("hold", [4, 0, 20])):
        assert [len(one) for one in crops(path, [gaps, [None, None], boxes], 40, 30, lost)] == lengths
    assert crops(path, [[None, None]], 40, 30, "hold")[0].shape == (0, 30, 40, 3)
    with pytest.raises(BrokenVideo):
        track(tmp_path / "none.mp4", [boxes[0]])


@pytest.mark.parametrize("box", [(0, 0, 2, 2), (0, 10, 64, 2), (10, 0, 2, 48), (0, 0, 64, 48), (61, 45, 3, 3)])
def test_no_box_that_is_followed_ends_the_run(box):
    noise = np.random.default_rng(0).integers(0, 256, (6, 48, 64, 3), dtype=np.uint8)
    (path,) = follow(noise, [inside(box, 64, 48)])
    assert len(path) == 6 and all(one is None or one == inside(one, 64, 48) for one in path)


def test_speeding_up_keeps_the_first_frame_and_gives_the_exact_length():
    for length, frames in itertools.product(range(1, 12), range(1, 30)):
        if length > frames:
            with pytest.raises(VddError, match="cannot be sped up"):
                speed_up(np.arange(frames), length)
            continue
        even = speed_up(np.arange(frames), length)
        assert len(even) == length and even[0] == 0 and (np.diff(even) >= 1).all()
        assert np.abs(even - np.arange(length) * frames / length).max() < 1


def test_a_mosaic_has_its_tiles_row_after_row_aligned_at_their_first_frames():
    tiles = [np.full((length, 6, 8, 3), number, np.uint8) for number, length in enumerate((9, 5, 7, 6))]
    for number, tile in enumerate(tiles):
        tile[0] = 100 + number
    made = mosaic(tiles)
    assert made.shape == (5, 12, 16, 3)
    assert made[0, ::6, ::8, 0].tolist() == [[100, 101], [102, 103]]
    assert made[1, ::6, ::8, 0].tolist() == [[0, 1], [2, 3]]
    assert mosaic(tiles[:1]).shape == (9, 6, 8, 3)
    with pytest.raises(VddError, match="do not fill a square"):
        mosaic(tiles[:3])


def random_segments(count: int, seed: int) -> list[Segment]:
    rng = np.random.default_rng(seed)
    return [
        Segment(
            file=f"{i:03d}", video=f"v{i // 3}", frames=int(rng.integers(5, 60)), score=float(rng.integers(0, 8)) / 8
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_the_choice_is_the_best_by_brute_force(seed):
    segments, stream = random_segments(12, seed), torch.Generator().manual_seed(0)
    chosen = choose(segments, 4, stream)
    best = max(sum(one.score for one in four) for four in itertools.combinations(segments, 4))
    assert sum(one.score for one in chosen) == pytest.approx(best)
    assert [one.frames for one in chosen] == sorted(one.frames for one in chosen)
    assert chosen == choose(segments[::-1], 4, stream)  # whatever order they come in


def test_thresholds_top_k_and_one_per_video():
    segments = random_segments(30, 1)
    stream = torch.Generator().manual_seed(4)
    above = {one for one in segments if one.score >= 0.5}
    draws = [choose(segments, 4, stream, threshold=0.5) for _ in range(60)]
    assert all(above.issuperset(drawn) for drawn in draws) and {one for drawn in draws for one in drawn} == above
    assert set(choose(segments, 4, stream, threshold=0.5, top_k=4)) <= set(sorted(above, key=lambda s: -s.score)[:9])
    drawn = choose(segments, 4, stream, top_k=10)
    tenth = sorted((one.score for one in segments), reverse=True)[9]
    assert len(set(drawn)) == 4 and all(one.score >= tenth for one in drawn)
    alone = choose(segments, 8, stream, one_per_video=True)
    assert len({one.video for one in alone}) == 8
    for one in alone:
        assert one.score == max(other.score for other in segments if other.video == one.video)
    with pytest.raises(VddError, match="top_k is 3 where 4"):
        choose(segments, 4, stream, top_k=3)
    with pytest.raises(VddError, match="10 usable segments where 11"):
        choose(segments, 11, stream, one_per_video=True)
