"""MAE-score (diffusion paper, section 4.2, b): the clips of which a pretrained classifier is surest."""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from vddlib.datasets.clips import Clips
from vddlib.distillers.selection.embedding import EmbeddingSelector


class MAEScore(EmbeddingSelector):
    r"""The highest scores :math:`\max_k \mathrm{softmax}(z)_k`, z the logits that the embedder's classifier gives a clip.

    The paper says "scores obtained from a pretrained VideoMAE model" and no more. Here a score is the probability of the
    likeliest class, whichever it is, since a pretrained classifier's classes are not the dataset's (OptDistill scores by
    R3D-18 likewise). Nothing asks for diversity, as the paper says itself.
    """

    name: ClassVar[str] = "mae_score"
    own_pool: ClassVar[Literal["real", "generated"]] = "generated"

    def embeddings(self, train: Clips, seed: int, candidates: Clips | None = None) -> tuple[Tensor, float]:
        """The score of every candidate, ``float32 [N, 1]``, and the seconds it cost."""
        (logits,), seconds = self.see(train, seed, [train if candidates is None else candidates], classify=True)
        return logits.softmax(1).amax(1, keepdim=True), seconds

    def choose(self, embeddings: Tensor, ipc: int, generator: torch.Generator) -> Tensor:
        """The highest scores of ``[n, 1]``, highest first; of equals the earlier one."""
        return embeddings[:, 0].argsort(descending=True, stable=True)[:ipc]
