"""The dataset of running text, split by position.

torch and numpy are imported only where arrays are made, so that a plugin's data module can be imported without them.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from zoo import stages
from zoo.ambient import in_neutral_state
from zoo.data.corpus import cache
from zoo.data.corpus.encoding import (
    Scan,
    Tokenizer,
    character_vocabulary,
    encode_characters,
    encode_ids,
    identity_of,
    name_of,
    scan,
    smallest,
    vocab_size_of,
)
from zoo.data.examples import SPLITS, SplitName
from zoo.data.files.content import content_of, reading
from zoo.data.vocabulary import Vocabulary
from zoo.errors import DataError, UsageError
from zoo.files import WrongDigestError, from_person, kind_of, open_file
from zoo.html import facts, titled
from zoo.numbers import show_value
from zoo.options.values import is_number, plain

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from zoo.data.corpus.tokens import Tokens
    from zoo.data.sources.origin import Origin

SPLIT = (0.8, 0.9)
_SHOWN = 60  # characters that a notebook shows
BLOCK_LENGTH = 64  # positions of a block by default, for models of sequences
ENCODING = "Encoding the text"  # the stage
LARGE = 32 << 20  # bytes of a file from which on its tokens are kept in the cache, and not in memory
LARGE_FOR_TOKENIZERS = 1 << 20  # the same where a tokenizer makes them, which takes long


class CorpusDataset:
    """Running text: every character counts, the full stop, spaces and newlines too, and contexts cross lines.

    Windows and blocks see the text before them across the ends of splits, and token 0 before its start. A carriage
    return and newline count as a newline, and a byte order mark at the start is dropped.

    A file of 32 MiB or more is encoded once, in passes of bounded memory, into the cache (`ZOO_CACHE`), and is read
    from there batch by batch.

    Args:
        text: the text; or
        path: a UTF-8 file. It may be a pipe, which is read to its end.
        tokenizer: an object with `encode(text)`, `decode(ids)` and `vocab_size`, whose ids are the tokens; by default
            each character is one. It gets whole lines, some 65,536 characters at once. Its ids are stored plus 1,
            because token 0 stands before the text.
        split: the ends of training and validation, as fractions of the tokens, cut at `int(n * 0.8)` and
            `int(n * 0.9)` by default. With an end of validation of 1 there is no test split.
        evaluate: evaluate only the first so many targets of each split; None: all.
        sha256: the digest that the file must have. Then it must be a regular file, and nothing of one that has another
            digest is used or shown: for a path that a checkpoint states.

    Attributes:
        splits: the positions of each split in the text.
        sha256: hex digest of the file, or of the text in UTF-8.
        vocabulary: of the characters; None with a tokenizer.

    Raises:
        ChangedDataError: the file has another digest.
        DataError: it cannot be read, is not text, or is too short; or the cache cannot be written.
        PluginError: the tokenizer makes something else than ids.
        UsageError: `split` is not two increasing fractions, `evaluate` not a whole number from 1, or neither or both of
            `text` and `path` are given.
    """

    tokens: Tokens
    sha256: str
    vocabulary: Vocabulary | None
    origin: Origin | None = None  # where `zoo.load_dataset` had it from

    def __init__(
        self,
        text: str | None = None,
        *,
        path: str | os.PathLike[str] | None = None,
        tokenizer: Tokenizer | None = None,
        split: tuple[float, float] = SPLIT,
        evaluate: int | None = None,
        sha256: str | None = None,
    ) -> None:
        if (text is None) == (path is None):
            raise UsageError("zoo.CorpusDataset takes either text= or path=")
        self.tokenizer = tokenizer
        if tokenizer is not None:
            vocab_size_of(tokenizer)
        check_split(plain(split))
        check_evaluate(plain(evaluate))
        if path is None:
            self._encode(io.BytesIO(_utf8(text)))
        else:
            self._read(from_person(path) if isinstance(path, str) else Path(path), sha256)
        self._arrange(plain(split), plain(evaluate))

    def __repr__(self) -> str:
        splits = ", ".join(f"{name} {len(positions):,}" for name, positions in self.splits.items())
        return f"<CorpusDataset of {len(self):,} {self.unit}: {splits}; {self.vocab_size:,} tokens>"

    def _repr_html_(self) -> str:
        """For a notebook: what was read."""
        counts: dict[str, str] = {name: f"{count:,} {self.unit}" for name, count in self.counts.items()}
        if self.vocabulary is None:
            known = {"tokenizer": f"{name_of(self._tokenizer)}, {self.vocab_size - 1:,} tokens"}
        else:
            known = {"vocabulary": self.vocabulary.summary, "begins": repr(self._beginning(self.vocabulary))}
        return titled(f"Running text of {len(self):,} {self.unit}", facts({**counts, **known}))

    def _beginning(self, vocabulary: Vocabulary) -> str:
        """The first characters; none where the file that had them is gone."""
        import torch

        try:
            [row] = self.tokens.rows(torch.zeros(1, dtype=torch.int64), min(_SHOWN, len(self))).tolist()
        except DataError:
            return ""
        return vocabulary.decode(row)

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def unit(self) -> str:
        """What is counted: characters, or a tokenizer's tokens."""
        return "characters" if self.tokenizer is None else "tokens"

    @property
    def vocab_size(self) -> int:
        """How many different tokens there are, with token 0."""
        return len(self.vocabulary) if self.vocabulary is not None else 1 + vocab_size_of(self._tokenizer)

    @property
    def tokenizer_info(self) -> dict[str, Any] | None:
        """The name and size of the tokenizer, for a config; None without one."""
        if self.tokenizer is None:
            return None
        return {"name": name_of(self.tokenizer), "vocab_size": vocab_size_of(self.tokenizer)}

    @property
    def counts(self) -> dict[str, int]:
        """The targets of each split: its characters, or tokens."""
        return {name: len(positions) for name, positions in self.splits.items()}

    @property
    def evaluated(self) -> dict[str, int] | None:
        """How many targets of each split are evaluated, where that is limited."""
        if self.evaluate is None:
            return None
        return {name: min(self.evaluate, count) for name, count in self.counts.items()}

    def arranged(self, *, split: tuple[float, float] | None = None, evaluate: int | None = None) -> CorpusDataset:
        """The same text, split or evaluated in another way."""
        dataset = CorpusDataset.__new__(CorpusDataset)
        vars(dataset).update(vars(self))
        dataset._arrange(split or self.split, evaluate)
        return dataset

    @in_neutral_state
    def tensors(
        self,
        split: SplitName = "train",
        *,
        context_length: int = 3,
        reads: str = "windows",
        max_length: int = BLOCK_LENGTH,
    ) -> tuple[Tensor, Tensor]:
        """A split as X and Y, on the CPU, of type int64, with each of its targets once.

        Args:
            split: `train`, `val` or `test`.
            context_length: characters, or tokens, of a window, T.
            reads: `windows`: X of shape (N, T), and Y of (N,), the character after each; or `sequences`: consecutive
                blocks, X and Y of shape (N, L), of which Y is one ahead; the last one is padded with 0 and with -1.
            max_length: positions of a block, L.

        Raises:
            DataError: the tensors do not fit into memory.
            UsageError: there is no such split or form, or a length is no whole number from 1, or longer than the text.
        """
        from zoo.data.sources.arrays import of_running_text

        return of_running_text(self, split, context_length, reads, max_length)

    @cached_property
    def splits(self) -> dict[SplitName, range]:
        cuts = (0, *(int(len(self) * end) for end in self.split), len(self))
        ranges = {name: range(*cuts[i : i + 2]) for i, name in enumerate(SPLITS)}
        return {name: positions for name, positions in ranges.items() if name != "test" or self.split[1] < 1}

    def _arrange(self, split: tuple[float, float], evaluate: int | None) -> None:
        check_split(split)
        check_evaluate(evaluate)
        self.split, self.evaluate = (float(split[0]), float(split[1])), evaluate
        vars(self).pop("splits", None)
        for name, positions in self.splits.items():
            if not positions:
                raise DataError(f"{len(self):,} {self.unit} split at {split} leave the {name} split empty")

    @property
    def _tokenizer(self) -> Tokenizer:
        assert self.tokenizer is not None
        return self.tokenizer

    def _read(self, path: Path, sha256: str | None) -> None:
        large = LARGE if self.tokenizer is None else LARGE_FOR_TOKENIZERS
        with reading(path, sha256):
            if kind_of(path) == "file" and path.stat().st_size >= large:
                with open_file(path) as file:
                    if sha256 is not None and cache.digest_of(path, file) != sha256:
                        raise WrongDigestError
                    self._encode_to_cache(path, file)
            else:
                self._encode(io.BytesIO(content_of(path, sha256)))

    def _encode(self, file: BinaryIO) -> None:
        """Encode a text to memory."""
        import numpy as np

        from zoo.data.corpus.tokens import TokensInMemory

        found = _scan(file)
        self.sha256 = found.sha256
        self._set_vocabulary(found)
        with stages.within(ENCODING):
            tokens = np.concatenate([np.zeros(1, smallest(self.vocab_size)), *self._parts(file)])
        self.tokens = TokensInMemory.of(tokens)

    def _encode_to_cache(self, path: Path, file: BinaryIO) -> None:
        """Find the tokens of a large file in the cache, or encode it to it."""
        import torch

        from zoo.data.corpus.tokens import TokensInFile

        identity = None if self.tokenizer is None else identity_of(self.tokenizer, file)
        file.seek(0)
        known = cache.known_digest(path)
        stored = None if known is None else cache.find(known, identity)
        if stored is None:
            before, began = cache.state_of(file), time.time()
            found = _scan(file)
            stored = cache.find(found.sha256, identity)
            if stored is None:
                self._set_vocabulary(found)
                characters = None if self.vocabulary is None else found.characters
                with stages.within(ENCODING):
                    stored = cache.store(found.sha256, identity, self._parts(file), self.vocab_size, characters)
            if cache.state_of(file) != before:
                raise DataError("changed while it was read: run again")
            cache.remember_digest(path, file, before, began, found.sha256)
            known = found.sha256
        assert known is not None
        self.sha256 = known
        self.vocabulary = None if stored.characters is None else character_vocabulary(stored.characters)
        self.tokens = TokensInFile(stored.path, stored.offset, stored.dtype, stored.count, torch.device("cpu"))

    def _set_vocabulary(self, found: Scan) -> None:
        if not found.count:
            raise DataError("is empty: running text has at least a few characters")
        self.vocabulary: Vocabulary | None = character_vocabulary(found.characters) if self.tokenizer is None else None

    def _parts(self, file: BinaryIO) -> Iterator[NDArray[Any]]:
        """The tokens of a file, in parts."""
        file.seek(0)
        if self.vocabulary is not None:
            return encode_characters(file, self.vocabulary)
        return encode_ids(file, self._tokenizer)


