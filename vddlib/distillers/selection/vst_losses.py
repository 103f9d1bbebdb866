"""VST-UNet's losses (diffusion paper, eqs. 1 to 3): of videos that are chosen, and expected of videos with probabilities."""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Form = Literal["meant", "printed"]


def diversity_loss(x: Tensor, chosen: Tensor) -> Tensor:
    """Eq. 1: the mean cosine similarity of two different ones of ``x[chosen]``, x ``[N, D]``; 0 where one is chosen."""
    if len(chosen) < 2:
        return x.new_zeros(())
    alike = likeness(x[chosen])
    return alike.sum() / (len(chosen) * (len(chosen) - 1))


def distance_to_chosen(x: Tensor, chosen: Tensor) -> Tensor:
    """The mean over ``x [N, D]`` of the distance to the nearest of ``x[chosen]``."""
    return torch.cdist(x, x[chosen], compute_mode="donot_use_mm_for_euclid_dist").amin(1).mean()


def representativeness_loss(x: Tensor, chosen: Tensor, form: Form = "meant") -> Tensor:
    """Eq. 2, of ``x [N, D]``: as printed, exp(-distance), or as meant, 1 - exp(-distance).

    The text says that it minimises the distance of the videos to the chosen ones. The printed loss falls as the distance
    *grows*: exp(-distance) is the reward of the video summaries that it comes from (Zhou et al., AAAI 2018, eq. 5), which
    is maximised there.
    """
    return of_distance(distance_to_chosen(x, chosen), form)


def of_distance(distance: Tensor, form: Form) -> Tensor:
    """Eq. 2 of a mean distance."""
    return torch.exp(-distance) if form == "printed" else 1 - torch.exp(-distance)


def likeness(x: Tensor) -> Tensor:
    """Cosine similarities ``[N, N]`` of ``x [N, D]``, with zeros on the diagonal."""
    unit = F.normalize(x, dim=1)
    return (unit @ unit.T).fill_diagonal_(0.0)


class Ruler(NamedTuple):
    """What eqs. 1 and 2 need to know of a class's videos: likeness ``[N, N]``, and of every video the distances to all, in
    ascending order ``[N, N]``, with the indices of those videos."""

    alike: Tensor
    distances: Tensor
    order: Tensor

    @classmethod
    def of(cls, x: Tensor) -> "Ruler":
        """Of ``x [N, D]``."""
        return cls(
            likeness(x), *torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").sort(stable=True, dim=1)
        )


def inclusion(scores: Tensor, count: int) -> Tensor:
    """Probabilities ``[N]`` of being kept: sigmoids of ``scores [N]`` less the one threshold at which they sum to `count`."""
    if count >= len(scores):
        return torch.ones_like(scores)
    fixed = scores.detach().double()
    low, high = fixed.min() - 40, fixed.max() + 40
    for _ in range(60):
        middle = (low + high) / 2
        too_many = torch.sigmoid(fixed - middle).sum() > count
        low, high = torch.where(too_many, middle, low), torch.where(too_many, high, middle)
    p = torch.sigmoid(scores - middle.to(scores))
    # One Newton step moves the threshold by nothing, and tells how it depends on the scores.
    slope = (p * (1 - p)).sum().detach().clamp(min=1e-12)
    return torch.sigmoid(scores - (middle.to(scores) + (p - p.detach()).sum() / slope))


def expected_diversity(ruler: Ruler, p: Tensor, count: int) -> Tensor:
    """Eq. 1 where each video is kept with probability ``p [N]``, independently, `count` in all: its expectation."""
    if count < 2:
        return p.new_zeros(())
    return (p @ ruler.alike @ p) / (count * (count - 1))


def expected_distance(ruler: Ruler, p: Tensor) -> Tensor:
    """The mean distance of a video to the nearest kept one, in expectation: the nearest is kept, or it is not and the second
    nearest is, and so on; where none is, the farthest counts."""
    kept = p[ruler.order]
    none_nearer = torch.cumprod(torch.cat([torch.ones_like(kept[:, :1]), 1 - kept], 1), 1)
    nearest = (ruler.distances * kept * none_nearer[:, :-1]).sum(1)
    return (nearest + ruler.distances[:, -1] * none_nearer[:, -1]).mean()
