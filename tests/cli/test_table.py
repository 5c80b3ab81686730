"""Tables on stdout: the same lines whether rich lays them out or not, and rich only where it is needed."""

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
    "the first flush": ([("n", "b"), ("1", "b"), ("100", "c")], ["n"]),
    "only a header": ([("name", "from")], []),
    "one column": ([("name",), ("a",), ("",)], []),
    "wide characters": ([("name", "from"), ("さくら", "日本"), ("é", "ＡＢ"), ("क्षि", "b")], ["from"]),
    "square brackets and emoji": ([("[bold]", ":smile:"), ("[/]", "[red]x[/red]")], []),
    "spaces within": ([("a", "b"), ("x  y", " z")], []),
}


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """`room(40)`: a terminal of forty columns."""
    return lambda columns: monkeypatch.setattr(table, "_room", lambda: columns)


def printed(rows: Table, right: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    print_table(rows[0], rows[1:], right=right)
    return capsys.readouterr().out


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_fits_is_what_rich_makes_of_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows, right = TABLES[name]
    assert printed(rows, right, capsys).splitlines() == table._folded(rows, right)


@pytest.mark.parametrize("name", TABLES)
def test_one_that_just_fits_is_not_folded_and_one_that_does_not_is(
    name: str, capsys: pytest.CaptureFixture[str], room: Callable[[int], None]
) -> None:
    rows, right = TABLES[name]
    plain = printed(rows, right, capsys)
    width = max(table._width(line) for line in plain.splitlines())
    room(width)
    assert printed(rows, right, capsys) == plain
    room(width - 1)
    assert printed(rows, right, capsys) != plain


def test_a_folded_table_stays_within_its_room(capsys: pytest.CaptureFixture[str], room: Callable[[int], None]) -> None:
    room(30)
    out = printed([("name", ""), ("mlp-char", "a summary that is longer than this"), ("b", "short")], [], capsys)
    assert max(map(len, out.splitlines())) <= 30
    assert "".join(out.split()) == "namemlp-charasummarythatislongerthanthisbshort"


@pytest.mark.parametrize("cell", ["two\nlines", "bell\a", "tab\tbed", "back\rwards"])
def test_what_would_move_the_cursor_is_left_to_rich(cell: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows: Table = [("name", "from"), (cell, "x")]
    out = printed(rows, [], capsys)
    assert out.splitlines() == table._folded(rows, [])
    assert not set("\a\t\r") & set(out)


def test_rich_is_not_imported_for_a_table_that_fits() -> None:
    code = (
        "import sys\nfrom zoo.cli import main\ntry:\n    main(['list'])\nexcept SystemExit as done:\n"
        "    assert done.code == 0\nassert 'rich' not in sys.modules"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
