"""A stretch of a clip, brought to another number of frames (IDTD, section 3.3)."""

import torch
from torch import Tensor


def resample(clips: Tensor, begin: Tensor, end: Tensor, frames: int) -> Tensor:
    """The part from `begin` to `end` of each clip at `frames` frames: ``float32 [N, 3, frames, H, W]``, differentiable.

    clips: ``float32 [N, 3, T, H, W]``; begin, end: ``float32 [N]``, shares of its duration: 0 is its first frame and 1 its
    last. Between two frames the picture is interpolated.
    """
    last = clips.shape[2] - 1
    steps = torch.linspace(0, 1, frames, device=clips.device) if frames > 1 else clips.new_full((1,), 0.5)
    places = last * (begin[:, None] + (end - begin)[:, None] * steps)  # [N, frames]
    before = places.floor().clamp(0, max(0, last - 1)).long()
    share = (places - before).to(clips.dtype)[:, :, None, None, None]
    frame_first, clip = clips.transpose(1, 2), torch.arange(len(clips), device=clips.device)[:, None]
    a, b = frame_first[clip, before], frame_first[clip, (before + 1).clamp(max=last)]
    return torch.lerp(a, b, share).transpose(1, 2).contiguous(memory_format=torch.channels_last_3d)


def stretched(clips: Tensor, frames: int) -> Tensor:
    """Whole clips ``[N, 3, T, H, W]`` at `frames` frames: ``float32 [N, 3, frames, H, W]``, differentiable."""
    return resample(clips, clips.new_zeros(len(clips)), clips.new_ones(len(clips)), frames)


def interval(uniform: Tensor, least: float = 0.0) -> tuple[Tensor, Tensor]:
    """(begin, end) ``float32 [N]`` of random intervals, of two ``uniform float32 [N, 2]`` numbers each.

    Without `least` these are the two numbers, sorted (the paper's ``0 <= s < e <= 1``, a third of the clip in the mean);
    else intervals are stretched to between `least` and all of the clip.
    """
    begin, end = uniform.sort(1).values.unbind(1)
    length = end - begin
    wanted = least + (1 - least) * length
    # What is before and after the interval shrinks by the same factor.
    left = (1 - wanted) / (1 - length).clamp(min=1e-9)
    begin = begin * left
    return begin, begin + wanted