def _scan(file: BinaryIO) -> Scan:
    with stages.within("Reading the text"):
        return scan(file)


def is_unencoded(path: Path) -> bool:
    """Whether a file is a large one that is not known to be in the cache: encoding it takes a while."""
    if kind_of(path) != "file" or path.stat().st_size < LARGE:
        return False
    known = cache.known_digest(path)
    return known is None or cache.find(known, None) is None


def check_split(split: Any) -> None:
    """Raises UsageError where these are not two increasing fractions; the second one may be 1."""
    if not (isinstance(split, list | tuple) and len(split) == 2 and all(map(is_number, split))) or not (
        0 < split[0] < split[1] <= 1
    ):
        raise UsageError(
            f"'data.split' takes two increasing fractions, as in 0.8,0.9 (or 0.9,1.0 for no test split), not {split}"
        )


def check_evaluate(evaluate: object) -> None:
    """Raises UsageError where it is neither None nor a whole number from 1."""
    if evaluate is not None and (type(evaluate) is not int or evaluate < 1):
        raise UsageError(
            f"'data.evaluate' takes a number of targets of each split, from 1, or none, not {show_value(evaluate)}"
        )


def _utf8(text: object) -> bytes:
    if not isinstance(text, str):
        raise DataError(f"text must be str, not {type(text).__name__}: give a file as path=")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"the text is not valid Unicode: character {error.start:,} is {text[error.start]!r}") from error
