"""Tables on stdout: no name, number or command of any command's table is broken at any width."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import rich.console
import rich.table
from conftest import Zoo, run_python
from rich.cells import cell_len

from zoo.cli import output, table
from zoo.cli.table import print_table
from zoo.text import visible

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
    return lambda columns: monkeypatch.setattr(output, "columns", lambda: columns)


def printed(rows: Table, right: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    print_table(rows[0], rows[1:], right=right)
    return capsys.readouterr().out


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_fits_is_formatted_as_by_rich(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows, right = TABLES[name]
    assert printed(rows, right, capsys).splitlines() == by_rich(rows, right)


def by_rich(rows: Table, right: list[str]) -> list[str]:
    """The same table by rich, as a reference."""
    made = rich.table.Table(box=None, pad_edge=False, padding=(0, table._GAP, 0, 0))
    for column, *cells in zip(*rows, strict=True):
        width = max(map(cell_len, [column, *cells]))
        made.add_column(column, justify="right" if column in right else "left", width=width, no_wrap=True)
    for row in rows[1:]:
        made.add_row(*row)
    console = rich.console.Console(width=1000, color_system=None, markup=False, highlight=False, emoji=False)
    with console.capture() as captured:
        console.print(made)
    return [line.rstrip() for line in captured.get().splitlines()]


@pytest.mark.parametrize("name", TABLES)
def test_only_a_table_that_does_not_fit_is_wrapped(
    name: str, capsys: pytest.CaptureFixture[str], terminal: Callable[[int], None]
) -> None:
    rows, right = TABLES[name]
    plain = printed(rows, right, capsys)
    width = max(table.text_width(line) for line in plain.splitlines())
    terminal(width)
    assert printed(rows, right, capsys) == plain
    terminal(width - 1)
    assert printed(rows, right, capsys) != plain


def test_a_wrapped_table_fits_the_terminal(capsys: pytest.CaptureFixture[str], terminal: Callable[[int], None]) -> None:
    terminal(30)
    out = printed([("name", ""), ("mlp-char", "a summary that is longer than this"), ("b", "short")], [], capsys)
    assert max(map(len, out.splitlines())) <= 30
    assert "".join(out.split()) == "namemlp-charasummarythatislongerthanthisbshort"


def test_on_a_very_narrow_terminal_each_row_is_a_block(
    capsys: pytest.CaptureFixture[str], terminal: Callable[[int], None]
) -> None:
    terminal(20)
    rows: Table = [("split", "", "loss (nats)"), ("train, unseen words", "the whole of it", "2.1"), ("val", "", "3")]
    assert printed(rows, ["loss (nats)"], capsys).splitlines() == [
        "split: train, unseen words",
        "the whole of it",
        "loss (nats): 2.1",
        "",
        "split: val",
        "loss (nats): 3",
    ]


AWKWARD = {
    "tab": "a\tb",
    "line feed": "a\nb",
    "carriage return": "a\rb",
    "vertical tab": "a\vb",
    "next line": "a\x85b",
    "line separator": "a\u2028b",
    "paragraph separator": "a\u2029b",
    "wide": "さくら日本語",
    "full width": "ＡＢＣ",
    "combining": "e\u0301a\u0308",
    "Devanagari": "क्षि",
    "Hebrew": "שלום",
    "emoji": "🦁🐯",
    "emoji sequence": "👩\u200d👩\u200d👧",
    "flag": "🇫🇷",
    "escape": "\x1b[31ma\x1b[0m",
    "override": "\u202eabc",
    "zero width": "a\u200bb",
    "NUL": "a\0b",
    "surrogate": "a\udcff",
    "markup": "[red]a[/red]",
    "trailing space": "a ",
    "empty": "",
    "very long": "a-name-that-is-longer-than-any-terminal-is-wide-" * 5,
}
WIDTHS = (1, 5, 10, 20, 40, 80, 200)
LAYOUTS: dict[str, tuple[Callable[[str], Table], list[str]]] = {  # as in the commands
    "list": (
        lambda x: [("models", "", "val loss", "from"), (x, "A text of words", "2.1", "zoo 1"), ("b", x, "-", x)],
        ["val loss"],
    ),
    "info": (lambda x: [("--set", "type", "default"), (f"model.{x}", "int or none", x), ("b", x, "3")], []),
    "plugins": (lambda x: [("plugin", "from", "state", "provides"), (x, f"{x} 1.0", "failed", f"Error: {x}")], []),
    "eval": (
        lambda x: [("split", "examples", "loss (nats)"), (x, "1,000", "2.1"), ("val", "2", x)],
        ["examples", "loss (nats)"],
    ),
    "verify": (
        lambda x: [("file", "", ""), (x, "DAMAGED", f"it is {x} and more words than fit"), ("b", "intact", "")],
        [],
    ),
    "sample": (lambda x: [("sample", "found in"), (x, "training"), ("emma", "unseen")], []),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("width", WIDTHS)
def test_no_cell_breaks_a_row_and_no_name_is_cut(
    layout: str, width: int, capsys: pytest.CaptureFixture[str], terminal: Callable[[int], None]
) -> None:
    terminal(width)
    make, right = LAYOUTS[layout]
    for name, cell in AWKWARD.items():
        rows = make(cell)
        out = printed(rows, right, capsys)
        lines = out.split("\n")
        assert all(map(str.isprintable, lines)), name
        for row in rows[1:]:
            assert any(
                line.startswith(visible(row[0]).rstrip()) or line.split(": ", 1)[-1] == visible(row[0])
                for line in lines
            ), name
        if "".join(lines[0].split()) == "".join("".join(rows[0]).split()):  # a table, and no blocks
            assert all(table.text_width(line) <= width for line in lines), name
            assert_aligned(lines, rows)


def assert_aligned(lines: list[str], rows: Table) -> None:
    """The second column begins at the same place in each row."""
    first = max(table.text_width(visible(row[0])) for row in rows) + table._GAP
    for line in lines[1:]:
        taken = 0
        for character in line:
            if taken >= first - table._GAP and table.text_width(character):
                assert character == " " or taken >= first, line
            taken += table.text_width(character)
            if taken >= first:
                break


COMMANDS: dict[str, list[str]] = {
    "list": ["list"],
    "list models": ["list", "models"],
    "plugins": ["plugins"],
    "info": ["info", "mlp-char"],
    "info of an optimizer": ["info", "adamw"],
    "data": ["data", "names-ssa-2018"],
    "verify": ["verify", "run"],
    "eval": ["eval", "run"],
    "sample": ["sample", "run", "--seed", "1"],
    "predict": ["predict", "run", "a", "be"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_word_of_any_command_is_broken(
    command: str, zoo_here: Zoo, run: Path, terminal: Callable[[int], None]
) -> None:
    whole = zoo_here(*COMMANDS[command]).out.splitlines()
    for width in (20, 25, 32, 40, 50, 60, 72, 80, 100, 120, 200):
        terminal(width)
        out = zoo_here(*COMMANDS[command]).out
        found = {word for full in out.split() for word in (full, full.removesuffix(":"))}  # in blocks: `column: value`
        if "Left out at this width: " in out:  # only names are then certain to be there
            assert {line.split()[0] for line in whole if line.strip() and ":" not in line.split()[0]} <= found, width
        else:
            assert {word for line in whole for word in line.split()} <= found, width


def wrapping(rows: Table, width: int, capsys: pytest.CaptureFixture[str], **how: list[str]) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "columns", lambda: width)
        print_table(rows[0], rows[1:], **how)
    return capsys.readouterr().out.splitlines()


def test_columns_are_left_out_in_the_order_of_their_importance(capsys: pytest.CaptureFixture[str]) -> None:
    rows: Table = [("run", "", "steps", "loss"), ("runs/mlp-char-1", "lr 0.1", "5,000", "2.1245")]
    how = {"right": ["steps", "loss"], "optional": ["steps", ""]}
    assert len(wrapping(rows, 44, capsys, **how)) == 2
    assert wrapping(rows, 36, capsys, **how) == [
        "run                          loss",
        "runs/mlp-char-1   lr 0.1   2.1245",
        "",
        "Left out at this width: steps",
    ]
    assert wrapping(rows, 25, capsys, **how)[-1] == "Left out at this width: steps, descriptions"
    assert wrapping(rows, 20, capsys, **how) == ["run: runs/mlp-char-1", "lr 0.1", "steps: 5,000", "loss: 2.1245"]


def test_a_command_in_quotes_stays_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    rows: Table = [("plugin", "cause"), ("p", "it fails: 'pip uninstall zoo-p' removes it, or ('zoo list') so.")]
    lines = wrapping(rows, 34, capsys)
    assert max(map(len, lines)) <= 34
    assert any("'pip uninstall zoo-p'" in line for line in lines)
    assert any("('zoo list')" in line for line in lines)


def test_columns_of_names_are_not_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    rows: Table = [("a", "file", ""), ("x", "my words.txt and more.txt", "a text that may be wrapped")]
    assert any("my words.txt and more.txt" in line for line in wrapping(rows, 48, capsys, whole=["file"]))
    assert wrapping(rows, 30, capsys, whole=["file"])[1] == "file: my words.txt and more.txt"


def test_rich_is_not_imported_for_a_table_that_fits() -> None:
    code = (
        "import sys\nfrom zoo.cli import main\ntry:\n    main(['list'])\nexcept SystemExit as done:\n"
        "    assert done.code == 0\nassert 'rich' not in sys.modules"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
