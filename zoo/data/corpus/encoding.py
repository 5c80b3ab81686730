"""Running text to tokens, in passes of bounded memory: one finds the characters, the next one encodes them.

A carriage return and newline become a newline, so that a text gives the same tokens whatever system it was saved on; a
byte order mark at its start is dropped. Everything else counts, a carriage return alone too.

Axes: N tokens. numpy is imported only where arrays are made, so that a plugin's data module can be imported without it.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeAlias

from zoo import stages
from zoo.data.vocabulary import START, Vocabulary
from zoo.errors import DataError, PluginError
from zoo.plugin.calling import is_of_plugin

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK = 1 << 20  # bytes read at once
TEXT = 1 << 16  # characters given to a tokenizer at once, up to the end of their line
LONGEST_TEXT = 1 << 20  # characters given to it at once where no line ends

_MARK = "\ufeff"  # a byte order mark
_SAMPLE = 1 << 12  # characters of the text whose ids are part of a tokenizer's identity

Piece: TypeAlias = bytes | str  # some of the text: bytes where it is ASCII


class Tokenizer(Protocol):
    """What makes ids of text: a pretrained tokenizer, for example."""

    @property
    def vocab_size(self) -> int:
        """How many ids there are: they are below it."""

    def encode(self, text: str, /) -> Iterable[int]:
        """The ids of a text."""

    def decode(self, ids: list[int], /) -> str:
        """The text of ids."""


@dataclass(frozen=True)
class Scan:
    """What the first pass finds.

    Attributes:
        sha256: hex digest of the bytes.
        characters: all that occur, sorted.
        count: how many there are in all.
    """

    sha256: str
    characters: str
    count: int


def pieces(file: BinaryIO, digest: Any = None) -> Iterator[Piece]:
    """A UTF-8 file in pieces.

    Args:
        file: the file, at its start.
        digest: a hash that is updated with all bytes.

    Raises:
        DataError: it is not text, with the first byte that is not, counted from 0.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset, pending = 0, b""  # of the next chunk in the file; a carriage return that a newline may follow
    started, size = False, _size(file)
    while True:
        chunk = file.read(CHUNK)
        stages.advance(offset + len(chunk), size)
        if digest is not None:
            digest.update(chunk)
        if (zero := chunk.find(b"\0")) >= 0:
            raise DataError(f"is not a text file (byte {offset + zero:,} is 0): running text must be UTF-8")
        data = pending + chunk
        pending = b"\r" if chunk and data.endswith(b"\r") else b""
        data = data.removesuffix(pending)
        offset += len(chunk)
        if not data.isascii() or decoder.getstate()[0]:
            text = _decoded(decoder, data, final=not chunk, end=offset - len(pending))
            started, text = started or bool(text), text if started else text.removeprefix(_MARK)
            yield text.replace("\r\n", "\n") if "\r" in text else text
        elif data:
            started = True
            yield data.replace(b"\r\n", b"\n") if b"\r" in data else data
        if not chunk:
            return


