"""How much of its class a segment shows: the score by which segments are ranked (OptDistill, sections 4.3 and 5.1, step 3)."""

from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vddlib.core.errors import VddError
from vddlib.datasets.clips import Clips
from vddlib.datasets.layouts import source_of

Score = Literal["confidence", "loss", "random"]


class TeacherScorer:
    """A network trained on `train`: the training split, or a part of it; `about` is what its logits depend on, for keys."""

    def __init__(self, model: nn.Module, train: Clips, key: dict[str, Any]):
        self.model, self.train, self.about = model.eval(), train, key
        self.sources = {source_of(name) for name in train.names}

    @torch.no_grad()
    def __call__(self, segments: list[np.ndarray]) -> Tensor:
        """Logits ``float32 [n, C]`` of the middle clips of segments ``uint8 [T, H, W, 3]`` of any size."""
        geometry = self.train.geometry
        device = next(self.model.parameters()).device
        middle = [geometry.indices(len(s), geometry.starts(len(s)) // 2) for s in segments]
        clips = np.stack([geometry.square(s[frames]) for s, frames in zip(segments, middle, strict=True)])
        return self.model(self.train.standardise(clips).to(device)).float().cpu()


def halves(train: Clips) -> tuple[Clips, Clips]:
    """The training videos in two parts, every source in one of them, about half of each class in both.

    Raises VddError where a class has a single source: no network could learn it from others.
    """
    parts = train.holdout(0.5)
    for label, name in enumerate(train.classes):
        if not all((part.labels == label).any() for part in parts):
            raise VddError(
                f"optdistill: all videos of {name} are of one source, so no network learns the class from others; use scorer "
                f"'teacher' or 'r3d_18'"
            )
    return parts


def kinetics_state() -> dict[str, Tensor]:
    """R3D-18's weights from Kinetics-400, fetched where they are not here yet. Raises VddError where they cannot be had."""
    from torchvision.models.video import R3D_18_Weights

    weights = R3D_18_Weights.KINETICS400_V1
    try:
        return weights.get_state_dict(progress=False, check_hash=True)
    except Exception as error:
        raise VddError(
            f"the Kinetics-400 weights of r3d_18 cannot be had ({type(error).__name__}: {error}); download "
            f"{weights.url} into torch's hub folder, or use scorer 'teacher'"
        ) from None


class KineticsScorer:
    """torchvision's R3D-18, trained on Kinetics-400, whose classes are not the dataset's: for 'confidence' alone."""

    def __init__(self, device: torch.device):
        from torchvision.models.video import R3D_18_Weights, r3d_18

        weights = R3D_18_Weights.KINETICS400_V1
        self.model = r3d_18()
        self.model.load_state_dict(kinetics_state())
        self.model.to(device).eval()
        self.transforms, self.device = weights.transforms(), device
        self.about = {"scorer": "r3d_18", "weights": str(weights)}

    @torch.no_grad()
    def __call__(self, segments: list[np.ndarray]) -> Tensor:
        """Logits ``float32 [n, 400]`` of 16 frames, evenly spaced, of segments ``uint8 [T, H, W, 3]``."""
        chosen = [s[np.linspace(0, len(s) - 1, 16).round().astype(int)] for s in segments]
        clips = torch.stack([self.transforms(torch.from_numpy(np.ascontiguousarray(s)).movedim(-1, 1)) for s in chosen])
        return self.model(clips.to(self.device)).float().cpu()


def score(logits: Tensor, labels: Tensor, kind: Score) -> Tensor:
    """``float32 [n]`` of ``logits [n, C]``: the probability of the likeliest class (the paper's practice), or minus the loss
    of the true one, ``labels int64 [n]`` (its equation)."""
    if kind == "confidence":
        return F.softmax(logits, 1).amax(1)
    return -F.cross_entropy(logits, labels, reduction="none")
