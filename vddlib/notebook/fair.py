"""Students under the fair protocols, for every notebook that has sets."""

from collections.abc import Mapping, Sequence
from functools import partial

from vddlib.datasets.clips import Clips
from vddlib.distillers import DistilledSet
from vddlib.distillers.full import FullSet
from vddlib.evaluation import Report, evaluate_each, fair, fair_teacher
from vddlib.training.networks import Network


def fair_students(
    sets: Mapping[int, DistilledSet],
    train: Clips,
    test: Clips,
    protocols: Sequence[str],
    *,
    steps: int = 0,
    device: str = "auto",
    student: Network | None = None,
) -> dict[str, Report]:
    """By protocol: a student for each seed's set, under F's own student and steps (`steps` is for tests), and its teacher.

    `student`: another architecture that learns by the same recipe.
    """
    whole = all(isinstance(one, FullSet) for one in sets.values())
    reports = {}
    for name in protocols:
        protocol, network = fair(name, train, steps, full=whole)
        teacher = partial(fair_teacher, train, device=device, steps=steps) if protocol.labels == "teacher" else None
        reports[name] = evaluate_each(sets, test, protocol, network=student or network, device=device, teacher=teacher)
        print(reports[name])
    return reports
