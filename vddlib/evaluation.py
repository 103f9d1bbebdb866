"""Protocols as data, and the one procedure that turns a distilled set into numbers on the real test clips."""

import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from vddlib.datasets.clips import Clips
from vddlib.distillers.base import Distiller
from vddlib.distillers.distilled import DistilledSet, FullSet
from vddlib.errors import VddError, unknown
from vddlib.progress import say
from vddlib.students import Network, Trained, taught, trained
from vddlib.training import Recipe, pick_device


class Protocol(BaseModel):
    """How students learn from a set and how they are tested; the letters are those of the literature (see PROTOCOLS)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    source: str = Field(description="who evaluates like this")
    student: str = Field("minic3d", description="architecture")
    labels: Literal["hard", "learned", "soft", "teacher"] = Field(
        "hard",
        description="class indices; labels the method learned; soft labels it stored; a teacher's logits of each view",
    )
    augmentation: tuple[str | tuple[str, dict], ...] = Field(
        (), description="names in vddlib.augmentations, with options or without, applied to training batches"
    )
    real_flip: bool = Field(True, description="flips when the set is the whole train split, redrawn every epoch")
    recipe: Recipe = Field(Recipe(), description="how the student is trained")
    test_passes: int = Field(1, ge=1, description="passes over the test set whose accuracies are averaged")
    test_redraw: bool = Field(
        False, description="draw start and flip anew in each pass; else the middle clip, unflipped"
    )
    metrics: tuple[str, ...] = Field(("top1",), description="what is published under it; records carry all four")
    seeds: int = Field(3, ge=1, description="students trained, as published")
    unstated: str = Field("", description="what the papers leave open, and what stands here instead")


_A = Recipe(optimizer="sgd", lr=0.01, momentum=0.9, weight_decay=5e-4, epochs=500, batch_size=256, schedule="drop")
_D = Recipe(
    optimizer="adamw", lr=1e-3, weight_decay=0.01, epochs=300, batch_size=256, schedule="cosine", loss="kl",
    temperature=20,
)  # fmt: skip
PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="A",
            source="VDSD; OptDistill",
            recipe=_A,
            test_passes=3,
            test_redraw=True,
            seeds=3,
            unstated="published: best checkpoint on the test set, batches standardised by themselves; "
            "here: last checkpoint, dataset statistics",
        ),
        Protocol(
            name="A'",
            source="FRePo",
            labels="learned",
            augmentation=("flip",),
            recipe=Recipe(
                optimizer="adam", lr=1e-4, weight_decay=0, epochs=1000, batch_size=256, schedule="constant", loss="mse"
            ),
            test_passes=3,
            test_redraw=True,
        ),
        Protocol(
            name="A-regions",
            source="OptDistill's section 4.4: tiles of a mosaic, each with its own soft label",
            labels="soft",
            recipe=_A,
            test_passes=3,
            test_redraw=True,
            unstated="the teacher and the temperature of the labels; here a network trained on the train split, 1, "
            "and the mean over four starts of a clip",
        ),
        Protocol(
            name="B",
            source="IDTD",
            augmentation=("temporal_crop",),
            recipe=_A,
            unstated="trained 'until the loss converges'; here A's recipe",
        ),
        Protocol(
            name="C",
            source="diffusion models (VST-UNet, TAC-DT)",
            student="c3d",
            recipe=_A,
            metrics=("top1", "auc", "f1"),
            seeds=5,
            unstated="recipe and augmentation; here A's recipe, no augmentation, the middle test clip",
        ),
        Protocol(
            name="D",
            source="TSGF",
            labels="soft",
            augmentation=("tsgf_videomix",),
            recipe=_D,
            unstated="recipe, temperature, epochs, threshold, window; here SRe2L's, and values chosen on training data",
        ),
        Protocol(
            name="D+",
            source="TSGF, labels after the augmentation (algorithm 1), for every view",
            labels="teacher",
            augmentation=("tsgf_videomix",),
            recipe=_D,
            unstated="as D; algorithm 1 augments and labels once, here each time a clip is seen",
        ),
        Protocol(
            name="E",
            source="Video-DC study",
            student="minic3d_bn",
            labels="teacher",
            augmentation=("random_resized_crop", "flip"),
            recipe=Recipe(
                optimizer="adamw", lr=1e-3, weight_decay=0.01, epochs=300, batch_size=10, schedule="constant",
                loss="mse+ce", ce_weight=0.1,
            ),
            unstated="published: best checkpoint on the validation set; here: last",
        ),
    )
}  # fmt: skip


def _named(name: str) -> Protocol:
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


def protocol(name: str, *, augmentation: tuple | None = None, **changes) -> Protocol:
    """The protocol `name`; `changes` replace fields of its recipe (epochs, batch_size, lr...).

    `augmentation` replaces its augmentations: names in vddlib.augmentations, or (name, options).

    Raises VddError for an unknown protocol or field.
    """
    chosen = _named(name)
    try:
        recipe = Recipe(**{**chosen.recipe.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        raise VddError(f"protocol {name}: {first['loc'][0]}: {first['msg'].lower()}") from None
    names = chosen.augmentation if augmentation is None else tuple(augmentation)
    return chosen.model_copy(update={"recipe": recipe, "augmentation": names})


def metrics(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """top1, top5, macro one-vs-rest AUC and macro F1, in percent, of ``logits [M, C]`` against ``labels int64 [M]``.

    top5 is nan at five classes or fewer; classes absent from `labels` do not count in AUC.
    """
    from torchmetrics.functional.classification import multiclass_accuracy, multiclass_auroc, multiclass_f1_score

    classes = logits.shape[1]
    scores = logits.float().nan_to_num().softmax(1)  # a diverged student guesses
    present = torch.unique(labels)
    auc = (
        multiclass_auroc(scores, labels, classes, average="none")[present]
        if len(present) > 1
        else torch.tensor([math.nan])
    )
    out = {
        "top1": multiclass_accuracy(scores, labels, classes, average="micro"),
        "top5": multiclass_accuracy(scores, labels, classes, top_k=5, average="micro") if classes > 5 else math.nan,
        "auc": auc.mean(),
        "f1": multiclass_f1_score(scores, labels, classes, average="macro"),
    }
    return {name: 100 * float(value) for name, value in out.items()}


@torch.no_grad()
def predict(
    model: nn.Module, test: Clips, *, epoch: int | None, device: torch.device | str = "cpu", size: int = 64
) -> Tensor:
    """Logits ``float32 [M, C]`` of every test video's clip: the one drawn for `epoch` (flips too), or the middle one."""
    model = model.to(device).eval()
    parts = torch.arange(len(test)).split(size)
    return torch.cat([model(test.batch(p, epoch=epoch, seed=0, flip=True)[0].to(device)).float().cpu() for p in parts])


