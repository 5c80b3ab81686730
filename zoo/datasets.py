"""What a dataset function returns: words, or tensors. Both come in three splits.

torch is imported only where tensors are made, so that a plugin's data module can be imported without it.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from zoo.errors import DataError, UsageError
from zoo.files import read_bytes
from zoo.vocabulary import BOUNDARY, Vocabulary

if TYPE_CHECKING:
    from torch import Tensor

SplitName: TypeAlias = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")

LECTURE_SPLIT = (0.8, 0.9)
FEWEST_WORDS = 6  # with fewer, 80 %, 10 % and 10 % leave a split empty

_CHUNK = 1 << 16  # words looked at in one go, which bounds the memory


class TextDataset:
    """A list of words, with its vocabulary and its three splits.

    Args:
        words: the words, none of them empty, none with a `.` in it.
        split: where the words are cut, as fractions: by default the first 80 % train, the next 10 % validate and the
            rest test, cut at `int(n * 0.8)` and `int(n * 0.9)`.
        shuffle_seed: shuffle the words with `random.Random(shuffle_seed)` first; None keeps their order.
        sha256: hex digest that identifies the data; by default that of the words, joined by newlines.

    Raises:
        DataError: too few words to fill three splits, or a word that cannot be one.
        UsageError: `split` is not two rising fractions.
    """

    def __init__(
        self,
        words: Sequence[str],
        *,
        split: tuple[float, float] = LECTURE_SPLIT,
        shuffle_seed: int | None = None,
        sha256: str | None = None,
    ) -> None:
        if not (len(split) == 2 and 0 < split[0] < split[1] < 1):
            raise UsageError(f"'data.split' takes two rising fractions, as in 0.8,0.9, not {split}")
        self.words = words if isinstance(words, list) else list(words)
        self.split = split
        self.shuffle_seed = shuffle_seed
        self._sha256 = sha256
        self._check()

    @classmethod
    def from_file(cls, path: str | Path) -> TextDataset:
        """Read a UTF-8 file with one word a line; blank lines and white space around words are dropped.

        Raises:
            DataError: the file cannot be read, is empty, is not text, or `TextDataset` refuses its words.
        """
        path = Path(path)
        try:
            content = read_bytes(path)
        except OSError as error:
            raise DataError(f"cannot read {error.filename or path}: {error.strerror}") from error
        try:
            return cls(_words_of(content), sha256=hashlib.sha256(content).hexdigest())
        except DataError as error:
            raise DataError(f"{path}: {error}") from error

    def arranged(self, *, split: tuple[float, float] | None, shuffle_seed: int | None) -> TextDataset:
        """The same words, split or shuffled another way."""
        return TextDataset(self.words, split=split or self.split, shuffle_seed=shuffle_seed, sha256=self._sha256)

    @cached_property
    def sha256(self) -> str:
        return self._sha256 or hashlib.sha256("\n".join(self.words).encode("utf-8", "surrogatepass")).hexdigest()

    @cached_property
    def vocabulary(self) -> Vocabulary:
        characters: set[str] = set()
        for chunk in chunks(self.words, _CHUNK):
            characters.update("".join(chunk))
        return Vocabulary(characters)

    @cached_property
    def max_length(self) -> int:
        """Positions in a padded sequence: the longest word and its end."""
        return max(map(len, self.words)) + 1

    @cached_property
    def splits(self) -> dict[SplitName, list[str]]:
        """The words of each split."""
        words = self.words
        if self.shuffle_seed is not None:
            words = words.copy()
            random.Random(self.shuffle_seed).shuffle(words)
        first, second = (int(len(words) * fraction) for fraction in self.split)
        return {"train": words[:first], "val": words[first:second], "test": words[second:]}

    def _check(self) -> None:
        if len(self.words) < FEWEST_WORDS:
            count = "no words" if not self.words else f"{len(self.words)} word{'s' * (len(self.words) > 1)}"
            raise DataError(f"has {count}, too few for training, validation and test (at least {FEWEST_WORDS})")
        if not all(isinstance(word, str) for word in self.words):
            raise DataError("words must be a list of str")
        for chunk in chunks(self.words, _CHUNK):
            text = "\n".join(chunk)
            if BOUNDARY in text or text.count("\n") >= len(chunk) or not all(chunk):
                bad = next(word for word in chunk if not word or BOUNDARY in word or "\n" in word)
                why = (
                    f"{BOUNDARY!r} marks where words start and end"
                    if BOUNDARY in bad
                    else "a word is one line, not empty"
                )
                raise DataError(f"the word {bad!r} cannot be used: {why}")
            try:
                text.encode()
            except UnicodeEncodeError as error:
                bad = next(word for word in chunk if text[error.start] in word)
                raise DataError(f"the word {bad!r} cannot be used: UTF-8 cannot hold it") from error
        for name, part in self.splits.items():
            if not part:
                raise DataError(f"{len(self.words)} words cut at {self.split} leave the {name} split empty")


class TensorDataset:
    """Examples that are not text: inputs and targets of each split, as tensors (or arrays, or nested lists).

    Args:
        train, val, test: each a pair (X, Y): X of shape (N, ...), with whatever a model's `forward` takes for N
            examples; Y of shape (N,) or (N, T), whole numbers from 0, or -1 where a target is to be ignored.

    Raises:
        DataError: a split is empty, or its shapes or types do not fit together.
    """

    def __init__(self, train: tuple[Any, Any], val: tuple[Any, Any], test: tuple[Any, Any]) -> None:
        pairs: tuple[tuple[SplitName, tuple[Any, Any]], ...] = (("train", train), ("val", val), ("test", test))
        self.splits: dict[SplitName, tuple[Tensor, Tensor]] = {name: _tensor_pair(name, pair) for name, pair in pairs}
        shapes = {name: tuple(x.shape[1:]) for name, (x, _) in self.splits.items()}
        if len(set(shapes.values())) > 1:
            raise DataError(f"the splits have examples of different shapes: {shapes}")

    @cached_property
    def num_features(self) -> int:
        """Numbers in one example."""
        return self.splits["train"][0][0].numel()

    @cached_property
    def num_classes(self) -> int:
        return 1 + max(int(y.max()) for _, y in self.splits.values())

    @cached_property
    def sha256(self) -> str:
        """Digest of the shapes, types and values of all splits."""
        import torch

        digest = hashlib.sha256()
        for name, pair in self.splits.items():
            for tensor in pair:
                digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
                digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()


Dataset: TypeAlias = TextDataset | TensorDataset


@dataclass(frozen=True)
class Examples:
    """A split as a model is served it.

    Text is kept in the smallest integers that hold the vocabulary, and widened batch by batch.

    Attributes:
        x: inputs, shape (N, ...).
        y: targets, shape (N,) or (N, T).
        x_dtype: what a batch of inputs is converted to.
    """

    x: Tensor
    y: Tensor
    x_dtype: Any  # torch.dtype

    def __len__(self) -> int:
        return len(self.y)

    def to(self, device: Any) -> Examples:
        """The same examples in the memory of `device`."""
        return Examples(self.x.to(device), self.y.to(device), self.x_dtype)

    def gather(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The examples at `indices`, whose shape takes the place of N in the shapes of x and y."""
        flat = indices.flatten()
        x = self.x.index_select(0, flat).to(self.x_dtype).view(*indices.shape, *self.x.shape[1:])
        y = self.y.index_select(0, flat).long().view(*indices.shape, *self.y.shape[1:])
        return x, y

    def in_order(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All examples, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.x[start : start + size].to(self.x_dtype), self.y[start : start + size].long()


def counts(examples: Mapping[SplitName, Examples]) -> dict[str, int]:
    """The number of examples in each split."""
    return {name: len(split) for name, split in examples.items()}


def chunks(words: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """The words, `size` at a time."""
    for start in range(0, len(words), size):
        yield words[start : start + size]


def _words_of(content: bytes) -> list[str]:
    if not content.strip():
        raise DataError("is empty: one word a line is wanted")
    if b"\0" in content:
        raise DataError("is not a text file: one word a line, in UTF-8, is wanted")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"is not UTF-8 text (byte {error.start}): one word a line is wanted") from error
    lines = text.split("\n")  # not splitlines, which also cuts at form feeds and Unicode separators
    return [word for line in lines if (word := line.strip())]


def _tensor_pair(name: SplitName, pair: tuple[Any, Any]) -> tuple[Tensor, Tensor]:
    import torch

    try:
        x, y = (torch.as_tensor(part) for part in pair)
    except (TypeError, ValueError) as error:
        raise DataError(f"the {name} split is not a pair (X, Y) of tensors: {error}") from error
    if x.ndim < 2 or y.ndim not in (1, 2) or len(x) != len(y) or len(x) == 0:
        raise DataError(
            f"the {name} split needs X of shape (N, ...) and Y of shape (N,) or (N, T), N > 0, "
            f"got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    if y.dtype.is_floating_point or y.dtype.is_complex or y.dtype == torch.bool or int(y.min()) < -1:
        raise DataError(f"the targets of the {name} split must be whole numbers from 0 (or -1: ignored)")
    if int(y.max()) < 0:
        raise DataError(f"the {name} split has no target that counts: all are -1")
    return x.detach().cpu(), y.detach().cpu()
