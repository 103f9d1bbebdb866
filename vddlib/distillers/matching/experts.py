"""Expert trajectories for MTT: the weights of networks trained on real clips, epoch by epoch, kept small and shared."""

import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from vddlib.core import cache, files
from vddlib.core.errors import VddError
from vddlib.core.parallel import worker_pool
from vddlib.core.progress import say
from vddlib.datasets.clips import Clips
from vddlib.models import count_parameters
from vddlib.training.fit import Recipe, fit
from vddlib.training.networks import Network, conditions, seed_of


class Experts(BaseModel):
    """How experts are made: plain SGD on the train split, a snapshot before the first epoch and after each.

    Only the epochs that MTT will read are trained (`max_start_epoch - 1 + expert_epochs` of them): at a constant rate these
    are the beginning of any longer run. Weights are kept in half precision; `Trajectories` tells what that costs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int = Field(30, ge=1, description="networks")
    lr: float = Field(0.01, gt=0, description="learning rate of SGD without momentum or decay")
    batch_size: int = Field(256, ge=1, description="clips per step")
    precision: Literal["float16", "float32"] = Field("float16", description="of the kept weights")

    def recipe(self, epochs: int) -> Recipe:
        """As a recipe of the one fit loop."""
        return Recipe(
            lr=self.lr, momentum=0, weight_decay=0, epochs=epochs, batch_size=self.batch_size, schedule="constant"
        )


class Trajectories:
    """Snapshots of every expert on disk; two of them are read at a time."""

    def __init__(self, folders: Sequence[Path]):
        self.folders = list(folders)

    def __len__(self) -> int:
        return len(self.folders)

    def weights(self, expert: int, epoch: int) -> Tensor:
        """``float32 [P]``: all weights of `expert` after `epoch` epochs, flattened in the order of the parameters."""
        from safetensors.torch import load_file

        return load_file(self.folders[expert] / f"epoch_{epoch:03d}.safetensors")["weights"].float()

    @property
    def seconds(self) -> float:
        """What training them took, all together."""
        return sum(json.loads((folder / "log.json").read_text())["seconds"] for folder in self.folders)

    @property
    def bytes(self) -> int:
        """Size on disk."""
        return sum(path.stat().st_size for folder in self.folders for path in folder.glob("epoch_*.safetensors"))


def trajectories(
    train: Clips,
    network: Network,
    experts: Experts,
    epochs: int,
    *,
    device: torch.device,
    workers: int = 0,
    share: tuple[int, int] = (0, 1),
) -> Trajectories:
    """`experts.count` trajectories over `epochs` epochs, out of the cache where they are there.

    Each expert is an artifact of its own: runs that need the same ones share the training. `workers` processes
    train at once; 0 is as many as fit (on a GPU by its free memory, at most 4; on a CPU one, which already uses all threads).
    Of several jobs each begins with those of its `share` (which, of how many).
    """
    model = network.build(train.classes, train.geometry, 0)
    size = count_parameters(model) * (2 if experts.precision == "float16" else 4) * (epochs + 1) * experts.count
    keys = [_key(train, network, experts, epochs, seed, device) for seed in range(experts.count)]
    missing = [seed for seed, key in enumerate(keys) if not cache.exists("experts", key)]
    if missing:
        say(
            f"experts: {len(missing)} of {experts.count} networks to train, {epochs} epochs each; "
            f"all trajectories take {size / 1e6:.0f} MB under {cache.folder() / 'experts'}"
        )
        work = partial(_train, train, network, experts, epochs, device=device)
        turn = os.getpid() % len(missing)  # runs side by side begin at different experts, and wait for none
        missing = missing[turn:] + missing[:turn]
        missing.sort(key=lambda seed: seed % share[1] != share[0])  # stable: the others stay in that order
        workers = min(workers or _workers_that_fit(model, train, experts, device), len(missing))
        if workers > 1:
            with worker_pool(workers, torch.set_num_threads, torch.get_num_threads()) as pool:
                list(pool.map(work, missing))
        else:
            for seed in missing:
                work(seed)
    return Trajectories([_train(train, network, experts, epochs, seed, device=device) for seed in range(experts.count)])


def _key(train: Clips, network: Network, experts: Experts, epochs: int, seed: int, device: torch.device) -> dict:
    recipe = experts.recipe(epochs).model_dump(mode="json")
    return {
        "train": train.state(),
        "network": network.model_dump(mode="json"),
        "recipe": recipe,
        "precision": experts.precision,
        "seed": seed,
        **conditions(device, "vddlib.distillers.matching.experts"),
    }


def _train(train: Clips, network: Network, experts: Experts, epochs: int, seed: int, *, device: torch.device) -> Path:
    def build(folder: Path) -> None:
        own = seed_of("expert", seed)
        model = network.build(train.classes, train.geometry, own)
        keep = partial(_keep, folder, precision=getattr(torch, experts.precision))
        keep(0, model)
        log = fit(
            model, train, experts.recipe(epochs), seed=own, device=device, flip=True,
            checkpoint=folder / "checkpoint.pt", on_epoch=lambda epoch, model: keep(epoch + 1, model),
            what=f"expert {seed + 1} of {experts.count}",
        )  # fmt: skip
        if log.diverged_at:
            raise VddError(f"expert {seed} diverged in epoch {log.diverged_at}; lower the experts' lr, {experts.lr:g}")
        files.write_json(folder / "log.json", vars(log))
        (folder / "checkpoint.pt").unlink(missing_ok=True)

    return cache.get("experts", _key(train, network, experts, epochs, seed, device), build)


@torch.no_grad()
def _keep(folder: Path, epoch: int, model: nn.Module, *, precision: torch.dtype) -> None:
    weights = torch.cat([p.reshape(-1) for p in model.parameters()]).to(precision)
    files.write_tensors(folder / f"epoch_{epoch:03d}.safetensors", {"weights": weights})


def _workers_that_fit(model: nn.Module, train: Clips, experts: Experts, device: torch.device) -> int:
    """How many experts may train at once: on a GPU as many as its free memory holds, at most four."""
    if device.type != "cuda":
        return 1  # an expert already uses all threads
    g, free = train.geometry, torch.cuda.mem_get_info(device)[0]
    # Weights, gradients and a batch of activations, which in MiniC3D are about 16 times the (strided) input's 64 channels.
    needed = 12 * count_parameters(model) + experts.batch_size * g.frames * g.size**2 * 4 * (3 + 2 * 64 // 4 * 2)
    return int(max(1, min(4, free * 0.8 // needed)))
