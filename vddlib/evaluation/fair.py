"""Protocols F and F-soft: one way to learn and be tested, the same for every method.

The student, the number of optimiser steps and the rates are chosen once per dataset, on held-out training sources, for random
clips and full data together (notebook 23); no method has a say in them. Under F students learn the classes of the clips;
under F-soft the labels that one teacher gives to every view that they see.
"""

from pydantic import BaseModel, ConfigDict, Field

from vddlib.datasets.clips import Clips
from vddlib.distillers import Full, Random
from vddlib.evaluation.evaluate import Report, evaluate
from vddlib.evaluation.protocols import Protocol, named
from vddlib.training import augmentations
from vddlib.training.fit import pick_device
from vddlib.training.networks import Network, TrainedNetwork, train_teacher

FAIR = ("F", "F-soft")
TEACHERS = 3  # student s learns from teacher s modulo this, so that the spread over teachers is part of every result


class Setting(BaseModel):
    """What F needs to know of a dataset."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: Network = Field(description="student and teacher")
    steps: int = Field(300, ge=1, description="optimiser steps of students, whatever the set")
    full_steps: int = Field(
        600, ge=1, description="optimiser steps on full data, which is no competitor; teachers' too"
    )
    batch_size: int = Field(16, ge=1, description="clips per step, or all where a set has fewer")
    lr: float = Field(1e-3, gt=0, description="AdamW's learning rate at the first step")

    def protocol(self, name: str, steps: int = 0, full: bool = False) -> Protocol:
        """Protocol F or F-soft with these values. `steps` is for tests; 0 takes those above."""
        chosen = named(name)
        steps = steps or (self.full_steps if full else self.steps)
        changed = {"steps": steps, "batch_size": self.batch_size, "lr": self.lr}
        return chosen.model_copy(update={"recipe": chosen.recipe.model_copy(update=changed)})


def _minic3d(**options) -> Network:
    return Network(name="minic3d", options={"norm": "batch", **options})


# Chosen by params/search/23_fair_recipe; figures/search/23_fair_recipe has what was compared.
SETTINGS = {
    "motions": Setting(network=_minic3d(depth=2, widths=(16, 32))),
    "miniucf10": Setting(network=_minic3d(widths=(16, 32, 64)), full_steps=1200),
}
SETTINGS |= {"ucf10": SETTINGS["miniucf10"], "tempo": SETTINGS["miniucf10"]}


def setting(clips: Clips) -> Setting:
    """The setting of a dataset; for one that was not searched, miniucf10's, in a network that fits its clips."""
    depth = 3 if clips.geometry.size >= 48 and clips.geometry.frames >= 4 else 2
    return SETTINGS.get(clips.dataset) or Setting(network=_minic3d(depth=depth, widths=(16, 32, 64)[:depth]))


def fair(name: str, clips: Clips, steps: int = 0, full: bool = False) -> tuple[Protocol, Network]:
    """Protocol F or F-soft on the dataset of `clips`, and its student. `steps` is for tests; 0 takes the setting's.

    `full`: for full data, which needs more steps than a few clips do.
    """
    found = setting(clips)
    return found.protocol(name, steps, full), found.network


def fair_teacher(train: Clips, seed: int, device: str = "auto", steps: int = 0) -> TrainedNetwork:
    """The teacher of student `seed`: the student's architecture, trained on full data as F trains it."""
    chosen, network = fair("F", train, steps, full=True)
    views = augmentations.where_mirroring_is(train.mirrors, chosen.augmentation)
    place = pick_device(device)
    return train_teacher(train, network, chosen.recipe, seed=seed % TEACHERS, device=place, augmentation=views)


def held_out_fair(candidate: Setting, train: Clips, ipc: int | None, seed: int, device: str = "auto") -> Report:
    """The student of `candidate` under F on random clips (all clips for None) of three quarters of the training sources,
    tested on the other quarter: how settings are compared, without the test split."""
    rest, held = train.holdout(0.25)
    made = Full().distill(rest) if ipc is None else Random().distill(rest, ipc, seed)
    chosen = candidate.protocol("F", full=ipc is None)
    return evaluate(made, held, chosen, seeds=[seed], network=candidate.network, device=device)
