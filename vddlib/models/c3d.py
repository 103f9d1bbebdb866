"""C3D (Tran et al., ICCV 2015), the diffusion paper's classifier."""

from typing import Literal

from torch import Tensor, nn


class C3D(nn.Module):
    """Eight 3x3x3 convolutions, five max-pools, two hidden linear layers of `hidden` units.

    Published for 16x112x112; with smaller clips a pool skips an axis that has come down to 1. `norm="batch"` adds BatchNorm
    after each convolution (the original has none). Input ``float32 [N, 3, T, H, W]``, logits ``float32 [N, C]``.
    """

    WIDTHS = ((64,), (128,), (256, 256), (512, 512), (512, 512))

    def __init__(
        self,
        num_classes: int,
        *,
        frames: int = 16,
        size: int = 112,
        norm: Literal["none", "batch"] = "none",
        hidden: int = 4096,
        dropout: float = 0.5,
        width: float = 1.0,
    ):
        super().__init__()
        layers: list[nn.Module] = []
        channels, shape = 3, [frames, size, size]
        for stage, widths in enumerate(self.WIDTHS):
            for out in (max(1, round(w * width)) for w in widths):
                layers += [nn.Conv3d(channels, out, 3, padding=1)]
                layers += [nn.BatchNorm3d(out)] if norm == "batch" else []
                layers += [nn.ReLU(inplace=True)]
                channels = out
            # As published, the first pool does not shorten time.
            kernel = [1 if (axis == 0 and stage == 0) else min(2, n) for axis, n in enumerate(shape)]
            # Before the stage's last ReLU, which changes no bit and no gradient, and leaves it fewer numbers to visit.
            layers.insert(-1, nn.MaxPool3d(tuple(kernel), ceil_mode=True))
            shape = [-(-n // k) for n, k in zip(shape, kernel, strict=True)]
        self.features = nn.Sequential(*layers)
        flat = channels * shape[0] * shape[1] * shape[2]
        self.hidden = nn.Sequential(
            nn.Linear(flat, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.ReLU()
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden, num_classes)
        self.embedding_size = hidden

    def embed(self, clips: Tensor) -> Tensor:
        """Output of the second hidden layer (fc7), ``float32 [N, hidden]``."""
        return self.hidden(self.features(clips).flatten(1))

    def forward(self, clips: Tensor) -> Tensor:
        """Logits ``float32 [N, C]`` of clips ``float32 [N, 3, T, H, W]``."""
        return self.classifier(self.dropout(self.embed(clips)))
