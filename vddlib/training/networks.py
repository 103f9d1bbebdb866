"""Trained networks, out of the cache: students, teachers and embedding networks are made, keyed and kept alike."""

import json
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from vddlib import models
from vddlib.core import cache, files, seeding
from vddlib.core.errors import VddError
from vddlib.core.provenance import commit, device_name, lock_sha256
from vddlib.datasets.geometry import Geometry
from vddlib.training import augmentations
from vddlib.training.fit import FitLog, Recipe, Source, fit

# Modules on whose code a trained network depends, besides its key. Raise DRAWS when other clips are drawn for the same
# (seed, epoch, index): vddlib.datasets.clips is not among them, since most of it does not concern training.
_CODE = (
    "vddlib.training.fit",
    "vddlib.core.seeding",
    "vddlib.training.augmentations",
    "vddlib.training.saliency",
    "vddlib.training.temporal",
    "vddlib.datasets.geometry",
)
_OTHERS = ("ms_tcn",)  # of sequences of features: networks of clips do not depend on it
_MODELS = (
    "vddlib.models",
    *(f"vddlib.models.{one.name}" for one in pkgutil.iter_modules(models.__path__) if one.name not in _OTHERS),
)
DRAWS = 1
STUDENT = "student"


class Network(BaseModel):
    """An architecture: its name in `vddlib.models` and its options (depth, widths, norm...)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field("minic3d", description="name in vddlib.models.MODELS")
    options: dict = Field(default_factory=dict, description="what the model's class takes besides the clip geometry")

    def build(self, classes: tuple[str, ...], geometry: Geometry, seed: int) -> nn.Module:
        """The network for these classes and clips, initialised from `seed`."""
        return models.build(
            self.name, len(classes), frames=geometry.frames, size=geometry.size, seed=seed, **self.options
        )

    def __str__(self) -> str:
        def text(value: object) -> str:
            return "x".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

        options = ",".join(f"{name}={text(value)}" for name, value in sorted(self.options.items()))
        return f"{self.name}({options})" if options else self.name


@dataclass
class TrainedNetwork:
    """A trained network, its log, what `look` noted during training, where it was made, and its folder in the cache.

    `made` holds device, commit and lock_sha256 as they were at training, which may be long before it is used again.
    """

    model: nn.Module
    log: FitLog
    looks: list[dict]
    made: dict
    folder: Path
    key: dict


def seed_of(role: str, seed: int) -> int:
    """The seed of a network's weights and draws: `seed` itself for students, another one for every other role."""
    return seed if role == STUDENT else seeding.derive(role, seed)


def conditions(device: torch.device, *modules: str) -> dict:
    """What the bits of a result depend on besides its inputs, for cache keys: device, threads, torch, code (`modules` too)."""
    return {
        "device": device_name(device),
        # Sums on the CPU are split by threads, and their rounding with them.
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "draws": DRAWS,
        "code": cache.code_digest(*_CODE, *_MODELS, *sorted(modules)),
    }


def train_network(
    source: Source,
    network: Network,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device,
    flip: bool = False,
    augmentation: tuple[augmentations.Named, ...] = (),
    teacher: "TrainedNetwork | None" = None,
    role: str = STUDENT,
    look: Callable[[nn.Module], dict] | None = None,
    look_every: int = 0,
    looks_at: dict | None = None,
    geometry: Geometry | None = None,
    what: str = "",
) -> TrainedNetwork:
    """`network` trained on `source` by `recipe` from `seed`: out of the cache, or trained now (resumed if interrupted).

    Networks of one seed and different roles ('student', 'teacher', 'embedding'...) share neither first weights nor draws.
    `look(model)` is called every `look_every` epochs and the dicts it returns are kept; `looks_at` names what it looks at,
    for the key. `flip`, `augmentation` and `teacher` are those of `fit`.
    """
    geometry = geometry or source.geometry
    key = {
        "source": source.state(),
        "network": network.model_dump(mode="json"),
        "recipe": recipe.model_dump(mode="json"),
        "geometry": geometry.model_dump(mode="json"),
        "seed": seed,
        "role": role,
        "flip": flip,
        "augmentation": list(augmentation),
        "teacher": files.digest(teacher.key) if teacher else None,
        "looks": [look_every, looks_at] if look_every else None,
        **conditions(device),
    }
    augment, own = augmentations.compose(augmentation), seed_of(role, seed)

    def build(folder: Path) -> None:
        model = network.build(source.classes, geometry, own)
        log = fit(
            model, source, recipe, seed=own, device=device, augment=augment, flip=flip,
            teacher=teacher.model.to(device).eval() if teacher else None,
            checkpoint=folder / "checkpoint.pt", on_epoch=_looking(folder / "looks.json", look, look_every),
            what=what or f"{network.name} on {len(source)} clips, seed {seed}",
        )  # fmt: skip
        _keep(folder, model, log, device)

    return _open(cache.get("networks", key, build), network, source, geometry, device, key)


def _looking(
    notes: Path, look: Callable[[nn.Module], dict] | None, every: int
) -> Callable[[int, nn.Module], None] | None:
    """A callback that writes what `look` says of the network into a file, every so many epochs; None without a `look`."""
    if look is None or not every:
        return None
    kept = json.loads(notes.read_text()) if notes.is_file() else []

    def on_epoch(epoch: int, model: nn.Module) -> None:
        if (epoch + 1) % every == 0:
            kept[:] = [note for note in kept if note["epoch"] <= epoch]  # an interrupted run noted later ones
            kept.append({"epoch": epoch + 1, **look(model)})
            files.write_json(notes, kept)

    return on_epoch


def _keep(folder: Path, model: nn.Module, log: FitLog, device: torch.device) -> None:
    """Write the trained network, its log, and what it was trained on and by."""
    files.write_tensors(folder / "model.safetensors", model.state_dict())
    files.write_json(
        folder / "made.json", {"device": device_name(device), "commit": commit(), "lock_sha256": lock_sha256()}
    )
    files.write_json(folder / "log.json", vars(log))
    (folder / "checkpoint.pt").unlink(missing_ok=True)


def train_teacher(
    train: Source,
    network: Network,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device,
    augmentation: tuple[augmentations.Named, ...] = (),
) -> "TrainedNetwork":
    """`network` trained on the train split, flipped at random, to label clips, to score them, or for its BN statistics.

    Raises VddError where its training diverged.
    """
    options = {"flip": True, "augmentation": augmentation, "role": "teacher", "what": "teacher"}
    teacher = train_network(train, network, recipe, seed=seed, device=device, **options)
    if teacher.log.diverged_at:
        raise VddError(f"the teacher diverged in epoch {teacher.log.diverged_at} (lr {recipe.lr:g}); lower its rate")
    return teacher


def _open(
    folder: Path, network: Network, source, geometry: Geometry, device: torch.device, key: dict
) -> TrainedNetwork:
    from safetensors.torch import load_file

    model = network.build(source.classes, geometry, 0)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    looks = folder / "looks.json"
    return TrainedNetwork(
        model.to(device).eval(),
        FitLog(**json.loads((folder / "log.json").read_text())),
        json.loads(looks.read_text()) if looks.is_file() else [],
        json.loads((folder / "made.json").read_text()),
        folder,
        key,
    )
