"""A new method in a checkout: its file, its notebook, its params files and its row, all of which run as they are made."""

import re
from pathlib import Path
from typing import Literal

from vddlib.core.errors import VddError
from vddlib.core.files import write_atomic
from vddlib.core.provenance import project_root

Kind = Literal["selector", "objective"]
TEMPLATES = Path(__file__).with_name("templates")
FOLDERS: dict[str, str] = {"selector": "selection", "objective": "matching"}
FIRST_NUMBER = 30  # notebooks below are the project's own
# Okabe and Ito's, and Tol's: the first that no method has yet.
COLOURS = ("#009E73", "#F0E442", "#DDAA33", "#BB5566", "#004488", "#EE3377", "#33BBEE", "#CCBB44")
PARAMS = {  # by scale and variant; what differs by kind is METHOD_PARAMS
    "smoke/{}/motions": """# Every cell runs; the numbers mean nothing.
ipc: 1
method_params: @PARAMS@
epochs: 1
fair_steps: 2
seeds: [0, 1]
student_options: {depth: 2, widths: [8, 8]}
""",
    "quick/{}/motions_ipc5": """# Values of 03_coresets and 04_dm: search your own (notebook 22) before you compare.
ipc: 5
method_params: @PARAMS@
epochs: 40
lr: 5.0e-3
seeds: [0, 1, 2, 3, 4]
""",
}
METHOD_PARAMS = {
    "selector": ("{recipe: {epochs: 1, batch_size: 32}}", "{recipe: {epochs: 30, batch_size: 32}}"),
    "objective": ("{iterations: 3, batch_real: 2}", "{iterations: 100, lr_pixels: 5.0, batch_real: 16}"),
}


def new_method(name: str, printed: str = "", kind: Kind = "selector", root: Path | None = None) -> list[Path]:
    """Write what a method needs to be in every table: the files made or changed.

    `name` is its name in records and files, `printed` the one in print. Raises VddError where there is such a method or file
    already, the name is none, or the folder is no checkout of this project; then nothing is written.
    """
    root = Path(root or project_root())
    rows, readme = root / "vddlib/results/methods.py", root / "README.md"
    if not rows.is_file() or not readme.is_file():
        raise VddError(f"{root} is no checkout of this project: a method is a file in its vddlib/")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise VddError(f"{name!r}: a method's name is lower-case letters, digits and _, and begins with a letter")
    if f'("{name}",' in rows.read_text(encoding="utf-8"):
        raise VddError(f"there is a method {name} already; choose another name")
    printed = printed or name.replace("_", "-").title()
    if not printed.isprintable() or set(printed) & set('"\\|@`'):
        raise VddError("the name in print may not hold quotes, bars, backslashes or line breaks")
    number = _free_number(root)
    values = {"NAME": name, "PRINTED": printed, "CLASS": _class_name(name), "NUMBER": str(number)}
    notebook = f"{number}_{name}"
    made = {
        root / f"vddlib/distillers/{FOLDERS[kind]}/{name}.py": _filled(f"{kind}.py.txt", values),
        root / f"notebooks/{notebook}.ipynb": _filled(f"{kind}.ipynb.txt", values),
    }
    for (place, text), params in zip(PARAMS.items(), METHOD_PARAMS[kind], strict=True):
        made[root / f"params/{place.format(notebook)}.yaml"] = text.replace("@PARAMS@", params)
    for path in made:
        if path.exists():
            raise VddError(f"{path.relative_to(root)} is there already; choose another name")
    changed = {
        rows: _with_row(rows.read_text(encoding="utf-8"), name, printed),
        readme: _listed(readme, notebook, printed),
    }
    for path, text in (made | changed).items():
        write_atomic(path, text)
    return [*made, *changed]


def _filled(template: str, values: dict[str, str]) -> str:
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _class_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_") if part)


def _free_number(root: Path) -> int:
    """The first number from FIRST_NUMBER on that no notebook has."""
    taken = {path.name.partition("_")[0] for path in (root / "notebooks").glob("*.ipynb")}
    return next(number for number in range(FIRST_NUMBER, 1000) if str(number) not in taken)


def _with_row(text: str, name: str, printed: str) -> str:
    """methods.py with one more row, the last."""
    end = "    )\n}\n"
    if text.count(end) != 1:
        raise VddError("vddlib/results/methods.py is not as it was made; add the row by hand")
    colour = next((one for one in COLOURS if one not in text), "#000000")
    return text.replace(end, f'        ("{name}", "{printed}", "{colour}", "D", "A", "yours: name the paper"),\n{end}')


def _listed(readme: Path, notebook: str, printed: str) -> str:
    """The README with the notebook in its table."""
    lines = readme.read_text(encoding="utf-8").split("\n")
    last = max((place for place, line in enumerate(lines) if re.match(r"\| `\d\d_", line)), default=None)
    if last is None:
        raise VddError("README.md has no table of notebooks; list the new one by hand")
    lines.insert(last + 1, f"| `{notebook}` | {printed}: say in a line what it shows |")
    return "\n".join(lines)
