"""How well actions are found in a long video: frame accuracy, edit score and F1 at overlaps, in percent.

Counted as the field of action segmentation does (Farha & Gall, CVPR 2019, section 4.1; the last two: Lea et al., CVPR 2017).
"""

from collections.abc import Sequence

import numpy as np

from vddlib.core.errors import VddError
from vddlib.datasets.segmentation import Segment, segments

OVERLAPS = (10, 25, 50)  # percent of intersection over union that a found segment needs


def frame_accuracy(predicted: Sequence[np.ndarray], true: Sequence[np.ndarray]) -> float:
    """Share of frames with the right label, over all frames of all videos."""
    _check(predicted, true)
    right = sum(int((np.asarray(p) == np.asarray(t)).sum()) for p, t in zip(predicted, true, strict=True))
    return 100 * right / sum(len(t) for t in true)


def edit_score(predicted: Sequence[np.ndarray], true: Sequence[np.ndarray]) -> float:
    r"""Mean over videos of :math:`1 - \mathrm{Levenshtein}(s, \hat s) / \max(|s|, |\hat s|)`, of the labels of segments.

    It says what was done in which order, however long it took.
    """
    _check(predicted, true)
    scores = []
    for p, t in zip(predicted, true, strict=True):
        ours, theirs = ([one.label for one in segments(labels)] for labels in (p, t))
        scores.append(1 - _levenshtein(ours, theirs) / max(len(ours), len(theirs)))
    return 100 * float(np.mean(scores))


def f1(predicted: Sequence[np.ndarray], true: Sequence[np.ndarray], overlap: float) -> float:
    """F1 of segments over all videos.

    A found one is right where it overlaps, by at least `overlap` percent of their union, a true segment of its label that no
    earlier one was right about.
    """
    _check(predicted, true)
    right = wrong = missed = 0
    for p, t in zip(predicted, true, strict=True):
        found, wanted = segments(p), segments(t)
        taken = [False] * len(wanted)
        for one in found:
            unions = [_overlap(one, other) if one.label == other.label else 0.0 for other in wanted]
            best = int(np.argmax(unions))
            if 100 * unions[best] >= overlap and not taken[best]:
                taken[best] = True
                right += 1
            else:
                wrong += 1
        missed += taken.count(False)
    return 100 * 2 * right / (2 * right + wrong + missed)


def scores(predicted: Sequence[np.ndarray], true: Sequence[np.ndarray]) -> dict[str, float]:
    """All of them, by the names of the published tables: acc, edit, f1@10, f1@25, f1@50."""
    found = {"acc": frame_accuracy(predicted, true), "edit": edit_score(predicted, true)}
    return found | {f"f1@{overlap}": f1(predicted, true, overlap) for overlap in OVERLAPS}


def _overlap(one: Segment, other: Segment) -> float:
    """Intersection over union of two stretches; of two that do not touch the union is what lies between them, too."""
    shared = min(one.end, other.end) - max(one.start, other.start)
    return max(shared, 0) / (max(one.end, other.end) - min(one.start, other.start))


def _levenshtein(ours: Sequence[int], theirs: Sequence[int]) -> int:
    """The fewest insertions, deletions and replacements that turn one sequence into the other."""
    before = np.arange(len(theirs) + 1)
    for number, label in enumerate(ours, 1):
        now = np.empty_like(before)
        now[0] = number
        for place, other in enumerate(theirs, 1):
            now[place] = min(before[place] + 1, now[place - 1] + 1, before[place - 1] + (label != other))
        before = now
    return int(before[-1])


def _check(predicted: Sequence[np.ndarray], true: Sequence[np.ndarray]) -> None:
    """Raises VddError where videos or their lengths do not match."""
    if len(predicted) != len(true) or not true:
        raise VddError(f"{len(predicted)} predictions of {len(true)} videos")
    for number, (p, t) in enumerate(zip(predicted, true, strict=True)):
        if len(p) != len(t):
            raise VddError(f"video {number}: {len(p)} predicted labels of {len(t)} frames")
