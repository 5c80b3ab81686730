"""Words as one array of tokens, which takes much less memory than a list of str.

A file or a list is first turned into chunks of text, in which each word ends with a newline. Once all characters are
known, the chunks are turned into tokens.

Axes: N tokens, including the end of each word; W words. numpy is imported only where arrays are made, so that a
plugin's data module can be imported without it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, overload

from zoo.data.vocabulary import BOUNDARY, NEWLINE, Vocabulary
from zoo.errors import DataError
from zoo.text import listed

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The size of a chunk. numpy's indices take 8 bytes each: those of a chunk fit into the processor's cache.
CHARACTERS = 1 << 18
WORDS = 1 << 12

_BOM = b"\xef\xbb\xbf"
_MARK = "\ufeff"  # the same, decoded
_ASCII_SPACES = [chr(code) for code in range(128) if chr(code).isspace() and chr(code) != "\n"]
_LAST_SPACE = 0x3000  # the last code point of Unicode that is white space


class Text:
    """The tokens of consecutive words, with a 0 after each word.

    Args:
        chunks: the words, each followed by a newline. They are iterated twice.

    Attributes:
        vocabulary: the characters of all words. Token 0 is written `.`, or as the newline where `.` is one of them.
        tokens: shape (N,), in the smallest type that holds the vocabulary.
        bounds: the index of the first token of each word, and N: shape (W + 1,).
    """

    def __init__(self, chunks: Iterable[str]) -> None:
        characters, size = _characters(chunks)
        self.vocabulary = Vocabulary(characters, NEWLINE if BOUNDARY in characters else BOUNDARY)
        self.tokens = tokenize(chunks, size, self.vocabulary)
        self.bounds = _bounds(self.tokens)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def decode(self, tokens: NDArray[Any]) -> str:
        """The text of tokens, with a newline after each word."""
        return str(self._code_points[tokens].tobytes(), "utf-32-le")

    @cached_property
    def _code_points(self) -> NDArray[Any]:
        """The code point of each token; a newline for token 0."""
        import numpy as np

        return np.array([ord("\n"), *map(ord, self.vocabulary.itos[1:])], dtype="<u4")


class Words(Sequence[str]):
    """A selection of the words of a text, in any order: a sequence of str that equals a list of the same words.

    Attributes:
        text: all words.
        indices: of the selected words, shape (W,).
    """

    def __init__(self, text: Text, indices: range | NDArray[Any]) -> None:
        import numpy as np

        if isinstance(indices, range) and indices.step != 1:
            indices = np.arange(indices.start, indices.stop, indices.step)
        self.text = text
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Words: ...
    def __getitem__(self, index: int | slice) -> str | Words:
        text = self.text
        if isinstance(index, slice):
            return Words(text, self.indices[index])
        word = int(self.indices[index])
        return text.decode(text.tokens[text.bounds[word] : text.bounds[word + 1]])[:-1]

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), WORDS):
            yield from self.text.decode(self[start : start + WORDS].tokens).split("\n")[:-1]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, list | Words):
            return NotImplemented
        return len(self) == len(other) and all(mine == its for mine, its in zip(self, other, strict=True))

    def __add__(self, other: Sequence[str]) -> list[str]:
        return [*self, *other]

    def __radd__(self, other: Sequence[str]) -> list[str]:
        return [*other, *self]

    def __repr__(self) -> str:
        return f"<{len(self):,} words: {listed(self, 3)}>"

    @property
    def all(self) -> Words:
        """All words of the text, in its order."""
        return Words(self.text, range(len(self.text)))

    @property
    def lengths(self) -> NDArray[Any]:
        """The number of tokens of each word, including its end: shape (W,)."""
        bounds, indices = self.text.bounds, self.indices
        if isinstance(indices, range):
            starts, ends = bounds[indices.start : indices.stop], bounds[1:][indices.start : indices.stop]
        else:
            starts, ends = bounds[indices], bounds[1:][indices]
        lengths: NDArray[Any] = ends - starts
        return lengths

    @property
    def tokens(self) -> NDArray[Any]:
        """The tokens of all words, with a 0 after each: shape (N,). They may be a view of the text's array."""
        import numpy as np

        text, indices = self.text, self.indices
        if isinstance(indices, range):
            return text.tokens[text.bounds[indices.start] : text.bounds[indices.stop]]
        tokens = np.empty(int(self.lengths.sum()), text.tokens.dtype)
        offset = 0
        for start in range(0, len(indices), WORDS):
            offset = _copy(text, indices[start : start + WORDS], tokens, offset)
        return tokens

    def tokens_in(self, vocabulary: Vocabulary) -> NDArray[Any]:
        """A copy of `tokens` in another vocabulary. Characters that it lacks are marked as by `tokenize`."""
        import numpy as np

        tokens = self.tokens
        if vocabulary == self.text.vocabulary:
            return tokens.copy()
        characters = self.text.vocabulary.itos[1:]
        table = tokenize(["\n", *characters], 1 + len(characters), vocabulary)
        converted = np.empty(len(tokens), table.dtype)
        for start in range(0, len(tokens), CHARACTERS):
            converted[start : start + CHARACTERS] = table[tokens[start : start + CHARACTERS]]
        return converted


