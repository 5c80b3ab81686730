"""Untrusted text made safe to show: in a message, a terminal, a Markdown card, a shell command.

A name in a checkpoint, the words of a dataset, a file name or a plugin's exception may hold characters that move the
cursor, set the clipboard or reverse the order of what follows. Here they become visible escapes.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_MAX_SHOWN = 300  # characters of a name in a message
_MAX_MESSAGE = 4_000  # characters of a message
_MAX_BRIEF = 200  # characters of a repr
# Patterns are compiled when they are first used, because `zoo list` has no use for most.
_SPACES = r"[ \t\n\r\f\v]+"
# Printable for Python, though no terminal shows them: fillers, joiners, and selectors beyond those of emoji.
_BLANK = "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\U000e0100-\U000e01ef]"
_CREDENTIALS = (  # lengths are bounded because untrusted text could make an unbounded search quadratic
    (r"(://)[^\s/?#]{1,500}@", r"\1***@"),
    (r"(://)(?!\[)[^\s/?#:]{0,500}:(?!\d*(?:[/?#\s]|$))\S{0,500}@", r"\1***@"),  # the password has `/`, `?` or `#`
    (r"(?<![^\s'\"(=])[^\s:/@'\"]{1,500}:[^\s/@'\"]{1,500}@(?=[\w\[])", "***@"),  # there is no scheme
)
_DISTRIBUTION = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?"  # as PyPI and pip have it
_VERSION = r"[0-9][A-Za-z0-9.+]{0,98}"
_NAME_AND_VERSION = r"[A-Za-z0-9._-]{1,100} [A-Za-z0-9.+!_-]{1,100}"
_MARKDOWN = r"[\\`*\[\]<>|~$!&]|(?<![^\W_])_|_(?![^\W_])"
_AUTOLINK = r"(?i::(?=//)|@|(?<=www)\.)"
_SHELL_ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def visible(text: str) -> str:
    """The text with every character that is not printable as an escape: `\\x1b`, `\\u202e`.

    Not printable are, as for `repr`, control and format characters, line separators, spaces other than the plain one,
    lone surrogates and unassigned characters; and those that are always blank.
    """
    if text.isprintable() and (text.isascii() or not re.search(_BLANK, text)):
        return text
    return "".join(c if c.isprintable() and not re.match(_BLANK, c) else _escape(c) for c in text)


def message(text: object) -> str:
    """A text as a message: on one line, without passwords, visible, and without its middle if it is very long.

    A message made of messages stays the same, so that each place that shows one may call this.
    """
    try:
        whole = str(text)
    except Exception:  # that of a plugin's exception may raise anything
        whole = f"<{type(text).__name__}>"
    line = re.sub(_SPACES, " ", _shortened(whole, 2 * _MAX_MESSAGE)).strip()
    return _shortened(visible(without_credentials(line)), _MAX_MESSAGE)


def first_line(error: BaseException) -> str:
    """The class and the first line of an exception, as a message: torch's have many lines of advice."""
    return message(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}".rstrip(": "))


def shown(name: str | Path) -> str:
    """A name for a message: in quotes, on one line, and without its middle if it is very long."""
    return visible(repr(_shortened(str(name), _MAX_SHOWN)))


def brief(text: str, limit: int = _MAX_BRIEF) -> str:
    """A text for a repr: visible, on one line, and without its middle if it is long."""
    return _shortened(visible(_shortened(text, limit)), limit)


def listed(texts: Iterable[str], most: int, limit: int = 40) -> str:
    """The first few of many texts for a repr: `emma, olivia, ava, …`."""
    few = list(itertools.islice(texts, most + 1))
    return ", ".join([*(brief(text, limit) for text in few[:most]), *["…"] * (len(few) > most)])


def shown_version(text: str) -> str:
    """A name with its version, as in `zoo-trigram 1.0`, for a message; in quotes if it is not only that."""
    return text if re.fullmatch(_NAME_AND_VERSION, text) else shown(text)


def without_credentials(text: str) -> str:
    """The text with `***` in place of the user and password of every URL, such as those of a mirror or a proxy."""
    if "@" not in text:
        return text
    for pattern, replacement in _CREDENTIALS:
        text = re.sub(pattern, replacement, text)
    return text


def markdown(text: object) -> str:
    """A text as plain text within a line of Markdown, after its first word: no HTML, links, emphasis or cells."""
    escaped = re.sub(_MARKDOWN, r"\\\g<0>", message(text))
    return re.sub(_AUTOLINK, lambda match: f"&#{ord(match.group())};", escaped)


def code_span(text: object) -> str:
    """A text as inline code of Markdown; its fence is longer than any run of backticks in the text."""
    code = message(text)
    fence = "`" * (_longest_run(code) + 1)
    space = " " if code[:1] in ("", "`", " ") or code[-1:] in ("`", " ") else ""
    return f"{fence}{space}{code}{space}{fence}"


def code_block(text: str, language: str) -> str:
    """Lines as a block of code of Markdown; its fence is longer than any run of backticks in the text."""
    code = "\n".join(visible(without_credentials(line)) for line in text.split("\n"))
    fence = "`" * max(3, _longest_run(code) + 1)
    return f"{fence}{language}\n{code}\n{fence}"


def quoted(word: str | Path) -> str:
    """A word for a shell command that is shown: quoted where needed; with `$'…'` if it is not printable."""
    import shlex  # here, because only advice and cards need it

    text = str(word)
    if visible(text) == text:
        return shlex.quote(text)
    return "$'" + "".join(_SHELL_ESCAPES.get(c) or _shell_escape(c) for c in text) + "'"


def quoted_path(path: str | Path) -> str:
    """A path for a shell command that is shown; one that begins with `-` is not to be taken for an option."""
    text = str(path)
    return quoted(f"./{text}" if text.startswith("-") else text)


def pip_command(action: str, distribution: str, version: str | None = None) -> str | None:
    """`pip install NAME`, `pip install NAME==VERSION` or `pip uninstall NAME`; None if that cannot be a distribution.

    The name may come from a checkpoint, which must not choose what a person types. A text that cannot be a version is
    left out.
    """
    pinned = f"=={version}" if version is not None and re.fullmatch(_VERSION, version) else ""
    return f"pip {action} {distribution}{pinned}" if re.fullmatch(_DISTRIBUTION, distribution) else None


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit // 2].rstrip()} … {text[-(limit // 4) :].lstrip()}"


def _escape(character: str) -> str:
    if character.isprintable():  # blank ones
        return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"
    return character.encode("unicode_escape").decode()


def _shell_escape(character: str) -> str:
    if visible(character) == character:
        return character
    is_byte = "\udc80" <= character <= "\udcff"  # of a file name that is not UTF-8
    encoded = character.encode("utf-8", "surrogateescape" if is_byte else "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in encoded)


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
