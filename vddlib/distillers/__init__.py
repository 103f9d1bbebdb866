"""Distillers by name. Each is one small file; `build` makes one from plain parameters."""

from vddlib.distillers.base import Distiller, Selector
from vddlib.distillers.distilled import DistilledSet, FullSet, Stored
from vddlib.distillers.full import Full
from vddlib.distillers.herding import Herding
from vddlib.distillers.kcenter import KCenter
from vddlib.distillers.random import Random
from vddlib.errors import unknown

__all__ = [
    "DISTILLERS", "DistilledSet", "Distiller", "Full", "FullSet", "Herding", "KCenter", "Random", "Selector", "Stored",
    "build",
]  # fmt: skip

DISTILLERS: dict[str, type[Distiller]] = {kind.method: kind for kind in (Full, Random, Herding, KCenter)}


def build(method: str, **params) -> Distiller:
    """The distiller `method` with hyper-parameters `params`. Raises VddError for an unknown method or parameter."""
    if method not in DISTILLERS:
        raise unknown("method", method, DISTILLERS)
    return DISTILLERS[method](**params)
