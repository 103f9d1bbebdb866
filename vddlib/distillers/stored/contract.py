"""What a distilled set stores: the contract of its content, and of the hyper-parameters that make one.

`Storage` is plain parameters; `begin` makes a `Content`, an ``nn.Module`` that turns indices into clips. Objectives fit any
content, so that ``DM(stored=VDSD(...))`` is the method `dm+vdsd` and no class is written for it.
"""

from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, model_serializer
from torch import Tensor, nn

from vddlib.core import cache
from vddlib.core.errors import VddError
from vddlib.datasets.clips import Clips, to_pixels
from vddlib.datasets.video import encode_bytes, stream_bytes
from vddlib.distillers.stored.sei import without_sei

LONGEST = 10_000  # frames of a drawn clip: more is a damaged set
VIDEO_FPS, VIDEO_QUALITY = 8, 23  # H.264 yuv420p, CRF 23: the codec behind every `bytes_video`


class Sizes(NamedTuple):
    """Bytes of what is stored, all networks and memories that drawing needs included; labels are counted elsewhere.

    `float32`: four bytes a value. `uint8`: pixels at one byte, every other value at its own width. `stream`: pixels as
    H.264 streams, every other value at its own width. `container`: what the MP4 files add to the streams.
    """

    float32: int
    uint8: int
    stream: int
    container: int


class Content(nn.Module):
    """What a set stores; a subclass names its `kind`, keeps its tensors as parameters and buffers, and draws clips.

    `mean`, `std` ``float32 [3]`` standardise pixels. `random`: whether two draws of a clip may differ. `prepared`: seconds
    spent on it before the distillation began. Objectives see it in training mode, pictures and students in evaluation mode.
    """

    kind: ClassVar[str]
    random: ClassVar[bool] = False
    stores_files: ClassVar[bool] = False  # whether encoded videos are what is kept, so that drawing decodes them
    mean: Tensor
    std: Tensor
    prepared: float = 0.0
    registry: ClassVar[dict[str, type["Content"]]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "kind" in vars(cls):
            Content.registry[cls.kind] = cls

    def __init__(self, mean: Tensor, std: Tensor):
        super().__init__()
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone())

    def __len__(self) -> int:
        """Number of clips N."""
        raise NotImplementedError

    def forward(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Clips ``float32 [n, 3, T, H, W]`` for ``indices int64 [n]``, standardised.

        `generator` is fresh at every call and always on the CPU; `indices` may be on any device. What is random is drawn for
        all N clips and then indexed (see `uniform`), so that a clip's draw does not depend on those it is asked for with.
        """
        raise NotImplementedError

    def uniform(self, indices: Tensor, generator: torch.Generator, *shape: int) -> Tensor:
        """Uniform numbers ``float32 [n, *shape]`` in [0, 1) for ``indices int64 [n]``, on the content's device."""
        return torch.rand(len(self), *shape, generator=generator)[indices.cpu()].to(self.mean.device)

    def state(self) -> dict[str, Tensor]:
        """All that has to be kept, by name; names may hold dots (``hallucinator.weight``)."""
        return dict(self.state_dict())

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor]) -> "Content":
        """The content whose `state` this was. Raises KeyError, RuntimeError or VddError where it cannot be."""
        raise NotImplementedError

    @property
    def draws_intervals(self) -> bool:
        """Whether a draw is already a random stretch of time of what is stored, so that students need not cut one."""
        return False

    @property
    def code(self) -> str:
        """Hash of what draws the clips, for the keys of students trained on them."""
        modules = {kind.__module__ for kind in type(self).__mro__ if kind.__module__.startswith("vddlib")}
        return cache.code_digest(*sorted(modules))

    def groups(self, lr: float) -> list[dict[str, Any]]:
        """Optimiser groups of what is learned, at learning rate `lr` where it has no rates of its own."""
        return [{"params": list(self.parameters()), "lr": lr}]

    def penalty(self) -> Tensor | None:
        """A loss of its own that is added to the objective's (a scalar with a graph), or None."""
        return None

    @torch.no_grad()
    def pixels(self, generator: torch.Generator) -> np.ndarray:
        """The clips as a person sees them, ``uint8 [N, T, H, W, 3]``, drawn once."""
        drawn = self(torch.arange(len(self), device=self.mean.device), generator)
        return to_pixels(drawn, self.mean.cpu(), self.std.cpu())

    def pixel_values(self) -> int:
        """How many of the stored numbers are pixels, which fit in one byte each."""
        raise NotImplementedError

    def files(self) -> list[bytes]:
        """The stored pixels, and nothing else, as MP4 files (see `encoded`); empty where no pixels are stored."""
        raise NotImplementedError

    def other_tensors(self) -> list[Tensor]:
        """Everything else that drawing needs, except `mean` and `std`: float memories, weights of networks."""
        return []

    def sizes(self) -> Sizes:
        """What it takes to store, counted in the same ways for every method."""
        others, files = self.other_tensors(), self.files()
        own_width = sum(tensor.numel() * tensor.element_size() for tensor in others)
        values, streams = self.pixel_values(), sum(map(stream_bytes, files))
        return Sizes(
            float32=4 * (values + sum(tensor.numel() for tensor in others)),
            uint8=values + own_width,
            stream=streams + own_width,
            container=sum(map(len, files)) - streams,
        )


