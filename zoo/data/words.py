"""Words as one stream of small numbers, of which a str is made only where somebody asks for one.

A file or a list first becomes pieces of text: words, each with a newline after it. Once all characters are known, the
pieces become numbers.

Axes: N characters, ends of words included; W words. numpy is imported only where arrays are made, so that a plugin's
data module can be imported without it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, NoReturn, overload

from zoo.data.vocabulary import BOUNDARY, Vocabulary
from zoo.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What is looked at in one go. numpy indexes with 8 bytes a number: in pieces that is little, and stays in the cache.
CHARACTERS = 1 << 18
WORDS = 1 << 12

_BOM = b"\xef\xbb\xbf"
_BLANKS = [chr(code) for code in range(128) if chr(code).isspace() and chr(code) != "\n"]
_LAST_BLANK = 0x3000  # of Unicode


class Text:
    """Words one after the other, as numbers, each word with a 0 after it.

    Args:
        pieces: the words, each with a newline after it. They are gone through twice.

    Attributes:
        vocabulary: the characters of all words.
        tokens: their numbers, shape (N,), in the smallest type that holds the vocabulary.
        bounds: the places where words start, and N: shape (W + 1,).
    """

    def __init__(self, pieces: Iterable[str]) -> None:
        characters, size = _characters(pieces)
        self.vocabulary = Vocabulary(characters)
        self.tokens = numbered(pieces, size, self.vocabulary)
        self.bounds = _bounds(self.tokens)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def spelled(self, tokens: NDArray[Any]) -> str:
        """The text of some tokens, with a newline after each word."""
        return str(self._letters[tokens].tobytes(), "utf-32-le")

    @cached_property
    def _letters(self) -> NDArray[Any]:
        """The code point of each number, a newline for 0."""
        import numpy as np

        return np.array([ord("\n"), *map(ord, self.vocabulary.itos[1:])], dtype="<u4")


class Words(Sequence[str]):
    """Some words of a text, in some order. It reads as a list of str does, and equals one of the same words.

    Args:
        text: the words.
        picked: which of them, by number: shape (W,).
    """

    def __init__(self, text: Text, picked: range | NDArray[Any]) -> None:
        import numpy as np

        if isinstance(picked, range) and picked.step != 1:
            picked = np.arange(picked.start, picked.stop, picked.step)
        self._text = text
        self._picked = picked

    def __len__(self) -> int:
        return len(self._picked)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Words: ...
    def __getitem__(self, index: int | slice) -> str | Words:
        if isinstance(index, slice):
            return Words(self._text, self._picked[index])
        place = int(self._picked[index])
        return self._text.spelled(self._text.tokens[self._text.bounds[place] : self._text.bounds[place + 1]])[:-1]

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), WORDS):
            yield from self._text.spelled(self[start : start + WORDS].tokens).split("\n")[:-1]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, list | Words):
            return NotImplemented
        return len(self) == len(other) and all(mine == its for mine, its in zip(self, other, strict=True))

    def __add__(self, other: Sequence[str]) -> list[str]:
        return [*self, *other]

    def __radd__(self, other: Sequence[str]) -> list[str]:
        return [*other, *self]

    def __repr__(self) -> str:
        return f"<{len(self):,} words: {', '.join([*self[:3], '...'][: len(self)])}>"

    @property
    def lengths(self) -> NDArray[Any]:
        """The length of each word and its end: shape (W,)."""
        bounds, picked = self._text.bounds, self._picked
        if isinstance(picked, range):
            starts, ends = bounds[picked.start : picked.stop], bounds[1:][picked.start : picked.stop]
        else:
            starts, ends = bounds[picked], bounds[1:][picked]
        lengths: NDArray[Any] = ends - starts
        return lengths

    @property
    def tokens(self) -> NDArray[Any]:
        """The numbers of all characters, a 0 after each word: shape (N,). It may be the text's own array."""
        import numpy as np

        text, picked = self._text, self._picked
        if isinstance(picked, range):
            return text.tokens[text.bounds[picked.start] : text.bounds[picked.stop]]
        tokens = np.empty(int(self.lengths.sum()), text.tokens.dtype)
        place = 0
        for start in range(0, len(picked), WORDS):
            place = _copy(text, picked[start : start + WORDS], tokens, place)
        return tokens

    def numbers(self, vocabulary: Vocabulary) -> NDArray[Any]:
        """As `tokens`, in another vocabulary and always in an array of its own; see `numbered` for what it lacks."""
        import numpy as np

        tokens = self.tokens
        if vocabulary == self._text.vocabulary:
            return tokens.copy()
        own = self._text.vocabulary.itos[1:]
        table = numbered(["\n", *own], 1 + len(own), vocabulary)
        numbers = np.empty(len(tokens), table.dtype)
        for start in range(0, len(tokens), CHARACTERS):
            numbers[start : start + CHARACTERS] = table[tokens[start : start + CHARACTERS]]
        return numbers


