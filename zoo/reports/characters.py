"""The characters of a vocabulary as a page shows them: a label that can be seen, and a kind, which has a colour."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from zoo.text import visible

# Kinds with their colours, which are variables of page.css.
KINDS = {
    "vowel": "warm",
    "consonant": "accent",
    "accented letter": "run-3",
    "other letter": "run-5",
    "digit": "good",
    "symbol": "run-4",
    "space": "run-6",
    "start and end": "ink",
}
_LABELS = {"": "start", " ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍", "\u00a0": "⍽"}
_VOWELS = frozenset("aeiouAEIOU")


def labels_of(characters: Sequence[str]) -> list[str]:
    """What stands for each: itself, or what is seen of it."""
    return [_LABELS.get(character, visible(character)) for character in characters]


def kinds_of(characters: Sequence[str]) -> list[str]:
    """The kind of each, one of `KINDS`. The first is the boundary, as in a vocabulary."""
    return [_kind(character) if i else "start and end" for i, character in enumerate(characters)]


def _kind(character: str) -> str:
    if character.isspace():
        return "space"
    if character.isascii() and character.isalpha():
        return "vowel" if character in _VOWELS else "consonant"
    if character.isalpha():
        base = unicodedata.normalize("NFD", character)[0]
        return "accented letter" if base.isascii() and base.isalpha() else "other letter"
    return "digit" if character.isdigit() else "symbol"
