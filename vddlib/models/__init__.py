"""Models by name. Each maps clips ``float32 [N, 3, T, H, W]`` to logits ``[N, C]`` and to an embedding ``[N, D]``."""

import inspect
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from vddlib.core import seeding
from vddlib.core.errors import VddError, unknown
from vddlib.models.c3d import C3D
from vddlib.models.convnet import ConvNet
from vddlib.models.minic3d import MiniC3D, count_parameters, layer_shapes
from vddlib.models.recurrent import Recurrent

__all__ = ["C3D", "MODELS", "ConvNet", "MiniC3D", "Recurrent", "build", "count_parameters", "layer_shapes"]


class Torchvision(nn.Module):
    """A torchvision video network, untrained, whose last linear layer is separate from its embedding."""

    def __init__(self, num_classes: int, *, arch: str):
        super().__init__()
        import torchvision.models.video as zoo  # late: it takes seconds, and most runs do not need it

        self.body = getattr(zoo, arch)(weights=None)
        last = "head" if hasattr(self.body, "head") else "fc"
        self.embedding_size = getattr(self.body, last).in_features
        setattr(self.body, last, nn.Identity())
        self.classifier = nn.Linear(self.embedding_size, num_classes)

    def embed(self, clips: Tensor) -> Tensor:
        """Pooled features ``float32 [N, D]``."""
        return self.body(clips)

    def forward(self, clips: Tensor) -> Tensor:
        """Logits ``float32 [N, C]``."""
        return self.classifier(self.embed(clips))


MODELS: dict[str, Callable[..., nn.Module]] = {
    "minic3d": MiniC3D,
    "minic3d_bn": partial(MiniC3D, norm="batch"),
    "c3d": C3D,
    "convnet": ConvNet,
    "cnn_gru": partial(Recurrent, cell="gru"),
    "cnn_lstm": partial(Recurrent, cell="lstm"),
    "r3d_18": partial(Torchvision, arch="r3d_18"),
    "swin3d_t": partial(Torchvision, arch="swin3d_t"),
}


def build(name: str, num_classes: int, *, frames: int, size: int, seed: int = 0, **options) -> nn.Module:
    """The model `name` for clips of `frames` x `size` x `size`, initialised from `seed`.

    `options` are passed to its class (MiniC3D: norm, depth, widths, dropout...). Raises VddError for an unknown name or option,
    or a clip too small for the network.
    """
    if name not in MODELS:
        raise unknown("model", name, MODELS)
    make = MODELS[name]
    taken = inspect.signature(make).parameters
    if strange := [option for option in options if option not in taken]:
        raise VddError(f"model {name!r} has no option {strange[0]!r}; it has {', '.join(list(taken)[1:])}")
    geometry = {key: value for key, value in {"frames": frames, "size": size}.items() if key in taken}
    with seeding.forked("init", name, seed):
        try:
            model = make(num_classes, **geometry, **options)
        except (TypeError, ValueError) as error:
            raise VddError(f"model {name!r} on {frames}x{size}x{size}: {error}") from None
    # 3D convolutions are faster in this memory layout; the values are the same.
    return model.to(memory_format=torch.channels_last_3d) if isinstance(model, MiniC3D | C3D) else model
