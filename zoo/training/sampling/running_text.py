"""Sampling running text from a trained model.

Axes: N texts sampled in parallel, P tokens of the context at the start, T positions that the model reads at once.
"""

from __future__ import annotations

import torch

from zoo.errors import UsageError
from zoo.training.building import evaluating
from zoo.training.sampling.options import SamplingOptions, checked_count
from zoo.training.sampling.tokens import probabilities_of, sample_categorical
from zoo.training.text_model import TextModel

LENGTH = 500  # characters, or tokens of a tokenizer, by default


@torch.no_grad()
def sample_text(model: TextModel, n: int, length: int, options: SamplingOptions) -> list[str]:
    """Continue a text `n` times: the prefix of the options, and `length` more characters, or tokens of a tokenizer.

    The model sees the last characters, as many as it can read. Token 0, which stands before a text, is never sampled.

    Raises:
        UsageError: a number is below 1, or the prefix has a character that the vocabulary lacks.
        PluginError: the model fails.
        ZooError: its logits are NaN or infinite.
    """
    n, length = checked_count(n), checked_count(length, "the length")
    if len(model.codec) < 2:
        raise UsageError("the vocabulary of this model has no characters to sample")
    context = model.context(options.prefix)  # (P,)
    generator = torch.Generator().manual_seed(options.seed)
    tokens = torch.zeros(n, len(context) + length, dtype=torch.int64)
    tokens[:, : len(context)] = torch.tensor(context)
    start = torch.zeros(1, dtype=torch.int64)  # token 0
    with evaluating(model.module):
        for end in range(len(context), tokens.shape[1]):
            logits = model.next_logits(tokens[:, max(0, end - model.length) : end])
            logits = logits.index_fill(1, start, -torch.inf)  # a copy: the model may keep its own
            tokens[:, end] = sample_categorical(probabilities_of(logits, options).cumsum(1), generator)
    continued = tokens[:, len(context) :].tolist()
    return [options.prefix + model.codec.decode(row) for row in continued]
