"""The kind of a character, by Unicode, and what is shown of it."""

from __future__ import annotations

import unicodedata

_VOWELS = frozenset("aeiou")
_NOT_COMPOSED = {"æ": "a", "ø": "o", "œ": "o", "ı": "i", "ł": "l", "đ": "d", "ð": "d", "þ": "t", "ß": "s", "ħ": "h"}
# Labels that would not be seen. Any other character that is not seen is shown by its code point.
_VISIBLE = {"": "start", "\n": "⏎", "\t": "⇥", " ": "␣"}
_UNSEEN = ("Z", "C")  # categories of Unicode: separators; control and format characters, and what is not assigned
_BLANK = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")  # of other categories, and empty in any font
_HOLDER = "◌"  # for a mark that belongs to the letter before it


def kind_of_character(label: str) -> str:
    """Its kind: `vowels`, `uppercase accented letters`, `digits`; accents are what decomposing a letter leaves."""
    category = unicodedata.category(label) if len(label) == 1 else "Cn"
    if category[0] in _UNSEEN or label in _BLANK:
        return "spaces"
    if category[0] == "N":
        return "digits"
    if category[0] != "L":
        return "symbols"
    lower = label.lower()
    base = _NOT_COMPOSED.get(lower) or unicodedata.normalize("NFD", lower)[0]
    latin = base.isascii()
    accented = "accented " if latin and base != lower else ""
    upper = "uppercase " if latin and category == "Lu" else ""
    return f"{upper}{accented}{'vowels' if base in _VOWELS else 'letters'}"


def shown_character(label: str) -> str:
    """What a plot shows of a character, which is seen in any case: `␣` for a space, `00AD` for a soft hyphen."""
    if label in _VISIBLE:
        return _VISIBLE[label]
    if len(label) != 1:
        return label
    category = unicodedata.category(label)
    if category[0] in _UNSEEN or label in _BLANK:
        return code_point(label)
    return _HOLDER + label if category[0] == "M" else label


def code_point(label: str) -> str:
    """Its number in Unicode, in hexadecimal digits."""
    return f"{ord(label):04X}"
