"""DM-MMD (diffusion paper, section 4.2, d): one clip per cluster, such that together they are distributed as the real ones."""

import time
from typing import ClassVar, Literal

import torch
from torch import Tensor

from vddlib.datasets.clips import Clips
from vddlib.distillers.selection.clusters import kmeans, nearest_first
from vddlib.distillers.selection.embedding import EmbeddingSelector
from vddlib.distillers.selection.selector import Selection


class DMMMD(EmbeddingSelector):
    r"""k-means over a class of the pool with `ipc` clusters, and of each the clip that makes the maximum mean discrepancy
    to the *real* clips of the class smallest:
    :math:`\mathrm{MMD}^2 = \overline{k(s, s')} - 2\,\overline{k(s, r)} + \overline{k(r, r')}` (Gretton et al., JMLR 2012),
    with :math:`k(a, b) = \exp(-\|a - b\|^2 / 2\sigma^2)` and the median distance of real clips as :math:`\sigma`.

    It begins with the clip nearest to each cluster's mean and exchanges one cluster's clip at a time for a better one, until
    no exchange helps. The paper describes it in a sentence, and feeds it features that a DCGAN makes; here clips are chosen.
    """

    name: ClassVar[str] = "dm_mmd"
    own_pool: ClassVar[Literal["real", "generated"]] = "generated"

    def select(self, train: Clips, pool: Clips, ipc: int, seed: int) -> Selection:
        """The pool's clips, matched to the real ones; where the pool is `train`, to itself."""
        looked, seconds = self.see(train, seed, [pool] if pool is train else [pool, train])
        begun = time.monotonic()
        chosen = []
        for label in range(len(pool.classes)):
            members = pool.of_class(label)
            real = looked[-1][train.of_class(label)]
            chosen.append(members[self.matching(looked[0][members], real, ipc, self.stream(seed, label))])
        return Selection(torch.cat(chosen), seconds + time.monotonic() - begun)

    def choose(self, embeddings: Tensor, ipc: int, generator: torch.Generator) -> Tensor:
        """As `matching`, with the candidates themselves as the real clips."""
        return self.matching(embeddings, embeddings, ipc, generator)

    def matching(self, candidates: Tensor, real: Tensor, ipc: int, generator: torch.Generator) -> Tensor:
        """Indices ``int64 [ipc]`` into ``candidates float32 [n, D]``, one of each cluster, matched to ``real [m, D]``."""
        width = bandwidth(real)
        among, across = kernel(candidates, candidates, width), kernel(candidates, real, width).mean(1)
        clusters = kmeans(candidates, ipc, generator)
        chosen = torch.stack([nearest_first(candidates, members)[0] for members in clusters])
        best, before = _discrepancy(among, across, chosen), None
        while before is None or best < before:
            before = best
            for place, members in enumerate(clusters):
                for member in members:
                    other = chosen.clone()
                    other[place] = member
                    value = _discrepancy(among, across, other)
                    if value < best - 1e-12:  # rounding must not exchange clips for ever
                        chosen, best = other, value
        return chosen


def bandwidth(real: Tensor) -> float:
    """The median distance between two of ``real float32 [m, D]``; 1 where all are the same."""
    distances = torch.pdist(real.double())
    middle = distances.median().item() if len(distances) else 0.0
    return middle or 1.0


def kernel(a: Tensor, b: Tensor, width: float) -> Tensor:
    """``float64 [n, m]``: Gaussian kernel of each of ``a [n, D]`` with each of ``b [m, D]``."""
    squared = torch.cdist(a.double(), b.double(), compute_mode="donot_use_mm_for_euclid_dist").square()
    return torch.exp(-squared / (2 * width**2))


def _discrepancy(among: Tensor, across: Tensor, chosen: Tensor) -> float:
    """The squared MMD of the chosen to the real clips, but for the part that depends on the real ones alone."""
    return (among[chosen][:, chosen].mean() - 2 * across[chosen].mean()).item()
