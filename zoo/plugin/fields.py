"""What a field of a spec may hold, and the message for one that holds something else.

A spec comes from a plugin, and its values are used much later: in a list of all models, for instance, which one wrong
value would end. So each field is checked when the record is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from zoo.numbers import show_value
from zoo.options.values import is_object_path

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


class Holds(NamedTuple):
    """The values that a field may have: in words, to be put behind "must be", and as a test."""

    words: str
    test: Callable[[Any], bool]


def is_name(value: object) -> bool:
    """Whether a value may be the name of a model, a dataset, an optimizer, an engine or a preset."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def is_factory(value: object) -> bool:
    return callable(value) or is_object_path(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_texts(value: object) -> bool:
    return isinstance(value, tuple) and all(map(_is_text, value))


def _is_identifiers(value: object) -> bool:
    return _is_texts(value) and all(name.isidentifier() for name in value)  # type: ignore[attr-defined]  # a tuple


def _is_inside(value: object) -> bool:
    return isinstance(value, str) and all(value.partition(":")[::2])


TEXT = Holds("text", _is_text)
TEXTS = Holds("a tuple of texts, as in ('Bengio et al., 2003',)", _is_texts)
ARGUMENTS = Holds("a tuple of arguments' names, as in ('table_size',)", _is_identifiers)
ARGUMENT = Holds("the name of an argument, such as 'hidden_size'", lambda value: _is_identifiers((value,)))
NAME = Holds("a name of lower-case letters, digits, '.', '_' and '-'", is_name)
FACTORY = Holds("'package.module:attribute' or callable", is_factory)
IDENTIFIER = Holds("a name of letters, digits and '_'", lambda value: isinstance(value, str) and value.isidentifier())
READS = Holds("'windows' or 'sequences'", lambda value: isinstance(value, str) and value in ("windows", "sequences"))
PARAMETER = Holds("the name of a parameter, such as 'embedding.weight'", lambda value: _is_text(value) and value != "")
WEIGHTS = Holds("'package:path'", _is_inside)
FLAG = Holds("True or False", lambda value: isinstance(value, bool))
MAPPING = Holds("a mapping", lambda value: isinstance(value, Mapping))


def optional(holds: Holds) -> Holds:
    """The same values, or None, which goes without saying."""
    return Holds(holds.words, lambda value: value is None or holds.test(value))


def check_fields(record: object, fields: Mapping[str, Holds]) -> None:
    """Check fields of a record, in their order.

    Raises:
        ValueError: the first that holds something else.
    """
    for name, holds in fields.items():
        check_value(name, getattr(record, name), holds)


def check_value(name: str, value: object, holds: Holds) -> None:
    """Raise ValueError if a value is not one that its field, called `name` in the message, may hold."""
    if not holds.test(value):
        raise ValueError(f"{name} must be {holds.words}, got {show_value(value)}")


def check_named(name: object, factory: object) -> None:
    """Raise ValueError if a name or a factory is none."""
    if not NAME.test(name):
        raise ValueError(f"a name is made of {NAME.words.removeprefix('a name of ')}, got {name!r}")
    check_value(f"the factory of {name!r}", factory, FACTORY)
