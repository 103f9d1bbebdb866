"""The map: which notebook makes each table and figure of the papers, from which params files, into which files.

``python -m vddlib.results.map`` writes it to notebooks/README.md, from map.yaml and the files of this checkout.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import yaml

from vddlib.core.files import write_atomic
from vddlib.core.provenance import project_root
from vddlib.results.published import papers, published

FILE = Path(__file__).with_name("map.yaml")
SHOWN = ("quick", "miniucf10")  # scales whose figures are committed
WRITTEN_BY = "python -m vddlib.results.map"
HEAD = f"""# The map

Where each table and figure of the papers is made, and what of it was run here. `params` are files under
`params/paper/NOTEBOOK/`: the published setting, which needs GPUs. Files are in `figures/SCALE/NOTEBOOK/VARIANT/`, or in
`figures/SCALE/` where a name begins with `/`. The columns `quick` (rendered videos) and `miniucf10` (ten real classes) count
the params files there that have committed figures. Written by `{WRITTEN_BY}`.
"""


@dataclass(frozen=True)
class Item:
    """A table or figure: its paper, what it shows, notebook -> patterns of params files, files drawn, what does not add up."""

    paper: str
    item: str
    shows: str
    runs: dict[str, list[str]] = field(default_factory=dict)
    draws: list[str] = field(default_factory=list)
    note: str = ""

    def params(self, scale: str, root: Path) -> list[Path]:
        """Its params files at a scale: those of its patterns.

        Patterns that fit nothing outside `paper` name the papers' datasets, and not experiments: elsewhere than there all of
        the notebook's files are the item's.
        """
        found = []
        for notebook, patterns in self.runs.items():
            files = {s: sorted((root / "params" / s / notebook).glob("*.yaml")) for s in {*SHOWN, scale}}
            fitting = {s: [one for one in some if _fits(one, patterns)] for s, some in files.items()}
            experiment = any(fitting[shown] for shown in SHOWN)
            found += fitting[scale] if experiment or scale == "paper" else files[scale]
        return found


def _fits(params: Path, patterns: list[str]) -> bool:
    return any(fnmatch(params.stem, pattern) for pattern in patterns)


def items() -> list[Item]:
    """All of map.yaml, in its order."""
    papers_of = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return [Item(paper["paper"], **item) for paper in papers_of for item in paper["items"]]


def notes(found: Sequence[Item]) -> list[str]:
    """What does not add up in some items, a line each."""
    return [f"- **{item.item}**: {item.note}" for item in found if item.note]


def text(root: Path | None = None, linked: Container[str] | None = None) -> str:
    """The map of a checkout, as Markdown, with links to the notebooks in `linked` (all)."""
    root = root or project_root()
    lines, titles, known = [HEAD], papers() | {"ours": "What no paper has"}, items()
    for paper, title in titles.items():
        mine = [item for item in known if item.paper == paper]
        lines += [
            f"## {title}",
            "",
            "| | shows | notebook | params | files | quick | miniucf10 |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [_row(item, root, linked) for item in mine] + [""]
        odd = notes(mine)
        lines += ["What does not add up, or has to be known:", "", *odd, ""] if odd else []
    return "\n".join(lines).rstrip() + "\n"


def _row(item: Item, root: Path, linked: Container[str] | None) -> str:
    names = (f"[{name}]({name}.ipynb)" if linked is None or name in linked else name for name in item.runs)
    notebooks = "<br>".join(names)
    patterns = "<br>".join(", ".join(f"`{one}`" for one in patterns) for patterns in item.runs.values())
    drawn = ", ".join(f"`{name}`" for name in item.draws)
    ran = [_ran(item, scale, root) for scale in SHOWN]
    return f"| {item.item} | {item.shows} | {notebooks} | {patterns} | {drawn} | {' | '.join(ran)} |"


def _ran(item: Item, scale: str, root: Path) -> str:
    """How many of its params files at a scale have figures: '2 of 3', or nothing where there are none."""
    files = item.params(scale, root)
    done = [path for path in files if has_figures(path, root)]
    return f"{len(done)} of {len(files)}" if files else ""


def has_figures(params: Path, root: Path) -> bool:
    """Whether the run of a params file left figures or tables that are in the checkout."""
    _, scale, notebook, variant = params.relative_to(root).with_suffix("").parts
    if variant == "all":  # tables of a whole scale
        return (root / "figures" / scale / "records.csv").is_file()
    return any((root / "figures" / scale / notebook / variant).glob("*"))


def missing(root: Path | None = None) -> list[str]:
    """What the map leaves out: published tables, notebooks, and params files at `paper` that no item names."""
    root, known = root or project_root(), items()
    tables = {(row.paper, f"table {row.table}") for row in published().itertuples()}
    said = [f"{paper}, {table}" for paper, table in sorted(tables - {(item.paper, item.item) for item in known})]
    named = {notebook for item in known for notebook in item.runs}
    said += [path.name for path in sorted((root / "notebooks").glob("*.ipynb")) if path.stem not in named]
    said += [
        f"{name}.ipynb, which is not there"
        for name in sorted(named)
        if not (root / "notebooks" / f"{name}.ipynb").is_file()
    ]
    covered = {path for item in known for path in item.params("paper", root)}
    said += [
        str(path.relative_to(root)) for path in sorted((root / "params/paper").glob("*/*.yaml")) if path not in covered
    ]
    return said


if __name__ == "__main__":
    print(write_atomic(project_root() / "notebooks" / "README.md", text()))
