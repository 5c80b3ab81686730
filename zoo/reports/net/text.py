"""Nets that read text, for a page in which one types a context.

Axes: T positions, V characters of the vocabulary.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from typing import Any

import torch
from torch import Tensor

from zoo.data.vocabulary import Vocabulary
from zoo.reports.net.offer import Recorded, compare
from zoo.reports.net.program import Program
from zoo.reports.net.tracing import UnsupportedError
from zoo.training.text_model import TextModel

LONGEST = 256  # positions of a program: more take too long in a page
_LENGTHS = (16, 32, 64, 128)  # of shorter programs, for shorter contexts
_FILLING = 1  # the character after a context that is shorter than a program's input; it is not 0, which is padding
_UNLIMITED = 32  # positions for a net of words that can read any number
_CONTEXTS = 3  # of each length that are compared
_MOST_KNOWN = 150_000  # characters of the list of training words


def offer(model: TextModel, known: Collection[str] | None) -> dict[str, Any]:
    """A net that reads text, for `assets/net-text.js`.

    Args:
        model: on the CPU.
        known: the words of the training split, where they are there.

    Raises:
        UnsupportedError: it cannot run in a page.
        PluginError: it fails.
    """
    if not isinstance(model.codec, Vocabulary):
        raise UnsupportedError("reads the tokens of a tokenizer, which the page does not have")
    if len(model.codec) < 2:
        raise UnsupportedError("has a vocabulary without characters")
    recorded = Recorded(model.module)
    length = _record(recorded, model)
    return {
        "kind": "text",
        "words": not model.running,
        "windows": model.reads == "windows",
        "length": length,
        "filling": _FILLING,
        "vocabulary": list(model.codec.itos),
        "beginning": model.context("") if model.running else None,
        "known": None if known is None or model.running else front_coded(known),
        **recorded.as_json(),
    }


def _record(recorded: Recorded, model: TextModel) -> int:
    """Record programs for its contexts, and verify them; the most positions of a context."""
    size = len(model.codec)
    generator = torch.Generator().manual_seed(0)
    if model.reads == "windows":
        program = recorded.add(torch.ones(1, model.length, dtype=torch.int64))
        recorded.verify(program, _windows(model.length, size, generator))
        return model.length
    length = min(model.length, LONGEST) if model.running else min(model.length, _UNLIMITED)
    if model.running and model.length > LONGEST:
        raise UnsupportedError(f"reads {model.length:,} positions, and the page computes up to {LONGEST}")
    for positions in [*(n for n in _LENGTHS if n < length), length]:
        program = recorded.add(torch.full((1, positions), _FILLING))
        _verify_filled(recorded, program, positions, size, generator)
    return length


def _windows(length: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Random contexts (1, T): of the beginning of a text, where token 0 stands before it, and within it."""
    for known in sorted({0, 1, length // 2, length}):
        for _ in range(_CONTEXTS):
            x = torch.zeros(1, length, dtype=torch.int64)
            x[:, length - known :] = torch.randint(1, size, (1, known), generator=generator)
            yield x


def _verify_filled(recorded: Recorded, program: Program, length: int, size: int, generator: torch.Generator) -> None:
    """Compare a program with the net for contexts that are filled up, which a net that looks ahead does not survive.

    Raises:
        UnsupportedError: what is predicted at their last position is not what the net predicts of the context alone.
    """
    for known in sorted({1, 2, length // 2, length - 1, length} - {0}):
        for _ in range(_CONTEXTS):
            context = torch.randint(1, size, (1, known), generator=generator)
            context[:, 0] *= int(torch.randint(2, (1,), generator=generator)) if known > 1 or length > 1 else 1
            filled = torch.full((1, length), _FILLING)
            filled[:, :known] = context
            wanted = recorded.output(context)
            if wanted.ndim != 3:
                raise UnsupportedError(f"has an output of shape {tuple(wanted.shape)} for a sequence")
            compare(program, filled, wanted[:, -1], (slice(None), known - 1))


def front_coded(words: Collection[str]) -> str | None:
    """Words in sorted order, each without what it begins with as the one before does: a letter says how long that is.

    None where they would take more room than they are worth, or begin alike for longer than there are letters.
    """
    lines, before = [], ""
    for word in sorted(words):
        shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(before, word, strict=False)))
        if shared >= 26:
            return None
        lines.append(chr(ord("a") + shared) + word[shared:])
        before = word
    text = "\n".join(lines)
    return text if len(text.encode()) <= _MOST_KNOWN else None
