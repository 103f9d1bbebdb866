"""What a network costs without running it: operations and memory, counted on shapes alone (torch's meta device)."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vddlib import models


class Forward(NamedTuple):
    """One pass of one clip: floating-point operations (a multiply and an add are two), bytes that its backward pass keeps,
    and the bytes of the weights in float32."""

    flops: float
    kept: float
    weights: float


@cache
def of_model(name: str, classes: int, frames: int, size: int, options: tuple[tuple[str, object], ...] = ()) -> Forward:
    """Of a model of `vddlib.models` on clips of `frames` x `size` x `size`. Raises VddError as `models.build` does."""
    with torch.device("meta"):
        model = models.build(name, classes, frames=frames, size=size, **dict(options))
        return of_network(model, torch.empty(2, 3, frames, size, size))


@cache
def of_latte(classes: int, frames: int, size: int, depth: int, width: int, heads: int, patch: int) -> Forward:
    """Of Latte on the latents of clips, four channels and an eighth of their side (Stable Diffusion's)."""
    from vddlib.distillers.latte.transformer import LatteTransformer

    side = size // 8
    with torch.device("meta"):
        model = LatteTransformer(classes, 4, frames, side, depth=depth, width=width, heads=heads, patch=patch)
        return of_network(
            model, torch.empty(2, frames, 4, side, side), torch.empty(2), torch.empty(2, dtype=torch.long)
        )


@cache
def of_videomae() -> Forward:
    """Of VideoMAE V2's giant encoder on 16 frames of 224 x 224 (Wang et al., CVPR 2023, table 11)."""
    from transformers import VideoMAEConfig, VideoMAEModel

    giant = VideoMAEConfig(
        patch_size=14, hidden_size=1408, num_hidden_layers=40, num_attention_heads=16, intermediate_size=6144
    )
    with torch.device("meta"):
        return of_network(VideoMAEModel(giant), torch.empty(2, 16, 3, 224, 224))


@cache
def of_ms_tcn(classes: int, length: int, stages: int, layers: int, width: int) -> Forward:
    """Of MS-TCN on I3D features, 2048 numbers at each of `length` places."""
    from vddlib.models.ms_tcn import MSTCN

    with torch.device("meta"):
        return of_network(MSTCN(2048, classes, stages, layers, width), torch.empty(2, 2048, length))


def of_network(model: nn.Module, *inputs: Tensor) -> Forward:
    """Of any network whose first input is a batch ``[2, ...]`` on the meta device; two, as BatchNorm cannot train on one."""
    with FlopCounterMode(display=False) as counter:
        kept = kept_by(lambda: model.train()(*inputs), *model.parameters())
    size = sum(p.numel() for p in model.parameters()) * 4
    return Forward(counter.get_total_flops() / len(inputs[0]), kept / len(inputs[0]), size)


def kept_by(call: Callable[[], object], *without: Tensor) -> int:
    """Bytes of all tensors that autograd keeps of `call` for a backward pass, each once, but for those that share memory with
    one of `without` (weights, which are there anyway)."""
    kept: dict[int, int] = {}
    there = {tensor.untyped_storage()._cdata for tensor in without}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in there:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        held = call()  # until it is counted: freed memory would be taken for the same tensor
    del held
    return sum(kept.values())
