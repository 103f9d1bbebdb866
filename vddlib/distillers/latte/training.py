"""Training of Latte on the training split: noise is added, and the network learns to tell it (Ho et al., 2020, eq. 14).

One loop for one process and for several (`accelerate launch`): a step's clips, times and noise are drawn for the whole batch
from the step's own stream, and every process takes its share of them.
"""

import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vddlib.core import cache, files, seeding
from vddlib.core.errors import VddError
from vddlib.core.measure import forget_peak, peak_memory_mb
from vddlib.core.progress import say, with_progress
from vddlib.datasets.clips import Clips
from vddlib.distillers.latte.autoencoder import Codec
from vddlib.distillers.latte.latents import Latents, training_latents
from vddlib.distillers.latte.published import load_published
from vddlib.distillers.latte.sampling import TIMES, sample, schedule, wanted
from vddlib.distillers.latte.settings import Latte
from vddlib.distillers.latte.transformer import LatteTransformer
from vddlib.training.networks import conditions, seed_of

LOOKS, LOOK_STEPS, LOOK_CLASSES = 4, 20, 4  # samples on the way: how often, denoising steps, of how many classes
CLIPPED = 1.0  # norm of the gradient
CODE = tuple(
    f"vddlib.distillers.latte.{name}" for name in ("transformer", "sampling", "training", "latents", "published")
)


@dataclass
class Log:
    """Mean loss of every hundredth of the steps, seconds, peak memory, steps after which samples were drawn, and processes."""

    loss: list[float] = field(default_factory=list)
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    looks: list[int] = field(default_factory=list)
    processes: int = 1


@dataclass
class Trained:
    """The averaged network in evaluation mode, its log, its folder (`looks`), its key, and the codec of its latents."""

    model: LatteTransformer
    log: Log
    folder: Path
    key: dict[str, Any]
    codec: Codec

    def looks(self) -> np.ndarray:
        """``uint8 [looks, classes, T, H, W, 3]``: samples of the first classes on the way, each time from the same noise."""
        return np.load(self.folder / "looks.npy")


def trained_latte(latte: Latte, train: Clips, codec: Codec, seed: int = 0) -> Trained:
    """The network, out of the cache or trained now (resumed if interrupted), by all processes of an `accelerate launch`.

    Raises VddError where the batch does not divide among the processes, or training diverged.
    """
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=latte.device == "cpu")
    device = accelerator.device
    key = {"latte": latte.learning(), "codec": codec.about, "train": train.state(), "seed": seed}
    key |= conditions(device, *CODE)  # not how many processes share a batch, which only rounds otherwise
    with accelerator.main_process_first():
        latents = training_latents(train, codec, latte.draws)
    run = Run(latte, train, codec, latents, seed, accelerator)
    place = _together(accelerator, key, run.fit)
    model = latte.network(train, codec)
    from safetensors.torch import load_file

    model.load_state_dict(load_file(place / "model.safetensors"))
    log = Log(**json.loads((place / "log.json").read_text()))
    return Trained(model.to(device).eval(), log, place, key, codec)


def _together(accelerator, key: dict, fit: Callable[[Path], None]) -> Path:
    """The artifact that all processes build, of which the first holds the lock and writes."""
    from accelerate.utils import broadcast_object_list

    if accelerator.num_processes == 1:
        return cache.get("latte", key, fit)
    place = None
    if accelerator.is_main_process:
        began = []

        def build(folder: Path) -> None:
            began.append(folder)
            broadcast_object_list([str(folder)])
            fit(folder)

        place = cache.get("latte", key, build)
        if not began:
            broadcast_object_list([""])  # it was there: nobody builds
    else:
        folder = broadcast_object_list([None])[0]
        if folder:
            fit(Path(folder))
    accelerator.wait_for_everyone()
    return place or cache.get("latte", key, fit)


