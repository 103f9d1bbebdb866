"""What notebook 14 measures: the methods' sets, their bytes and students, and what the sets tell an observer.

`sets` is always method -> seed -> DistilledSet, `reports` method -> Report with one row per seed, in the seeds' order.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

import pandas as pd
import torch
from torch import nn

from vddlib import distillers, evaluation, results
from vddlib.datasets.clips import Clips
from vddlib.distillers.base import Distiller
from vddlib.distillers.distilled import BYTES, DistilledSet, stored_bytes
from vddlib.distillers.stored.contract import VIDEO_FPS, VIDEO_QUALITY
from vddlib.evaluation import Report
from vddlib.evaluation.protocols import Protocol
from vddlib.evaluation.sets import as_encoded, information, predictions
from vddlib.notebook.conclude import compare_by_seed
from vddlib.results.schema import display
from vddlib.training.fit import Recipe
from vddlib.training.networks import Network

Sets = Mapping[str, Mapping[int, DistilledSet]]
MB = dict(zip(BYTES, ("MB as float32", "MB as uint8", "MB as streams", "MB as files"), strict=True))
TILES = "optdistill[tiles]"


def build_methods(methods: Mapping[str, dict], network: Network, recipe: Recipe, device: str) -> dict[str, Distiller]:
    """The distillers by name, each with its own parameters; `network` and `recipe` where a method has such fields.

    Raises VddError for an unknown method or parameter.
    """
    built = {}
    for name, params in methods.items():
        shared = {"network": network, "teacher_recipe": recipe, "device": device}
        if name == "tsgf":
            shared["network"] = Network(name="minic3d_bn", options=network.options)  # it matches BN statistics
        elif name == "static_dc":
            del shared["network"]  # it distils still pictures, with a network for pictures
        if name in ("herding", "kcenter"):
            shared["recipe"] = recipe  # of the network that embeds the clips
        fields = distillers.kind_of(name).model_fields
        known = {field: value for field, value in shared.items() if field in fields}
        built[name] = distillers.build(name, **(known | params))
    return built


def codec(built: Mapping[str, Distiller]) -> str:
    """How sets are encoded, in words."""
    text = f"encoded by x264 at CRF {VIDEO_QUALITY}, {VIDEO_FPS} frames per second"
    own = built.get("optdistill")
    return text + (f" (optdistill: CRF {own.quality}, {own.fps:g} frames per second)" if own else "")


def size_table(sets: Sets) -> pd.DataFrame:
    """A row per method: 10^6 bytes, counted four ways, mean over the seeds; the containers' share; float32 over streams."""
    rows = []
    for name, by_seed in sets.items():
        counts = [stored_bytes(distilled) for distilled in by_seed.values()]
        rows.append({"method": name} | {label: fmean(c[kind] for c in counts) / 1e6 for kind, label in MB.items()})
    sizes = pd.DataFrame(rows)
    sizes["container, % of files"] = 100 * (1 - sizes["MB as streams"] / sizes["MB as files"])
    sizes["float32 / streams"] = sizes["MB as float32"] / sizes["MB as streams"]
    return sizes


def published_sizes() -> tuple[pd.DataFrame, str]:
    """OptDistill's table 2 for MiniUCF, a row per method and a column per IPC, and its note."""
    theirs = results.published(paper="optdistill", dataset="miniucf", metric="storage")
    theirs = theirs[theirs["ipc"].notna()]
    table = theirs.pivot(index="method", columns="ipc", values="mean").add_prefix("MB at IPC ")
    return table.reset_index(), theirs["note"].iloc[0]


def with_hard_labels(sets: Sets) -> dict[str, dict[int, DistilledSet]]:
    """The same clips with their classes as labels, so that one protocol fits all."""
    return {
        name: {seed: made.with_targets(made.labels) for seed, made in by_seed.items()} for name, by_seed in sets.items()
    }


def encoded(sets: Sets) -> dict[str, dict[int, DistilledSet]]:
    """What comes back out of the sets' files."""
    return {name: {seed: as_encoded(made) for seed, made in by_seed.items()} for name, by_seed in sets.items()}


def students(sets: Sets, test: Clips, protocol: Protocol, network: Network, device: str) -> dict[str, Report]:
    """A student per set, measured on `test`."""
    options = {"network": network, "device": device}
    return {name: evaluation.evaluate_each(by_seed, test, protocol, **options) for name, by_seed in sets.items()}


def rows_with_bytes(reports: Mapping[str, Report], sets: Sets, variant: str) -> list[dict]:
    """Records of the reports with the bytes of `sets`: of the sets as they are stored, with the labels that they have."""
    return [
        row | stored_bytes(sets[row["method"]][row["seed"]]) | {"variant": variant}
        for report in reports.values()
        for row in report.rows
    ]


