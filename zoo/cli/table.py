"""Tables on stdout: aligned; or on a narrow terminal with wrapped text, then without the least important columns, or at
last as a block for each row. Where stdout is no terminal, a table is as wide as it is.

Text is wrapped between words only: no name, number, path or quoted command is ever cut or broken.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable, Sequence

from zoo.cli import output
from zoo.text import visible

_GAP = 3  # spaces between columns
_LEAST_TEXT = 16  # columns; text that is wrapped to less is hard to read
_INDENT = 2  # of the further lines of a text in a block

_WORD = re.compile(r"(?<![^\s(])\(?'[^']+'\S*|\S+")  # a command in quotes is one word

Row = tuple[str, ...]


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Collection[str] = (),
    whole: Collection[str] = (),
    optional: Sequence[str] = (),
) -> None:
    """Print a table.

    Args:
        columns: the names of the columns. The first one has the names of the rows, and is never wrapped.
        rows: the cells, as texts.
        right: columns of numbers: right-aligned, and never wrapped.
        whole: columns of names, paths or commands: never wrapped.
        optional: columns that a narrow terminal may do without, the least important first. A line says which are
            left out; `--json` should have them.
    """
    table = [tuple(map(visible, row)) for row in (columns, *rows)]
    limit = output.columns() or sys.maxsize
    unbroken = {columns[0], *right, *whole}
    for count in range(len(optional) + 1):
        left_out = optional[:count]
        lines = _fitting(_without(table, left_out), right, unbroken, limit)
        if lines is not None:
            output.lines(*lines, bold_first=True)
            if left_out:
                output.lines(
                    "", f"Left out at this width: {', '.join(visible(name) or 'descriptions' for name in left_out)}"
                )
            return
    output.lines(*_blocks(table, unbroken, limit))


def wrapped(text: str) -> list[str]:
    """A sentence in lines of the terminal's width; a single line where stdout is none."""
    limit = output.columns() or sys.maxsize
    return [line.rstrip() for line in _wrapped(visible(text), limit)]


def _without(table: Sequence[Row], names: Collection[str]) -> list[Row]:
    kept = [i for i, name in enumerate(table[0]) if name not in names]
    return [tuple(row[i] for i in kept) for row in table]


def _fitting(table: Sequence[Row], right: Collection[str], unbroken: Collection[str], limit: int) -> list[str] | None:
    """The lines of a table, wrapped if need be; None if it does not fit into `limit` columns."""
    columns = list(zip(*table, strict=True))
    widths = [max(map(text_width, cells)) for cells in columns]
    room = limit - _GAP * (len(widths) - 1)
    if sum(widths) > room:
        least = [
            width if cells[0] in unbroken else _leasttext_width(cells)
            for width, cells in zip(widths, columns, strict=True)
        ]
        if sum(least) > room:
            return None
        while sum(widths) > room:
            widest = max((width, i) for i, width in enumerate(widths) if width > least[i])[1]
            widths[widest] -= 1
    return _aligned(table, [cells[0] in right for cells in columns], widths)


def _leasttext_width(cells: Sequence[str]) -> int:
    """The least width of a column of text: no word of it is broken."""
    longest = max(text_width(word) for cell in cells for word in [*_WORD.findall(cell), ""])
    return max(longest, min(_LEAST_TEXT, max(map(text_width, cells))))


def _aligned(table: Sequence[Row], right: Sequence[bool], widths: Sequence[int]) -> list[str]:
    lines = []
    for row in table:
        cells = [_wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
        for i in range(max(map(len, cells))):
            parts = [lines_of_cell[i] if i < len(lines_of_cell) else "" for lines_of_cell in cells]
            spaces = [" " * (width - text_width(part)) for part, width in zip(parts, widths, strict=True)]
            padded = [
                pad + part if is_right else part + pad for part, pad, is_right in zip(parts, spaces, right, strict=True)
            ]
            lines.append((" " * _GAP).join(padded).rstrip())
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    """The lines of a text, broken between words; a word that is wider than `width` has a line of its own."""
    if text_width(text) <= width:
        return [text]
    lines, start, end = [], 0, 0
    for word in _WORD.finditer(text):
        if end > start and text_width(text[start : word.end()]) > width:
            lines.append(text[start:end])
            start = word.start()
        end = word.end()
    return [*lines, text[start:end]]


def text_width(text: str) -> int:
    """The columns of a text on a terminal, where a Chinese character, for example, takes two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _blocks(table: Sequence[Row], unbroken: Collection[str], limit: int) -> list[str]:
    """A block of `column: value` lines for each row.

    A value that is not wrapped may be longer than the terminal is wide: copied from there it is one line again.
    """
    header, *rows = table
    lines: list[str] = []
    for row in rows:
        if lines:
            lines.append("")
        for name, cell in zip(header, row, strict=True):
            line = f"{name}: {cell}" if name else cell
            if cell and name in unbroken:
                lines.append(line)
            elif cell:
                first, *more = _wrapped(line, max(limit - _INDENT, 1)) if text_width(line) > limit else [line]
                lines += [first, *(" " * _INDENT + part for part in more)]
    return lines or [name for name in header if name]
