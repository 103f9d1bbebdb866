"""What a content is fitted to."""

from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from vddlib.core import seeding
from vddlib.datasets.clips import Clips
from vddlib.distillers.stored.contract import Content
from vddlib.training.networks import Network

BatchNorm = nn.BatchNorm2d | nn.BatchNorm3d
NORMALISING = 64  # real clips that BatchNorm statistics are of: as many of every class, at least one


class Options(BaseModel):
    """Hyper-parameters of an objective, declared once: a distiller has them among its fields, its objective as `options`."""

    model_config = ConfigDict(extra="forbid")


class Draw:
    """Clips of a content for one iteration: ``draw(indices)`` gives ``float32 [n, 3, T, H, W]`` that carry gradients.

    The same indices give the same clips however often they are asked for, and in whatever company; another `step` draws
    anew (MTT's inner steps). `random` says whether steps differ at all.
    """

    def __init__(self, content: Content, seed: int, iteration: int):
        self.content, self.key = content, ("draw", seed, iteration)

    @property
    def random(self) -> bool:
        """Whether two steps may draw different clips."""
        return self.content.random

    def __call__(self, indices: Tensor, step: int = 0) -> Tensor:
        """Clips of ``indices int64 [n]``."""
        return self.content(indices, seeding.generator(*self.key, step))


class Objective:
    """A loss over drawn clips, whatever content they come from.

    `labels` ``int64 [N]`` are the classes of the distilled clips, class after class; `targets` what students will learn:
    `labels` themselves, or ``float32 [N, C]`` where the objective learns them. `options` are its hyper-parameters, `parts`
    what else one kind of objective needs (experts, a teacher); both go to `setup`.
    """

    Options: ClassVar[type[Options]] = Options
    seed_name: ClassVar[str]  # names the seeds of its networks: a new name would draw other networks
    prepared: float = 0.0  # seconds that networks trained beforehand took, now or when they went into the cache

    def __init__(
        self,
        train: Clips,
        labels: Tensor,
        network: Network,
        seed: int,
        device: torch.device,
        options: Options,
        **parts: Any,
    ):
        self.train, self.network, self.seed, self.device, self.options = train, network, seed, device, options
        self.labels = labels.to(device)
        self.targets: Tensor = self.labels
        self.setup(**parts)

    def setup(self) -> None:
        """Get ready for the first iteration; the fields above are there already."""

    @property
    def everything(self) -> Tensor:
        """Indices of all distilled clips, ``int64 [N]``, for `draw`."""
        return torch.arange(len(self.labels), device=self.device)

    def step(self, draw: Draw, iteration: int) -> dict[str, Tensor]:
        """Leave the gradients of this iteration's loss in what `draw` depends on.

        `draw(indices)` gives clips ``float32 [n, 3, T, H, W]`` that carry gradients. Returns detached scalars, 'loss'
        first, then its parts where it has several.
        """
        raise NotImplementedError

    def after(self, draw: Draw, iteration: int) -> None:
        """What follows the update of the clips: online updates of networks, limits of learned values."""

    def groups(self) -> list[dict[str, Any]]:
        """Optimiser groups of what the objective itself learns (labels, a student's rate)."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """All that the next iteration depends on and that (seed, iteration) do not determine."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""

    def facts(self) -> dict[str, Any]:
        """What the card of the result should tell (a learned rate, the experts used)."""
        return {}

    def fresh(self, *key: int | str) -> nn.Module:
        """An untrained network of its own for `key`, on the device; BatchNorm layers normalise by real clips."""
        seed = seeding.derive(self.seed_name, self.seed, *key)
        model = self.network.build(self.train.classes, self.train.geometry, seed).to(self.device)
        return self.normalised(model, *key)

    def normalised(self, model: nn.Module, *key: int | str) -> nn.Module:
        """`model` with BatchNorm statistics fixed to those of random real clips of all classes (see `fix_statistics`)."""
        if not _batch_norms(model):
            return model
        stream, chosen = seeding.generator("statistics", self.seed, *key), []
        for label in range(len(self.train.classes)):
            members = self.train.of_class(label)
            order = torch.randperm(len(members), generator=stream)
            chosen.append(members[order[: -(-NORMALISING // len(self.train.classes))]])
        return fix_statistics(model, self.train.batch(torch.cat(chosen), seed=self.seed)[0].to(self.device))


def class_means(embeddings: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Mean embedding of every class, ``float32 [C, D]``, of ``embeddings [n, D]`` with ``labels int64 [n]``.

    A class without a clip has a mean of zero.
    """
    sums = embeddings.new_zeros(classes, embeddings.shape[1]).index_add(0, labels, embeddings)
    return sums / torch.bincount(labels, minlength=classes).clamp(min=1)[:, None]


@torch.no_grad()
def fix_statistics(model: nn.Module, clips: Tensor) -> nn.Module:
    """`model`, whose BatchNorm layers normalise from now on by the statistics of ``clips [n, 3, T, H, W]``.

    In training mode a BatchNorm layer normalises each batch by itself. What real and distilled clips differ by (brightness
    and contrast of a channel) would be taken out of both before they are compared, and the rest would depend on which clips
    share a forward pass. With fixed statistics the network is one function of a clip, as in the papers' formulas. The
    public code of DC does this too. Without BatchNorm nothing changes.
    """
    layers, modes = _batch_norms(model), {module: module.training for module in model.modules()}
    momenta = [layer.momentum for layer in layers]
    model.eval()  # dropout must neither disturb the statistics nor take random numbers
    for layer in layers:
        layer.train().momentum = 1.0  # of these clips alone
    model(clips)
    for module, mode in modes.items():
        module.training = mode
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.eval().momentum = momentum
    return model


def _batch_norms(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, BatchNorm)]
