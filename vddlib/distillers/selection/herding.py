"""Herding (Welling, ICML 2009; as coreset in iCaRL and the DC line): clips whose running mean follows the class mean."""

from typing import ClassVar

import torch
from torch import Tensor

from vddlib.distillers.selection.embedding import EmbeddingSelector


class Herding(EmbeddingSelector):
    r"""Greedily, the k-th clip is the one that brings the mean of the k chosen nearest to the class mean:
    :math:`\arg\min_x \| \mu - \frac{1}{k} (\phi(x) + \sum_{j<k} \phi(x_j)) \|`.
    """

    name: ClassVar[str] = "herding"

    def choose(self, embeddings: Tensor, ipc: int, generator: torch.Generator) -> Tensor:
        """Indices in the order chosen; a clip is chosen once."""
        mean, total, chosen = embeddings.mean(0), torch.zeros_like(embeddings[0]), []
        for k in range(1, ipc + 1):
            distance = (mean - (total + embeddings) / k).norm(dim=1)
            distance[chosen] = torch.inf
            chosen.append(int(distance.argmin()))
            total = total + embeddings[chosen[-1]]
        return torch.tensor(chosen)