@dataclass
class Report:
    """Per-seed numbers of one set under one protocol.

    `rows` are records (see vddlib.results), `logits` ``float32 [M, C]`` their last pass, `students` the networks.
    """

    rows: list[dict]
    logits: list[Tensor]
    labels: Tensor
    classes: tuple[str, ...]
    students: list[Trained] = field(default_factory=list)

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
    """The teacher that `protocol` needs, `network` trained on the train split by `recipe`; None where it needs none."""
    if protocol.labels != "teacher":
        return None
    return taught(train, network, recipe, seed=seed, device=pick_device(device))


def evaluate(
    distilled: DistilledSet,
    test: Clips,
    protocol: Protocol | str = "A",
    *,
    seeds: Iterable[int] | None = None,
    network: Network | None = None,
    teacher: Trained | None = None,
    device: str = "auto",
    peek_every: int = 0,
) -> Report:
    """Students trained on `distilled` from each of `seeds`, measured once on `test` at their last epoch.

    `teacher` is needed by protocols whose labels are a teacher's. `peek_every` also looks at the test set every so many
    epochs and reports the best of those looks as ``top1_best_on_test``, never as the result. Finished students come out
    of the cache, an interrupted one is resumed. Raises VddError where the set lacks the labels the protocol asks for.
    """
    chosen = _named(protocol) if isinstance(protocol, str) else protocol
    place = pick_device(device)
    network = network or Network(name=chosen.student)
    _check_labels(distilled, chosen, teacher)
    rows, logits, students = [], [], []
    draws = {"test": test.state(), "passes": chosen.test_passes, "redraw": chosen.test_redraw}
    for seed in range(chosen.seeds) if seeds is None else seeds:
        student = trained(
            distilled, network, chosen.recipe, seed=seed, device=place,
            flip=chosen.real_flip and isinstance(distilled, FullSet), augmentation=chosen.augmentation,
            teacher=teacher if chosen.labels == "teacher" else None,
            watch=lambda model: _look(model, test, chosen, place)[0], watch_every=peek_every, watched=draws,
            geometry=test.geometry,
            what=f"{distilled.card['method']} {chosen.name} seed {seed}",
        )  # fmt: skip
        numbers, last = _look(student.model, test, chosen, place)
        row = _row(distilled, test, chosen, network, teacher, seed, student, numbers)
        if student.watched:
            row["top1_best_on_test"] = max(note["top1"] for note in student.watched)
        if student.log.diverged_at:
            row["diverged_at"] = student.log.diverged_at
        rows.append(row)
        logits.append(last)
        students.append(student)
        ipc = f" IPC {row['ipc']}" if row["ipc"] else ""
        fitted = f"{row['train_top1']:.0f} % on its own training clips"
        say(f"{row['method']}{ipc}, protocol {chosen.name}, seed {seed}: top-1 {row['top1']:.2f} % ({fitted})")
    return Report(rows, logits, test.labels, test.classes, students)