def encoded(clips: np.ndarray, quality: int = VIDEO_QUALITY) -> list[bytes]:
    """Clips ``uint8 [N, T, H, W, 3]`` as MP4 files, one each (H.264, CRF `quality`, 8 fps), of what decoding needs alone."""
    return [without_sei(encode_bytes(clip, VIDEO_FPS, quality)) for clip in clips]


def content_of(kind: str, tensors: dict[str, Tensor]) -> Content:
    """The content of a `kind` from its saved tensors. Raises VddError for an unknown kind, or tensors that do not fit."""
    if kind not in Content.registry:
        raise VddError(f"unknown kind of content {kind!r}; known kinds are {', '.join(Content.registry)}")
    for name in ("mean", "std"):
        numbers = tensors.get(name)
        if numbers is None or numbers.shape != (3,) or not numbers.is_floating_point() or not numbers.isfinite().all():
            raise VddError(f"{name} must be three finite numbers, one per colour")
    if (tensors["std"] <= 0).any():
        raise VddError("std must be positive")
    try:
        content = Content.registry[kind].from_state(tensors)
        made = content.state()
    except (KeyError, RuntimeError, TypeError, ValueError, IndexError, OverflowError) as error:
        why = " ".join(str(error).split())[:200]  # torch lists missing names over several lines
        raise VddError(f"the tensors do not form a {kind!r} content ({type(error).__name__}: {why})") from None
    for name in sorted(set(made) ^ set(tensors)):
        raise VddError(f"a content of kind {kind!r} has {'a' if name in made else 'no'} tensor {name!r}")
    for name, tensor in tensors.items():
        if tensor.shape != made[name].shape or tensor.dtype != made[name].dtype:
            raise VddError(f"the tensor {name!r} is {made[name].dtype} {list(made[name].shape)} in a {kind!r}")
    return content


def expect(tensors: dict[str, Tensor], name: str, dtype: torch.dtype, shape: str) -> Tensor:
    """The tensor `name`, which has that type and a shape such as 'N 3 T H W' (letters: any positive size).

    Raises VddError where it is missing, or has another type or shape; float values have to be finite.
    """
    tensor, wanted = tensors.get(name), shape.split()
    if tensor is None:
        raise VddError(f"the tensor {name!r} is missing")
    sizes = list(tensor.shape)
    fits = len(sizes) == len(wanted) and all(
        size > 0 if letter.isalpha() else size == int(letter) for size, letter in zip(sizes, wanted, strict=True)
    )
    if tensor.dtype != dtype or not fits:
        raise VddError(f"the tensor {name!r} must be {dtype} [{', '.join(wanted)}], but is {tensor.dtype} {sizes}")
    if tensor.is_floating_point() and not tensor.isfinite().all():
        raise VddError(f"the tensor {name!r} is not finite")
    return tensor


class Storage(BaseModel):
    """Hyper-parameters of what is stored. `suffix` joins the method's name (`dm` + `vdsd`); '' is for free pixels."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    suffix: ClassVar[str] = ""
    code: ClassVar[tuple[str, ...]] = ()  # modules that `begin` needs, besides those of the class and its content
    registry: ClassVar[dict[str, type["Storage"]]] = {}  # by suffix
    kinds: ClassVar[dict[str, type["Storage"]]] = {}  # by the name of the class, as cards have it

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        Storage.kinds[cls.__name__] = cls
        if "suffix" in vars(cls):
            Storage.registry[cls.suffix] = cls

    @model_serializer(mode="wrap")
    def _with_kind(self, handler) -> dict[str, Any]:
        """For cards and cache keys: two storages with the same fields are not the same."""
        return {"kind": type(self).__name__, **handler(self)}

    def begin(self, train: Clips, ipc: int, indices: Tensor, seed: int, device: str) -> Content:
        """Content on the CPU for the clips ``indices int64 [n]`` of ``C * ipc``, class after class, before optimisation.

        What is drawn from torch's own generators (the weights of a network) follows the seed. `device` is for what has to be
        computed first, such as a distillation of still images.
        """
        raise NotImplementedError

    def finished(self, content: Content, train: Clips) -> Content:
        """What is stored in the end, made from what was optimised."""
        return content
