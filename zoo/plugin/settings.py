"""Typed settings, read off a factory's signature: `--set model.hidden_size=300` for any plugin, checked.

A keyword argument's name, annotation and default are all the configuration there is.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
import types
import typing
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.errors import PluginError, UnknownNameError, UsageError, suggest
from zoo.numbers import LARGEST_COUNT, LARGEST_SEED, show_value, too_large
from zoo.options.values import convert, describe_type, is_number, is_plain, is_scalar
from zoo.phrasing import option, setting, setting_name
from zoo.plugin.calling import is_of_plugin
from zoo.plugin.registry import Entry
from zoo.plugin.specs import ModelSpec

REQUIRED: Any = inspect.Parameter.empty


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
    """What a factory can be given: `settings` by the user, and `inputs` by zoo, where it asks for them by name."""

    def __init__(self, factory: Callable[..., Any], inputs: Collection[str] = ()) -> None:
        parameters, hints = _read_once(factory)
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        self.inputs = {p.name: p.default for p in named if p.name in inputs}
        self.settings = {
            p.name: Setting(p.name, hints.get(p.name, _guess(p.default)), p.default)
            for p in named
            if p.name not in inputs
        }

    def resolve(
        self, section: str, given: Mapping[str, object], who: str = "this factory", *, partial: bool = False
    ) -> dict[str, Any]:
        """The value of every setting: what was given, checked and converted, and the defaults of the rest.

        Args:
            section: one of `zoo.plugin.specs.SECTIONS`, for messages.
            given: text (from a command line) or values (from Python).
            who: whose settings they are, for messages: `model 'trigram'`.
            partial: leave out what is not given and has no default: the data may provide it.

        Raises:
            UnknownNameError: a key that the factory does not have.
            UsageError: a value of the wrong type, a path, or none where there is no default.
        """
        for name in given:
            if name not in self.settings:
                near = suggest(name, self.settings, prefix=setting_name(section, ""))
                raise UnknownNameError(f"{who} has no setting '{setting_name(section, name)}'; {near}")
        values = {}
        for name, one in self.settings.items():
            if name in given:
                key = setting_name(section, name)
                _refuse_path(key, given[name], one)
                values[name] = _convert_named(key, given[name], one.annotation)
            elif one.default is REQUIRED:
                if not partial:
                    key = setting_name(section, name)
                    raise UsageError(f"'{key}' has no default: give it with {setting(f'{section}.{name}', 'VALUE')}")
            else:
                values[name] = _as_annotated(one)
                if not is_plain(values[name]):
                    raise PluginError(
                        f"{who} has a default that no config can hold: '{section}.{name}' is {one.default!r}; "
                        "a setting is a finite number, text, true, false, none, or a list of these"
                    )
        return values


def signature_of(entry: Entry[Any], provided: Collection[str] = ()) -> Signature:
    """The signature of what a plugin registered.

    Args:
        entry: of the plugin.
        provided: names of arguments that the data provides, which are then no settings.

    Raises:
        PluginError: it cannot be imported, or has no signature that Python can read.
    """
    return Signature(entry.factory(), (*entry.spec.inputs, *fitted_arguments(entry), *provided))


def fitted_arguments(entry: Entry[Any]) -> tuple[str, ...]:
    """The constructor's arguments that the model's method `fit` decides; none for one that is trained.

    A plugin from before specs had the field `fitted` called its argument `fitted_size`.
    """
    if not isinstance(entry.spec, ModelSpec) or entry.spec.fitted:
        return getattr(entry.spec, "fitted", ())
    before = ("fitted_size",)
    return before if Signature(entry.factory(), before).inputs else ()


def is_fitted(entry: Entry[ModelSpec]) -> bool:
    """Whether a model is fitted to its data, and not trained."""
    return bool(fitted_arguments(entry))


def resolve_settings(
    entry: Entry[Any], given: Mapping[str, object], provided: Collection[str] = (), *, partial: bool = False
) -> dict[str, Any]:
    """`Signature.resolve` for what a plugin registered; the data may provide arguments of some names.

    A model that reads sequences has the setting `max_length` too, if it is given: the positions of a block of running
    text, which its data does not decide.
    """
    given, signature = settings_under_todays_names(entry, given), signature_of(entry, provided)
    blocks = "max_length" in given and "max_length" not in signature.settings
    if blocks and isinstance(entry.spec, ModelSpec) and entry.spec.reads == "sequences":
        signature.settings["max_length"] = Setting("max_length", int, REQUIRED)
    values = signature.resolve(entry.spec.section, given, entry.title, partial=partial)
    if blocks and values["max_length"] < 1:
        raise UsageError(f"'model.max_length' must be at least 1, got {values['max_length']}")
    return values


def check_provided(entry: Entry[Any], inputs: Mapping[str, Any], provided: Collection[str]) -> None:
    """Check the types and sizes of numbers and text that a config says the data provided.

    Raises:
        UsageError: one is of another type than its argument, or is too large.
    """
    for name, one in signature_of(entry).settings.items():
        if name in inputs and name in provided and is_scalar(one.annotation):
            _convert_named(f"{entry.spec.section}.{name}", inputs[name], one.annotation)


def settings_under_todays_names(entry: Entry[Any], given: Mapping[str, object]) -> dict[str, Any]:
    """Settings of a model, those that were renamed under their names now.

    Raises:
        UsageError: a setting is given under both names.
    """
    prefix = f"{entry.spec.section}."
    renamed = {
        old.removeprefix(prefix): new.removeprefix(prefix)
        for old, new in getattr(entry.spec, "renamed", {}).items()
        if old.startswith(prefix)
    }
    for old in given.keys() & renamed.keys():
        if renamed[old] in given:
            raise UsageError(f"'{prefix}{old}' is the old name of '{prefix}{renamed[old]}': give one of them")
    return {renamed.get(name, name): value for name, value in given.items()}


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
            form = "SECTION.KEY=VALUE, as in model.hidden_size=300"
            raise UsageError(f"{option('settings')} takes {form}, not {show_value(assignment)}")
        if key in parsed:
            raise UsageError(f"{option('settings')} gives {key!r} twice")
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
        section, _, name = str(key).partition(".")
        if section not in split or not name:
            known = ", ".join(f"{section}.KEY" for section in sections)
            raise UsageError(f"no setting {key!r}: settings are {known}")
        split[section][name] = value
    return split


def _refuse_path(key: str, value: object, setting: Setting) -> None:
    """A config names no place of this machine, because a run must load on another, so no setting can be a path.

    Raises:
        UsageError: the value is a path, or is to be one.
    """
    kinds = list(_kinds(setting.annotation))
    is_path = any(isinstance(kind, type) and issubclass(kind, os.PathLike) for kind in kinds)
    text = str in kinds and isinstance(value, str)
    if isinstance(value, os.PathLike) or (is_path and not text and value not in (None, "none", "null", "")):
        raise UsageError(
            f"'{key}' cannot be the path {show_value(str(value))}: a run records no path of this machine, so that it "
            f"loads on another; its plugin can take text (str), or fetch a file by its digest"
        )


def _kinds(annotation: Any) -> Iterator[Any]:
    """A type and all types in it, but for the `str` of `os.PathLike[str]`."""
    kind = typing.get_origin(annotation) or annotation
    yield kind
    for part in () if kind is os.PathLike else typing.get_args(annotation):
        yield from _kinds(part)


def _as_annotated(setting: Setting) -> Any:
    """A default in the type of its annotation (`float = 0` is 0.0), as it would come from the command line."""
    try:
        return convert(setting.default, setting.annotation)
    except ValueError:
        return setting.default


def _convert_named(key: str, value: object, annotation: Any) -> Any:
    try:
        converted = convert(value, annotation)
    except (ValueError, OverflowError) as error:
        detail = f": {error}" if str(error).startswith("a ") else ""
        raise UsageError(f"'{key}' takes {describe_type(annotation)}, not {show_value(value)}{detail}") from error
    largest = LARGEST_SEED if key.endswith("seed") else LARGEST_COUNT
    problem = next(filter(None, (too_large(one, largest) for one in _numbers(converted))), None)
    if problem is not None:
        raise UsageError(f"'{key}' {problem}")
    return converted


def _numbers(value: Any) -> Iterator[int | float]:
    """The numbers in a value of a setting."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(item)
    elif is_number(value):
        yield value


def _guess(default: Any) -> Any:
    """The type of an argument without annotation: its default's, if that tells."""
    return type(default) if is_scalar(type(default)) and default is not None else Any


_READ: MutableMapping[Any, tuple[list[inspect.Parameter], dict[str, Any]]] = weakref.WeakKeyDictionary()


def _read_once(factory: Callable[..., Any]) -> tuple[list[inspect.Parameter], dict[str, Any]]:
    """Its parameters and their types, which take a millisecond to read, some twenty times in a run.

    Raises:
        PluginError: it has no signature.
    """
    with contextlib.suppress(TypeError, KeyError):  # one without a hash is read each time
        return _READ[factory]
    try:
        read = list(inspect.signature(factory).parameters.values()), _type_hints(factory)
    except (TypeError, ValueError) as error:
        raise PluginError(f"{factory!r} has no signature that Python can read") from error
    with contextlib.suppress(TypeError):
        _READ[factory] = read
    return read


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
    except BaseException as error:  # an annotation may hold any expression
        if not is_of_plugin(error):
            raise
        return Any
