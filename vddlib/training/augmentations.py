"""Augmentations by name: how protocols (and methods) change training batches.

Each maps ``(clips float32 [N, 3, T, H, W], targets, generator)`` to changed clips and targets of the same shapes. All frames
of a clip are changed alike, except by `image_mix` and `temporal_crop`.
"""

import inspect
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vddlib.core.errors import VddError
from vddlib.training import saliency
from vddlib.training.temporal import interval, resample

Augmentation = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]


def flip(clips: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirror each clip left to right with probability 1/2."""
    chosen = torch.rand(len(clips), generator=generator) < 0.5
    return torch.where(chosen.to(clips.device)[:, None, None, None, None], clips.flip(-1), clips), targets


def random_resized_crop(
    clips: Tensor, targets: Tensor, generator: torch.Generator, scale: tuple[float, float] = (0.5, 1.0)
) -> tuple[Tensor, Tensor]:
    """Crop a box from each clip, `scale` of its area and 3:4 to 4:3 in shape, and scale it back; differentiable."""
    n, _, t, h, w = clips.shape
    u = torch.rand(4, n, generator=generator)
    area = scale[0] + (scale[1] - scale[0]) * u[0]
    ratio = torch.exp((2 * u[1] - 1) * torch.log(torch.tensor(4 / 3)))
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    centre_x, centre_y = (2 * u[2] - 1) * (1 - width), (2 * u[3] - 1) * (1 - height)
    theta = torch.zeros(n, 2, 3)  # an affine map per clip, through which gradients reach the clips (TSGF needs them)
    theta[:, 0, 0], theta[:, 0, 2], theta[:, 1, 1], theta[:, 1, 2] = width, centre_x, height, centre_y
    grid = F.affine_grid(theta.to(clips), [n, 3, h, w], align_corners=False)
    flat = clips.movedim(2, 1).flatten(0, 1)
    out = F.grid_sample(flat, grid.repeat_interleave(t, 0), mode="bilinear", padding_mode="border", align_corners=False)
    return out.unflatten(0, (n, t)).movedim(1, 2).contiguous(memory_format=torch.channels_last_3d), targets


def temporal_crop(
    clips: Tensor, targets: Tensor, generator: torch.Generator, *, least: float = 0.0
) -> tuple[Tensor, Tensor]:
    """A random interval of each clip, at least a share `least` of it, brought back to its length (IDTD, section 3.3)."""
    begin, end = interval(torch.rand(len(clips), 2, generator=generator).to(clips.device), least)
    return resample(clips, begin, end, clips.shape[2]), targets


def _box(clips: Tensor, alpha: float, generator: torch.Generator) -> Tensor:
    """A CutMix box, ``bool [H, W]``: 1 - lambda of the frame, lambda ~ Beta(alpha, alpha), around a uniform centre.

    Its part outside the frame is cut off, so that it may be smaller.
    """
    h, w = clips.shape[-2:]
    draws = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    side = (1 - draws.beta(alpha, alpha)) ** 0.5
    y, x = draws.integers(h), draws.integers(w)
    rows, columns = np.abs(np.arange(h) - y) < side * h / 2, np.abs(np.arange(w) - x) < side * w / 2
    return torch.from_numpy(rows[:, None] & columns[None]).to(clips.device)


def _mix(clips: Tensor, targets: Tensor, partner: Tensor, replaced: Tensor) -> tuple[Tensor, Tensor]:
    """Clips whose pixels in ``replaced bool [N, T, H, W]`` come from the `partner` clip, and labels mixed by that share."""
    if not targets.is_floating_point():
        raise VddError("mixing clips mixes their labels too: it needs soft labels, and these are class indices")
    partner = partner.to(clips.device)
    share = replaced.float().mean((1, 2, 3))[:, None]  # of the pixels really replaced: a box may reach over the edge
    mixed = torch.where(replaced[:, None], clips[partner], clips).contiguous(memory_format=torch.channels_last_3d)
    return mixed, (1 - share) * targets + share * targets[partner]


def videomix(
    clips: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    *,
    probability: float = 0.5,
    alpha: float = 1.0,
    keep: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """VideoMix (Yun et al., 2020): one box, the same in every frame of every clip, filled from another clip of the batch.

    Applied to a batch with `probability`; labels ``float32 [N, C]`` are mixed by the share of pixels really replaced.
    `keep(clips)` returns which frames stay as they are, ``bool [N, T]``.
    """
    if torch.rand((), generator=generator) >= probability:
        return clips, targets
    n, _, t = clips.shape[:3]
    partner, box = torch.randperm(n, generator=generator), _box(clips, alpha, generator)
    replaced = box.expand(n, t, *box.shape)
    if keep is not None:
        replaced = replaced & ~keep(clips)[:, :, None, None]
    return _mix(clips, targets, partner, replaced)


def tsgf_videomix(
    clips: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    *,
    probability: float = 0.5,
    alpha: float = 1.0,
    epsilon: float = 0.5,
    window: str = "linear",
    length: int = 3,
) -> tuple[Tensor, Tensor]:
    """TSGF_A (TSGF, section 3.3): VideoMix on non-key frames; frames with a saliency over epsilon stay as they are.

    `epsilon` is a share of the clip's own range of saliency (see `saliency.threshold`), `window` and `length` smooth it.
    """

    def keep(clips: Tensor) -> Tensor:
        scores = saliency.saliency(clips, window, length)
        return saliency.key_frames(scores, saliency.threshold(scores, epsilon))

    return videomix(clips, targets, generator, probability=probability, alpha=alpha, keep=keep)


def image_mix(
    clips: Tensor, targets: Tensor, generator: torch.Generator, *, probability: float = 0.5, alpha: float = 1.0
) -> tuple[Tensor, Tensor]:
    """CutMix frame by frame, the 'image-based' augmentation of TSGF's table 6: each frame has its own box and partner."""
    if torch.rand((), generator=generator) >= probability:
        return clips, targets
    mixed, labels = clips.clone(), targets.clone()
    for frame in range(clips.shape[2]):
        partner, box = torch.randperm(len(clips), generator=generator), _box(clips, alpha, generator)
        replaced = torch.zeros((len(clips), *clips.shape[2:]), dtype=torch.bool, device=clips.device)
        replaced[:, frame] = box
        with_frame, label = _mix(clips, targets, partner, replaced)
        # Every frame shifts the labels by its own share of the clip.
        mixed[:, :, frame], labels = with_frame[:, :, frame], labels + label - targets
    return mixed, labels


AUGMENTATIONS: dict[str, Augmentation] = {
    kind.__name__: kind for kind in (flip, random_resized_crop, temporal_crop, videomix, tsgf_videomix, image_mix)
}
Named = str | tuple[str, dict]


def where_mirroring_is(allowed: bool, names: tuple[Named, ...]) -> tuple[Named, ...]:
    """The augmentations for a dataset: without `flip` where a mirrored clip is of another class (left and right in SSv2)."""
    return names if allowed else without("flip", names)


def without(left_out: str, names: tuple[Named, ...]) -> tuple[Named, ...]:
    """The augmentations but one, with or without options."""
    return tuple(name for name in names if (name if isinstance(name, str) else name[0]) != left_out)


def compose(names: tuple[Named, ...]) -> Augmentation | None:
    """The named augmentations as one, applied in turn; an entry is a name or (name, options). None where there are none.

    Raises VddError for an unknown name or option.
    """
    steps = []
    for entry in names:
        name, options = (entry, {}) if isinstance(entry, str) else entry
        if name not in AUGMENTATIONS:
            raise VddError(f"the augmentation {name!r} is unknown; known are {', '.join(AUGMENTATIONS)}")
        known = list(inspect.signature(AUGMENTATIONS[name]).parameters)[3:]  # after clips, targets and generator
        if unknown := [option for option in options if option not in known]:
            raise VddError(
                f"the augmentation {name!r} has no option {unknown[0]!r}; it has {', '.join(known) or 'none'}"
            )
        steps.append(partial(AUGMENTATIONS[name], **options))
    if not steps:
        return None

    def augment(clips: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        for step in steps:
            clips, targets = step(clips, targets, generator)
        return clips, targets

    return augment
