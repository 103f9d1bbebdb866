"""Distillers that optimise: a content fitted to an objective, checkpointed, resumable bit for bit, and cached."""

import json
import math
import time
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, SerializeAsAny, ValidationError, field_validator
from torch import Tensor

from vddlib.core import cache, files, seeding
from vddlib.core.errors import VddError, first_mistake
from vddlib.core.measure import forget_peak, peak_memory_mb
from vddlib.core.progress import say, with_progress
from vddlib.datasets.clips import Clips, to_pixels
from vddlib.distillers.base import Distiller, check_ipc
from vddlib.distillers.distilled import DistilledSet
from vddlib.distillers.matching.objective import Draw, Objective, Options
from vddlib.distillers.matching.optimising import History, add_penalty, moved, restore
from vddlib.distillers.stored.contract import Content, Storage
from vddlib.distillers.stored.pixels import FreePixels
from vddlib.training.fit import pick_device
from vddlib.training.networks import Network, conditions

# What every optimised set depends on besides the modules of its class.
_CODE = (
    "vddlib.distillers.base",
    "vddlib.distillers.distilled",
    "vddlib.distillers.matching.objective",
    "vddlib.distillers.matching.optimising",
    "vddlib.distillers.matching.real_clips",
    "vddlib.distillers.selection.random",
    "vddlib.distillers.selection.selector",
    "vddlib.distillers.stored.contract",
    "vddlib.distillers.stored.pixels",
)
PICTURED = 8  # clips in a snapshot: the first of as many classes


