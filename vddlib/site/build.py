"""Building the reading room: pages of one scale under site/, which open from disk and below any address."""

import json
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import nbformat
import pandas as pd

from vddlib.core.errors import VddError
from vddlib.core.progress import say
from vddlib.core.provenance import project_root
from vddlib.results import map as maps
from vddlib.results import records
from vddlib.site import pages
from vddlib.site.explorer import explored
from vddlib.site.gallery import gallery
from vddlib.site.pages import FILES
from vddlib.site.runs import Run, document, finished

MARK = ".made-by-vdd-site"  # in a folder that may be made anew
SOURCES = "artifacts/site"  # what Sphinx reads, and what it remembers of it: a second build is quicker


def build(scale: str, output: Path | None = None, api: bool = True, root: Path | None = None) -> Path:
    """The site of a scale's finished runs, in `output` (site/); its first page. Nothing is executed.

    `api`: with the pages of docstrings, which take longest. Raises VddError where the scale has no finished run or no records,
    where `output` holds something that is no earlier site, and where Sphinx fails, with what it said.
    """
    root = root or project_root()
    output, source = output or root / "site", root / SOURCES / scale
    runs = finished(root, scale)
    if not runs:
        raise VddError(f"runs/{scale} has no finished run: run the scale first (uv run snakemake --cores all {scale})")
    _ours(output)
    df = records.load(scale, root)
    for old in ("pages", "html"):  # Sphinx leaves pages there whose sources have gone
        shutil.rmtree(source / old, ignore_errors=True)
    (source / "pages").mkdir(parents=True)
    _write_pages(scale, root, source / "pages", runs, df)
    _write_api(source / "pages", api)
    say(f"site: {sum(map(len, runs.values()))} notebooks of {scale}; Sphinx turns them into pages")
    _sphinx(source / "pages", source / "doctrees", source / "html")
    (source / "html" / MARK).touch()
    (source / "html" / ".nojekyll").touch()  # a host that hides names with an underscore would hide every picture
    shutil.rmtree(output, ignore_errors=True)
    shutil.copytree(source / "html", output, ignore=shutil.ignore_patterns(".buildinfo", "objects.inv"))
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    say(f"site: {output / 'index.html'}, {size / 1e6:.0f} MB")
    return output / "index.html"


def _ours(output: Path) -> None:
    """Refuse a folder that would be deleted and holds what somebody else put there."""
    if output.is_dir() and any(output.iterdir()) and not (output / MARK).is_file():
        raise VddError(f"{output} is not empty and no earlier site: name a new folder, or empty this one")
    if output.exists() and not output.is_dir():
        raise VddError(f"{output} is a file; name a folder")


def _write_pages(scale: str, root: Path, folder: Path, runs: dict[str, list[Run]], df: pd.DataFrame) -> None:
    static = folder / "_static"
    static.mkdir()
    for name in ("site.css", "site.js", "explorer.js", "gallery.js"):
        shutil.copy(FILES / name, static)
    for name in ("conf.py", "glossary.md"):
        shutil.copy(FILES / name, folder)
    _vendored(static)
    (folder / "_figures").mkdir()
    for path in (root / "figures" / scale).glob("*.png"):
        shutil.copy(path, folder / "_figures")
    for mine in runs.values():
        for run in mine:
            target = folder / f"{document(mine, run)}.ipynb"
            target.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(pages.notebook_page(run, mine), target)
    texts = {f"papers/{paper}": pages.chapter(paper, root, scale, df, runs) for paper in pages.CHAPTERS}
    texts |= {
        "index": pages.front(root, scale, runs),
        "gallery": gallery(runs, folder),
        "notebooks/map": maps.text(root, linked=runs),
    }
    _write(folder, texts)
    rows = json.dumps(explored(root, scale, runs), allow_nan=False).replace("</", "<\\/")
    (static / "records.js").write_text(f"const RECORDS = {rows};\n", encoding="utf-8")
    for path in root.glob("figures/*/records.csv"):
        shutil.copy(path, static / f"records-{path.parent.name}.csv")
    links = ", ".join(f"[{one.stem[8:]}](_static/{one.name})" for one in sorted(static.glob("records-*.csv")))
    _write(folder, {"explorer": (FILES / "explorer.md").read_text(encoding="utf-8").replace("RECORDS", links)})


def _write_api(folder: Path, api: bool) -> None:
    made = pages.api(Path(__file__).parents[1]) if api else {"api/index": "# The package\n\nNot built here.\n"}
    _write(folder, made)


def _write(folder: Path, texts: dict[str, str]) -> None:
    """Pages as Markdown, by name."""
    for name, text in texts.items():
        (folder / f"{name}.md").parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.md").write_text(text, encoding="utf-8")


def _vendored(static: Path) -> None:
    """MathJax and Plotly, each one file out of its installed package: pages ask no server for them."""
    from plotly.offline import get_plotlyjs

    mathjax = distribution("sphinx-mathjax-offline").locate_file("sphinx-mathjax-offline/static/mathjax/tex-svg.js")
    shutil.copy(Path(str(mathjax)), static / "tex-svg.js")
    (static / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")


def _sphinx(source: Path, doctrees: Path, output: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-d", str(doctrees), str(source), str(output)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise VddError(f"Sphinx could not build the site: {(done.stderr or done.stdout).strip()[-2000:]}")
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    if lines:
        say(f"site: {len(lines)} remarks of Sphinx, the first: {lines[0]}")
