"""Networks that name the action in every frame of a long video: trained on whole videos, one per step, out of the cache."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from vddlib.core import cache, files, seeding
from vddlib.core.errors import VddError
from vddlib.core.progress import with_progress
from vddlib.datasets.segmentation import LongVideo
from vddlib.models import ms_tcn
from vddlib.models.ms_tcn import MSTCN
from vddlib.training.networks import conditions


class SegmenterRecipe(BaseModel):
    """MS-TCN and how it is trained. Published: 4 stages, 10 layers, 64 maps, Adam at 5e-4, 50 epochs, one video per step."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stages: int = Field(4, ge=1)
    layers: int = Field(10, ge=1, description="dilations 1 to 2^(layers - 1)")
    width: int = Field(64, ge=1, description="maps")
    dropout: float = Field(0.5, ge=0, lt=1)
    lr: float = Field(5e-4, gt=0)
    epochs: int = Field(50, ge=1)


@dataclass(frozen=True)
class Segmenter:
    """A trained network, and the loss of every epoch."""

    model: MSTCN
    losses: list[float]

    @torch.no_grad()
    def predict(self, videos: Sequence[LongVideo], device: torch.device) -> list[np.ndarray]:
        """The action of every frame of each video, ``int64 [T]``."""
        model = self.model.to(device).eval()
        return [model(torch.from_numpy(v.features)[None].to(device))[-1][0].argmax(0).cpu().numpy() for v in videos]


def train_segmenter(
    videos: Sequence[LongVideo],
    num_classes: int,
    recipe: SegmenterRecipe,
    *,
    seed: int,
    device: torch.device,
    what: str,
) -> Segmenter:
    """MS-TCN trained on these videos from `seed`; a finished one comes out of the cache.

    Raises VddError where there is no video, where they differ in the number of features, or where training diverges.
    """
    if len({len(video.features) for video in videos}) != 1:
        raise VddError(f"{what}: {len(videos)} videos whose features do not have one size")
    channels = len(videos[0].features)
    key = {
        "videos": [[files.hash_array(video.features), files.hash_array(video.labels)] for video in videos],
        "classes": num_classes, "recipe": recipe.model_dump(mode="json"), "seed": seed,
        **conditions(device, __name__, ms_tcn.__name__),
    }  # fmt: skip

    def build(folder) -> None:
        model, losses = _fit(_untrained(channels, num_classes, recipe, seed), videos, recipe, seed, device, what)
        files.write_tensors(folder / "model.safetensors", model.state_dict())
        files.write_json(folder / "log.json", {"loss": losses})

    return _open(cache.get("segmenters", key, build), _untrained(channels, num_classes, recipe, seed))


def _untrained(channels: int, num_classes: int, recipe: SegmenterRecipe, seed: int) -> MSTCN:
    sizes = recipe.model_dump(include={"stages", "layers", "width", "dropout"})
    with seeding.forked("segmenter", seed):
        return MSTCN(channels, num_classes, **sizes)


def _fit(
    model, videos, recipe: SegmenterRecipe, seed: int, device: torch.device, what: str
) -> tuple[MSTCN, list[float]]:
    """The trained network on the CPU, and the mean loss of every epoch."""
    model, losses = model.to(device).train(), []
    optimiser = torch.optim.Adam(model.parameters(), recipe.lr)
    stream = seeding.generator("order of videos", seed)
    with seeding.forked("dropout", seed, device=device):
        for _ in with_progress(range(recipe.epochs), what):
            total = 0.0
            for i in torch.randperm(len(videos), generator=stream).tolist():
                features = torch.from_numpy(videos[i].features)[None].to(device)
                labels = torch.from_numpy(videos[i].labels)[None].to(device)
                loss = ms_tcn.loss(model(features), labels)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += loss.item()
            losses.append(total / len(videos))
            if not np.isfinite(losses[-1]):
                raise VddError(f"{what}: the loss is {losses[-1]} after {len(losses)} epochs; lower the rate (lr)")
    return model.cpu().eval(), losses


def _open(folder, model: MSTCN) -> Segmenter:
    from safetensors.torch import load_file

    model.load_state_dict(load_file(folder / "model.safetensors"))
    return Segmenter(model.eval(), json.loads((folder / "log.json").read_text())["loss"])
