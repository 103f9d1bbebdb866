"""CNN+GRU and CNN+LSTM: a small ConvNet on every frame, then a recurrent layer (TSGF, table 4)."""

from typing import Literal

from torch import Tensor, nn

from vddlib.models.convnet import blocks


class Recurrent(nn.Module):
    """Per-frame ConvNet (3 blocks, width 128, instance norm, ReLU, average pool), GRU or LSTM, mean over time, linear.

    Input ``float32 [N, 3, T, H, W]`` (the reference crops frames to 64x64), logits ``float32 [N, C]``.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        cell: Literal["gru", "lstm"] = "gru",
        size: int = 64,
        width: int = 128,
        depth: int = 3,
        hidden: int = 128,
        frames: int | None = None,
    ):
        super().__init__()
        self.frame = blocks(width, depth)
        flat = width * (size // 2**depth) ** 2
        self.recurrent = (nn.GRU if cell == "gru" else nn.LSTM)(flat, hidden, batch_first=True)
        self.classifier = nn.Linear(hidden, num_classes)
        self.embedding_size = hidden

    def embed(self, clips: Tensor) -> Tensor:
        """Mean over time of the recurrent states, ``float32 [N, hidden]``."""
        n, _, t = clips.shape[:3]
        frames = self.frame(clips.transpose(1, 2).flatten(0, 1))
        return self.recurrent(frames.flatten(1).unflatten(0, (n, t)))[0].mean(1)

    def forward(self, clips: Tensor) -> Tensor:
        """Logits ``float32 [N, C]`` of clips ``float32 [N, 3, T, H, W]``."""
        return self.classifier(self.embed(clips))
