"""How redundant the clips of a class are, within a clip and among clips (IDTD, section 4.5, figure 4)."""

import pandas as pd
import torch
from torch import Tensor, nn

from vddlib.datasets.clips import Clips
from vddlib.models.minic3d import MiniC3D


def within_sample(features: Tensor) -> float:
    r"""R_t of ``features [B, t, d]`` over time: :math:`\tanh(1 / (\frac1B \sum_b var(F(b))))`.

    The variance is along the first dimension of a clip's ``[t, d]``, and the mean over d, which the paper does not say.
    """
    return torch.tanh(1 / features.var(1).mean()).item()


def inter_sample(features: Tensor) -> float:
    r"""R_IC of ``features [B, d]``: :math:`\tanh(1 / (\frac1B var(F)))`, the variance among clips, and the mean over d.

    The factor 1/B is the paper's: the more clips a class has, the more redundant it is.
    """
    return torch.tanh(len(features) / features.var(0).mean()).item()


@torch.no_grad()
def redundancy(model: MiniC3D, train: Clips, at_once: int = 64, clips: int = 100) -> pd.DataFrame:
    """A row per class: `within_sample` and `inter_sample` of at most `clips` of its training clips, to a trained student.

    F_t is the output of the last block but one, whose time is still long; F_IC what the classifier is given (after the pool).
    Both depend on the scale of the features: values of two networks cannot be compared.
    """
    convolutions = [place for place, layer in enumerate(model.features) if isinstance(layer, nn.Conv3d)]
    device = next(model.parameters()).device
    model.eval()
    rows = []
    for label, name in enumerate(train.classes):
        members = train.of_class(label)[:clips]
        middle, last = [], []
        for part in members.split(at_once):
            hidden = model.features[: convolutions[-1]](train.batch(part)[0].to(device))
            middle.append(hidden.transpose(1, 2).flatten(2).cpu())
            last.append(model.pool(model.features[convolutions[-1] :](hidden)).flatten(1).cpu())
        values = {"within_sample": within_sample(torch.cat(middle)), "inter_sample": inter_sample(torch.cat(last))}
        rows.append({"class": name, **values})
    return pd.DataFrame(rows)
