"""How every distilled set is measured: students are trained on it and tested on the real test clips."""

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce

import torch
from torch import Tensor

from vddlib.core.errors import VddError
from vddlib.core.progress import one_line, passing
from vddlib.datasets.clips import Clips
from vddlib.distillers.base import Distiller
from vddlib.distillers.distilled import DistilledSet, stored_bytes
from vddlib.distillers.full import FullSet
from vddlib.evaluation.protocols import Protocol, named
from vddlib.evaluation.testing import measure, tested
from vddlib.training import augmentations
from vddlib.training.fit import Recipe, pick_device
from vddlib.training.networks import Network, TrainedNetwork, train_network, train_teacher


@dataclass
class Report:
    """Per-seed numbers of one set under one protocol.

    `rows` are records (see vddlib.results), one per seed; `logits` ``float32 [M, C]`` are those of the last pass over the test
    clips, whose `labels` are ``int64 [M]``; `students` are the trained networks.
    """

    rows: list[dict]
    logits: list[Tensor]
    labels: Tensor
    classes: tuple[str, ...]
    students: list[TrainedNetwork] = field(default_factory=list)

    def values(self, metric: str = "top1") -> list[float]:
        """The metric of every seed, in percent."""
        return [row[metric] for row in self.rows]

    def __add__(self, other: "Report") -> "Report":
        students = self.students + other.students
        return Report(self.rows + other.rows, self.logits + other.logits, self.labels, self.classes, students)

    def __str__(self) -> str:
        first, numbers = self.rows[0], torch.tensor(self.values())
        spread = f" ± {numbers.std():.1f}" if len(numbers) > 1 else ""
        ipc = f" IPC {first['ipc']}" if first["ipc"] else ""
        what = f"{first['method']}{ipc}, protocol {first['protocol']}"
        return f"{what}: top-1 {numbers.mean():.1f}{spread} % (n = {len(numbers)})"


def teacher_of(protocol: Protocol, train: Clips, *, network: Network, recipe: Recipe, seed: int, device: str = "auto"):
    """The teacher of a protocol whose labels are a teacher's: `network`, trained on `train` by `recipe`; else None."""
    if protocol.labels != "teacher":
        return None
    return train_teacher(train, network, recipe, seed=seed, device=pick_device(device))


def evaluate(
    distilled: DistilledSet,
    test: Clips,
    protocol: Protocol | str = "A",
    *,
    seeds: Iterable[int] | None = None,
    network: Network | None = None,
    teacher: TrainedNetwork | None = None,
    device: str = "auto",
    peek_every: int = 0,
) -> Report:
    """Students trained on `distilled` from each of `seeds`, measured once on `test` at their last epoch.

    `teacher` is needed by protocols whose labels are a teacher's. With `peek_every` the student is also tested every so many
    epochs, and the best of these accuracies is reported as ``top1_best_on_test``, never as the result. Finished students
    and their tests come out of the cache; an interrupted one is resumed. Raises VddError where the set lacks the labels that
    the protocol needs, or its classes are not the test set's in the same order.
    """
    chosen = named(protocol) if isinstance(protocol, str) else protocol
    place = pick_device(device)
    network = network or Network(name=chosen.student)
    distilled = _checked(distilled, test, chosen, teacher)
    # A flip would turn one class into another where left and right are labels (SSv2).
    augmentation = augmentations.where_mirroring_is(test.mirrors, chosen.augmentation)
    if not isinstance(distilled, FullSet) and distilled.content.draws_intervals:
        augmentation = augmentations.without("temporal_crop", augmentation)  # else an interval of an interval
    rows, logits, students = [], [], []
    draws = {"test": test.state(), "passes": chosen.test_passes, "redraw": chosen.test_redraw}
    for seed in range(chosen.seeds) if seeds is None else seeds:
        student = train_network(
            distilled, network, chosen.recipe, seed=seed, device=place,
            flip=chosen.real_flip and isinstance(distilled, FullSet), augmentation=augmentation,
            teacher=teacher if chosen.labels == "teacher" else None,
            look=lambda model: measure(model, test, chosen, place).numbers, look_every=peek_every, looks_at=draws,
            geometry=test.geometry,
            what=f"{distilled.card['method']} {chosen.name} seed {seed}",
        )  # fmt: skip
        found = tested(student, test, chosen, place)
        row = _row(distilled, test, chosen, network, teacher, seed, student, found.numbers)
        rows.append(row)
        logits.append(found.logits)
        students.append(student)
        ipc = f" IPC {row['ipc']}" if row["ipc"] else ""
        fitted = f"{row['train_top1']:.0f} % on its own training clips"
        passing(f"{row['method']}{ipc}, protocol {chosen.name}, seed {seed}: top-1 {row['top1']:.2f} % ({fitted})")
    return Report(rows, logits, test.labels, test.classes, students)