def evaluate_each(sets: Mapping[int, DistilledSet], test: Clips, protocol: Protocol | str, **options) -> Report:
    """One student per seed, each on the set that was distilled with that seed; `options` as in `evaluate`."""
    reports = [evaluate(one, test, protocol, seeds=[seed], **options) for seed, one in sets.items()]
    return reduce(operator.add, reports)


def _look(model: nn.Module, test: Clips, chosen: Protocol, device: torch.device) -> tuple[dict[str, float], Tensor]:
    """Metrics averaged over the protocol's passes, and the logits of the last pass."""
    passes = []
    for number in range(chosen.test_passes):
        logits = predict(model, test, epoch=number if chosen.test_redraw else None, device=device)
        passes.append(metrics(logits, test.labels))
    return {name: sum(p[name] for p in passes) / len(passes) for name in passes[0]}, logits


def _check_labels(distilled: DistilledSet, chosen: Protocol, teacher: Trained | None) -> None:
    soft = distilled.targets.is_floating_point()
    method = distilled.card.get("method", "this set")
    if chosen.labels in ("soft", "learned") and not soft:
        raise VddError(f"protocol {chosen.name} trains on {chosen.labels} labels, and {method} stores hard ones only")
    if chosen.labels == "hard" and soft:
        raise VddError(f"protocol {chosen.name} trains on hard labels, and {method} stores soft ones")
    warmth, expected = distilled.card.get("temperature"), chosen.recipe.temperature
    if chosen.labels == "soft" and warmth not in (None, expected):
        raise VddError(f"{method} stores labels of temperature {warmth:g}, and the recipe's is {expected:g}")
    if chosen.labels == "teacher" and teacher is None:
        raise VddError(f"protocol {chosen.name} trains on a teacher's logits: pass teacher=trained(train, ...)")


def _row(distilled, test, chosen, network, teacher, seed, student, numbers) -> dict:
    card = distilled.card
    return {
        "method": card["method"],
        "dataset": test.dataset,
        "ipc": card["ipc"],
        "protocol": chosen.name,
        "student": str(network),
        "teacher": teacher.key["network"]["name"] if chosen.labels == "teacher" else card.get("teacher"),
        "frames": test.geometry.frames,
        "size": test.geometry.size,
        "epochs": chosen.recipe.epochs,
        "seed": seed,
        **{name: None if math.isnan(value) else value for name, value in numbers.items()},
        "distill_seconds": card.get("distill_seconds"),
        "train_seconds": student.log.seconds,
        "peak_memory_mb": max(student.log.peak_memory_mb, card.get("peak_memory_mb") or 0),
        "bytes_float32": distilled.bytes_float32,
        "bytes_uint8": distilled.bytes_uint8,
        "bytes_video": distilled.bytes_video,
        "dataset_sha256": test.fingerprint,
        **student.made,
        "lr": chosen.recipe.lr,
        "batch_size": chosen.recipe.batch_size,
        "train_top1": student.log.accuracy[-1],
        **{name: card["params"][name] for name in ("iterations", "lr_pixels") if name in card.get("params", {})},
        **({"scorer": card["scorer"]} if "scorer" in card else {}),
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
    """What `protocol` at rate `lr` gives on a quarter of the training sources, distilled from the others.

    This is how learning rates are chosen: the test split is not looked at.
    """
    rest, held = train.holdout(0.25)
    recipe = protocol.recipe.model_copy(update={"lr": lr})
    changed = protocol.model_copy(update={"recipe": recipe})
    made = distiller.distill(rest, ipc, seed=seed)
    return evaluate(made, held, changed, seeds=[seed], network=network, device=device)
