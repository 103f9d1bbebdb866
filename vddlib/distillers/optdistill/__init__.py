"""OptDistill: detect, track, score and compose real video (one small module per step)."""

from vddlib.distillers.optdistill.distiller import OptDistill
from vddlib.distillers.stored.mosaics import Mosaics

__all__ = ["Mosaics", "OptDistill"]
