"""The embedded dataset: small rendered videos, half told apart by motion alone, half by appearance alone.

Every video shows one bright sprite before a dim, cluttered background, through a camera that is never quite still.
Four *dynamic* classes differ only in how the sprite moves (Rise, Fall, Grow, Shrink), four *static* ones only in its
silhouette (Ring, Cross, Columns, Rows) while they move as the dynamic ones do. A method that ignores time cannot tell
half of the classes apart.

Why one frame of a dynamic video says nothing: in *every* frame of *every* dynamic class, height and size are uniform on
[0, 1] and independent. The one that moves is a sawtooth with a uniformly random phase, so uniform at any instant; the
other is drawn uniformly once. Everything else (shape, colours, background, camera, length) follows the same distributions
in every class. Up, down, larger and smaller are the same in a mirror, so flips in training keep the labels right.

>>> frames, boxes = render_clip("Rise", seed=0)  # uint8 [T, 120, 160, 3], float32 [T, 4]
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from filelock import FileLock

from vddlib.core.errors import VddError
from vddlib.core.progress import say
from vddlib.datasets import video

DYNAMIC: tuple[str, ...] = ("Rise", "Fall", "Grow", "Shrink")
STATIC: tuple[str, ...] = ("Ring", "Cross", "Columns", "Rows")
CLASSES: tuple[str, ...] = DYNAMIC + STATIC

HEIGHT, WIDTH, FPS = 120, 160, 25.0
MIN_FRAMES, MAX_FRAMES = 24, 96
PERIOD = (30.0, 50.0)  # frames per sawtooth: 8 frames at stride 4 (29 frames) see over half of it
RADIUS = (14.0, 40.0)  # of the sprite, in pixels
VERSION = 1  # raise it with any change that alters a pixel

_SUPER = 2  # scenes are painted twice as large and averaged down: smooth edges, motion finer than a pixel
_CANVAS, _UNIT = 200, 80  # side of a sprite's canvas, and how many of its pixels are the sprite's radius


class Clip(NamedTuple):
    """`frames` uint8 [T, 120, 160, 3] RGB; `boxes` float32 [T, 4], the visible sprite's true (x, y, w, h) in pixels."""

    frames: np.ndarray
    boxes: np.ndarray


# --- the motion: what tells the dynamic classes apart ---------------------------------------------------------------


