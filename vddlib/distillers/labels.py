"""Labels for any set: a teacher's soft ones, or those of another set."""

import torch
import torch.nn.functional as F

from vddlib.core.errors import VddError
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


def with_labels_of(clips_from: DistilledSet, labels_from: DistilledSet) -> DistilledSet:
    """The clips of one set with the labels of another, place by place: which of the two carries what students learn.

    The method stays that of the clips; the card's `labels_from` names the other's. Soft labels come with their temperature and
    teacher. The seconds of both sets count, a teacher's once where both had it trained. Raises VddError where the sets differ
    in their classes, or in the class of a clip.
    """
    name, other = clips_from.card.get("method"), labels_from.card.get("method")
    if clips_from.classes != labels_from.classes:
        raise VddError(f"the clips of {name} and the labels of {other} are not of the same classes in the same order")
    if not torch.equal(clips_from.labels, labels_from.labels):
        raise VddError(
            f"the {len(clips_from)} clips of {name} and the {len(labels_from)} labels of {other} are not, place by place, of "
            f"the same class; take both at the same ipc"
        )
    seconds = sum(one.card.get("distill_seconds") or 0.0 for one in (clips_from, labels_from))
    teachers = [one.card["teacher_seconds"] for one in (labels_from, clips_from) if "teacher_seconds" in one.card]
    if len(teachers) == 2 and teachers[0] == teachers[1]:
        seconds -= teachers[0]
    facts = {fact: labels_from.card.get(fact) for fact in ("temperature", "teacher")}
    facts |= {"teacher_seconds": teachers[0]} if teachers else {}
    return clips_from.with_targets(labels_from.targets, labels_from=other, distill_seconds=seconds, **facts)
