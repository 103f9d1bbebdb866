"""Figures: written whole as png, svg and json, the same bytes for the same data, one colour per method."""

import json
import re
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from vddlib import plots, results
from vddlib.core.errors import VddError
from vddlib.notebook import show


@pytest.fixture
def df(tmp_path, monkeypatch):
    """Full data, random and herding at IPC 1 and 5, three seeds, on motions."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "method": method, "dataset": "motions", "ipc": ipc, "protocol": "A", "student": "minic3d", "frames": 8,
            "size": 32, "epochs": 60, "seed": seed, "top1": 20 + 5 * (ipc or 12) + rng.normal(), "train_seconds": 2.0,
            "distill_seconds": None if method == "full" else 1.5,
            "peak_memory_mb": 300.0 + 100 * seed, "bytes_uint8": 1000 * (ipc or 40),
        }
        for method in ("full", "random", "herding", "tsgf[no_mask]")
        for ipc in ([None] if method == "full" else [1, 5])
        for seed in range(3)
    ]  # fmt: skip
    monkeypatch.setenv("VDD_RUN", str(tmp_path / "runs" / "quick" / "03"))
    return results.read(results.record(rows))


LAYERS = [("c1", "Conv3d", (8, 4, 16, 16), 1200), ("r1", "ReLU", (8, 4, 16, 16), 0), ("fc", "Linear", (5,), 45)]
CLIPS = np.random.default_rng(1).integers(0, 256, (2, 6, 16, 16, 3), dtype=np.uint8)
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
    "layer_diagram": lambda: plots.layer_diagram(LAYERS, (3, 4, 32, 32)),
}
RECORDS = ["accuracy_by_method", "accuracy_by_ipc", "accuracy_by_bytes", "accuracy_by_time", "accuracy_by_cost"]


@pytest.mark.parametrize("name", [*RECORDS, *ARRAYS])
def test__figure__is_written_and_the_same_each_time(name, df, tmp_path):
    def draw():
        return getattr(plots, name)(df) if name in RECORDS else ARRAYS[name]()

    first = plots.save(draw(), tmp_path / "a" / "fig", {"rows": 1}, "What it shows.")
    second = plots.save(draw(), tmp_path / "b" / "fig", {"rows": 1}, "What it shows.")
    assert [p.name for p in first] == ["fig.png", "fig.svg", "fig.json"]
    assert [p.read_bytes() for p in first[:2]] == [p.read_bytes() for p in second[:2]]
    assert first[0].read_bytes()[:4] == b"\x89PNG"
    assert ET.parse(first[1]).getroot().tag.endswith("svg")
    assert json.loads(first[2].read_text())["caption"] == "What it shows."


def test__save__rerun_leaves_the_json_alone(tmp_path):
    fig = ARRAYS["losses"]()
    before = plots.save(fig, tmp_path / "v1.2", {"rows": 1})[2].read_bytes()
    paths = plots.save(fig, tmp_path / "v1.2", {"rows": 1})
    assert paths[2].read_bytes() == before and paths[0].name == "v1.2.png"


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
    (ax,) = plots.accuracy_by_method(df).axes
    part = df[df["method"] != "full"].groupby(["method", "ipc"])["top1"]
    assert sorted(bar.get_height() for bar in ax.patches if bar.get_width() < 1) == pytest.approx(sorted(part.mean()))
    dots = [y for line in ax.lines if line.get_marker() == "o" for y in line.get_ydata()]
    assert sorted(dots) == pytest.approx(sorted(df[df["method"] != "full"]["top1"]))
    texts = [text.get_text() for text in ax.texts]
    assert "chance\n12.5" in texts and f"full data\n{df[df['method'] == 'full']['top1'].mean():.1f}" in texts
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["Random", "Herding", "TSGF [no mask]"]
    assert to_rgb(ax.patches[0].get_edgecolor()) == to_rgb(plots.colour("random"))


def test__accuracy__refuses_a_mixture(df):
    mixed = pd.concat([df, df[df["method"] == "random"].assign(epochs=99)])
    with pytest.raises(VddError, match="several epochs"):
        plots.accuracy_by_method(mixed)


def test__accuracy__says_what_is_missing(df):
    with pytest.raises(VddError, match="'f1'"):
        plots.accuracy_by_method(df, "f1")
    with pytest.raises(VddError, match="no record"):
        plots.accuracy_by_bytes(df, kinds=("bytes_video",))


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


def test_accuracy_by_cost_draws_the_mean_time_and_an_area_of_memory(df):
    df["peak_memory_mb"] = df["peak_memory_mb"].where(df["method"] != "herding", 150.0)
    ax = plots.accuracy_by_cost(df).axes[0]
    marks = [mark for mark in ax.collections if hasattr(mark, "get_sizes")]
    places = [mark.get_offsets()[0] for mark in marks]
    assert len(marks) == 6 and all(x == 1.5 for x, _ in places)
    areas = {round(float(y), 6): float(mark.get_sizes()[0]) for (_, y), mark in zip(places, marks, strict=True)}
    of = {
        name: areas[round(df[(df["method"] == name) & (df["ipc"] == 5)]["top1"].mean(), 6)]
        for name in ("random", "herding")
    }
    assert of["random"] / of["herding"] == pytest.approx(400 / 150)
    with pytest.raises(VddError, match="peak memory"):
        plots.accuracy_by_cost(df.assign(peak_memory_mb=None))


def test_accuracy_by_cost_shows_each_method_under_its_own_protocol(df):
    soft = df[df["method"] == "herding"].assign(method="tsgf", protocol="D", top1=77.0)
    hard = soft.assign(protocol="A", top1=33.0)
    relabelled = df[df["method"] == "random"].assign(protocol="D", top1=88.0)
    figure = plots.accuracy_by_cost(pd.concat([df, soft, hard, relabelled]))
    heights = {
        round(float(mark.get_offsets()[0][1])) for mark in figure.axes[0].collections if hasattr(mark, "get_sizes")
    }
    assert len(figure.axes) == 1 and 77 in heights and not heights & {33, 88}
    assert [text.get_text() for text in figure.legends[0].get_texts()][:3] == ["Random (A)", "Herding (A)", "TSGF (D)"]


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
