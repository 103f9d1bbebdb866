"""Which values a parameter may take: the brackets at the end of its comment in the parameter cell.

    frames: int = 8  # frames in a clip [1 to 1000]
    lr: float = 0.01  # learning rate [above 0 to 100]
    momentum: float = 0.5  # of SGD [0 to below 1]
    sampling: str = "stride"  # how frames are chosen [stride, even, middle]
    device: str = "auto"  # where to compute [auto, cpu, cuda, cuda:N]
    seeds: list[int] = [0, 1, 2]  # one student each [0 to 2147483647; not empty; each once]
    methods: dict = {"random": {}}  # methods by name [not empty]

A range holds for every number in a list or mapping, however deep, and choices for every text in it. ``:N`` stands for a
colon and a number.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vddlib.core.errors import VddError

_NUMBER = r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
_RANGE = re.compile(rf"(above )?({_NUMBER}) to (below )?({_NUMBER})")
_CHOICE = re.compile(r"[\w'+.:-]+")
NOT_EMPTY, EACH_ONCE = "not empty", "each once"


@dataclass(frozen=True)
class Limits:
    """A range, choices, whether something must be in a list, mapping or text, and in a list but once; else anything goes.

    `above` and `below` say that `low` and `high` themselves are outside.
    """

    low: float | None = None
    high: float | None = None
    above: bool = False
    below: bool = False
    choices: tuple[str, ...] = ()
    filled: bool = False
    distinct: bool = False

    @property
    def range(self) -> str:
        """The range as the comment has it: '1 to 1000'."""
        return f"{'above ' * self.above}{self.low} to {'below ' * self.below}{self.high}"

    def broken_by(self, value) -> str:
        """What is wrong with `value`, as 'must be 1 to 1000, not 0'; '' where nothing is."""
        if self.filled and value in ("", [], {}):
            return "must not be empty"
        if self.distinct and isinstance(value, list) and (again := [v for i, v in enumerate(value) if v in value[:i]]):
            return f"must name each once, and {shown(again[0])} stands there twice"
        for leaf in _leaves(value):
            if isinstance(leaf, str) and not (self.low is not None and re.fullmatch(_NUMBER, leaf)):
                if self.choices and not any(_chosen(leaf, choice) for choice in self.choices):
                    return f"must be one of {', '.join(self.choices)}, not {shown(leaf)}"
            elif self.low is not None and not self._within(float(leaf)):  # 1e-4 in a mapping is a text to YAML
                return f"must be {self.range}, not {shown(leaf)}"
        return ""

    def _within(self, number: float) -> bool:
        low = self.low < number if self.above else self.low <= number
        return low and (number < self.high if self.below else number <= self.high)


NO_LIMITS = Limits()


def limits_of(comment: str) -> Limits:
    """What the brackets at the end of a comment say; no limits where there are none.

    Raises VddError where they say neither a range, nor choices, nor 'not empty'.
    """
    bracket = re.search(r"\[([^\[\]]*)\]$", comment.strip())
    if not bracket:
        return NO_LIMITS
    said, *rest = (part.strip() for part in bracket[1].split(";"))
    if said == NOT_EMPTY and not rest:
        return Limits(filled=True)
    if set(rest) <= {NOT_EMPTY, EACH_ONCE}:
        more = {"filled": NOT_EMPTY in rest, "distinct": EACH_ONCE in rest}
        if found := _RANGE.fullmatch(said):
            return Limits(_number(found[2]), _number(found[4]), bool(found[1]), bool(found[3]), **more)
        choices = tuple(choice.strip() for choice in said.split(","))
        if all(_CHOICE.fullmatch(choice) for choice in choices):
            return Limits(choices=choices, **more)
    raise VddError(f"[{bracket[1]}] says no limits; write [1 to 9], [above 0 to 1], [one, two] or [0 to 9; not empty]")


def shown(value, most: int = 60) -> str:
    """A value as text for a message, shortened."""
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _number(text: str) -> float:
    return int(text) if re.fullmatch(r"-?\d+", text) else float(text)


def _leaves(value) -> Iterator[str | int | float]:
    """The numbers and texts in a value; true, false and null are neither."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield value


def _chosen(text: str, choice: str) -> bool:
    if choice.endswith(":N"):
        return re.fullmatch(re.escape(choice.removesuffix("N")) + "[0-9]{1,3}", text) is not None
    return text == choice
