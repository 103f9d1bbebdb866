"""A new method is one file, one notebook, its params and one row: tried in a copy of the repository, as a user would."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT, write_ucf

SELECTOR = '''"""Longest: the clips of the longest videos, for a test."""

from typing import ClassVar

import torch

from vddlib.distillers.selection.selector import Selector


class Longest(Selector):
    """The videos with the most frames."""

    name: ClassVar[str] = "longest"

    def embeddings(self, train, seed, candidates=None):
        """How long each video is."""
        pool = train if candidates is None else candidates
        return torch.tensor([[float(pool.frame_count(i))] for i in range(len(pool))]), 0.0

    def choose(self, embeddings, ipc, generator):
        """Those with the largest."""
        return embeddings[:, 0].argsort(descending=True, stable=True)[:ipc]
'''
STORAGE = '''"""One clip per class and a brightness for each of its clips, for a test."""

from typing import ClassVar

import torch
from torch import nn

from vddlib.datasets.clips import to_pixels
from vddlib.distillers.stored.contract import Content, Storage, encoded
from vddlib.distillers.stored.pixels import initial


class ShadedClips(Content):
    """``base float32 [C, 3, T, H, W]`` and ``shade [N]``."""

    kind: ClassVar[str] = "shaded"

    def __init__(self, base, shade, mean, std):
        super().__init__(mean, std)
        self.base, self.shade = nn.Parameter(base), nn.Parameter(shade)

    def __len__(self):
        return len(self.shade)

    def forward(self, indices, generator):
        """Clips ``float32 [n, 3, T, H, W]``."""
        of_class = indices * len(self.base) // len(self)
        return self.shade[indices].view(-1, 1, 1, 1, 1) * self.base[of_class]

    @classmethod
    def from_state(cls, tensors):
        """From its tensors."""
        return cls(*(tensors[name] for name in ("base", "shade", "mean", "std")))

    def pixel_values(self):
        """The base clips."""
        return self.base.numel()

    def files(self):
        """The base clips, encoded."""
        return encoded(to_pixels(self.base, self.mean, self.std))

    def other_tensors(self):
        """The shades."""
        return [self.shade]


class Shaded(Storage):
    """How `ShadedClips` begin."""

    suffix: ClassVar[str] = "shaded"

    def begin(self, train, ipc, indices, seed, device):
        """The first real clip of each class, at full brightness."""
        return ShadedClips(initial(train, ipc, seed, "real")[::ipc], torch.ones(len(indices)), train.mean, train.std)
'''
ROWS = """        ("longest", "Longest videos", "#123456", "s", "A", "a test"),
        ("dm+shaded", "DM + shades", "#654321", "D", "A", "a test"),
    )
}
"""
CELLS = [
    ("markdown", "# 99 · Two toys", []),
    (
        "code",
        "seeds: list[int] = [0]  # seeds\nipc: int = 2  # clips per class\nepochs: int = 1  # passes",
        ["parameters"],
    ),
    (
        "code",
        "from vddlib import distillers, evaluation, results\n"
        "from vddlib.datasets import clips\n"
        "from vddlib.datasets.geometry import geometry\n"
        "from vddlib.training.networks import Network\n\n"
        'train, test = clips.load("data/tiny", geometry(8, 32, 2))\n'
        'network = Network(options={"depth": 2, "widths": [8, 8]})\n'
        'shaded = distillers.build("dm+shaded", iterations=2, batch_real=2, lr_pixels=0.1, network=network)\n'
        'for method in (distillers.build("longest"), shaded):\n'
        "    sets = {seed: method.distill(train, ipc, seed) for seed in seeds}\n"
        '    chosen = evaluation.protocol("A", epochs=epochs)\n'
        "    results.record(evaluation.evaluate_each(sets, test, chosen, network=network).rows)",
        [],
    ),
]


@pytest.fixture
def checkout(tmp_path):
    """A copy of the repository as a user has it."""
    for name in ("vddlib", "notebooks", "params", "profiles"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "Snakefile", "README.md", "uv.lock"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.fixture
def copy(checkout):
    """The same with the methods added and nothing else touched."""
    (checkout / "vddlib/distillers/selection/longest.py").write_text(SELECTOR)
    (checkout / "vddlib/distillers/stored/shaded.py").write_text(STORAGE)
    cells = [
        {"cell_type": kind, "id": f"cell{i}", "metadata": {"tags": tags} if tags else {}, "source": source}
        | ({"outputs": [], "execution_count": None} if kind == "code" else {})
        for i, (kind, source, tags) in enumerate(CELLS)
    ]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (checkout / "notebooks/99_toys.ipynb").write_text(json.dumps(notebook))
    (checkout / "params/smoke/99_toys").mkdir()
    (checkout / "params/smoke/99_toys/motions.yaml").write_text("ipc: 2\n")
    rows = checkout / "vddlib/results/methods.py"
    text = rows.read_text()
    end = "    )\n}\n"
    assert text.count(end) == 1
    rows.write_text(text.replace(end, ROWS))
    return checkout


TABLE = """
import os
from vddlib import plots, results
from vddlib.results.main_table import main_table
df = results.gather("smoke")
print(main_table("smoke")[0].read_text())
drawing = plots.accuracy_by_method(df)
texts = {text.get_text() for ax in drawing.axes for text in (*ax.get_xticklabels(), *ax.get_yticklabels(), *ax.texts)}
print("in the figure:", *(name for name in ("DM + shades", "Longest videos") if any(name in t for t in texts)), sep="|")
"""


def test_a_new_method_appears_in_table_and_figure(copy, monkeypatch):
    env = {**os.environ, "PYTHONPATH": str(copy), "VDD_CACHE": str(copy / "cache")}
    write_ucf(copy / "data" / "tiny")
    run = [sys.executable, "-m", "vddlib.cli", "run", "notebooks/99_toys.ipynb", "params/smoke/99_toys/motions.yaml"]
    for command in (run, [sys.executable, "-c", TABLE]):
        done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, timeout=800)
        assert done.returncode == 0, done.stderr
    assert "| Longest videos" in done.stdout and "| DM + shades" in done.stdout
    assert "in the figure:|DM + shades|Longest videos" in done.stdout


def test_the_command_makes_methods_that_run_and_are_in_every_table(checkout):
    env = {**os.environ, "PYTHONPATH": str(checkout), "VDD_CACHE": str(checkout / "cache")}
    vdd = [sys.executable, "-m", "vddlib.cli"]
    made = {"my_pick": "selector", "my_match": "objective"}
    write_ucf(checkout / "data" / "tiny")
    new = [[*vdd, "new-method", name, "--kind", kind, "--printed", f"Mine ({kind})"] for name, kind in made.items()]
    runs = []
    for number, name in ((30, "my_pick"), (31, "my_match")):
        notebook, params = f"notebooks/{number}_{name}.ipynb", f"params/smoke/{number}_{name}/motions.yaml"
        runs.append([*vdd, "run", "--quiet", notebook, params])
    table = [
        sys.executable,
        "-c",
        TABLE.replace("DM + shades", "Mine (selector)").replace("Longest videos", "Mine (objective)"),
    ]
    for command in (*new, *runs, table):
        if command is runs[0]:  # on a dataset that takes no time to render
            for params in checkout.glob("params/smoke/3*_my_*/motions.yaml"):
                params.write_text(params.read_text() + "dataset: data/tiny\nstride: 2\n")
        done = subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True, timeout=800)
        assert done.returncode == 0, done.stderr
    assert "| Mine (selector)" in done.stdout and "| Mine (objective)" in done.stdout
    assert "in the figure:|Mine (selector)|Mine (objective)" in done.stdout
    readme = (checkout / "README.md").read_text()
    assert "| `30_my_pick`" in readme and "| `31_my_match`" in readme
    # What the project asks of its own files holds for those that were made.
    files = [*checkout.glob("vddlib/distillers/*/my_*.py"), *checkout.glob("notebooks/3*_my_*.ipynb")]
    assert len(files) == 4
    ruff = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), *map(str, files)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert ruff.returncode == 0, ruff.stdout
    again = subprocess.run(new[0], cwd=checkout, env=env, capture_output=True, text=True)
    assert again.returncode == 2 and "there is a method my_pick already" in again.stderr


@pytest.mark.parametrize(
    "name, printed, why",
    [("dm", "", "already"), ("My Method", "", "lower-case"), ("mine", 'a "b"', "quotes"), ("mine", "a\\b", "quotes")],
)
def test_names_that_cannot_be_are_refused(tmp_path, name, printed, why):
    from vddlib.core.errors import VddError
    from vddlib.notebook.new_method import new_method

    with pytest.raises(VddError, match=why):
        new_method(name, printed, root=ROOT)
    with pytest.raises(VddError, match="no checkout"):
        new_method("mine", root=tmp_path)
