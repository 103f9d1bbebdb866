"""CSTA (Son et al., CVPR 2024; diffusion paper, section 4.2, c), without its training: attention over a class's videos."""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from vddlib.distillers.selection.embedding import EmbeddingSelector

CHUNK = 1024  # clips whose attention to all is in memory at once


class CSTA(EmbeddingSelector):
    r"""The videos that the others of their class attend to most.

    With embeddings standardised over the class, Z ``[n, D]``, video i attends to every other one by
    :math:`A_{ij} = \mathrm{softmax}_{j \neq i}(z_i \cdot z_j / \sqrt{D})`, and the score of j is the mean of
    :math:`A_{ij}` over i. To itself a video would attend nearly always, so that is left out. Dot products favour long vectors:
    what is far from the class's mean, on a side where others are, too, is attended to most.

    The paper gives the embeddings to the CSTA network trained for summaries (TVSum, SumMe), whose weights cannot be had
    here; this is its attention without what it learned. From the scores a knapsack is filled: every clip weighs the same and
    it holds `ipc` of them, so that the fullest one has the highest scores.
    """

    name: ClassVar[str] = "csta"
    own_pool: ClassVar[Literal["real", "generated"]] = "generated"

    def choose(self, embeddings: Tensor, ipc: int, generator: torch.Generator) -> Tensor:
        """The highest scores, highest first; of equals the earlier one."""
        return attention_scores(embeddings).argsort(descending=True, stable=True)[:ipc]


def attention_scores(embeddings: Tensor) -> Tensor:
    """How much each of ``embeddings float32 [n, D]`` is attended to by the others, ``float64 [n]``; they sum to 1."""
    x = embeddings.double()
    if len(x) == 1:
        return torch.ones(1, dtype=torch.float64)
    # A feature that is the same in all clips tells nothing, and must not divide by 0.
    z = (x - x.mean(0)) / x.std(0, correction=0).clamp(min=1e-8)
    scores = torch.zeros(len(z), dtype=torch.float64)
    for rows in torch.arange(len(z)).split(CHUNK):  # memory grows with the clips of a class, not with their square
        likeness = z[rows] @ z.T / x.shape[1] ** 0.5
        likeness[torch.arange(len(rows)), rows] = -torch.inf
        scores += likeness.softmax(1).sum(0)
    return scores / len(z)
