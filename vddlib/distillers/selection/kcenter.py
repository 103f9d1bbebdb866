"""K-Center (Sener & Savarese, ICLR 2018): clips such that no other clip of the class is far from all of them."""

from typing import ClassVar

import torch
from torch import Tensor

from vddlib.distillers.selection.embedding import EmbeddingSelector

CHUNK = 1024  # clips whose distances to all are in memory at once


class KCenter(EmbeddingSelector):
    r"""Clips :math:`s` that keep :math:`\max_x \min_{c \in s} \| \phi(x) - \phi(c) \|` small, greedily.

    The first centre is the best single one (its farthest clip is nearest), each next is the clip farthest from its
    nearest centre: at most twice the best radius. (Published code of the DC line loses, from the third centre on, the
    distances to all but the last.)
    """

    name: ClassVar[str] = "kcenter"

    def choose(self, embeddings: Tensor, ipc: int, generator: torch.Generator) -> Tensor:
        """Indices in the order chosen."""
        # Chunk by chunk and centre by centre: memory grows with the clips of a class, not with their square.
        chosen = [int(torch.cat([_distances(part, embeddings).amax(1) for part in embeddings.split(CHUNK)]).argmin())]
        nearest = _distances(embeddings[chosen], embeddings)[0]
        for _ in range(ipc - 1):
            nearest[chosen] = -1  # duplicates of a centre are at distance 0 too: a chosen clip must not return
            chosen.append(int(nearest.argmax()))
            nearest = torch.minimum(nearest, _distances(embeddings[chosen[-1:]], embeddings)[0])
        return torch.tensor(chosen)


def _distances(some: Tensor, others: Tensor) -> Tensor:
    return torch.cdist(some, others, compute_mode="donot_use_mm_for_euclid_dist")
