"""How long runs will take on a GPU and what memory they need, computed beforehand (see `vddlib.notebook.workload`)."""

import ast
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from vddlib.core.errors import VddError
from vddlib.core.params import check_params, notebook_parameters, read_params
from vddlib.core.provenance import project_root
from vddlib.notebook.plan import Plan, Work
from vddlib.notebook.workload import WORK, tracking_seconds
from vddlib.results.write import write_table

SUSTAINED = 15e12  # operations per second: a tenth of what an A100 promises in TF32; no job here has seen one
CONTEXT = 2**30  # bytes that CUDA, its libraries and fragments take besides
GIB, HOUR = 2**30, 3600
NOTE = (
    "Operations are counted on shapes, from the values of each params file; hours are those at {tera:g} TFLOP/s sustained on "
    "one GPU, which is an assumption. Memory is float32's, without checkpointing, of the batch on one device: what accelerate "
    "splits over several GPUs (Latte) divides by their number. Jobs share teachers, experts and pools through the cache; here "
    "each counts them. Decoding, pictures and searches are not counted. At miniucf10, sets and their counted operations give "
    "16 (DM + VDSD) to 52 (FRePo) GFLOP/s on one CPU core: take an hour here as its order, within a factor of three or four."
)
COLUMNS = ["job", "most of it", "PFLOP", "GPU hours", "GPU memory (GiB)", "CPU core-hours"]


def plan_of(notebook: Path, params: Path) -> Plan:
    """The values of a params file, with the notebook's defaults. Raises VddError where the two do not fit."""
    declared = notebook_parameters(notebook)
    defaults = {name: ast.literal_eval(parameter.default) for name, parameter in declared.items()}
    return Plan(defaults | check_params(read_params(params), declared, params, notebook)[0])


def work_of(notebook: Path, params: Path) -> list[Work]:
    """What a params file asks for; nothing for notebooks that only look at data or at records."""
    return list(WORK[notebook.stem](plan_of(notebook, params))) if notebook.stem in WORK else []


def forecast(files: Iterable[Path], notebooks: Path, sustained: float = SUSTAINED) -> pd.DataFrame:
    """A row (`COLUMNS`) for every params file (params/SCALE/NOTEBOOK/VARIANT.yaml) whose work is counted, in reading order.

    `sustained` is in operations per second. Hours are of one GPU, as if nothing were in the cache: teachers and experts that
    jobs share count in each. Memory is float32's, of the largest part, and one GiB. Raises VddError for a file that does not
    fit its notebook, naming it.
    """
    rows = []
    for path in sorted(path for path in files if path.parent.name in WORK):
        notebook = notebooks / f"{path.parent.name}.ipynb"
        try:
            plan = plan_of(notebook, path)
            work, tracked = list(WORK[notebook.stem](plan)), tracking_seconds(plan)
        except (KeyError, AttributeError, TypeError) as error:
            raise VddError(f"{path}: its work cannot be counted ({type(error).__name__}: {error})") from None
        by_name: dict[str, float] = {}
        for part in work:
            by_name[part.what] = by_name.get(part.what, 0) + part.flops
        total, largest = sum(by_name.values()), max(by_name, key=by_name.__getitem__)
        share, memory = by_name[largest] / total, max(part.memory for part in work) + CONTEXT
        row = [f"{path.parent.name}/{path.stem}", f"{largest} ({share:.0%})", total / 1e15, total / sustained / HOUR]
        rows.append([*row, memory / GIB, tracked / HOUR])
    return pd.DataFrame(rows, columns=COLUMNS)


def write(scale: str, sustained: float = SUSTAINED) -> pd.DataFrame:
    """`forecast` of a whole scale, written to figures/SCALE/forecast.md, .csv, .tex and .json, which the Snakefile reads.

    Raises VddError where the scale has no params file, or as `forecast` does.
    """
    root = project_root()
    table = forecast((root / "params" / scale).glob("*/*.yaml"), root / "notebooks", sustained)
    if table.empty:
        raise VddError(f"params/{scale} has no params file whose work is counted")
    header = f"What the jobs of {scale} will take: computed, not measured"
    notes = [NOTE.format(tera=sustained / 1e12)]
    facts = {"scale": scale, "sustained_flops": sustained, "written_by": "vdd forecast"}
    write_table(table.round(6), root / "figures" / scale, "forecast", facts, header, notes)
    return table
