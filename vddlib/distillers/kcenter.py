"""K-Center (Sener & Savarese, ICLR 2018): clips such that no other clip of the class is far from all of them."""

from typing import ClassVar

import torch
from torch import Tensor

from vddlib.distillers.embedding import EmbeddingSelector


class KCenter(EmbeddingSelector):
    """Greedy 2-approximation: from the clip nearest to the class mean on, always the clip farthest from its nearest
    centre. (Published code of the DC line loses the distances to all but the last centre from the third on.)
    """

    method: ClassVar[str] = "kcenter"

    def choose(self, embeddings: Tensor, ipc: int, generator: torch.Generator) -> Tensor:
        """Indices in the order chosen."""
        chosen = [int((embeddings - embeddings.mean(0)).norm(dim=1).argmin())]
        nearest = (embeddings - embeddings[chosen[0]]).norm(dim=1)
        for _ in range(ipc - 1):
            nearest[chosen] = -1  # duplicates of a centre are at distance 0 too: a chosen clip must not return
            chosen.append(int(nearest.argmax()))
            nearest = torch.minimum(nearest, (embeddings - embeddings[chosen[-1]]).norm(dim=1))
        return torch.tensor(chosen)
