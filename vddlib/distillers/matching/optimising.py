"""Parts of the optimising loop: what is kept of it, how far clips moved, and going on from a checkpoint."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vddlib.core import seeding
from vddlib.distillers.stored.contract import Content


@dataclass
class History:
    """How a distillation went: per-iteration values by name ('loss' and its parts), and what the clips looked like.

    `iterations` are those of `snapshots`, ``uint8 [S, k, T, H, W, 3]``: the first clip of up to 8 classes.
    """

    values: dict[str, list[float]]
    iterations: list[int]
    snapshots: np.ndarray


@torch.no_grad()
def moved(before: Content, after: Content, at_once: int = 64) -> float:
    """Mean absolute change of a pixel between two contents on the CPU under the same draw, in grey levels (0 to 255)."""
    before, after = before.eval(), after.eval()
    key, scale = ("picture", 0), 255 * before.std.cpu().view(1, 3, 1, 1, 1)
    changes = [
        ((after(part, seeding.generator(*key)) - before(part, seeding.generator(*key))).abs() * scale)
        .flatten(1)
        .mean(1)
        for part in torch.arange(len(before)).split(at_once)
    ]
    return float(torch.cat(changes).mean())


def add_penalty(content: Content) -> dict[str, Tensor]:
    """Add the gradients of the content's own loss, where it has one; its value, detached."""
    penalty = content.penalty()
    if penalty is None:
        return {}
    penalty.backward()
    return {"penalty": penalty.detach()}


def restore(path: Path, content, objective, optimizer, values, device) -> tuple[int, float]:
    """(iterations done, seconds they took) of the checkpoint, whose state is loaded; (0, 0) without one."""
    if not path.is_file():
        return 0, 0.0
    state = torch.load(path, map_location=device, weights_only=True)
    content.load_state_dict(state["content"])
    objective.load_state_dict(state["objective"])
    optimizer.load_state_dict(state["optimizer"])
    values.update(state["values"])
    return state["done"], state["seconds"]
