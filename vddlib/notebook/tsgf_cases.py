"""What TSGF's ablations compare: an experiment is a list of cases, each of which differs from TSGF in one thing."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from vddlib.core.errors import VddError, unknown
from vddlib.results.ablations import EXPERIMENTS as RECORDED
from vddlib.results.schema import display


class Experiment(NamedTuple):
    """What an experiment asks, the table of the paper that it answers, and the field of `Case` that its cases vary."""

    asks: str
    table: int | None
    varies: str


_ASKED = {  # experiment: (what it asks, what its cases vary)
    "components": ("what the mask and the guided VideoMix each contribute", ""),
    "architectures": ("whether other students learn from the clips as MiniC3D does", "student"),
    "initialisation": ("whether recovery should begin with real clips or with noise", ""),
    "augmentation": ("which way of mixing students' batches is best", ""),
    "groups": ("whether TSGF does better on classes that move much or little", "subset"),
    "ipcs": ("how accuracy grows with the number of clips per class", "ipc"),
    "mask": ("what the mask should multiply, and whether its sign matters", ""),
    "frames": ("how the number of frames in a clip matters (figure 4)", "frames"),
    "labels": ("how much of the accuracy comes from soft labels (ours)", "protocol"),
    "sensitivity": ("how one value that the paper leaves out matters, on training data (ours)", "value"),
}
# Of sensitivity nothing is recorded, and it answers no table.
EXPERIMENTS = {
    name: Experiment(asks, RECORDED[name].table if name in RECORDED else None, varies)
    for name, (asks, varies) in _ASKED.items()
}


@dataclass(frozen=True)
class Case:
    """One bar or point of an experiment; what is not named here is TSGF's, or the notebook's parameter.

    `method` is the name in records. `change` replaces fields of `distillers.TSGF`, or epochs, batch_size and lr of the
    students. `mix` holds names in vddlib.training.augmentations; None stands for TSGF's guided VideoMix.
    """

    method: str = "tsgf"
    change: Mapping[str, Any] = field(default_factory=dict)
    mix: tuple[str, ...] | None = None
    student: str = "minic3d"
    protocol: str = "D"
    frames: int | None = None  # None: as many as the dataset's clips are loaded with
    ipc: int | None = None  # None: the notebook's
    value: Any = None  # of what `sensitivity` varies
    subset: str = ""  # name of a part of the classes, in records
    classes: tuple[str, ...] = ()  # of that part, in order; none: all

    @property
    def recovered(self) -> bool:
        """Whether its clips are TSGF's or a variant's, and so were optimised."""
        return self.method.startswith("tsgf")

    def varied(self, experiment: str) -> Any:
        """The value of the field that `experiment` varies, or None where its cases differ in the method alone."""
        return getattr(self, EXPERIMENTS[experiment].varies) if EXPERIMENTS[experiment].varies else None

    def name(self, experiment: str) -> str:
        """In print: 'TSGF [no mask]', 'Random (IPC 5)'."""
        value, varies = self.varied(experiment), EXPERIMENTS[experiment].varies
        where = "" if value in (None, "") else f" ({'IPC' if varies == 'ipc' else varies} {value})"
        return display(self.method) + where


TSGF = Case()
BASELINE = Case("tsgf[baseline]", {"mask": "none"}, mix=())  # neither part of TSGF: plain recovery, unmixed batches
NO_MIX = Case("tsgf[no_mix]", mix=())


def cases_of(
    experiment: str,
    *,
    values: Sequence = (),
    vary: str = "",
    students: Sequence[str] = (),
    sgd: Mapping[str, Any] | None = None,
    whole: bool = False,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> list[Case]:
    """The cases of an experiment, in the order of its table.

    `values` are those of frames, ipcs and of what sensitivity varies (`vary`); `students` come besides MiniC3D in
    architectures; `sgd` are fields of TSGF for plain SGD in mask; `whole` adds all real clips to labels; `groups` are
    parts of the classes (`motion_groups`). Raises VddError for an unknown experiment, and where one lacks its values.
    """
    if experiment not in EXPERIMENTS:
        raise unknown("experiment", experiment, EXPERIMENTS)
    if experiment in ("frames", "ipcs", "sensitivity") and not values:
        raise VddError(f"the experiment {experiment} compares values: name them in the parameter 'values'")
    if experiment == "sensitivity" and not vary:
        raise VddError("the experiment sensitivity varies a value: name it in the parameter 'vary'")
    if experiment == "groups" and not groups:
        raise VddError("the experiment groups needs parts of the classes: groups=motion_groups(train)")
    pair = ("random", "tsgf")
    every_student = ("minic3d", *students)
    return {
        "components": lambda: [Case("tsgf[no_mask]", {"mask": "none"}), NO_MIX, BASELINE, Case("random"), TSGF],
        "initialisation": lambda: [Case("tsgf[noise]", {"stored": {"init": "noise"}}), TSGF],
        "augmentation": lambda: [
            NO_MIX,
            Case("tsgf[image_mix]", mix=("image_mix",)),
            Case("tsgf[videomix]", mix=("videomix",)),
            TSGF,
        ],
        "mask": lambda: _masks(dict(sgd or {})),
        "architectures": lambda: [Case(method, student=student) for student in every_student for method in pair],
        "frames": lambda: [Case(c.method, c.change, c.mix, frames=n) for c in (BASELINE, TSGF) for n in values],
        "ipcs": lambda: [Case(method, ipc=number) for method in pair for number in values],
        "labels": lambda: _labels(whole),
        "groups": lambda: [TSGF, *(Case(subset=name, classes=tuple(part)) for name, part in groups.items())],
        "sensitivity": lambda: [Case(method, {vary: value}, value=value) for method in pair for value in values],
    }[experiment]()


def _masks(sgd: dict[str, Any]) -> list[Case]:
    cases = [
        Case("tsgf[signed_mask]", {"mask": "signed"}),
        Case("tsgf[mask_on_update]", {"mask_on": "update"}),
        TSGF,
    ]
    if sgd:
        cases += [Case("tsgf[sgd]", sgd), Case("tsgf[sgd_signed_mask]", sgd | {"mask": "signed"})]
    return cases


def _labels(whole: bool) -> list[Case]:
    cases = [Case(method, protocol=letter) for method in ("tsgf", "random") for letter in ("A", "D", "D+")]
    if whole:  # real videos are redrawn every epoch, so their batches need no mixing
        cases += [Case("full", protocol="A"), Case("full", mix=(), protocol="D+")]
    return cases


def cases_table(cases: Sequence[Case]) -> pd.DataFrame:
    """The cases as a table: a row each, a column for everything in which any of them departs from plain TSGF."""
    rows = [asdict(case) for case in cases]
    plain = asdict(TSGF)
    shown = [name for name in plain if name == "method" or any(row[name] != plain[name] for row in rows)]
    return pd.DataFrame([{name: _printed(name, row[name]) for name in shown} for row in rows], columns=shown)


def _printed(name: str, value: Any) -> str:
    if name == "mix":
        return "guided VideoMix" if value is None else ", ".join(value) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={inner}" for key, inner in value.items())
    if isinstance(value, tuple):
        return ", ".join(value)
    return "" if value is None else str(value)
