"""What a record holds: the columns, the names in use, and the check that a row is well-formed."""

from typing import Annotated, Any

import pandas as pd
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from vddlib.core.errors import VddError, first_mistake
from vddlib.results.methods import METHODS, method_rank

DATASETS = {
    "motions": "Motions", "miniucf10": "MiniUCF10", "tempo": "Tempo", "ucf10": "UCF10", "miniucf": "MiniUCF",
    "ucf101": "UCF101", "hmdb51": "HMDB51", "hmdb51-vdsd": "HMDB51 (VDSD split)", "kinetics400": "Kinetics-400",
    "ssv2": "SSv2", "50salads": "50Salads",
}  # fmt: skip
STUDENTS = {
    "minic3d": "MiniC3D", "minic3d_bn": "MiniC3D+BN", "c3d": "C3D", "cnn_gru": "CNN+GRU", "cnn_lstm": "CNN+LSTM",
    "r3d_18": "R3D-18", "swin3d_t": "Swin3D-T",
}  # fmt: skip

METRICS = ["top1", "top5", "auc", "f1"]  # percent
COSTS = [
    "distill_seconds",
    "train_seconds",
    "peak_memory_mb",
    "bytes_float32",
    "bytes_uint8",
    "bytes_video",
    "bytes_stream",
]
ORIGIN = ["device", "commit", "params_sha256", "lock_sha256", "dataset_sha256"]
SETTING = ["method", "dataset", "ipc", "protocol", "student", "teacher", "frames", "size", "epochs"]
COLUMNS = [*SETTING, "seed", *METRICS, *COSTS, *ORIGIN]
EXTRA_KEYS = ["variant", "subset"]  # optional columns that tell two rows apart, as SETTING and seed do
BYTES = [name for name in COSTS if name.startswith("bytes")]
INTEGERS = ["ipc", "frames", "size", "epochs", "steps", "views", "seed", *BYTES]
# `right_views`: in how many of the `views` each test video was classified correctly (see vddlib.evaluation.testing).
# `gate`: whether a distillation did what its method is for, and the numbers that say so.
TEXTS = ["method", "dataset", "protocol", "student", "teacher", *ORIGIN, *EXTRA_KEYS, "right_views", "gate"]


def display(name: str) -> str:
    """Name in print of a method, dataset or student: 'kcenter' -> 'K-Center', 'tsgf[no_mask]' -> 'TSGF [no mask]'."""
    base, _, variant = name.removesuffix("]").partition("[")
    printed = METHODS[base].printed if base in METHODS else DATASETS.get(base) or STUDENTS.get(base) or base
    return f"{printed} [{variant.replace('_', ' ')}]" if variant else printed


POOLS = {
    "real": "real clips",
    "generated": "generated",
}  # variants by which selectors name another pool than their paper's


def with_pool(method: str) -> str:
    """As `display`, with the pool that was chosen from where it is another than others': 'csta' -> 'CSTA, generated',
    'csta[real]' -> 'CSTA, real clips'. For tables in which generated and real clips stand side by side."""
    from vddlib.distillers import DISTILLERS  # here: it loads torch

    base, _, variant = method.removesuffix("]").partition("[")
    if variant in POOLS:
        return f"{display(base)}, {POOLS[variant]}"
    own = getattr(DISTILLERS.get(method), "own_pool", "real")
    return display(method) + (f", {own}" if own == "generated" else "")


def headline(dataset: str) -> str:
    """The metric that papers report on a dataset: top-5 on Kinetics-400 and SSv2, else top-1."""
    return "top5" if dataset in ("kinetics400", "ssv2") else "top1"


def chance(dataset: str) -> float | None:
    """Top-1 in percent of guessing, or None for a dataset that the catalogue does not know."""
    from vddlib.datasets.catalog import CATALOG

    return 100 / CATALOG[dataset].num_classes if dataset in CATALOG else None


def blank_to_none(value: Any) -> Any:
    """None for an empty value (None, '', NaN, pandas' NA), else the value, as a plain Python scalar where it is one."""
    value = value.item() if hasattr(value, "item") else value  # numpy and torch scalars
    return None if value is pd.NA or value is None or value == "" or value != value else value


Text = Annotated[str | None, BeforeValidator(blank_to_none)]
Count = Annotated[Annotated[int, Field(ge=0)] | None, BeforeValidator(blank_to_none)]
Percent = Annotated[Annotated[float, Field(ge=0, le=100)] | None, BeforeValidator(blank_to_none)]
Amount = Annotated[Annotated[float, Field(ge=0)] | None, BeforeValidator(blank_to_none)]
Positive = Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(blank_to_none)]


class Row(BaseModel):
    """One evaluated student. Metrics in percent; a value that was not measured is None, never zero."""

    model_config = ConfigDict(extra="allow", coerce_numbers_to_str=True)

    method: str
    dataset: str
    ipc: Positive = None  # clips per class; None for `full`
    protocol: str
    student: str
    teacher: Text = None
    frames: Count = None  # of a clip
    size: Count = None  # side of a frame, pixels
    epochs: Count = None
    seed: int
    top1: Percent = None
    top5: Percent = None
    auc: Percent = None
    f1: Percent = None
    distill_seconds: Amount = None
    train_seconds: Amount = None
    peak_memory_mb: Amount = None
    bytes_float32: Count = None
    bytes_uint8: Count = None
    bytes_video: Count = None  # H.264 streams with their containers
    bytes_stream: Count = None  # without
    device: Text = None
    commit: Text = None
    params_sha256: Text = None
    lock_sha256: Text = None
    dataset_sha256: Text = None


def validated(row: dict) -> dict:
    """The row, checked: every column of COLUMNS, then its own extra ones. Raises VddError naming method and column."""
    try:
        clean = Row(**row)
    except (ValidationError, TypeError) as error:
        if not isinstance(error, ValidationError):
            raise VddError(f"a record is a mapping of column names to values: {error}") from None
        first, (column, mistake) = error.errors()[0], first_mistake(error)
        got = "" if first["type"] == "missing" else f", got {first.get('input')!r}"
        name = row.get("method", "?")
        raise VddError(f"record of '{name}': column '{column}': {mistake}{got}") from None
    method_rank(clean.method)
    if clean.method == "full" and clean.ipc is not None:
        raise VddError(f"record of 'full': ipc is left empty (None) for the whole training set, got {clean.ipc}")
    if not clean.method.startswith("full") and clean.ipc is None:
        raise VddError(f"record of '{clean.method}': ipc (clips per class) is missing")
    extra = {name: blank_to_none(value) for name, value in (clean.model_extra or {}).items()}
    for name, value in extra.items():
        if not isinstance(value, str | int | float | None):
            raise VddError(f"record of '{clean.method}': column '{name}' holds one number or text, got {value!r}")
    return {**clean.model_dump(include=set(Row.model_fields)), **extra}
