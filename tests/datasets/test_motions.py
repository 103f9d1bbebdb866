"""The embedded dataset: deterministic, honest about motion, whole or absent."""

import inspect
import shutil
import threading

import cv2
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from vddlib.core.errors import VddError
from vddlib.datasets import motions, video
from vddlib.datasets.catalog import CATALOG


def test_same_seed_same_pixels():
    for name in ("Fall", "Rows"):
        first, again = motions.render_clip(name, 3), motions.render_clip(name, 3)
        assert np.array_equal(first.frames, again.frames) and np.array_equal(first.boxes, again.boxes)
        some = motions.render_clip(name, 3, only=[5, 2])
        assert np.array_equal(some.frames, first.frames[[5, 2]]) and np.array_equal(some.boxes, first.boxes[[5, 2]])


def test_any_other_seed_split_index_or_class_is_another_video():
    variants = [("Rise", 0, "train", 0), ("Rise", 1, "train", 0), ("Rise", 0, "test", 0), ("Rise", 0, "train", 1),
                ("Fall", 0, "train", 0)]  # fmt: skip
    frames = [motions.render_clip(*variant, only=[0]).frames.tobytes() for variant in variants]
    assert len(set(frames)) == len(variants)


def test_shapes_types_and_lengths():
    lengths = []
    for index in range(6):
        for name in motions.CLASSES:
            frames, boxes = motions.render_clip(name, 0, "test", index)
            assert frames.dtype == np.uint8 and frames.shape[1:] == (120, 160, 3)
            assert boxes.dtype == np.float32 and boxes.shape == (len(frames), 4)
            lengths.append(len(frames))
    assert min(lengths) >= 24 and max(lengths) <= 96 and len(set(lengths)) > 10
    assert len(motions.DYNAMIC) == len(motions.STATIC) >= 4


def test_unknown_class_and_split_are_named():
    with pytest.raises(VddError, match="'Jump'"):
        motions.render_clip("Jump")
    with pytest.raises(VddError, match="val"):
        motions.render_clip("Rise", split="val")


def test_true_boxes_hold_the_sprite(monkeypatch):
    """Paint the same videos with and without their sprite: what grows brighter fills the box and nothing else."""
    stamp = motions._stamp
    for name in motions.CLASSES:
        frames, boxes = motions.render_clip(name, 11, only=range(0, 24, 6))
        monkeypatch.setattr(motions, "_stamp", lambda *_: None)
        empty = motions.render_clip(name, 11, only=range(0, 24, 6)).frames
        monkeypatch.setattr(motions, "_stamp", stamp)
        for frame, ground, (x, y, w, h) in zip(frames, empty, boxes, strict=True):
            brighter = (frame.astype(int) - ground).max(axis=2) > 60
            rows, columns = np.flatnonzero(brighter.any(1)), np.flatnonzero(brighter.any(0))
            seen = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            assert np.abs(np.subtract(seen, [x, y, x + w, y + h])).max() < 2.5, name


@pytest.mark.parametrize("name", motions.DYNAMIC)
def test_height_and_size_are_uniform_and_independent_in_every_frame(name):
    paths = np.stack([motions.trajectory(name, 24, np.random.default_rng([7, i])) for i in range(2000)])
    for t in (0, 11, 23):
        height, size = paths[:, t, 1], paths[:, t, 2]
        for values in (height, size):  # Kolmogorov-Smirnov distance; 0.044 is the 0.1% point at 2000
            assert np.abs(np.sort(values) - np.linspace(0, 1, 2000)).max() < 0.044
        assert abs(np.corrcoef(height, size)[0, 1]) < 0.08


