"""What is asked of a model that is sampled: words, running text, or what its spec generates; and what is sampled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from torch import Tensor

from zoo.errors import UsageError
from zoo.text import brief, listed
from zoo.training.sampling.options import SamplingOptions, checked_count

Kind: TypeAlias = Literal["words", "text", "generate"]

_NUMBER: dict[Kind, int] = {"words": 20, "text": 1, "generate": 20}
_TAKES: dict[Kind, tuple[str, ...]] = {
    "words": ("temperature", "top_k", "prefix", "new", "unique"),
    "text": ("temperature", "top_k", "prompt", "length"),
    "generate": ("settings",),
}
_SAYS: dict[Kind, str] = {
    "words": "samples words",
    "text": "samples running text",
    "generate": "samples with its own 'generate'",
}
_PLURAL: dict[Kind, str] = {"words": "words", "text": "texts", "generate": "texts"}
_FLAGS = {"settings": "set", "top_k": "top-k"}
_INSTEAD = {("words", "prompt"): "prefix", ("text", "prefix"): "prompt"}


@dataclass(frozen=True)
class SampleRequest:
    """What is asked of a model. None, false or empty is what was not given.

    Attributes:
        seed: of all random numbers.
        n: how many samples: 20 by default, and 1 running text.
        temperature: of words and running text: divides the logits; 0 is greedy sampling. By default 1.
        top_k: of words and running text: sample from the k most probable characters only.
        prefix: the beginning of each word.
        new: words that are in no split of the data.
        unique: no word twice.
        prompt: the beginning of a running text.
        length: how many characters of a running text follow, or tokens of its tokenizer. By default 500.
        settings: of the model's own `generate`: `{"generate.steps": 50}`.
    """

    seed: int
    n: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    prefix: str | None = None
    new: bool = False
    unique: bool = False
    prompt: str | None = None
    length: int | None = None
    settings: Mapping[str, object] = field(default_factory=dict)

    def check(self, kind: Kind, who: str) -> None:
        """Refuse what a model of that kind has no use for.

        Raises:
            UsageError: something else than it takes is given.
        """
        for name in {name: None for names in _TAKES.values() for name in names}:
            value = getattr(self, name)
            if name not in _TAKES[kind] and value is not None and value is not False and value != {}:
                takers = " and ".join(_SAYS[other] for other, names in _TAKES.items() if name in names)
                instead = _INSTEAD.get((kind, name))
                remedy = f"use --{instead}" if instead else "leave it out"
                flag = _FLAGS.get(name, name)
                raise UsageError(f"--{flag} is for a model that {takers}, and {who} {_SAYS[kind]}: {remedy}")

    def count(self, kind: Kind) -> int:
        """How many samples. Raises UsageError: it is no whole number from 1."""
        return checked_count(_NUMBER[kind] if self.n is None else self.n)

    @property
    def options(self) -> SamplingOptions:
        """How characters are sampled."""
        temperature = 1.0 if self.temperature is None else self.temperature
        beginning = self.prefix if self.prompt is None else self.prompt
        return SamplingOptions(temperature, self.top_k, "" if beginning is None else beginning, self.seed)


class Sampled(NamedTuple):
    """What was sampled.

    Attributes:
        samples: texts, or pictures of shape (N, H, W) or (N, 3, H, W).
        kind: what they are of.
        wanted: how many were wanted; of words that are new or unique there may be fewer.
        tries: how many words were sampled to find them; None where every one is wanted.
    """

    samples: list[str] | Tensor
    kind: Kind
    wanted: int
    tries: int | None = None

    def __repr__(self) -> str:
        if not isinstance(self.samples, list):
            return f"<Sampled pictures of shape {tuple(self.samples.shape)}>"
        return brief(f"<Sampled {len(self.samples):,} {_PLURAL[self.kind]}: {listed(self.samples, 5)}>")

    @property
    def missing(self) -> str | None:
        """What to say where fewer were found than wanted."""
        if self.tries is None or len(self.samples) >= self.wanted:
            return None
        return (
            f"found {len(self.samples):,} of the {self.wanted:,} wanted words among {self.tries:,} that were sampled: "
            "a higher temperature gives others"
        )
