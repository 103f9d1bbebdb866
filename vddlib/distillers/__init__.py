"""Distillers by name. Each is one small file; `build` makes one from plain parameters."""

from vddlib.core.errors import unknown
from vddlib.distillers.base import Distiller
from vddlib.distillers.distilled import DistilledSet
from vddlib.distillers.full import Full, FullSet
from vddlib.distillers.labels import relabel
from vddlib.distillers.matching.dc import DC, StaticDC, static_memory
from vddlib.distillers.matching.dm import DM
from vddlib.distillers.matching.frepo import FRePo
from vddlib.distillers.matching.mtt import MTT
from vddlib.distillers.matching.optimised import Optimised
from vddlib.distillers.matching.tsgf import TSGF
from vddlib.distillers.optdistill import Mosaics, OptDistill
from vddlib.distillers.selection.herding import Herding
from vddlib.distillers.selection.kcenter import KCenter
from vddlib.distillers.selection.random import Random
from vddlib.distillers.selection.selector import Selector
from vddlib.distillers.stored.clips import StoredClips
from vddlib.distillers.stored.pixels import Pixels, Stills

__all__ = [
    "DC", "DISTILLERS", "DM", "MTT", "TSGF", "DistilledSet", "Distiller", "FRePo", "Full", "FullSet", "Herding", "KCenter",
    "Mosaics", "OptDistill", "Optimised", "Pixels", "Random", "Selector", "StaticDC", "Stills", "StoredClips", "build", "relabel",
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
