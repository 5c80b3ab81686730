"""`zoo help`: the same as `--help`."""

from __future__ import annotations

import pytest
from conftest import Zoo

from zoo.cli import COMMANDS


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_it_shows_the_help_of_a_command(command: str | None, zoo_here: Zoo) -> None:
    named = [] if command is None else [command]
    shown = zoo_here("help", *named)
    assert (shown.code, shown.err) == (0, "")
    assert shown.out == zoo_here(*named, "--help").out


@pytest.mark.parametrize(
    ("topic", "error"),
    [
        ("sampel", "no command 'sampel'; did you mean 'sample'?"),
        ("mlp-char", "'mlp-char' is no command: 'zoo info mlp-char' describes it"),
        ("adamw", "'adamw' is no command: 'zoo info adamw' describes it"),
        ("names", "'names' is no command: 'zoo info names' describes it"),
        ("--nonsense", "No such option '--nonsense'"),
    ],
)
def test_what_is_no_command_is_said_with_a_remedy(topic: str, error: str, zoo_here: Zoo) -> None:
    done = zoo_here("help", topic)
    assert done.code == 2
    assert error in done.err
    assert len(done.err.splitlines()) == 1
