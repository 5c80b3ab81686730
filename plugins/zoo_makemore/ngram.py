"""An interpolated n-gram model: counts for 5 characters of context are smoothed by those for 4, and so on down to 0.

It is fitted by counting, not trained. It is the baseline that a net must beat: a table cannot generalize from one
character to a similar one.

Smoothing is power law discounting after Huang, Renals, "Power Law Discounting for N-gram Language Models" (ICASSP
2010), the closed form of Teh, "A Hierarchical Bayesian Language Model based on Pitman-Yor Processes" (2006), of which
Kneser-Ney smoothing is a special case:

- d * c ** d of a count c is reserved for the context that is one character shorter; d is the discount;
- a shorter context counts c ** d, not c, for each longer one that ends with it: `q` is frequent in few contexts;
- each context adds `strength` pseudo-examples, distributed as in the shorter context.

A context cannot extend beyond the word's start: `..e` and `.e` are equivalent, so the full counts are used for `.e`,
and `..e` is left out. With 5 characters of context, on the lecture's split, the validation loss is 1.972; that of
modified Kneser-Ney is 1.998, that of Witten-Bell 2.102.

Axes: N examples, T characters of context, B contexts of a batch, V characters of the vocabulary, P unique n-grams.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from zoo_makemore.parts import check_sizes

_MAX_KEYS = 1 << 62
_MAX_LOOKUPS = 1 << 22  # n-grams looked up at once, which bounds the memory


class NGram(nn.Module):
    """Tables of counts, which `fit` fills; before that all characters are equally probable.

    The n-grams of all lengths are encoded as integers with their characters as digits, in 32 bits if possible. They are
    in one sorted table, `keys` (P,), with their `counts` (P,).
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
        """Make empty tables.

        Args:
            vocab_size: characters, the boundary included.
            context_length: characters of context.
            discount: the part of a count of 1 that is reserved for the shorter context; between 0 and 1.
            strength: the number of pseudo-examples from the shorter context; above 0.
            fitted_size: the size of the tables, as returned by `fit`, for loading a fitted model.

        Raises:
            ValueError: a size below 1, a value out of range, or n-grams that do not fit into 64-bit integers.
        """
        super().__init__()
        check_sizes(vocab_size=vocab_size, context_length=context_length)
        if not 0 < discount < 1:
            raise ValueError(f"discount must be between 0 and 1, got {discount}")
        if not strength > 0:
            raise ValueError(f"strength must be above 0, got {strength}")
        too_long = context_length >= _MAX_KEYS.bit_length()  # whose power alone could take for ever to compute
        if too_long or 2 * vocab_size ** (context_length + 1) > _MAX_KEYS:
            raise ValueError(f"context_length {context_length} is too long for {vocab_size} characters")
        self.vocab_size, self.context_length = vocab_size, context_length
        self.discount, self.strength = discount, strength
        small = 2 * vocab_size ** (context_length + 1) < 1 << 31
        self.register_buffer("keys", torch.zeros(fitted_size, dtype=torch.int32 if small else torch.int64))
        self.register_buffer("counts", torch.zeros(fitted_size))

    @torch.no_grad()
    def fit(self, x: Tensor, y: Tensor) -> int:
        """Count all n-grams, replacing earlier counts.

        They are counted on the CPU, so that the tables are the same for every device: sums of fractions in the order in
        which a GPU happens to add them differ in their last bits.

        Args:
            x: contexts of all examples, shape (N, T), on the device where the tables are to be.
            y: targets, shape (N,).

        Returns:
            The number of unique n-grams, P.
        """
        tables = list(self._tables(x.cpu(), y.cpu()))[::-1]  # the shortest contexts have the smallest keys
        self.keys = torch.cat([keys for keys, _ in tables]).to(x.device, self.keys.dtype)
        self.counts = torch.cat([counts for _, counts in tables]).to(x.device, torch.float32)
        return len(self.keys)

    def _tables(self, x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Keys and counts for each length of context, the longest first."""
        base, longest = self.vocab_size, self.context_length
        grams, occurrences = torch.unique(y.to(torch.int64) + base * self._encode(x, longest), return_counts=True)
        raw = discounted = occurrences.double()  # the number of examples, and the count for this length
        for length in range(longest, -1, -1):
            if length < longest:
                grams, index = torch.unique(grams % base ** (length + 1), return_inverse=True)
                zeros = torch.zeros(len(grams), dtype=torch.float64)
                raw = zeros.index_add(0, index, raw)
                discounted = zeros.index_add(0, index, discounted**self.discount)
                starts = grams < base**length  # contexts whose first character is the boundary
                discounted = torch.where(starts, raw, discounted) if length else discounted
            used = grams >= base ** (length - 1) if length > 1 else grams >= 0  # not those with two boundaries
            yield self._first_key(length) + grams[used], discounted[used]

    def forward(self, x: Tensor) -> Tensor:
        """Log-probabilities of the next character, shape (B, V), for contexts `x` of shape (B, T)."""
        size = max(1, _MAX_LOOKUPS // self.vocab_size)
        return torch.cat([self._probabilities(part).log() for part in torch.split(x, size)])

    def _probabilities(self, x: Tensor) -> Tensor:
        p = torch.full((len(x), self.vocab_size), 1 / self.vocab_size, device=x.device)
        for length in range(self.context_length + 1):
            counts = self._look_up(self._first_key(length) + self.vocab_size * self._encode(x, length))  # (B, V)
            reserved = self.discount * counts**self.discount
            backoff = self.strength + reserved.sum(1, keepdim=True)
            total = self.strength + counts.sum(1, keepdim=True)
            interpolated = (counts - reserved + backoff * p) / total
            if length > 1:
                before_start = (x[:, -length] == 0) & (x[:, 1 - length] == 0)
                interpolated = torch.where(before_start[:, None], p, interpolated)
            p = interpolated
        return p

    def _look_up(self, first: Tensor) -> Tensor:
        """The counts of the V n-grams that start at each key: (B,) to (B, V); 0 for n-grams that do not occur."""
        keys, counts = self.keys, self.counts
        queries = first[:, None] + torch.arange(self.vocab_size, device=first.device)
        if not len(keys):
            return torch.zeros(queries.shape, device=first.device)
        queries = queries.to(keys.dtype)
        index = torch.searchsorted(keys, queries).clamp(max=len(keys) - 1)
        return torch.where(keys[index] == queries, counts[index], 0.0)

    def _encode(self, x: Tensor, length: int) -> Tensor:
        """The last `length` characters of contexts (B, T) as integers, shape (B,)."""
        codes = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        for t in range(x.shape[1] - length, x.shape[1]):
            codes = codes * self.vocab_size + x[:, t]
        return codes

    def _first_key(self, length: int) -> int:
        """The first key of contexts of this length; the keys of shorter contexts are below it."""
        return sum(self.vocab_size**n for n in range(1, length + 1))