# From a file or a list to pieces of text


class Lines:
    """The words of a UTF-8 file with one a line, in pieces; blank lines and white space around words are dropped.

    They are made each time anew: kept, they would take up to 4 bytes a character beside the file's own.

    Raises:
        DataError: the file is empty or is not text; what is not UTF-8 is found on the way.
    """

    def __init__(self, content: bytes) -> None:
        if not content or content.isspace():
            raise DataError("is empty: one word a line is wanted")
        if b"\0" in content:
            raise DataError("is not a text file: one word a line, in UTF-8, is wanted")
        self._content = content

    def __iter__(self) -> Iterator[str]:
        content = self._content
        first = start = len(_BOM) if content.startswith(_BOM) else 0
        while start < len(content):
            end = content.find(b"\n", start + CHARACTERS) + 1 or len(content)
            try:
                lines = content[start:end].decode()
            except UnicodeDecodeError as error:
                byte = start - first + error.start
                raise DataError(f"is not UTF-8 text (byte {byte}): one word a line is wanted") from error
            yield _stripped(lines)
            start = end


def pieces_of_list(words: Sequence[str]) -> list[str]:
    """The given words.

    Raises:
        DataError: one of them cannot be a word.
    """
    try:
        pieces = ["\n".join([*some, ""]) for some in chunks(words, WORDS)]
    except TypeError as error:
        raise DataError("words must be a list of str") from error
    for piece, some in zip(pieces, chunks(words, WORDS), strict=True):
        if piece.count("\n") != len(some) or piece.startswith("\n") or "\n\n" in piece or BOUNDARY in piece:
            refuse_word(next(word for word in some if not word or BOUNDARY in word or "\n" in word))
        try:
            piece.encode()
        except UnicodeEncodeError as error:
            bad = next(word for word in some if piece[error.start] in word)
            raise DataError(f"the word {bad!r} cannot be used: UTF-8 cannot hold it") from error
    return pieces


def refuse_boundaries(pieces: Iterable[str]) -> None:
    """Raise DataError, with the first word that has a `.` in it."""
    for piece in pieces:
        if BOUNDARY in piece:
            refuse_word(next(word for word in piece.split("\n") if BOUNDARY in word))


def refuse_word(word: str) -> NoReturn:
    """Raise DataError for a word that has a `.` or a newline in it, or is empty."""
    why = f"{BOUNDARY!r} marks where words start and end" if BOUNDARY in word else "a word is one line, not empty"
    raise DataError(f"the word {word!r} cannot be used: {why}")


