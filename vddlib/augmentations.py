"""Augmentations by name, the one door through which protocols (and methods) change training batches.

Each maps ``(clips float32 [N, 3, T, H, W], targets, generator)`` to the same; all frames of a clip change alike.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from vddlib.errors import VddError

Augmentation = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]


def flip(clips: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirror each clip left to right with probability 1/2."""
    chosen = torch.rand(len(clips), generator=generator) < 0.5
    return torch.where(chosen.to(clips.device)[:, None, None, None, None], clips.flip(-1), clips), targets


def random_resized_crop(
    clips: Tensor, targets: Tensor, generator: torch.Generator, scale: tuple[float, float] = (0.5, 1.0)
) -> tuple[Tensor, Tensor]:
    """Crop a box of `scale` of the area, sides 3:4 to 4:3, from each clip and scale it back; differentiable."""
    n, _, t, h, w = clips.shape
    u = torch.rand(4, n, generator=generator)
    area = scale[0] + (scale[1] - scale[0]) * u[0]
    ratio = torch.exp((2 * u[1] - 1) * torch.log(torch.tensor(4 / 3)))
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    centre_x, centre_y = (2 * u[2] - 1) * (1 - width), (2 * u[3] - 1) * (1 - height)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 0, 2], theta[:, 1, 1], theta[:, 1, 2] = width, centre_x, height, centre_y
    grid = F.affine_grid(theta.to(clips), [n, 3, h, w], align_corners=False)
    flat = clips.movedim(2, 1).flatten(0, 1)
    out = F.grid_sample(flat, grid.repeat_interleave(t, 0), mode="bilinear", padding_mode="border", align_corners=False)
    return out.unflatten(0, (n, t)).movedim(1, 2).contiguous(memory_format=torch.channels_last_3d), targets


AUGMENTATIONS: dict[str, Augmentation] = {"flip": flip, "random_resized_crop": random_resized_crop}
# Named by published protocols, made by the methods they belong to; each joins AUGMENTATIONS with its method.
AWAITED = {"temporal_crop": "IDTD", "tsgf_videomix": "TSGF"}


def compose(names: tuple[str, ...]) -> Augmentation | None:
    """The named augmentations one after another; None for none. Raises VddError for an unknown name."""
    for name in names:
        if name not in AUGMENTATIONS:
            why = f"comes with {AWAITED[name]}, which is not here yet" if name in AWAITED else "is unknown"
            raise VddError(f"the augmentation {name!r} {why}; here are {', '.join(AUGMENTATIONS)}")
    if not names:
        return None

    def augment(clips: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        for name in names:
            clips, targets = AUGMENTATIONS[name](clips, targets, generator)
        return clips, targets

    return augment
