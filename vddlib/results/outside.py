"""Anybody's distilled sets, measured as ours are: students under a protocol, intervals, and random clips beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from vddlib.core.errors import VddError
from vddlib.core.files import begin, write_atomic
from vddlib.datasets import catalog, clips
from vddlib.datasets.clips import Clips
from vddlib.datasets.geometry import Geometry, geometry
from vddlib.distillers import DistilledSet, Random
from vddlib.distillers.videofolder import geometry_of, read_set
from vddlib.evaluation import FAIR, evaluate_each, fair, fair_teacher, protocol, teacher_of
from vddlib.evaluation.protocols import Protocol
from vddlib.evaluation.statistics import Comparison, Interval, interval
from vddlib.results.fair import correct, paired
from vddlib.training.networks import Network


@dataclass(frozen=True)
class Measured:
    """Top-1 of a set's students in percent, of students of as many random clips, and the paired difference.

    `rows`: what would be recorded of every student, those of random clips last.
    """

    protocol: Protocol
    top1: Interval
    random: Interval | None
    difference: Comparison | None
    rows: list[dict[str, Any]] = field(repr=False)

    def lines(self) -> list[str]:
        """For a terminal."""
        said = [f"top-1 under protocol {self.protocol.name}: {self.top1}"]
        if self.random is not None:
            said += [f"random clips, as many: {self.random}", f"the difference, paired: {self.difference}"]
        return said


def measure(
    sets: Sequence[DistilledSet],
    train: Clips,
    test: Clips,
    name: str,
    *,
    seeds: Sequence[int],
    recipe: Mapping[str, Any] | None = None,
    student_options: Mapping[str, Any] | None = None,
    beside_random: bool = True,
    steps: int = 0,
    device: str = "auto",
) -> Measured:
    """Students of one set (one for each of `seeds`), or of several sets (one each, of that many seeds), under protocol `name`.

    `recipe` and `student_options` replace what a paper's protocol says, `steps` (for tests) the number of a fair one, which
    takes neither. Random clips are of the same seeds; there are none where classes have different numbers of clips, or where
    the protocol's labels are the set's own. Raises VddError where numbers do not fit, and as `evaluate` does.
    """
    _check_alike(sets, seeds)
    if name in FAIR:
        if recipe or student_options:
            raise VddError(f"protocol {name} has one student and recipe for all; leave them out")
        chosen, network = fair(name, train, steps)
    else:
        chosen = protocol(name, **dict(recipe or {}))
        network = Network(name=chosen.student, options=dict(student_options or {}))
    options = {"network": network, "device": device}
    if chosen.labels == "teacher":
        options["teacher"] = _teacher(chosen, train, steps, device)
    learnt = sets if len(sets) > 1 else [sets[0]] * len(seeds)
    ours = evaluate_each(dict(zip(seeds, learnt, strict=True)), test, chosen, **options)
    by_seed, kept = correct(pd.DataFrame(ours.rows)), sets[0].card.get("ipc")
    top1 = interval(by_seed.to_numpy())
    if not (beside_random and kept and chosen.labels in ("hard", "teacher")):
        return Measured(chosen, top1, None, None, ours.rows)
    drawn = evaluate_each({seed: Random().distill(train, kept, seed) for seed in seeds}, test, chosen, **options)
    beside = correct(pd.DataFrame(drawn.rows))
    return Measured(chosen, top1, interval(beside.to_numpy()), paired(by_seed, beside), ours.rows + drawn.rows)


def _check_alike(sets: Sequence[DistilledSet], seeds: Sequence[int]) -> None:
    """Raises VddError where several sets are not of one method and IPC, or not as many as seeds."""
    if len(sets) > 1 and len(sets) != len(seeds):
        raise VddError(f"{len(sets)} sets and {len(seeds)} seeds; each set needs one")
    for name in ("method", "ipc"):
        if len(found := {one.card.get(name) for one in sets}) > 1:
            raise VddError(f"sets that are measured together have one {name}, not {' and '.join(map(str, found))}")


def _seeds(sets: Sequence[DistilledSet], students: int) -> list[int]:
    """Those that the cards of several sets name, if they differ; else 0, 1, 2, ..., for one set as many as students."""
    named = [one.card.get("seed") for one in sets]
    if len(sets) > 1 and all(isinstance(seed, int) for seed in named) and len(set(named)) == len(named):
        return named
    return list(range(len(sets) if len(sets) > 1 else students))


def measure_folders(
    folders: Sequence[Path],
    dataset: str,
    name: str,
    students: int,
    cut: Mapping[str, int],
    output: Path | None = None,
    **options: Any,
) -> Measured:
    """`measure` of sets that lie in folders: one with so many students, or several with one each.

    Clips are cut as the first set's card says, else as the dataset's own are; `cut` replaces frames, size or stride. `output`
    gets a row for every student (.csv).
    """
    own = geometry_of(folders[0]) or (catalog.CATALOG[dataset].clip if dataset in catalog.CATALOG else Geometry())
    numbers = {field: cut.get(field, getattr(own, field)) for field in ("frames", "size", "stride")}
    train, test = clips.load(dataset, geometry(**numbers, sampling=own.sampling) if cut else own)
    sets = [read_set(folder, train) for folder in folders]
    if output:  # before minutes of training
        begin(output)
    found = measure(sets, train, test, name, seeds=_seeds(sets, students), **options)
    if output:
        write_atomic(output, pd.DataFrame(found.rows).to_csv(index=False))
    return found


def _teacher(chosen: Protocol, train: Clips, steps: int, device: str):
    """F-soft's own, or one that is trained by protocol A's recipe."""
    if chosen.name in FAIR:
        return lambda seed: fair_teacher(train, seed, device=device, steps=steps)
    return teacher_of(
        chosen, train, network=Network(name="minic3d_bn"), recipe=protocol("A").recipe, seed=0, device=device
    )
