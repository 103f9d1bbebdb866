"""VideoMAE and VideoMAE V2 (Wang et al., CVPR 2023), through transformers: what the diffusion paper embeds videos with."""

import json
import re
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vddlib.core import cache
from vddlib.core.errors import VddError, first_line
from vddlib.core.files import digest, file_sha256
from vddlib.core.weights import in_weights
from vddlib.datasets.geometry import evenly
from vddlib.distillers.selection.movinet import INSTALL

WEIGHTS = "OpenGVLab/VideoMAEv2-giant"  # 1408 features, as in the paper's section 4
AT_ONCE = 8
# The layers of the V2 release and of transformers, which does not know its folders but has the same network.
_BLOCK = {
    "norm1": "layernorm_before", "norm2": "layernorm_after", "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense",
}  # fmt: skip
_OUTSIDE = {
    "patch_embed.proj": "videomae.embeddings.patch_embeddings.projection",
    "fc_norm": "fc_norm",
    "head": "classifier",
}


class VideoMAE:
    """A folder of transformers' VideoMAE, or of VideoMAE V2 as its authors publish it. None of a folder's code is run.

    `about` is what its output depends on. Clips become 16 evenly spaced frames at the network's size, scaled to [0, 1] and,
    where a folder of transformers' says so, standardised. An embedding is the normalised mean over all patches; logits are
    those of the classifier, where the folder has one.
    """

    def __init__(self, weights: str = "", device: torch.device | str = "cpu"):
        """`weights`: a folder, one in ``$VDD_WEIGHTS``, or a name on the hub. Raises VddError where it cannot be had."""
        self.device = torch.device(device)
        self.model, self.mean, self.std, self.about = _opened(_folder(weights or WEIGHTS))
        self.model.to(self.device)
        self.about = {**self.about, "device": self.device.type}

    @torch.no_grad()
    def see(self, clips: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """Embeddings ``float32 [N, D]`` and logits ``[N, K]`` (or None) of ``clips uint8 [N, T, H, W, 3]``."""
        embeddings, logits = [], []
        for part in np.array_split(clips, range(AT_ONCE, len(clips), AT_ONCE)):
            tokens = self.model.videomae(self._pixels(part)).last_hidden_state
            pooled = tokens[:, 0] if self.model.fc_norm is None else self.model.fc_norm(tokens.mean(1))
            embeddings.append(pooled.float().cpu())
            logits.append(self.model.classifier(pooled).float().cpu())
        classifies = isinstance(self.model.classifier, nn.Linear)
        return torch.cat(embeddings), torch.cat(logits) if classifies else None

    def _pixels(self, clips: np.ndarray) -> Tensor:
        """``float32 [n, frames, 3, side, side]``, as transformers' VideoMAE takes them."""
        config = self.model.config
        chosen = np.ascontiguousarray(clips[:, evenly(config.num_frames, clips.shape[1])])
        x = torch.from_numpy(chosen).to(self.device).movedim(-1, 2).float() / 255
        x = F.interpolate(x.flatten(0, 1), (config.image_size,) * 2, mode="bilinear", antialias=True)
        x = (x - self.mean.to(x).view(3, 1, 1)) / self.std.to(x).view(3, 1, 1)
        return x.unflatten(0, chosen.shape[:2])


def _folder(weights: str) -> Path:
    """The folder `weights`, one of that name in ``$VDD_WEIGHTS``, or what the hub has; only data is fetched, no code."""
    nearby = in_weights(Path(weights).name)
    for folder in (Path(weights).expanduser(), nearby):
        if (folder / "config.json").is_file():
            return folder
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(weights, allow_patterns=["*.json", "*.safetensors"]))
    except ImportError:
        raise VddError(f"VideoMAE needs transformers; {INSTALL}") from None
    except Exception as error:  # the hub's errors have no common base
        raise VddError(
            f"VideoMAE {weights!r} cannot be had ({type(error).__name__}: {first_line(error)}); put its folder (config.json "
            f"and *.safetensors) into $VDD_WEIGHTS as {Path(weights).name}"
        ) from None


