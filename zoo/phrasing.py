"""How a message names an option, a setting or a command: as it is typed, or as Python code has it.

Who is told is known by where the call began: the command line says so for all that is done within it, and everything
else is Python. Every message that names one of these does so through the functions below, so that the same error reads
`--lr` for one and `lr` for the other.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from zoo.text import quoted, quoted_path

if TYPE_CHECKING:
    from pathlib import Path

_typed: ContextVar[bool] = ContextVar("typed", default=False)  # whether a person typed a command
_launcher: ContextVar[str] = ContextVar("launcher", default="")  # what a person types before `zoo`
_keywords: ContextVar[str] = ContextVar("keywords", default="")  # the section whose settings are plain arguments

_FLAGS = {"settings": "--set", "plots": "--no-plots"}  # whose names are not the option's
TRAINS = ("run", "resume", "sweep")  # the commands that several processes do together
_NO_TEXT = ("VALUE", "N", "K", "...")  # which stand for a value that is no text


@contextlib.contextmanager
def command_line() -> Iterator[None]:
    """A block that a command is done in."""
    token = _typed.set(True)
    try:
        yield
    finally:
        _typed.reset(token)


@contextlib.contextmanager
def launched_by(words: str) -> Iterator[None]:
    """A block in which a command that trains is typed behind these words: `torchrun --nproc-per-node 2 -m `."""
    token = _launcher.set(words)
    try:
        yield
    finally:
        _launcher.reset(token)


@contextlib.contextmanager
def settings_as_arguments(section: str) -> Iterator[None]:
    """A block of a Python function whose keyword arguments are the settings of a section, such as `data`."""
    token = _keywords.set(section)
    try:
        yield
    finally:
        _keywords.reset(token)


def told(*, typed: str, python: str) -> str:
    """A part of a message, for a person at the command line or for Python code."""
    return typed if _typed.get() else python


def option(name: str, value: Any = None) -> str:
    """An option by its Python name: `--batch-size` or `batch_size`; with a value, `--lr 0.1` or `lr=0.1`.

    True stands for an option that is given without a value: `--allow-changes` or `allow_changes=True`.
    """
    flag = _FLAGS.get(name) or f"--{name.replace('_', '-')}"
    if value is None:
        return told(typed=flag, python=name)
    typed = flag if value is True else f"{flag} {quoted(str(value))}"
    return told(typed=typed, python=f"{name}={_literal(value)}")


def options(*parts: str) -> str:
    """Several options, or settings, that are given together."""
    return told(typed=" ".join(parts), python=", ".join(parts))


def setting_name(section: str, name: str) -> str:
    """A setting by its name: `data.split`; or `split`, where it is a plain argument."""
    return name if not _typed.get() and section == _keywords.get() else f"{section}.{name}"


def setting(key: str, value: Any, text: str | None = None) -> str:
    """A setting with its value: `--set data.drop=a` or `settings={"data.drop": "a"}`; `drop="a"` as an argument.

    Args:
        key: `SECTION.KEY`.
        value: the value; or `VALUE`, which stands for any.
        text: how it is typed; by default as text, in lower case where it is none.
    """
    section, _, name = key.partition(".")
    if not _typed.get() and section == _keywords.get():
        return f"{name}={_literal(value)}"
    if text is None:
        text = value if isinstance(value, str) else str(value).lower()
    return told(typed=f"--set {quoted(f'{key}={text}')}", python=f"settings={{{_literal(key)}: {_literal(value)}}}")


def command(name: str, target: str | Path | Sequence[str] | None = None, /, **options: Any) -> str:
    """A command that is to be used next: `zoo resume runs/a --device cpu` or `zoo.resume("runs/a", device="cpu")`.

    A list is typed with commas, and the option `settings`, a mapping, as one `--set` for each of its keys.
    """
    launcher = _launcher.get() if name in TRAINS else ""
    typed = [f"{launcher}zoo {name}", *([] if target is None else [quoted_path(_as_typed(target))])]
    typed += [option_typed for one in options.items() if (option_typed := _typed_option(*one))]
    arguments = [] if target is None else [_literal(target)]
    arguments += [f"{key}={_literal(value)}" for key, value in options.items()]
    return told(typed=" ".join(typed), python=f"zoo.{name}({', '.join(arguments)})")


def _typed_option(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{_FLAGS[name]} {quoted(f'{key}={_as_typed(one)}')}" for key, one in value.items())
    flag = f"--{name.replace('_', '-')}"
    return flag if value is True else f"{flag} {quoted(_as_typed(value))}"


def _as_typed(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _literal(value: Any) -> str:
    """A value as Python code."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_literal(key)}: {_literal(one)}' for key, one in value.items())}}}"
    if value in _NO_TEXT:
        return str(value)
    if not isinstance(value, str | os.PathLike):
        return repr(value)
    import json  # here, because the list of commands does not need it

    return json.dumps(str(value), ensure_ascii=False)