@dataclass
class Run:
    """One training: what it is of, and the accelerator that spreads it."""

    latte: Latte
    train: Clips
    codec: Codec
    latents: Latents
    seed: int
    accelerator: Any

    def __post_init__(self) -> None:
        self.schedule = schedule()

    def fit(self, folder: Path) -> None:
        """Train, and leave network, log and samples in `folder`."""
        own, main = seed_of("latte", self.seed), self.accelerator.is_main_process
        with seeding.forked("latte", own):
            bare = self.latte.network(self.train, self.codec)
        if self.latte.weights:
            load_published(bare, self.latte.weights)
        optimizer = torch.optim.AdamW(bare.parameters(), self.latte.lr, weight_decay=0)
        model, optimizer = self.accelerator.prepare(bare, optimizer)
        average = self._average(bare)
        log, begin = self._restore(folder / "checkpoint.pt", bare, optimizer, average)
        started = saved = time.monotonic()
        earlier, what = log.seconds, f"latte on {self.train.dataset}"
        forget_peak(self.accelerator.device)
        for step in with_progress(range(begin, self.latte.steps), what):
            self._note(log, step, self._step(model, optimizer, own, step))
            average.step(bare.parameters())
            log.seconds = earlier + time.monotonic() - started
            if main and self._looks_after(step):
                self._look(folder, bare, average, log, step)
            if main and time.monotonic() - saved > self.latte.checkpoint_seconds:
                saved = time.monotonic()
                self._save(folder / "checkpoint.pt", bare, optimizer, average, log, step + 1)
        if main:
            log.peak_memory_mb = peak_memory_mb(self.accelerator.device)
            average.copy_to(bare.parameters())
            files.write_tensors(folder / "model.safetensors", bare.state_dict())
            files.write_json(folder / "log.json", vars(log))
            (folder / "checkpoint.pt").unlink(missing_ok=True)
        self.accelerator.wait_for_everyone()

    def _average(self, model: LatteTransformer):
        from diffusers.training_utils import EMAModel

        # Its decay rises from nothing, (1 + n) / (10 + n), to the given one, so that first weights are soon forgotten.
        return EMAModel(model.parameters(), decay=self.latte.ema)

    def _step(self, model: torch.nn.Module, optimizer: Any, own: int, step: int) -> Tensor:
        """One optimiser step; the loss of this process's share."""
        device = self.accelerator.device
        clean, labels, times, noise = (value.to(device) for value in self._batch(own, step))
        noisy = self.schedule.add_noise(clean, noise, times)
        target = wanted(self.schedule, self.latte.prediction, clean, noise, times)
        half = self.latte.precision == "bfloat16" and device.type == "cuda"
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            guess = model(noisy, times, labels)
        loss = F.mse_loss(guess.float(), target)
        optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(model.parameters(), CLIPPED)
        optimizer.step()
        return loss.detach()

    def _batch(self, own: int, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Latents ``[n, T, C, h, w]``, labels, times and noise of this process's share of a step's clips."""
        size, shares, draw = (
            self.latte.batch_size,
            self.accelerator.num_processes,
            seeding.generator("latte", own, step),
        )
        if size % shares:
            raise VddError(f"latte: a batch of {size} clips does not divide among {shares} processes")
        videos = self._order(own, step)
        draws = torch.randint(self.latte.draws, (size,), generator=draw)
        times = torch.randint(TIMES, (size,), generator=draw)
        dropped = torch.rand(size, generator=draw) < self.latte.class_dropout
        noise = torch.randn(size, *self.latents.values.shape[2:], generator=draw)
        labels = self.latents.labels[videos].masked_fill(dropped, len(self.train.classes))
        mine = slice(self.accelerator.process_index, None, shares)
        return self.latents.batch(videos[mine], draws[mine]), labels[mine], times[mine], noise[mine]

    def _order(self, own: int, step: int) -> Tensor:
        """The videos of a step, ``int64 [batch]``: all of them in a random order, then all again in another."""
        count, size = len(self.latents.labels), self.latte.batch_size
        first, last = step * size // count, (step * size + size - 1) // count
        orders = [
            torch.randperm(count, generator=seeding.generator("latte order", own, e)) for e in range(first, last + 1)
        ]
        begin = step * size - first * count
        return torch.cat(orders)[begin : begin + size]

    def _note(self, log: Log, step: int, loss: Tensor) -> None:
        """Keep the loss; raises VddError where it is not finite."""
        share = max(1, self.latte.steps // 100)
        place, value = step // share, loss.item()
        if not np.isfinite(value):
            raise VddError(f"latte: diverged in step {step + 1}; lower lr, now {self.latte.lr:g}")
        if place == len(log.loss):
            log.loss.append(0.0)
        log.loss[place] += (value - log.loss[place]) / (step % share + 1)

    def _looks_after(self, step: int) -> bool:
        return (step + 1) % max(1, self.latte.steps // LOOKS) == 0

    def _look(self, folder: Path, bare: LatteTransformer, average: Any, log: Log, step: int) -> None:
        """Samples of the averaged network, so that people see where training is."""
        labels = torch.arange(min(LOOK_CLASSES, len(self.train.classes)), device=self.accelerator.device)
        streams = [seeding.generator("latte look", label) for label in range(len(labels))]
        average.store(bare.parameters())
        average.copy_to(bare.parameters())
        bare.eval()
        options = {"steps": LOOK_STEPS, "prediction": self.latte.prediction}
        found = sample(bare, labels, self.latents.values.shape[2:], streams, **options)
        average.restore(bare.parameters())
        bare.train()
        clips, path = self.codec.decode(found)[None], folder / "looks.npy"
        kept = len([at for at in log.looks if at < step + 1])  # a run that was interrupted may have left more
        before = np.load(path)[:kept] if kept else clips[:0]
        buffer = io.BytesIO()
        np.save(buffer, np.concatenate([before, clips]))
        files.write_atomic(path, buffer.getbuffer())
        log.looks = [*log.looks[:kept], step + 1]
        say(f"latte on {self.train.dataset}: loss {log.loss[-1]:.3f} after {step + 1} steps; samples in {path}")

    def _save(self, path: Path, model: LatteTransformer, optimizer: Any, average: Any, log: Log, step: int) -> None:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "average": average.state_dict()}
        files.write_state(path, {**state, "log": vars(log), "step": step})

    def _restore(self, path: Path, model: LatteTransformer, optimizer: Any, average: Any) -> tuple[Log, int]:
        if not path.is_file():
            return Log(processes=self.accelerator.num_processes), 0
        state = torch.load(path, map_location=self.accelerator.device, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average.load_state_dict(state["average"])
        say(f"latte on {self.train.dataset}: resuming at step {state['step']} of {self.latte.steps}")
        return Log(**state["log"]), state["step"]
