"""IDTD, information diversification and temporal densification (Zhao et al., "Video Set Distillation")."""

from typing import ClassVar, Literal

import torch
from pydantic import Field, SerializeAsAny
from torch import Tensor

from vddlib.core.measure import stage
from vddlib.distillers.matching.dm import DistributionMatching, DMOptions
from vddlib.distillers.matching.objective import Draw, class_means
from vddlib.distillers.matching.optimised import Optimised
from vddlib.distillers.stored.contract import Storage
from vddlib.distillers.stored.idtd import FeaturePools
from vddlib.training.temporal import stretched

Form = Literal["apart", "printed"]


class IDTDOptions(DMOptions):
    """Hyper-parameters of IDTD's objective, with the names of its section 3.4."""

    match_segments: float = Field(1.0, ge=0, description="weight of matching the segments; 0: table 4, A and B")
    alpha_1: float = Field(0.05, ge=0, description="weight of the diversity of a video's segments")
    alpha_2: float = Field(1e-4, ge=0, description="weight of matching the videos")
    diversity: Form = Field(
        "apart", description="pushes segments apart, or eq. 1 as printed, which pulls them together"
    )


def pair_distances(features: Tensor) -> Tensor:
    """Squared distances of all pairs ``k < q`` of segments, ``[n, K (K - 1) / 2]``, of ``features [n, K, D]``."""
    k, q = torch.triu_indices(features.shape[1], features.shape[1], 1, device=features.device)
    return (features[:, k] - features[:, q]).square().sum(-1)


def diversity_loss(features: Tensor, spread: Tensor, form: Form = "apart") -> Tensor:
    r"""The loss of each video's segments, ``[n]``, whose ``features [n, K, D]`` are those of a student's network.

    'printed', eq. 1, is :math:`\sum_{k=1}^{K-2} \sum_{q=k+1}^{K} \|\phi(d_k) - \phi(d_q)\|^2`, added to what is minimised:
    it pulls segments together, and leaves out the pair (K - 1, K). 'apart', what the text asks for, sums
    :math:`\max(0, \rho - \|\phi(d_k) - \phi(d_q)\|^2)` over all pairs: segments are pushed apart until they differ as much as
    two real clips of the class do in the mean (``spread [n]``, rho), in the units of the printed form and of DM's loss.
    """
    distances = pair_distances(features)
    if form == "printed":
        return distances[:, :-1].sum(1)  # the last of the pairs is (K - 1, K)
    return (spread[:, None] - distances).clamp(min=0).sum(1)


def pair_spread(features: Tensor) -> Tensor:
    """Mean squared distance of two of ``features [n, D]``; 0 for a single one."""
    n = len(features)
    return 2 * (features - features.mean(0)).square().sum() / max(1, n - 1)


class DiverseMatching(DistributionMatching):
    r"""Section 3.4: :math:`L_M(D, T) + \alpha_1 L_{div} + \alpha_2 L_M(V', T)`, with DM's loss for :math:`L_M`.

    D are all segments of a class, each stretched to the frames of a real clip, and V' its videos as they are drawn. The
    paper updates class after class. A class shares no parameter with another, so that one step for all classes with the same
    network is the same; memory is bounded by `clips_at_once` instead.
    """

    seed_name: ClassVar[str] = "DiverseMatching"
    Options = IDTDOptions
    options: IDTDOptions

    def step(self, draw: Draw, iteration: int) -> dict[str, Tensor]:
        """The loss and its three parts, and its gradients in pools, selectors and fusors."""
        network = self.fresh(iteration).requires_grad_(False)
        wanted, spread = self.real_statistics(network, iteration)
        parts = torch.zeros(3, device=self.device)
        per_class = len(self.labels) // self.classes * (1 + draw.content.selectors.shape[1])
        at_once = max(1, self.options.clips_at_once // per_class)
        weights = torch.tensor([self.options.match_segments, self.options.alpha_1, self.options.alpha_2])
        for first in range(0, self.classes, at_once):
            chunk = torch.nonzero((self.labels >= first) & (self.labels < first + at_once)).flatten()
            with stage("synthetic"):
                found = self.losses(network, draw, chunk, wanted, spread)
                (found * weights.to(found)).sum().backward()
                parts += found.detach()
        names = ("segments", "diversity", "videos")
        return {"loss": (parts * weights.to(parts)).sum(), **dict(zip(names, parts, strict=True))}

    def losses(self, network, draw: Draw, chunk: Tensor, wanted: Tensor, spread: Tensor) -> Tensor:
        """The three losses, unweighted, ``float32 [3]``, of the videos ``chunk int64 [n]``: those of some whole classes."""
        labels, segments = self.labels[chunk], draw.content.segments(chunk)
        flat = segments.flatten(0, 1)
        of_segments = network.embed(stretched(flat, self.train.geometry.frames))
        diversity = diversity_loss(of_segments.unflatten(0, segments.shape[:2]), spread[labels], self.options.diversity)
        of_videos = network.embed(draw(chunk))
        every = labels.repeat_interleave(segments.shape[1])
        matched = [self.distance(e, y, wanted) for e, y in ((of_segments, every), (of_videos, labels))]
        return torch.stack([matched[0], diversity.sum(), matched[1]])

    def distance(self, embeddings: Tensor, labels: Tensor, wanted: Tensor) -> Tensor:
        """DM's loss of ``embeddings [n, D]``, summed over the classes that ``labels int64 [n]`` name."""
        there = labels.unique()
        return (class_means(embeddings, labels, self.classes)[there] - wanted[there]).square().sum()

    @torch.no_grad()
    def real_statistics(self, network: torch.nn.Module, iteration: int) -> tuple[Tensor, Tensor]:
        """Of this iteration's real clips, by class: the mean embedding ``[C, D]`` and how far two are apart ``[C]``."""
        means, spreads = [], []
        for embeddings, labels, classes in self.real_embeddings(network, iteration):
            for label in classes:
                means.append(embeddings[labels == label].mean(0))
                spreads.append(pair_spread(embeddings[labels == label]))
        return torch.stack(means), torch.stack(spreads)


class IDTD(Optimised, IDTDOptions):
    """Videos made of a feature pool each, whose segments are diverse and whose draws match real clips.

    The paper's values are the learning rate 0.01, `alpha_1`, `alpha_2` and K = 8; the others are DM's here.
    """

    name: ClassVar[str] = "idtd"
    fitted_to = DiverseMatching
    only_stores = FeaturePools

    stored: SerializeAsAny[Storage] = Field(FeaturePools(), description="pools, selectors and fusors")
    lr_pixels: float = Field(0.01, gt=0, description="learning rate of pools, selectors and fusors")

    @property
    def method(self) -> str:
        """`idtd`: the paper's name for the objective and what is stored, together."""
        return self.name
