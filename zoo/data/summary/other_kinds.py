"""Files that are no list of words, though they can be read as one: each is told by what it looks like.

Nobody says what a file has in it unless `--format` is given. What is evidently something else is refused, with what to
do about it; what is only doubtful gets a notice. The first lines of a file are enough to tell a table or running text;
all characters are known from the vocabulary, so that a list of plain words costs nothing more.
"""

from __future__ import annotations

import codecs
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zoo.data.vocabulary import Vocabulary
from zoo.data.words import Words
from zoo.errors import DataError, RunningTextError
from zoo.phrasing import option, options, setting
from zoo.text import shown

NORMALISE = (
    "python3 -X utf8 -c \"import sys, unicodedata as u; print(end=u.normalize('NFC', sys.stdin.read()))\" < FILE > NEW"
)
_SAMPLE_BYTES = 1 << 16
_SAMPLE_LINES = 2000
_LONG = 1000  # characters of a line that is more likely a whole text
_FEW = 0.1  # a share of words: below it, something odd is a fault of these words, and not what the file is
_SPACES = 5  # in a line of running text, and full stops and commas of writing that has no spaces
_PARSED_BYTES = 4 << 20  # of JSON

_BINARY = (  # how a file starts, what it is, and how to make text of it
    (b"\x1f\x8b", "a gzip file", "unpack it: gunzip -c FILE > NEW"),
    (b"BZh", "a bzip2 file", "unpack it: bunzip2 -c FILE > NEW"),
    (b"\xfd7zXZ\0", "an xz file", "unpack it: xz -dc FILE > NEW"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", "unpack it: zstd -dc FILE > NEW"),
    (b"PK\x03\x04", "a ZIP archive or a spreadsheet", "unpack it, or save the sheet as CSV"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it"),
    (b"PAR1", "a Parquet file", "save it as CSV, with pandas: read_parquet(FILE).to_csv(NEW, index=False)"),
    (
        b"ARROW1",
        "an Arrow file",
        "save it as CSV, with pandas: read_feather(FILE).to_csv(NEW, index=False)",
    ),
    (b"\x93NUMPY", "a NumPy array", "a dataset of arrays comes from a plugin, as a zoo.TensorDataset"),
    (b"\x89HDF", "an HDF5 file", "a dataset of arrays comes from a plugin, as a zoo.TensorDataset"),
    (b"SQLite format 3\0", "an SQLite database", "save a column of it as text"),
    (b"\xd0\xcf\x11\xe0", "an Office file", "save it as plain text or CSV"),
    (b"%PDF", "a PDF", "save it as plain text: pdftotext FILE NEW"),
    (b"\x89PNG", "a picture", "a dataset of pictures comes from a plugin, as a zoo.TensorDataset"),
    (b"\xff\xd8\xff", "a picture", "a dataset of pictures comes from a plugin, as a zoo.TensorDataset"),
    (b"\xff\xfe\0\0", "UTF-32 text", "convert it: iconv -f UTF-32 -t UTF-8 FILE > NEW"),
    (b"\xff\xfe", "UTF-16 text", "convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW"),
    (b"\xfe\xff", "UTF-16 text", "convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW"),
)
_MARKUP = (
    (rb"(?i)\s*<(!doctype html|html|head|body)\b", "an HTML page", "download the file itself, or take the words out"),
    (rb"\s*<(\?xml|svg)\b", "an XML file", "take the words out, one a line"),
    (rb"\s*\{\\rtf", "an RTF document", "save it as plain text"),
)
_SEPARATORS = (("\t", "tabs", "tsv"), (",", "commas", "csv"), (";", "semicolons", "csv"), ("|", "bars", "csv"))
_NUMBER = re.compile(r"[-+]?[0-9][0-9.,_ ]*(?:[eE][-+]?[0-9]+)?%?")
_HEADERS = frozenset(  # in lower case
    (
        *("word", "words", "name", "names", "first_name", "firstname", "last_name", "lastname", "surname"),
        *("title", "titles", "text", "texts", "token", "tokens", "term", "terms", "label", "labels", "string"),
        *("strings", "value", "values", "city", "cities", "country", "countries", "count", "counts", "frequency"),
    )
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # but a tab
_LINE_SEPARATORS = {"\u2028": "U+2028 line separators", "\u2029": "U+2029 paragraph separators"}


def as_words() -> str:
    """What reads such a file as words all the same."""
    return f"{option('format', 'words')} reads each line as a word"


def binary_kind(content: bytes) -> str | None:
    """What a file that is not UTF-8 text is, and what to do about it; None if its first bytes do not tell."""
    return next((f"is {what}: {remedy}" for start, what, remedy in _BINARY if content.startswith(start)), None)


def check_lines(content: bytes) -> None:
    """Refuse text that is evidently no list of words, by its first lines.

    Raises:
        DataError: it is markup, JSON, a table, running text or a single long line; with what to do.
    """
    what = _markup(content)
    if what is not None:
        raise DataError(f"is {what}, or {as_words()}")
    start = content[:_SAMPLE_BYTES]
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start).removeprefix("\ufeff")  # its end may be cut
    except UnicodeDecodeError:  # which is told, with its place, when all of it is decoded
        return
    lines = [line for line in re.split("\r\n?|\n", text) if line and not line.isspace()][:_SAMPLE_LINES]
    if len(content) > len(start) and len(lines) > 1:
        lines.pop()  # which may be cut
    if len(lines) == 1 and len(lines[0].strip()) > _LONG and not re.search(b"[\r\n]", content.strip()):
        size = len(content.decode("utf-8", "ignore").strip())
        raise DataError(
            f"is one line of {size:,} characters: {option('format', 'text')} reads it as running text, and words stand "
            "one a line"
        )
    table = _table(lines)
    if table is not None:
        raise DataError(f"looks like a table, {table}; {as_words()}")
    if _is_prose(lines):
        raise RunningTextError(
            f"looks like running text, with many words in a line: {option('format', 'text')} reads it so, with spaces "
            f"and line ends as characters; {as_words()}"
        )


def notices(words: Words, vocabulary: Vocabulary) -> list[str]:
    """What is doubtful about words, each in one line that says what to do.

    Raises:
        DataError: many of them have control characters or line separators, which no words have.
    """
    odd = _odd(vocabulary)
    found = [_odd_characters(words, odd)] if odd else []
    if (header := _header(words)) is not None:
        found.append(header)
    return found + _of_any_words(words, vocabulary)


def doubts(words: Words, vocabulary: Vocabulary) -> list[str]:
    """What is doubtful about words that Python code gives as a list, each in one line.

    Raises:
        DataError: many of them have control characters or line separators, which no words have.
    """
    odd = _odd(vocabulary)
    found = []
    if odd:
        having, is_most = _having(words, odd)
        (number, word), all_words = having[0], f"{len(having):,} of {len(words):,} words"
        remedy = "take these characters out"
        if is_most:
            raise DataError(
                f"{all_words} have control characters, as {shown(word)} has: {remedy}, or give zoo.TextDataset(words), "
                "which takes them"
            )
        first = f"the first of them word {number:,} ({shown(word)})"
        found.append(f"{all_words} have control characters, {first}: {remedy}")
    return found + _of_any_words(words, vocabulary)


def _odd(vocabulary: Vocabulary) -> list[str]:
    """Control characters and line separators."""
    return [c for c in vocabulary.itos[1:] if unicodedata.category(c) == "Cc" or c in _LINE_SEPARATORS]


def _having(words: Sequence[str], odd: Sequence[str]) -> tuple[list[tuple[int, str]], bool]:
    """The words that have some of these characters, with their numbers, and whether those are many."""
    pattern = re.compile(f"[{re.escape(''.join(odd))}]")
    having = [(number, word) for number, word in enumerate(words, 1) if pattern.search(word)]
    most_of_it = 2 * sum(len(word) for _, word in having) > sum(map(len, words))
    return having, most_of_it or len(having) > _FEW * len(words)


def _of_any_words(words: Words, vocabulary: Vocabulary) -> list[str]:
    """What is doubtful about words wherever they are from."""
    found = []
    if any(not c.isascii() for c in vocabulary.itos[1:]):
        if "\ufffd" in vocabulary.stoi:
            line, word = next((n, word) for n, word in enumerate(words, 1) if "\ufffd" in word)
            found.append(
                f"word {line:,} ({shown(word)}) has U+FFFD, the mark of characters that were lost when the file was "
                "written: get it anew, in UTF-8"
            )
        if (forms := _forms(words, vocabulary)) is not None:
            found.append(forms)
    lengths = words.lengths  # with the end of each word
    if (longest := int(lengths.max()) - 1) > _LONG:
        number = int(lengths.argmax()) + 1
        found.append(f"word {number:,} has {longest:,} characters: it is read as one word; words stand one a line")
    return found


def _markup(content: bytes) -> str | None:
    """What kind of markup or data a text is, and what to do about it."""
    start = content[:_SAMPLE_BYTES].removeprefix(b"\xef\xbb\xbf")
    for pattern, what, remedy in _MARKUP:
        if re.match(pattern, start):
            return f"{what}: {remedy}"
    if re.match(rb"\s*[\[{]", start) and _is_json(content, start):
        return "JSON: take the words out, one a line (for example with jq -r)"
    return None


def _is_json(content: bytes, start: bytes) -> bool:
    """Whether a text that starts with a bracket is JSON, or has a JSON object or list in each of its first lines."""
    parts: Iterable[bytes] = [content] if len(content) <= _PARSED_BYTES else []
    lines = [line for line in start.splitlines()[:20] if line.strip()]
    for texts in (parts, lines[:-1] or lines):
        try:
            values = [json.loads(text) for text in texts]
        except (ValueError, RecursionError):
            continue
        if values and all(isinstance(value, dict | list) and value for value in values):
            return True
    return len(content) > _PARSED_BYTES and re.match(rb'\s*[\[{]\s*["\[{]', start) is not None


@dataclass(frozen=True)
class _Column:
    """A column of a table: its first cell and the others."""

    first: str
    others: Sequence[str]

    @property
    def is_number(self) -> bool:
        return all(_NUMBER.fullmatch(cell) for cell in self.others)

    @property
    def has_header(self) -> bool:
        """Whether the first cell names the column."""
        if self.is_number:
            return not _NUMBER.fullmatch(self.first)
        return self.first.casefold() in _HEADERS and self.first not in self.others


def _table(lines: Sequence[str]) -> str | None:
    """What kind of table lines are, and what to do about it: they all have the same number of cells."""
    if len(lines) < 3 or any(map(_CONTROL.search, lines)):
        return None
    for separator, called, file_format in _SEPARATORS:
        if separator in lines[0] and separator in lines[-1]:
            rows = _cells(lines, separator)
            columns = _columns(rows)
            if columns and (separator == "\t" or len(columns) > 2 or not _is_list_of_names(columns)):
                return _say_table(columns, called, file_format)
    columns = _columns([line.split() for line in lines]) if len(lines[0].split()) == 2 else []
    if {column.is_number for column in columns} == {True, False}:
        return _say_table(columns, "spaces", "")
    return None


def _cells(lines: Sequence[str], separator: str) -> list[list[str]]:
    if any('"' in line for line in lines):
        import csv  # here, because few files have quotes

        try:
            return list(csv.reader(lines, delimiter=separator))
        except csv.Error:
            return []
    return [line.split(separator) for line in lines]


def _columns(rows: Sequence[Sequence[str]]) -> list[_Column]:
    """The columns of rows of the same length, if there are two or more."""
    width = len(rows[0]) if rows else 0
    if width < 2 or any(len(row) != width for row in rows):
        return []
    return [_Column(first, others) for first, *others in zip(*rows, strict=True)]


def _is_list_of_names(columns: Sequence[_Column]) -> bool:
    """Whether two columns are names such as `Washington, George`."""
    spaced = all(cell.startswith(" ") for cell in (columns[1].first, *columns[1].others))
    return spaced and not any(column.is_number for column in columns)


def _say_table(columns: Sequence[_Column], called: str, file_format: str) -> str:
    has_header = any(column.has_header for column in columns)
    words = next((i for i, column in enumerate(columns) if not column.is_number), 0)
    size = f"{len(columns)} columns separated by {called}"
    if file_format:
        parts = [option("format", file_format)]
        if has_header:
            parts += [option("column", columns[words].first.strip())]
        else:
            parts += [option("column", str(words + 1)), setting("data.header", False)]
        return f"{size}: {options(*parts)} reads the words of one"
    rows = "NR > 1 " if has_header else ""
    return f"{size}: take the words out (awk '{rows}{{print ${words + 1}}}' FILE > NEW)"


def _is_prose(lines: Sequence[str]) -> bool:
    """Whether most of a text is in lines of many words."""
    total = sum(map(len, lines))
    return total > 0 and 2 * sum(len(line) for line in lines if _gaps(line) >= _SPACES) > total


def _gaps(line: str) -> int:
    gaps = line.strip().count(" ")
    if gaps < _SPACES and not line.isascii():
        gaps += sum(map(line.count, "。，、！？"))
    return gaps


def _odd_characters(words: Sequence[str], odd: Sequence[str]) -> str:
    """A notice about words with control characters; if they are many, the file is refused."""
    having, is_most = _having(words, odd)
    (number, word), count = having[0], len(having)
    if odd == ["\r"]:
        what, remedy = "carriage returns", "make them line ends: tr '\\r' '\\n' < FILE > NEW"
    elif separators := [name for c, name in _LINE_SEPARATORS.items() if c in odd]:
        what = separators[0]
        remedy = "make them line ends: perl -CSD -pe 's/[\\x{2028}\\x{2029}]/\\n/g' FILE > NEW"
    elif odd == ["\t"]:
        what, remedy = "tabs", f"put one word a line, or read a table with {option('format', 'tsv')}"
    else:
        what, remedy = "control characters", "take them out: perl -CSD -pe 's/[^\\PC\\n]//g' FILE > NEW"
    if is_most:
        raise DataError(f"has {what} in {count:,} of {len(words):,} lines, as in {shown(word)}: {remedy}; {as_words()}")
    return f"{count:,} of {len(words):,} words have {what}, the first of them word {number:,} ({shown(word)}): {remedy}"


def _header(words: Sequence[str]) -> str | None:
    """A notice about a first word that is more likely the header of a column."""
    first = words[0]
    if first.casefold().strip('"') not in _HEADERS or first in words[1:_SAMPLE_LINES]:
        return None
    return (
        f"the first line, {shown(first)}, looks like a header, and is read as a word: "
        f"{options(option('format', 'csv'), option('column', first.strip(chr(34))))} leaves it out"
    )


def _forms(words: Sequence[str], vocabulary: Vocabulary) -> str | None:
    """A notice about letters that are written as a letter and a mark, which Unicode also has as one character."""
    # words in composed form consist of characters that are in it, and have no marks that combine
    suspicious = {c for c in vocabulary.itos[1:] if unicodedata.combining(c) or not unicodedata.is_normalized("NFC", c)}
    if not suspicious and not any("\u1161" <= c <= "\u11c2" for c in vocabulary.itos[1:]):  # parts of Hangul
        return None
    decomposed = [word for word in words if not unicodedata.is_normalized("NFC", word)]
    if not decomposed:
        return None
    composed = {unicodedata.normalize("NFC", word) for word in decomposed}
    both = len(composed.intersection(words))
    mixed = any(not unicodedata.is_normalized("NFD", word) for word in words)
    count = f"{len(decomposed):,} of {len(words):,} words are in decomposed form (NFD)"
    if both:
        text = f"{count}; of {both:,} the composed form (NFC) is there too, as another word"
    elif mixed:
        text = f"{count}, the others in composed form (NFC): the same letters are different characters"
    else:
        text = f"{count}: each accent is a character of its own"
    return f"{text}; to make all of them NFC: {NORMALISE}"
