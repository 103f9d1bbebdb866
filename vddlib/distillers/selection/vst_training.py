"""How VST-UNet is trained on a pool: algorithm 1, lines 2 to 10."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vddlib.core import files, seeding
from vddlib.core.errors import VddError
from vddlib.core.measure import forget_peak, peak_memory_mb
from vddlib.core.progress import with_progress
from vddlib.distillers.selection.vst_losses import (
    Form,
    distance_to_chosen,
    diversity_loss,
    drawn,
    expected_loss,
    log_probability,
    representativeness_loss,
)
from vddlib.distillers.selection.vst_network import Outcome, VideoUNet

SAVE_SECONDS = 60


class Weights(NamedTuple):
    """Of the losses in eq. 3; L_ce has weight 1."""

    diversity: float
    representativeness: float


class Goal(NamedTuple):
    """What is minimised: `count` videos a class, the weights, the form of eq. 2, and draws per class and epoch."""

    count: int
    weights: Weights
    form: Form
    draws: int


@dataclass
class Log:
    """Of every epoch, for the videos of highest probability, means over classes: the three losses (eq. 2 as meant), the
    distance of a video to the nearest chosen one, and the most probable video's probability; seconds and memory in MiB."""

    values: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    peak_memory_mb: float = 0.0


def losses(made: Outcome, label: int, chosen: Tensor, goal: Goal) -> tuple[Tensor, dict[str, Tensor]]:
    """Eq. 3 for one choice of a class's videos ``int64 [count]``, and its parts.

    L_ce is the mean cross-entropy of the class over the chosen videos. Distances are between features of unit length: of
    others, exp(-distance) is nothing but rounding. They are held fixed: a network that could move them would make any choice
    representative by mapping all videos to one point.
    """
    x = F.normalize(made.features.detach(), dim=1)
    classes = torch.full_like(chosen, label)
    parts = {
        "ce": F.cross_entropy(made.class_logits[chosen], classes),
        "diversity": diversity_loss(x, chosen),
        "representativeness": representativeness_loss(x, chosen, goal.form),
    }
    apart, near = goal.weights
    return parts["ce"] + apart * parts["diversity"] + near * parts["representativeness"], parts


def class_loss(made: Outcome, label: int, goal: Goal, generator: torch.Generator) -> Tensor:
    """The expected loss of one class over choices that are drawn by the probabilities, as `expected_loss` estimates it."""
    draws = [drawn(made.log_probabilities, goal.count, generator) for _ in range(goal.draws)]
    values = torch.stack([losses(made, label, chosen, goal)[0] for chosen in draws])
    return expected_loss(values, torch.stack([log_probability(made.log_probabilities, one) for one in draws]))


@torch.no_grad()
def looked(made: Outcome, label: int, goal: Goal) -> dict[str, float]:
    """What `Log` keeps of one class: of the videos of highest probability."""
    best = made.probabilities.topk(goal.count).indices
    _, parts = losses(made, label, best, goal._replace(form="meant"))
    x = F.normalize(made.features, dim=1)
    parts |= {"distance": distance_to_chosen(x, best), "highest": made.probabilities.max()}
    return {name: value.item() for name, value in parts.items()}


def train_unet(
    model: VideoUNet,
    classes: Sequence[Tensor],
    goal: Goal,
    *,
    epochs: int,
    lr: float,
    seed: int,
    folder: Path,
    what: str,
) -> Log:
    """Train `model` in place on ``classes``, the latents ``[N_c, T, C, h, w]`` of each class, and log it.

    Every class is a batch by itself, as in algorithm 1; Adam takes one step per epoch, by the mean over classes, since after
    steps by a single class the network would name the class it saw last. In `folder` an interrupted run finds where it was.
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
    for epoch in with_progress(range(begin, epochs), what):
        optimizer.zero_grad()
        notes = []
        for label, latents in enumerate(classes):
            made = model(latents.to(device))
            draw = seeding.generator(
                "vst_unet", seed, epoch, label
            )  # a stream for each, so that a resumed run draws the same
            (class_loss(made, label, goal, draw) / len(classes)).backward()
            notes.append(looked(made, label, goal))
        optimizer.step()
        for name in notes[0]:
            log.values.setdefault(name, []).append(sum(note[name] for note in notes) / len(notes))
        if log.values["ce"][-1] != log.values["ce"][-1]:
            raise VddError(f"{what}: diverged in epoch {epoch + 1}; lower its learning rate, now {lr:g}")
        log.seconds = earlier + time.monotonic() - started
        if time.monotonic() - saved > SAVE_SECONDS and epoch + 1 < epochs:
            saved = time.monotonic()
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "log": vars(log)}
            files.write_state(checkpoint, state | {"epoch": epoch + 1})
    log.peak_memory_mb = peak_memory_mb(device)
    return log
