"""Pages as Sphinx reads them: executed notebooks made readable, a chapter for each paper, the front page, the API."""

import html
import re
from pathlib import Path

import nbformat
import pandas as pd

from vddlib.core import cache
from vddlib.core.provenance import project_root
from vddlib.notebook.executed import last_state
from vddlib.results.cells import NOT_RUN, cells, counts, in_print
from vddlib.results.map import items, notes
from vddlib.results.published import papers
from vddlib.results.write import Block, markdown
from vddlib.site.runs import Run, document

CHAPTERS = {"tsgf": "TSGF", "optdistill": "OptDistill", "idtd": "IDTD", "diffusion": "Diffusion"}
OWN = {
    "tsgf": ("tsgf",), "optdistill": ("optdistill",), "idtd": ("idtd", "dm+vdsd", "mtt+vdsd", "frepo+vdsd"),
    "diffusion": ("vst_unet", "tac_dt", "mae_score", "csta", "dm_mmd"),
}  # fmt: skip
MANY_LINES = 12  # of an output: more is folded away
FILES = Path(__file__).with_name("files")


def notebook_page(run: Run, runs: list[Run]) -> nbformat.NotebookNode:
    """The executed copy as a page: parameters, imports and long logs folded, progress as it ended, every picture described,
    provenance at the end; on the first run's page links to the others."""
    page = nbformat.read(run.path, as_version=4)
    heading = run.notebook
    for cell in page.cells:
        given = set(cell.metadata.get("tags", []))
        folded = sorted(given & {"hide-cell"})  # answers of exercises
        cell.metadata.clear()
        if cell.cell_type == "markdown":
            found = re.findall(r"^#+ +(.+)$", cell.source, re.M)
            heading = found[-1] if found else heading
            continue
        if given & {"parameters", "injected-parameters"} or _only_imports(cell.source):
            folded.append("hide-input")
        if sum(_readable(output) for output in cell.get("outputs", [])) > MANY_LINES:
            folded.append("hide-output")
        cell.metadata["tags"] = folded
        said = cell.source.strip().splitlines()[-1] if cell.source.strip() else ""
        cell.metadata["mystnb"] = {"image": {"alt": f"{heading}: what {said} draws"}}
    end = [*_others(run, runs), "", *_provenance(run)]
    page.cells.append(nbformat.v4.new_markdown_cell("\n".join(end)))
    page.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return page


def _only_imports(source: str) -> bool:
    lines = [line for line in source.splitlines() if line.strip() and not line.startswith(("#", " ", ")"))]
    return bool(lines) and all(line.startswith(("import ", "from ")) for line in lines)


def _readable(output: nbformat.NotebookNode) -> int:
    """Makes a stream what a terminal would show of it in the end; the number of its lines."""
    if output.output_type != "stream":
        return 0
    text = output.text
    for place, name in ((str(cache.folder()), "$VDD_CACHE"), (str(project_root()), "."), (str(Path.home()), "~")):
        text = text.replace(place, name)  # whoever reads has no use for folders of whoever built
    lines = [last_state(line) for line in text.split("\n")]
    kept = [line for number, line in enumerate(lines) if number == 0 or line != lines[number - 1]]
    output.text = "\n".join(kept)
    return len(kept)


def _others(run: Run, runs: list[Run]) -> list[str]:
    others = [other for other in runs if other is not run]
    if not others:
        return []
    here = document(runs, run).count("/") * "../"
    links = ", ".join(f"[{other.variant}]({here}{document(runs, other)}.ipynb)" for other in others)
    listed = [f"{other.variant} <{here}{document(runs, other)}>" for other in others]
    # In the table of contents all runs are under the notebook's first page.
    return ["## Other runs of this notebook", "", links, "", *(toctree(listed, hidden=True) if run is runs[0] else [])]


def _provenance(run: Run) -> list[str]:
    about = run.about
    facts = {name: about.get(name, "") for name in ("params", "commit", "device", "started")}
    facts["commit"], facts["device"] = facts["commit"][:12], ", ".join(facts["device"])
    facts |= {
        "lock file": about.get("lock_sha256", "")[:12],
        "took": f"{about.get('wall_seconds', 0):.0f} s, {about.get('peak_memory_mb', 0):.0f} MB",
    }
    rows = [f"| {name} | `{value}` |" for name, value in facts.items() if value]
    return ["## Where this page comes from", "", "| | |", "|---|---|", *rows, ""]