# From a file or a list to chunks of text


class Lines:
    """The words of a UTF-8 file with one word per line, in chunks, without blank lines and white space around words.

    Lines end with a newline, or with a carriage return and a newline; in a file without any newline, with a carriage
    return. A byte order mark is no part of a word: at the start of any line, because files that have one are joined.

    Each iteration decodes the file again, because the decoded text could take 4 bytes per character.

    Raises:
        DataError: the file is empty or not text. Invalid UTF-8 is found while iterating.
    """

    def __init__(self, content: bytes) -> None:
        if not content or content.isspace():
            raise DataError("is empty: it must have one word per line")
        if b"\0" in content:
            raise DataError("is not a text file: it must have one word per line, in UTF-8")
        self._content = content

    def __iter__(self) -> Iterator[str]:
        content = self._content
        first = start = len(_BOM) if content.startswith(_BOM) else 0
        line_end = line_end_of(content)
        while start < len(content):
            end = content.find(line_end, start + CHARACTERS) + 1 or len(content)
            try:
                lines = content[start:end].decode()
            except UnicodeDecodeError as error:
                byte = start - first + error.start
                raise DataError(
                    f"is not UTF-8 text (byte {byte}): it must have one word per line; if it is in another encoding, "
                    "convert it, for example with iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW"
                ) from error
            yield _stripped(lines if line_end == b"\n" else lines.replace("\r", "\n"))
            start = end


def line_end_of(content: bytes) -> bytes:
    """What ends a line of a file: a carriage return only if there is no newline."""
    return b"\n" if b"\n" in content else b"\r"


def longest_line(content: bytes) -> int:
    """The number of the line with the longest word, from 1."""
    lines = iter(content.split(line_end_of(content)))
    return max(enumerate(lines, start=1), key=lambda line: len(line[1].strip().decode(errors="replace")))[0]


def chunks_of_list(words: Sequence[str]) -> list[str]:
    """The words of a list in chunks of text.

    Raises:
        DataError: a word is invalid.
    """
    try:
        chunks = ["\n".join([*batch, ""]) for batch in batches(words, WORDS)]
    except TypeError as error:
        raise DataError("words must be a list of str") from error
    for chunk, batch in zip(chunks, batches(words, WORDS), strict=True):
        if chunk.count("\n") != len(batch) or chunk.startswith("\n") or "\n\n" in chunk:
            bad = next(word for word in batch if not word or "\n" in word)
            raise DataError(f"the word {bad!r} cannot be used: a word is one line, not empty")
        try:
            chunk.encode()
        except UnicodeEncodeError as error:
            bad = next(word for word in batch if chunk[error.start] in word)
            raise DataError(f"the word {bad!r} cannot be used: it is not valid Unicode") from error
    return chunks


