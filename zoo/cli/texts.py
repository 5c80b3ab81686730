"""Texts that a person gives to a model: as arguments, or on standard input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import DataError, UsageError

if TYPE_CHECKING:
    from zoo.storage.loading import Loaded

STDIN = "-"

_ESCAPES = {"\\n": "\n", "\\t": "\t"}


def as_meant(text: str, loaded: Loaded) -> str:
    """An argument as the model gets it: in running text `\\n` is a newline, unless the model knows a backslash."""
    vocabulary = loaded.checked.vocabulary
    if loaded.samples_words or (vocabulary is not None and "\\" in vocabulary.stoi):
        return text
    for escape, character in _ESCAPES.items():
        text = text.replace(escape, character)
    return text


def read_stdin() -> str:
    """All of standard input.

    Raises:
        UsageError: it is closed, or not text.
    """
    if sys.stdin is None:
        raise UsageError("- is standard input, and that is closed")
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise UsageError(f"standard input is not text in {error.encoding}: {error.reason}") from error


def read_text_file(path: Path) -> str:
    """A text in UTF-8.

    Raises:
        DataError: it cannot be read, or is not UTF-8.
    """
    from zoo.files import read_text

    try:
        return read_text(path)
    except OSError as error:
        raise DataError(f"cannot read {error.filename or path}: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"{path} is not text in UTF-8: {error}") from error