def trajectory(motion: str, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Place and size of the sprite, float64 [frames, 3]: x, height, size, from 0 to 1 (height 1 is the top; x sways by up
    to 0.08). `motion` is one of DYNAMIC; what is drawn from `rng` does not depend on it.
    """
    phase = (rng.random() + np.arange(frames) / rng.uniform(*PERIOD)) % 1
    x, height, size = (np.full(frames, value) for value in rng.random(3))
    x += rng.uniform(0, 0.08) * np.sin(2 * np.pi * (rng.random() + np.arange(frames) / rng.uniform(40, 80)))
    if motion in ("Rise", "Fall"):
        height = phase if motion == "Rise" else 1 - phase
    else:
        size = phase if motion == "Grow" else 1 - phase
    return np.stack([x, height, size], axis=1)


def _wander(frames: int, rng: np.random.Generator) -> np.ndarray:
    """A smooth random walk around 0, mostly within 1 of it: float64 [frames]."""
    seconds = np.arange(frames) / FPS
    waves = [np.sin(2 * np.pi * (rng.random() + rng.uniform(0.2, 1.5) * seconds)) for _ in range(3)]
    return rng.uniform(0.1, 0.5, 3) @ np.stack(waves)


# --- the picture: what tells the static classes apart ---------------------------------------------------------------


def _star(points: int, inner: float = 1.0) -> np.ndarray:
    """A star of radius 1, or with `inner` 1 a regular polygon of 2 * `points` corners: float64 [2 * points, 2]."""
    angle = np.pi * np.arange(2 * points) / points
    return np.where(np.arange(2 * points) % 2, inner, 1.0)[:, None] * np.stack([np.sin(angle), -np.cos(angle)], axis=1)


def _bar(x: float, y: float, w: float, h: float) -> np.ndarray:
    """A rectangle of half sides w and h centred at (x, y): float64 [4, 2]."""
    return np.array([(x - w, y - h), (x + w, y - h), (x + w, y + h), (x - w, y + h)])


_ARM = np.array([(-0.22, -1), (0.22, -1), (0.22, -0.22), (1, -0.22), (1, 0.22), (0.22, 0.22)])

# Outlines; one inside another is a hole. Static silhouettes are open, the others solid, so that no shape serves both.
SHAPES: dict[str, list[np.ndarray]] = {
    "Ring": [_star(24), 0.6 * _star(24)],
    "Cross": [np.concatenate([_ARM, -_ARM])],
    "Columns": [_bar(x, 0, 0.2, 0.9) for x in (-0.7, 0, 0.7)],
    "Rows": [_bar(0, y, 0.9, 0.2) for y in (-0.7, 0, 0.7)],
    "disc": [_star(24)],
    "square": [_bar(0, 0, 0.8, 0.8)],
    "diamond": [_star(2, inner=0.7)],
    "hexagon": [_star(3)],
    "star": [_star(5, inner=0.6)],
    "blossom": [_star(8, inner=0.8)],
}
DYNAMIC_SHAPES = tuple(shape for shape in SHAPES if shape not in STATIC)


def _colour(saturation: tuple[float, float], value: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """A colour of any hue, RGB float32 [3] in 0..255."""
    hsv = np.array([[[rng.uniform(0, 360), rng.uniform(*saturation), rng.uniform(*value)]]], np.float32)
    return 255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]


def _texture(size: int, rng: np.random.Generator) -> np.ndarray:
    """A gradient, stripes, dots or soft noise, float32 [size, size] in 0..1."""
    y, x = np.mgrid[:size, :size] / size
    kind, angle, pitch = rng.integers(4), rng.uniform(0, 2 * np.pi), rng.uniform(5, 9)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    stripes, across = np.sin(2 * np.pi * pitch * u), np.sin(2 * np.pi * pitch * v)
    noise = cv2.resize(rng.random((9, 9)), (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip([u + 0.5, stripes + 0.5, 2 * stripes * across, noise][kind], 0, 1).astype(np.float32)


def _sprite(shape: str, rng: np.random.Generator) -> np.ndarray:
    """The painted sprite and its soft shadow: float32 [200, 200, 4], colour times alpha in 0..255, alpha in 0..1."""
    inks = _colour((0.1, 0.6), (0.85, 1), rng), _colour((0.1, 0.8), (0.85, 1), rng)
    weight = 0.8 * _texture(_CANVAS, rng)[..., None]
    corners = [np.round((outline * _UNIT + _CANVAS / 2) * 16).astype(np.int32) for outline in SHAPES[shape]]
    mask = cv2.fillPoly(np.zeros((_CANVAS, _CANVAS), np.uint8), corners, 255, cv2.LINE_AA, shift=4)
    alpha = (mask / np.float32(255))[..., None]
    shadow = 0.35 * cv2.GaussianBlur(np.roll(alpha, 5, axis=0), (0, 0), 4)[..., None]
    return np.concatenate([alpha * ((1 - weight) * inks[0] + weight * inks[1]), alpha + (1 - alpha) * shadow], axis=2)


def _background(rng: np.random.Generator) -> np.ndarray:
    """A texture, clutter out of focus and grain: uint8 [320, 400, 3], a bit more than the camera sees."""
    first, second, *others = (_colour((0.2, 0.7), (0.08, 0.4), rng) for _ in range(8))
    scene = first + 0.5 * _texture(400, rng)[:320, :, None] * (second - first)
    for colour in others:
        x, y, w, h = rng.integers((0, 0, 10, 10), (400, 320, 60, 60)).tolist()
        layer = scene.copy()
        if rng.random() < 0.5:
            cv2.ellipse(layer, (x, y), (w, h), rng.uniform(0, 180), 0, 360, colour.tolist(), -1)
        else:
            cv2.rectangle(layer, (x - w, y - h), (x + w, y + h), colour.tolist(), -1)
        scene = 0.5 * scene + 0.5 * cv2.GaussianBlur(layer, (0, 0), rng.uniform(1.5, 6))
    grain = cv2.resize(rng.normal(0, 8, (160, 200)), (400, 320))
    return np.clip(scene + grain[..., None], 0, 255).astype(np.uint8)


def _affine(degrees: float, scale: float, point: Sequence[float], to: Sequence[float]) -> np.ndarray:
    """The map that turns and scales, and brings `point` to `to`: float64 [3, 3]."""
    cos, sin = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    matrix = np.array([(cos, -sin, 0), (sin, cos, 0), (0, 0, 1)])
    matrix[:2, 2] = np.asarray(to) - matrix[:2, :2] @ np.asarray(point)
    return matrix


def _stamp(frame: np.ndarray, sprite: np.ndarray, matrix: np.ndarray) -> None:
    """Lay `sprite` over `frame` (uint8 [H, W, 3], changed in place), touching only the rectangle where it falls."""
    corners = np.array([(0, 0), (0, _CANVAS), (_CANVAS, 0), (_CANVAS, _CANVAS)]) @ matrix[:2, :2].T + matrix[:2, 2]
    left, top = np.floor(np.maximum(corners.min(0), 0)).astype(int).tolist()
    right, bottom = np.ceil(np.minimum(corners.max(0), frame.shape[1::-1])).astype(int).tolist()
    patch = cv2.warpAffine(sprite, matrix[:2] - [(0, 0, left), (0, 0, top)], (right - left, bottom - top))
    under = frame[top:bottom, left:right]
    under[:] = under * (1 - patch[..., 3:]) + patch[..., :3]


def render_clip(
    name: str, seed: int = 0, split: str = "train", index: int = 0, *, only: Sequence[int] | None = None
) -> Clip:
    """Paint one video: a function of the class `name`, `seed`, `split` (train or test) and the `index` in that split alone.

    `only` lists the frames to paint (default: all, 24 to 96). Raises VddError for an unknown class or split.
    """
    if name not in CLASSES or split not in ("train", "test"):
        raise VddError(f"motions has no {split} videos of {name!r}; splits: train, test; classes: {', '.join(CLASSES)}")
    rng = np.random.default_rng([seed, CLASSES.index(name), ("train", "test").index(split), index])
    total = int(rng.integers(MIN_FRAMES, MAX_FRAMES + 1))
    shape, motion = rng.choice(DYNAMIC_SHAPES), rng.choice(DYNAMIC)
    shape, motion = (shape, name) if name in DYNAMIC else (name, motion)
    path, background, sprite = trajectory(motion, total, rng), _background(rng), _sprite(shape, rng)
    tilt, turn, pan_x, pan_y, zoom, light = (_wander(total, rng) for _ in range(6))
    exposure = rng.uniform(0.85, 1.1)

    outline, centre, frames, boxes = np.concatenate(SHAPES[shape]), np.array([WIDTH / 2, HEIGHT / 2]), [], []
    for t in range(total) if only is None else only:
        pan = 2 * np.array([pan_x[t], pan_y[t]])
        camera = _affine(2 * turn[t], _SUPER * (1 + 0.03 * zoom[t]), centre, _SUPER * (centre + pan))
        x, height, size = path[t]
        radius, place = RADIUS[0] + (RADIUS[1] - RADIUS[0]) * size, (28 + 104 * x, 108 - 96 * height)
        placed = camera @ _affine(8 * tilt[t], radius, (0, 0), place)  # from the unit circle to the painted frame

        seen = (camera @ _affine(0, 1 / _SUPER, (200, 160), centre))[:2]
        frame = cv2.warpAffine(background, seen, (_SUPER * WIDTH, _SUPER * HEIGHT), borderMode=cv2.BORDER_REFLECT)
        _stamp(frame, sprite, placed @ _affine(0, 1 / _UNIT, (_CANVAS / 2, _CANVAS / 2), (0, 0)))
        frame = cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        frames.append(cv2.convertScaleAbs(frame, alpha=exposure * (1 + 0.05 * light[t])))

        corners = (outline @ placed[:2, :2].T + placed[:2, 2]) / _SUPER
        low, high = np.clip([corners.min(0), corners.max(0)], 0, (WIDTH, HEIGHT))
        boxes.append((*low, *(high - low)))
    return Clip(np.stack(frames), np.array(boxes, np.float32))


# --- the files ------------------------------------------------------------------------------------------------------


def write(
    root: Path,
    *,
    train: int = 40,
    test: int = 60,
    seed: int = 0,
    replace: bool = False,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Render `root/videos/CLASS/v_CLASS_gGG_cCC.mp4` and `root/ucfTrainTestlist/*.txt`, laid out like UCF101.

    `train` and `test` are videos per class; the first groups are the test split. `workers` threads (default: one per
    core) change the time, never the pixels. `progress(done, total)` is called after each video. `root` appears only when it
    is complete; where it exists with the same settings, nothing is done, and with `replace` a rendering with other settings
    gives way. Returns the absolute `root`. Raises VddError where the settings are out of range, or `root` holds something
    else or cannot be written.
    """
    if train < 1 or test < 1 or seed < 0:
        raise VddError(f"motions: train={train} and test={test} must be at least 1, and seed={seed} at least 0")
    root = Path(root).absolute()
    card = {"dataset": "motions", "version": VERSION, "train": train, "test": test, "seed": seed}
    partial, old = (root.with_name(f".{root.name}.{state}") for state in ("partial", "old"))
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(root.with_name(f".{root.name}.lock")):
            if root.is_file() or (root.is_dir() and any(root.iterdir())):
                found = _card(root)
                if found == card:
                    return root
                if not (replace and found.get("dataset") == "motions"):
                    why = f"exists already and does not hold motions with {card}"
                    raise VddError(f"{root}: {why}; delete it or choose another folder")
            videos = len(CLASSES) * (train + test)
            say(f"motions: rendering {videos} videos into {root} (once, a minute or two on two cores)")
            for folder in (partial, old):  # left by a process that was killed
                shutil.rmtree(folder, ignore_errors=True)
            try:
                _render_all(partial, card, workers or os.cpu_count() or 1, progress)
                if root.is_dir():  # in one step: a folder that is half deleted would lack its card
                    root.rename(old)
                partial.rename(root)
            finally:
                for folder in (partial, old):
                    shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        why = f"cannot render motions there ({error.strerror or error})"
        raise VddError(f"{root}: {why}; free space or choose another folder, and run again") from error
    return root


def _card(root: Path) -> dict:
    """The settings that `root` was rendered with; {} where it holds something else."""
    try:
        found = json.loads((root / "motions.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _render_all(folder: Path, card: dict, workers: int, progress: Callable[[int, int], None] | None) -> None:
    """Write every video, the three lists and the card into a new `folder`."""
    jobs, lists = [], {"classInd": [], "trainlist01": [], "testlist01": []}
    for label, name in enumerate(CLASSES, start=1):
        (folder / "videos" / name).mkdir(parents=True)
        lists["classInd"].append(f"{label} {name}")
        for split, groups_before in (("test", 0), ("train", -(-card["test"] // 4))):  # a group is four clips
            for index in range(card[split]):
                file = f"{name}/v_{name}_g{groups_before + index // 4 + 1:02d}_c{index % 4 + 1:02d}.mp4"
                lists[f"{split}list01"].append(f"{file} {label}" if split == "train" else file)
                jobs.append((folder / "videos" / file, name, split, index))

    def render(path: Path, name: str, split: str, index: int) -> None:
        video.encode(path, render_clip(name, card["seed"], split, index).frames, fps=FPS)

    pool = ThreadPoolExecutor(workers)  # threads, not processes: OpenCV and the encoder work outside Python's lock
    try:
        for done, future in enumerate(as_completed([pool.submit(render, *job) for job in jobs]), start=1):
            future.result()
            if progress:
                progress(done, len(jobs))
    finally:
        pool.shutdown(cancel_futures=True)

    (folder / "ucfTrainTestlist").mkdir()
    for name, lines in lists.items():
        (folder / "ucfTrainTestlist" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    (folder / "motions.json").write_text(json.dumps(card) + "\n")