def batches(words: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """The words, `size` at a time."""
    for start in range(0, len(words), size):
        yield words[start : start + size]


def _stripped(lines: str) -> str:
    """Lines without blank ones and white space around words, with a newline after the last."""
    if "\r" in lines:
        lines = lines.replace("\r\n", "\n")
    if _MARK in lines:
        lines = "\n".join([line.removeprefix(_MARK) for line in lines.split("\n")])
    if lines.startswith("\n") or "\n\n" in lines or _has_spaces(lines):
        # not splitlines, which also splits at form feeds and Unicode separators
        lines = "\n".join([word for line in lines.split("\n") if (word := line.strip())])
    return lines + "\n" if lines and not lines.endswith("\n") else lines


def _has_spaces(lines: str) -> bool:
    """Whether there is white space other than newlines."""
    if lines.isascii():
        return any(space in lines for space in _ASCII_SPACES)
    table = _space_table()
    return any(bool(table[_codes(part).clip(max=_LAST_SPACE + 1)].any()) for part in _parts([lines]))


@cache
def _space_table() -> NDArray[Any]:
    """Whether a code point is white space, for all up to the one after the last that is."""
    import numpy as np

    return np.array([chr(code).isspace() and code != ord("\n") for code in range(_LAST_SPACE + 2)])


# From chunks of text to tokens


def tokenize(chunks: Iterable[str], size: int, vocabulary: Vocabulary) -> NDArray[Any]:
    """The tokens of a text: 0 for a newline, and the largest value of the type for characters out of the vocabulary.

    Args:
        chunks: the text.
        size: its length, N.
        vocabulary: its characters.

    Returns:
        Shape (N,), in the smallest type that holds the vocabulary.
    """
    import numpy as np

    table = _token_table(vocabulary)
    last = len(table) - 1
    ascii_table = np.append(table[:128], np.full(256, table[last]))[:256].astype(np.uint8).tobytes()
    tokens = np.empty(size, table.dtype)
    offset = 0
    for part in _parts(chunks):
        view = tokens[offset : offset + len(part)]
        if part.isascii() and table.dtype == np.uint8:
            view[:] = np.frombuffer(part.encode().translate(ascii_table), np.uint8)
        else:
            view[:] = table[np.minimum(_codes(part), last)]
        offset += len(part)
    return tokens


def has_unknown(tokens: NDArray[Any]) -> bool:
    """Whether tokens from `tokenize` include a character out of the vocabulary."""
    import numpy as np

    return bool(len(tokens)) and int(tokens.max()) == np.iinfo(tokens.dtype).max


def _token_table(vocabulary: Vocabulary) -> NDArray[Any]:
    """The token of each code point, or the largest value of the type; the last entry is never a character's token."""
    import numpy as np

    size = len(vocabulary)
    dtype = np.uint8 if size < 2**8 else np.int16 if size < 2**15 else np.int32
    codes = [ord(character) for character in vocabulary.itos[1:]]
    table = np.full(max([*codes, ord("\n")]) + 2, np.iinfo(dtype).max, dtype)
    table[ord("\n")] = 0
    table[codes] = np.arange(1, size)
    return table


def _characters(chunks: Iterable[str]) -> tuple[set[str], int]:
    """The characters of a text, except newlines, and its length."""
    import numpy as np

    size = 0
    known = b"\n"  # ASCII characters; deleting them from a part soon leaves nothing to search
    seen = np.zeros(sys.maxunicode + 1, np.bool_)
    for part in _parts(chunks):
        size += len(part)
        if not part.isascii():
            seen[_codes(part)] = True
            continue
        rest = part.encode()
        while rest:
            known = bytes({*known, *rest[:1024]})
            rest = rest.translate(None, known)
    seen[np.frombuffer(known, np.uint8)] = True
    return set(map(chr, np.flatnonzero(seen).tolist())) - {"\n"}, size


def _parts(chunks: Iterable[str]) -> Iterator[str]:
    """The same text in parts of limited size: a chunk may have a very long line."""
    for chunk in chunks:
        for start in range(0, len(chunk), 2 * CHARACTERS):
            yield chunk[start : start + 2 * CHARACTERS]


def _codes(text: str) -> NDArray[Any]:
    """The code points of a text."""
    import numpy as np

    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _bounds(tokens: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    words = len(tokens) - int(np.count_nonzero(tokens))
    bounds = np.zeros(words + 1, np.uint32 if len(tokens) < 2**32 else np.int64)
    word = 1
    for start in range(0, len(tokens), CHARACTERS):
        ends = np.flatnonzero(tokens[start : start + CHARACTERS] == 0)
        bounds[word : word + len(ends)] = ends + (start + 1)
        word += len(ends)
    return bounds


def _copy(text: Text, indices: NDArray[Any], tokens: NDArray[Any], offset: int) -> int:
    """Copy the tokens of the words at `indices` to `tokens` from `offset` on. Returns the offset after them."""
    import numpy as np

    starts = text.bounds[indices].astype(np.int64)
    lengths = text.bounds[1:][indices] - starts
    end = offset + int(lengths.sum())
    if len(indices) == 1:
        tokens[offset:end] = text.tokens[starts[0] : starts[0] + lengths[0]]
    elif end - offset > CHARACTERS:  # long words: their indices would take too much memory
        middle = len(indices) // 2
        _copy(text, indices[middle:], tokens, _copy(text, indices[:middle], tokens, offset))
    else:
        shifts = np.repeat(starts - (lengths.cumsum() - lengths), lengths)
        tokens[offset:end] = text.tokens[shifts + np.arange(end - offset)]
    return end


def sha256_of(words: Sequence[str]) -> str:
    """Hex sha256 of words joined by newlines, which identifies a list of words."""
    return hashlib.sha256("\n".join(words).encode("utf-8", "surrogatepass")).hexdigest()
