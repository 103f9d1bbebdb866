"""Embeddings of real clips, for the selectors that compare them (herding, k-center)."""

import time
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from vddlib.core.errors import VddError
from vddlib.datasets.clips import Clips
from vddlib.distillers.selection.selector import Selector
from vddlib.training.fit import Recipe, pick_device
from vddlib.training.networks import Network, seed_of, train_network


class EmbeddingSelector(Selector):
    """A selector on the embeddings of a network: a given one, one trained on the train split, or an untrained one.

    The DC line of work trains the network on the whole train split, anew for each seed, which is the default here.
    """

    network: Network = Field(default_factory=Network, description="architecture of the embedding network")
    weights: Literal["trained", "random"] = Field(
        "trained", description="trained on the train split, or as initialised"
    )
    recipe: Recipe = Field(Recipe(epochs=60, batch_size=64), description="how it is trained")
    model: nn.Module | None = Field(None, exclude=True, description="a network to use instead, already trained")
    device: str = Field("auto", exclude=True)

    def embeddings(self, train: Clips, seed: int, candidates: Clips | None = None) -> tuple[Tensor, float]:
        """``float32 [N, D]``, the flattened output of the last block for every candidate clip, and the seconds it cost:
        embedding, and training of the network whether it is done now or came out of the cache."""
        candidates = train if candidates is None else candidates
        device, seconds, model = pick_device(self.device), 0.0, self.model
        if model is None and self.weights == "trained":
            found = train_network(
                train, self.network, self.recipe, seed=seed, device=device, flip=True, role="embedding"
            )
            model, seconds = found.model, found.log.seconds
            if found.log.diverged_at:
                raise VddError(
                    f"{self.method}: its embedding network diverged in epoch {found.log.diverged_at} (seed {seed}); "
                    f"lower the learning rate of its recipe, now {self.recipe.lr:g}"
                )
        elif model is None:
            model = self.network.build(train.classes, train.geometry, seed_of("embedding", seed))
        begun = time.monotonic()
        embeddings = embed(model, candidates, seed=seed, device=device)
        if not embeddings.isfinite().all():
            raise VddError(
                f"{self.method}: the embeddings of {candidates.dataset} are not finite; the network has diverged"
            )
        return embeddings, seconds + time.monotonic() - begun

    def card(self, train: Clips, ipc: int | None, seed: int, **more: Any) -> dict[str, Any]:
        """As every card, and whether a network was given instead of the one that the parameters describe."""
        return super().card(train, ipc, seed, given_network=self.model is not None, **more)


@torch.no_grad()
def embed(model: nn.Module, clips: Clips, *, seed: int, device: torch.device | str = "cpu", size: int = 64) -> Tensor:
    """``float32 [N, D]`` on the CPU: ``model.embed`` of each video's clip for (seed, epoch 0), never flipped."""
    model = model.to(device).eval()
    parts = torch.arange(len(clips)).split(size)
    return torch.cat([model.embed(clips.batch(part, epoch=0, seed=seed)[0].to(device)).float().cpu() for part in parts])
