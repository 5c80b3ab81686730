"""Values of annotated types: text is parsed, anything else is checked."""

from __future__ import annotations

import itertools
import json
import math
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from zoo.numbers import parse_whole

R = TypeVar("R")

_OBJECT_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")

_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}
_UNION_TYPES = (Union, types.UnionType)


def plain(value: Any) -> Any:
    """A NumPy number or array as Python's number or list: what a loop over `np.arange` or `np.linspace` gives."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.generic | numpy.ndarray):
        return value
    return value.tolist()


def convert(value: object, annotation: Any) -> Any:
    """A value of the annotated type: text is parsed, anything else is checked. NumPy's numbers are made `plain`.

    Raises:
        ValueError: it is not of that type.
    """
    value = plain(value)
    if annotation is Any:
        return _from_json(value) if isinstance(value, str) else value
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in _UNION_TYPES:
        return _convert_union(value, args)
    if origin is typing.Annotated:
        return convert(value, args[0])
    if origin is Literal:
        return _convert_literal(value, args)
    if origin in (tuple, list, Sequence) or annotation in (tuple, list):
        return _convert_sequence(value, origin or annotation, args)
    converter = _SCALARS.get(annotation)
    kind = origin or annotation
    if converter is None and isinstance(kind, type) and isinstance(value, kind):
        return value
    if converter is None:
        raise ValueError(f"a {describe_type(annotation)}, which cannot be given as text")
    return converter(value)


_HINTS: dict[type[Any], dict[str, Any]] = {}  # reading them takes as long as all else of a config


def convert_fields(record: type[R], given: Mapping[str, object]) -> R:
    """A dataclass made of plain values, each of its field's type.

    Raises:
        TypeError: a field is missing.
        ValueError: a value is not of its field's type, or the dataclass refuses it.
    """
    if record not in _HINTS:
        _HINTS[record] = typing.get_type_hints(record)
    hints = _HINTS[record]
    for name, value in given.items():
        if not fits(value, hints[name]):
            raise ValueError(f"{name} must be {describe_type(hints[name])}, got {value!r}")
    return record(**{name: convert(value, hints[name]) for name, value in given.items()})


def fits(value: object, kind: Any) -> bool:
    """Whether a value is of a type as it is; text is not parsed."""
    if isinstance(value, str):
        return kind is str or (get_origin(kind) in _UNION_TYPES and str in get_args(kind))
    try:
        convert(value, kind)
    except (ValueError, OverflowError):
        return False
    return True


def describe_type(annotation: Any) -> str:
    """The annotation as a person writes it."""
    if annotation is Any:
        return "any"
    if annotation is type(None):
        return "none"
    if get_origin(annotation) in _UNION_TYPES:
        return " or ".join(describe_type(arg) for arg in get_args(annotation))
    if get_origin(annotation) is Literal:
        return " or ".join(str(arg) for arg in get_args(annotation))
    if get_origin(annotation) is None and isinstance(annotation, type):
        return annotation.__name__
    return str(annotation).replace("typing.", "")


def _convert_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _TRUE | _FALSE:
        return value.lower() in _TRUE
    raise ValueError("not a boolean")


def _convert_int(value: object) -> int:
    if isinstance(value, str):
        return parse_whole(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    raise ValueError("not a whole number")


def _convert_float(value: object) -> float:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        number = float(value)
        if math.isfinite(number):
            return number
    raise ValueError("not a finite number")


def _convert_str(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("not text")


def _convert_none(value: object) -> None:
    if value is not None and not (isinstance(value, str) and value.lower() in ("none", "null", "")):
        raise ValueError("not none")


_SCALARS: dict[Any, Callable[[object], Any]] = {
    bool: _convert_bool,
    int: _convert_int,
    float: _convert_float,
    str: _convert_str,
    type(None): _convert_none,
}


def _convert_union(value: object, args: tuple[Any, ...]) -> Any:
    """The first alternative that fits, the stricter ones first: "3" is an int before a float before a str."""
    order = {type(None): 0, bool: 1, int: 2, float: 3, str: 5}
    for arg in sorted(args, key=lambda a: order.get(a, 4)):
        if arg is bool and isinstance(value, str) and value in "01":
            continue  # "1" for `bool | int` is a number
        try:
            return convert(value, arg)
        except ValueError:
            continue
    raise ValueError("none of the types")


def _convert_literal(value: object, choices: tuple[Any, ...]) -> Any:
    for choice in choices:
        if value == choice or (isinstance(value, str) and value == str(choice)):
            return choice
    raise ValueError("none of the choices")


def _convert_sequence(value: object, kind: Any, args: tuple[Any, ...]) -> Any:
    items = _items(value) if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise ValueError("not a sequence")
    items = [item for item in items if item != ""]
    if kind is tuple and args and args[-1] is not Ellipsis:
        if len(items) != len(args):
            raise ValueError(f"a tuple of {len(args)}")
        return tuple(convert(item, arg) for item, arg in zip(items, args, strict=True))
    converted = [convert(item, args[0] if args else Any) for item in items]
    return tuple(converted) if kind is tuple else converted


def _items(text: str) -> list[str]:
    """The items of a sequence that is given as text: separated by commas, in brackets or not.

    In a JSON list of texts, an item may have commas and brackets of its own.
    """
    text = text.strip()
    texts = _from_json(text) if text.startswith("[") else None
    if isinstance(texts, list) and all(isinstance(item, str) for item in texts):
        return texts
    return [item.strip() for item in (text[1:-1] if is_enclosed(text) else text).split(",")]


def is_enclosed(text: str) -> bool:
    """Whether the first character is a bracket that the last one closes."""
    if text[:1] + text[-1:] not in ("()", "[]"):
        return False
    depths = list(itertools.accumulate((c == text[0]) - (c == text[-1]) for c in text))
    return 0 not in depths[:-1]


def as_text(value: object) -> str:
    """A value as it is given on the command line, where `convert` reads the same from it."""
    if not isinstance(value, list | tuple):
        return str(value)
    joined = ",".join(map(as_text, value))
    if all(isinstance(item, str) for item in value) and _convert_sequence(joined, list, (str,)) != list(value):
        return json.dumps(list(value), ensure_ascii=False)
    return joined


def is_object_path(value: object) -> bool:
    """Whether a value names an object to import: `package.module:attribute`."""
    return isinstance(value, str) and _OBJECT_PATH.fullmatch(value) is not None


def is_number(value: object) -> bool:
    """Whether a value is a number; true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_plain(value: object) -> bool:
    """Whether JSON can hold it."""
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool | int | str)


def is_scalar(kind: type[Any]) -> bool:
    """Whether values of this type can be given as text."""
    return kind in _SCALARS


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
