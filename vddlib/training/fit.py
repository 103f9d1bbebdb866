"""The training loop of students, teachers and embedding networks alike."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from vddlib.core import files, seeding
from vddlib.core.errors import VddError
from vddlib.core.measure import forget_peak, peak_memory_mb
from vddlib.core.progress import say, with_progress

Loss = Literal["ce", "mse", "kl", "mse+ce"]
Augment = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]


class Recipe(BaseModel):
    """How a network is trained: one field per choice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: float = Field(0.01, gt=0, description="learning rate at the first epoch")
    momentum: float = Field(0.9, ge=0, lt=1, description="SGD's momentum")
    weight_decay: float = Field(5e-4, ge=0, description="L2 penalty (sgd, adam) or decoupled decay (adamw)")
    epochs: int = Field(500, ge=1, description="passes over the training clips")
    steps: int | None = Field(
        None, ge=1, description="optimiser steps, whatever the set's size; `epochs` then says nothing"
    )
    batch_size: int = Field(256, ge=1, description="clips per step")
    schedule: Literal["constant", "drop", "cosine"] = "drop"
    drop_at: float = Field(0.5, gt=0, le=1, description="share of the epochs after which 'drop' divides the rate by 10")
    loss: Loss = "ce"
    ce_weight: float = Field(0.1, ge=0, description="weight of the cross-entropy in 'mse+ce'")
    temperature: float = Field(1.0, gt=0, description="softmax temperature of teacher and student in 'kl'")
    bf16: bool = Field(False, description="compute in bfloat16 where the device is a GPU; weights stay float32")

    def learning_rate(self, done: int) -> float:
        """Learning rate after `done` epochs, or steps where `steps` is set. 'drop' at 500 epochs divides it by 10 from the
        251st on, as VDSD's code does."""
        total = self.steps or self.epochs
        if self.schedule == "drop" and done >= int(total * self.drop_at):
            return self.lr * 0.1
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * done / total)).item())
        return self.lr

    def epochs_on(self, clips: int) -> int:
        """Passes over so many clips; with `steps` the last may end early."""
        return -(-self.steps // -(-clips // self.batch_size)) if self.steps else self.epochs

    def steps_on(self, clips: int) -> int:
        """Optimiser steps on so many clips."""
        return self.steps or self.epochs * -(-clips // self.batch_size)


class Source(Protocol):
    """What networks learn from: real `Clips` and `DistilledSet`s alike."""

    labels: Tensor

    def __len__(self) -> int: ...

    def batch(self, indices: Tensor, *, epoch: int, seed: int, flip: bool) -> tuple[Tensor, Tensor]: ...


@dataclass
class FitLog:
    """How training went: mean loss and accuracy (percent, on the training clips) per epoch, seconds, peak memory in MiB.

    `diverged_at` is the epoch (from 1) whose loss was no longer finite; training ends there.
    """

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    diverged_at: int | None = None


def pick_device(name: str = "auto") -> torch.device:
    """The device `name`; 'auto' is CUDA where there is a GPU, else the CPU (never MPS, which lacks some 3D operations).

    Raises VddError for a device that torch cannot use.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)  # only using it tells whether it works
        return device
    except Exception as error:
        text = str(error).splitlines()[0]
        raise VddError(f"device {name!r} cannot be used here ({text}); try device='cpu'") from None


def loss_of(recipe: Recipe, logits: Tensor, target: Tensor, labels: Tensor) -> Tensor:
    """Scalar loss of ``logits [N, C]`` under `recipe`.

    `target` is ``int64 [N]`` for hard labels, else ``float32 [N, C]``: class weights for 'ce' (learned or mixed labels),
    logits for 'mse' and 'mse+ce', probabilities at the recipe's temperature for 'kl'. `labels` ``int64 [N]`` are the
    classes, for the cross-entropy of 'mse+ce'.
    """
    if target.dtype == torch.int64 and recipe.loss != "ce":  # the other losses compare with a value per class
        target = F.one_hot(target, logits.shape[1]).to(logits)
    if recipe.loss == "ce":
        return F.cross_entropy(logits, target)
    if recipe.loss == "kl":
        t = recipe.temperature
        # Times t^2, since a temperature shrinks gradients by that (Hinton et al., 2015).
        return F.kl_div(F.log_softmax(logits / t, 1), target, reduction="batchmean") * t * t
    mse = F.mse_loss(logits, target)
    return mse if recipe.loss == "mse" else mse + recipe.ce_weight * F.cross_entropy(logits, labels)


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    weights = [p for p in model.parameters() if p.requires_grad]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(weights, recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(weights, recipe.lr, weight_decay=recipe.weight_decay)


def fit(
    model: nn.Module,
    source: Source,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    augment: Augment | None = None,
    flip: bool = False,
    teacher: nn.Module | None = None,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 60,
    on_epoch: Callable[[int, nn.Module], None] | None = None,
    what: str = "fit",
) -> FitLog:
    """Train `model` in place on `source`; one seed gives the same bits on one device, interrupted or not.

    (On the CPU this holds for one number of threads; CUDA's 3D max-pooling is not bitwise reproducible.)
    `augment(clips, targets, generator)` changes each batch; `flip` asks the source for its own flips; `teacher` gives
    the target logits of each (augmented) batch instead of the stored labels. With `checkpoint` (a file) the state is
    saved at most every `checkpoint_seconds`, and a later call resumes from it. `on_epoch(epoch, model)` is called after
    every epoch; `what` names the training in messages.
    """
    device = torch.device(device)
    model.to(device).train()
    optimizer, log, begin, epochs = _optimizer(model, recipe), FitLog(), 0, recipe.epochs_on(len(source))
    if checkpoint is not None and checkpoint.is_file():
        begin = _restore(checkpoint, model, optimizer, log, device)
        say(f"{what}: resuming at epoch {begin} of {epochs}")
    forget_peak(device)
    started, saved, earlier = time.monotonic(), time.monotonic(), log.seconds
    for epoch in with_progress(range(begin, epochs), what):
        loss, accuracy = _epoch(model, optimizer, source, recipe, seed, epoch, device, augment, flip, teacher)
        log.loss.append(loss)
        log.accuracy.append(accuracy)
        if on_epoch is not None:
            on_epoch(epoch, model)
            model.train()  # it may have been put into evaluation mode
        if not math.isfinite(loss):
            log.diverged_at = epoch + 1
            rate = optimizer.param_groups[0]["lr"]
            say(f"{what}: diverged in epoch {epoch + 1} (loss {loss}) at learning rate {rate:g}; try a lower one")
        log.seconds = earlier + time.monotonic() - started
        if checkpoint is not None and time.monotonic() - saved > checkpoint_seconds and epoch + 1 < epochs:
            saved = time.monotonic()
            _save(checkpoint, model, optimizer, log, epoch + 1)
        if log.diverged_at:
            break
    log.peak_memory_mb = peak_memory_mb(device)
    return log


def _epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    source: Source,
    recipe: Recipe,
    seed: int,
    epoch: int,
    device: torch.device,
    augment: Augment | None,
    flip: bool,
    teacher: nn.Module | None,
) -> tuple[float, float]:
    """One pass over the source, or its beginning where the steps end: (mean loss, accuracy in percent on these clips)."""
    precision = torch.autocast(device.type, torch.bfloat16) if recipe.bf16 and device.type == "cuda" else nullcontext()
    draw = seeding.generator("fit", seed, epoch)  # a stream per epoch, so that a resumed run draws what it would have
    total, right = torch.zeros((), device=device), torch.zeros((), device=device)
    order, before = _order(len(source), recipe, epoch, draw)
    with seeding.forked("dropout", seed, epoch, device=device):
        batches = ((i, *source.batch(i, epoch=epoch, seed=seed, flip=flip)) for i in order)
        # On the CPU a reading thread would only compete with the computation.
        for number, (indices, clips, target) in enumerate(_ahead(batches) if device.type == "cuda" else batches):
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate(before + number if recipe.steps else epoch)
            clips, target = clips.to(device, non_blocking=True), target.to(device, non_blocking=True)
            labels = source.labels[indices].to(device)
            if augment is not None:
                clips, target = augment(clips, target, draw)
            with precision:
                if teacher is not None:
                    target = _teachers_target(teacher, clips, recipe)
                logits = model(clips)
            loss = loss_of(recipe, logits.float(), target, labels)  # in float32 also where the network ran in bfloat16
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(indices)  # stays on the device: .item() would wait for it at every step
            right += (logits.detach().argmax(1) == labels).sum()
    seen = sum(map(len, order))
    return total.item() / seen, 100 * right.item() / seen


def _order(clips: int, recipe: Recipe, epoch: int, draw: torch.Generator) -> tuple[tuple[Tensor, ...], int]:
    """Indices of each batch of an epoch, as many as there are steps left, and the steps of the epochs before."""
    batches = torch.randperm(clips, generator=draw).split(recipe.batch_size)
    before = epoch * len(batches)
    return (batches[: recipe.steps - before] if recipe.steps else batches), before


@torch.no_grad()
def _teachers_target(teacher: nn.Module, clips: Tensor, recipe: Recipe) -> Tensor:
    """The teacher's logits ``float32 [N, C]`` of what the student sees; for 'kl' as probabilities."""
    logits = teacher(clips).float()
    return F.softmax(logits / recipe.temperature, 1) if recipe.loss == "kl" else logits


def _ahead(batches: Iterator[tuple], depth: int = 3) -> Iterator[tuple]:
    """The same batches, the next `depth` of them read by a thread while the GPU computes."""
    with ThreadPoolExecutor(1) as reader:
        waiting = deque(reader.submit(next, batches, None) for _ in range(depth))
        while (batch := waiting.popleft().result()) is not None:
            waiting.append(reader.submit(next, batches, None))
            yield batch


def _save(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, log: FitLog, epoch: int) -> None:
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "log": vars(log), "epoch": epoch}
    files.write_state(path, state)


def _restore(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, log: FitLog, device: torch.device) -> int:
    state = torch.load(path, map_location=device, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    vars(log).update(state["log"])
    return state["epoch"]
