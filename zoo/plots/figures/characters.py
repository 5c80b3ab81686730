"""The characters of an embedding map: what is shown of each, and their groups."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib import font_manager

from zoo.plots.figures.style import BLUE, FONT, INK, ORANGE

_VOWELS = frozenset("aeiouAEIOU")
_VISIBLE = {"": "start", "\n": "⏎", "\t": "⇥", " ": "␣"}  # labels that would not be seen
_BOUNDARIES = {".": "start and end (.)", "\n": "start and end (⏎)", "": "start"}


def legible(labels: Sequence[str]) -> tuple[list[str], list[str]]:
    """Font families that together have the characters, and the text for each: its code point if no font has it."""
    families = [FONT]
    default = font_manager.findfont(font_manager.FontProperties(family=families))
    texts = [_VISIBLE.get(label, label) for label in labels]
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
    return families, [f"{ord(text):04X}" if text in missing else text for text in texts]


def groups(labels: Sequence[str]) -> list[tuple[str, list[int], str]]:
    """Legend text, rows and colour of each kind of character."""
    boundary = _BOUNDARIES.get(labels[0]) if labels else None
    first = 0 if boundary is None else 1
    vowels = [i for i, c in enumerate(labels) if c in _VOWELS]
    others = [i for i, c in enumerate(labels) if c not in _VOWELS and c != "q" and i >= first]
    letters = all(labels[i].isalpha() for i in others)
    return [
        ("vowels" if vowels else "", vowels, ORANGE),
        ("characters" if not vowels else "other letters" if letters else "other characters", others, BLUE),
        (boundary or "", list(range(first)), INK),
        ("q", [i for i, c in enumerate(labels) if c == "q"], "#8e44ad"),
    ]