@lru_cache(maxsize=1)
def _opened(folder: Path) -> tuple[nn.Module, Tensor, Tensor, dict[str, Any]]:
    """The network of a folder, the mean and std ``[3]`` that it wants pixels in, and what it is."""
    try:
        from transformers import VideoMAEConfig, VideoMAEForVideoClassification
    except ImportError:
        raise VddError(f"VideoMAE needs transformers; {INSTALL}") from None
    files = sorted(folder.glob("*.safetensors"))
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        second = "model_config" in config
        if second:
            state = _tensors(files)
            model = VideoMAEForVideoClassification(VideoMAEConfig(**_config(config["model_config"], state)))
            model.load_state_dict(_renamed(state, model))
        else:
            if config.get("model_type") != "videomae":
                raise VddError(f"its model_type is {config.get('model_type')!r}")
            model = VideoMAEForVideoClassification.from_pretrained(folder, use_safetensors=True)
    except (OSError, ValueError, KeyError, RuntimeError, VddError) as error:
        raise VddError(
            f"{folder} holds no VideoMAE that can be read ({type(error).__name__}: {first_line(error)})"
        ) from None
    mean, std = _standard(folder, second)
    about = {
        "embedder": "videomae", "weights": folder.name, "sha256": digest([file_sha256(path) for path in files]),
        "pixels": [mean.tolist(), std.tolist()], "transformers": version("transformers"),
        "code": cache.code_digest(__name__),
    }  # fmt: skip
    return model.eval().requires_grad_(False), mean, std, about


def _standard(folder: Path, second: bool) -> tuple[Tensor, Tensor]:
    """Mean and std of pixels: V2's features are taken of [0, 1]; transformers' folders name what they were trained on."""
    path = folder / "preprocessor_config.json"
    said = json.loads(path.read_text(encoding="utf-8")) if path.is_file() and not second else {}
    if not said.get("do_normalize", True) or "image_mean" not in said:
        return torch.zeros(3), torch.ones(3)
    return torch.tensor(said["image_mean"]), torch.tensor(said["image_std"])


def _tensors(files: list[Path]) -> dict[str, Tensor]:
    """The tensors of all files, without the 'model.' that the published class puts before their names."""
    from safetensors.torch import load_file

    if not files:
        raise VddError("it has no *.safetensors")
    return {name.removeprefix("model."): tensor for path in files for name, tensor in load_file(path).items()}


def _config(theirs: dict[str, Any], state: dict[str, Tensor]) -> dict[str, Any]:
    """transformers' configuration of a V2 network."""
    return {
        "image_size": theirs["img_size"], "patch_size": theirs["patch_size"], "num_frames": theirs["num_frames"],
        "tubelet_size": theirs["tubelet_size"], "hidden_size": theirs["embed_dim"],
        "num_hidden_layers": theirs["depth"], "num_attention_heads": theirs["num_heads"],
        # Not embed_dim times mlp_ratio: of the giant that is 6144 only after rounding.
        "intermediate_size": len(state["blocks.0.mlp.fc1.weight"]), "layer_norm_eps": theirs.get("layer_norm_eps", 1e-6),
        "qkv_bias": theirs["qkv_bias"], "use_mean_pooling": theirs["use_mean_pooling"],
        "num_labels": len(state["head.weight"]) if "head.weight" in state else 0,
    }  # fmt: skip


def _renamed(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """A V2 state dict under transformers' names; the one matrix of query, key and value becomes three."""
    biases = ("query.bias", "value.bias")
    if not any(name.endswith(biases[0]) for name in model.state_dict()):  # transformers 4 keeps them outside the layers
        biases = ("q_bias", "v_bias")
    found = {}
    for name, tensor in state.items():
        if inside := re.fullmatch(r"blocks\.(\d+)\.(.+)", name):
            at, rest = f"videomae.encoder.layer.{inside[1]}", inside[2]
            if rest == "attn.qkv.weight":
                for part, rows in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                    found[f"{at}.attention.attention.{part}.weight"] = rows
            elif rest in ("attn.q_bias", "attn.v_bias"):
                found[f"{at}.attention.attention.{biases[rest == 'attn.v_bias']}"] = tensor
            else:
                layer, kind = rest.rsplit(".", 1)
                found[f"{at}.{_BLOCK[layer]}.{kind}"] = tensor
        else:
            layer, kind = name.rsplit(".", 1)
            found[f"{_OUTSIDE[layer]}.{kind}"] = tensor
    return found
