"""VDSD with one thing changed at a time: images learned or not, other numbers of memories, Static-DC's images alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from vddlib.distillers import DistilledSet, Distiller, build
from vddlib.notebook import case_runs

VARIANT = "memories"  # in records


@dataclass(frozen=True)
class Case:
    """A distiller, and its names in records and in print."""

    method: str
    printed: str
    distiller: Distiller


def cases_of(method: Distiller, compare: Mapping[str, Mapping[str, Any]], alone: Distiller | None = None) -> list[Case]:
    """Cases of a distiller over VDSD: `alone` (what made the images) by itself, one for each name in `compare` whose fields of
    VDSD are changed, and last the distiller as it is. Raises VddError for a field that VDSD does not have."""
    cases = [Case(alone.method, f"images alone ({alone.method})", alone)] if alone else []
    for name, change in compare.items():
        changed = build(method.method, **_fields(method) | {"stored": _fields(method.stored) | dict(change)})
        cases.append(Case(f"{method.method}[{name}]", name, changed))
    return [*cases, Case(method.method, "as above", method)]


def _fields(model: BaseModel) -> dict[str, Any]:
    return {name: getattr(model, name) for name in type(model).model_fields}


class Setting(case_runs.Setting):
    """The cases of `cases_of`, whose distillers have all their fields already."""

    def sets(self, case: Case) -> dict[int, DistilledSet]:
        """A set of every seed."""
        return {seed: case.distiller.distill(self.train, self.ipc, seed) for seed in self.seeds}
