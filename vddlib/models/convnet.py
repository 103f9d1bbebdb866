"""ConvNet, the image network of the DC line of work; Static-DC distils single frames with it."""

from torch import Tensor, nn


def blocks(width: int, depth: int) -> nn.Sequential:
    """`depth` times a 3x3 convolution, instance norm, ReLU and 2x2 average pooling, on ``[N, 3, H, W]``."""
    layers: list[nn.Module] = []
    for index in range(depth):
        layers += [nn.Conv2d(3 if index == 0 else width, width, 3, padding=1)]
        # A ConvNet's instance norm is GroupNorm with one channel per group: it also accepts a 1x1 map.
        layers += [nn.GroupNorm(width, width), nn.ReLU(inplace=True), nn.AvgPool2d(2)]
    return nn.Sequential(*layers)


class ConvNet(nn.Module):
    """The ConvNet of DC (Zhao et al., ICLR 2021): 3 blocks of width 128 and a linear layer, frame by frame.

    Input ``float32 [N, 3, T, H, W]``, usually of one frame; logits ``float32 [N, C]`` are the mean over frames.
    """

    def __init__(self, num_classes: int, *, size: int = 64, width: int = 128, depth: int = 3):
        super().__init__()
        if size < 2**depth:
            raise ValueError(f"{depth} blocks leave nothing of a frame of side {size}; use fewer blocks (depth)")
        self.features = blocks(width, depth)
        self.embedding_size = width * (size // 2**depth) ** 2
        self.classifier = nn.Linear(self.embedding_size, num_classes)

    def embed(self, clips: Tensor) -> Tensor:
        """Flattened output of the last block, mean over frames, ``float32 [N, D]``."""
        n, _, t = clips.shape[:3]
        return self.features(clips.transpose(1, 2).flatten(0, 1)).flatten(1).unflatten(0, (n, t)).mean(1)

    def forward(self, clips: Tensor) -> Tensor:
        """Logits ``float32 [N, C]`` of clips ``float32 [N, 3, T, H, W]``."""
        return self.classifier(self.embed(clips))
