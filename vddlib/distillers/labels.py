"""Soft labels by a teacher, for any set."""

import torch.nn.functional as F

from vddlib.distillers.distilled import DistilledSet
from vddlib.training.networks import TrainedNetwork


def relabel(
    distilled: DistilledSet, teacher: TrainedNetwork, temperature: float, draws: int = 1, at_once: int = 64
) -> DistilledSet:
    """The same clips with the teacher's soft labels, ``softmax(logits / temperature) float32 [N, C]``, for protocol D.

    Labels of random content are means over `draws`. Works for any set but the full one, so that what the labels alone bring
    can be told apart (random clips under D). The teacher's training counts among the seconds of distillation, now or when
    it went into the cache.
    """
    logits = distilled.logits(teacher.model, draws, at_once)
    counted = "teacher_seconds" in distilled.card  # one that also scored segments, say, has been counted there
    seconds = (distilled.card.get("distill_seconds") or 0.0) + (0.0 if counted else teacher.log.seconds)
    facts = {"teacher": teacher.key["network"]["name"], "teacher_seconds": teacher.log.seconds}
    labels = F.softmax(logits / temperature, -1).mean(0)
    return distilled.with_targets(labels, temperature=temperature, distill_seconds=seconds, **facts)
