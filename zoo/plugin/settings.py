"""Typed settings, read off a factory's signature: `--set model.hidden_size=300` for any plugin, checked.

A keyword argument's name, annotation and default are all the configuration there is.
"""

from __future__ import annotations

import inspect
import json
import math
import sys
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from zoo.errors import PluginError, UnknownNameError, UsageError
from zoo.plugin.registry import suggest

REQUIRED: Any = inspect.Parameter.empty

_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}
_UNION_TYPES = (Union, types.UnionType)


@dataclass(frozen=True)
class Setting:
    """One keyword argument of a factory."""

    name: str
    annotation: Any
    default: Any

    @property
    def type_name(self) -> str:
        return describe_type(self.annotation)


class Signature:
    """What a factory can be told: `settings` by the user, and `inputs` by zoo, where it asks for them by name."""

    def __init__(self, factory: Callable[..., Any], inputs: Collection[str] = ()) -> None:
        try:
            parameters = list(inspect.signature(factory).parameters.values())
        except (TypeError, ValueError) as error:
            raise PluginError(f"{factory!r} has no signature that Python can read") from error
        hints = _type_hints(factory)
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        self.inputs = {p.name: p.default for p in named if p.name in inputs}
        self.settings = {
            p.name: Setting(p.name, hints.get(p.name, _guess(p.default)), p.default)
            for p in named
            if p.name not in inputs
        }

    def resolve(self, section: str, given: Mapping[str, object], who: str = "this factory") -> dict[str, Any]:
        """The value of every setting: what was given, checked and converted, and the defaults of the rest.

        Args:
            section: `model`, `data` or `optimizer`, for messages.
            given: text (from a command line) or values (from Python).
            who: whose settings they are, for messages: `model 'trigram'`.

        Raises:
            UnknownNameError: a key that the factory does not have.
            UsageError: a value of the wrong type, or none where there is no default.
        """
        for name in given:
            if name not in self.settings:
                near = suggest(name, self.settings, prefix=f"{section}.")
                raise UnknownNameError(f"{who} has no setting '{section}.{name}'; {near}")
        values = {}
        for name, setting in self.settings.items():
            if name in given:
                values[name] = _convert_named(f"{section}.{name}", given[name], setting.annotation)
            elif setting.default is REQUIRED:
                raise UsageError(f"'{section}.{name}' has no default: give it with --set {section}.{name}=VALUE")
            else:
                values[name] = _as_annotated(setting)
                if not _is_plain(values[name]):
                    raise PluginError(
                        f"{who} has a default that no config can hold: '{section}.{name}' is {setting.default!r}; "
                        "a setting is a finite number, text, true, false, none, or a list of these"
                    )
        return values


def parse_assignments(assignments: Sequence[str], sections: Sequence[str]) -> dict[str, str]:
    """`["model.hidden_size=300"]` to `{"model.hidden_size": "300"}`.

    Raises:
        UsageError: an item that is not SECTION.KEY=VALUE, names another section, or sets a key twice.
    """
    parsed: dict[str, str] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        key = key.strip()
        if not equals or "." not in key:
            raise UsageError(f"--set takes SECTION.KEY=VALUE, as in model.hidden_size=300, not {assignment!r}")
        if key in parsed:
            raise UsageError(f"--set gives {key!r} twice")
        parsed[key] = value.strip()
    split_sections(parsed, sections)
    return parsed


def split_sections(settings: Mapping[str, object], sections: Sequence[str]) -> dict[str, dict[str, object]]:
    """`{"model.hidden_size": 300}` to `{"model": {"hidden_size": 300}, "data": {}, ...}`.

    Raises:
        UsageError: a key with another section, or with none.
    """
    split: dict[str, dict[str, object]] = {section: {} for section in sections}
    for key, value in settings.items():
        section, _, name = key.partition(".")
        if section not in split or not name:
            known = ", ".join(f"{section}.KEY" for section in sections)
            raise UsageError(f"no setting {key!r}: settings are {known}")
        split[section][name] = value
    return split


def convert(value: object, annotation: Any) -> Any:
    """A value of the annotated type: text is parsed, anything else is checked.

    Raises:
        ValueError: it is not of that type.
    """
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
    if converter is None:
        raise ValueError(f"a {describe_type(annotation)}, which cannot be given as text")
    return converter(value)


def describe_type(annotation: Any) -> str:
    """The annotation as a person writes it."""
    if annotation is Any or annotation is REQUIRED:
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


def _as_annotated(setting: Setting) -> Any:
    """A default in the type of its annotation (`float = 0` is 0.0), as it would come from the command line."""
    try:
        return convert(setting.default, setting.annotation)
    except ValueError:
        return setting.default


def _is_plain(value: object) -> bool:
    """Whether JSON can hold it."""
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool | int | str)


def _convert_named(key: str, value: object, annotation: Any) -> Any:
    try:
        return convert(value, annotation)
    except (ValueError, OverflowError) as error:
        detail = f": {error}" if str(error).startswith("a ") else ""
        raise UsageError(f"'{key}' takes {describe_type(annotation)}, not {value!r}{detail}") from error


def _convert_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _TRUE | _FALSE:
        return value.lower() in _TRUE
    raise ValueError("not a boolean")


def _convert_int(value: object) -> int:
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
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
    items = value.strip("()[] ").split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise ValueError("not a sequence")
    items = [item.strip() if isinstance(item, str) else item for item in items if item != ""]
    if kind is tuple and args and args[-1] is not Ellipsis:
        if len(items) != len(args):
            raise ValueError(f"a tuple of {len(args)}")
        return tuple(convert(item, arg) for item, arg in zip(items, args, strict=True))
    converted = [convert(item, args[0] if args else Any) for item in items]
    return tuple(converted) if kind is tuple else converted


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _guess(default: Any) -> Any:
    """The type of an argument without annotation: its default's, if that tells."""
    return type(default) if type(default) in _SCALARS and default is not None else Any


def _type_hints(factory: Callable[..., Any]) -> dict[str, Any]:
    """The annotations as types; one that cannot be resolved (a name imported for type checkers only) is `Any`."""
    target: Any = factory.__init__ if isinstance(factory, type) else factory  # type: ignore[misc]  # of this very class
    target = inspect.unwrap(target)
    module = sys.modules.get(getattr(target, "__module__", None) or "")
    return {
        name: _resolve_hint(name, hint, vars(module) if module else {})
        for name, hint in getattr(target, "__annotations__", {}).items()
    }


def _resolve_hint(name: str, hint: Any, namespace: Mapping[str, Any]) -> Any:
    holder = types.SimpleNamespace(__annotations__={name: hint})
    try:
        return typing.get_type_hints(holder, globalns=dict(namespace))[name]
    except Exception:  # an annotation may hold any expression
        return Any
