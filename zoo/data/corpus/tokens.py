"""The tokens of a running text, in memory or in a file, and rows of them.

Axes: N tokens of the text, n rows, L tokens of a row.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo import cuda
from zoo.errors import DataError
from zoo.files import open_file

_SEGMENT = 1 << 19  # bytes that are read at once where many rows lie near each other: they stay in the cache
_MANY = 48  # rows of a segment from which on reading all of it is faster than reading each


class Tokens(Protocol):
    """The tokens of a text: a 0, then those of its characters."""

    @property
    def device(self) -> torch.device:
        """Where rows are made."""

    def __len__(self) -> int:
        """N, without the 0."""

    def to(self, device: Any) -> Tokens:
        """The same tokens, with rows made on `device`."""

    def rows(self, starts: Tensor, length: int) -> Tensor:
        """The `length` tokens from each position of the text on, 0 before the text and after it.

        Args:
            starts: positions, from `-length` on, shape (n,), on the CPU or the device.
            length: L.

        Returns:
            int64, shape (n, L).
        """


@dataclass(frozen=True)
class TokensInMemory:
    """All tokens of a text.

    Attributes:
        tensor: a 0, then the tokens in a small type, shape (N + 1,).
    """

    tensor: Tensor

    @classmethod
    def of(cls, tokens: NDArray[Any]) -> TokensInMemory:
        """Those in an array of the smallest type, shape (N + 1,)."""
        few = tokens.dtype == np.uint8
        return cls(torch.from_numpy(tokens if few else tokens.astype(np.int32)))  # few operators take uint16

    @property
    def device(self) -> torch.device:
        return self.tensor.device

    def __len__(self) -> int:
        return len(self.tensor) - 1

    def to(self, device: Any) -> TokensInMemory:
        return TokensInMemory(self.tensor.to(device))

    def rows(self, starts: Tensor, length: int) -> Tensor:
        first = starts + 1  # of each row in `tensor`
        last = len(self.tensor) - length
        beyond = ((first < 0) | (first > last)).nonzero().flatten().tolist()  # rows not all within the text
        rows = self._rows(first.clamp(0, max(0, last)), length)
        for i in beyond:
            start = int(first[i])
            found = self.tensor[max(0, start) : max(0, start + length)]
            rows[i] = 0
            rows[i, max(0, -start) :][: len(found)] = found
        return rows

    def _rows(self, first: Tensor, length: int) -> Tensor:
        if length > len(self.tensor):  # no row is within the text
            return torch.zeros(len(first), length, dtype=torch.int64, device=self.device)
        first = cuda.copied(first, self.device) if first.device.type == "cpu" else first
        return self.tensor.unfold(0, length, 1).index_select(0, first).long()


@dataclass(frozen=True)
class TokensInFile:
    """Tokens in a file, which is opened anew for each call and never mapped: it may be larger than all memory.

    Attributes:
        path: the file.
        offset: bytes before the first token, which is a 0.
        dtype: the type of a token.
        count: N.
        device: where rows are made.
    """

    path: Path
    offset: int
    dtype: str
    count: int
    device: torch.device

    def __len__(self) -> int:
        return self.count

    def to(self, device: Any) -> TokensInFile:
        return TokensInFile(self.path, self.offset, self.dtype, self.count, torch.device(device))

    def rows(self, starts: Tensor, length: int) -> Tensor:
        """As `Tokens.rows`. The rows are read in the order of the file.

        Raises:
            DataError: the file is gone, or shorter than it was.
        """
        asked = starts.cpu().numpy()
        order = np.argsort(asked, kind="stable")
        rows = np.zeros((len(asked), length), self.dtype)
        try:
            with open_file(self.path) as file:
                self._read_sorted(file.fileno(), asked[order] + 1, rows)
        except (OSError, EOFError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is shorter than it was"
            raise DataError(f"cannot read the encoded text {self.path}: {why}; run again to encode it anew") from error
        unsorted = np.empty_like(rows, np.int64)
        unsorted[order] = rows
        return cuda.copied(torch.from_numpy(unsorted), self.device)

    def _read_sorted(self, file: int, starts: NDArray[Any], rows: NDArray[Any]) -> None:
        """Fill `rows`, shape (n, L), with the tokens from each of the ascending `starts` on."""
        length, stored = rows.shape[1], self.count + 1
        per_segment = max(1, _SEGMENT // rows.itemsize - length)
        first, inside = np.searchsorted(starts, [0, stored - length + 1]).tolist()
        for i in (*range(first), *range(max(first, inside), len(starts))):  # rows that begin or end beyond the text
            start, row = int(starts[i]), rows[i]
            left, right = min(length, max(0, -start)), max(0, min(length, stored - start))
            self._read(file, row[left:right], start + left)
        while first < inside:
            last = int(np.searchsorted(starts[:inside], starts[first] + per_segment))
            self._read_near(file, starts[first:last], rows[first:last])
            first = last

    def _read_near(self, file: int, starts: NDArray[Any], rows: NDArray[Any]) -> None:
        """Fill rows that lie near each other: from one read if they are many."""
        if len(starts) < _MANY:
            for row, start in zip(rows, starts.tolist(), strict=True):
                self._read(file, row, start)
            return
        start, length = int(starts[0]), rows.shape[1]
        segment = np.empty(int(starts[-1]) + length - start, self.dtype)
        self._read(file, segment, start)
        rows[:] = np.lib.stride_tricks.sliding_window_view(segment, length)[starts - start]

    def _read(self, file: int, into: NDArray[Any], start: int) -> None:
        view = into.data.cast("B") if into.size else memoryview(b"")
        position = self.offset + start * into.itemsize
        while len(view):
            read = os.preadv(file, [view], position) if hasattr(os, "preadv") else _read_at(file, view, position)
            if not read:
                raise EOFError
            view, position = view[read:], position + read


def _read_at(file: int, view: memoryview, position: int) -> int:
    """`os.preadv` for systems without it."""
    os.lseek(file, position, os.SEEK_SET)
    data = os.read(file, len(view))
    view[: len(data)] = data
    return len(data)


@dataclass(frozen=True)
class TranslatedTokens:
    """The tokens of a text in the vocabulary of a model that was trained on another text.

    Attributes:
        tokens: in their own vocabulary.
        table: the model's token for each, int64, on the CPU.
    """

    tokens: Tokens
    table: Tensor

    @property
    def device(self) -> torch.device:
        return self.tokens.device

    def __len__(self) -> int:
        return len(self.tokens)

    def to(self, device: Any) -> TranslatedTokens:
        return TranslatedTokens(self.tokens.to(device), self.table)

    def rows(self, starts: Tensor, length: int) -> Tensor:
        return self.table.to(self.device)[self.tokens.rows(starts, length)]
