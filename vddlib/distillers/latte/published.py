"""Weights as Latte's authors publish them (``ucf101.pt`` and others of that kind), into our network."""

import argparse
import re
from pathlib import Path

import torch
from torch import Tensor

from vddlib.core.errors import VddError
from vddlib.core.weights import in_weights
from vddlib.distillers.latte.transformer import LatteTransformer

# Their names, as a pattern, and ours.
NAMES = {
    r"x_embedder\.proj\.": "embed.",
    r"t_embedder\.mlp\.": "time.",
    r"y_embedder\.embedding_table\.": "label.",
    r"blocks\.(\d+)\.attn\.qkv\.": r"blocks.\1.qkv.",
    r"blocks\.(\d+)\.attn\.proj\.": r"blocks.\1.projection.",
    r"blocks\.(\d+)\.mlp\.fc1\.": r"blocks.\1.mlp.0.",
    r"blocks\.(\d+)\.mlp\.fc2\.": r"blocks.\1.mlp.2.",
    r"blocks\.(\d+)\.adaLN_modulation\.1\.": r"blocks.\1.modulation.",
    r"final_layer\.adaLN_modulation\.1\.": "head.modulation.",
    r"final_layer\.linear\.": "head.linear.",
    r"pos_embed$": "places",
    r"temp_embed$": "moments",
}


def load_published(model: LatteTransformer, name: str) -> None:
    """Fill `model` with the published weights ``$VDD_WEIGHTS/name`` (.pt or .safetensors), the averaged ones where there are.

    Where the classes are others than the published network's, the table of classes stays as it is (fine-tuning on another
    dataset), and where clips are shorter, the first moments are taken. Published networks also predict variances, in the
    latter half of their channels: these are dropped, since sampling takes the posterior's.

    Raises VddError where the file is missing, or is not such a network of this size.
    """
    path = in_weights(name)
    if not path.is_file():
        raise VddError(f"{path}: there are no such weights of Latte; put them into $VDD_WEIGHTS, or set weights: ''")
    theirs = {_ours(key): value for key, value in _state(path).items()}
    wanted, missing = model.state_dict(), []
    for key, value in wanted.items():
        found = theirs.get(key)
        found = _fitted(key, found, model) if found is not None else None
        if found is None or found.shape != value.shape:
            if key != "label.weight":
                missing.append(f"{key} {list(value.shape)}")
            found = value
        wanted[key] = found.to(value.dtype)
    if missing:
        raise VddError(f"{path}: no such network: {missing[0]} is absent or of another shape ({len(missing)} in all)")
    model.load_state_dict(wanted)


def _state(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    try:
        # Their files keep the arguments of the training, too.
        with torch.serialization.safe_globals([argparse.Namespace]):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickles fail in many ways
        raise VddError(f"{path}: cannot be read as weights ({type(error).__name__})") from None
    return found.get("ema", found.get("model", found))


def _ours(key: str) -> str:
    key = key.removeprefix("module.")
    for pattern, ours in NAMES.items():
        if re.match(pattern, key):
            return re.sub(pattern, ours, key, count=1)
    return key


def _fitted(key: str, value: Tensor, model: LatteTransformer) -> Tensor:
    """What of a published tensor our network has."""
    if key.startswith("head.linear."):
        values = model.patch**2
        both = value.unflatten(0, (values, -1)) if len(value) % values == 0 else value[None]
        return both[:, : model.channels].flatten(0, 1)
    return value[:, : model.moments.shape[1]] if key == "moments" else value