def _size(file: BinaryIO) -> int:
    """The bytes of a file at its start."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size


def _decoded(decoder: codecs.IncrementalDecoder, data: bytes, *, final: bool, end: int) -> str:
    """The text of some bytes and of those that were left over before them; `end` is the offset after them."""
    before = decoder.getstate()[0]
    try:
        return decoder.decode(data, final)
    except UnicodeDecodeError as error:
        rest = (before + data)[error.start :]
        byte = f"byte {end - len(rest):,} is 0x{rest[0]:02x}"
        raise DataError(f"is not UTF-8 text ({byte}): convert it to UTF-8") from error


def scan(file: BinaryIO) -> Scan:
    """The first pass. Raises DataError as `pieces` does."""
    import numpy as np

    digest = hashlib.sha256()
    count, known = 0, b""  # ASCII characters; deleting them from a piece soon leaves nothing to search
    seen = np.zeros(sys.maxunicode + 1, np.bool_)
    for piece in pieces(file, digest):
        count += len(piece)
        if isinstance(piece, str):
            seen[_codes(piece)] = True
            continue
        rest = piece
        while rest:
            known = bytes({*known, *rest[:1024]})
            rest = rest.translate(None, known)
    seen[np.frombuffer(known, np.uint8)] = True
    return Scan(digest.hexdigest(), "".join(map(chr, np.flatnonzero(seen).tolist())), count)


def smallest(vocab_size: int) -> str:
    """The smallest integer type that holds the tokens of a vocabulary."""
    return "uint8" if vocab_size <= 1 << 8 else "uint16" if vocab_size <= 1 << 16 else "uint32"


def encode_characters(file: BinaryIO, vocabulary: Vocabulary) -> Iterator[NDArray[Any]]:
    """The second pass: the tokens of a file, in parts of shape (N,).

    Raises:
        DataError: it has a character that the vocabulary lacks, or is not text.
    """
    import numpy as np

    dtype = smallest(len(vocabulary))
    codes = [ord(character) for character in vocabulary.itos[1:]]
    table = np.zeros(max([*codes, 127]) + 2, dtype)  # 0, which is no character's, for those it lacks
    table[codes] = np.arange(1, len(vocabulary))
    ascii_table = np.resize(table[:128], 256).astype(np.uint8).tobytes()
    for piece in pieces(file):
        if isinstance(piece, bytes) and dtype == "uint8":
            part = np.frombuffer(piece.translate(ascii_table), np.uint8)
        else:
            points = np.frombuffer(piece, np.uint8) if isinstance(piece, bytes) else _codes(piece)
            part = table[np.minimum(points, len(table) - 1)]
        if not part.all():
            text = piece.decode() if isinstance(piece, bytes) else piece
            character = next(c for c in text if c not in vocabulary.stoi)
            raise DataError(f"has {character!r}, which is not in the vocabulary of {len(vocabulary) - 1:,} characters")
        yield part


def texts(file: BinaryIO) -> Iterator[str]:
    """A file in parts that end with a line, to give to a tokenizer: the same ones, however it is read."""
    rest = ""
    for piece in pieces(file):
        rest += piece.decode() if isinstance(piece, bytes) else piece
        start = 0
        while len(rest) - start > LONGEST_TEXT:
            end = rest.find("\n", start + TEXT, start + LONGEST_TEXT) + 1 or start + LONGEST_TEXT
            yield rest[start:end]
            start = end
        rest = rest[start:]
    start = 0
    while start < len(rest):
        end = rest.find("\n", start + TEXT) + 1 or len(rest)
        yield rest[start:end]
        start = end


def encode_ids(file: BinaryIO, tokenizer: Tokenizer) -> Iterator[NDArray[Any]]:
    """The ids of a tokenizer plus 1, because token 0 stands before the text; in parts of shape (N,).

    The tokenizer gets whole lines, some 65,536 characters at once.

    Raises:
        DataError: the file is not text.
        PluginError: an id is no whole number below `vocab_size`.
    """
    import numpy as np

    size = vocab_size_of(tokenizer)
    for text in texts(file):
        ids = np.asarray(list(tokenizer.encode(text)))
        if not ids.size:
            continue
        if ids.ndim != 1 or ids.dtype.kind not in "iu" or int(ids.min()) < 0 or int(ids.max()) >= size:
            wrong = next((i for i in ids.tolist() if type(i) is not int or not 0 <= i < size), ids.tolist())
            raise PluginError(f"tokenizer {name_of(tokenizer)} made the id {wrong!r}: ids are from 0 to {size - 1}")
        yield (ids + 1).astype(smallest(size + 1))


def vocab_size_of(tokenizer: Tokenizer) -> int:
    """Raises PluginError where the object is no tokenizer."""
    size = getattr(tokenizer, "vocab_size", None)
    if type(size) is not int or size < 1 or not callable(getattr(tokenizer, "encode", None)):
        raise PluginError(
            f"tokenizer {name_of(tokenizer)} must have 'encode(text)', 'decode(ids)' and 'vocab_size', a whole number"
        )
    return size


def name_of(tokenizer: Tokenizer) -> str:
    """Its name, for people: the attribute `name` or that of its class."""
    name = getattr(tokenizer, "name", None)
    return name if isinstance(name, str) and name else type(tokenizer).__name__


def identity_of(tokenizer: Tokenizer, file: BinaryIO) -> str:
    """A hex digest that tells tokenizers apart: by class, size, the text of each id, and how the file's start is split.

    Two of the same class and size may have been trained on different text.
    """
    kind = type(tokenizer)
    digest = hashlib.sha256(f"{kind.__module__}.{kind.__qualname__} {vocab_size_of(tokenizer)}\n".encode())
    for token in range(vocab_size_of(tokenizer)):
        try:
            text = tokenizer.decode([token])
        except BaseException as error:  # an id without a text of its own
            if not is_of_plugin(error):
                raise
            text = type(error).__name__
        digest.update(f"{text!r}\n".encode("utf-8", "surrogatepass"))
    start = next(texts(file), "")[:_SAMPLE]
    digest.update(repr([int(i) for i in tokenizer.encode(start)]).encode())
    return digest.hexdigest()


def character_vocabulary(characters: str) -> Vocabulary:
    """The vocabulary of running text."""
    return Vocabulary(characters, START)


def _codes(text: str) -> NDArray[Any]:
    """The code points of a text."""
    import numpy as np

    return np.frombuffer(text.encode("utf-32-le"), "<u4")
