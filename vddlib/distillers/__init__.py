"""Distillers by name. Each is one small file; `build` makes one from plain parameters."""

from vddlib.distillers.base import Distiller, Selector
from vddlib.distillers.dc import DC, StaticDC, static_memory
from vddlib.distillers.distilled import DistilledSet, FullSet, Stored
from vddlib.distillers.dm import DM
from vddlib.distillers.frepo import FRePo
from vddlib.distillers.full import Full
from vddlib.distillers.herding import Herding
from vddlib.distillers.kcenter import KCenter
from vddlib.distillers.mtt import MTT
from vddlib.distillers.optdistill import Mosaics, OptDistill
from vddlib.distillers.optimised import Optimised
from vddlib.distillers.pixels import Pixels, Stills
from vddlib.distillers.random import Random
from vddlib.distillers.tsgf import TSGF, relabel
from vddlib.errors import unknown

__all__ = [
    "DC", "DISTILLERS", "DM", "MTT", "TSGF", "DistilledSet", "Distiller", "FRePo", "Full", "FullSet", "Herding", "KCenter",
    "Mosaics", "OptDistill", "Optimised", "Pixels", "Random", "Selector", "StaticDC", "Stills", "Stored", "build", "relabel",
    "static_memory",
]  # fmt: skip

DISTILLERS: dict[str, type[Distiller]] = {
    kind.method: kind for kind in (Full, Random, Herding, KCenter, DM, DC, StaticDC, MTT, FRePo, TSGF, OptDistill)
}


def build(method: str, **params) -> Distiller:
    """The distiller `method` with hyper-parameters `params`. Raises VddError for an unknown method or parameter."""
    if method not in DISTILLERS:
        raise unknown("method", method, DISTILLERS)
    return DISTILLERS[method](**params)
