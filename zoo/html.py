"""Small tables of HTML, as a notebook shows them for an object: Jupyter and marimo ask for them by `_repr_html_`.

Every text is escaped and made visible here, and nowhere else. No colour is set but in shades of the page's own text, so
that a table is readable on a light page and a dark one; there is no script and no style of another file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from zoo.text import brief

_MAX_CELL = 120  # characters
_LONGEST_EM = 12  # of a bar
_BAR = "display:inline-block;height:.6em;background:currentColor;opacity:.5"


def escaped(text: str, limit: int = _MAX_CELL) -> str:
    """A text that may come from anyone, as text of a page: on one line, and without its middle if it is long."""
    import html  # here, because the commands, which import this module, do not need it

    return html.escape(brief(text, limit))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """A table with a line of heads; the columns after the first `left` ones are numbers, and stand to the right."""
    lines = [_row("th", head, left), *(_row("td", row, left) for row in rows)]
    return _table(lines)


def facts(pairs: Mapping[str, str]) -> str:
    """A table of names and what they are; pairs without a text are left out."""
    rows = (f"<tr><th{_LEFT}>{escaped(name)}</th>{_cell('td', text)}</tr>" for name, text in pairs.items() if text)
    return _table(rows)


def titled(title: str, *parts: str) -> str:
    """Parts of HTML below a title, which is text."""
    return f"<div><b>{escaped(title)}</b>{''.join(parts)}</div>"


def line(text: str, limit: int = 2 * _MAX_CELL) -> str:
    """A text in a line of its own, cut at so many characters."""
    return f"<div>{escaped(text, limit)}</div>"


def bars(rows: Iterable[tuple[str, str, str, float]]) -> str:
    """A table with a bar in each row.

    Args:
        rows: a group, which may be empty, a label, a number as it is shown, and the share of the bar, from 0 to 1.
    """
    lines = (
        f"<tr>{_cell('td', group)}{_cell('td', label)}{_cell('td', number, _RIGHT)}"
        f'<td{_LEFT}><span style="{_BAR};width:{share * _LONGEST_EM:.2f}em"></span></td></tr>'
        for group, label, number, share in rows
    )
    return _table(lines)


def _table(rows: Iterable[str]) -> str:
    return f'<table style="border-collapse:separate;border-spacing:.7em .1em">{"".join(rows)}</table>'


_LEFT = ' style="text-align:left"'
_RIGHT = ' style="text-align:right"'


def _row(tag: str, cells: Sequence[str], left: int) -> str:
    shown = (_cell(tag, cell, _LEFT if i < left else _RIGHT) for i, cell in enumerate(cells))
    return f"<tr>{''.join(shown)}</tr>"


def _cell(tag: str, text: str, style: str = _LEFT) -> str:
    return f"<{tag}{style}>{escaped(text)}</{tag}>" if text else f"<{tag}></{tag}>"
