"""Figures of clips, splits, training and networks, drawn from arrays."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.patches import Polygon
from matplotlib.ticker import NullLocator

from vddlib.errors import VddError
from vddlib.plots.style import GREY, INK, SPLITS, Drawing, colour, drawing, marker, styled, tint
from vddlib.results.schema import display

LINES = ["#0072B2", "#D55E00", "#117733", "#AA4499", "#E69F00", "#56B4E9", "#882255", "#999933"]
KINDS = {"Conv": "#0072B2", "Pool": "#E69F00", "Linear": "#117733", "GRU": "#AA4499", "LSTM": "#AA4499"}
FOLDED = ("Norm", "ReLU", "GELU", "Dropout", "Identity", "StochasticDepth", "Permute")  # named with the layer before


@styled
def filmstrip(
    clips: np.ndarray, titles: Sequence[str] | None = None, columns: int = 8, along: str | None = None
) -> Drawing:
    """One clip per row, `columns` frames of it evenly along time.

    clips: uint8 [N, T, H, W, 3]; titles: N texts, at the left of the rows; along: what stands below instead of the
    frames' numbers, where these are no frames of one clip.
    """
    clips = np.asarray(clips)
    if clips.ndim != 5 or clips.shape[-1] != 3 or clips.dtype != np.uint8:
        raise VddError(f"filmstrip: clips are uint8 [N, T, H, W, 3], got {clips.dtype} {list(clips.shape)}")
    count, frames, height, width = clips.shape[:4]
    chosen = np.unique(np.linspace(0, frames - 1, min(columns, frames)).round().astype(int))
    gap = max(1, width // 24)
    sheet = np.full((count * (height + gap) - gap, len(chosen) * (width + gap) - gap, 3), 255, np.uint8)
    for row, clip in enumerate(clips):
        for column, frame in enumerate(chosen):
            y, x = row * (height + gap), column * (width + gap)
            sheet[y : y + height, x : x + width] = clip[frame]
    left = 0.095 * max((len(title) for title in titles or [""]), default=0) + 0.15  # inches
    cell = 8.0 / max(len(chosen), 6)
    fig = drawing(left + cell * len(chosen), cell * sheet.shape[0] / (width + gap) + 0.5)
    ax = fig.add_subplot()
    ax.imshow(sheet, interpolation="nearest")
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.set_yticks(np.arange(count) * (height + gap) + height / 2, titles if titles is not None else [""] * count)
    numbers = [str(frame) for frame in chosen] if along is None else [""] * len(chosen)
    ax.set_xticks(np.arange(len(chosen)) * (width + gap) + width / 2, numbers)
    ax.set_xlabel("frame of the clip" if along is None else along)
    return fig


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
def confusion(matrix: np.ndarray, classes: Sequence[str]) -> Drawing:
    """Confusion matrix in percent of each true class; matrix: counts [C, C], rows true, columns predicted."""
    counts = np.asarray(matrix, float)
    share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(3.2, min(11, 0.42 * len(classes) + 1.2))
    fig = drawing(side + 0.9, side)
    ax = fig.add_subplot()
    image = ax.imshow(share, cmap="Blues", vmin=0, vmax=100)
    ax.grid(False)
    size = 8 if len(classes) <= 30 else 5
    ax.set_xticks(range(len(classes)), classes, rotation=45, ha="right", rotation_mode="anchor", fontsize=size)
    ax.set_yticks(range(len(classes)), classes, fontsize=size)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    ax.spines[:].set_visible(False)
    if len(classes) <= 15:
        for (row, column), value in np.ndenumerate(share):
            if value >= 0.5:
                ink = "white" if value > 55 else INK
                ax.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=8, color=ink)
    bar = fig.colorbar(image, shrink=0.8, pad=0.02)
    bar.set_label("of the true class (%)")
    bar.outline.set_visible(False)
    return fig


@styled
def losses(
    series: Mapping[str, Sequence[float]], x_label: str = "iteration", log: bool = False, window: int = 1
) -> Drawing:
    """One line per name over iterations (or epochs); `log` for a logarithmic loss axis.

    With a `window` over 1 the line is the mean of as many values, over the values themselves drawn pale.
    """
    fig = drawing(5.6, 3.0)
    ax = fig.add_subplot()
    for number, (name, values) in enumerate(series.items()):
        colour, dashes = LINES[number % len(LINES)], ["-", "--", ":"][number // len(LINES) % 3]
        steps, width = np.arange(1, len(values) + 1), max(1, min(window, len(values) // 2))
        if width > 1:
            ax.plot(steps, values, dashes, color=tint(colour, 0.3), lw=0.7)
            steps, values = steps[width - 1 :], np.convolve(values, np.full(width, 1 / width), "valid")
        ax.plot(steps, values, dashes, color=colour, label=name)
    ax.set_xlabel(x_label)
    ax.set_ylabel("loss" if window < 2 else f"loss, mean of {window}")
    if log:
        ax.set_yscale("log")
    if len(series) > 1:
        fig.legend(loc="outside right center")
    else:
        ax.set_title(next(iter(series), ""))
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
    fig = drawing(1.1 * count + 1.2, 1.1 * rows + 0.5)
    axes = fig.subplots(rows, count, squeeze=False)
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
        axes[row, 0].set_ylabel(classes[row], rotation=0, ha="right", va="center", fontsize=8)
    return fig


@styled
def saliency(
    clip: np.ndarray, differences: Sequence[float], scores: Sequence[float], epsilon: float, mask: Sequence[float]
) -> Drawing:
    """TSGF's equations 6 to 8 over one clip: its frames, their differences and saliency, the threshold, the mask.

    clip: uint8 [T, H, W, 3]; differences, scores, mask: T values each, the first two in units of the standardised pixels.
    """
    count = len(clip)
    fig = drawing(0.85 * count + 1.2, 3.6)
    grid = fig.add_gridspec(3, count, height_ratios=[1, 1.3, 0.8])
    for frame in range(count):
        ax = fig.add_subplot(grid[0, frame])
        ax.imshow(clip[frame], interpolation="nearest")
        ax.axis("off")
    steps = np.arange(count)
    ax = fig.add_subplot(grid[1, :])
    ax.bar(steps, differences, 0.7, color=tint(LINES[0], 0.35), label="difference d (eq. 6)")
    ax.plot(steps, scores, "o-", color=LINES[0], label="saliency s (eq. 7)")
    ax.axhline(epsilon, color=LINES[1], ls="--", label="epsilon")
    ax.set_xlim(-0.5, count - 0.5)
    ax.set_xticks([])
    ax.legend(ncols=3, fontsize=7, loc="lower right", bbox_to_anchor=(1, 1), frameon=False, borderaxespad=0.2)
    ax = fig.add_subplot(grid[2, :])
    ax.bar(steps, mask, 0.7, color=LINES[2])
    ax.set_xlim(-0.5, count - 0.5)
    ax.set_xticks(steps)
    ax.set_ylabel("mask M")
    ax.set_xlabel("frame; where the mask is 0 the frame gets no gradient")
    return fig


@styled
def cases(names: Sequence[str], values: Sequence[Sequence[float]], label: str = "top-1 (%)") -> Drawing:
    """A row per case: a bar to the mean of its values with its standard deviation, and a dot per value (seed)."""
    fig = drawing(6.4, 0.36 * len(names) + 0.8)
    ax = fig.add_subplot()
    for row, numbers in enumerate(values):
        spread = float(np.std(numbers, ddof=1)) if len(numbers) > 1 else 0.0
        ax.barh(row, np.mean(numbers), 0.62, color=tint(LINES[0], 0.35), edgecolor=LINES[0], linewidth=0.7)
        if spread:
            ax.errorbar(np.mean(numbers), row, xerr=spread, color=INK, capsize=2.5, elinewidth=1)
        ax.plot(numbers, [row] * len(numbers), "o", ms=3, mfc="white", mec=INK, mew=0.7, zorder=4)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(left=0)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(label)
    return fig


@styled
def curves(
    x: Sequence[float], series: Mapping[str, Sequence[Sequence[float]]], x_label: str, label: str = "top-1 (%)"
) -> Drawing:
    """A line per name over `x` (numbers, or names in their order), mean ± std of the values (seeds) at each place."""
    fig = drawing(5.4, 3.0)
    ax = fig.add_subplot()
    numbers = all(isinstance(value, int | float) for value in x)
    places = list(x) if numbers else list(range(len(x)))
    for number, (name, values) in enumerate(series.items()):
        means = [float(np.mean(some)) for some in values]
        spreads = [float(np.std(some, ddof=1)) if len(some) > 1 else 0.0 for some in values]
        shade = LINES[number % len(LINES)]
        ax.errorbar(
            places, means, yerr=spreads, fmt="o-", color=shade, mec="white", capsize=2.5, elinewidth=1, label=name
        )
    if numbers and min(x) > 0 and max(x) / min(x) >= 10:
        ax.set_xscale("log")
        ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(places, [f"{value:g}" if numbers else str(value) for value in x])
    ax.set_ylim(bottom=0)
    ax.set_xlabel(x_label)
    ax.set_ylabel(label)
    if len(series) > 1:
        fig.legend(loc="outside right center")
    return fig


@styled
def plane(points: Mapping[str, Sequence[tuple[float, float]]], x_label: str, y_label: str) -> Drawing:
    """Methods in a plane: a small mark per value (seed), a large one at their mean. points: method -> (x, y) each."""
    fig = drawing(6.2, 3.8)
    ax = fig.add_subplot()
    for method, places in points.items():
        xs, ys = np.asarray(places, float).reshape(-1, 2).T
        style = {"color": colour(method), "marker": marker(method), "ls": "", "mec": "white", "mew": 0.5}
        ax.plot(xs, ys, **style, ms=4, alpha=0.5)
        ax.plot(xs.mean(), ys.mean(), **style, ms=9, label=display(method))
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    fig.legend(loc="outside right center")
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


@styled
def layer_diagram(layers: Sequence[tuple[str, str, Sequence[int], int]], input_shape: Sequence[int] = ()) -> Drawing:
    """A network as blocks in reading order, nine to a line: height is the frame side, depth the time steps.

    layers: (name, kind, output shape [C, T, H, W] or shorter, parameters) per leaf layer, as `layer_shapes` gives them;
    norms, activations and dropout are named with the layer before. input_shape: of the clip, drawn first.
    """
    blocks = _folded(layers)
    if len(input_shape):
        blocks.insert(0, (["clip"], "Input", tuple(input_shape), 0))
    per_row, wide, high = 9, 1.28, 2.45  # blocks to a line; inches of a block with its text
    rows, columns = -(-len(blocks) // per_row), min(len(blocks), per_row)
    fig = drawing(wide * columns + 0.2, high * rows)
    ax = fig.add_subplot()
    tallest = max(_extent(shape)[0] for _, _, shape, _ in blocks)
    heights = [0.22 + np.sqrt(_extent(shape)[0] / tallest) for _, _, shape, _ in blocks]
    tip = None
    for number, (names, kind, shape, parameters) in enumerate(blocks):
        row, column = divmod(number, per_row)
        x, y = column * wide, -row * high
        start, end = _slab(ax, x, y, heights[number], 0.05 * min(_extent(shape)[1], 10), kind)
        if column:
            arrow = {"arrowstyle": "-|>", "color": GREY, "lw": 0.8, "shrinkA": 3, "shrinkB": 3}
            ax.annotate("", (start, y), (tip, y), arrowprops=arrow)
        tip = end
        below = y - max(heights[row * per_row : (row + 1) * per_row]) / 2 - 0.08
        text = "\n".join([*names, "×".join(map(str, shape)), _amount(parameters)])
        ax.text(x, below, text, ha="center", va="top", fontsize=7, color=INK, linespacing=1.25)
    ax.set(xlim=(-wide / 2, wide * (columns - 0.5)), ylim=(high * (0.4 - rows), 0.4 * high), aspect="equal")
    ax.set_axis_off()
    return fig


def _folded(layers) -> list[tuple[list[str], str, tuple[int, ...], int]]:
    """Layers with norms, activations and dropout joined to the one before: (lines of text, kind, shape, parameters)."""
    blocks = []
    for name, kind, shape, parameters in layers:
        if blocks and any(word in kind for word in FOLDED):
            names, first, before, amount = blocks[-1]
            blocks[-1] = ([*names, f"+ {kind}"], first, before, amount + parameters)
        else:
            blocks.append(([name, kind], kind, tuple(shape), parameters))
    return blocks


def _extent(shape: Sequence[int]) -> tuple[int, int]:
    """(side, time steps) of a block: [C, T, H, W] -> (H, T), [C, H, W] -> (H, 1), a vector -> (1, 1)."""
    side = shape[-1] if len(shape) >= 3 else 1
    return side, shape[-3] if len(shape) >= 4 else 1


def _slab(ax, centre: float, y: float, height: float, depth: float, kind: str) -> tuple[float, float]:
    """Draw a box seen from the front and above; returns where it begins and ends on the x axis."""
    base = next((colour for word, colour in KINDS.items() if word in kind), GREY)
    low, high, width, rise = y - height / 2, y + height / 2, 0.16, 0.45 * depth
    x = centre - (width + depth) / 2
    front = [(x, low), (x + width, low), (x + width, high), (x, high)]
    top = [(x, high), (x + width, high), (x + width + depth, high + rise), (x + depth, high + rise)]
    side = [(x + width, low), (x + width + depth, low + rise), (x + width + depth, high + rise), (x + width, high)]
    for points, strength in ((side, 0.35), (top, 0.2), (front, 0.7)):
        ax.add_patch(Polygon(points, closed=True, fc=tint(base, strength), ec=base, lw=0.8))
    return x, x + width + depth


def _amount(parameters: int) -> str:
    if not parameters:
        return ""
    unit, text = (1e6, " M") if parameters >= 1e6 else (1e3, " k") if parameters >= 1e3 else (1, "")
    return f"{parameters / unit:.3g}{text} weights"
