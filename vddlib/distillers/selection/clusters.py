"""Clusters of one class's embeddings, exactly as many as asked for."""

import warnings

import torch
from torch import Tensor


def kmeans(embeddings: Tensor, count: int, generator: torch.Generator) -> list[Tensor]:
    """Members ``int64 [m]`` of each of `count` clusters of ``embeddings float32 [n, D]``, by k-means from ten starts.

    None is empty: where k-means finds fewer (of clips that are the same), the largest gives up half of its members. Raises
    ValueError for more clusters than embeddings.
    """
    from sklearn.cluster import KMeans

    if not 1 <= count <= len(embeddings):
        raise ValueError(f"{count} clusters of {len(embeddings)} embeddings")
    seed = int(torch.randint(2**31 - 1, (), generator=generator))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fewer distinct points than clusters: dealt with below
        # In float64: in float32, sums over thousands of features lose what tells near clips apart.
        labels = KMeans(count, n_init=10, random_state=seed).fit(embeddings.double().numpy()).labels_
    return groups(torch.from_numpy(labels).long(), count)


def groups(labels: Tensor, count: int) -> list[Tensor]:
    """Members ``int64 [m]`` of each cluster by ``labels int64 [n]``, made `count` by halving the largest ones."""
    found = [torch.nonzero(labels == label).flatten() for label in labels.unique()]
    while len(found) < count:
        largest = max(range(len(found)), key=lambda k: len(found[k]))
        members = found.pop(largest)
        found += [members[: len(members) // 2], members[len(members) // 2 :]]
    return found


def nearest_first(embeddings: Tensor, members: Tensor) -> Tensor:
    """The `members` of a cluster by their distance from its mean, nearest first; of equals the earlier one."""
    x = embeddings[members].double()
    return members[(x - x.mean(0)).norm(dim=1).argsort(stable=True)]
