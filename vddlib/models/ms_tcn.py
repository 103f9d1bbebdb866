"""MS-TCN, a multi-stage temporal convolutional network for action segmentation (Farha & Gall, CVPR 2019)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMOOTHING, LARGEST_STEP = 0.15, 4.0  # lambda and tau of eq. 10 to 12


class DilatedResidual(nn.Module):
    """Eq. 1 and 2: three taps over time, `dilation` apart, then ReLU, a 1x1 convolution, and the input added."""

    def __init__(self, width: int, dilation: int, dropout: float):
        super().__init__()
        self.spread = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.point = nn.Conv1d(width, width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``float32 [N, width, T]`` to the same shape."""
        return x + self.dropout(self.point(F.relu(self.spread(x))))


class Stage(nn.Module):
    """One stage: a 1x1 convolution, layers whose dilation doubles from 1 on, and a 1x1 convolution to the classes."""

    def __init__(self, channels: int, num_classes: int, width: int, layers: int, dropout: float):
        super().__init__()
        self.enter = nn.Conv1d(channels, width, 1)
        self.layers = nn.Sequential(*(DilatedResidual(width, 2**number, dropout) for number in range(layers)))
        self.leave = nn.Conv1d(width, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``float32 [N, channels, T]`` to logits ``[N, C, T]``."""
        return self.leave(self.layers(self.enter(x)))


class MSTCN(nn.Module):
    """Stages one after another: the first sees features, every other the probabilities of the one before (eq. 4 and 5).

    Published: 4 stages of 10 layers, 64 maps, dropout 0.5.
    """

    def __init__(
        self, channels: int, num_classes: int, stages: int = 4, layers: int = 10, width: int = 64, dropout: float = 0.5
    ):
        super().__init__()
        sizes = [channels] + [num_classes] * (stages - 1)
        self.stages = nn.ModuleList(Stage(size, num_classes, width, layers, dropout) for size in sizes)

    def forward(self, features: Tensor) -> list[Tensor]:
        """Logits ``float32 [N, C, T]`` of every stage, the last of which counts, for ``features float32 [N, D, T]``."""
        logits = [self.stages[0](features)]
        for stage in self.stages[1:]:
            logits.append(stage(logits[-1].softmax(1)))
        return logits


def loss(logits: list[Tensor], labels: Tensor) -> Tensor:
    r"""Eq. 13: cross-entropy plus :math:`\lambda` times the truncated squared steps of log probabilities, summed over stages.

    The step before is not differentiated (as below eq. 12). ``logits`` of every stage ``[N, C, T]``, ``labels int64 [N, T]``.
    """
    total = torch.zeros((), device=labels.device)
    for one in logits:
        total = total + F.cross_entropy(one, labels)
        if one.shape[2] > 1:
            log_p = one.log_softmax(1)
            steps = (log_p[:, :, 1:] - log_p.detach()[:, :, :-1]).abs().clamp(max=LARGEST_STEP)
            total = total + SMOOTHING * steps.square().mean()
    return total
