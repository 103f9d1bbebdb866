"""How VST-UNet is trained on a pool: algorithm 1, lines 2 to 10."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vddlib.core import files
from vddlib.core.errors import VddError
from vddlib.core.measure import forget_peak, peak_memory_mb
from vddlib.core.progress import with_progress
from vddlib.distillers.selection.vst_losses import (
    Form,
    Ruler,
    distance_to_chosen,
    diversity_loss,
    expected_distance,
    expected_diversity,
    inclusion,
    of_distance,
    representativeness_loss,
)
from vddlib.distillers.selection.vst_network import Outcome, VideoUNet

SAVE_SECONDS = 60


class Weights(NamedTuple):
    """Of the losses in eq. 3; L_ce has weight 1."""

    diversity: float
    representativeness: float


class Goal(NamedTuple):
    """What is minimised: of `count` kept videos a class, eq. 3 with these weights and this form of eq. 2."""

    count: int
    weights: Weights
    form: Form


@dataclass
class Log:
    """Of every epoch, for the videos of highest probability, means over classes: the three losses (eq. 2 as meant), the
    distance of a video to the nearest chosen one, and the most probable video's probability; seconds and memory in MiB."""

    values: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    peak_memory_mb: float = 0.0


def class_loss(made: Outcome, ruler: Ruler, label: int, goal: Goal) -> Tensor:
    """Eq. 3 of one class where each video is kept with its probability: L_ce + lambda_d L_div + lambda_r L_rep.

    L_ce is the mean cross-entropy of the class over the kept videos. It shapes features; the probabilities are fixed in it, or
    easily classified videos would be kept: only the other two are rewards of a choice ("two reward-based losses").
    """
    p = inclusion(made.scores, goal.count)
    each = F.cross_entropy(made.class_logits, torch.full_like(ruler.order[0], label), reduction="none")
    near = of_distance(expected_distance(ruler, p), goal.form)
    ce = (p.detach() * each).sum() / goal.count
    lambda_d, lambda_r = goal.weights
    return ce + lambda_d * expected_diversity(ruler, p, goal.count) + lambda_r * near


@torch.no_grad()
def looked(made: Outcome, x: Tensor, label: int, count: int) -> dict[str, float]:
    """What `Log` keeps of one class with ``x [N, D]``: of the `count` videos of highest probability."""
    best = made.scores.topk(count).indices
    values = {
        "ce": F.cross_entropy(made.class_logits[best], torch.full_like(best, label)),
        "diversity": diversity_loss(x, best),
        "representativeness": representativeness_loss(x, best),
        "distance": distance_to_chosen(x, best),
        "highest": inclusion(made.scores, count).max(),
    }
    return {name: value.item() for name, value in values.items()}


def compared(latents: Tensor) -> Tensor:
    """The videos of eqs. 1 and 2: latents ``[N, T, C, h, w]`` as vectors ``[N, D]`` of unit length.

    Not the network's features: these it could move, and so make any choice representative (L_ce alone already maps the videos
    of a class to nearly one point). Of unit length, since exp(-distance) of longer vectors is nothing but rounding.
    """
    return F.normalize(latents.flatten(1), dim=1)


def train_unet(
    model: VideoUNet, classes: Sequence[Tensor], goal: Goal, *, epochs: int, lr: float, folder: Path, what: str
) -> Log:
    """Train `model` in place on ``classes``, the latents ``[N_c, T, C, h, w]`` of each class, and log it.

    Every class is a batch by itself, as in algorithm 1; Adam takes one step per epoch, by the mean over classes, since after
    steps by a single class the network would name the class it saw last. Nothing is drawn. In `folder` an interrupted run
    finds where it was.
    """
    device = next(model.parameters()).device
    optimizer, log, begin = torch.optim.Adam(model.parameters(), lr), Log(), 0
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.is_file():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        log, begin = Log(**state["log"]), state["epoch"]
    forget_peak(device)
    started = saved = time.monotonic()
    earlier = log.seconds
    compare = [compared(latents).to(device) for latents in classes]
    rulers = [Ruler.of(x) for x in compare]
    for epoch in with_progress(range(begin, epochs), what):
        optimizer.zero_grad()
        notes = []
        for label, latents in enumerate(classes):
            made = model(latents.to(device))
            (class_loss(made, rulers[label], label, goal) / len(classes)).backward()
            notes.append(looked(made, compare[label], label, goal.count))
        optimizer.step()
        for name in notes[0]:
            log.values.setdefault(name, []).append(sum(note[name] for note in notes) / len(notes))
        if math.isnan(log.values["ce"][-1]):
            raise VddError(f"{what}: diverged in epoch {epoch + 1}; lower its learning rate, now {lr:g}")
        log.seconds = earlier + time.monotonic() - started
        if time.monotonic() - saved > SAVE_SECONDS and epoch + 1 < epochs:
            saved = time.monotonic()
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "log": vars(log)}
            files.write_state(checkpoint, state | {"epoch": epoch + 1})
    log.peak_memory_mb = peak_memory_mb(device)
    return log
