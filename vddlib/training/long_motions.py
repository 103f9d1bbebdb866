"""`motions_long`: long videos of several actions, rendered here, as features of a trained student, in the public layout.

Each video is five to eight clips of `motions` one after another, no two of a kind side by side. A feature is the embedding of
the window of frames around its frame, by a student of all of `motions` (as I3D's features are of a network that was
trained on other videos). Every video is a test video in one of the five folds.
"""

from pathlib import Path

import numpy as np
import torch

from vddlib.core import cache, files, seeding
from vddlib.core.progress import with_progress
from vddlib.datasets.clips import Clips
from vddlib.datasets.motions import CLASSES, render_clip
from vddlib.datasets.segmentation import Segmentation
from vddlib.training.networks import TrainedNetwork

NAME, FOLDS, ACTIONS, EVERY = "motions_long", 5, (5, 8), 2  # a feature for every other frame
FIRST_INDEX = 100_000  # of rendered clips: none of them is a video of `motions`
AT_ONCE = 256  # windows in one forward pass


def motions_long(train: Clips, student: TrainedNetwork, count: int = 50) -> Segmentation:
    """`count` such videos (50, as 50Salads has), as features of `student`, a network of clips like `train`; made once."""
    key = {
        "videos": count, "student": files.digest(student.key), "geometry": train.geometry.model_dump(mode="json"),
        "mean": train.mean.tolist(), "std": train.std.tolist(),
        "code": cache.code_digest(__name__, "vddlib.datasets.motions"),
    }  # fmt: skip
    root = cache.get("long_videos", key, lambda folder: _build(folder, train, student, count))
    return Segmentation(NAME, root, CLASSES)


def _build(folder: Path, train: Clips, student: TrainedNetwork, count: int) -> None:
    for part in ("features", "groundTruth", "splits"):
        (folder / part).mkdir(exist_ok=True)
    files.write_atomic(folder / "mapping.txt", "".join(f"{i} {name}\n" for i, name in enumerate(CLASSES)))
    names = [f"long-{number:02d}" for number in range(count)]
    for fold in range(FOLDS):
        tested = names[fold::FOLDS]
        for part, chosen in (("test", tested), ("train", [name for name in names if name not in tested])):
            text = "".join(f"{name}.txt\n" for name in chosen)
            files.write_atomic(folder / "splits" / f"{part}.split{fold + 1}.bundle", text)
    for number, name in enumerate(with_progress(names, f"rendering {NAME}")):
        features = folder / "features" / f"{name}.npy"
        if features.is_file():  # an interrupted build goes on
            continue
        frames, actions = rendered(number, train)
        files.write_atomic(folder / "groundTruth" / f"{name}.txt", "".join(f"{one}\n" for one in actions[::EVERY]))
        partial = features.with_suffix(".partial.npy")
        np.save(partial, embedded(frames, train, student))
        partial.replace(features)


def rendered(number: int, train: Clips) -> tuple[np.ndarray, list[str]]:
    """Long video `number`: frames ``uint8 [T, size, size, 3]``, and the action of each."""
    rng = seeding.rng(NAME, number)
    frames, actions, before = [], [], ""
    for place in range(int(rng.integers(ACTIONS[0], ACTIONS[1] + 1))):
        before = str(rng.choice([name for name in CLASSES if name != before]))
        clip = render_clip(before, index=FIRST_INDEX + 100 * number + place).frames
        frames.append(train.geometry.square(clip))
        actions += [before] * len(clip)
    return np.concatenate(frames), actions


@torch.no_grad()
def embedded(frames: np.ndarray, train: Clips, student: TrainedNetwork) -> np.ndarray:
    """``float32 [D, T / EVERY]``: embeddings of the windows around every other frame, whose ends repeat the last one."""
    g, times = train.geometry, np.arange(0, len(frames), EVERY)
    offsets = g.stride * (np.arange(g.frames) - g.frames // 2)
    windows = (times[:, None] + offsets).clip(0, len(frames) - 1)
    device = next(student.model.parameters()).device
    parts = [
        student.model.embed(train.standardise(frames[part]).to(device)).flatten(1).cpu().numpy()
        for part in np.array_split(windows, -(-len(windows) // AT_ONCE))
    ]
    return np.concatenate(parts).T.astype(np.float32)
