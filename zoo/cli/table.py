"""Tables on stdout.

rich lays out a table that has to be folded into a terminal. One that fits needs spaces and nothing else, and `zoo list`
takes two thirds of the time where rich need not be imported.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence

import click

_GAP = 3  # spaces between columns
_UNLIMITED = 10_000  # columns, where the output is no terminal: a table in a file is never cut


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """A table on stdout; the columns named in `right` are flush right."""
    table = [tuple(columns), *map(tuple, rows)]
    lines = _aligned(table, [column in right for column in columns])
    if lines is None or max(map(_width, lines)) > _room():
        click.echo("\n".join(_folded(table, right)))
        return
    header = lines[0] if os.environ.get("TERM") == "dumb" else click.style(lines[0], bold=True)
    click.echo("\n".join([header, *lines[1:]]))


def _room() -> int:
    on_terminal = sys.stdout is not None and sys.stdout.isatty()  # None: closed by whoever started this
    return shutil.get_terminal_size().columns if on_terminal else _UNLIMITED


def _aligned(table: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str] | None:
    """One line for each row; None where a cell has more than one, or something in it that moves the cursor."""
    if not all(cell.isprintable() for row in table for cell in row):
        return None
    widths = [max(map(_width, cells)) for cells in zip(*table, strict=True)]
    lines = []
    for row in table:
        spaces = [" " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)]
        cells = [space + cell if flush else cell + space for cell, space, flush in zip(row, spaces, right, strict=True)]
        lines.append((" " * _GAP).join(cells).rstrip())
    return lines


def _width(text: str) -> int:
    """Columns that a text takes; of Chinese and the like there are two for each character."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _folded(table: Sequence[Sequence[str]], right: Sequence[str]) -> list[str]:
    """The lines of a table whose cells are folded to make it fit."""
    from rich.console import Console
    from rich.table import Table

    folded = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0))
    for column in table[0]:
        folded.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in table[1:]:
        folded.add_row(*row)
    console = Console(width=_room(), markup=False, highlight=False, emoji=False)
    with console.capture() as captured:
        console.print(folded)
    return [line.rstrip() for line in captured.get().splitlines()]
