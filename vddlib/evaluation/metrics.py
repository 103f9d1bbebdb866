"""Numbers from logits: accuracy, AUC, F1."""

import math

import torch
from torch import Tensor, nn

from vddlib.datasets.clips import Clips


def metrics(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """top1, top5, macro one-vs-rest AUC and macro F1, in percent, of ``logits [M, C]`` against ``labels int64 [M]``.

    top5 is nan at five classes or fewer; classes absent from `labels` do not count in AUC.
    """
    from torchmetrics.functional.classification import multiclass_accuracy, multiclass_auroc, multiclass_f1_score

    classes = logits.shape[1]
    scores = logits.float().nan_to_num().softmax(1)  # nan where a student diverged: equal logits, which is guessing
    present = torch.unique(labels)  # a class without a test clip has no ROC curve
    auc = (
        multiclass_auroc(scores, labels, classes, average="none")[present]
        if len(present) > 1
        else torch.tensor([math.nan])
    )
    out = {
        "top1": multiclass_accuracy(scores, labels, classes, average="micro"),
        "top5": multiclass_accuracy(scores, labels, classes, top_k=5, average="micro") if classes > 5 else math.nan,
        "auc": auc.mean(),
        "f1": multiclass_f1_score(scores, labels, classes, average="macro"),
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
