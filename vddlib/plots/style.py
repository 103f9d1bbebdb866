"""One look for every figure: a colour per method, quiet axes, and files that come out the same for the same data."""

import io
from pathlib import Path

import matplotlib
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from vddlib.core.files import write_atomic
from vddlib.results.methods import method_of
from vddlib.results.write import write_origin

LINES = ["#0072B2", "#D55E00", "#117733", "#AA4499", "#E69F00", "#56B4E9", "#882255", "#999933"]
SPLITS = {"train": "#0072B2", "test": "#E69F00"}
LIGHT = 100_000  # bytes of a raster above which it has fewer dots: dozens of runs have such sheets, and every clone takes them
HEAVIEST = 900_000  # bytes of any raster; `results.weight` refuses files over 1 MB
INK, GREY = "#333333", "#888888"
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "svg.hashsalt": "vddlib",
    "savefig.dpi": 150,
}


class Drawing(Figure):
    """A figure outside pyplot: never shown twice, never kept alive; Jupyter shows it as the last value of a cell."""

    def _repr_png_(self) -> bytes:
        return _bytes(self, "png", dpi=110)


def styled(draw):
    """Decorator: draw in the house style and leave matplotlib's settings as they were."""
    from functools import wraps

    @wraps(draw)
    def inner(*args, **kwargs):
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return inner


def drawing(width: float, height: float) -> Drawing:
    """An empty figure, inches."""
    return Drawing(figsize=(width, height), layout="constrained", facecolor="white")


def colour(method: str) -> str:
    """The colour of a method in every figure; a variant has its base's."""
    return method_of(method).colour


def marker(method: str) -> str:
    """The marker of a method in every figure; variants have markers of their own, by their name."""
    _, _, variant = method.partition("[")
    return "PXdhHpv<>^"[sum(map(ord, variant)) % 10] if variant else method_of(method).marker


def tint(hex_colour: str, strength: float) -> tuple[float, float, float]:
    """A colour mixed with white: strength 1 is the colour itself, 0 is white."""
    return tuple(1 - strength * (1 - channel) for channel in to_rgb(hex_colour))


def holds_frames(fig: Figure) -> bool:
    """Whether a figure shows pictures in true colour (frames of clips): these are saved as pixels and not as vectors."""
    return any(image.get_array().ndim == 3 for ax in fig.axes for image in ax.images)


def _bytes(fig: Figure, suffix: str, dpi: int = 150) -> bytes:
    buffer = io.BytesIO()
    # Without a date or a version of matplotlib, else no two files would be the same.
    extra = {
        "png": {"metadata": {"Software": None}, "pil_kwargs": {"optimize": True}},
        "svg": {"metadata": {"Date": None}},
        # Half the bytes of a JPEG that looks alike, captions and boxes as legible; every browser and GitHub show it.
        "webp": {"pil_kwargs": {"quality": 70, "method": 6}},
    }[suffix]
    with matplotlib.rc_context(STYLE):
        fig.savefig(buffer, format=suffix, dpi=dpi, **extra)
    return buffer.getvalue()


def _raster(fig: Figure) -> dict[str, bytes]:
    """The figure as PNG or WebP, whichever is smaller, by its suffix; at fewer dots per inch where it would be heavy.

    Small frames drawn large are squares of one colour: PNG keeps them exactly, in a fraction of WebP's bytes. Frames of
    real video are the other way round.
    """
    for dpi, most in ((150, LIGHT), (110, HEAVIEST), (80, HEAVIEST)):
        suffix, data = min(((one, _bytes(fig, one, dpi)) for one in ("png", "webp")), key=lambda found: len(found[1]))
        if len(data) <= most:
            break
    return {suffix: data}


def save(
    fig: Figure, path_without_suffix: str | Path, provenance: dict, caption: str = "", png: bool = False
) -> list[Path]:
    """Write a figure and PATH.json (provenance and caption) beside it; the same bytes for the same data.

    Pictures of frames become one raster, PATH.png or PATH.webp, whichever is smaller; everything else PATH.svg, and with
    `png` PATH.png too, for places that show no SVG. What an earlier version of the figure left under the other suffixes
    is removed. Returns the paths written.
    """
    path = Path(path_without_suffix)
    if holds_frames(fig):
        files = _raster(fig)
    else:
        files = {suffix: _bytes(fig, suffix) for suffix in (("svg", "png") if png else ("svg",))}
    paths = [write_atomic(path.with_name(f"{path.name}.{suffix}"), data) for suffix, data in files.items()]
    for suffix in {"webp", "jpg", "png", "svg"} - set(files):
        path.with_name(f"{path.name}.{suffix}").unlink(missing_ok=True)
    return [*paths, write_origin(path.with_name(f"{path.name}.json"), {**provenance, "caption": caption})]
