"""Tables on stdout: the same lines with and without rich, which is imported only if needed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conftest import run_python

from zoo.cli import table
from zoo.cli.table import print_table

Table = list[tuple[str, ...]]

TABLES: dict[str, tuple[Table, list[str]]] = {
    "words": ([("name", ""), ("mlp-char", "a net"), ("x", "")], []),
    "numbers": (
        [("split", "examples", "loss"), ("train", "182,778", "2.6841"), ("val", "3", "10.1")],
        ["examples", "loss"],
    ),
    "the first right-aligned": ([("n", "b"), ("1", "b"), ("100", "c")], ["n"]),
    "only a header": ([("name", "from")], []),
    "one column": ([("name",), ("a",), ("",)], []),
    "wide characters": ([("name", "from"), ("さくら", "日本"), ("é", "ＡＢ"), ("क्षि", "b")], ["from"]),
    "square brackets and emoji": ([("[bold]", ":smile:"), ("[/]", "[red]x[/red]")], []),
    "spaces within": ([("a", "b"), ("x  y", " z")], []),
}


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """`terminal(40)`: a terminal of forty columns."""
    return lambda columns: monkeypatch.setattr(table, "_max_width", lambda: columns)


def printed(rows: Table, right: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    print_table(rows[0], rows[1:], right=right)
    return capsys.readouterr().out


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_fits_is_formatted_as_by_rich(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows, right = TABLES[name]
    assert printed(rows, right, capsys).splitlines() == table._wrapped(rows, right)


@pytest.mark.parametrize("name", TABLES)
def test_only_a_table_that_does_not_fit_is_wrapped(
    name: str, capsys: pytest.CaptureFixture[str], terminal: Callable[[int], None]
) -> None:
    rows, right = TABLES[name]
    plain = printed(rows, right, capsys)
    width = max(table._width(line) for line in plain.splitlines())
    terminal(width)
    assert printed(rows, right, capsys) == plain
    terminal(width - 1)
    assert printed(rows, right, capsys) != plain


def test_a_wrapped_table_fits_the_terminal(capsys: pytest.CaptureFixture[str], terminal: Callable[[int], None]) -> None:
    terminal(30)
    out = printed([("name", ""), ("mlp-char", "a summary that is longer than this"), ("b", "short")], [], capsys)
    assert max(map(len, out.splitlines())) <= 30
    assert "".join(out.split()) == "namemlp-charasummarythatislongerthanthisbshort"


@pytest.mark.parametrize("cell", ["two\nlines", "bell\a", "tab\tbed", "back\rwards"])
def test_control_characters_are_left_to_rich(cell: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows: Table = [("name", "from"), (cell, "x")]
    out = printed(rows, [], capsys)
    assert out.splitlines() == table._wrapped(rows, [])
    assert not set("\a\t\r") & set(out)


def test_rich_is_not_imported_for_a_table_that_fits() -> None:
    code = (
        "import sys\nfrom zoo.cli import main\ntry:\n    main(['list'])\nexcept SystemExit as done:\n"
        "    assert done.code == 0\nassert 'rich' not in sys.modules"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
