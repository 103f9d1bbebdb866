"""Figures, each a function that returns one: of records (accuracy.py), of clips, training and networks (drawings.py)."""

from vddlib.plots.accuracy import (
    accuracy_by_bytes,
    accuracy_by_cost,
    accuracy_by_ipc,
    accuracy_by_method,
    accuracy_by_time,
    costed,
)
from vddlib.plots.clips import chosen_in_plane, class_counts, evolution, filmstrip, frame_sampling, saliency
from vddlib.plots.networks import layer_diagram
from vddlib.plots.style import colour, marker, save
from vddlib.plots.training import cases, confusion, curves, losses, plane

__all__ = [
    "accuracy_by_bytes",
    "accuracy_by_cost",
    "accuracy_by_ipc",
    "accuracy_by_method",
    "accuracy_by_time",
    "cases",
    "chosen_in_plane",
    "class_counts",
    "colour",
    "confusion",
    "costed",
    "curves",
    "evolution",
    "filmstrip",
    "frame_sampling",
    "layer_diagram",
    "losses",
    "marker",
    "plane",
    "saliency",
    "save",
]
