"""Figures, each a function that returns one: of records (accuracy.py), of clips, training and networks (drawings.py)."""

from vddlib.plots.accuracy import (
    accuracy_by_bytes,
    accuracy_by_cost,
    accuracy_by_ipc,
    accuracy_by_method,
    accuracy_by_time,
    costed,
)
from vddlib.plots.drawings import (
    cases,
    chosen_in_plane,
    class_counts,
    confusion,
    curves,
    evolution,
    filmstrip,
    frame_sampling,
    layer_diagram,
    losses,
    plane,
    saliency,
)
from vddlib.plots.style import colour, marker, save

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
