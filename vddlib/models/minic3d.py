"""MiniC3D, the student of almost every paper (VDSD's ConvNet3D; drawn in TSGF, appendix H.1, figure 7)."""

from typing import Literal

import torch
from torch import Tensor, nn


class MiniC3D(nn.Module):
    """Three blocks of convolutions (3 in time, 7x7 in space), a 1x1x1 classifier, and the *maximum* over the time that is left.

    The published network has no normalisation (``norm="none"``); methods that read BatchNorm statistics (TSGF) or
    follow the Video-DC study use ``norm="batch"``. Small clips need fewer blocks (each divides the side by 4: three blocks
    fit a side of 112 or 64, two fit 32) and do with narrower ones.

    Input ``float32 [N, 3, T, H, W]``, standardised; output logits ``float32 [N, C]``.
    About 3.65 M parameters at 50 classes.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        frames: int = 16,
        size: int = 112,
        norm: Literal["none", "batch", "instance"] = "none",
        depth: int = 3,
        widths: tuple[int, ...] = (64, 128, 128),
        dropout: float = 0.5,
    ):
        super().__init__()
        if not 1 <= depth <= len(widths):
            raise ValueError(f"depth {depth} does not fit {len(widths)} widths")
        if norm not in ("none", "batch", "instance"):
            raise ValueError(f"norm is none, batch or instance, not {norm!r}")
        blocks: list[nn.Module] = []
        channels = 3
        for index, width in enumerate(widths[:depth]):
            blocks += [nn.Conv3d(channels, width, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3))]
            if norm == "batch":
                blocks += [nn.BatchNorm3d(width)]
            elif norm == "instance":
                blocks += [nn.InstanceNorm3d(width, affine=True)]
            pool = (1, 2, 2) if index == 0 else (2, 2, 2)  # as published: time is shortened from the second block on
            # Drawn as ReLU, then pool. Either order gives the same bits, and the same gradients (a test): after the pool ReLU
            # has a quarter of the numbers to visit, which is 2 to 6 % of a step's CPU time.
            blocks += [nn.MaxPool3d(pool), nn.ReLU(inplace=True)]
            channels = width
        self.features = nn.Sequential(*blocks)
        shape = _output_shape(frames, size, depth)
        # Published: (2, 2, 2) at 112 and (2, 1, 1) at 64, which is the whole remaining side both times.
        self.pool = nn.AvgPool3d((min(2, shape[0]), shape[1], shape[2]), stride=1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv3d(channels, num_classes, kernel_size=1)
        self.embedding_size = channels * shape[0] * shape[1] * shape[2]

    def embed(self, clips: Tensor) -> Tensor:
        """Flattened output of the last block, ``float32 [N, D]``: what DM, herding and k-center compare."""
        return self.features(clips).flatten(1)

    def forward(self, clips: Tensor) -> Tensor:
        """Logits ``float32 [N, C]`` of clips ``float32 [N, 3, T, H, W]``."""
        scores = self.classifier(self.dropout(self.pool(self.features(clips))))
        return scores.mean((3, 4)).amax(2)  # after the pool one place is left in space


def _output_shape(frames: int, size: int, depth: int) -> tuple[int, int, int]:
    """(T, H, W) after the blocks; ValueError where the clip is too small for them."""
    for index in range(depth):
        size = ((size + 6 - 7) // 2 + 1) // 2
        frames = frames if index == 0 else frames // 2
    if min(frames, size) < 1:
        raise ValueError(f"MiniC3D: {depth} blocks leave nothing of the clip; use fewer blocks (depth)")
    return frames, size, size


def count_parameters(model: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@torch.no_grad()
def layer_shapes(model: nn.Module, clip: Tensor) -> list[tuple[str, str, tuple[int, ...], int]]:
    """(name, kind, output shape without the batch, parameters) of every leaf layer that `clip` passes through, in order."""
    rows, hooks = [], []
    for name, module in model.named_modules():
        if not list(module.children()):

            def note(module, _inputs, output, name=name):
                output = output[0] if isinstance(output, tuple) else output
                rows.append((name, type(module).__name__, tuple(output.shape[1:]), count_parameters(module)))

            hooks.append(module.register_forward_hook(note))
    training = model.training
    model.eval()(clip)  # dropout and BatchNorm must not change the model that is only looked at
    model.train(training)
    for hook in hooks:
        hook.remove()
    return rows
