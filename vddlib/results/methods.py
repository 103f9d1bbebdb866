"""The methods: ONE row each, from which tables and figures take its name, order, colour, marker, protocol and source.

A new method is one file under `vddlib/distillers`, one notebook, its params files, and a row here. The order of the rows
is the reading order. `kcenter[variant]` in a record is a variant of `kcenter` and has no row of its own.
"""

import re
from typing import NamedTuple

from vddlib.core.errors import VddError


class Method(NamedTuple):
    """One method. `protocol` is the one under which its paper measures it; `colour` and `marker` are matplotlib's."""

    name: str
    printed: str
    colour: str
    marker: str
    protocol: str
    source: str


# Colours of Paul Tol, and of Okabe and Ito, that colour-blind readers can tell apart; markers help where two are similar.
METHODS: dict[str, Method] = {
    row[0]: Method(*row)
    for row in (
        ("full", "Full data", "#000000", "*", "A", "the whole train split"),
        ("random", "Random", "#888888", "o", "A", "the baseline that costs nothing"),
        ("random_encoded", "Random, encoded", "#555555", "d", "A", "control: as many real clips as its bytes allow"),
        ("random_still", "Random stills", "#AAAAAA", "v", "A", "control: a random frame of each clip, repeated"),
        ("random_stitched", "Random, stitched", "#999999", "<", "A", "control: several clips in one (IDTD, table 3)"),
        ("random_videos", "Random videos", "#BBBBBB", "X", "A", "control: clips redrawn every epoch from few videos"),
        ("herding", "Herding", "#56B4E9", "D", "A", "Welling, ICML 2009"),
        ("kcenter", "K-Center", "#0072B2", "s", "A", "Sener & Savarese, ICLR 2018"),
        ("dm", "DM", "#E69F00", "^", "A", "Zhao & Bilen, WACV 2023"),
        ("dc", "DC", "#8C6D1F", "H", "A", "Zhao et al., ICLR 2021"),
        ("static_dc", "Static-DC", "#B0A060", "v", "A", "Wang et al., CVPR 2024 (VDSD)"),
        ("mtt", "MTT", "#D55E00", "P", "A", "Cazenavette et al., CVPR 2022"),
        ("frepo", "FRePo", "#CC79A7", "<", "A'", "Zhou et al., NeurIPS 2022"),
        ("dm+vdsd", "DM + VDSD", "#999933", ">", "A", "Wang et al., CVPR 2024 (VDSD)"),
        ("mtt+vdsd", "MTT + VDSD", "#882255", "X", "A", "Wang et al., CVPR 2024 (VDSD)"),
        ("frepo+vdsd", "FRePo + VDSD", "#AA4499", "d", "A'", "Wang et al., CVPR 2024 (VDSD)"),
        ("idtd", "IDTD", "#44AA99", "h", "B", "IDTD (Video Set Distillation)"),
        ("tsgf", "TSGF", "#117733", "p", "D", "TSGF"),
        ("optdistill", "OptDistill", "#332288", "8", "A", "OptDistill"),
        ("mae_score", "MAE-Score", "#BBAA55", "o", "C", "VST-UNet and TAC-DT's baseline"),
        ("csta", "CSTA", "#661100", "D", "C", "VST-UNet and TAC-DT's baseline"),
        ("dm_mmd", "DM-MMD", "#6699CC", "s", "C", "VST-UNet and TAC-DT's baseline"),
        ("vst_unet", "VST-UNet", "#CC6677", "^", "C", "VST-UNet and TAC-DT"),
        ("tac_dt", "TAC-DT", "#4477AA", "v", "C", "VST-UNet and TAC-DT"),
        ("prototypes", "Prototypes", "#228833", "h", "C", "ours, after the idea of ProtoBlend"),
    )
}


def method_of(name: str) -> Method:
    """The row of a method, or of the method that `name` is a variant of (`tsgf[no_mask]`).

    Raises VddError for a method without a row.
    """
    found = re.fullmatch(r"([^\[\]]+)(?:\[([^\[\]]+)\])?", name)
    if not found or found[1] not in METHODS:
        raise VddError(f"unknown method '{name}' in a record: use one of {', '.join(METHODS)}, or NAME[variant]")
    return METHODS[found[1]]


def method_rank(name: str) -> int:
    """Place of a method in the reading order; a variant stands with its base. Raises VddError for one without a row."""
    return list(METHODS).index(method_of(name).name)


def own_protocol(method: str) -> str:
    """The protocol under which its paper measures a method."""
    return method_of(method).protocol
