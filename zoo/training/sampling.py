"""Drawing words from a trained text model.

Axes: N words drawn side by side, T characters of context, V characters of the vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from zoo.data.datasets import TextDataset
from zoo.data.vocabulary import Vocabulary
from zoo.errors import PluginError, UsageError, ZooError
from zoo.options.records import SAMPLING_SEED
from zoo.plugin.specs import Reads
from zoo.training.building import context_length

_MANY = 1 << 12  # words: from there on it is worth looking for equal windows
LONGEST_WORD = 100  # a net need never end a word; one that is cut here is no name anyway


@dataclass(frozen=True)
class SamplingOptions:
    """How words are drawn.

    Attributes:
        temperature: divides the logits; below 1 the likely becomes likelier, and 0 always takes the likeliest.
        top_k: draw from the k likeliest characters only; None for all.
        prefix: what each word starts with.
        seed: of the CPU generator that everything is drawn from.
    """

    temperature: float = 1.0
    top_k: int | None = None
    prefix: str = ""
    seed: int = SAMPLING_SEED

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise UsageError(f"the temperature must be 0 or above, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise UsageError(f"top-k must be at least 1, got {self.top_k}")
        if not 0 <= self.seed < 2**64:
            raise UsageError(f"the seed must be from 0 to 2**64 - 1, got {self.seed}")


@torch.no_grad()
def sample(
    model: nn.Module,
    vocabulary: Vocabulary,
    n: int,
    options: SamplingOptions,
    *,
    reads: Reads = "windows",
    max_length: int = LONGEST_WORD,
) -> list[str]:
    """Draw `n` words, a character of each at a time.

    Args:
        model: on the CPU.
        reads: what the model is served, as in its spec.
        max_length: a model of sequences sees at most this many positions.

    Raises:
        UsageError: `n` is below 1, or the prefix is too long or has a character that the vocabulary lacks.
        PluginError: the model reads windows and has no context length.
    """
    if n < 1:
        raise UsageError(f"the number of samples must be at least 1, got {n}")
    prefix = vocabulary.encode(options.prefix)
    limit = min(max_length, LONGEST_WORD) if reads == "sequences" else LONGEST_WORD
    if len(prefix) >= limit:
        raise UsageError(f"the prefix {options.prefix!r} is too long: at most {limit - 1} characters")
    window = _window(model) if reads == "windows" else 0
    generator = torch.Generator().manual_seed(options.seed)
    history = torch.tensor([[0] * max(1, window) + prefix] * n)  # (N, T): what stands before the next character
    going_on = torch.arange(n)  # the words that have not ended
    model.eval()
    for _ in range(limit - len(prefix)):
        x, place = _different(history[going_on, -window:], len(vocabulary))  # window 0 is all of it
        logits = model(x)  # (N, V), or (N, T, V)
        last = logits if logits.ndim == 2 else logits[:, -1]
        probs = _probabilities(last[:, : len(vocabulary)], options)  # a model may have spare logits
        if not probs.isfinite().all():
            raise ZooError("nothing can be drawn from this model: its logits are not finite numbers")
        drawn = _draw(probs.cumsum(1)[place], generator)  # one for each that goes on
        history = torch.cat([history, torch.zeros(n, 1, dtype=torch.int64)], dim=1)
        history[going_on, -1] = drawn
        going_on = going_on[drawn != 0]
        if not len(going_on):
            break
    return [vocabulary.decode(row[max(1, window) :]) for row in history.tolist()]


Whereabouts: TypeAlias = Literal["train", "val", "test", "new"]


def whereabouts(words: Iterable[str], dataset: TextDataset) -> list[Whereabouts]:
    """For each word the split it stands in, training first, or `new`."""
    train, val, test = (set(dataset.splits[name]) for name in ("train", "val", "test"))
    return ["train" if w in train else "val" if w in val else "test" if w in test else "new" for w in words]


def _window(model: nn.Module) -> int:
    length = context_length(model)
    if length is None:
        raise PluginError(f"{type(model).__name__} reads windows, but has no attribute 'context_length'")
    return length


def _different(x: Tensor, base: int) -> tuple[Tensor, Tensor | slice]:
    """Rows of `x` (N, T), whose tokens are below `base`, once each where there are very many; and which is whose."""
    n, length = x.shape
    if n < _MANY or base**length > 1 << 62:
        return x, slice(None)
    numbers = (x * base ** torch.arange(length)).sum(1)  # (N,)
    place = torch.unique(numbers, return_inverse=True)[1]  # (N,)
    row = torch.empty(int(place.max()) + 1, dtype=torch.int64).scatter_(0, place, torch.arange(n))
    return x[row], place


def _draw(cumulative: Tensor, generator: torch.Generator) -> Tensor:
    """A column of each row, shape (N,), as likely as the row rises there, from the running sums (N, V) of a row."""
    total = cumulative[:, -1:]
    # the product may be rounded up, to the total itself, above which there is no column
    drawn = torch.rand(total.shape, dtype=total.dtype, generator=generator) * total
    drawn = torch.minimum(drawn, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, drawn, right=True)[:, 0]


def _probabilities(logits: Tensor, options: SamplingOptions) -> Tensor:
    """Logits (N, V) to probabilities (N, V)."""
    top_k = 1 if options.temperature == 0 else options.top_k
    if top_k is not None and top_k < logits.shape[1]:
        kept = logits.topk(top_k, dim=1).indices  # not a threshold: ties would let more than k through
        logits = torch.full_like(logits, -torch.inf).scatter(1, kept, logits.gather(1, kept))
    # in float64 and from the maximum down, so that no temperature above 0 is too small to divide by
    logits = logits.double()
    return torch.softmax((logits - logits.amax(dim=1, keepdim=True)) / (options.temperature or 1.0), dim=1)
