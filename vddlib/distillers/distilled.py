"""DistilledSet: what a distiller stores, its labels, how clips are drawn from it, and how many bytes that takes.

What is stored is a *content*, an ``nn.Module`` that turns indices into clips (see `stored.contract`): real clips, free
pixels, static and dynamic memories, feature pools. Students, protocols and tables see the DistilledSet alone.
"""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vddlib.core import files, seeding
from vddlib.core.errors import VddError
from vddlib.datasets.video import encode
from vddlib.distillers.stored.contract import VIDEO_FPS, VIDEO_QUALITY, Content, Sizes, content_of

BYTES = ("bytes_float32", "bytes_uint8", "bytes_stream", "bytes_video")


class DistilledSet:
    """A small set of clips with labels.

    `content`: what is stored; `labels` ``int64 [N]``: the class of each clip; `targets`: what students learn, `labels`
    themselves or ``float32 [N, C]``; `card`: method, ipc, seed, parameters and costs, as plain JSON.
    """

    def __init__(
        self,
        content: Content,
        labels: Tensor,
        classes: tuple[str, ...],
        card: dict[str, Any],
        targets: Tensor | None = None,
    ):
        self.content, self.labels, self.classes = content.eval(), labels, tuple(classes)
        self.targets = labels if targets is None else targets
        self.card = dict(card)
        if not len(content) == len(labels) == len(self.targets):
            raise VddError(f"{len(content)} clips, {len(labels)} labels and {len(self.targets)} targets do not match")

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"DistilledSet({self.card.get('method')}, {len(self)} clips of {len(self.classes)} classes)"

    def with_targets(self, targets: Tensor, **facts: Any) -> "DistilledSet":
        """The same clips with other labels for students (``float32 [N, C]``, or `labels`); `facts` join the card."""
        return DistilledSet(self.content, self.labels, self.classes, {**self.card, **facts}, targets)

    @torch.no_grad()
    def batch(self, indices: Tensor, *, epoch: int = 0, seed: int = 0, flip: bool = False) -> tuple[Tensor, Tensor]:
        """Model input ``float32 [n, 3, T, H, W]`` and targets; what is drawn depends on (seed, epoch) alone.

        `flip` is for real videos, which are redrawn every epoch; stored clips change by a protocol's augmentation only.
        """
        stream = seeding.generator("distilled", seed, epoch)
        return self.content(torch.as_tensor(indices), stream), self.targets[indices]

    def draw(self, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """All clips ``float32 [N, 3, T, H, W]`` and their targets, drawn once."""
        with torch.no_grad():
            everything = torch.arange(len(self))
            return self.content(everything, generator or seeding.generator("distilled", 0, 0)), self.targets

    @torch.no_grad()
    def logits(self, model: nn.Module, draws: int = 1, at_once: int = 64) -> Tensor:
        """The logits of `model` for every clip, ``float32 [draws, N, C]`` on the CPU; random content is drawn `draws` times."""
        model = model.eval()
        own = seeding.derive("logits")  # else the clips that are labelled would be those that student 0 sees first
        device, parts = next(model.parameters()).device, torch.arange(len(self)).split(at_once)
        return torch.stack(
            [
                torch.cat([model(self.batch(part, epoch=draw, seed=own)[0].to(device)).float().cpu() for part in parts])
                for draw in range(draws)
            ]
        )

    @cached_property
    def pixels(self) -> np.ndarray:
        """The clips as a person sees them, ``uint8 [N, T, H, W, 3]`` (one draw)."""
        return self.content.pixels(seeding.generator("distilled", 0, 0))

    @cached_property
    def sizes(self) -> Sizes:
        """Bytes of the content, without labels."""
        return self.content.sizes()

    @property
    def bytes_labels(self) -> int:
        """Soft labels, four bytes a value; hard ones are free: clips are sorted by class."""
        return 4 * self.targets.numel() if self.targets.is_floating_point() else 0

    @property
    def bytes_float32(self) -> int:
        """Everything stored, four bytes a value; soft labels included, here and below."""
        return self.sizes.float32 + self.bytes_labels

    @property
    def bytes_uint8(self) -> int:
        """Pixels at one byte a value; memories and networks at their own width."""
        return self.sizes.uint8 + self.bytes_labels

    @property
    def bytes_stream(self) -> int:
        """Pixels as H.264 streams (CRF 23, 8 fps, where a method does not store videos of its own), the rest as it is."""
        return self.sizes.stream + self.bytes_labels

    @property
    def bytes_video(self) -> int:
        """`bytes_stream` plus the MP4 containers, which dominate for small clips."""
        return self.bytes_stream + self.sizes.container

    def state(self) -> dict:
        """What determines a student trained on this set, for cache keys."""
        tensors = {**self.content.state(), "targets": self.targets, "labels": self.labels}
        hashes = {name: files.hash_array(tensor.cpu().numpy()) for name, tensor in sorted(tensors.items())}
        return {"kind": self.content.kind, "tensors": hashes, "draws": self.content.code}

    def save(self, folder: Path, previews: bool = True) -> Path:
        """Write ``tensors.safetensors``, ``card.json`` and, with `previews`, an MP4 per clip."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"content.{name}": tensor for name, tensor in self.content.state().items()}
        tensors |= {"labels": self.labels, "targets": self.targets.clone()}
        files.write_tensors(folder / "tensors.safetensors", tensors)
        facts = {"kind": self.content.kind, "classes": self.classes, "clips": len(self)}
        files.write_json(folder / "card.json", {**self.card, **stored_bytes(self), **facts})
        if previews:
            for i, clip in enumerate(self.pixels):
                encode(folder / f"{i:04d}_{self.classes[self.labels[i]]}.mp4", clip, VIDEO_FPS, VIDEO_QUALITY)
        return folder

    @classmethod
    def load(cls, folder: Path) -> "DistilledSet":
        """Read what `save` wrote. Raises VddError, and nothing else, where the folder holds no complete distilled set."""
        folder = Path(folder)
        try:
            card, tensors = _read_card(folder / "card.json"), _read_tensors(folder / "tensors.safetensors")
            state = {k.removeprefix("content."): v for k, v in tensors.items() if k.startswith("content.")}
            labels, targets = tensors["labels"], tensors["targets"]
            _check_targets(labels, targets, len(card["classes"]))
            return cls(content_of(card["kind"], state), labels, tuple(card["classes"]), card, targets)
        except (OSError, ValueError, KeyError, VddError) as error:
            why = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:300]
            raise VddError(f"{folder}: not a complete distilled set ({why})") from None


def stored_bytes(distilled: DistilledSet) -> dict[str, int]:
    """Bytes of a set, soft labels included: as float32, as uint8, as H.264 streams, and as files with their containers."""
    return {kind: getattr(distilled, kind) for kind in BYTES}


def _read_card(path: Path) -> dict[str, Any]:
    """The card of a saved set. Raises OSError or VddError."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # not JSON, or nested thousands deep
        raise VddError(f"{path.name} is not JSON ({type(error).__name__})") from None
    if not isinstance(card, dict):
        raise VddError(f"{path.name} holds a {type(card).__name__}, not a mapping")
    classes = card.get("classes")
    if not isinstance(classes, list) or not classes or not all(isinstance(name, str) for name in classes):
        raise VddError(f"{path.name} names no classes")
    if len(set(classes)) < len(classes):
        raise VddError(f"{path.name} names a class twice")
    if not isinstance(card.get("kind"), str):
        raise VddError(f"{path.name} does not name the kind of content")
    params = card.setdefault("params", {})
    if not isinstance(card.get("method"), str) or not isinstance(params, dict):
        raise VddError(f"{path.name} does not say by which method, with which parameters")
    for name in ("ipc", "distill_seconds", "peak_memory_mb", "temperature", "teacher_seconds", "moved"):
        value = card.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise VddError(f"{path.name}: {name} is {value!r}, not a number")
    return card


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a saved set. Raises OSError or VddError."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise VddError(f"there is no {path.name}")
    try:
        return load_file(path)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise VddError(f"{path.name} cannot be read ({type(error).__name__}: {error})") from None


def _check_targets(labels: Tensor, targets: Tensor, classes: int) -> None:
    """Raises VddError where labels are out of range, or targets do not fit labels and classes."""
    if labels.ndim != 1 or labels.dtype != torch.int64 or not len(labels):
        raise VddError(f"labels must be int64 [N], not {labels.dtype} {list(labels.shape)}")
    if labels.min() < 0 or labels.max() >= classes:
        raise VddError(f"labels range from {labels.min()} to {labels.max()}, but there are {classes} classes")
    if targets.is_floating_point():
        if targets.shape != (len(labels), classes) or not targets.isfinite().all():
            raise VddError(f"soft targets must be finite [{len(labels)}, {classes}], not {list(targets.shape)}")
    elif targets.shape != labels.shape or not torch.equal(targets, labels):
        raise VddError("hard targets are the labels themselves")
