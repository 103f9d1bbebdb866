"""How a student is tested under a protocol: drawn views of every test video, and what is left without motion."""

import json
import math
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vddlib.core import cache, files
from vddlib.datasets.clips import Clips
from vddlib.evaluation.metrics import metrics, predict
from vddlib.evaluation.protocols import Protocol
from vddlib.training.networks import TrainedNetwork, conditions

MOTION = ("still", "shuffled", "reversed")
_CODE = ("vddlib.evaluation.testing", "vddlib.evaluation.metrics", "vddlib.datasets.clips")


@dataclass(frozen=True)
class Tested:
    """`numbers` for a record, and the logits ``float32 [M, C]`` of the last view of M test videos."""

    numbers: dict[str, float | int | str | None]
    logits: Tensor


def tested(student: TrainedNetwork, test: Clips, protocol: Protocol, device: torch.device) -> Tested:
    """`measure` of a trained network, `motion` as the protocol says: out of the cache, or now.

    Every notebook shows its method beside random clips, whose students are then trained and tested once.
    """
    key = {
        "network": files.digest(student.key),
        "weights": files.file_sha256(student.folder / "model.safetensors"),  # a GPU trains none twice to the same bits
        "scikit-learn": version("scikit-learn"),
        "test": test.state(),
        **{name: getattr(protocol, name) for name in ("test_passes", "test_redraw", "motion")},
        **conditions(device, *_CODE),
    }

    def build(folder: Path) -> None:
        made = measure(student.model, test, protocol, device, motion=protocol.motion)
        files.write_tensors(folder / "logits.safetensors", {"logits": made.logits})
        files.write_json(folder / "numbers.json", made.numbers)

    from safetensors.torch import load_file

    folder = cache.get("tests", key, build)
    return Tested(json.loads((folder / "numbers.json").read_text()), load_file(folder / "logits.safetensors")["logits"])


def measure(model: nn.Module, test: Clips, protocol: Protocol, device: torch.device, motion: bool = False) -> Tested:
    """Metrics in percent, each the mean over the protocol's views.

    Besides: `top1_averaged`, of the mean of the views' probabilities; `right_views`, a digit per test video: in how many of
    the `views` it was classified correctly, from which intervals over test videos are computed. With `motion` also
    `top1_still`, `top1_shuffled` and `top1_reversed`: on the first view with its first frame repeated, its frames in another
    order, or backwards.
    """
    epochs = range(protocol.test_passes) if protocol.test_redraw else [None] * protocol.test_passes
    logits = torch.stack([predict(model, test, epoch=epoch, device=device) for epoch in epochs])
    passes = [metrics(one, test.labels) for one in logits]
    numbers = {name: sum(one[name] for one in passes) / len(passes) for name in passes[0]}
    scores = logits.nan_to_num().softmax(-1).mean(0)
    right = (logits.nan_to_num().argmax(-1) == test.labels).sum(0)
    numbers |= {"top1_averaged": 100 * (scores.argmax(-1) == test.labels).float().mean().item()}
    if motion:
        for change in MOTION:
            view = predict(model, getattr(test, change)(), epoch=epochs[0], device=device)
            numbers[f"top1_{change}"] = metrics(view, test.labels)["top1"]
    found = {name: None if math.isnan(value) else value for name, value in numbers.items()}  # top-5 of five classes
    return Tested(found | {"views": len(passes), "right_views": as_text(right)}, logits[-1])


def as_text(right: Tensor) -> str:
    """Counts ``int64 [M]`` from 0 to 15 as a text for a record: 'v' and a hexadecimal digit each, which no reader takes
    for a number."""
    return "v" + "".join(f"{count:x}" for count in right.tolist())


def from_text(text: str) -> np.ndarray:
    """The inverse: ``int64 [M]``."""
    return np.array([int(digit, 16) for digit in text[1:]], np.int64)
