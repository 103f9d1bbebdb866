"""Embeddings of clips, for the selectors that compare them."""

import time
from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from vddlib.core.errors import VddError
from vddlib.datasets.clips import Clips
from vddlib.distillers.selection.embedders import Embedder, pretrained, seen
from vddlib.distillers.selection.selector import Selector
from vddlib.training.fit import Recipe, pick_device
from vddlib.training.networks import Network, seed_of, train_network


class EmbeddingSelector(Selector):
    """A selector on the embeddings of a network: a given one, one trained on the train split, an untrained one, or one that
    others trained on other videos (`embedder`).

    The DC line of work trains the network on the whole train split, anew for each seed, which is the default here.
    """

    network: Network = Field(default_factory=Network, description="architecture of the embedding network")
    weights: Literal["trained", "random"] = Field(
        "trained", description="trained on the train split, or as initialised"
    )
    recipe: Recipe = Field(Recipe(epochs=60, batch_size=64), description="how it is trained")
    model: nn.Module | None = Field(None, exclude=True, description="a network to use instead, already trained")
    # Not among a card's params: sets of the default must not change. The card names the embedder in an entry of its own.
    embedder: Literal["network", "kinetics", "videomae"] = Field(
        "network", exclude=True, description="`network`, MoViNet-A0 of Kinetics-600, or VideoMAE V2; these as they are"
    )
    embedder_weights: str = Field(
        "", exclude=True, description="file or folder of a pretrained embedder; empty: the usual one, in $VDD_WEIGHTS"
    )
    device: str = Field("auto", exclude=True)

    def embeddings(self, train: Clips, seed: int, candidates: Clips | None = None) -> tuple[Tensor, float]:
        """``float32 [N, D]``, the flattened output of the last block for every candidate clip, and the seconds it cost:
        embedding, and training of the network whether it is done now or came out of the cache."""
        (found,), seconds = self.see(train, seed, [train if candidates is None else candidates])
        return found, seconds

    def see(
        self, train: Clips, seed: int, pools: Sequence[Clips], classify: bool = False
    ) -> tuple[list[Tensor], float]:
        """Of every pool the embeddings ``float32 [N, D]``, or with `classify` the logits ``[N, K]``; and the seconds.

        The classes of a pretrained embedder are its own. Raises VddError where it classifies nothing, where the embedding
        network diverged, or where what it gives is not finite.
        """
        if self.embedder != "network":
            found, seconds = self._by_others(seed, pools, classify)
        else:
            found, seconds = self._by_network(train, seed, pools, classify)
        for pool, tensor in zip(pools, found, strict=True):
            if not tensor.isfinite().all():
                what = "logits" if classify else "embeddings"
                raise VddError(f"{self.method}: the {what} of {pool.dataset} are not finite; the network has diverged")
        return found, seconds

    def _by_network(
        self, train: Clips, seed: int, pools: Sequence[Clips], classify: bool
    ) -> tuple[list[Tensor], float]:
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
        options = {"classify": True} if classify else {}
        given = [embed(model, pool, seed=seed, device=device, **options) for pool in pools]
        return given, seconds + time.monotonic() - begun

    def _by_others(self, seed: int, pools: Sequence[Clips], classify: bool) -> tuple[list[Tensor], float]:
        embedder = self._pretrained()
        looked = [seen(embedder, pool, seed) for pool in pools]
        given = [one.logits if classify else one.embeddings for one in looked]
        if any(one is None for one in given):
            raise VddError(f"{self.method}: {embedder.about['weights']} has no classifier, so it scores no clips")
        return given, sum(one.seconds for one in looked)

    def _pretrained(self) -> Embedder:
        return pretrained(self.embedder, self.embedder_weights, pick_device(self.device))

    def card(self, train: Clips, ipc: int | None, seed: int, **more: Any) -> dict[str, Any]:
        """As every card, and whether a network was given instead of the one that the parameters describe; of a pretrained
        embedder its name, and the sha256 of its weights."""
        if self.embedder != "network":
            about = self._pretrained().about
            named = f"{about['embedder']}, sha256 {about['sha256'][:12]}"
            more |= {"embedder": about, "scorer": f"embeddings of {named}"}  # `scorer` is what records keep
        return super().card(train, ipc, seed, given_network=self.model is not None, **more)


@torch.no_grad()
def embed(
    model: nn.Module,
    clips: Clips,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    size: int = 64,
    classify: bool = False,
) -> Tensor:
    """``float32 [N, D]`` on the CPU: ``model.embed`` of each video's clip for (seed, epoch 0), never flipped; with
    `classify` its logits ``[N, K]``."""
    model = model.to(device).eval()
    look = model if classify else model.embed
    parts = torch.arange(len(clips)).split(size)
    return torch.cat([look(clips.batch(part, epoch=0, seed=seed)[0].to(device)).float().cpu() for part in parts])
