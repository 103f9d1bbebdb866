"""Hyper-parameters of a pool of generated videos: network, training, sampling."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vddlib.core.errors import VddError, first_mistake
from vddlib.datasets.clips import Clips
from vddlib.distillers.latte.autoencoder import Codec, Kind
from vddlib.distillers.latte.sampling import Prediction
from vddlib.distillers.latte.transformer import LatteTransformer

DRAWING = {"sampler", "sample_steps", "guidance", "per_class", "sample_batch", "quality"}


class Latte(BaseModel):
    """How a pool is generated. Defaults are those of the public code for UCF101 (XL/2, 256 x 256, 16 frames).

    Fields that only say how a pool is drawn (`DRAWING`) leave the network as it is: another pool does not train it again.
    A wrong or unknown one raises VddError, one line.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    depth: int = Field(28, ge=2, description="blocks, half of them spatial")
    width: int = Field(1152, ge=8, description="numbers per token")
    heads: int = Field(16, ge=1, description="of attention")
    patch: int = Field(2, ge=1, description="latents per token along a side")
    autoencoder: Kind = Field("auto", description="of frames: sd, tiny, trained, pixels; auto: the first that is there")
    weights: str = Field("", description="published network to begin with, under $VDD_WEIGHTS; '': random weights")
    prediction: Prediction = Field(
        "epsilon", description="what the network tells: noise (as published), the clip, or the velocity"
    )
    size: int = Field(0, ge=0, description="side of generated frames, in pixels; 0: that of the clips")
    stride: int = Field(0, ge=0, description="distance of their frames in the training videos; 0: that of the clips")
    draws: int = Field(8, ge=1, description="clips of each training video that are encoded beforehand")
    steps: int = Field(500_000, ge=1, description="optimiser steps")
    batch_size: int = Field(40, ge=1, description="clips per step, over all GPUs")
    lr: float = Field(1e-4, gt=0, description="learning rate of AdamW")
    ema: float = Field(0.9999, ge=0, lt=1, description="decay of the averaged weights, which are those that sample")
    class_dropout: float = Field(0.1, ge=0, le=1, description="share of clips that are shown without their class")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="of the network in training, on a GPU")
    sampler: Literal["ddpm", "ddim"] = Field("ddpm", description="ancestral, or deterministic given the first noise")
    sample_steps: int = Field(250, ge=1, le=1000, description="denoising steps per video")
    guidance: float = Field(7.0, ge=0, description="of the class over no class; 1: the conditional network alone")
    per_class: int = Field(100, ge=1, description="videos per class in the pool (the paper's N_c)")
    sample_batch: int = Field(16, ge=1, description="videos that are denoised together")
    quality: int = Field(10, ge=0, le=51, description="CRF of H.264 in which the pool is kept")
    device: str = Field("auto", exclude=True)
    checkpoint_seconds: float = Field(60, exclude=True, ge=0)

    def __init__(self, **params: Any):
        try:
            super().__init__(**params)
        except ValidationError as error:
            name, mistake = first_mistake(error)
            known = ", ".join(type(self).model_fields)
            raise VddError(f"latte: {name or 'parameters'}: {mistake} (hyper-parameters: {known})") from None

    def network(self, train: Clips, codec: Codec) -> LatteTransformer:
        """An untrained network for the classes of `train` and the latents of `codec`."""
        g = train.geometry
        if g.size % codec.down:
            raise VddError(f"latte: frames of {g.size} pixels are no multiple of the {codec.down} of its autoencoder")
        options = {"depth": self.depth, "width": self.width, "heads": self.heads, "patch": self.patch}
        return LatteTransformer(len(train.classes), codec.channels, g.frames, g.size // codec.down, **options)

    def learning(self) -> dict[str, Any]:
        """The fields on which the trained network depends."""
        return self.model_dump(mode="json", exclude=DRAWING)

    def drawing(self) -> dict[str, Any]:
        """The others, on which its pools depend besides."""
        return self.model_dump(mode="json", include=DRAWING)