def evaluate_each(
    sets: Mapping[int, DistilledSet],
    test: Clips,
    protocol: Protocol | str,
    *,
    teacher: TrainedNetwork | Callable[[int], TrainedNetwork] | None = None,
    **options,
) -> Report:
    """One student per seed, each trained on the set that was distilled from that seed; `options` as in `evaluate`.

    `teacher` is one for all, or a function of the seed.
    """
    taught = {seed: teacher(seed) if callable(teacher) else teacher for seed in sets}
    with one_line():
        reports = [
            evaluate(made, test, protocol, seeds=[seed], teacher=taught[seed], **options) for seed, made in sets.items()
        ]
    return reduce(operator.add, reports)


def _checked(distilled: DistilledSet, test: Clips, chosen: Protocol, teacher: TrainedNetwork | None) -> DistilledSet:
    """The set as the protocol sees it: without soft labels of its own where these do not count. Raises VddError."""
    _check_classes(distilled, test)
    if not chosen.own_labels and distilled.targets.is_floating_point():
        distilled = distilled.with_targets(distilled.labels)
    _check_labels(distilled, chosen, teacher)
    return distilled


def _check_classes(distilled: DistilledSet, test: Clips) -> None:
    """Labels are places in the list of classes, so in another order they would mean other classes."""
    if distilled.classes == tuple(test.classes):
        return
    method = distilled.card.get("method", "this set")
    if set(distilled.classes) == set(test.classes):
        raise VddError(f"{method} and {test.dataset} have the same classes in another order; distil it again for these")
    strange = sorted(set(distilled.classes) ^ set(test.classes))[0]
    raise VddError(f"{method} and {test.dataset} do not have the same classes, first {strange!r}")


def _check_labels(distilled: DistilledSet, chosen: Protocol, teacher: TrainedNetwork | None) -> None:
    soft = distilled.targets.is_floating_point()
    method = distilled.card.get("method", "this set")
    if chosen.labels in ("soft", "learned") and not soft:
        raise VddError(f"protocol {chosen.name} trains on {chosen.labels} labels, and {method} stores hard ones only")
    if chosen.labels == "hard" and soft:
        raise VddError(f"protocol {chosen.name} trains on hard labels, and {method} stores soft ones")
    # Students soften their own logits by the recipe's temperature: the labels have to be of the same one.
    warmth, expected = distilled.card.get("temperature"), chosen.recipe.temperature
    if chosen.labels == "soft" and warmth not in (None, expected):
        raise VddError(f"{method} stores labels of temperature {warmth:g}, and the recipe's is {expected:g}")
    if chosen.labels == "teacher" and teacher is None:
        raise VddError(f"protocol {chosen.name} trains on a teacher's logits: pass teacher=train_network(train, ...)")


def _row(distilled, test, chosen, network, teacher, seed, student, numbers) -> dict:
    """The record of one student."""
    card, recipe, log = distilled.card, chosen.recipe, student.log
    own = {name: card["params"][name] for name in ("iterations", "lr_pixels") if name in card.get("params", {})}
    # What much of the literature reports; the name says that the test set chose it.
    looked = {"top1_best_on_test": max(note["top1"] for note in student.looks)} if student.looks else {}
    return {
        "method": card["method"],
        "dataset": test.dataset,
        "ipc": card["ipc"],
        "protocol": chosen.name,
        "student": str(network),
        "teacher": teacher.key["network"]["name"] if chosen.labels == "teacher" else card.get("teacher"),
        "frames": test.geometry.frames,
        "size": test.geometry.size,
        "epochs": recipe.epochs_on(len(distilled)),
        "seed": seed,
        **numbers,
        "distill_seconds": card.get("distill_seconds"),
        "train_seconds": log.seconds,  # when it was trained, also where it came out of the cache
        "peak_memory_mb": max(log.peak_memory_mb, card.get("peak_memory_mb") or 0),
        **stored_bytes(distilled),
        "dataset_sha256": test.fingerprint,
        **student.made,
        "steps": recipe.steps_on(len(distilled)),
        "lr": recipe.lr,
        "batch_size": recipe.batch_size,
        "train_top1": log.accuracy[-1],
        **own,
        **{name: card[name] for name in ("scorer", "moved") if name in card},
        **looked,
        **({"diverged_at": log.diverged_at} if log.diverged_at else {}),
    }


def held_out(
    distiller: Distiller,
    train: Clips,
    ipc: int,
    protocol: Protocol,
    *,
    seed: int,
    network: Network,
    lr: float,
    device: str,
) -> Report:
    """The student of `protocol` at learning rate `lr`, tested on a held-out quarter of the training sources.

    The set is distilled from the other sources. This is how learning rates are chosen: the test split is not used.
    """
    rest, held = train.holdout(0.25)
    recipe = protocol.recipe.model_copy(update={"lr": lr})
    changed = protocol.model_copy(update={"recipe": recipe})
    made = distiller.distill(rest, ipc, seed=seed)  # of the rest alone: a set of all sources would know the answers
    return evaluate(made, held, changed, seeds=[seed], network=network, device=device)
