"""Long videos as coloured stretches of actions, a row each."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.patches import Patch

from vddlib.evaluation.segments import segments
from vddlib.plots.style import Drawing, drawing, styled


@styled
def timelines(rows: Mapping[str, np.ndarray], classes: Sequence[str], label: str = "frame") -> Drawing:
    """A row per name: the stretches of equal labels in ``int64 [T]``, each in its class's colour."""
    colours = matplotlib.colormaps["tab20"]
    fig = drawing(7.2, 0.3 * len(rows) + 1.1)
    ax = fig.add_subplot()
    seen: set[int] = set()
    for row, labels in enumerate(rows.values()):
        for one in segments(labels):
            seen.add(one.label)
            ax.barh(row, one.end - one.start, 0.8, left=one.start, color=colours(one.label % 20), linewidth=0)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.invert_yaxis()
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.set_xlim(0, max(map(len, rows.values())))
    ax.set_xlabel(label)
    handles = [Patch(color=colours(number % 20), label=classes[number]) for number in sorted(seen)]
    fig.legend(handles=handles, loc="outside right center", fontsize=7)
    return fig
