"""What predictions are.

Axes: N inputs, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.html import bars, facts, line, titled
from zoo.numbers import show_loss
from zoo.text import brief, listed

_INPUTS = 5  # of which a notebook shows probabilities
_BEST, _BEST_OF_ONE = 3, 10  # classes of each input; of the only one
_SHOWN = 60  # characters of a text in a repr


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
        return brief(f"<Probabilities {tuple(self.probabilities.shape)} of {listed(self.classes, 10, 12)}>")

    def _repr_html_(self) -> str:
        """For a notebook: the most probable classes with a bar each, of the first inputs."""
        flat = self.probabilities.reshape(-1, len(self.classes))
        best = Probabilities(flat[:_INPUTS], self.classes).best(_BEST_OF_ONE if len(flat) == 1 else _BEST)
        rows = [
            (str(number) if place == 0 and len(flat) > 1 else "", _label(name), f"{p:.4f}", p)
            for number, one in enumerate(best)
            for place, (name, p) in enumerate(one)
        ]
        more = line(f"… and {len(flat) - len(best):,} more inputs") if len(flat) > len(best) else ""
        which = "" if len(flat) == 1 else f" for each of {len(flat):,} inputs"
        return titled(f"The most probable of {len(self.classes):,} classes{which}", bars(rows), more)

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


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        figures = ", ".join(f"{value} {name}" for name, value in self._figures.items())
        return f"<Likelihood of {brief(repr(self.text), _SHOWN)}: {figures}>"

    def _repr_html_(self) -> str:
        """For a notebook: its figures."""
        return titled(repr(self.text), facts(self._figures))

    @property
    def _figures(self) -> dict[str, str]:
        return {
            "nats": show_loss(self.nats),
            "targets": f"{self.count:,}",
            "nats per target (the loss)": show_loss(self.loss),
            "bits per character": show_loss(self.bits_per_character),
        }

    @property
    def loss(self) -> float:
        """The mean negative log-probability in nats: what an evaluation calls the loss."""
        return -self.nats / self.count

    @property
    def bits_per_character(self) -> float:
        """The loss in bits."""
        return self.loss / math.log(2)


def _label(name: str) -> str:
    """The name of a class; one that would not be seen, such as a space, in quotes."""
    return name if name.strip() else repr(name)


def class_names(names: Sequence[str] | None, count: int) -> tuple[str, ...]:
    """The names of `count` classes: the given ones, and numbers for what has none."""
    given = tuple(names or ())[:count]
    return given + tuple(str(number) for number in range(len(given), count))


def probabilities(logits: Tensor, names: Sequence[str] | None) -> Probabilities:
    """The softmax of logits (N, ..., C), in float64."""
    return Probabilities(torch.softmax(logits.double(), -1), class_names(names, logits.shape[-1]))
