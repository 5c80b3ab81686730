"""The characters of a vocabulary as a page shows them: a label that can be seen, and a kind, which has a colour."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.plots.characters import kind_of_character, shown_character

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
_NAMES = {"vowels": "vowel", "digits": "digit", "symbols": "symbol", "spaces": "space"}  # of kinds with another name


def labels_of(characters: Sequence[str]) -> list[str]:
    """What stands for each: itself, or what is seen of it."""
    return [shown_character(character) for character in characters]


def kinds_of(characters: Sequence[str]) -> list[str]:
    """The kind of each, one of `KINDS`. The first is the boundary, as in a vocabulary."""
    return [_kind(character) if i else "start and end" for i, character in enumerate(characters)]


def _kind(character: str) -> str:
    kind = kind_of_character(character).removeprefix("uppercase ")
    if kind.startswith("accented"):
        return "accented letter"
    letter = "consonant" if character.isascii() else "other letter"
    return _NAMES.get(kind, letter)
