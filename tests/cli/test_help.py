"""zoo/cli/README.md has the help of every command as it is, and of no other."""

from __future__ import annotations

import re
from pathlib import Path

import make_readme
import pytest

from zoo.cli import COMMANDS

DOCUMENT = make_readme.HELP.read_text(encoding="utf-8")


def test_document_has_the_help_of_every_command_as_it_is(tmp_path: Path) -> None:
    current = make_readme.with_section(DOCUMENT, "help", make_readme.help_texts(tmp_path))
    assert current == DOCUMENT, "run scripts/make_readme.py"


def test_every_command_has_a_section() -> None:
    assert re.findall(r"^### `zoo ?(.*)`$", DOCUMENT, re.MULTILINE) == ["", *COMMANDS]


def test_a_section_is_replaced_and_the_rest_is_left() -> None:
    document = "before\n\n<!-- help -->\n\nold\n\n<!-- /help -->\n\nafter\n"
    once = make_readme.with_section(document, "help", "new")
    assert once == "before\n\n<!-- help -->\n\nnew\n\n<!-- /help -->\n\nafter\n"
    assert make_readme.with_section(once, "help", "new") == once
    with pytest.raises(ValueError, match="needs the lines"):
        make_readme.with_section("no markers", "help", "new")