def chunks(words: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """The words, `size` at a time."""
    for start in range(0, len(words), size):
        yield words[start : start + size]


def _stripped(lines: str) -> str:
    """Lines with nothing around their words, no blank one, and a newline after the last."""
    if "\r" in lines:
        lines = lines.replace("\r\n", "\n")
    if lines.startswith("\n") or "\n\n" in lines or _has_blanks(lines):
        # not splitlines, which also cuts at form feeds and Unicode separators
        lines = "\n".join([word for line in lines.split("\n") if (word := line.strip())])
    return lines + "\n" if lines and not lines.endswith("\n") else lines


def _has_blanks(lines: str) -> bool:
    """Whether there is white space other than newlines."""
    if lines.isascii():
        return any(blank in lines for blank in _BLANKS)
    table = _blank_codes()
    return any(bool(table[_codes(part).clip(max=_LAST_BLANK + 1)].any()) for part in _parts([lines]))


@cache
def _blank_codes() -> NDArray[Any]:
    """Whether a code point is white space, up to one after the last that is."""
    import numpy as np

    return np.array([chr(code).isspace() and code != ord("\n") for code in range(_LAST_BLANK + 2)])


# From pieces of text to numbers


def numbered(pieces: Iterable[str], size: int, vocabulary: Vocabulary) -> NDArray[Any]:
    """The numbers of all characters of some text, 0 for a newline, the type's largest value for those without one.

    Args:
        pieces: the text.
        size: its length, N.
        vocabulary: the characters and their numbers.

    Returns:
        Shape (N,), in the smallest type that holds the vocabulary.
    """
    import numpy as np

    table = _table(vocabulary)
    last = len(table) - 1
    plain = np.append(table[:128], np.full(256, table[last]))[:256].astype(np.uint8).tobytes()
    tokens = np.empty(size, table.dtype)
    place = 0
    for part in _parts(pieces):
        some = tokens[place : place + len(part)]
        if part.isascii() and table.dtype == np.uint8:
            some[:] = np.frombuffer(part.encode().translate(plain), np.uint8)
        else:
            some[:] = table[np.minimum(_codes(part), last)]
        place += len(part)
    return tokens


def missing(tokens: NDArray[Any]) -> bool:
    """Whether a character without a number is among those that `numbered` gave."""
    import numpy as np

    return bool(len(tokens)) and int(tokens.max()) == np.iinfo(tokens.dtype).max


def _table(vocabulary: Vocabulary) -> NDArray[Any]:
    """The number of each code point; the type's largest value for those without one, which the last surely is."""
    import numpy as np

    size = len(vocabulary)
    dtype = np.uint8 if size < 2**8 else np.int16 if size < 2**15 else np.int32
    codes = [ord(character) for character in vocabulary.itos[1:]]
    table = np.full(max([*codes, ord("\n")]) + 2, np.iinfo(dtype).max, dtype)
    table[ord("\n")] = 0
    table[codes] = np.arange(1, size)
    return table


def _characters(pieces: Iterable[str]) -> tuple[set[str], int]:
    """The characters of some text, newlines aside, and its length."""
    import numpy as np

    size = 0
    known = b"\n"  # of ASCII: what is left without them is mostly nothing
    seen = np.zeros(sys.maxunicode + 1, np.bool_)
    for part in _parts(pieces):
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


def _parts(pieces: Iterable[str]) -> Iterator[str]:
    """The same text, in pieces of some size at most: a line may be long."""
    for piece in pieces:
        for start in range(0, len(piece), 2 * CHARACTERS):
            yield piece[start : start + 2 * CHARACTERS]


def _codes(text: str) -> NDArray[Any]:
    import numpy as np

    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _bounds(tokens: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    words = len(tokens) - int(np.count_nonzero(tokens))
    bounds = np.zeros(words + 1, np.uint32 if len(tokens) < 2**32 else np.int64)
    place = 1
    for start in range(0, len(tokens), CHARACTERS):
        ends = np.flatnonzero(tokens[start : start + CHARACTERS] == 0)
        bounds[place : place + len(ends)] = ends + (start + 1)
        place += len(ends)
    return bounds


def _copy(text: Text, picked: NDArray[Any], tokens: NDArray[Any], place: int) -> int:
    """Copy the tokens of the words that are picked to `place`, and return the place after them."""
    import numpy as np

    starts = text.bounds[picked].astype(np.int64)
    lengths = text.bounds[1:][picked] - starts
    end = place + int(lengths.sum())
    if len(picked) == 1:
        tokens[place:end] = text.tokens[starts[0] : starts[0] + lengths[0]]
    elif end - place > CHARACTERS:  # long words: the indices would be many
        middle = len(picked) // 2
        _copy(text, picked[middle:], tokens, _copy(text, picked[:middle], tokens, place))
    else:
        steps = np.repeat(starts - (lengths.cumsum() - lengths), lengths)
        tokens[place:end] = text.tokens[steps + np.arange(end - place)]
    return end


def sha256_of(words: Sequence[str]) -> str:
    """Hex sha256 of words joined by newlines: what identifies a list of them."""
    return hashlib.sha256("\n".join(words).encode("utf-8", "surrogatepass")).hexdigest()
