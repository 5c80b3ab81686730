"""The groups of characters of an embedding map, and the fonts that have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib import font_manager

from zoo.plots.characters import code_point, kind_of_character, shown_character
from zoo.plots.figures.style import AMBER, BLUE, FONT, GREEN, INK, ORANGE, PAPER, PINK, SKY

_BOUNDARIES = {".": "start and end (.)", "\n": "start and end (⏎)", "": "start"}


class Group(NamedTuple):
    """A kind of character: its text in the legend, and how its dots look."""

    name: str
    colour: str
    square: bool = False
    rim: str | None = None  # of the dot; None: that of the background


BOUNDARY = "boundary"  # whose text depends on the vocabulary
_GROUPS = {
    "vowels": Group("vowels", ORANGE),
    "letters": Group("other letters", BLUE),
    "accented vowels": Group("accented vowels", AMBER),
    "accented letters": Group("accented letters", SKY),
    "uppercase vowels": Group("uppercase vowels", ORANGE, square=True),
    "uppercase letters": Group("uppercase letters", BLUE, square=True),
    "uppercase accented vowels": Group("uppercase accented vowels", AMBER, square=True),
    "uppercase accented letters": Group("uppercase accented letters", SKY, square=True),
    "digits": Group("digits", GREEN),
    "symbols": Group("symbols", PINK),
    "spaces": Group("spaces and the like", PAPER, rim=INK),
    BOUNDARY: Group("", INK),
    "q": Group("q", "#6f3c8f"),
}


def groups(labels: Sequence[str]) -> list[tuple[Group, list[int]]]:
    """The groups that there are, and the rows of each.

    Args:
        labels: V characters; the first may be the boundary.
    """
    boundary = _BOUNDARIES.get(labels[0]) if labels else None
    kinds = [kind_of_character(label) for label in labels]
    if boundary is not None:
        kinds[0] = BOUNDARY
    if {*labels[boundary is not None :]} <= {*"abcdefghijklmnopqrstuvwxyz"}:  # as in the lecture, which points at it
        kinds = ["q" if label == "q" else kind for label, kind in zip(labels, kinds, strict=True)]
    found = [(key, [row for row, kind in enumerate(kinds) if kind == key]) for key in _GROUPS]
    names = {"letters": _letters(kinds), BOUNDARY: boundary or ""}
    return [(_GROUPS[key]._replace(name=names.get(key) or _GROUPS[key].name), rows) for key, rows in found if rows]


def _letters(kinds: Sequence[str]) -> str:
    """What letters are called: without vowels among them, these may be of any script."""
    if any("vowels" in kind for kind in kinds):
        return "other letters"
    return "characters" if set(kinds) <= {"letters", BOUNDARY, "q"} else "letters"


def legible(labels: Sequence[str]) -> tuple[list[str], list[str]]:
    """Font families that together have the characters, and the text for each: its code point if no font has it."""
    families = [FONT]
    default = font_manager.findfont(font_manager.FontProperties(family=families))
    texts = [shown_character(label) for label in labels]
    missing = {c for c in "".join(texts) if not font_manager.get_font(default).get_char_index(ord(c))}
    for entry in sorted(font_manager.fontManager.ttflist, key=lambda font: (font.name, font.fname)):
        if not missing:
            break
        if entry.style != "normal" or entry.name.startswith("Last Resort"):
            continue
        font = font_manager.get_font(entry.fname)
        found = {c for c in missing if font.get_char_index(ord(c))}
        if found:
            families.append(entry.name)
            missing -= found
    return families, [
        code_point(label) if len(label) == 1 and missing & {*text} else text
        for label, text in zip(labels, texts, strict=True)
    ]
