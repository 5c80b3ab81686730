"""Interpolated counts: how often each character followed the last 5, corrected by the last 4, and so on down to none.

Nothing is trained. It is the baseline that a net must beat: a table has no idea that two characters are alike.

Smoothing is by the power law of Huang, Renals, "Power Law Discounting for N-gram Language Models" (ICASSP 2010), the
closed form of Teh, "A Hierarchical Bayesian Language Model based on Pitman-Yor Processes" (2006), of which Kneser-Ney's
is the special case that a count is one table however large it is:

- of a count c, d * c ** d is set aside for the context that is one character shorter; d is the discount;
- a shorter context counts c ** d for each longer one that ends with it, and not c: `q` is frequent in few contexts;
- each context adds `strength` examples that are distributed as the shorter context has it.

A word's start is a context that cannot be longer: `..e` and `.e` say the same, so `.e` counts what there is, and
nothing is asked of `..e`. With 5 characters of context, on the lecture's split: modified Kneser-Ney has a validation
loss of 1.998, Witten-Bell of 2.102, this of 1.972.

Axes: N examples, T characters of context, B contexts of a batch, V characters of the vocabulary, P different n-grams.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from zoo_makemore.parts import check_sizes

_MOST_KEYS = 1 << 62
_MOST_NUMBERS = 1 << 22  # looked up in one go, which bounds the memory


class NGram(nn.Module):
    """Tables of counts, which `fit` fills; before that all characters are as likely.

    The n-grams of all lengths are numbers, of 32 bits where that will do, their characters the digits, in one sorted
    table: `keys` (P,), and their `counts` (P,).
    """

    keys: Tensor
    counts: Tensor

    def __init__(
        self,
        vocab_size: int = 27,
        context_length: int = 5,
        discount: float = 0.6,
        strength: float = 2.0,
        fitted_size: int = 0,
    ) -> None:
        """Make tables in which nothing was counted yet.

        Args:
            vocab_size: characters, `.` included.
            context_length: how many characters are seen.
            discount: what is set aside of a count of 1; between 0 and 1.
            strength: the examples that each context takes over from the shorter one; above 0.
            fitted_size: what `fit` returned, for a model that is to be filled with its tables.

        Raises:
            ValueError: a size below 1, a value out of range, or n-grams so many that they have no 64-bit numbers.
        """
        super().__init__()
        check_sizes(vocab_size=vocab_size, context_length=context_length)
        if not 0 < discount < 1:
            raise ValueError(f"discount must be between 0 and 1, got {discount}")
        if not strength > 0:
            raise ValueError(f"strength must be above 0, got {strength}")
        if 2 * vocab_size ** (context_length + 1) > _MOST_KEYS:
            raise ValueError(f"context_length {context_length} is too long for {vocab_size} characters")
        self.vocab_size, self.context_length = vocab_size, context_length
        self.discount, self.strength = discount, strength
        small = 2 * vocab_size ** (context_length + 1) < 1 << 31
        self.register_buffer("keys", torch.zeros(fitted_size, dtype=torch.int32 if small else torch.int64))
        self.register_buffer("counts", torch.zeros(fitted_size))

    @torch.no_grad()
    def fit(self, x: Tensor, y: Tensor) -> int:
        """Count everything, in place of what was counted before.

        Args:
            x: contexts of all examples, shape (N, T).
            y: what followed them, shape (N,).

        Returns:
            How many different n-grams there are.
        """
        tables = list(self._tables(x, y))[::-1]  # the shortest contexts have the smallest keys
        self.keys = torch.cat([keys for keys, _ in tables]).to(self.keys.dtype)
        self.counts = torch.cat([counts for _, counts in tables]).float()
        return len(self.keys)

    def _tables(self, x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Keys and counts for each length of context, the longest first."""
        base, longest = self.vocab_size, self.context_length
        number = y.to(torch.int64) + base * self._numbers(x, longest)  # (N,)
        grams, counts = torch.unique(number, return_counts=True)
        seen = shared = counts.double()  # examples, and what counts for this length
        for length in range(longest, -1, -1):
            if length < longest:
                grams, place = torch.unique(grams % base ** (length + 1), return_inverse=True)
                share = torch.zeros(len(grams), dtype=torch.float64, device=grams.device)
                seen = share.index_add(0, place, seen)
                shared = share.index_add(0, place, shared**self.discount)
                starts = grams < base**length  # contexts whose first character is the boundary
                shared = torch.where(starts, seen, shared) if length else shared
            asked = grams >= base ** (length - 1) if length > 1 else grams >= 0  # not those with two boundaries
            yield self._first_key(length) + grams[asked], shared[asked]

    def forward(self, x: Tensor) -> Tensor:
        """Logarithms of probabilities of the next character, shape (B, V), for contexts `x` of shape (B, T)."""
        size = max(1, _MOST_NUMBERS // self.vocab_size)
        return torch.cat([self._probabilities(part).log() for part in torch.split(x, size)])

    def _probabilities(self, x: Tensor) -> Tensor:
        p = torch.full((len(x), self.vocab_size), 1 / self.vocab_size, device=x.device)
        for length in range(self.context_length + 1):
            counts = self._look_up(self._first_key(length) + self.vocab_size * self._numbers(x, length))  # (B, V)
            set_aside = self.discount * counts**self.discount
            shared = self.strength + set_aside.sum(1, keepdim=True)
            total = self.strength + counts.sum(1, keepdim=True)
            better = (counts - set_aside + shared * p) / total
            if length > 1:
                before_start = (x[:, -length] == 0) & (x[:, 1 - length] == 0)
                better = torch.where(before_start[:, None], p, better)
            p = better
        return p

    def _look_up(self, first: Tensor) -> Tensor:
        """The counts of the V n-grams from each number on: (B,) to (B, V); 0 for what was never seen."""
        keys, counts = self.keys, self.counts
        wanted = first[:, None] + torch.arange(self.vocab_size, device=first.device)
        if not len(keys):
            return torch.zeros(wanted.shape, device=first.device)
        wanted = wanted.to(keys.dtype)
        place = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
        return torch.where(keys[place] == wanted, counts[place], 0.0)

    def _numbers(self, x: Tensor, length: int) -> Tensor:
        """The last `length` characters of contexts (B, T) as numbers, shape (B,)."""
        number = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        for place in range(x.shape[1] - length, x.shape[1]):
            number = number * self.vocab_size + x[:, place]
        return number

    def _first_key(self, length: int) -> int:
        """Below it are the keys of all shorter contexts."""
        return sum(self.vocab_size**n for n in range(1, length + 1))