def test_motion_shows_in_every_window_and_points_one_way():
    """In 8 frames at stride 4 (3 in a video of 24) the moving quantity takes the class's direction in most steps."""
    column, sign = {"Rise": 1, "Fall": 1, "Grow": 2, "Shrink": 2}, {"Rise": 1, "Fall": -1, "Grow": 1, "Shrink": -1}
    for name in motions.DYNAMIC:
        for index in range(50):
            rng = np.random.default_rng([9, index])
            total = int(rng.integers(24, 97))
            path, stride = motions.trajectory(name, total, rng), min(4, total // 8)
            for start in range(total - 7 * stride):
                steps = np.diff(path[start : start + 7 * stride + 1 : stride, column[name]]) * sign[name]
                assert (steps > 0).sum() >= 6 and abs(steps).sum() > 0.4
            other = path[:, 3 - column[name]]
            assert np.ptp(other) == 0


def test_a_mirror_changes_neither_height_nor_size():
    """Dynamic classes rest on height and size alone, which a flip keeps; x, which it turns, is as often left as right.
    Static silhouettes are their own mirror images."""
    for name in motions.STATIC:
        corners = np.concatenate(motions.SHAPES[name])
        mirrored = corners * (-1, 1)
        gaps = np.linalg.norm(corners[:, None] - mirrored[None], axis=2).min(axis=1)
        assert gaps.max() < 1e-9, name
    x = np.concatenate([motions.trajectory("Rise", 24, np.random.default_rng([5, i]))[:, 0] for i in range(2000)])
    assert abs(x.mean() - 0.5) < 0.03


def _one_frame_features(name: str, split: str, index: int) -> np.ndarray:
    """One frame from the middle, downscaled, beside the cropped sprite and its true box: all that one frame could tell."""
    frames, boxes = motions.render_clip(name, 2, split, index, only=[12])
    x, y, w, h = boxes[0].round().astype(int)
    small = cv2.resize(frames[0], (12, 9), interpolation=cv2.INTER_AREA)
    crop = cv2.resize(frames[0][y : y + h, x : x + w].max(axis=2), (8, 8), interpolation=cv2.INTER_AREA)
    return np.concatenate([small.ravel() / 255, crop.ravel() / 64, boxes[0] / 40])


def test_one_frame_tells_static_classes_apart_but_not_dynamic_ones():
    def accuracy(classes: tuple[str, ...]) -> float:
        x, y = {}, {}
        for split, videos in (("train", 20), ("test", 20)):
            x[split] = np.stack([_one_frame_features(name, split, i) for name in classes for i in range(videos)])
            y[split] = np.repeat(np.arange(len(classes)), videos)
        return LogisticRegression(C=0.1, max_iter=500).fit(x["train"], y["train"]).score(x["test"], y["test"])

    assert abs(accuracy(motions.DYNAMIC) - 0.25) < 0.1  # 0.25 is chance
    assert accuracy(motions.STATIC) > 0.8


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    ticks = []
    root = motions.write(
        tmp_path_factory.mktemp("data") / "motions", train=2, test=5, seed=4, workers=3,
        progress=lambda done, total: ticks.append((done, total)),
    )  # fmt: skip
    assert ticks == [(i, 56) for i in range(1, 57)]
    return root


def test_written_as_ucf101_lies(written):
    lists = {name: (written / "ucfTrainTestlist" / f"{name}.txt").read_text().splitlines()
             for name in ("classInd", "trainlist01", "testlist01")}  # fmt: skip
    assert lists["classInd"] == [f"{i} {name}" for i, name in enumerate(motions.CLASSES, 1)]
    assert lists["trainlist01"][:2] == ["Rise/v_Rise_g03_c01.mp4 1", "Rise/v_Rise_g03_c02.mp4 1"]
    assert lists["testlist01"][3:5] == ["Rise/v_Rise_g01_c04.mp4", "Rise/v_Rise_g02_c01.mp4"]
    listed = [line.split()[0] for line in lists["trainlist01"] + lists["testlist01"]]
    found = [path.relative_to(written / "videos").as_posix() for path in (written / "videos").rglob("*.mp4")]
    assert sorted(listed) == sorted(found) and len(set(listed)) == 7 * 8
    assert sorted(path.name for path in written.iterdir()) == ["motions.json", "ucfTrainTestlist", "videos"]


def test_written_video_shows_the_rendered_clip(written):
    frames = motions.render_clip("Cross", 4, "test", 0).frames
    path = written / "videos" / "Cross" / "v_Cross_g01_c01.mp4"
    assert video.probe(path).frames == len(frames)
    decoded = video.decode(path, range(len(frames)))
    assert decoded.shape == frames.shape and np.abs(decoded.astype(int) - frames).mean() < 8


def test_workers_do_not_change_the_bytes(written, tmp_path):
    """`written` came from three threads; each class's first test video is made again here, alone."""
    for name in motions.CLASSES:
        video.encode(tmp_path / "alone.mp4", motions.render_clip(name, 4, "test", 0).frames)
        path = written / "videos" / name / f"v_{name}_g01_c01.mp4"
        assert path.read_bytes() == (tmp_path / "alone.mp4").read_bytes()


def test_rewriting_does_nothing_and_other_settings_are_refused(written, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in written.rglob("*")}
    assert motions.write(written, train=2, test=5, seed=4) == written
    assert before == {path: path.stat().st_mtime_ns for path in written.rglob("*")}
    with pytest.raises(VddError, match="exists already"):
        motions.write(written, train=2, test=5, seed=5)
    (tmp_path / "file").write_text("something else")
    with pytest.raises(VddError, match="exists already"):
        motions.write(tmp_path / "file", train=1, test=1)
    with pytest.raises(VddError, match="at least 1"):
        motions.write(tmp_path / "none", train=0)


def files_of(root):
    """Bytes of the videos of each split, class by class, in the order of its list."""
    lines = {
        part: (root / "ucfTrainTestlist" / f"{part}list01.txt").read_text().splitlines() for part in ("train", "test")
    }
    return {part: [(root / "videos" / line.split()[0]).read_bytes() for line in rows] for part, rows in lines.items()}


def test_a_rendering_with_other_settings_gives_way_where_that_is_asked_for(written, tmp_path):
    """And only then, once the new one is whole; each video is what it was, however many there are."""
    root = shutil.copytree(written, tmp_path / "motions")
    before, settings = files_of(root), {"train": 1, "test": 2, "seed": 4, "workers": 1}
    with pytest.raises(VddError, match="exists already"):
        motions.write(root, **settings)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        motions.write(root, **settings, replace=True, progress=stop)
    assert files_of(root) == before
    motions.write(root, **settings, replace=True)
    after = files_of(root)
    assert after["train"] == before["train"][::2]  # there were two of each class
    assert after["test"] == [data for i, data in enumerate(before["test"]) if i % 5 < 2]  # and five
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["motions"]
    assert len(list(root.rglob("*.mp4"))) == 8 * 3
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "motions.json").write_text('["something else"]')
    with pytest.raises(VddError, match="exists already"):
        motions.write(tmp_path / "mine", replace=True)


def test_the_catalogue_says_how_many_videos_are_rendered():
    settings = inspect.signature(motions.write).parameters
    each = (settings["train"].default, settings["test"].default)
    assert each == (40, 60) and CATALOG["motions"].counts == tuple(len(motions.CLASSES) * n for n in each)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_interrupted_render_leaves_nothing_and_a_rerun_goes_on(tmp_path, error):
    def stop(done, total):
        if done == 3:
            raise error

    root = tmp_path / "motions"
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else VddError) as caught:
        motions.write(root, train=1, test=1, workers=1, progress=stop)
    if caught.type is VddError:
        assert "No space left" in str(caught.value) and "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []

    (tmp_path / ".motions.partial" / "videos").mkdir(parents=True)  # as a killed process leaves it
    assert (motions.write(root, train=1, test=1) / "motions.json").exists()
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["motions"]


def test_two_writers_at_once_render_once(tmp_path):
    ticks = []
    threads = [
        threading.Thread(target=motions.write, args=(tmp_path / "m",),
                         kwargs={"train": 1, "test": 1, "workers": 1, "progress": lambda done, _: ticks.append(done)})
        for _ in range(2)
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ticks == list(range(1, 17)) and (tmp_path / "m" / "motions.json").exists()
