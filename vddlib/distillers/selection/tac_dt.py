"""TAC-DT (diffusion paper, section 3.2; after TAC-SUM, Huynh-Lam et al., PSIVT 2023): clusters of clusters, no training."""

import warnings
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from vddlib.distillers.selection.clusters import groups, nearest_first
from vddlib.distillers.selection.embedding import EmbeddingSelector


class TACDT(EmbeddingSelector):
    """PCA, standard scaling, BIRCH, its subclusters merged to `ipc` clusters, and of each the clip nearest to its mean.

    What the paper leaves open is TAC-SUM's: a threshold of 0.5, BIRCH without a clustering of its own, Ward's agglomerative
    merging. TAC-SUM then smooths along time, which clips of a class do not have. Scaling gives the last component the weight
    of the first, so their number matters; and in many components clips are further apart than the threshold, so that BIRCH
    joins only near duplicates and the merging does the rest. Where BIRCH leaves fewer subclusters than `ipc`, the clips
    themselves are merged.
    """

    name: ClassVar[str] = "tac_dt"
    own_pool: ClassVar[Literal["real", "generated"]] = "generated"

    components: int = Field(16, ge=1, description="principal components, or as many as there are (unstated)")
    threshold: float = Field(0.5, gt=0, description="largest radius of a subcluster, in standard deviations (TAC-SUM)")

    def choose(self, embeddings: Tensor, ipc: int, generator: torch.Generator) -> Tensor:
        """One representative per cluster, in the order of the clusters' first clips. Nothing is random here."""
        if ipc == len(embeddings):
            return torch.arange(ipc)
        x = reduced(embeddings, self.components)
        found = groups(torch.from_numpy(self.labels(x, ipc)).long(), ipc)
        return torch.stack([nearest_first(torch.from_numpy(x), m)[0] for m in sorted(found, key=lambda m: int(m[0]))])

    def labels(self, x: np.ndarray, ipc: int) -> np.ndarray:
        """The cluster of each of ``x float64 [n, components]``, ``int64 [n]`` in 0 to ipc - 1."""
        from sklearn.cluster import Birch

        birch = Birch(threshold=self.threshold, n_clusters=None).fit(x)
        centres = birch.subcluster_centers_
        return merged(x, ipc) if len(centres) < ipc else merged(centres, ipc)[birch.predict(x)]


def reduced(embeddings: Tensor, components: int) -> np.ndarray:
    """``embeddings float32 [n, D]`` in their principal components, each scaled to unit variance: ``float64 [n, c]``."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    x = embeddings.double().numpy()
    with warnings.catch_warnings():
        # Of shares of a variance that is zero, where all clips are the same.
        warnings.simplefilter("ignore", RuntimeWarning)
        x = PCA(min(components, *x.shape), svd_solver="full").fit_transform(x)
    # Of fewer directions than components, the rest are rounding errors: scaled up, they would decide.
    x = np.where(x.std(0) < 1e-9 * max(1e-300, x.std(0).max()), 0.0, x)
    return StandardScaler().fit_transform(x)


def merged(points: np.ndarray, count: int) -> np.ndarray:
    """The cluster of each point ``int64 [n]``, `count` clusters in all, by Ward's agglomerative merging."""
    from sklearn.cluster import AgglomerativeClustering

    if count == 1:  # of a single point it makes none
        return np.zeros(len(points), np.int64)
    return AgglomerativeClustering(n_clusters=count).fit_predict(points)
