"""VST-UNet (diffusion paper, section 3.1, eqs. 1 to 3, algorithm 1): a network that learns which videos stand for a class."""

import json
import time
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from vddlib.core import cache, files, seeding
from vddlib.core.errors import VddError
from vddlib.core.progress import with_progress
from vddlib.datasets.clips import Clips
from vddlib.distillers.latte.autoencoder import Codec, Kind, pick_codec
from vddlib.distillers.selection.selector import Selection, Selector
from vddlib.distillers.selection.vst_losses import inclusion
from vddlib.distillers.selection.vst_network import VideoUNet
from vddlib.distillers.selection.vst_training import Goal, Log, Weights, train_unet
from vddlib.training.fit import pick_device
from vddlib.training.networks import conditions

_CODE = tuple(f"vddlib.distillers.selection.vst_{name}" for name in ("network", "losses", "training"))
ENCODED_AT_ONCE = 32
PARTS = {"ce": (0, 0), "ce+div": (1, 0), "ce+rep": (0, 1), "all": (1, 1)}


class Learned(NamedTuple):
    """The probability of each video of the pool to be kept, ``float32 [N]`` (within a class they sum to the IPC), and the
    training's log."""

    probabilities: Tensor
    log: Log


class VSTUNet(Selector):
    """The `ipc` videos of a class that a U-Net over all of its videos gives the highest probabilities (vst_network.py).

    The text leaves three things open; what is done here:

    - L_ce, "the class-dependent objective": features also name the class, and L_ce is its cross-entropy on chosen videos. It
      shapes features, and is no reward of a choice: with L_ce alone (table 6) the probabilities stay as they begin.
    - The gradient: choosing the most probable videos has none. What is minimised is the expectation of L_div and of the
      distance in L_rep where each video is kept with its probability, `ipc` in all; it is exact, so nothing is drawn
      (vst_losses.py). Once probabilities are 0 and 1, these are eqs. 1 and 2. (Zhou et al., AAAI 2018, the parent of both
      rewards, draw and use REINFORCE, whose noise here exceeds what telling two videos apart is worth.)
    - The videos that eqs. 1 and 2 compare: latents of unit length, not features (vst_training.py says why).

    And two things do the opposite of what the text says as they are printed: eq. 2 (vst_losses.py), and line 13 of
    algorithm 1, whose ascending sort keeps the *least* probable videos. Both have a field.
    """

    name: ClassVar[str] = "vst_unet"
    own_pool: ClassVar[Literal["real", "generated"]] = "generated"

    latents: Kind = Field(
        "auto", description="what encodes videos: an autoencoder (see distillers.latte.autoencoder), or averaged pixels"
    )
    codec: Any = Field(None, exclude=True, description="an encoder to use instead (see Codec)")
    losses: Literal["ce", "ce+div", "ce+rep", "all"] = Field("all", description="which of the three are on (table 6)")
    lambda_d: float | None = Field(None, ge=0, description="weight of L_div; none: the paper's, 0.1, and 0 at IPC 1")
    lambda_r: float | None = Field(None, ge=0, description="weight of L_rep; none: the paper's, 1, and 0.1 at IPC 1")
    representativeness: Literal["meant", "printed"] = Field(
        "meant", description="eq. 2 as the text says, or as printed"
    )
    order: Literal["highest", "lowest"] = Field(
        "highest", description="which probabilities are kept: as the text says, or as algorithm 1 is printed"
    )
    epochs: int = Field(300, ge=1, description="passes over the pool (unstated); the first dozens go into L_ce")
    lr: float = Field(3e-3, gt=0, description="Adam's learning rate (unstated)")
    width: int = Field(16, ge=1, description="channels of the first level, doubled at each further one (unstated)")
    depth: int = Field(2, ge=1, description="levels below the first (unstated)")
    features: int = Field(32, ge=1, description="D, numbers in a video's feature vector (unstated)")
    device: str = Field("auto", exclude=True)

    def select(self, train: Clips, pool: Clips, ipc: int, seed: int) -> Selection:
        """The videos of highest probability, highest first; or of lowest."""
        found, chosen = self.learned(train, pool, ipc, seed), []
        for label in range(len(pool.classes)):
            members = pool.of_class(label)
            order = found.probabilities[members].argsort(descending=self.order == "highest", stable=True)
            chosen.append(members[order[:ipc]])
        facts = {"latents": self.encoder(train).about, "peak_memory_mb": found.log.peak_memory_mb}
        # Training counts also where it came out of the cache.
        return Selection(torch.cat(chosen), found.log.seconds, facts)

    def encoder(self, train: Clips) -> Codec:
        """What makes latents: the given one, or the one that `latents` names."""
        if self.codec is not None:
            return self.codec
        return pick_codec(self.latents, train, device=self.device)

    def weights(self, ipc: int) -> Weights:
        """Of L_div and L_rep at this IPC, those that are off at 0 (section 4 of the paper)."""
        d, r = (0.0, 0.1) if ipc == 1 else (0.1, 1.0)
        d = d if self.lambda_d is None else self.lambda_d
        r = r if self.lambda_r is None else self.lambda_r
        diverse, representative = PARTS[self.losses]
        return Weights(diverse * d, representative * r)

    def learned(self, train: Clips, pool: Clips, ipc: int, seed: int) -> Learned:
        """The network's probabilities for `pool`, trained on it without labels of what to choose: out of the cache, or now
        (resumed if interrupted)."""
        encoder, device = self.encoder(train), pick_device(self.device)
        params = self.model_dump(mode="json", exclude={"latents", "order", "losses", "lambda_d", "lambda_r"})
        key = {
            "pool": pool.state(), "ipc": ipc, "seed": seed, "params": params, "weights": self.weights(ipc),
            "latents": encoder.about, **conditions(device, *_CODE),
        }  # fmt: skip
        folder = cache.get("vst_unet", key, lambda partial: self._build(partial, encoder, pool, ipc, seed))
        from safetensors.torch import load_file

        log = Log(**json.loads((folder / "log.json").read_text()))
        return Learned(load_file(folder / "probabilities.safetensors")["probabilities"], log)

    def _build(self, folder: Path, encoder: Codec, pool: Clips, ipc: int, seed: int) -> None:
        begun = time.monotonic()
        members = [pool.of_class(label) for label in range(len(pool.classes))]
        classes = standardised([encoded(encoder, pool, of_class, seed) for of_class in members])
        encoding = time.monotonic() - begun
        device = pick_device(self.device)
        with seeding.forked("vst_unet", seed, device=device):
            sizes = {"width": self.width, "depth": self.depth, "features": self.features}
            model = VideoUNet(classes[0].shape[2], len(classes), **sizes).to(device)
        goal = Goal(ipc, self.weights(ipc), self.representativeness)
        options = {"epochs": self.epochs, "lr": self.lr, "folder": folder}
        log = train_unet(model, classes, goal, **options, what=f"vst_unet on {pool.dataset}, IPC {ipc}, seed {seed}")
        log.seconds += encoding
        probabilities = torch.zeros(len(pool))
        with torch.no_grad():
            for of_class, latents in zip(members, classes, strict=True):
                probabilities[of_class] = inclusion(model(latents.to(device)).scores, ipc).float().cpu()
        if not probabilities.isfinite().all():
            raise VddError(f"vst_unet: its network diverged (seed {seed}); lower its learning rate, now {self.lr:g}")
        files.write_tensors(folder / "probabilities.safetensors", {"probabilities": probabilities})
        files.write_json(folder / "log.json", vars(log))
        (folder / "checkpoint.pt").unlink(missing_ok=True)


def encoded(encoder: Codec, pool: Clips, members: Tensor, seed: int) -> Tensor:
    """Latents ``float32 [n, T, C, h, w]`` of each video's clip for (seed, epoch 0), never flipped."""
    parts = with_progress(members.split(ENCODED_AT_ONCE), f"{pool.dataset}: encoding clips")
    return torch.cat([encoder.encode(pool.frames(part, epoch=0, seed=seed)).float().cpu() for part in parts])


def standardised(classes: list[Tensor]) -> list[Tensor]:
    """Latents ``[N_c, T, C, h, w]`` of every class with mean 0 and std 1 per channel, over all classes together."""
    everything = torch.cat([one.movedim(2, 0).flatten(1) for one in classes], 1)
    mean, std = everything.mean(1), everything.std(1).clamp(min=1e-6)
    return [(one - mean[:, None, None]) / std[:, None, None] for one in classes]
