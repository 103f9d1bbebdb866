"""The controls of notebooks 24 and 11: other sets of real clips, no motion, several students of one set, other labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch.nn.functional as F

from vddlib import distillers
from vddlib.core.errors import VddError
from vddlib.datasets.clips import Clips
from vddlib.distillers.distilled import DistilledSet
from vddlib.distillers.labels import with_labels_of
from vddlib.evaluation import fair
from vddlib.evaluation.evaluate import Report, evaluate, evaluate_each
from vddlib.evaluation.protocols import Protocol
from vddlib.notebook.fair import fair_students
from vddlib.results.fair import ONE_SET, STILL


def control_rows(
    controls: Mapping[str, Mapping[str, Any]],
    train: Clips,
    test: Clips,
    ipc: int,
    seeds: Sequence[int],
    protocols: Sequence[str],
    **options: Any,
) -> list[dict]:
    """Records of every control: `controls` is name -> {'method': ..., and its parameters}; `options` as in `fair_students`.

    A name that is the method's own gives plain records, any other one the variant of that name. Raises VddError for a
    control that names no method.
    """
    rows = []
    for name, params in controls.items():
        if "method" not in params:
            raise VddError(f"the control {name!r} names no method; write {name}: {{method: random_still, ...}}")
        fields = {key: value for key, value in params.items() if key != "method"}
        method = distillers.build(params["method"], **fields)
        sets = {seed: method.distill(train, ipc, seed) for seed in seeds}
        counted = {"clips": len(sets[seeds[0]])}
        variant = {} if name == params["method"] else {"variant": name}
        for report in fair_students(sets, train, test, protocols, **options).values():
            rows += [row | counted | variant for row in report.rows]
    return rows


def still_rows(
    methods: Sequence[str], train: Clips, test: Clips, ipc: int, seeds: Sequence[int], **options: Any
) -> list[dict]:
    """Records, of variant 'no motion', of students trained *and* tested on first frames, repeated (protocol F).

    `methods` are `full` and selectors that need no network, such as `random`.
    """
    rows = []
    for name in methods:
        method = distillers.build(name)
        sets = {seed: method.distill(train.still(), ipc, seed) for seed in seeds}
        report = fair_students(sets, train, test.still(), ["F"], **options)["F"]
        rows += [row | {"variant": STILL} for row in report.rows]
    return rows


def one_set_rows(
    train: Clips, test: Clips, ipc: int, students: Sequence[int], *, steps: int = 0, device: str = "auto"
) -> list[dict]:
    """Records, of variant 'one set', of several students (none, for no seeds) on the random clips of seed 0, protocol F."""
    if not students:
        return []
    made = distillers.Random().distill(train, ipc, 0)
    protocol, network = fair("F", train, steps)
    report: Report = evaluate(made, test, protocol, seeds=students, network=network, device=device)
    return [row | {"variant": ONE_SET} for row in report.rows]


def label_rows(
    ours: Mapping[int, DistilledSet],
    random: Mapping[int, DistilledSet],
    test: Clips,
    soft: Protocol,
    hard: Protocol,
    **options: Any,
) -> list[dict]:
    """Records of the same clips with other labels: what clips, labels and recipe each bring.

    `ours` and `random` are sets with soft labels by seed, clips of the same classes place by place; `soft` is the protocol of
    such labels (D), `hard` that of classes (A). Variants: each set's clips with the other's labels ('labels of ...'), classes
    under `soft`'s recipe ('hard labels'), soft labels under `hard`'s ('soft labels'). `options` as in `evaluate_each`.
    """
    by_class = _with(soft, {"loss": "ce", "temperature": 1.0})
    by_label = _with(hard, {"loss": soft.recipe.loss, "temperature": soft.recipe.temperature})
    rows = []
    for mine, other in ((ours, random), (random, ours)):
        name = next(iter(other.values())).card["method"]
        crossed = {seed: with_labels_of(one, other[seed]) for seed, one in mine.items()}
        classes = {seed: _one_hot(one) for seed, one in mine.items()}
        trials = (
            (f"labels of {name}", crossed, soft),
            ("hard labels", classes, by_class),
            ("soft labels", mine, by_label),
        )
        for variant, sets, protocol in trials:
            report = evaluate_each(sets, test, protocol, **options)
            rows += [row | {"variant": variant} for row in report.rows]
    return rows


def _with(protocol: Protocol, recipe: dict) -> Protocol:
    """`protocol` for labels that a set stores, with another loss."""
    return protocol.model_copy(update={"labels": "soft", "recipe": protocol.recipe.model_copy(update=recipe)})


def _one_hot(made: DistilledSet) -> DistilledSet:
    """A set with its classes as probabilities, which augmentations can mix."""
    return made.with_targets(F.one_hot(made.labels, len(made.classes)).float(), temperature=None)


def control_table(rows: Sequence[dict]) -> pd.DataFrame:
    """Mean and std of top-1 (percent), clips and bytes of streams, by control and protocol."""
    table = pd.DataFrame(rows).reindex(
        columns=["method", "variant", "protocol", "ipc", "clips", "bytes_stream", "top1"]
    )
    keys = ["method", "variant", "protocol", "ipc"]
    table["variant"] = table["variant"].fillna("")
    grouped = table.groupby(keys, sort=False, dropna=False)
    return grouped.agg(
        clips=("clips", "mean"), bytes_stream=("bytes_stream", "mean"), top1=("top1", "mean"), std=("top1", "std"),
        seeds=("top1", "size"),
    ).reset_index()  # fmt: skip
