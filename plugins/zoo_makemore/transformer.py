"""makemore's transformer: a small GPT-2.

Layers of causal self-attention and of position-wise nets, each added to what it reads, with layer norms before them:
Vaswani and others, "Attention Is All You Need" (2017), in the form of Radford and others, "Language Models are
Unsupervised Multitask Learners" (2019). https://github.com/karpathy/makemore

Axes: B words, T positions, L positions of the longest word of a batch, N positions that count, over all words of the
batch, E numbers of an embedding, H heads, D = E / H, V characters.

Changes from makemore: attention is torch's own function, and the rest is done to the positions that count only. GELU is
the exact one: on a CPU its tanh approximation takes longer. Positions begin with embeddings of 0. Characters begin with
normal ones and layers as torch's do, which is makemore's start too; from GPT-2's, which is far smaller, so small a net
learns slowly. There can be dropout.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_makemore.packing import Packing
from zoo_makemore.parts import Dropout, check_dropout, check_sizes, embedding, linear

_GAIN = 3**-0.5  # as torch's layers begin: with a third of the variance that would keep their input's


class Attention(nn.Module):
    """Each position looks at itself and those before it."""

    def __init__(self, n_embd: int, n_head: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.n_head = n_head
        self.c_attn = linear(n_embd, 3 * n_embd, generator, gain=_GAIN)
        self.c_proj = linear(n_embd, n_embd, generator, gain=_GAIN)

    def forward(self, x: Tensor, packing: Packing) -> Tensor:
        """(N, E) to (N, E)."""
        qkv = packing.pad(self.c_attn(x))  # (B, L, 3 E); padding stands behind a word, where nothing looks
        parts = torch.split(qkv, x.shape[1], dim=2)  # each (B, L, E)
        q, k, v = (part.view(*part.shape[:2], self.n_head, -1).transpose(1, 2) for part in parts)  # each (B, H, L, D)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, H, L, D)
        mixed: Tensor = self.c_proj(packing.pack(y.transpose(1, 2).flatten(2)))
        return mixed


class Block(nn.Module):
    """Attention, then a net for each position."""

    def __init__(self, n_embd: int, n_head: int, dropout: float, generator: torch.Generator | None) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(n_embd)
        self.attn = Attention(n_embd, n_head, generator)
        self.ln_2 = nn.LayerNorm(n_embd)
        self.c_fc = linear(n_embd, 4 * n_embd, generator, gain=_GAIN)
        self.c_proj = linear(4 * n_embd, n_embd, generator, gain=_GAIN)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, packing: Packing) -> Tensor:
        """(N, E) to (N, E)."""
        x = x + self.dropout(self.attn(self.ln_1(x), packing))
        added: Tensor = self.dropout(self.c_proj(F.gelu(self.c_fc(self.ln_2(x)))))
        return x + added


class Transformer(nn.Module):
    """Embeddings of characters and places, blocks, and an output layer."""

    def __init__(
        self,
        vocab_size: int = 27,
        max_length: int = 16,
        n_layer: int = 4,
        n_head: int = 4,
        n_embd: int = 64,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        """Draw the weights from `generator`.

        Args:
            vocab_size: characters, `.` included.
            max_length: positions of a word, its end included; makemore's block_size.
            n_layer: blocks.
            n_head: heads of each attention.
            n_embd: numbers of each position.
            dropout: the share of what a block adds that is left out in training.
            generator: a CPU generator; without one, torch's global generator is used.

        Raises:
            ValueError: a size below 1, a dropout that is no share, or heads that do not divide `n_embd`.
        """
        super().__init__()
        check_sizes(vocab_size=vocab_size, max_length=max_length, n_layer=n_layer, n_head=n_head, n_embd=n_embd)
        check_dropout(dropout)
        if n_embd % n_head:
            raise ValueError(f"n_head must divide n_embd, got {n_head} and {n_embd}")
        self.wte = embedding(vocab_size, n_embd, generator)
        self.wpe = nn.Parameter(torch.zeros(1, max_length, n_embd))
        self.h = nn.ModuleList(Block(n_embd, n_head, dropout, generator) for _ in range(n_layer))
        self.ln_f = nn.LayerNorm(n_embd)
        self.lm_head = linear(n_embd, vocab_size, generator, gain=_GAIN, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of each next character, shape (B, T, V), for words `x` of shape (B, T)."""
        packing = Packing(x)
        h = self.wte(packing.pack(packing.x)) + self.wpe[0].index_select(0, packing.positions)  # (N, E)
        for block in self.h:
            h = block(h, packing)  # (N, E)
        return packing.logits(self.lm_head(self.ln_f(h)))