def chapter(paper: str, root: Path, scale: str, df: pd.DataFrame, runs: dict[str, list[Run]]) -> str:
    """A paper: what it claims, how it works, what was found at `scale`, what does not add up, and its notebooks."""
    mine = [item for item in items() if item.paper == paper]
    names = sorted(
        {name for item in mine for name in item.runs if name in runs and name[:2] >= "09"} - {"20_tables_and_figures"}
    )
    text = (FILES / f"{paper}.md").read_text(encoding="utf-8")
    found = cells(df, paper)
    own = in_print(found[found["method"].isin(OWN[paper]) & (found["status"] != NOT_RUN)].drop(columns="paper"))
    lines = [
        f"# {CHAPTERS[paper]}",
        "",
        f"*{papers()[paper]}*",
        "",
        text,
        f"## What was found here (scale {scale})",
        "",
    ]
    lines += [
        f"Of {len(found)} published accuracies: {counts(found)}. Statuses are explained in [the map](../notebooks/map.md).",
        "",
    ]
    if len(own):
        lines += [markdown([Block("", own)]), ""]
    for name in names:
        path = root / "figures" / scale / name / "findings.md"
        if path.is_file():
            lines += [_lower(path.read_text(encoding="utf-8")), ""]
    odd = notes(mine)
    lines += ["## What does not add up, or has to be known", "", *odd, ""] if odd else []
    return "\n".join(
        [*lines, *toctree([f"../{document(runs[name], runs[name][0])}" for name in names], "Its notebooks")]
    )


def _lower(text: str) -> str:
    """Headings one level down: a findings file is a page of its own elsewhere."""
    return re.sub(r"^#", "##", text, flags=re.M)


def toctree(documents: list[str], caption: str = "", hidden: bool = False) -> list[str]:
    """Lines of a table of contents."""
    options = [f":caption: {caption}"] if caption else []
    options += [":hidden:"] if hidden else []
    return ["```{toctree}", ":maxdepth: 1", *options, "", *documents, "```", ""] if documents else []


def front(root: Path, scale: str, runs: dict[str, list[Run]]) -> str:
    """The front page: one picture, the fair table, and where to go from there."""
    figures, first = root / "figures" / scale, {name: document(of, of[0]) for name, of in runs.items()}
    pictures = sorted(figures.glob("fair_ipc*.png"), key=lambda path: (path.stem != "fair_ipc5", path.stem))
    lines = ["# Video dataset distillation, reproduced", ""]
    lines += [
        "A few clips per class in place of a labelled video dataset: four papers and a dozen baselines say how. Here they are",
        f"measured in one way. All of this was computed at scale `{scale}`; every notebook ends with its provenance.",
        "",
    ]
    if pictures:
        alt = f"Top-1 under protocol F of students of every method, scale {scale}, with 95 % intervals"
        lines += [f"```{{image}} _figures/{pictures[0].name}", f":alt: {alt}", ":width: 640px", "```", ""]
    table = figures / "fair_table.md"
    if table.is_file():
        lines += ["## The fair table", "", table.read_text(encoding="utf-8"), ""]
    baselines = [name for name in sorted(first) if "03" <= name[:2] <= "08"]
    start = [name for name in sorted(first) if name[:2] <= "02" or name[:2] in ("20", "21", "23", "24")]
    other = [name for name in sorted(first) if name[:2] in ("14", "18", "19", "22")]
    lines += toctree([first[name] for name in start], "Start", hidden=True)
    lines += toctree([f"papers/{paper}" for paper in CHAPTERS], "The papers", hidden=True)
    lines += toctree([first[name] for name in baselines], "Baselines", hidden=True)
    lines += toctree([first[name] for name in other], "Across methods", hidden=True)
    lines += toctree(["explorer", "gallery"], "Look", hidden=True)
    return "\n".join(lines + toctree(["notebooks/map", "glossary", "api/index"], "Reference", hidden=True))


def api(package: Path) -> dict[str, str]:
    """A page per room of the package, from docstrings; and one that lists them."""
    rooms: dict[str, list[str]] = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        if path.name.startswith("_") or "templates" in parts or len(parts) < 3:
            continue
        rooms.setdefault(parts[1], []).append(".".join(parts))
    pages = {}
    for room, modules in rooms.items():
        lines = [f"# vddlib.{html.escape(room)}", ""]
        for module in modules:
            lines += [f"## {module}", "", "```{eval-rst}", f".. automodule:: {module}", "```", ""]
        pages[f"api/{room}"] = "\n".join(lines)
    head = ["# The package", "", "From the docstrings: shapes, units, errors, sources.", ""]
    return pages | {"api/index": "\n".join(head + toctree(list(rooms)))}
