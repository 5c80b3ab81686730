"""What predictions are.

Axes: N inputs, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.text import visible


@dataclass(frozen=True, repr=False, eq=False)
class Probabilities:
    """The probabilities of classes; for text, of the characters that may follow.

    Attributes:
        probabilities: shape (N, C), or (N, ..., C) with targets at several positions; float64, each row sums to 1.
        classes: their names, of all C. Classes without names are called by their numbers, and token 0 of running text,
            which stands before a text only, by "".
    """

    probabilities: Tensor
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.probabilities)

    def __repr__(self) -> str:
        shape = ", ".join(map(str, self.probabilities.shape))
        return visible(f"<Probabilities ({shape}) of {', '.join(self.classes[:10])}{', …' * (len(self.classes) > 10)}>")

    def best(self, k: int | None = None) -> list[list[tuple[str, float]]]:
        """For each input its `k` most probable classes, or all, the best one first; ties in the order of the classes.

        Positions of targets count as inputs of their own.
        """
        flat = self.probabilities.reshape(-1, len(self.classes))
        values, order = flat.sort(dim=1, descending=True, stable=True)
        k = len(self.classes) if k is None else k
        return [
            [(self.classes[number], value) for number, value in zip(numbers[:k], row[:k], strict=True)]
            for numbers, row in zip(order.tolist(), values.tolist(), strict=True)
        ]


@dataclass(frozen=True)
class Likelihood:
    """How probable a word or a text is for a model.

    Attributes:
        text: the word, or the running text.
        nats: the sum of the log-probabilities of its tokens, and of its end if it is a word.
        count: how many they are.
    """

    text: str
    nats: float
    count: int

    @property
    def loss(self) -> float:
        """The mean negative log-probability in nats: what an evaluation calls the loss."""
        return -self.nats / self.count

    @property
    def bits_per_character(self) -> float:
        """The loss in bits."""
        return self.loss / math.log(2)


def class_names(names: Sequence[str] | None, count: int) -> tuple[str, ...]:
    """The names of `count` classes: the given ones, and numbers for what has none."""
    given = tuple(names or ())[:count]
    return given + tuple(str(number) for number in range(len(given), count))


def probabilities(logits: Tensor, names: Sequence[str] | None) -> Probabilities:
    """The softmax of logits (N, ..., C), in float64."""
    return Probabilities(torch.softmax(logits.double(), -1), class_names(names, logits.shape[-1]))
