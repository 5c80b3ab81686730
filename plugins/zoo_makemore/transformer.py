"""makemore's transformer: a small GPT-2.

Blocks of causal self-attention and position-wise MLPs with residual connections and layer norm before each: Vaswani and
others, "Attention Is All You Need" (2017), in the pre-norm form of Radford and others, "Language Models are
Unsupervised Multitask Learners" (2019). https://github.com/karpathy/makemore

Axes: B words, T positions, L positions of the longest word of a batch, N positions of all words without padding, E
embedding dimensions, H heads, D = E / H, V characters.

Changes from makemore: attention is torch's function, and all other layers skip the padding. GELU is exact, because its
tanh approximation is slower on a CPU. Position embeddings are initialized to 0. Token embeddings are normal and layers
are initialized as in torch, which is makemore's initialization too; with GPT-2's, whose weights are much smaller, so
small a net learns slowly. Dropout is optional, and so are biases, which nanoGPT leaves out. For running text, rotary
position embeddings (`rotary.py`) can replace the learned ones.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_makemore.packing import Packing
from zoo_makemore.parts import Dropout, check_dropout, check_sizes, embedding, linear
from zoo_makemore.rotary import check_rotary, rotate, rotations

_GAIN = 3**-0.5  # torch's initialization: a third of the variance that would preserve that of the input


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(
        self, n_embd: int, n_head: int, generator: torch.Generator | None, bias: bool = True, rotary: bool = False
    ) -> None:
        super().__init__()
        self.n_head, self.rotary = n_head, rotary
        self.c_attn = linear(n_embd, 3 * n_embd, generator, gain=_GAIN, bias=bias)
        self.c_proj = linear(n_embd, n_embd, generator, gain=_GAIN, bias=bias)

    def forward(self, x: Tensor, packing: Packing) -> Tensor:
        """(N, E) to (N, E)."""
        qkv = packing.pad(self.c_attn(x))  # (B, L, 3 E); padding follows the word, so the causal mask hides it
        parts = torch.split(qkv, x.shape[1], dim=2)  # each (B, L, E)
        q, k, v = (part.view(*part.shape[:2], self.n_head, -1).transpose(1, 2) for part in parts)  # each (B, H, L, D)
        if self.rotary:
            by = rotations(q.shape[2], q.shape[3], q.device)  # (L, D / 2)
            q, k = rotate(q, by), rotate(k, by)
        y = causal_attention(q, k, v)  # (B, H, L, D)
        out: Tensor = self.c_proj(packing.pack(y.transpose(1, 2).flatten(2)))
        return out


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled dot-product attention of each position to itself and those before it, all of shape (B, H, L, D).

    On a CPU it is computed in float32: the backward pass of torch's function takes four times as long in bfloat16.
    """
    if v.dtype != torch.bfloat16 or v.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    with torch.autocast("cpu", enabled=False):
        return F.scaled_dot_product_attention(q.float(), k.float(), v.float(), is_causal=True)


class Block(nn.Module):
    """Attention and a position-wise MLP, with residual connections."""

    def __init__(
        self,
        n_embd: int,
        n_head: int,
        dropout: float,
        generator: torch.Generator | None,
        bias: bool = True,
        rotary: bool = False,
    ) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(n_embd, bias=bias)
        self.attn = Attention(n_embd, n_head, generator, bias, rotary)
        self.ln_2 = nn.LayerNorm(n_embd, bias=bias)
        self.c_fc = linear(n_embd, 4 * n_embd, generator, gain=_GAIN, bias=bias)
        self.c_proj = linear(4 * n_embd, n_embd, generator, gain=_GAIN, bias=bias)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, packing: Packing) -> Tensor:
        """(N, E) to (N, E)."""
        x = x + self.dropout(self.attn(self.ln_1(x), packing))
        mlp: Tensor = self.dropout(self.c_proj(F.gelu(self.c_fc(self.ln_2(x)))))
        return x + mlp


class Transformer(nn.Module):
    """Token and position embeddings, blocks, and an output layer."""

    def __init__(
        self,
        vocab_size: int = 27,
        max_length: int = 16,
        n_layer: int = 4,
        n_head: int = 4,
        n_embd: int = 64,
        dropout: float = 0.0,
        bias: bool = True,
        rotary: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        """Initialize the weights from `generator`.

        Args:
            vocab_size: characters, the boundary included.
            max_length: positions of a word, its end included, or of a block of running text; makemore's block_size.
            n_layer: blocks.
            n_head: attention heads per block.
            n_embd: embedding dimensions.
            dropout: probability of dropping outputs of attention and MLP in training.
            bias: whether linear layers and layer norms have biases; the output layer has none.
            rotary: rotate queries and keys by their position, in place of learned position embeddings.
            generator: a CPU generator; by default torch's global one.

        Raises:
            ValueError: a size below 1, an invalid dropout, an `n_embd` that is not divisible by `n_head`, or a head of
                an odd number of dimensions that is to be rotated.
        """
        super().__init__()
        check_sizes(vocab_size=vocab_size, max_length=max_length, n_layer=n_layer, n_head=n_head, n_embd=n_embd)
        check_dropout(dropout)
        if n_embd % n_head:
            raise ValueError(f"n_head must divide n_embd, got {n_head} and {n_embd}")
        if rotary:
            check_rotary(n_embd // n_head)
        self.wte = embedding(vocab_size, n_embd, generator)
        self.wpe = None if rotary else nn.Parameter(torch.zeros(1, max_length, n_embd))
        self.h = nn.ModuleList(Block(n_embd, n_head, dropout, generator, bias, rotary) for _ in range(n_layer))
        self.ln_f = nn.LayerNorm(n_embd, bias=bias)
        self.lm_head = linear(n_embd, vocab_size, generator, gain=_GAIN, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of each next character, shape (B, T, V), for words `x` of shape (B, T)."""
        packing = Packing(x)
        h = self.wte(packing.pack(packing.x))  # (N, E)
        if self.wpe is not None:
            h = packing.add_positions(h, self.wpe[0])  # (N, E)
        for block in self.h:
            h = block(h, packing)  # (N, E)
        return packing.logits(self.lm_head(self.ln_f(h)))
