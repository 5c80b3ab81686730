"""What a dataset function returns: words, or tensors. Both come in three splits.

torch is imported only where tensors are made, so that a plugin's data module can be imported without it.
"""

from __future__ import annotations

import hashlib
import json
import random
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from zoo.data.vocabulary import BOUNDARY, Vocabulary
from zoo.data.words import Lines, Text, Words, pieces_of_list, refuse_boundaries, sha256_of
from zoo.errors import DataError, UsageError
from zoo.files import read_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

SplitName: TypeAlias = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")

LECTURE_SPLIT = (0.8, 0.9)
FEWEST_WORDS = 6  # with fewer, 80 %, 10 % and 10 % leave a split empty


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
        _check_split(split)
        given = words if isinstance(words, list) else list(words)
        _check_count(len(given))
        self._arrange(Text(pieces_of_list(given)), split, shuffle_seed, sha256)
        self.words = given

    @classmethod
    def from_file(cls, path: str | Path) -> TextDataset:
        """Read a UTF-8 file with one word a line; blank lines and white space around words are dropped.

        Raises:
            DataError: the file cannot be read, is empty, is not text, or `TextDataset` refuses its words.
        """
        path = Path(path)
        try:
            text, sha256 = _read(path)
            dataset = cls.__new__(cls)
            dataset._arrange(text, LECTURE_SPLIT, None, sha256)
        except OSError as error:
            raise DataError(f"cannot read {error.filename or path}: {error.strerror}") from error
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        return dataset

    def arranged(self, *, split: tuple[float, float] | None, shuffle_seed: int | None) -> TextDataset:
        """The same words, split or shuffled another way."""
        split = split or self.split
        _check_split(split)
        dataset = TextDataset.__new__(TextDataset)
        dataset._arrange(self._text, split, shuffle_seed, self._sha256)
        if "words" in vars(self):
            dataset.words = self.words
        return dataset

    @cached_property
    def words(self) -> list[str]:
        """All words. Of a file they are made only where they are asked for: a str takes many times its letters."""
        return list(Words(self._text, range(len(self._text))))

    @cached_property
    def sha256(self) -> str:
        return self._sha256 or sha256_of(self.words)

    @property
    def vocabulary(self) -> Vocabulary:
        return self._text.vocabulary

    @cached_property
    def max_length(self) -> int:
        """Positions in a padded sequence: the longest word and its end."""
        return int(Words(self._text, range(len(self._text))).lengths.max())

    @cached_property
    def splits(self) -> dict[SplitName, Words]:
        """The words of each split: they read as lists of str do."""
        every = Words(self._text, self._order())
        first, second = self._cuts()
        return {"train": every[:first], "val": every[first:second], "test": every[second:]}

    def novel(self) -> dict[SplitName, list[str]]:
        """The words of validation and test that are no words of training: a list may have a word more than once."""
        seen = set(self.splits["train"])
        names: tuple[SplitName, ...] = ("val", "test")
        return {name: [word for word in self.splits[name] if word not in seen] for name in names}

    def _arrange(self, text: Text, split: tuple[float, float], shuffle_seed: int | None, sha256: str | None) -> None:
        self._text = text
        self.split = split
        self.shuffle_seed = shuffle_seed
        self._sha256 = sha256
        cuts = (0, *self._cuts(), len(text))
        for name, start, stop in zip(SPLITS, cuts, cuts[1:], strict=False):
            if start == stop:
                raise DataError(f"{len(text)} words cut at {split} leave the {name} split empty")

    def _cuts(self) -> tuple[int, int]:
        """Where the second split starts, and where the third."""
        return int(len(self._text) * self.split[0]), int(len(self._text) * self.split[1])

    def _order(self) -> range | NDArray[Any]:
        """The words by number, shuffled as a list of them would be."""
        import numpy as np

        if self.shuffle_seed is None:
            return range(len(self._text))
        order = array("I" if len(self._text) < 2**32 else "Q", range(len(self._text)))
        random.Random(self.shuffle_seed).shuffle(order)  # only swaps, so what is shuffled does not matter
        return np.frombuffer(order, order.typecode)


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


def _read(path: Path) -> tuple[Text, str]:
    """The words of a file, and the digest of its bytes, which are gone when this returns."""
    content = read_bytes(path)
    lines = Lines(content)
    text = Text(lines)
    _check_count(len(text))
    if BOUNDARY.encode() in content:
        refuse_boundaries(lines)
    return text, hashlib.sha256(content).hexdigest()


def _check_split(split: tuple[float, float]) -> None:
    if not (len(split) == 2 and 0 < split[0] < split[1] < 1):
        raise UsageError(f"'data.split' takes two rising fractions, as in 0.8,0.9, not {split}")


def _check_count(words: int) -> None:
    if words < FEWEST_WORDS:
        count = "no words" if not words else f"{words} word{'s' * (words > 1)}"
        raise DataError(f"has {count}, too few for training, validation and test (at least {FEWEST_WORDS})")


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
