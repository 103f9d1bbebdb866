"""MoViNet-A0 (Kondratyuk et al., CVPR 2021): a classifier of Kinetics-600 that streams, frame after frame, on a CPU."""

from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vddlib.core import cache
from vddlib.core.errors import VddError, first_line
from vddlib.core.files import file_sha256
from vddlib.core.weights import in_weights
from vddlib.datasets.geometry import evenly

WEIGHTS = "movinet_a0_stream_int8_k600.tflite"
SOURCE = "TensorFlow Hub has it as movinet/a0/stream/kinetics-600/classification/tflite/int8"
SEGMENT_FRAMES = 16  # of a segment that is scored, as many as R3D-18 sees
INSTALL = "install the extra 'embedders' (uv sync --extra embedders)"
_POOLED, _COUNT = "state_head_pool_buffer", "state_head_pool_frame_count"


class MoViNet:
    """The network in TensorFlow Lite's int8 form; it never saw UCF101 or HMDB51.

    `about` is what its output depends on, for keys and cards. A clip's embedding is what the head pools: the mean over all
    frames of 480 features. Called as a scorer (see `optdistill.score`), it gives logits.
    """

    def __init__(self, weights: str = ""):
        """`weights`: a file, or its name in ``$VDD_WEIGHTS``; empty: the usual one. Raises VddError where it cannot be had."""
        path = _found(weights or WEIGHTS)
        self._run, self._begin = _opened(path, path.stat().st_mtime_ns)
        self.side = int(self._run.get_input_details()["image"]["shape"][2])
        self.about: dict[str, Any] = {
            "embedder": "movinet_a0", "weights": path.name, "sha256": file_sha256(path),
            "ai_edge_litert": version("ai-edge-litert"), "code": cache.code_digest(__name__),
        }  # fmt: skip

    def see(self, clips: np.ndarray) -> tuple[Tensor, Tensor]:
        """Embeddings ``float32 [N, 480]`` and logits ``[N, 600]`` of ``clips uint8 [N, T, H, W, 3]``, all frames in order."""
        found = [self._clip(clip) for clip in clips]
        return torch.stack([features for features, _ in found]), torch.stack([logits for _, logits in found])

    def __call__(self, segments: list[np.ndarray]) -> Tensor:
        """Logits ``float32 [n, 600]`` of 16 frames, evenly spaced, of segments ``uint8 [T, H, W, 3]`` of any size."""
        return torch.cat([self.see(s[evenly(SEGMENT_FRAMES, len(s))][None])[1] for s in segments])

    def _clip(self, frames: np.ndarray) -> tuple[Tensor, Tensor]:
        x = torch.from_numpy(np.ascontiguousarray(frames)).movedim(-1, 1).float() / 255  # the network takes [0, 1]
        x = F.interpolate(x, (self.side, self.side), mode="bilinear", antialias=True).movedim(1, -1).numpy()
        state = dict(self._begin)
        for frame in x:
            state = dict(self._run(image=frame[None, None], **state))
            logits = state.pop("logits")
        pooled = state[_POOLED].reshape(-1) / state[_COUNT].reshape(-1)[0]  # the buffer holds the sum over frames
        return torch.from_numpy(pooled).float(), torch.from_numpy(logits[0]).float()


def _found(weights: str) -> Path:
    places = [Path(weights).expanduser(), in_weights(weights)]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise VddError(f"there is no {weights} here or in $VDD_WEIGHTS; {SOURCE}")
    return path


@lru_cache(maxsize=2)
def _opened(path: Path, changed: int):
    """What runs the file, and the state before the first frame. `changed` (its time) opens another file of that name anew."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise VddError(f"MoViNet needs ai-edge-litert; {INSTALL}") from None
    try:
        run = Interpreter(str(path), num_threads=1).get_signature_runner()
        inputs = run.get_input_details()
        begin = {name: np.zeros(one["shape"], one["dtype"]) for name, one in inputs.items() if name != "image"}
        fits = {"image", _POOLED, _COUNT} <= inputs.keys() and "logits" in run.get_output_details()
    except (ValueError, RuntimeError) as error:  # whatever else the file is
        raise VddError(f"{path} is no TensorFlow Lite network ({first_line(error)})") from None
    if not fits:
        raise VddError(f"{path} is no streaming MoViNet: it lacks 'image', 'logits' or the state of the head")
    return run, begin
