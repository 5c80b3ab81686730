"""Sampling words from a trained text model.

Axes: N words sampled in parallel, T characters of context, V characters of the vocabulary.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from zoo.data.datasets import TextDataset
from zoo.data.vocabulary import Vocabulary
from zoo.errors import UsageError, ZooError
from zoo.numbers import show_value
from zoo.options.run import SAMPLING_SEED
from zoo.options.values import fits, is_number, plain
from zoo.plugin.calling import maker, plugin_errors
from zoo.plugin.specs import Reads
from zoo.training.building import evaluating, window_length

_MANY = 1 << 12  # words; with fewer, finding equal windows takes longer than it saves
LONGEST_WORD = 100  # characters; a model may never end a word


@dataclass(frozen=True)
class SamplingOptions:
    """How words are sampled.

    Attributes:
        temperature: divides the logits; 0 is greedy sampling.
        top_k: sample from the k most probable characters only; None for all.
        prefix: the beginning of each word.
        seed: of the CPU generator of all random numbers.
    """

    temperature: float = 1.0
    top_k: int | None = None
    prefix: str = ""
    seed: int = SAMPLING_SEED

    def __post_init__(self) -> None:
        kinds = {"top_k": ("a whole number", int | None), "prefix": ("text", str), "seed": ("a whole number", int)}
        for name in vars(self):
            value = plain(getattr(self, name))
            words, kind = kinds.get(name, ("a number", float))
            if not (is_number(value) if kind is float else fits(value, kind)):
                raise UsageError(f"the {name.replace('_', '-')} must be {words}, got {show_value(value)}")
            object.__setattr__(self, name, value)
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
    """Sample `n` words, all of them one character at a time.

    Args:
        model: on any device; words are drawn on the CPU. It is left as it was.
        reads: the form of the model's inputs, as in its spec.
        max_length: the most positions that a model of sequences can read.

    Raises:
        UsageError: `n` is below 1, or the prefix is too long or has a character that the vocabulary lacks.
        PluginError: the model reads windows and has no context length.
    """
    n = plain(n)
    if not fits(n, int):
        raise UsageError(f"the number of samples must be a whole number, got {show_value(n)}")
    if n < 1:
        raise UsageError(f"the number of samples must be at least 1, got {n}")
    prefix = vocabulary.encode(options.prefix)
    limit = min(max_length, LONGEST_WORD) if reads == "sequences" else LONGEST_WORD
    if len(prefix) >= limit:
        raise UsageError(f"the prefix {options.prefix!r} is too long: at most {limit - 1} characters")
    window = window_length(model) if reads == "windows" else 0
    generator = torch.Generator().manual_seed(options.seed)
    tokens = torch.tensor([[0] * max(1, window) + prefix] * n)  # (N, T)
    unfinished = torch.arange(n)  # rows of `tokens`
    device = next(itertools.chain(model.parameters(), model.buffers()), tokens).device
    with evaluating(model):
        for _ in range(limit - len(prefix)):
            x, row_of = _unique_rows(tokens[unfinished, -window:], len(vocabulary))  # window 0 means all of T
            with plugin_errors(maker(model), "fails while it samples"):
                logits = model(x.to(device)).cpu()  # (N, V), or (N, T, V)
            last = logits if logits.ndim == 2 else logits[:, -1]
            probs = _probabilities(last[:, : len(vocabulary)], options)  # a model may have spare logits
            if not probs.isfinite().all():
                raise ZooError("cannot sample from this model: its logits are NaN or infinite")
            sampled = _sample_categorical(probs.cumsum(1)[row_of], generator)
            tokens = torch.cat([tokens, torch.zeros(n, 1, dtype=torch.int64)], dim=1)
            tokens[unfinished, -1] = sampled
            unfinished = unfinished[sampled != 0]
            if not len(unfinished):
                break
    return [vocabulary.decode(row[max(1, window) :]) for row in tokens.tolist()]


FoundIn: TypeAlias = Literal["train", "val", "test", "new"]


def found_in(words: Iterable[str], dataset: TextDataset) -> list[FoundIn]:
    """For each word the split that has it, training first, or `new` for an unseen word."""
    train, val, test = (set(dataset.splits[name]) for name in ("train", "val", "test"))
    return ["train" if w in train else "val" if w in val else "test" if w in test else "new" for w in words]


def _unique_rows(x: Tensor, base: int) -> tuple[Tensor, Tensor | slice]:
    """The different rows of `x`, and for each row of `x` its index among them. Few rows are returned unchanged.

    Args:
        x: tokens below `base`, shape (N, T).
    """
    n, length = x.shape
    if n < _MANY or base**length > 1 << 62:
        return x, slice(None)
    keys = (x * base ** torch.arange(length)).sum(1)  # (N,)
    index = torch.unique(keys, return_inverse=True)[1]  # (N,)
    first = torch.empty(int(index.max()) + 1, dtype=torch.int64).scatter_(0, index, torch.arange(n))
    return x[first], index


def _sample_categorical(cumulative: Tensor, generator: torch.Generator) -> Tensor:
    """One class per row, shape (N,), by inverse transform sampling from cumulative probabilities, shape (N, V)."""
    total = cumulative[:, -1:]
    # the product may be rounded up to the total itself, for which searchsorted would return V
    u = torch.rand(total.shape, dtype=total.dtype, generator=generator) * total
    u = torch.minimum(u, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, u, right=True)[:, 0]


def _probabilities(logits: Tensor, options: SamplingOptions) -> Tensor:
    """Logits (N, V) to probabilities (N, V)."""
    top_k = 1 if options.temperature == 0 else options.top_k
    if top_k is not None and top_k < logits.shape[1]:
        kept = logits.topk(top_k, dim=1).indices  # not a threshold: with ties, more than k would pass it
        logits = torch.full_like(logits, -torch.inf).scatter(1, kept, logits.gather(1, kept))
    # in float64 and relative to the maximum, so that very small temperatures do not overflow
    logits = logits.double()
    return torch.softmax((logits - logits.amax(dim=1, keepdim=True)) / (options.temperature or 1.0), dim=1)
