"""What a distilled set stores: the modules that turn indices into clips, by name."""

from collections.abc import Callable

from torch import nn

VIDEO_FPS, VIDEO_QUALITY = 8, 23  # H.264 yuv420p, CRF 23: the codec behind every `bytes_video`

PARAMETERISATIONS: dict[str, Callable[..., nn.Module]] = {}
