"""Sampling words from a trained text model.

Axes: N words sampled in parallel, T characters of context, V characters of the vocabulary.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from zoo.data.datasets import TextDataset
from zoo.data.vocabulary import Vocabulary
from zoo.errors import UsageError
from zoo.plugin.calling import maker, plugin_errors
from zoo.plugin.specs import Reads
from zoo.training.building import evaluating, window_length
from zoo.training.sampling.options import SamplingOptions, checked_count
from zoo.training.sampling.tokens import probabilities_of, sample_categorical

_MANY = 1 << 12  # words; with fewer, finding equal windows takes longer than it saves
LONGEST_WORD = 100  # characters; a model may never end a word
_LEAST_TRIES = 1000  # words that are sampled at most where only some of them are wanted; or
_TRIES_FOR_EACH = 100  # for each wanted word
_AT_ONCE = 64  # words that are sampled again at once, at least


@torch.no_grad()
def sample(
    model: nn.Module,
    vocabulary: Vocabulary,
    n: int,
    options: SamplingOptions,
    *,
    reads: Reads = "windows",
    max_length: int = LONGEST_WORD,
    generator: torch.Generator | None = None,
) -> list[str]:
    """Sample `n` words, all of them one character at a time.

    Args:
        model: on any device; words are drawn on the CPU. It is left as it was.
        reads: the form of the model's inputs, as in its spec.
        max_length: the most positions that a model of sequences can read.
        generator: of the random numbers; by default one with the seed of the options.

    Raises:
        UsageError: `n` is below 1, or the prefix is too long or has a character that the vocabulary lacks.
        PluginError: the model reads windows and has no context length.
    """
    n = checked_count(n)
    prefix = vocabulary.encode(options.prefix)
    limit = min(max_length, LONGEST_WORD) if reads == "sequences" else LONGEST_WORD
    if len(prefix) >= limit:
        raise UsageError(f"the prefix {options.prefix!r} is too long: at most {limit - 1} characters")
    window = window_length(model) if reads == "windows" else 0
    generator = generator or torch.Generator().manual_seed(options.seed)
    tokens = torch.tensor([[0] * max(1, window) + prefix] * n)  # (N, T)
    unfinished = torch.arange(n)  # rows of `tokens`
    device = next(itertools.chain(model.parameters(), model.buffers()), tokens).device
    with evaluating(model):
        for _ in range(limit - len(prefix)):
            x, row_of = _unique_rows(tokens[unfinished, -window:], len(vocabulary))  # window 0 means all of T
            with plugin_errors(maker(model), "fails while it samples"):
                logits = model(x.to(device)).cpu()  # (N, V), or (N, T, V)
            last = logits if logits.ndim == 2 else logits[:, -1]
            probs = probabilities_of(last[:, : len(vocabulary)], options)  # a model may have spare logits
            sampled = sample_categorical(probs.cumsum(1)[row_of], generator)
            tokens = torch.cat([tokens, torch.zeros(n, 1, dtype=torch.int64)], dim=1)
            tokens[unfinished, -1] = sampled
            unfinished = unfinished[sampled != 0]
            if not len(unfinished):
                break
    return [vocabulary.decode(row[max(1, window) :]) for row in tokens.tolist()]


class Chosen(NamedTuple):
    """Words that are wanted, and how many were sampled for them."""

    words: list[str]
    tries: int


def choose(draw: Callable[[int], list[str]], n: int, *, unlike: Collection[str] = (), unique: bool = False) -> Chosen:
    """Sample words until `n` are found that are wanted: never an empty one.

    The number of tries is bounded, so that a model that has no more of them ends, too: fewer are then returned.

    Args:
        draw: samples so many words.
        n: how many are wanted.
        unlike: words that are not.
        unique: no word twice.
    """
    n, tries = checked_count(n), 0
    words: list[str] = []
    seen = {*unlike, ""}
    most = max(_LEAST_TRIES, _TRIES_FOR_EACH * n)
    while len(words) < n and tries < most:
        drawn = draw(n if not tries else min(max(n, _AT_ONCE), most - tries))
        tries += len(drawn)
        for word in drawn:
            if word in seen or len(words) == n:
                continue
            words.append(word)
            if unique:
                seen.add(word)
    return Chosen(words, tries)


FoundIn: TypeAlias = Literal["train", "val", "test", "new", "empty"]


def found_in(words: Iterable[str], dataset: TextDataset) -> list[FoundIn]:
    """For each word the split that has it, training first, or `new` for an unseen word, or `empty`."""
    train, val, test = (set(dataset.splits[name]) for name in ("train", "val", "test"))
    return [
        "train" if w in train else "val" if w in val else "test" if w in test else "new" if w else "empty"
        for w in words
    ]


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