def hard_label_records(rows: Sequence[dict], sets: Sets) -> list[dict]:
    """Those of `rows` whose set has soft labels of its own; the others stand in their own notebooks' records."""
    soft = [row for row in rows if sets[row["method"]][row["seed"]].targets.is_floating_point()]
    return [row | {"variant": "hard labels"} for row in soft]


def file_records(before: Mapping[str, Report], after: Mapping[str, Report], sets: Sets) -> list[dict]:
    """Records of students of the files (`after`), named METHOD[from_files], and beside them those of the clips (`before`).

    OptDistill's students learn from files anyhow: it stands there once.
    """
    rows = [
        row | {"variant": "from files"} for row in rows_with_bytes(after, sets, "") if row["method"] != "optdistill"
    ]
    renamed = [row | {"method": f"{row['method']}[from_files]"} for row in rows]
    return renamed + rows_with_bytes(before, sets, "from files")


def accuracy_table(
    reports: Mapping[str, Report], sizes: pd.DataFrame, after: Mapping[str, Report] | None = None
) -> pd.DataFrame:
    """A row per method: mean and std of top-1 over the seeds (%), its sizes, and top-1 of students of the files."""
    table = _means(reports, "top1", "std").merge(sizes, on="method")
    return table.merge(_means(after, "top1 from files", "std from files"), on="method") if after else table


def _means(reports: Mapping[str, Report], mean: str, std: str) -> pd.DataFrame:
    """A row per method with the mean and the std (n - 1) over its seeds, in columns of these names."""
    values = {name: torch.tensor(report.values(), dtype=torch.float32) for name, report in reports.items()}
    return pd.DataFrame(
        {"method": name, mean: found.mean().item(), std: found.std().item() if len(found) > 1 else None}
        for name, found in values.items()
    )


def information_table(real: Clips, sets: Sets, observer: nn.Module, seed: int) -> pd.DataFrame:
    """A row per method and seed: eq. 4's terms in nats, first of the `real` clips (full), with the observer's `seed`."""
    everything = distillers.Full().distill(real, None)
    rows = [{"method": "full", "seed": seed, **information(predictions(everything, observer), real.labels)}]
    for name, by_seed in sets.items():
        rows += [
            {"method": name, "seed": seed, **information(predictions(made, observer), made.labels)}
            for seed, made in by_seed.items()
        ]
    return pd.DataFrame(rows)


def with_tiles(sets: Sets, built: Mapping[str, Distiller]) -> dict[str, Mapping[int, DistilledSet]]:
    """The sets, and OptDistill's tiles one by one as a set of its own where OptDistill is among them."""
    if "optdistill" not in sets:
        return dict(sets)
    tiles = {seed: built["optdistill"].regions(made) for seed, made in sets["optdistill"].items()}
    return {**sets, TILES: tiles}


def sentences(sizes: pd.DataFrame, reports: Mapping[str, Report], terms: pd.DataFrame) -> list[str]:
    """The conclusion: which set is smallest and largest, what encoding does, accuracy and surprise beside random clips."""
    by_size, by_ratio = sizes.sort_values("MB as streams"), sizes.sort_values("float32 / streams")
    small, large = (f"{display(row['method'])} ({row['MB as streams']:.2f} MB)" for _, row in _ends(by_size))
    least, most = (f"{row['float32 / streams']:.0f} ({display(row['method'])})" for _, row in _ends(by_ratio))
    said = [
        f"Encoded, the smallest of {len(sizes)} sets is that of {small} and the largest that of {large}.",
        f"As float32 a set takes between {least} and {most} times its encoded bytes.",
    ]
    if "random" in reports and len(reports) > 1:
        best = max((name for name in reports if name != "random"), key=lambda name: fmean(reports[name].values()))
        name = f"The most accurate other method, {display(best)} (picked by these same numbers),"
        said.append(compare_by_seed(name, reports[best].values(), "Random", reports["random"].values()))
    surprise = {name: part["surprise"].tolist() for name, part in terms.groupby("method", sort=False)}
    pairs = (
        ("optdistill", "The observer's surprise at OptDistill's mosaics", "random", "that at random clips"),
        (TILES, "Its surprise at their tiles, one by one,", "optdistill", "that at whole mosaics"),
    )
    for ours, name, reference, reference_name in pairs:
        if ours in surprise and reference in surprise:
            values = surprise[ours], reference_name, surprise[reference]
            said.append(compare_by_seed(name, *values, unit="nats", decimals=2))
    return said


def _ends(table: pd.DataFrame) -> list[tuple]:
    """The first row and the last."""
    rows = list(table.iterrows())
    return [rows[0], rows[-1]]
