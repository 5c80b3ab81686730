"""What an embedding map shows of each character, and how it tells their kinds apart."""

from __future__ import annotations

import itertools
import math
import unicodedata
from typing import Any

import pytest
from matplotlib.colors import to_rgb

from zoo.plots.characters import code_point, shown_character
from zoo.plots.figures.characters import groups, legible
from zoo.plots.figures.embeddings import draw_embeddings
from zoo.plots.figures.style import INK, PAPER, luminance

KINDS = {
    "vowels": "aeiou",
    "other letters": "bcdwyz",
    "accented vowels": "áèîöůæøœıåāąǎậ",
    "accented letters": "çñšžłđþßģ",
    "uppercase vowels": "AEIOU",
    "uppercase letters": "BCDQXYZ",
    "uppercase accented vowels": "ÁÈÖÆØŐ",
    "uppercase accented letters": "ÇÑŠŁÞ",
    "digits": "0189½²٣४",
    "symbols": "'-.,&!$|_ªº€→😀\u0301\u20dd".replace("ª", "").replace("º", ""),
    "spaces and the like": " \t\u00a0\u2003\u200b\u200d\u00ad\ufeff\u2028\x00\x1b\u3164\u2800\ue000",
}
UNSEEN = KINDS["spaces and the like"]


@pytest.mark.parametrize("kind", KINDS)
def test_each_character_is_in_its_group(kind: str) -> None:
    labels = ["", "a", "b", *KINDS[kind]]
    found = {labels[row]: group.name for group, rows in groups(labels) for row in rows}
    assert {label: found[label] for label in KINDS[kind]} == dict.fromkeys(KINDS[kind], kind)


@pytest.mark.parametrize("boundary", [".", "\n", ""])
def test_all_groups_look_different_to_any_eye(boundary: str) -> None:
    """By shape, or by colour without the difference of red and green, which is the same for many."""
    every = groups([boundary, *"".join(KINDS.values()).replace(boundary or "\0", "")])
    assert len(every) == 12
    for (one, _), (other, _) in itertools.combinations(every, 2):
        seen = [(0.35 * r + 0.65 * g, b) for r, g, b in (to_rgb(one.colour), to_rgb(other.colour))]
        assert one.square != other.square or one.rim != other.rim or math.dist(*seen) > 0.1, (one, other)
    assert len({group.name for group, _ in every}) == 12


@pytest.mark.parametrize(
    ("labels", "is_special"),
    [(".abq", True), ("\nq", True), (".abqé", False), (".abqB", False), (".qз", False), (".q1", False), (".q-", False)],
)
def test_q_is_special_in_the_alphabet_of_the_lecture_only(labels: str, is_special: bool) -> None:
    assert ("q" in [group.name for group, _ in groups(labels)]) == is_special


def test_every_row_is_in_one_group() -> None:
    labels = ["", *(chr(code) for code in (*range(0x3000), 0x4E00, 0xAC00, 0x1F600, 0xE000, 0x10FFFF))]
    rows = sorted(row for _, rows in groups(labels) for row in rows)
    assert rows == list(range(len(labels)))


def test_no_character_of_unicode_is_shown_as_nothing() -> None:
    for code in (*range(0x3100), *range(0xAC00, 0xAC10), *range(0xD7F0, 0xE010), *range(0xFE00, 0x10000), 0x10FFFF):
        shown = shown_character(chr(code))
        assert shown.strip(), hex(code)
        first = unicodedata.category(shown[0])
        assert first[0] not in "ZCM", hex(code)


@pytest.mark.parametrize("label", [" ", "\n", "\t", "", *UNSEEN[2:], "\u0301", "\u20dd"])
def test_what_is_not_seen_has_a_form_that_is(label: str) -> None:
    named = {" ": "␣", "\n": "⏎", "\t": "⇥", "": "start", "\u0301": "◌\u0301", "\u20dd": "◌\u20dd"}
    expected = named.get(label) or code_point(label)
    assert shown_character(label) == expected
    assert legible(["a", label])[1][1] in (expected, code_point(label) if label else "start")


@pytest.mark.parametrize("count", [10, 100, 150, 400])
def test_labels_of_many_characters_can_be_read(count: int) -> None:
    """In points, on a figure that grows: the letters, and dots that do not cover each other."""
    import numpy as np

    labels = [".", *(chr(0x400 + number) for number in range(count - 1))]
    table = np.random.default_rng(0).normal(size=(count, 2))
    axes: Any = draw_embeddings(None, table=table, labels=labels, title="Map")
    assert len(axes.texts) == count
    assert min(float(text.get_fontsize()) for text in axes.texts if len(text.get_text()) == 1) >= 4.5
    places = axes.transData.transform([text.get_position() for text in axes.texts])
    gaps = np.linalg.norm(places[:, None] - places[None], axis=2)[np.triu_indices(count, 1)]
    dots = max(float(dots.get_sizes()[0]) for dots in axes.collections[1:])
    assert gaps.min() > 0.75 * math.sqrt(dots) * axes.figure.dpi / 72


def test_letters_stand_out_from_their_dots() -> None:
    """The ratio of contrast of large text, as WCAG 2.2 has it, is at least 3."""

    def light(colour: object) -> float:
        channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]  # type: ignore[arg-type]
        return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]

    every = [group for group, _ in groups(["", *"".join(KINDS.values())])]
    for group in every:
        ink = INK if luminance(group.colour) > 0.45 else PAPER
        lighter, darker = sorted((light(group.colour), light(ink)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 3, group
