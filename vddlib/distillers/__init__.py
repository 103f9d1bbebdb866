"""Distillers by name, found in the files of this package: `build` makes one from plain parameters.

A method of your own is one file in `selection/` or `matching/` with a class that has a `name`; what can be stored is a file
in `stored/` with a `Storage` that has a `suffix`. Nothing lists them: they are here once the file is.
"""

import importlib
import pkgutil

from vddlib.core.errors import unknown
from vddlib.distillers.base import Distiller
from vddlib.distillers.distilled import DistilledSet
from vddlib.distillers.full import Full, FullSet
from vddlib.distillers.labels import relabel, with_labels_of
from vddlib.distillers.matching.dc import DC, StaticDC, static_memory
from vddlib.distillers.matching.dm import DM
from vddlib.distillers.matching.frepo import FRePo
from vddlib.distillers.matching.idtd import IDTD
from vddlib.distillers.matching.mtt import MTT
from vddlib.distillers.matching.optimised import Optimised
from vddlib.distillers.matching.tsgf import TSGF
from vddlib.distillers.optdistill import OptDistill
from vddlib.distillers.selection.csta import CSTA
from vddlib.distillers.selection.dm_mmd import DMMMD
from vddlib.distillers.selection.herding import Herding
from vddlib.distillers.selection.kcenter import KCenter
from vddlib.distillers.selection.mae_score import MAEScore
from vddlib.distillers.selection.prototypes import Prototypes
from vddlib.distillers.selection.random import Random
from vddlib.distillers.selection.random_encoded import RandomEncoded
from vddlib.distillers.selection.random_still import RandomStill
from vddlib.distillers.selection.random_stitched import RandomStitched
from vddlib.distillers.selection.random_videos import RandomVideos
from vddlib.distillers.selection.selector import Selector
from vddlib.distillers.selection.tac_dt import TACDT
from vddlib.distillers.selection.vst_unet import VSTUNet
from vddlib.distillers.stored.clips import StoredClips
from vddlib.distillers.stored.contract import Content, Storage
from vddlib.distillers.stored.encoded import EncodedClips
from vddlib.distillers.stored.idtd import Diversified, FeaturePools
from vddlib.distillers.stored.mosaics import Mosaics
from vddlib.distillers.stored.pixels import FreePixels, Pixels, StillImages, Stills
from vddlib.distillers.stored.vdsd import VDSD, Memories

__all__ = [
    "CSTA", "DC", "DISTILLERS", "DM", "DMMMD", "IDTD", "MTT", "TACDT", "TSGF", "VDSD", "Content", "DistilledSet",
    "Distiller", "Diversified", "EncodedClips", "FRePo", "FeaturePools", "FreePixels", "Full", "FullSet", "Herding",
    "KCenter", "MAEScore", "Memories", "Mosaics", "OptDistill", "Optimised", "Pixels", "Prototypes", "Random",
    "RandomEncoded", "RandomStill", "RandomStitched", "RandomVideos", "Selector", "StaticDC", "StillImages", "Stills",
    "Storage", "StoredClips", "VSTUNet", "build", "relabel", "static_memory", "with_labels_of",
]  # fmt: skip


def _found() -> dict[str, type[Distiller]]:
    """Every distiller in the files of this package, by name."""
    for module in pkgutil.walk_packages(__path__, f"{__name__}."):
        importlib.import_module(module.name)
    kinds, found = [Distiller], {}
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        if "name" in vars(kind) and kind.__module__.startswith(f"{__name__}."):
            # Of a class and its parts that share a name (TSGF, and Recovery of one batch) the most derived is meant.
            found[kind.name] = (
                kind if kind.name not in found or issubclass(kind, found[kind.name]) else found[kind.name]
            )
    return found


DISTILLERS: dict[str, type[Distiller]] = _found()


def kind_of(method: str) -> type[Distiller]:
    """The class of a method; of `dm+vdsd` that is DM. Raises VddError for an unknown method or storage."""
    name, plus, suffix = method.partition("+")
    kind = DISTILLERS.get(name)
    if kind is None or (plus and not (issubclass(kind, Optimised) and suffix in Storage.registry)):
        optimised = [known for known, one in DISTILLERS.items() if issubclass(one, Optimised)]
        composed = [f"{known}+{storage}" for known in optimised for storage in Storage.registry]
        raise unknown("method", method, [*DISTILLERS, *composed])
    return kind


def build(method: str, **params) -> Distiller:
    """The distiller `method` with hyper-parameters `params`; `dm+vdsd` is `dm` over the storage `vdsd`.

    `stored`, where it is given, holds that storage's own hyper-parameters, or is one. Raises VddError for an unknown method,
    storage or parameter.
    """
    kind, suffix = kind_of(method), method.partition("+")[2]
    stored = params.get("stored", {})
    if suffix and isinstance(stored, dict):
        params["stored"] = {"kind": Storage.registry[suffix].__name__, **stored}
    return kind(**params)
