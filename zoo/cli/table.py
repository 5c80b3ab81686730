"""Tables on stdout.

rich formats a table that is too wide for the terminal. Other tables are padded with spaces, because without importing
rich `zoo list` takes two thirds of the time.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence

import click

_GAP = 3  # spaces between columns
_UNLIMITED = 10_000  # columns; if stdout is not a terminal, tables are not wrapped


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print a table; the columns named in `right` are right-aligned."""
    table = [tuple(columns), *map(tuple, rows)]
    lines = _aligned(table, [column in right for column in columns])
    if lines is None or max(map(_width, lines)) > _max_width():
        click.echo("\n".join(_wrapped(table, right)))
        return
    header = lines[0] if os.environ.get("TERM") == "dumb" else click.style(lines[0], bold=True)
    click.echo("\n".join([header, *lines[1:]]))


def _max_width() -> int:
    on_terminal = sys.stdout is not None and sys.stdout.isatty()  # None if the parent process closed it
    return shutil.get_terminal_size().columns if on_terminal else _UNLIMITED


def _aligned(table: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str] | None:
    """One line for each row; None if a cell has line breaks or control characters."""
    if not all(cell.isprintable() for row in table for cell in row):
        return None
    widths = [max(map(_width, cells)) for cells in zip(*table, strict=True)]
    lines = []
    for row in table:
        spaces = [" " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)]
        cells = [pad + cell if is_right else cell + pad for cell, pad, is_right in zip(row, spaces, right, strict=True)]
        lines.append((" " * _GAP).join(cells).rstrip())
    return lines


def _width(text: str) -> int:
    """The columns of a text on a terminal, where a Chinese character, for example, takes two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _wrapped(table: Sequence[Sequence[str]], right: Sequence[str]) -> list[str]:
    """The lines of a table with the text of its cells wrapped to fit the terminal."""
    from rich.console import Console
    from rich.table import Table

    wrapped = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0))
    for column in table[0]:
        wrapped.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in table[1:]:
        wrapped.add_row(*row)
    console = Console(width=_max_width(), markup=False, highlight=False, emoji=False)
    with console.capture() as captured:
        console.print(wrapped)
    return [line.rstrip() for line in captured.get().splitlines()]