class Optimised(Distiller):
    """Base of DM, DC, MTT, FRePo and TSGF: what is `stored`, fitted to one objective.

    A subclass names its `fitted_to`, and inherits that objective's options as fields besides these.
    """

    fitted_to: ClassVar[type[Objective]]
    code: ClassVar[tuple[str, ...]] = ()  # modules the result depends on, besides those of the class and its bases
    only_stores: ClassVar[type[Storage] | None] = None  # where a method is tied to one way of storing

    stored: SerializeAsAny[Storage] = Field(FreePixels(), description="what is stored: free pixels, or memories")
    iterations: int = Field(5000, ge=1, description="updates of the distilled clips")
    lr_pixels: float = Field(1.0, gt=0, description="learning rate of the clips")
    optimizer: Literal["sgd", "adam"] = Field("sgd", description="what updates the clips")
    momentum: float = Field(0.5, ge=0, lt=1, description="of SGD")
    betas: tuple[float, float] = Field((0.9, 0.999), description="of Adam")
    schedule: Literal["constant", "cosine"] = Field("constant", description="of all learning rates")
    final_lr_share: float = Field(0.1, ge=0, le=1, description="share of the learning rates that 'cosine' ends at")
    network: Network = Field(default_factory=Network, description="architecture that the clips are fitted with")
    device: str = Field("auto", exclude=True)
    snapshots: int = Field(5, ge=0, exclude=True, description="pictures kept on the way, besides the first")
    checkpoint_seconds: float = Field(60, ge=0, exclude=True, description="at most this much work is lost by a kill")

    @field_validator("stored", mode="before")
    @classmethod
    def _from_mapping(cls, value: Any) -> Any:
        """A mapping holds hyper-parameters of the storage of its `kind`; without one, of the method's usual storage."""
        if isinstance(value, dict):
            fields, usual = dict(value), type(cls.model_fields["stored"].default)
            kind = fields.pop("kind", usual.__name__)
            try:
                value = Storage.kinds[kind](**fields)
            except KeyError:
                raise ValueError(f"unknown kind of storage {kind!r}") from None
            except ValidationError as error:
                raise ValueError(": ".join(first_mistake(error))) from None
        if isinstance(value, Storage) and cls.only_stores and not isinstance(value, cls.only_stores):
            raise ValueError(f"{cls.name} can only store {cls.only_stores.__name__}, not {type(value).__name__}")
        return value

    @property
    def method(self) -> str:
        """`dm`, and with a storage that has a name `dm+vdsd`."""
        return f"{self.name}+{self.stored.suffix}" if self.stored.suffix else self.name

    def indices(self, train: Clips, ipc: int) -> Tensor:
        """Which clips of the set (class after class) are optimised here, ``int64 [n]``: all of them, together."""
        return torch.arange(len(train.classes) * ipc)

    def content(self, train: Clips, ipc: int, seed: int) -> Content:
        """What is optimised, as it begins."""
        with seeding.forked("begin", self.method, seed):
            return self.stored.begin(train, ipc, self.indices(train, ipc), seed, self.device)

    def constrain(self, content: Content, train: Clips) -> None:
        """Enforce constraints after every update (a range of values)."""

    def updates(self, content: Content, objective: Objective) -> torch.optim.Optimizer:
        """What updates the content, and what the objective learns besides."""
        groups = [*content.groups(self.lr_pixels), *objective.groups()]
        if self.optimizer == "adam":
            return torch.optim.Adam(groups, betas=self.betas)
        return torch.optim.SGD(groups, momentum=self.momentum)

    def options(self) -> Options:
        """The hyper-parameters of the objective, out of these fields."""
        kind = self.fitted_to.Options
        return kind(**{name: getattr(self, name) for name in kind.model_fields})

    def objective(self, train: Clips, labels: Tensor, seed: int, device: torch.device) -> Objective:
        """What it is fitted to."""
        return self.fitted_to(train, labels, self.network, seed, device, self.options())

    def distill(self, train: Clips, ipc: int, seed: int = 0) -> DistilledSet:
        """Optimise `ipc` clips per class, or take them out of the cache; an interrupted run goes on where it was.

        Raises VddError where a class is smaller than `ipc`, or the loss is no longer finite.
        """
        return DistilledSet.load(self.folder(train, ipc, seed))

    def history(self, train: Clips, ipc: int, seed: int = 0) -> History:
        """Losses and snapshots of the same distillation (which runs first if it has not)."""
        folder = self.folder(train, ipc, seed)
        from safetensors.numpy import load_file

        pictures = sorted((folder / "snapshots").glob("*.safetensors"))
        return History(
            json.loads((folder / "losses.json").read_text()),
            [int(path.stem) for path in pictures],
            np.stack([load_file(path)["clips"] for path in pictures]),
        )

    def folder(self, train: Clips, ipc: int, seed: int = 0) -> Path:
        """The artifact of the distilled set: tensors, card, losses and snapshots; built if missing."""
        check_ipc(train, ipc)
        device = pick_device(self.device)
        modules = {kind.__module__ for kind in self._kinds() if kind.__module__.startswith("vddlib")}
        key = {
            "method": self.method,
            "params": self.model_dump(mode="json"),
            "train": train.state(),
            "ipc": ipc,
            "seed": seed,
            **conditions(device, *_CODE, *self.code, *self.stored.code, *modules),
        }
        return cache.get("distilled", key, lambda folder: self._make(folder, train, ipc, seed, device))

    def _kinds(self) -> list[type]:
        """The classes whose code the result depends on: of the method, its objective, its storage and what that stores."""
        contents = [kind for kind in Content.registry.values() if kind.__module__ == type(self.stored).__module__]
        return [base for kind in (type(self), self.fitted_to, type(self.stored), *contents) for base in kind.__mro__]

    def _make(self, folder: Path, train: Clips, ipc: int, seed: int, device: torch.device) -> None:
        forget_peak(device)
        labels = self.indices(train, ipc) // ipc
        content = self.content(train, ipc, seed).to(device).train()
        objective = self.objective(train, labels, seed, device)
        what = f"{self.method} IPC {ipc} seed {seed}"
        values, seconds = self._optimise(folder, content, objective, train, seed, device, what)
        stored = self.stored.finished(content, train).cpu()
        facts = {
            "distill_seconds": content.prepared + objective.prepared + seconds,
            "peak_memory_mb": peak_memory_mb(device),
            # The start is drawn again, since a resumed run no longer has it.
            "moved": moved(self.stored.finished(self.content(train, ipc, seed), train), stored),
            **objective.facts(),
        }
        targets = objective.targets.detach().cpu()
        DistilledSet(stored, labels, train.classes, self.card(train, ipc, seed, **facts), targets).save(
            folder, previews=False
        )
        files.write_json(folder / "losses.json", values)
        (folder / "checkpoint.pt").unlink(missing_ok=True)

    def _optimise(
        self,
        folder: Path,
        content: Content,
        objective: Objective,
        train: Clips,
        seed: int,
        device: torch.device,
        what: str,
    ) -> tuple[dict[str, list[float]], float]:
        optimizer = self.updates(content, objective)
        rates = [group["lr"] for group in optimizer.param_groups]
        values: dict[str, list[float]] = {}
        unread: list[dict[str, Tensor]] = []  # still on the device
        begin, earlier = restore(folder / "checkpoint.pt", content, objective, optimizer, values, device)
        if begin:
            say(f"{what}: going on from iteration {begin} of {self.iterations}")
        # Rounded from fractions: the last picture is always of the last iteration.
        pictured = {round(self.iterations * i / self.snapshots) for i in range(1, self.snapshots + 1)}
        started = saved = time.monotonic()
        if not begin:
            self._picture(folder, content, train, objective.labels, 0)
        for iteration in with_progress(range(begin, self.iterations), what):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * self._lr_factor(iteration)
            optimizer.zero_grad(set_to_none=True)
            # Of (seed, iteration) alone, so that a run resumed in the middle draws what a whole one does: dropout too.
            with seeding.forked("iteration", self.method, seed, iteration, device=device):
                draw = Draw(content, seed, iteration)
                unread.append(objective.step(draw, iteration) | add_penalty(content))
                optimizer.step()
                self.constrain(content, train)
                objective.after(draw, iteration)
            done = iteration + 1
            due = time.monotonic() - saved > self.checkpoint_seconds
            if due or len(unread) == 50 or done == self.iterations:
                self._note(values, unread, what)
            if done in pictured:
                self._picture(folder, content, train, objective.labels, done)
            if due and done < self.iterations:
                saved = time.monotonic()
                state = {"content": content.state_dict(), "optimizer": optimizer.state_dict(), "values": values}
                state |= {"objective": objective.state_dict(), "done": done, "seconds": earlier + saved - started}
                files.write_state(folder / "checkpoint.pt", state)
        return values, earlier + time.monotonic() - started

    def _lr_factor(self, iteration: int) -> float:
        """What the schedule multiplies all learning rates by in `iteration`."""
        if self.schedule == "constant":
            return 1.0
        return self.final_lr_share + (1 - self.final_lr_share) * 0.5 * (
            1 + math.cos(math.pi * iteration / self.iterations)
        )

    def _note(self, values: dict[str, list[float]], unread: list[dict[str, Tensor]], what: str) -> None:
        """Move the scalars of the last iterations off the device; all at once, so that a GPU need not wait at each."""
        for row in unread:
            for name, value in row.items():
                values.setdefault(name, []).append(float(value))
        unread.clear()
        # A set that diverged would still train students, and its numbers would look like a result.
        bad = [place for place, value in enumerate(values["loss"]) if not math.isfinite(value)]
        if bad:
            raise VddError(
                f"{what}: the loss is no longer finite at iteration {bad[0]}; lower lr_pixels, now {self.lr_pixels:g}"
            )

    @torch.no_grad()
    def _picture(self, folder: Path, content: Content, train: Clips, labels: Tensor, done: int) -> None:
        classes = labels.tolist()
        first = torch.tensor([classes.index(label) for label in sorted(set(classes))[:PICTURED]])
        # In evaluation mode and with chance of its own: how many pictures are taken must not change the result.
        content.eval()
        with seeding.forked("picture", 0, device=content.mean.device):
            clips = self.stored.finished(content, train)(first.to(content.mean.device), seeding.generator("picture", 0))
        content.train()
        frames = torch.from_numpy(to_pixels(clips, train.mean, train.std))
        (folder / "snapshots").mkdir(exist_ok=True)
        files.write_tensors(folder / "snapshots" / f"{done:06d}.safetensors", {"clips": frames})
