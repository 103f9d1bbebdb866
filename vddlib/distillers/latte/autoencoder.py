"""Autoencoders of frames: into the latents that Latte generates and VST-UNet reads, and back."""

import hashlib
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vddlib.core import cache, files, seeding
from vddlib.core.errors import VddError
from vddlib.core.progress import with_progress
from vddlib.core.weights import weights_folder
from vddlib.datasets.clips import Clips
from vddlib.training.fit import pick_device
from vddlib.training.networks import conditions

Kind = Literal["auto", "sd", "tiny", "trained", "pixels"]
SD, SD_FOLDER = "stabilityai/sd-vae-ft-ema", "sd-vae-ft-ema"
SD_SCALE = 0.18215  # published Latte networks expect latents times this
TINY = ("taef2_encoder.pth", "taef2_decoder.pth")
DOWN = 8  # pixels per latent along a side
AT_ONCE = 64  # frames per pass
TRAINED = {"block_out_channels": (32, 32, 64, 64), "latent_channels": 4, "norm_num_groups": 8}
TRAINED_STEPS, TRAINED_BATCH, TRAINED_LR, KL_WEIGHT = 1500, 32, 1e-3, 1e-6


class Codec(Protocol):
    """What encodes and decodes frames. `about` names it for cards and keys; `channels` and `down` say what latents are like."""

    about: dict[str, Any]
    channels: int
    down: int

    def encode(self, frames: np.ndarray) -> Tensor:
        """Latents ``float32 [N, T, C, h, w]`` of ``uint8 [N, T, H, W, 3]``, on the CPU, about as wide as unit noise."""
        ...

    def decode(self, latents: Tensor) -> np.ndarray:
        """Frames ``uint8 [N, T, H, W, 3]`` of latents ``float32 [N, T, C, h, w]``."""
        ...


