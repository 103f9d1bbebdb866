"""Figures, each a function: of records (accuracy, costs, fair), of clips (clips, strips), training, networks."""

from vddlib.plots.accuracy import accuracy_by_ipc, accuracy_by_method
from vddlib.plots.clips import chosen_in_plane, class_counts, evolution, frame_sampling, saliency
from vddlib.plots.costs import accuracy_by_bytes, accuracy_by_cost, accuracy_by_time, costed
from vddlib.plots.fair import critical_difference, differences_to_random, rate_accuracy
from vddlib.plots.networks import layer_diagram
from vddlib.plots.strips import filmstrip, flow_filmstrip, flow_wheel, mixed_filmstrip, mixture
from vddlib.plots.style import colour, marker, save
from vddlib.plots.timelines import timelines
from vddlib.plots.training import cases, confusion, curves, gains_by_redundancy, losses, plane

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
    "critical_difference",
    "curves",
    "differences_to_random",
    "evolution",
    "filmstrip",
    "flow_filmstrip",
    "flow_wheel",
    "frame_sampling",
    "gains_by_redundancy",
    "layer_diagram",
    "losses",
    "marker",
    "mixed_filmstrip",
    "mixture",
    "plane",
    "rate_accuracy",
    "saliency",
    "save",
    "timelines",
]
