"""Tables on stdout: aligned; or with wrapped text on a narrow terminal; or, on a very narrow one, a block for each row.

rich wraps the text. Other tables are padded with spaces, because without importing rich `zoo list` takes two thirds of
the time. No name is ever cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zoo.cli import output
from zoo.text import visible

_GAP = 3  # spaces between columns
_MAX_WORD = 40  # columns; a longer word of a text, such as a path, may be folded

Row = tuple[str, ...]


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print a table; the columns named in `right` are right-aligned."""
    table = [tuple(map(visible, row)) for row in (columns, *rows)]
    lines = _aligned(table, [column in right for column in columns])
    limit = output.columns()
    if limit is None or max(map(_width, lines)) <= limit:
        output.lines(*lines, bold_first=True)
        return
    widths = _widths(table, right, limit)
    if widths is None:
        output.lines(*_blocks(table))
    else:
        output.lines(*_wrapped(table, right, widths), bold_first=True)


def _aligned(table: Sequence[Row], right: Sequence[bool]) -> list[str]:
    """One line for each row."""
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


def _widths(table: Sequence[Row], right: Sequence[str], limit: int) -> list[int] | None:
    """A width for each column, so that the table fits: names, in the first column, and numbers are not wrapped.

    None if the terminal is too narrow for that.
    """
    columns = list(zip(*table, strict=True))
    widths = [max(map(_width, cells)) for cells in columns]
    least = list(widths)
    for i, cells in enumerate(columns[1:], 1):
        if cells[0] not in right:
            least[i] = min(_MAX_WORD, max(_width(word) for cell in cells for word in [*cell.split(" "), ""]))
    room = limit - _GAP * (len(widths) - 1)
    if sum(least) > room:
        return None
    while sum(widths) > room:
        widest = max((width, i) for i, width in enumerate(widths) if width > least[i])[1]
        widths[widest] -= 1
    return widths


def _wrapped(table: Sequence[Row], right: Sequence[str], widths: Sequence[int]) -> list[str]:
    """The lines of a table with the text of its cells wrapped to the widths of the columns."""
    from rich.console import Console
    from rich.table import Table

    wrapped = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    for column, width in zip(table[0], widths, strict=True):
        justify = "right" if column in right else "left"
        wrapped.add_column(column, justify=justify, width=width, overflow="fold")  # type: ignore[arg-type]
    for row in table[1:]:
        wrapped.add_row(*row)
    total = sum(widths) + _GAP * (len(widths) - 1)
    console = Console(width=total, color_system=None, markup=False, highlight=False, emoji=False)
    with console.capture() as captured:
        console.print(wrapped)
    return [line.rstrip() for line in captured.get().splitlines()]


def _blocks(table: Sequence[Row]) -> list[str]:
    """A block of `column: value` lines for each row, in which the terminal may break a line, and nothing is folded."""
    header, *rows = table
    lines: list[str] = []
    for row in rows:
        if lines:
            lines.append("")
        lines += [f"{name}: {cell}" if name else cell for name, cell in zip(header, row, strict=True) if cell]
    return lines or [name for name in header if name]