class Autoencoder:
    """A diffusers autoencoder as a Codec: pixels in [-1, 1], latents minus `shift` over `scale`, ``[C]`` each or scalars."""

    down = DOWN

    def __init__(
        self, model: nn.Module, channels: int, about: dict[str, Any], device: torch.device, scale: float = 1.0
    ):
        self.model, self.channels, self.device = model.to(device).eval().requires_grad_(False), channels, device
        self.about, self.shift, self.scale = about, torch.tensor(0.0), torch.tensor(scale)

    @torch.no_grad()
    def encode(self, frames: np.ndarray) -> Tensor:
        """See Codec. Raises VddError for sides that are no multiple of 8."""
        if frames.shape[2] % DOWN or frames.shape[3] % DOWN:
            raise VddError(f"autoencoders take frames whose sides are multiples of {DOWN}, not {frames.shape[2:4]}")
        flat = torch.from_numpy(np.ascontiguousarray(frames)).flatten(0, 1)
        parts = [self._latents(part) for part in flat.split(AT_ONCE)]
        return ((torch.cat(parts) - self.shift.view(-1, 1, 1)) / self.scale.view(-1, 1, 1)).unflatten(
            0, frames.shape[:2]
        )

    def _latents(self, frames: Tensor) -> Tensor:
        x = frames.movedim(-1, 1).to(self.device).float() / 127.5 - 1
        found = self.model.encode(x)
        latents = found.latents if hasattr(found, "latents") else found.latent_dist.mode()
        return latents.float().cpu()

    @torch.no_grad()
    def decode(self, latents: Tensor) -> np.ndarray:
        """See Codec."""
        flat = (latents * self.scale.view(-1, 1, 1) + self.shift.view(-1, 1, 1)).flatten(0, 1)
        parts = [self.model.decode(part.to(self.device)).sample.float().cpu() for part in flat.split(AT_ONCE)]
        pixels = ((torch.cat(parts) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return pixels.movedim(1, -1).unflatten(0, latents.shape[:2]).numpy()

    def standardised(self, train: Clips, clips: int = 64) -> "Autoencoder":
        """With latents of mean 0 and deviation 1 per channel over the middle clips of evenly spaced training videos."""
        chosen = np.unique(np.linspace(0, len(train) - 1, clips).round().astype(int))
        latents = self.encode(train.frames(chosen, epoch=None)).movedim(2, 0).flatten(1)
        self.shift, self.scale = latents.mean(1), latents.std(1).clamp(min=1e-4)
        return self


class Averages:
    """No network: pixels averaged over squares of `down`; decoding repeats them. For small clips, and without any weights."""

    channels = 3

    def __init__(self, down: int = 2):
        self.down, self.shift, self.scale = down, torch.zeros(3), torch.ones(3)
        self.about = {"autoencoder": "pixels", "down": down}

    def encode(self, frames: np.ndarray) -> Tensor:
        """See Codec."""
        x = torch.from_numpy(np.ascontiguousarray(frames)).flatten(0, 1).movedim(-1, 1).float() / 255
        x = (F.avg_pool2d(x, self.down) - self.shift.view(3, 1, 1)) / self.scale.view(3, 1, 1)
        return x.unflatten(0, frames.shape[:2])

    def decode(self, latents: Tensor) -> np.ndarray:
        """See Codec."""
        x = latents.flatten(0, 1) * self.scale.view(3, 1, 1) + self.shift.view(3, 1, 1)
        x = F.interpolate(x, scale_factor=self.down, mode="nearest")
        pixels = (255 * x).round().clamp(0, 255).to(torch.uint8)
        return pixels.movedim(1, -1).unflatten(0, latents.shape[:2]).numpy()

    def standardised(self, train: Clips) -> "Averages":
        """With values of about mean 0 and deviation 1 on the training split, whose statistics these are."""
        self.shift, self.scale = train.mean, train.std
        return self


def pick_codec(kind: Kind, train: Clips, *, device: str = "auto") -> Codec:
    """The autoencoder `kind`.

    'sd' is Stable Diffusion's, in ``$VDD_WEIGHTS/sd-vae-ft-ema`` or fetched from the hub; 'tiny' is TAESD's kind
    (``$VDD_WEIGHTS/taef2_encoder.pth`` and ``..._decoder.pth``); 'trained' is a small one trained on the training split, once,
    and cached; 'pixels' averages squares of 2 x 2 pixels. 'auto' is the first of these that is there without fetching: a result
    must not depend on whether a hub answered.

    Raises VddError where it cannot be had.
    """
    where = pick_device(device)
    if kind == "auto":
        kind = "sd" if _sd_folder() else "tiny" if _tiny_files() else "trained"
    if kind == "sd":
        return _stable_diffusion(where)
    if kind == "tiny":
        return _tiny(where).standardised(train)
    return (_trained(train, where) if kind == "trained" else Averages()).standardised(train)


def _sd_folder() -> Path | None:
    root = weights_folder()
    folder = root / SD_FOLDER if root else None
    return folder if folder and (folder / "config.json").is_file() else None


def _tiny_files() -> list[Path] | None:
    root = weights_folder()
    paths = [root / name for name in TINY] if root else []
    return paths if paths and all(path.is_file() for path in paths) else None


def _stable_diffusion(device: torch.device) -> Autoencoder:
    from diffusers import AutoencoderKL

    folder = _sd_folder()
    try:
        model = AutoencoderKL.from_pretrained(folder or SD)
    except Exception as error:  # the hub's errors have no common base
        raise VddError(
            f"{SD} cannot be had ({type(error).__name__}: {str(error).splitlines()[0]}); put its files into "
            f"$VDD_WEIGHTS/{SD_FOLDER}, or use autoencoder 'tiny' or 'trained'"
        ) from None
    about = {"autoencoder": "sd", "weights": SD, "sha256": _digest(model)}
    return Autoencoder(model, model.config.latent_channels, about, device, 1 / SD_SCALE)


class PooledBlock(nn.Module):
    """TAESD's block with a normalised bottleneck before its convolutions, which diffusers' own does not have."""

    def __init__(self, width: int):
        super().__init__()
        from diffusers.models.unets.unet_2d_blocks import AutoencoderTinyBlock

        plain = AutoencoderTinyBlock(width, width, "relu")
        self.conv, self.fuse = plain.conv, plain.fuse
        wide = 4 * width
        self.pool = nn.Sequential(
            nn.Conv2d(width, wide, 1, bias=False),
            nn.GroupNorm(4, wide),
            nn.ReLU(),
            nn.Conv2d(wide, width, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``[N, width, h, w]`` of the same."""
        x = x + self.pool(x)
        return self.fuse(self.conv(x) + x)


def _tiny(device: torch.device) -> Autoencoder:
    """The TAESD family's variant whose files lie in ``$VDD_WEIGHTS``: plain state dicts of a Sequential."""
    from diffusers import AutoencoderTiny

    paths = _tiny_files()
    if not paths:
        raise VddError(f"there is no {TINY[0]} and {TINY[1]} in $VDD_WEIGHTS; use autoencoder 'sd' or 'trained'")
    encoder, decoder = (torch.load(path, map_location="cpu", weights_only=True) for path in paths)
    channels = max(
        ((int(k.split(".")[0]), v) for k, v in encoder.items() if k.endswith("weight")), key=lambda kv: kv[0]
    )
    model = AutoencoderTiny(latent_channels=len(channels[1]))
    # Theirs begins with a clamp that diffusers' does outside of its layers.
    _load(model.encoder.layers, encoder, 0)
    _load(model.decoder.layers, decoder, 1)
    about = {"autoencoder": "tiny", "weights": TINY[0], "sha256": _digest(model)}
    return Autoencoder(model, len(channels[1]), about, device)


def _load(layers: nn.Sequential, state: dict[str, Tensor], skipped: int) -> None:
    """Fill `layers` with a Sequential's `state` whose numbers are `skipped` larger."""
    for number in {int(key.split(".")[0]) - skipped for key in state if ".pool." in key}:
        layers[number] = PooledBlock(layers[number].conv[0].in_channels)
    try:
        layers.load_state_dict({_renumbered(key, -skipped): value for key, value in state.items()})
    except RuntimeError as error:
        why = " ".join(str(error).split())[:200]
        raise VddError(f"$VDD_WEIGHTS: {TINY[0]} and {TINY[1]} are not of TAESD's kind ({why})") from None


def _renumbered(key: str, by: int) -> str:
    number, rest = key.split(".", 1)
    return f"{int(number) + by}.{rest}"


def _trained(train: Clips, device: torch.device) -> Autoencoder:
    """A small AutoencoderKL (Kingma & Welling's, with convolutions) on frames of the training split, out of the cache."""
    from diffusers import AutoencoderKL

    blocks = len(TRAINED["block_out_channels"])
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * blocks, "up_block_types": ("UpDecoderBlock2D",) * blocks}
    options = {**TRAINED, **kinds, "layers_per_block": 1}
    recipe = [TRAINED_STEPS, TRAINED_BATCH, TRAINED_LR, KL_WEIGHT]
    key = {"train": train.state(), "options": options, "recipe": recipe, **conditions(device, __name__)}

    def build(folder: Path) -> None:
        with seeding.forked("autoencoder", 0, device=device):
            model = AutoencoderKL(**options).to(device)
        _fit(model, train, device)
        model.save_pretrained(folder / "model")

    place = cache.get("autoencoders", key, build)
    about = {"autoencoder": "trained", "key": files.digest(key)}
    return Autoencoder(AutoencoderKL.from_pretrained(place / "model"), TRAINED["latent_channels"], about, device)


def _fit(model: nn.Module, train: Clips, device: torch.device) -> None:
    """Absolute error of pixels and a faint Kullback-Leibler term, by Adam at a rate that falls to zero."""
    optimizer = torch.optim.Adam(model.parameters(), TRAINED_LR)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, TRAINED_STEPS)
    for step in with_progress(range(TRAINED_STEPS), f"autoencoder on {train.dataset}"):
        draw = seeding.generator("autoencoder", step)
        videos = torch.randint(len(train), (TRAINED_BATCH,), generator=draw)
        frame = torch.randint(train.geometry.frames, (TRAINED_BATCH,), generator=draw)
        frames = torch.from_numpy(train.frames(videos, epoch=step, flip=True))[torch.arange(TRAINED_BATCH), frame]
        x = frames.movedim(-1, 1).to(device).float() / 127.5 - 1
        found = model.encode(x).latent_dist
        noise = torch.randn(found.mean.shape, generator=draw).to(device)
        loss = F.l1_loss(model.decode(found.mean + found.std * noise).sample, x) + KL_WEIGHT * found.kl().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def _digest(model: nn.Module) -> str:
    """sha256 of all weights: what an autoencoder is, wherever its files came from."""
    state = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        state.update(name.encode() + value.cpu().numpy().tobytes())
    return state.hexdigest()
