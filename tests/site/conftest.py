"""A made scale: two executed notebooks, records, a fair table, two distilled sets; its site; and a browser to read it in."""

import base64
import io
import json
import shutil

import matplotlib
import nbformat
import pandas as pd
import pytest

from tests.conftest import ROOT, write_ucf
from tests.results.made import fair_records, frame, students
from vddlib.core.params import params_of_file
from vddlib.core.provenance import params_sha256
from vddlib.datasets import clips
from vddlib.datasets.geometry import Geometry
from vddlib.distillers import Random
from vddlib.notebook import show
from vddlib.results.records import to_csv
from vddlib.site.build import build

matplotlib.use("Agg")
PARAMS = "ipc = 5\nlr = 0.1"


def picture() -> bytes:
    """A small PNG."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(2, 1))
    axes.plot([0, 1], [1, 0])
    made = io.BytesIO()
    figure.savefig(made, format="png")
    plt.close(figure)
    return made.getvalue()


def executed(title: str, pixels) -> nbformat.NotebookNode:
    """A notebook as papermill leaves it: parameters, imports, a video, a picture, a formula, a long log."""
    v4 = nbformat.v4
    video = v4.new_output("execute_result", {"text/html": show.videos(pixels, ["red", "green"]).data})
    drawn = v4.new_output("execute_result", {"image/png": base64.b64encode(picture()).decode()})
    log = "\n".join(f"step {n}" for n in range(40))
    progress = "dm seed 0: 1/9\rdm seed 0: 9/9, 4 s\rdm seed 0: 9/9, 4 s\n"
    cells = [
        v4.new_markdown_cell(f"# {title}\n\nThe loss is $L = \\sum_c \\|\\mu_c\\|^2$."),
        v4.new_code_cell(PARAMS, metadata={"tags": ["parameters"], "papermill": {"duration": 1.0}}),
        v4.new_code_cell("import torch\nfrom vddlib import plots"),
        v4.new_markdown_cell("## Clips"),
        v4.new_code_cell("show.videos(clips)", outputs=[video]),
        v4.new_code_cell("page.losses()", outputs=[drawn]),
        v4.new_code_cell("train()", outputs=[v4.new_output("stream", name="stdout", text=log)]),
        v4.new_code_cell("quick()", outputs=[v4.new_output("stream", name="stdout", text=progress)]),
    ]
    return v4.new_notebook(cells=cells)


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """A project whose scale `quick` has been run."""
    root = tmp_path_factory.mktemp("reading")
    for name in ("Snakefile", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    (root / "notebooks").mkdir()
    folder = write_ucf(root / "data", train=3, test=1)
    train, _ = clips.load(str(folder), Geometry(frames=8, size=32, stride=2, resize=(32, 32)))
    shas = {}
    for number, variants in {"04_dm": ("motions_ipc5", "motions_ipc1"), "11_tsgf": ("motions_ipc5",)}.items():
        source = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(PARAMS, metadata={"tags": ["parameters"]})])
        nbformat.write(source, root / "notebooks" / f"{number}.ipynb")
        for variant in variants:
            params = root / "params/quick" / number / f"{variant}.yaml"
            params.parent.mkdir(parents=True, exist_ok=True)
            params.write_text(f"ipc: {variant[-1]}\nlr: {0.1 if number == '04_dm' else 0.2}\n")
            shas[number, variant] = params_sha256(params_of_file(root / "notebooks" / f"{number}.ipynb", params))
            run = root / "runs/quick" / number / f"{variant}.ipynb"
            run.parent.mkdir(parents=True, exist_ok=True)
            made = Random().distill(train, 1, seed=0)
            nbformat.write(executed(f"{number[:2]} · {number[3:].upper()}", made.pixels[:2]), run)
            about = {"params": f"params/quick/{number}/{variant}.yaml", "commit": "c" * 40, "device": ["a CPU"]}
            run.with_suffix(".json").write_text(json.dumps(about | {"wall_seconds": 61.5, "peak_memory_mb": 900}))
            made.card["method"] = number[3:]
            made.save(run.with_suffix(".sets") / f"{number[3:]}_seed0")
    figures = root / "figures/quick"
    figures.mkdir(parents=True)
    other = students("dm", 20, 2, student="c3d")  # an architecture that comes first by name, with one method
    df = pd.concat([fair_records(), frame(other)], ignore_index=True)
    for method, number in (("dm", "04_dm"), ("tsgf", "11_tsgf")):
        df.loc[(df["method"] == method) & (df["ipc"] == 5), "params_sha256"] = shas[number, "motions_ipc5"]
    (figures / "records.csv").write_text(to_csv(df))
    (figures / "fair_table.md").write_text("Top-1.\n\n| method | F |\n|:--|:--|\n| TSGF | 69.0 <sub>+9.0</sub> |\n")
    (figures / "fair_ipc5.png").write_bytes(picture())
    (figures / "11_tsgf").mkdir()
    (figures / "11_tsgf/findings.md").write_text("# TSGF: findings\n\nMeasured, and said.\n")
    return root


@pytest.fixture(scope="session")
def site(project):
    """The folder of the built site."""
    return build("quick", api=False, root=project).parent


def _chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium; skipped, saying so, where there is none."""
    if not (path := _chromium()):
        pytest.skip("no Chromium on this machine: pages are not opened in a browser")
    sync = pytest.importorskip("playwright.sync_api")
    with sync.sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        )
        yield opened
        opened.close()


@pytest.fixture
def page(browser, site):
    """A page that notes what went wrong on it: errors, requests that failed or that left the site."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, reduced_motion="no-preference")
    opened = context.new_page()
    opened.wrong = []
    opened.on("console", lambda one: opened.wrong.append(one.text) if one.type == "error" else None)
    opened.on("pageerror", lambda error: opened.wrong.append(str(error)))
    opened.on("requestfailed", lambda one: opened.wrong.append(f"failed: {one.url}"))
    opened.on("request", lambda one: opened.wrong.append(one.url) if one.url.startswith("http") else None)
    opened.at = lambda name: opened.goto((site / name).as_uri())
    yield opened
    context.close()
