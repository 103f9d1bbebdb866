"""YAML that holds plain values only, read within limits: what a params file may be.

PyYAML's safe loader runs no code, but it keeps the last of two equal keys silently, follows anchors into themselves, takes
as long as a file wants, and makes dates out of texts. All of these are refused here, in one line.
"""

import math
import re
from pathlib import Path

import yaml

from vddlib.core.errors import VddError
from vddlib.core.limits import shown

MOST_BYTES = 100_000
MOST_DEPTH = 20
MOST_ALIASES = 20  # aliases of aliases multiply; so few of them stay small
MOST_DIGITS = 30
_UNWRITABLE = re.compile(r"[\x00\ud800-\udfff]")
_TYPES = "parameters are numbers, texts, true or false, null, lists and mappings"


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with limits."""

    def __init__(self, text: str):
        super().__init__(text)
        self.depth = self.aliases = 0
        self.open: list[str] = []  # anchors of the nodes that are being read

    def compose_node(self, parent, index):
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            self.aliases += 1
            if event.anchor in self.open:
                raise _refusal(f"the anchor &{event.anchor} holds itself", event)
            if self.aliases > MOST_ALIASES:
                raise _refusal(f"more than {MOST_ALIASES} aliases (*name)", event)
            return super().compose_node(parent, index)
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise _refusal(f"nested more than {MOST_DEPTH} deep", event)
        self.open.append(event.anchor)
        node = super().compose_node(parent, index)
        self.open.pop()
        self.depth -= 1
        return node

    def compose_mapping_node(self, anchor):
        node = super().compose_mapping_node(anchor)
        keys = set()
        for key_node, _ in node.value:
            key = (key_node.tag, str(key_node.value))
            if key in keys:
                raise _refusal(f"{key_node.value!r} stands there twice", key_node)
            keys.add(key)
        return node

    def integer(self, node):
        """An integer; Python itself refuses to read one of thousands of digits, with a traceback."""
        if len(node.value) > MOST_DIGITS:
            raise _refusal(f"an integer of {len(node.value)} digits; at most {MOST_DIGITS} are read", node)
        return self.construct_yaml_int(node)

    def date(self, node):
        """No date is a parameter's value, but the same characters in quotes may be one."""
        raise _refusal(f"{shown(node.value)} is a date; write it in quotes if a text is meant", node)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.integer)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.date)


def _refusal(problem: str, place) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)


def read_plain_yaml(path: Path):
    """What a YAML file holds: numbers, texts, true or false, null, lists, and mappings whose keys are texts.

    Raises VddError for a file that is absent, unreadable, not YAML, larger than MOST_BYTES, nested deeper than MOST_DEPTH,
    with more than MOST_ALIASES aliases, and for equal keys in one mapping, values of other types, and numbers that are
    infinite, not numbers, or of more than MOST_DIGITS digits.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        text = content[:MOST_BYTES].decode("utf-8")
    except FileNotFoundError:
        raise VddError(f"{path}: no such params file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise VddError(f"{path}: cannot be read ({error})") from None
    if len(content) > MOST_BYTES:
        raise VddError(f"{path}: larger than {MOST_BYTES // 1000} kB; a params file holds a few lines `name: value`")
    try:
        value = _parsed(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise VddError(f"{path}{place}: not YAML: {getattr(error, 'problem', None) or 'cannot be parsed'}") from None
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError):  # as `!!int x` and `!!bool x` raise
        raise VddError(f"{path}: not YAML: a value does not fit its own tag (!!name)") from None
    if problem := _not_plain(value):
        raise VddError(f"{path}: {problem}")
    return value


def _parsed(text: str):
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _not_plain(value, place: str = "the file") -> str:
    """Where a value is none that a parameter can have, and why; '' where all are."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                return f"{place}: the name {key!r} is no text; write it in quotes"
            if problem := _not_plain(item, key):
                return problem
    elif isinstance(value, list):
        return next(filter(None, (_not_plain(item, place) for item in value)), "")
    elif isinstance(value, str) and _UNWRITABLE.search(value):
        return f"{place}: {shown(value)} holds characters that no file or log can"
    elif isinstance(value, float) and not math.isfinite(value):
        return f"{place}: {value} is no finite number"
    elif not isinstance(value, str | int | float | None):
        return f"{place}: a value of type {type(value).__name__}; {_TYPES}"
    return ""
