"""The dataset of words, with three splits.

numpy is imported only where arrays are made, so that a plugin's data module can be imported without it.
"""

from __future__ import annotations

import hashlib
import os
import random
from array import array
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.ambient import in_neutral_state
from zoo.data.examples import SPLITS, SplitName
from zoo.data.files.content import content_of, reading
from zoo.data.summary.other_kinds import binary_kind, check_lines, notices
from zoo.data.vocabulary import Vocabulary
from zoo.data.words import Lines, Text, Words, chunks_of_list, longest_line, sha256_of
from zoo.errors import DataError, UsageError
from zoo.files import from_person
from zoo.html import facts, titled
from zoo.numbers import show_value
from zoo.options.values import is_number, plain
from zoo.text import listed

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from zoo.data.sources.origin import Origin

LECTURE_SPLIT = (0.8, 0.9)
LONG = 1000  # positions of a word that is more likely a whole text
_FIRST_WORDS = 5  # that a notebook shows
MIN_WORDS = 6  # with fewer, a split of 80 %, 10 % and 10 % is empty


class TextDataset:
    """A list of words with its vocabulary and its training, validation and test splits.

    Args:
        words: the words, as a list or anything that gives them in an order; a word is not empty, and has any
            characters but the newline. Where one has a `.`, token 0 of the vocabulary is written as the newline.
        split: the ends of training and validation, as fractions of the words. By default the first 80 % are for
            training, the next 10 % for validation and the rest for test, cut at `int(n * 0.8)` and `int(n * 0.9)`.
        shuffle_seed: shuffle the words with `random.Random(shuffle_seed)` first; None keeps their order.
        sha256: hex digest that identifies the data; by default that of the words, joined by newlines.

    Attributes:
        words: all of them, a list of str, in the order in which they were given or stand in the file.
        splits: those of `train`, `val` and `test`, each a sequence of str, shuffled if asked for.
        vocabulary: their characters: `vocabulary.stoi` has the token of each, and `vocabulary.itos` the character.

    Raises:
        DataError: there are too few words for three splits, or a word is invalid.
        UsageError: `split` is not two increasing fractions, or `shuffle_seed` is no whole number from 0.
    """

    longest_line: int | None = None  # of the file, where its longest word is very long
    notices: tuple[str, ...] = ()  # what is doubtful about the words of the file, each in a sentence
    read_as: str | None = None  # how a table was read, in words
    origin: Origin | None = None  # where `zoo.load_dataset` had it from

    def __init__(
        self,
        words: Sequence[str],
        *,
        split: tuple[float, float] = LECTURE_SPLIT,
        shuffle_seed: int | None = None,
        sha256: str | None = None,
    ) -> None:
        split, shuffle_seed = plain(split), plain(shuffle_seed)
        check_split(split)
        check_shuffle_seed(shuffle_seed)
        words = _list_of(words)  # a copy: the caller's may change, and the digest is of these
        _check_count(len(words))
        self._arrange(Text(chunks_of_list(words)), split, shuffle_seed, sha256)
        self.words = words

    def __repr__(self) -> str:
        splits = ", ".join(f"{name} {len(words):,}" for name, words in self.splits.items())
        return f"<TextDataset of {len(self._text):,} words: {splits}; {len(self.vocabulary):,} tokens>"

    def _repr_html_(self) -> str:
        """For a notebook: what was read."""
        counts: dict[str, str] = {name: f"{len(words):,} words" for name, words in self.splits.items()}
        known = {
            "longest word": f"{self.max_length - 1:,} characters",
            "vocabulary": self.vocabulary.summary,
            "first words": listed(self.splits["train"], _FIRST_WORDS),
        }
        return titled(f"{len(self._text):,} words", facts({**counts, **known}))

    @classmethod
    def from_file(cls, path: str | Path, *, sha256: str | None = None, guess: bool = False) -> TextDataset:
        """Read a UTF-8 file with one word per line; blank lines and white space around words are dropped.

        Args:
            path: the file. It may be a pipe, as of `<(sort words.txt)`, which is read to its end.
            sha256: the digest that the file must have. Then it must be a regular file, and nothing of one that has
                another digest is used or shown: for a path that a checkpoint states.
            guess: nobody has said that it holds words. What is evidently something else, such as a table or running
                text, is refused, and `notices` has what is doubtful.

        Raises:
            ChangedDataError: the file has another digest.
            DataError: it cannot be read, is empty or not text, is too large for the memory, or has too few words or an
                invalid one.
        """
        path = from_person(path) if isinstance(path, str) else path  # a Path may be from a checkpoint
        with reading(path, sha256):
            content = content_of(path, sha256)
            dataset = cls.__new__(cls)
            dataset._read(content, guess=guess)
        dataset.notices = tuple(f"{path}: {notice}" for notice in dataset.notices)
        return dataset

    def arranged(self, *, split: tuple[float, float] | None, shuffle_seed: int | None) -> TextDataset:
        """The same words, split or shuffled another way."""
        split = split or self.split
        check_split(split)
        dataset = TextDataset.__new__(TextDataset)
        dataset._arrange(self._text, split, shuffle_seed, self._sha256)
        dataset.longest_line, dataset.notices, dataset.read_as = self.longest_line, self.notices, self.read_as
        dataset.origin = self.origin
        if "words" in vars(self):
            dataset.words = self.words
        return dataset

    @cached_property
    def words(self) -> list[str]:
        """All words as a list of str, which takes many times the memory of the tokens; made when it is first used."""
        return list(Words(self._text, range(len(self._text))))

    @cached_property
    def sha256(self) -> str:
        return self._sha256 or self.words_sha256

    @property
    def words_sha256(self) -> str:
        """Hex digest of the words, joined by newlines, from wherever they come; `sha256` may be that of a file."""
        return sha256_of(Words(self._text, range(len(self._text))))

    @property
    def vocabulary(self) -> Vocabulary:
        return self._text.vocabulary

    @cached_property
    def max_length(self) -> int:
        """The positions of a padded sequence: the characters of the longest word, and its end."""
        return int(Words(self._text, range(len(self._text))).lengths.max())

    @property
    def size(self) -> tuple[int, int]:
        """The number of words, and of their characters and ends."""
        return len(self._text), len(self._text.tokens)

    @cached_property
    def splits(self) -> dict[SplitName, Words]:
        """The words of each split, as sequences of str."""
        words = Words(self._text, self._order())
        first, second = self._cuts()
        return {"train": words[:first], "val": words[first:second], "test": words[second:]}

    @in_neutral_state
    def tensors(
        self,
        split: SplitName = "train",
        *,
        context_length: int = 3,
        reads: str = "windows",
        max_length: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """A split as X and Y, on the CPU, of type int64: what a training loop of one's own needs.

        `emma` gives the rows `... -> e`, `..e -> m`, `.em -> m`, `emm -> a` and `mma -> .`:

            X, Y = data.tensors("train")                       # (182778, 3) and (182778,) of the lecture's names
            X, Y = data.tensors("val", context_length=8)
            X, Y = data.tensors("train", reads="sequences")    # a word a row, padded

        Args:
            split: `train`, `val` or `test`.
            context_length: characters of a window, T.
            reads: `windows`: an example for each character and each word's end, X of shape (N, T) and Y of (N,); or
                `sequences`: an example for each word, X and Y of shape (W, L), padded with 0 and with -1.
            max_length: positions of a sequence, L; by default those of the longest word of all splits and its end.

        Raises:
            DataError: a word is longer than that, or the tensors do not fit into memory.
            UsageError: there is no such split or form, or a length is no whole number from 1.
        """
        from zoo.data.sources.arrays import of_words

        return of_words(self, self.splits, split, context_length, reads, max_length)

    def novel(self) -> dict[SplitName, list[str]]:
        """The unseen words of validation and test: those that are not in the training split."""
        seen = set(self.splits["train"])
        names: tuple[SplitName, ...] = ("val", "test")
        return {name: [word for word in self.splits[name] if word not in seen] for name in names}

    def _read(self, content: bytes, *, guess: bool) -> None:
        text = _text_of(content, guess=guess)
        if guess:
            self.notices = tuple(notices(Words(text, range(len(text))), text.vocabulary))
        self._arrange(text, LECTURE_SPLIT, None, hashlib.sha256(content).hexdigest())
        if self.max_length > LONG:
            self.longest_line = longest_line(content)

    def _arrange(self, text: Text, split: tuple[float, float], shuffle_seed: int | None, sha256: str | None) -> None:
        self._text = text
        self.split = split
        self.shuffle_seed = shuffle_seed
        self._sha256 = sha256
        cuts = (0, *self._cuts(), len(text))
        for name, start, stop in zip(SPLITS, cuts, cuts[1:], strict=False):
            if start == stop:
                raise DataError(f"{len(text)} words split at {split} leave the {name} split empty")

    def _cuts(self) -> tuple[int, int]:
        """The index of the first word of the validation split, and of the test split."""
        return int(len(self._text) * self.split[0]), int(len(self._text) * self.split[1])

    def _order(self) -> range | NDArray[Any]:
        """The indices of the words, in the order in which a list of the words would be shuffled."""
        import numpy as np

        if self.shuffle_seed is None:
            return range(len(self._text))
        order = array("I" if len(self._text) < 2**32 else "Q", range(len(self._text)))
        random.Random(self.shuffle_seed).shuffle(order)
        return np.frombuffer(order, order.typecode)


def check_shuffle_seed(seed: object) -> None:
    """Refuse a negative seed, which `random.Random` takes for its absolute value, and text, of which it takes the hash.

    Raises:
        UsageError: it is negative, or no whole number. Configs may have one that is.
    """
    if seed is not None and type(seed) is not int:
        raise UsageError(f"'data.shuffle_seed' must be a whole number or None, got {show_value(seed)}")
    if isinstance(seed, int) and seed < 0:
        raise UsageError(f"'data.shuffle_seed' must be 0 or above, got {seed}: it would shuffle as {-seed} does")


def check_split(split: tuple[float, float]) -> None:
    """Raise UsageError for what is not two increasing fractions."""
    if not (isinstance(split, list | tuple) and len(split) == 2 and all(map(is_number, split))) or not (
        0 < split[0] < split[1] < 1
    ):
        raise UsageError(f"'data.split' takes two increasing fractions, as in 0.8,0.9, not {split}")


def _list_of(words: object) -> list[str]:
    """The words that a person gives, as a list of its own.

    Raises:
        DataError: it is text, a path, something without an order, or not iterable.
    """
    if isinstance(words, str | bytes | os.PathLike):
        kind = type(words).__name__
        raise DataError(f"words must be a list of str, not {kind}: zoo.TextDataset.from_file reads a file of words")
    if isinstance(words, set | frozenset):
        raise DataError("words must be in an order, and a set has another in every process: give sorted(words)")
    if not isinstance(words, Iterable):
        raise DataError(f"words must be a list of str, not {type(words).__name__}")
    return list(words)


def _text_of(content: bytes, *, guess: bool) -> Text:
    if guess:
        check_lines(content)
    try:
        text = Text(Lines(content))
    except DataError as error:  # it is no text
        raise DataError(binary_kind(content) or str(error)) from error
    _check_count(len(text))
    return text


def _check_count(words: int) -> None:
    if words < MIN_WORDS:
        count = "no words" if not words else f"{words} word{'s' * (words > 1)}"
        raise DataError(f"has {count}, too few for training, validation and test (at least {MIN_WORDS})")
