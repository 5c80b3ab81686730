"""nanoGPT's own way to train on running text, to measure against: its net, its batches and its loop, written anew.

This is no copy: it is written from what Andrej Karpathy's nanoGPT does with its setting for a CPU, for the benchmark
alone. What decides its speed is kept: blocks that are converted and stacked one by one, logits of the tied embedding,
layers without biases, weight decay of matrices alone by torch's default AdamW, gradients that are clipped, a learning
rate that Python sets, and a loss that is waited for in every step. Left out are its evaluations, checkpoints and log.
https://github.com/karpathy/nanoGPT

Axes: B blocks, T positions of a block, E embedding dimensions, H heads, D = E / H, V characters.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

STEPS, WARM_UP = 2000, 100
PEAK, LAST = 1e-3, 1e-4  # learning rates

Ids = npt.NDArray[np.uint16]


class LayerNorm(nn.Module):
    """Layer norm without a bias."""

    def __init__(self, n_embd: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_embd))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, None, 1e-5)


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self, n_head: int, n_embd: int) -> None:
        super().__init__()
        self.n_head = n_head
        self.c_attn = nn.Linear(n_embd, 3 * n_embd, bias=False)
        self.c_proj = nn.Linear(n_embd, n_embd, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, E) to (B, T, E)."""
        B, T, E = x.shape
        parts = self.c_attn(x).split(E, dim=2)
        q, k, v = (part.view(B, T, self.n_head, E // self.n_head).transpose(1, 2) for part in parts)  # (B, H, T, D)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        mixed: Tensor = self.c_proj(y.transpose(1, 2).contiguous().view(B, T, E))
        return mixed


class Block(nn.Module):
    """Attention and an MLP, each after a layer norm."""

    def __init__(self, n_head: int, n_embd: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = LayerNorm(n_embd), LayerNorm(n_embd)
        self.attn = Attention(n_head, n_embd)
        self.c_fc = nn.Linear(n_embd, 4 * n_embd, bias=False)
        self.c_proj = nn.Linear(4 * n_embd, n_embd, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, E) to (B, T, E)."""
        x = x + self.attn(self.ln_1(x))
        added: Tensor = self.c_proj(F.gelu(self.c_fc(self.ln_2(x))))
        return x + added


class GPT(nn.Module):
    """Its GPT-2: the output layer has the weights of the token embedding."""

    def __init__(
        self, vocab_size: int, block_size: int = 64, n_layer: int = 4, n_head: int = 4, n_embd: int = 128
    ) -> None:
        super().__init__()
        self.wte = nn.Embedding(vocab_size, n_embd)
        self.wpe = nn.Embedding(block_size, n_embd)
        self.h = nn.ModuleList(Block(n_head, n_embd) for _ in range(n_layer))
        self.ln_f = LayerNorm(n_embd)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * n_layer) if name.endswith("c_proj.weight") else 0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, T, V) for blocks (B, T)."""
        h = self.wte(x) + self.wpe(torch.arange(x.shape[1], device=x.device))  # (B, T, E)
        for block in self.h:
            h = block(h)
        return F.linear(self.ln_f(h), self.wte.weight)


class Loop:
    """Its loop: a net, its AdamW, and the text that batches come from."""

    def __init__(self, net: GPT, ids: Ids, batch_size: int = 12, block_size: int = 64, device: str = "cpu") -> None:
        self.net, self.ids, self.device = net.to(device), ids, device
        self.batch_size, self.block_size = batch_size, block_size
        matrices = [p for p in net.parameters() if p.ndim >= 2]
        others = [p for p in net.parameters() if p.ndim < 2]
        groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.99), fused=device.startswith("cuda"))
        self.step = 0
        self.losses: list[float] = []

    def batch(self) -> tuple[Tensor, Tensor]:
        """Blocks from random places, and what follows each of their characters: both (B, T)."""
        starts = torch.randint(len(self.ids) - self.block_size, (self.batch_size,)).tolist()
        x, y = (
            torch.stack([torch.from_numpy(self.ids[i : i + self.block_size].astype(np.int64)) for i in places])
            for places in (starts, [start + 1 for start in starts])
        )
        return x.to(self.device), y.to(self.device)

    def train(self, steps: int) -> None:
        """So many steps more."""
        x, y = self.batch()
        for _ in range(steps):
            for group in self.optimizer.param_groups:
                group["lr"] = rate(self.step)
            loss = F.cross_entropy(self.net(x).flatten(0, 1), y.flatten(), ignore_index=-1)
            x, y = self.batch()
            loss.backward()  # type: ignore[no-untyped-call]  # torch
            nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            self.losses.append(loss.item())
            self.step += 1


def rate(step: int) -> float:
    """The learning rate of a step: a warm-up, then half a cosine down to `LAST`."""
    if step < WARM_UP:
        return PEAK * (step + 1) / (WARM_UP + 1)
    through = min(1.0, (step - WARM_UP) / (STEPS - WARM_UP))
    return LAST + (PEAK - LAST) * (1 + math.cos(math.pi * through)) / 2


def encoded(text: Path) -> tuple[Ids, int]:
    """The first 90 % of a text as numbers of its characters, and how many different ones the whole text has."""
    characters = text.read_text(encoding="utf-8")
    stoi = {character: number for number, character in enumerate(sorted(set(characters)))}
    ids = np.array([stoi[character] for character in characters], dtype=np.uint16)
    return ids[: int(0.9 * len(ids))], len(stoi)
