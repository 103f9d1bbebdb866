"""Gates: whether a run of an optimising method did what the method is for, read off the finished set and its history.

A method that passes its gate and brings nothing is a finding; a run that fails its gate says nothing of the method.
"""

from dataclasses import dataclass
from statistics import fmean

import torch

from vddlib.core import seeding
from vddlib.core.errors import VddError
from vddlib.datasets.clips import Clips
from vddlib.distillers.distilled import DistilledSet
from vddlib.distillers.matching.optimising import History
from vddlib.training.networks import TrainedNetwork

# Grey levels (0 to 255). Videos hold whole grey levels: what changed a pixel by less than one in the mean is lost, or nearly,
# when the clips are written as videos, as `bytes_video` counts them.
LEAST_MOVED = 1.0
# No pixel between black and white is further than this from mid-grey: beyond it in the mean, clips have left the range of
# pictures. So does a run that diverges and stays finite.
MOST_MOVED = 128.0
MOST_LOSS = 0.8  # of MTT; a student that stays where it is has 1
LEAST_PATH = 0.5  # of the expert's: from a shorter way the loss is at least 0.25, wherever it leads
# Of what a second teacher classifies of real training clips, above chance: halfway between clips that are noise to it and
# clips as good as those it learned from.
LEAST_KEPT = 0.5


@dataclass(frozen=True)
class Gate:
    """Whether a run passed, and one line that says so with its numbers: ``passed: moved 4.1 grey levels``."""

    passed: bool
    said: str

    def __str__(self) -> str:
        return self.said


@dataclass(frozen=True)
class SecondTeacher:
    """A teacher that did not recover the clips, and what share of real training clips it classifies (0 to 1).

    Real clips are the only measure of what may be asked of recovered ones: a weak teacher does not know either.
    """

    network: TrainedNetwork
    on_real: float

    @classmethod
    @torch.no_grad()
    def of(cls, network: TrainedNetwork, train: Clips, videos: int = 512, at_once: int = 64) -> "SecondTeacher":
        """With its accuracy on at most `videos` random training videos, in draws (start, flip) of their own."""
        model = network.model.eval()
        device = next(model.parameters()).device
        parts = torch.randperm(len(train), generator=seeding.generator("gate", 0))[:videos].split(at_once)
        right = 0
        for part in parts:
            # Draws that no training has seen: a training draws by its own seed, a small number.
            clips, labels = train.batch(part, epoch=0, seed=seeding.derive("gate", 0), flip=True)
            right += int((model(clips.to(device)).argmax(1).cpu() == labels).sum())
        return cls(network, right / sum(map(len, parts)))


def gate(distilled: DistilledSet, history: History, second_teacher: SecondTeacher | None = None) -> Gate:
    """The gate of the set's method: MTT's loss and path, TSGF's clips to a second teacher, of any other whether clips moved.

    Raises VddError for TSGF without a second teacher.
    """
    method = distilled.card["method"].partition("+")[0]
    if method == "tsgf":
        if second_teacher is None:
            raise VddError(
                "the gate of tsgf asks a second teacher; pass second_teacher=SecondTeacher.of(teacher, train)"
            )
        return _still_their_class(distilled, second_teacher)
    return _matched(history) if method == "mtt" else _moved(distilled)


def _gate(passed: bool, said: str) -> Gate:
    return Gate(passed, f"{'passed' if passed else 'failed'}: {said}")


def _moved(distilled: DistilledSet) -> Gate:
    """Whether the clips are others than those the run began with, and still pictures."""
    moved = distilled.card["moved"]
    wanted = (
        f", below {LEAST_MOVED:g}" if moved < LEAST_MOVED else f", over {MOST_MOVED:g}" if moved > MOST_MOVED else ""
    )
    return _gate(not wanted, f"moved {moved:.2g} grey levels{wanted}")


def _matched(history: History) -> Gate:
    """Whether, over the last fifth of the iterations, MTT's student came nearer to the expert, and went far enough to."""
    last = {name: fmean(values[-max(1, len(values) // 5) :]) for name, values in history.values.items()}
    loss, way, expert = last["loss"], last["student_path"], last["expert_path"]
    passed = loss < MOST_LOSS and way >= LEAST_PATH * expert
    return _gate(passed, f"loss {loss:.2f} (under {MOST_LOSS:g}), path {way:.2g} of the expert's {expert:.2g} (half)")


def _still_their_class(distilled: DistilledSet, teacher: SecondTeacher) -> Gate:
    """Whether recovered clips show their class to whom they were not fitted, rather than one teacher's own weaknesses."""
    guessed = distilled.logits(teacher.network.model)[0].argmax(1)
    share, chance = float((guessed == distilled.labels).float().mean()), 1 / len(distilled.classes)
    wanted = chance + LEAST_KEPT * (teacher.on_real - chance)
    # A teacher at chance cannot tell: that no clip is worse than guessing is no pass.
    passed = teacher.on_real > chance and share >= wanted
    numbers = (
        f"{100 * share:.0f} % of the clips ({100 * wanted:.0f} needed), {100 * teacher.on_real:.0f} % of real ones"
    )
    return _gate(passed, f"a second teacher classifies {numbers}")
