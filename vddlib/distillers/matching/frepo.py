"""FRePo, neural feature regression with pooling (Zhou et al., NeurIPS 2022)."""

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from vddlib.core import seeding
from vddlib.core.measure import stage
from vddlib.distillers.distilled import DistilledSet
from vddlib.distillers.matching.objective import Draw, Objective, Options
from vddlib.distillers.matching.optimised import Optimised
from vddlib.distillers.matching.real_clips import RealClips


def centred(labels: Tensor, classes: int) -> Tensor:
    """Labels ``int64 [n]`` as ``float32 [n, C]``: one-hot minus 1/C."""
    return F.one_hot(labels, classes).float() - 1 / classes


def scaled(labels: Tensor, classes: int) -> Tensor:
    """Learned labels at the beginning: `centred`, divided by sqrt(C / 10)."""
    return centred(labels, classes) / (classes / 10) ** 0.5


def with_scaled_labels(distilled: DistilledSet) -> DistilledSet:
    """The same clips with FRePo's first labels in place of hard ones, so that protocol A' can be applied to any set."""
    return distilled.with_targets(scaled(distilled.labels, len(distilled.classes)))


def regress(features: Tensor, support: Tensor, targets: Tensor, ridge: float = 1e-6) -> Tensor:
    r"""Kernel ridge regression on features, :math:`K_{xs} (K_{ss} + \lambda I)^{-1} y_s` (eq. 3), linear kernel.

    features: ``[m, D]`` where to predict; support: ``[n, D]``; targets: ``[n, C]``; :math:`\lambda` is `ridge` times the
    mean of the kernel's diagonal. Solved in float64. Returns ``float32 [m, C]``.
    """
    features, support, targets = features.double(), support.double(), targets.double()
    kernel = support @ support.T
    penalty = ridge * kernel.trace() / len(kernel)
    eye = torch.eye(len(kernel), dtype=kernel.dtype, device=kernel.device)
    return (features @ support.T @ torch.linalg.solve(kernel + penalty * eye, targets)).float()


def label_margin(targets: Tensor) -> Tensor:
    """Minus the mean gap between the two highest values of each label ``[n, C]``; gaps over 1/C count as 1/C."""
    top = targets.topk(2, dim=1).values
    return -(top[:, 0] - top[:, 1]).clamp(max=1 / targets.shape[1]).mean()


class FRePoOptions(Options):
    """Hyper-parameters of feature regression."""

    lr_labels: float = Field(1e-3, ge=0, description="learning rate of the labels")
    batch_real: int = Field(10, ge=1, description="real clips per class and iteration (512 in all, MiniUCF)")
    pool: int = Field(10, ge=1, description="networks in the pool")
    max_updates: int = Field(100, ge=1, description="updates after which a network of the pool begins afresh")
    lr_network: float = Field(1e-4, gt=0, description="learning rate of the networks in the pool")
    ridge: float = Field(1e-6, ge=0, description="of the regression, relative to the kernel's mean diagonal")


class FeatureRegression(Objective):
    """A ridge regression on the features of the distilled clips is to predict real clips' labels (eq. 4 of the paper).

    Features come from one network out of a pool, drawn anew each iteration. It then takes one step of its own training on
    the distilled clips, and begins afresh after `max_updates` of them; the pool starts at staggered ages. Labels are
    learned with the clips.
    """

    seed_name: ClassVar[str] = "FeatureRegression"
    Options = FRePoOptions
    options: FRePoOptions

    def setup(self) -> None:
        """Labels to learn, real clips, and the pool at staggered ages."""
        o, self.classes = self.options, len(self.train.classes)
        self.targets = nn.Parameter(scaled(self.labels, self.classes))
        self.real = RealClips(self.train, o.batch_real, self.seed, self.device)
        self.pool = [self.member(place, 0) for place in range(o.pool)]
        for place, member in enumerate(self.pool):
            member["age"] = o.max_updates * place // o.pool

    def member(self, place: int, generation: int) -> dict[str, Any]:
        """A new network for a place in the pool."""
        model = self.fresh(place, generation)
        adam = torch.optim.Adam(model.parameters(), self.options.lr_network)
        return {"model": model, "adam": adam, "age": 0, "generation": generation}

    def chosen(self, iteration: int) -> int:
        """Place in the pool of an iteration's network."""
        return int(torch.randint(len(self.pool), (), generator=seeding.generator("pool", self.seed, iteration)))

    def step(self, draw: Draw, iteration: int) -> dict[str, Tensor]:
        """The loss and its gradients in what was drawn and in the labels; the network gets none."""
        model = self.pool[self.chosen(iteration)]["model"].eval().requires_grad_(False)
        clips, labels = self.real(iteration)
        with stage("real"), torch.no_grad():
            features = model.embed(clips)
        with stage("synthetic"):
            support = model.embed(draw(self.everything))
            predicted = regress(features, support, self.targets, self.options.ridge)
            error = (predicted - centred(labels, self.classes)).square().sum(1).mean()
            margin = label_margin(self.targets)
            (error + margin).backward()
        parts = {"loss": error + margin, "regression": error, "label_margin": margin}
        return {name: value.detach() for name, value in parts.items()}

    def after(self, draw: Draw, iteration: int) -> None:
        """One step of the network's own training on the distilled clips; a new network when it is old enough."""
        place = self.chosen(iteration)
        member = self.pool[place]
        with stage("network"):
            with torch.no_grad():
                clips = draw(self.everything)
            model = member["model"].train().requires_grad_(True)
            with seeding.forked("online", self.seed, iteration, device=self.device):
                loss = F.mse_loss(model(clips), self.targets.detach())
            member["adam"].zero_grad(set_to_none=True)
            loss.backward()
            member["adam"].step()
            member["adam"].zero_grad(set_to_none=True)
        member["age"] += 1
        if member["age"] >= self.options.max_updates:
            self.pool[place] = self.member(place, member["generation"] + 1)

    def groups(self) -> list[dict[str, Any]]:
        """Labels are learned."""
        return [{"params": [self.targets], "lr": self.options.lr_labels}]

    def state_dict(self) -> dict[str, Any]:
        """Labels, and every network of the pool with its optimiser and age."""
        pool = [{**m, "model": m["model"].state_dict(), "adam": m["adam"].state_dict()} for m in self.pool]
        return {"targets": self.targets.detach(), "pool": pool}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with them."""
        self.targets.data.copy_(state["targets"])
        for member, kept in zip(self.pool, state["pool"], strict=True):
            member["model"].load_state_dict(kept["model"])
            member["adam"].load_state_dict(kept["adam"])
            member["age"], member["generation"] = kept["age"], kept["generation"]


class FRePo(Optimised, FRePoOptions):
    """Clips and labels on whose features a ridge regression predicts the real data; for protocol A'.

    A pool of 10 networks, each new after 100 updates, ridge 1e-6, Adam (public code; its learning rate for videos is not
    known). The public code warms the learning rate of the pool's networks up and lets it fall again; here it is constant.
    """

    name: ClassVar[str] = "frepo"
    fitted_to = FeatureRegression

    iterations: int = Field(10000, ge=1, description="updates of the distilled clips")
    optimizer: Literal["sgd", "adam"] = Field("adam", description="what updates clips and labels")
    schedule: Literal["constant", "cosine"] = Field("cosine", description="'cosine' ends at a tenth of the rates")
    lr_pixels: float = Field(1e-3, gt=0, description="learning rate of the clips")
