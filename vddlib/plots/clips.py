"""Figures of clips and of the splits they are from, drawn from arrays."""

from collections.abc import Mapping, Sequence

import numpy as np

from vddlib.core.errors import VddError
from vddlib.plots.strips import widest
from vddlib.plots.style import GREY, INK, LINES, SPLITS, Drawing, colour, drawing, styled, tint
from vddlib.results.schema import display


@styled
def chosen_in_plane(points: np.ndarray, chosen: Mapping[str, Sequence[int]]) -> Drawing:
    """Candidates of one class in a plane, and which of them each method chose, in what order.

    points: float [N, 2]; chosen: method name -> indices into them, first chosen first.
    """
    points = np.asarray(points, float)
    fig = drawing(2.6 * len(chosen) + 0.3, 2.9)
    for number, (method, indices) in enumerate(chosen.items()):
        ax = fig.add_subplot(1, len(chosen), number + 1)
        ax.plot(*points.T, "o", color=tint(GREY, 0.55), ms=3.5)
        ax.plot(*points.mean(0), "+", color=INK, ms=9, mew=1.4)
        picked = points[list(indices)]
        ax.plot(*picked.T, "o", color=colour(method), ms=7)
        for order, point in enumerate(picked, 1):
            ax.annotate(str(order), point, (5, 4), textcoords="offset points", fontsize=8, color=INK)
        ax.set_title(display(method))
        ax.set_xticks([])
        ax.set_yticks([])
        ax.grid(False)
    fig.supxlabel("candidates of one class; + is their mean, numbers the order of choice", fontsize=8, color=GREY)
    return fig


@styled
def evolution(snapshots: np.ndarray, iterations: Sequence[int], classes: Sequence[str]) -> Drawing:
    """Distilled clips on their way: a row per class, a column per snapshot, each showing the clip's middle frame.

    snapshots: uint8 [S, k, T, H, W, 3]; iterations: S numbers; classes: at least k names.
    """
    snapshots = np.asarray(snapshots)
    if snapshots.ndim != 6 or snapshots.dtype != np.uint8 or len(snapshots) != len(iterations):
        raise VddError(
            f"evolution: {len(iterations)} snapshots are uint8 [S, k, T, H, W, 3], got {list(snapshots.shape)}"
        )
    count, rows, frames = snapshots.shape[:3]
    names = list(classes[:rows])
    left = widest(names) + 0.15  # inches; room for the names, which matplotlib's own layout would cut off
    wide, high = left + 1.1 * count, 1.1 * rows * snapshots.shape[3] / snapshots.shape[4] + 0.25
    fig = drawing(wide, high)
    fig.set_layout_engine("none")
    space = {"left": left / wide, "right": 1 - 0.05 / wide, "bottom": 0.03 / high, "top": 1 - 0.25 / high}
    axes = fig.subplots(rows, count, squeeze=False, gridspec_kw=space | {"wspace": 0.06, "hspace": 0.06})
    for row in range(rows):
        for column in range(count):
            ax = axes[row, column]
            ax.imshow(snapshots[column, row, frames // 2], interpolation="nearest")
            ax.set_xticks([])
            ax.set_yticks([])
            ax.grid(False)
            ax.spines[:].set_visible(False)
            if row == 0:
                ax.set_title(f"iteration {iterations[column]}" if column else "at first", fontsize=8)
        axes[row, 0].set_ylabel(names[row], rotation=0, ha="right", va="center", fontsize=8)
    return fig


@styled
def saliency(
    clip: np.ndarray, differences: Sequence[float], scores: Sequence[float], epsilon: float, mask: Sequence[float]
) -> Drawing:
    """TSGF's equations 6 to 8 over one clip: its frames, their differences and saliency, the threshold, the mask.

    clip: uint8 [T, H, W, 3]; differences, scores, mask: T values each, the first two in units of the standardised pixels
    (a mean absolute change of 1 is one standard deviation of the dataset's pixels).
    """
    count = len(clip)
    fig = drawing(0.85 * count + 1.4, 4.2)
    grid = fig.add_gridspec(3, count, height_ratios=[1, 1.3, 0.8])
    for frame in range(count):
        ax = fig.add_subplot(grid[0, frame])
        ax.imshow(clip[frame], interpolation="nearest")
        ax.axis("off")
    steps = np.arange(count)
    ax = fig.add_subplot(grid[1, :])
    ax.bar(steps, differences, 0.7, color=tint(LINES[0], 0.35), label="difference d (eq. 6)")
    ax.plot(steps, scores, "o-", color=LINES[0], label="saliency s (eq. 7)")
    ax.axhline(epsilon, color=LINES[1], ls="--", label="threshold ε")
    ax.set_xlim(-0.5, count - 0.5)
    ax.set_ylim(0, 1.35 * max(*differences, *scores, epsilon))  # room for the legend
    ax.set_xticks(steps, [""] * count)
    ax.set_ylabel("mean change of a pixel\n(standard deviations)")
    ax.legend(ncols=3, fontsize=7, loc="upper right", frameon=False, borderaxespad=0.2)
    ax = fig.add_subplot(grid[2, :])
    ax.bar(steps, mask, 0.7, color=LINES[2])
    ax.set_xlim(-0.5, count - 0.5)
    ax.set_ylim(0, 1.1 * max(1.0, *mask))
    ax.set_xticks(steps)
    ax.set_ylabel("mask M (factor\nof the gradient)")
    ax.set_xlabel("frame; where the mask is 0 the frame gets no gradient")
    return fig


@styled
def frame_sampling(n_frames: int, indices: Sequence[Sequence[int]], labels: Sequence[str] | None = None) -> Drawing:
    """Which frames of a video a clip takes: a row of all `n_frames` per epoch, the taken ones filled.

    indices: one list of frame numbers per epoch; labels: texts of the rows ('epoch 0', ... where not given).
    """
    rows = len(indices)
    fig = drawing(7.2, 0.28 * rows + 0.7)
    ax = fig.add_subplot()
    for row, taken in enumerate(indices):
        ax.plot(np.arange(n_frames), np.full(n_frames, row), "|", color="#CCCCCC", ms=6, mew=0.8)
        ax.plot(taken, np.full(len(taken), row), "-", color=tint(LINES[0], 0.4), lw=1)
        ax.plot(taken, np.full(len(taken), row), "s", color=LINES[0], ms=4.2)
    ax.set_yticks(range(rows), labels or [f"epoch {epoch}" for epoch in range(rows)])
    ax.set_ylim(rows - 0.5, -0.5)
    ax.set_xlim(-1, n_frames)
    ax.set_xlabel(f"frame of the video (0 to {n_frames - 1})")
    ax.grid(False)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return fig


@styled
def class_counts(train: Sequence[int], test: Sequence[int], classes: Sequence[str]) -> Drawing:
    """Videos per class in train and test; train, test: C counts each."""
    many = len(classes) > 40
    fig = drawing(6.0, max(2.2, (0.13 if many else 0.26) * len(classes) + 0.9))
    ax = fig.add_subplot()
    y = np.arange(len(classes))
    ax.barh(y - 0.2, train, 0.38, color=SPLITS["train"], label=f"train ({sum(train)})")
    ax.barh(y + 0.2, test, 0.38, color=SPLITS["test"], label=f"test ({sum(test)})")
    ax.set_yticks(y, classes, fontsize=6 if many else 8)
    ax.set_ylim(len(classes) - 0.4, -0.6)
    ax.set_xlabel("videos")
    ax.grid(axis="y", visible=False)
    fig.legend(loc="outside upper right", ncols=2)
    return fig
