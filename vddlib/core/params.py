"""What the parameter cell of a notebook declares, what a params file sets, and whether the two fit."""

import ast
import difflib
import io
import json
import math
import re
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vddlib.core.errors import VddError
from vddlib.core.limits import NO_LIMITS, Limits, limits_of, shown


@dataclass(frozen=True)
class Parameter:
    """One line of a parameter cell: name, type as written (or that of the default; '' for any), default as text, limits."""

    name: str
    kind: str
    default: str
    limits: Limits = NO_LIMITS


def declared_parameters(source: str) -> dict[str, Parameter]:
    """The parameters that a cell of lines `name: int = 5  # what it is [1 to 9]` declares, by name.

    Raises VddError where the brackets at the end of a comment say no limits (see `vddlib.core.limits`).
    """
    found = {}
    comments = _comments(source)
    for statement in ast.parse(source).body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=ast.expr() as default):
                kind = ast.unparse(annotation)
            case ast.Assign(targets=[ast.Name(id=name)], value=default):
                kind = _kind_of(default)
            case _:
                continue
        try:
            limits = limits_of(comments.get(statement.end_lineno, ""))
        except VddError as error:
            raise VddError(f"the comment of {name}: {error}") from None
        found[name] = Parameter(name, kind, ast.unparse(default), limits)
    return found


def _comments(source: str) -> dict[int, str]:
    """The comments of a cell by line, from 1; its syntax tree has none."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    try:
        return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}
    except tokenize.TokenError:  # no Python; `ast` says so more clearly
        return {}


def _kind_of(default: ast.expr) -> str:
    """The type of a default: that of `[1, 2]` is list[int]; '' where it tells none, as None does."""
    try:
        value = ast.literal_eval(default)
    except ValueError:  # an expression, not a literal
        return ""
    if isinstance(value, list):
        kinds = {type(item).__name__ for item in value}
        return f"list[{kinds.pop()}]" if len(kinds) == 1 and kinds <= {"int", "float", "bool", "str"} else "list"
    return "" if value is None else type(value).__name__


def notebook_parameters(notebook: Path) -> dict[str, Parameter]:
    """The parameters of a notebook, from its one cell tagged `parameters`."""
    try:
        content = json.loads(Path(notebook).read_text(encoding="utf-8"))
        tagged = [cell for cell in content["cells"] if "parameters" in cell.get("metadata", {}).get("tags", [])]
        sources = ["".join(cell["source"]) for cell in tagged]
    except FileNotFoundError:
        raise VddError(f"{notebook}: no such notebook") from None
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise VddError(f"{notebook}: not a notebook ({type(error).__name__}: {error})") from None
    if len(sources) != 1:
        raise VddError(f"{notebook}: {len(sources)} cells are tagged `parameters`; tag exactly one")
    try:
        return declared_parameters(sources[0])
    except SyntaxError as error:
        raise VddError(f"{notebook}: line {error.lineno} of the parameter cell is not Python: {error.msg}") from None
    except VddError as error:
        raise VddError(f"{notebook}: {error}") from None


def read_params(path: Path) -> dict:
    """A params file as a mapping; an empty file gives no parameters.

    Raises VddError for what `read_plain_yaml` refuses, and for a file that holds no mapping.
    """
    from vddlib.core.plain_yaml import read_plain_yaml

    values = read_plain_yaml(path)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise VddError(f"{path}: holds a {type(values).__name__}, not a mapping; write lines `name: value`")
    return values


def params_of_file(notebook: Path, params: Path) -> dict:
    """The parameters that a params file sets, names, types and limits checked against its notebook.

    `provenance.params_sha256` of them is what records carry.
    """
    return check_params(read_params(params), notebook_parameters(notebook), params, notebook)[0]


_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


def _coerced(value, kind: ast.expr):
    """`value` converted to the annotation `kind`; TypeError where it does not fit. An unknown annotation accepts anything."""
    if isinstance(value, str) and _EXPONENT.fullmatch(value) and ast.unparse(kind) in ("int", "float"):
        value = float(value)  # YAML 1.1 reads 1e-4, without a dot, as text
        if math.isinf(value):  # 1e999
            raise TypeError
    match kind:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            try:
                return _coerced(value, left)
            except TypeError:
                return _coerced(value, right)
        case ast.Constant(value=None):
            fits = value is None
        case ast.Name(id="float"):
            fits = isinstance(value, int | float) and not isinstance(value, bool)  # bool is a subclass of int
            value = float(value) if fits else value
        case ast.Name(id="int"):
            fits = (isinstance(value, int) and not isinstance(value, bool)) or (
                isinstance(value, float) and value.is_integer()
            )
            value = int(value) if fits else value
        case ast.Name(id="bool"):
            fits = isinstance(value, bool)
        case ast.Name(id="str"):
            fits = isinstance(value, str)
        case ast.Name(id="list" | "tuple") | ast.Subscript(value=ast.Name(id="tuple")):  # YAML has no tuples
            fits = isinstance(value, list)
        case ast.Name(id="dict"):
            fits = isinstance(value, dict)
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            fits = isinstance(value, list)
            value = [_coerced(each, item) for each in value] if fits else value
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[key, item])):
            fits = isinstance(value, dict)
            value = {_coerced(k, key): _coerced(v, item) for k, v in value.items()} if fits else value
        case _:
            fits = True
    if not fits:
        raise TypeError
    return value


def check_params(values: Mapping, declared: Mapping[str, Parameter], params, notebook) -> tuple[dict, list[str]]:
    """The values, converted to the notebook's parameters, and a line for each text that was read as a number.

    Raises VddError, which names all mistakes at once: unknown parameters (papermill would only warn), values of the
    wrong type, and values outside the limits of their parameter.
    """
    fitted, notes, wrong = {}, [], []
    for name, value in values.items():
        if name not in declared:
            near = difflib.get_close_matches(str(name), declared, n=1)
            wrong.append(f"unknown parameter {str(name)!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
            continue
        kind = declared[name].kind
        try:
            fitted[name] = _coerced(value, ast.parse(kind or "Any", mode="eval").body)
        except TypeError:
            wrong.append(f"{name} must be {kind}, as in `{name}: {declared[name].default}`, not {shown(value)}")
            continue
        if broken := declared[name].limits.broken_by(fitted[name]):
            wrong.append(f"{name} {broken}")
        if fitted[name] != value:  # 5 and 5.0 are equal, '1e-4' and 0.0001 are not
            notes.append(f"{name}: YAML reads {value!r} as text; taken as {fitted[name]!r} (write 1.0e-4, not 1e-4)")
    if wrong:
        known = f"; it takes {', '.join(declared) or 'none'}" if any("unknown" in line for line in wrong) else ""
        raise VddError(f"{params} does not fit {notebook}: {'; '.join(wrong)}{known}")
    return fitted, notes
