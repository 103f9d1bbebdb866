"""What a distilled set tells an observer: variability and authenticity (OptDistill, section 4.1, eq. 3 and 4)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vddlib.distillers.distilled import DistilledSet


def entropy(p: Tensor) -> Tensor:
    """Entropy in nats of distributions ``float32 [..., C]``; what has probability 0 adds nothing."""
    return -torch.xlogy(p, p).sum(-1)


def predictions(distilled: DistilledSet, observer: nn.Module, draws: int = 1, at_once: int = 64) -> Tensor:
    """Class probabilities ``float32 [draws * N, C]`` that the `observer` gives the set's clips, drawn `draws` times."""
    return F.softmax(distilled.logits(observer, draws, at_once).flatten(0, 1), 1)


def information(p: Tensor, labels: Tensor) -> dict[str, float]:
    r"""Estimates of eq. 4's terms, in nats, from an observer's predictions ``p [N, C]`` and ``labels int64 [N]``.

    The paper gives the terms and no estimator. Here `variability` is the entropy of the mean prediction, which stands for
    :math:`H(Z|\emptyset)`: at most log C, and less where the observer sees only some of the classes. Of
    :math:`H(Z|A)`, which is small where the set is authentic, there are two: `doubt`, the mean entropy of the predictions,
    and `surprise`, the mean loss of the labels. `information` is variability minus doubt: what a clip tells the observer.
    """
    variability, doubt = entropy(p.mean(0)).item(), entropy(p).mean().item()
    surprise = F.nll_loss(p.clamp(min=1e-12).log(), labels).item()
    return {"variability": variability, "doubt": doubt, "surprise": surprise, "information": variability - doubt}
