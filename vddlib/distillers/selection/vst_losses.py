"""VST-UNet's losses (diffusion paper, eqs. 1 to 3), and how a choice of videos passes a gradient on."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Form = Literal["meant", "printed"]


def diversity_loss(x: Tensor, chosen: Tensor) -> Tensor:
    """Eq. 1: the mean cosine similarity of two different ones of ``x[chosen]``, x ``[N, D]``; 0 where one is chosen."""
    if len(chosen) < 2:
        return x.new_zeros(())
    unit = F.normalize(x[chosen], dim=1)
    alike = unit @ unit.T
    return (alike.sum() - alike.diagonal().sum()) / (len(chosen) * (len(chosen) - 1))


def distance_to_chosen(x: Tensor, chosen: Tensor) -> Tensor:
    """The mean over ``x [N, D]`` of the distance to the nearest of ``x[chosen]``."""
    return torch.cdist(x, x[chosen], compute_mode="donot_use_mm_for_euclid_dist").amin(1).mean()


def representativeness_loss(x: Tensor, chosen: Tensor, form: Form = "meant") -> Tensor:
    """Eq. 2, of ``x [N, D]``: as printed, exp(-distance), or as meant, 1 - exp(-distance).

    The text says that it minimises the distance of the videos to the chosen ones. The printed loss falls as the distance
    *grows*: exp(-distance) is the reward of the video summaries that it comes from (Zhou et al., AAAI 2018, eq. 5), which
    is maximised there.
    """
    reward = torch.exp(-distance_to_chosen(x, chosen))
    return reward if form == "printed" else 1 - reward


def drawn(log_probabilities: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` different videos ``int64``, one after another with probabilities in proportion to exp(``[N]``).

    By Gumbel's noise: the largest of noisy logarithms are such a draw (Kool et al., ICML 2019).
    """
    uniform = torch.rand(len(log_probabilities), generator=generator, dtype=torch.float64)
    noise = -torch.log(-torch.log(uniform.clamp(1e-12, 1 - 1e-12)))
    return (log_probabilities.detach().cpu().double() + noise).topk(count).indices.to(log_probabilities.device)


def log_probability(log_probabilities: Tensor, chosen: Tensor) -> Tensor:
    """The logarithm of the probability that `drawn` gives ``chosen int64 [k]`` in this order (Plackett and Luce)."""
    left = torch.ones_like(log_probabilities, dtype=torch.bool)
    total = log_probabilities.new_zeros(())
    for video in chosen:
        total = total + log_probabilities[video] - log_probabilities[left].logsumexp(0)
        left = left.clone()
        left[video] = False
    return total


def expected_loss(losses: Tensor, log_probabilities: Tensor) -> Tensor:
    """A scalar whose gradient is an unbiased estimate of that of the expected loss of a draw (REINFORCE, Williams 1992).

    ``losses [m]`` of m draws, ``log_probabilities [m]`` of these draws. What a draw is compared with is the mean loss of the
    others, which leaves the estimate unbiased and makes it far less noisy. Needs at least two draws.
    """
    fixed = losses.detach()
    others = (fixed.sum() - fixed) / (len(fixed) - 1)
    return (losses + (fixed - others) * log_probabilities).mean()
