"""Numbers from logits: accuracy, AUC, F1."""

import math
from statistics import fmean

import torch
from torch import Tensor, nn

from vddlib.datasets.clips import Clips


def metrics(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """top1, top5, macro one-vs-rest AUC and macro F1, in percent, of ``logits [M, C]`` against ``labels int64 [M]``.

    top5 is nan at five classes or fewer; classes absent from `labels` do not count in AUC, those that are never guessed either
    not in F1.
    """
    from sklearn.metrics import f1_score, roc_auc_score

    classes = logits.shape[1]
    scores = logits.float().nan_to_num().softmax(1)  # nan where a student diverged: equal logits, which is guessing
    guesses, present = scores.argmax(1), labels.unique().tolist()  # a class without a test clip has no ROC curve
    top5 = scores.topk(min(5, classes)).indices.eq(labels[:, None]).any(1)
    out = {
        "top1": guesses.eq(labels).double().mean(),
        "top5": top5.double().mean() if classes > 5 else math.nan,
        "auc": fmean(roc_auc_score(labels == c, scores[:, c]) for c in present) if len(present) > 1 else math.nan,
        "f1": f1_score(labels, guesses, labels=range(classes), average="macro", zero_division=math.nan),
    }
    return {name: 100 * float(value) for name, value in out.items()}


@torch.no_grad()
def predict(
    model: nn.Module, test: Clips, *, epoch: int | None, device: torch.device | str = "cpu", size: int = 64
) -> Tensor:
    """Logits ``float32 [M, C]`` of one clip per test video: that drawn for `epoch` (flips too), or for None the middle one.

    `size` is the number of clips per batch.
    """
    model = model.to(device).eval()
    parts = torch.arange(len(test)).split(size)
    return torch.cat([model(test.batch(p, epoch=epoch, seed=0, flip=True)[0].to(device)).float().cpu() for p in parts])
