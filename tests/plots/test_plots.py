"""Figures: saved light, the same bytes for the same data, one colour per method, and every number where it belongs."""

import json
import re
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from vddlib import plots, results
from vddlib.core.errors import VddError
from vddlib.notebook import show
from vddlib.plots.panels import spread


@pytest.fixture
def df(tmp_path, monkeypatch):
    """Full data, random and herding at IPC 1 and 5, three seeds, on motions."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "method": method, "dataset": "motions", "ipc": ipc, "protocol": "A", "student": "minic3d", "frames": 8,
            "size": 32, "epochs": 60, "seed": seed, "top1": 20 + 5 * (ipc or 12) + rng.normal(), "train_seconds": 2.0,
            "distill_seconds": None if method == "full" else 1.5,
            "peak_memory_mb": 300.0 + 100 * seed, "bytes_uint8": 1000 * (ipc or 40), "bytes_video": 100 * (ipc or 40),
        }
        for method in ("full", "random", "herding", "tsgf[no_mask]")
        for ipc in ([None] if method == "full" else [1, 5])
        for seed in range(3)
    ]  # fmt: skip
    monkeypatch.setenv("VDD_RUN", str(tmp_path / "runs" / "quick" / "03"))
    return results.read(results.record(rows))


LAYERS = [("c1", "Conv3d", (8, 4, 16, 16), 1200), ("r1", "ReLU", (8, 4, 16, 16), 0), ("fc", "Linear", (5,), 45)]
CLIPS = np.random.default_rng(1).integers(0, 256, (2, 6, 16, 16, 3), dtype=np.uint8)
FLOW = np.random.default_rng(2).normal(size=(5, 16, 16, 2)).astype(np.float32)
ARRAYS = {
    "filmstrip": lambda: plots.filmstrip(CLIPS, ["a", "b"], columns=4),
    "chosen_in_plane": lambda: plots.chosen_in_plane(
        np.arange(12.0).reshape(6, 2), {"random": [4, 0], "herding": [1, 2]}
    ),
    "confusion": lambda: plots.confusion(np.eye(3) * 4 + 1, ["x", "y", "z"]),
    "losses": lambda: plots.losses({"total": [3, 2, 1], "bn": [1, 0.5, 0.2]}),
    "curves": lambda: plots.curves([1, 5, 20], {"with": [[1, 2], [3, 4], [5]], "without": [[1], [2], [3]]}, "IPC"),
    "plane": lambda: plots.plane({"random": [(1, 2), (2, 2)], "tsgf": [(0, 1)]}, "variability", "doubt"),
    "frame_sampling": lambda: plots.frame_sampling(40, [[0, 4, 8], [5, 9, 13]]),
    "class_counts": lambda: plots.class_counts([4, 5], [2, 3], ["x", "y"]),
    "flow_filmstrip": lambda: plots.flow_filmstrip({"a": FLOW, "b": 0.5 * FLOW}),
    "flow_wheel": lambda: plots.flow_wheel(3.0),
    "mixed_filmstrip": lambda: plots.mixed_filmstrip(CLIPS, [[0.7, 0.3], [0, 1]], ["Rise", "Fall"]),
    "saliency": lambda: plots.saliency(CLIPS[0], [0.1] * 6, [0.2] * 6, 0.15, [0.5] * 6),
    "evolution": lambda: plots.evolution(CLIPS[None].repeat(3, 0), [0, 5, 10], ["A", "B"]),
    "layer_diagram": lambda: plots.layer_diagram(LAYERS, (3, 4, 32, 32)),
}
RECORDS = ["accuracy_by_method", "accuracy_by_ipc", "accuracy_by_bytes", "accuracy_by_time", "accuracy_by_cost"]


FRAMES = {"filmstrip", "flow_filmstrip", "flow_wheel", "mixed_filmstrip", "saliency", "evolution"}


@pytest.mark.parametrize("name", [*RECORDS, *ARRAYS])
def test__figure__is_written_and_the_same_each_time(name, df, tmp_path):
    def draw():
        return getattr(plots, name)(df) if name in RECORDS else ARRAYS[name]()

    first = plots.save(draw(), tmp_path / "a" / "fig", {"rows": 1}, "What it shows.")
    second = plots.save(draw(), tmp_path / "b" / "fig", {"rows": 1}, "What it shows.")
    assert [p.suffix for p in first[1:]] == [".json"] and first[0].stem == "fig"
    assert first[0].suffix in ({".png", ".webp"} if name in FRAMES else {".svg"})
    assert first[0].read_bytes() == second[0].read_bytes()
    if name in FRAMES:
        assert Image.open(first[0]).format in ("PNG", "WEBP")
    else:
        assert ET.parse(first[0]).getroot().tag.endswith("svg")
    assert json.loads(first[1].read_text())["caption"] == "What it shows."


def test__save__a_png_beside_the_svg_where_asked_for(tmp_path):
    paths = plots.save(ARRAYS["losses"](), tmp_path / "fig", {}, png=True)
    assert [p.name for p in paths] == ["fig.svg", "fig.png", "fig.json"]
    assert paths[1].read_bytes()[:4] == b"\x89PNG"


def test__save__removes_what_an_earlier_version_left(tmp_path):
    for suffix in ("png", "svg", "jpg", "webp"):
        (tmp_path / f"fig.{suffix}").write_text("old")
    written = plots.save(ARRAYS["filmstrip"](), tmp_path / "fig", {})
    assert sorted(tmp_path.iterdir()) == sorted(written) and len(written) == 2


def test__save__frames_are_exact_where_that_is_smaller_and_never_heavy(tmp_path, monkeypatch):
    squares = plots.filmstrip(CLIPS)  # 16 pixels to a side: large squares of one colour
    assert plots.save(squares, tmp_path / "squares", {})[0].suffix == ".png"
    noise = np.random.default_rng(0).integers(0, 256, (1, 6, 300, 300, 3), dtype=np.uint8)
    widths = []
    for limit, size in (("LIGHT", 10**7), ("LIGHT", 1000), ("HEAVIEST", 1000)):
        monkeypatch.setattr(f"vddlib.plots.style.{limit}", size)
        (webp, _) = plots.save(plots.filmstrip(noise), tmp_path / "noise", {})
        widths.append(Image.open(webp).width)
    assert webp.suffix == ".webp"
    assert widths == pytest.approx([widths[0] * dpi / 150 for dpi in (150, 110, 80)], abs=2)


def test__save__colour_maps_are_plots_and_not_frames(tmp_path):
    assert plots.save(ARRAYS["confusion"](), tmp_path / "fig", {})[0].suffix == ".svg"


def test__save__rerun_leaves_the_json_alone(tmp_path):
    fig = ARRAYS["losses"]()
    before = plots.save(fig, tmp_path / "v1.2", {"rows": 1})[1].read_bytes()
    paths = plots.save(fig, tmp_path / "v1.2", {"rows": 1})
    assert paths[1].read_bytes() == before and paths[0].name == "v1.2.svg"


def test__plots__leave_matplotlib_as_it_was(df):
    import matplotlib.pyplot as plt

    before, backend, open_figures = dict(matplotlib.rcParams), matplotlib.get_backend(), plt.get_fignums()
    plots.accuracy_by_method(df)._repr_png_()
    assert dict(matplotlib.rcParams) == before
    assert matplotlib.get_backend() == backend and plt.get_fignums() == open_figures


def test__palette__is_stable():
    rows = results.METHODS.values()
    assert len({row.colour for row in rows}) == len(rows)
    assert [row.name for row in rows] == list(results.METHODS)
    assert plots.colour("tsgf[no_mask]") == plots.colour("tsgf") == "#117733"
    assert plots.colour("random") == "#888888" and plots.colour("full") == "#000000"
    with pytest.raises(VddError, match="unknown method"):
        plots.colour("tsfg")


def test__accuracy_by_method__draws_every_number(df):
    axes = plots.accuracy_by_method(df).axes
    for ax, ipc in zip(axes, (1, 5), strict=True):
        mine = df[df["ipc"] == ipc].fillna({"ipc": 0})
        assert sorted(bar.get_width() for bar in ax.patches) == pytest.approx(
            sorted(mine.groupby("method")["top1"].mean())
        )
        dots = [x for line in ax.lines if line.get_marker() == "o" for x in line.get_xdata()]
        assert sorted(dots) == pytest.approx(sorted(mine["top1"]))
        texts = [text.get_text() for text in ax.texts]
        assert texts == ["chance 12.5", f"full data {df[df['method'] == 'full']['top1'].mean():.1f}"]
    assert [tick.get_text() for tick in axes[0].get_yticklabels()] == [
        "Random (A)",
        "Herding (A)",
        "TSGF [no mask] (A!)",
    ]
    assert to_rgb(axes[0].patches[0].get_edgecolor()) == to_rgb(plots.colour("random"))


def test__accuracy_by_method__a_tick_where_random_is_under_the_same_protocol(df):
    def ticks(drawn):
        lines = [line for ax in drawn.axes for line in ax.lines if line.get_linewidth() == 2]
        return sorted(line.get_xdata()[0] for line in lines)

    random = df[df["method"] == "random"].groupby("ipc")["top1"].mean()
    assert ticks(plots.accuracy_by_method(df)) == pytest.approx(sorted([*random, *random]))  # herding's and TSGF's
    own = df[df["method"] == "herding"].assign(method="tsgf", protocol="D")
    assert len(ticks(plots.accuracy_by_method(pd.concat([df, own])))) == 4  # no random under D: no tick for tsgf
    relabelled = df[df["method"] == "random"].assign(protocol="D", top1=50.0)
    assert ticks(plots.accuracy_by_method(pd.concat([df, own, relabelled])))[-2:] == [50.0, 50.0]


def test__accuracy_by_ipc__a_panel_per_method_with_random_in_grey(df):
    axes = plots.accuracy_by_ipc(df).axes
    assert [ax.get_title(loc="left") for ax in axes] == ["Herding (A)", "TSGF [no mask] (A!)"]
    grey, own = (
        line for line in axes[0].lines if len(line.get_xdata()) == 2 and line.get_marker() not in ("_", "|", "None")
    )
    means = df.groupby(["method", "ipc"])["top1"].mean()
    assert grey.get_ydata().tolist() == pytest.approx(means["random"].tolist())
    assert own.get_ydata().tolist() == pytest.approx(means["herding"].tolist())


def marks(ax) -> dict[tuple[float, float], str]:
    """Place (x, y) -> colour of the marks of `_points`."""
    single = [line for line in ax.lines if len(line.get_xdata()) == 1 and line.get_marker() not in ("None", "_", "|")]
    return {(float(line.get_xdata()[0]), float(line.get_ydata()[0])): line.get_markeredgecolor() for line in single}


def test__accuracy_by_bytes__as_encoded_streams_where_measured_else_files(df):
    (ax,) = plots.accuracy_by_bytes(df).axes
    assert "video files" in ax.get_xlabel() and sorted({x for x, _ in marks(ax)}) == pytest.approx([1e-4, 5e-4])
    (ax,) = plots.accuracy_by_bytes(df.assign(bytes_stream=df["bytes_video"] / 2)).axes
    assert "streams" in ax.get_xlabel() and sorted({x for x, _ in marks(ax)}) == pytest.approx([5e-5, 2.5e-4])
    assert any("full data" in text.get_text() and "MB" in text.get_text() for text in ax.texts)
    two = plots.accuracy_by_bytes(df, kinds=("bytes_video", "bytes_uint8")).axes
    assert len(two) == 2 and sorted({x for x, _ in marks(two[1])}) == pytest.approx([1e-3, 5e-3])


def test__labels__lie_apart_and_near_their_points():
    places = spread(np.array([0.0, 0.01, 0.02, 0.9]), 0.1)
    assert np.diff(places).min() == pytest.approx(0.1) and places[:3].mean() == pytest.approx(0.01)
    assert places[3] == 0.9
    joined = spread(np.array([0.0, 0.05, 0.16, 0.17]), 0.1)  # two groups that meet become one
    assert np.diff(joined).tolist() == pytest.approx([0.1] * 3)
    assert spread(np.array([]), 0.1).size == 0


def test__accuracy__refuses_a_mixture(df):
    mixed = pd.concat([df, df[df["method"] == "random"].assign(epochs=99)])
    with pytest.raises(VddError, match="several epochs"):
        plots.accuracy_by_method(mixed)


def test__accuracy__says_what_is_missing(df):
    with pytest.raises(VddError, match="'f1'"):
        plots.accuracy_by_method(df, "f1")
    with pytest.raises(VddError, match="no record"):
        plots.accuracy_by_bytes(df, kinds=("bytes_float32",))


def test__filmstrip__what_stands_below_may_be_words():
    clips = np.zeros((2, 6, 8, 8, 3), np.uint8)
    below = plots.filmstrip(clips, ["a", "b"], 6, "from the first frame to the last").axes[0]
    assert below.get_xlabel() == "from the first frame to the last"
    assert {text.get_text() for text in below.get_xticklabels()} == {""}
    assert [text.get_text() for text in plots.filmstrip(clips).axes[0].get_xticklabels()] == list("012345")


def test__filmstrip__refuses_other_shapes():
    with pytest.raises(VddError, match=r"uint8 \[N, T, H, W, 3\]"):
        plots.filmstrip(CLIPS.astype(np.float32))


# ---- show


def test__videos__play_inline():
    text = show.videos(CLIPS, ["<a>", "b"]).data
    assert len(re.findall(r'src="data:video/mp4;base64,[A-Za-z0-9+/=]+"', text)) == 2
    assert "&lt;a&gt;" in text and "<a>" not in text
    with pytest.raises(VddError, match="2 clips but 1 titles"):
        show.videos(CLIPS, ["a"])
    with pytest.raises(VddError, match="uint8"):
        show.videos(CLIPS[0])


def test__table__escapes_and_leaves_empty():
    text = show.table(pd.DataFrame({"method": ["<b>"], "top1": [12.345], "auc": [None]})).data
    assert "&lt;b&gt;" in text and "12.3" in text and "None" not in text and "nan" not in text


def test_accuracy_by_cost_has_a_panel_of_memory_where_it_differs(df):
    (ax,) = plots.accuracy_by_cost(df.assign(peak_memory_mb=400.0)).axes
    assert {x for x, _ in marks(ax)} == {1.5}
    assert "peak memory of all: 400 to 400 MB" in [text.get_text() for text in ax.texts]
    df["peak_memory_mb"] = df["peak_memory_mb"].where(df["method"] != "herding", 150.0)
    time, memory = plots.accuracy_by_cost(df).axes
    assert {x for x, _ in marks(time)} == {1.5} and {x for x, _ in marks(memory)} == {150.0, 400.0}
    with pytest.raises(VddError, match="peak memory"):
        plots.accuracy_by_cost(df.assign(peak_memory_mb=None))


def test_accuracy_by_cost_shows_each_method_under_its_own_protocol(df):
    soft = df[df["method"] == "herding"].assign(method="tsgf", protocol="D", top1=77.0)
    hard = soft.assign(protocol="A", top1=33.0)
    relabelled = df[df["method"] == "random"].assign(protocol="D", top1=88.0)
    ax = plots.accuracy_by_cost(pd.concat([df, soft, hard, relabelled])).axes[-1]
    heights = {round(y) for _, y in marks(ax)}
    assert 77 in heights and not heights & {33, 88}
    assert {"Random (A)", "Herding (A)", "TSGF (D)"} <= {text.get_text() for text in ax.texts}


def test_curves_take_names_in_their_order():
    ax = plots.curves(["uniform", "hann"], {"tsgf": [[1, 3], [5, 5]]}, "window").axes[0]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["uniform", "hann"]
    assert ax.lines[0].get_ydata().tolist() == [2, 5]


def test_losses_are_smoothed_over_a_window():
    ax = plots.losses({"a": [4.0, 2.0, 6.0, 0.0]}, window=2).axes[0]
    assert ax.lines[1].get_xdata().tolist() == [2, 3, 4] and ax.lines[1].get_ydata().tolist() == [3, 4, 3]


def test_evolution_shows_the_middle_frame_of_every_snapshot():
    snapshots = np.zeros((3, 2, 4, 8, 8, 3), np.uint8)
    snapshots[:, :, 2] = 200
    drawn = plots.evolution(snapshots, [0, 5, 10], ["A", "B"])
    assert len(drawn.axes) == 6 and all((ax.images[0].get_array() == 200).all() for ax in drawn.axes)
    with pytest.raises(VddError, match="2 snapshots"):
        plots.evolution(snapshots, [0, 5], ["A", "B"])


# ---- strips


@pytest.mark.parametrize("length", [3, 40, 400])
def test__filmstrip__never_cuts_a_title_off(length):
    words = " ".join(["WWWW"] * (length // 5 + 1))
    for title in ("W" * length, words):
        figure = plots.filmstrip(CLIPS, [title, "b"])
        figure.draw_without_rendering()
        boxes = [text.get_window_extent() for text in figure.axes[0].get_yticklabels()]
        assert min(box.x0 for box in boxes) >= 0 and min(box.y0 for box in boxes) >= 0
        assert max(box.y1 for box in boxes) <= figure.bbox.y1
        assert figure.axes[0].get_yticklabels()[0].get_text().replace("\n", "").replace(" ", "") == title.replace(
            " ", ""
        )


def test__evolution__never_cuts_a_name_off():
    figure = plots.evolution(CLIPS[None].repeat(2, 0), [0, 5], ["W" * 60, "b"])
    figure.draw_without_rendering()
    assert all(ax.yaxis.label.get_window_extent().x0 >= 0 for ax in figure.axes if ax.get_ylabel())


def test__mixture__names_shares_largest_first():
    classes = ["Rise", "Fall", "Turn"]
    assert plots.mixture([0.3, 0.7, 0.0], classes) == "70 % Fall + 30 % Rise"
    assert plots.mixture([0.004, 0.996, 0.0], classes) == "100 % Fall"
    with pytest.raises(VddError, match="2 shares for 3 classes"):
        plots.mixture([0.5, 0.5], classes)
    titles = plots.mixed_filmstrip(CLIPS, [[0.7, 0.3], [0, 1]], ["Rise", "Fall"]).axes[0].get_yticklabels()
    assert [title.get_text() for title in titles] == ["70 % Rise + 30 % Fall", "100 % Fall"]


def test__flow_wheel__has_the_colours_of_flow_pictures():
    from vddlib.evaluation.sets import flow_pictures

    ax = plots.flow_wheel(4.0).axes[0]
    wheel = ax.images[0].get_array()
    middle, last = wheel.shape[0] // 2, wheel.shape[0] - 1
    flows = {(middle, last): (4.0, 0.0), (middle, 0): (-4.0, 0.0), (last, middle): (0.0, 4.0), (middle, middle): (0, 0)}
    for (row, column), flow in flows.items():  # a flow of positive y goes down, and stands below in the wheel
        assert wheel[row, column].tolist() == flow_pictures(np.array(flow, np.float32), 4.0).tolist()
    assert ax.images[0].get_extent() == [-1, 1, 1, -1] and "4 pixels" in ax.get_title()


def test__saliency__axes_say_what_they_measure():
    labels = [ax.get_ylabel() for ax in ARRAYS["saliency"]().axes if ax.get_ylabel()]
    assert len(labels) == 2 and "standard deviations" in labels[0] and "gradient" in labels[1]


def test__plane__shows_means_and_names_them_beside():
    ax = plots.plane({"random": [(1, 2), (3, 4)], "tsgf": [(2, 30)]}, "x", "y").axes[0]
    assert (2.0, 3.0) in [(float(x), float(y)) for line in ax.lines for x, y in zip(*line.get_data(), strict=True)]
    assert {text.get_text() for text in ax.texts} == {"Random", "TSGF"}
    assert ax.get_yscale() == "log" and ax.get_xscale() == "linear"


def test_noise_is_saved_too(tmp_path):
    """Pillow's optimised JPEG ran out of its buffer on pictures of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (4, 8, 112, 112, 3), dtype=np.uint8)
    paths = plots.save(plots.filmstrip(noise, ["noise"] * 4), tmp_path / "noise", {})
    assert all(path.stat().st_size < 1e6 for path in paths)
