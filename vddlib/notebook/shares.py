"""The costly step of a notebook in shares, for several jobs of one cache.

`vdd run --shard 0/4` executes the notebook as ever, does the first of four shares when it comes to that step, and ends there.
The run itself, without a shard, finds what the shares made and goes on. As the notebook is the same, so is what it makes.
"""

import os
from collections.abc import Sequence

from vddlib.datasets.clips import Clips
from vddlib.distillers import DistilledSet
from vddlib.distillers.base import Distiller, part_of
from vddlib.notebook.job import SHARE, parse_share


class ShareDone(Exception):
    """The share is in the cache; what follows in the notebook is for the run that joins all of them."""


def mine() -> tuple[int, int] | None:
    """The share that this kernel is to do; None where it is to do everything."""
    text = os.environ.get(SHARE)
    return parse_share(text) if text else None


def sets(method: Distiller, train: Clips, ipc: int, seeds: Sequence[int]) -> dict[int, DistilledSet]:
    """The distilled set of each seed. Raises ShareDone in a job that does a share of them."""
    share = mine()
    if share is not None:
        distil_share(method, train, ipc, seeds, share)
        raise ShareDone(f"share {share[0]} of {share[1]}")
    return {seed: method.distill(train, ipc, seed) for seed in seeds}


def distil_share(method: Distiller, train: Clips, ipc: int, seeds: Sequence[int], share: tuple[int, int]) -> None:
    """TSGF's batches and OptDistill's videos, for every seed; of other methods whole sets, and before them MTT's experts: first
    those of the share, then, as sets need all, what other shares have left undone."""
    from vddlib.distillers.matching.mtt import MTT
    from vddlib.distillers.matching.tsgf import TSGF
    from vddlib.distillers.optdistill import OptDistill

    match method:
        case TSGF():
            for seed in seeds:
                method.recover(train, ipc, seed, share)
        case OptDistill():
            for seed in seeds:
                method.prepare(train, seed, share)
        case _:
            if isinstance(method, MTT):
                method.trajectories(train, share=share)
            for seed in part_of(seeds, share, method.name):
                method.distill(train, ipc, seed)


def pool(train: Clips, latte, seed: int):
    """The generated pool (`distillers.latte.load_pool`). In a job that does a share: generator, its classes, then ShareDone."""
    from vddlib.distillers.latte import load_pool, make_pool

    share = mine()
    if share is not None:
        make_pool(train, latte, seed, share)
        raise ShareDone(f"share {share[0]} of {share[1]}")
    return load_pool(train, latte, seed)
