"""TSGF on sequences of features (its appendix F names the task and gives numbers, and no detail: what follows is our reading).

A segment is a clip whose frames are features ``[D]`` instead of images. A teacher with BatchNorm learns to name segments; a few
features per segment, which begin as real ones, are moved until the teacher names them right and their BatchNorm statistics
are those of real segments (eq. 4 and 5), under the mask of eq. 8 that spares salient frames.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from vddlib.core import seeding
from vddlib.core.progress import with_progress
from vddlib.datasets.segmentation import LongVideo, segments
from vddlib.distillers.sequences.condensed import CondensedVideo, condense
from vddlib.training import saliency


class SegmentTSGF(BaseModel):
    """Hyper-parameters, by TSGF's names. Rate and weight: the better of a few on held-out training videos of `motions_long`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int = Field(4, ge=1, description="features per segment")
    iterations: int = Field(200, ge=1, description="updates of the features")
    lr: float = Field(0.01, gt=0, description="Adam's rate, in standard deviations of a feature")
    r_bn: float = Field(1.0, ge=0, description="weight of the BatchNorm statistics")
    epsilon: float = Field(0.5, ge=0, le=1, description="upper bound of saliency, as a share of a segment's range")
    at_once: int = Field(256, ge=2, description="segments updated together")
    teacher_width: int = Field(64, ge=1, description="maps of the teacher")
    teacher_steps: int = Field(300, ge=1, description="its optimiser steps")
    teacher_frames: int = Field(16, ge=2, description="frames of a real segment that it sees")


class SegmentTeacher(nn.Module):
    """Names a segment: two convolutions over time with BatchNorm, the mean over time, and a linear layer."""

    def __init__(self, channels: int, num_classes: int, width: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(channels, width, 3, padding=1), nn.BatchNorm1d(width), nn.ReLU(),
            nn.Conv1d(width, width, 3, padding=1), nn.BatchNorm1d(width), nn.ReLU(),
        )  # fmt: skip
        self.classify = nn.Linear(width, num_classes)

    def forward(self, clips: Tensor) -> Tensor:
        """Logits ``float32 [N, C]`` for ``clips float32 [N, D, t]``."""
        return self.classify(self.body(clips).mean(2))


def condense_tsgf(
    videos: Sequence[LongVideo], num_classes: int, options: SegmentTSGF, seed: int
) -> list[CondensedVideo]:
    """Every video with `options.count` recovered features per segment, which begin as the real ones nearest to the means."""
    begun = [condense(video, options.count, "segment_coreset") for video in videos]
    values = np.concatenate([video.features for video in videos], 1)
    mean, std = (torch.from_numpy(stat(values, axis=1)).float()[:, None] for stat in (np.mean, np.std))
    std = std.clamp(min=1e-6)
    labels = torch.from_numpy(np.concatenate([one.labels for one in begun]))
    start = (torch.from_numpy(np.concatenate([one.kept for one in begun])).movedim(1, 2) - mean) / std  # [S, D, k]
    teacher = train_segment_teacher(videos, num_classes, mean, std, options, seed)
    moved = torch.cat(
        [
            recover(teacher, start[part], labels[part], options)
            for part in with_progress(torch.arange(len(start)).split(options.at_once), "recovering segments")
        ]
    )
    kept = (moved * std + mean).movedim(1, 2).numpy()
    ends = np.cumsum([len(one.labels) for one in begun])[:-1]
    return [
        CondensedVideo(one.name, one.labels, one.lengths, part)
        for one, part in zip(begun, np.split(kept, ends), strict=True)
    ]


def train_segment_teacher(
    videos: Sequence[LongVideo], num_classes: int, mean: Tensor, std: Tensor, options: SegmentTSGF, seed: int
) -> SegmentTeacher:
    """A teacher of real segments, each cut to `teacher_frames` frames from a random start (a shorter one is stretched)."""
    frames = options.teacher_frames
    with seeding.forked("segment teacher", seed):
        model = SegmentTeacher(len(mean), num_classes, options.teacher_width)
    parts = [
        (torch.from_numpy(video.features[:, one.start : one.end]), one.label)
        for video in videos
        for one in segments(video.labels)
    ]
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.01)
    stream = seeding.generator("segments", seed)
    for _ in range(options.teacher_steps):
        chosen = torch.randint(len(parts), (32,), generator=stream).tolist()
        clips = torch.stack([_cut(parts[i][0], frames, stream) for i in chosen])
        labels = torch.tensor([parts[i][1] for i in chosen])
        loss = F.cross_entropy(model((clips - mean) / std), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval().requires_grad_(False)


def recover(teacher: SegmentTeacher, start: Tensor, labels: Tensor, options: SegmentTSGF) -> Tensor:
    r"""``float32 [S, D, k]`` from the same at the start, by Adam on

    .. math:: CE + r_{bn} \sum_{layers} (\|\mu - \hat\mu\| + \|\sigma^2 - \hat\sigma^2\|),

    the gradient multiplied by the mask of the frames' saliency at the start.
    """
    x = start.clone().requires_grad_()
    wide = start[:, :, :, None, None]  # [S, D, k, 1, 1]: the clips that saliency is defined for
    scores = saliency.saliency(wide)
    mask = saliency.mask(scores, saliency.threshold(scores, options.epsilon))
    optimiser = torch.optim.Adam([x], options.lr, betas=(0.5, 0.9))
    for _ in range(options.iterations):
        h, statistics = x, torch.zeros(())
        for layer in teacher.body:
            if isinstance(layer, nn.BatchNorm1d):
                mean, var = h.mean((0, 2)), h.var((0, 2), unbiased=False)
                statistics = statistics + (mean - layer.running_mean).norm() + (var - layer.running_var).norm()
            h = layer(h)
        loss = F.cross_entropy(teacher.classify(h.mean(2)), labels) + options.r_bn * statistics
        optimiser.zero_grad()
        loss.backward()
        x.grad *= mask[:, None, :]
        optimiser.step()
    return x.detach()


def _cut(segment: Tensor, frames: int, stream: torch.Generator) -> Tensor:
    """``frames`` frames of ``[D, T]`` from a random start, or all of them repeated where there are fewer."""
    length = segment.shape[1]
    if length < frames:
        return segment[:, torch.arange(frames) * length // frames]
    start = int(torch.randint(length - frames + 1, (1,), generator=stream))
    return segment[:, start : start + frames]
