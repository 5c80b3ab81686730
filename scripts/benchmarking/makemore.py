"""makemore's own way to train, to measure against: its nets, its data loading and its loop, written anew.

This is no copy: it is written from what Andrej Karpathy's makemore.py does, for the benchmark alone. What decides its
speed is kept: attention by hand with a mask, GELU by its formula, a cell called once for each place, words that are
encoded one by one whenever they are drawn, four worker processes, an optimizer with torch's defaults, and a device that
is waited for in every step. Left out is what it does every 200 or 500 steps: samples, evaluation, a log for a viewer.
https://github.com/karpathy/makemore

Axes: B words, T places of the longest word and its end, E embedding dimensions, H heads, D = E / H, S hidden
units, V characters.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, RandomSampler

IGNORED = -1
WORKERS = 4
Batch = list[Tensor]  # x and y, each (B, T)

warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than cores: that is how makemore has it


class NewGELU(nn.Module):
    """GELU in its approximation by tanh, as a formula."""

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))


class Attention(nn.Module):
    """Each place looks at itself and those before it."""

    tril: Tensor

    def __init__(self, block_size: int, n_head: int, n_embd: int) -> None:
        super().__init__()
        self.n_head = n_head
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)
        self.register_buffer("tril", torch.tril(torch.ones(block_size, block_size))[None, None])

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, E) to (B, T, E)."""
        B, T, E = x.size()
        parts = self.c_attn(x).split(E, dim=2)
        q, k, v = (part.view(B, T, self.n_head, E // self.n_head).transpose(1, 2) for part in parts)  # (B, H, T, D)
        scores = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))  # (B, H, T, T)
        scores = scores.masked_fill(self.tril[:, :, :T, :T] == 0, float("-inf"))
        y = F.softmax(scores, dim=-1) @ v  # (B, H, T, D)
        mixed: Tensor = self.c_proj(y.transpose(1, 2).contiguous().view(B, T, E))
        return mixed


class Block(nn.Module):
    """Attention, then a net for each place."""

    def __init__(self, block_size: int, n_head: int, n_embd: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(n_embd)
        self.attn = Attention(block_size, n_head, n_embd)
        self.ln_2 = nn.LayerNorm(n_embd)
        self.c_fc = nn.Linear(n_embd, 4 * n_embd)
        self.act = NewGELU()
        self.c_proj = nn.Linear(4 * n_embd, n_embd)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, E) to (B, T, E)."""
        x = x + self.attn(self.ln_1(x))
        added: Tensor = self.c_proj(self.act(self.c_fc(self.ln_2(x))))
        return x + added


class Transformer(nn.Module):
    """Its GPT-2."""

    def __init__(self, vocab_size: int, block_size: int, n_layer: int = 4, n_head: int = 4, n_embd: int = 64) -> None:
        super().__init__()
        self.wte = nn.Embedding(vocab_size, n_embd)
        self.wpe = nn.Embedding(block_size, n_embd)
        self.h = nn.ModuleList(Block(block_size, n_head, n_embd) for _ in range(n_layer))
        self.ln_f = nn.LayerNorm(n_embd)
        self.lm_head = nn.Linear(n_embd, vocab_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, T, V) for words (B, T)."""
        places = torch.arange(x.size(1), dtype=torch.long, device=x.device).unsqueeze(0)  # (1, T)
        h = self.wte(x) + self.wpe(places)  # (B, T, E)
        for block in self.h:
            h = block(h)
        logits: Tensor = self.lm_head(self.ln_f(h))
        return logits


class MLP(nn.Module):
    """Its MLP: all T places before, each looked up in a copy of the words that is shifted once more."""

    def __init__(self, vocab_size: int, block_size: int, n_embd: int = 64, n_embd2: int = 64) -> None:
        super().__init__()
        self.block_size, self.blank = block_size, vocab_size
        self.wte = nn.Embedding(vocab_size + 1, n_embd)
        self.mlp = nn.Sequential(nn.Linear(block_size * n_embd, n_embd2), nn.Tanh(), nn.Linear(n_embd2, vocab_size))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, T, V) for words (B, T)."""
        seen = []
        for _ in range(self.block_size):
            seen.append(self.wte(x))  # (B, T, E)
            x = torch.roll(x, 1, 1)
            x[:, 0] = self.blank
        logits: Tensor = self.mlp(torch.cat(seen, -1))  # from (B, T, T * E)
        return logits


class GRU(nn.Module):
    """Its gated recurrent net: a cell of three layers, called for one place after the other."""

    def __init__(self, vocab_size: int, block_size: int, n_embd: int = 64, n_embd2: int = 64) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(1, n_embd2))
        self.wte = nn.Embedding(vocab_size, n_embd)
        self.to_z, self.to_r, self.to_new = (nn.Linear(n_embd + n_embd2, n_embd2) for _ in range(3))
        self.lm_head = nn.Linear(n_embd2, vocab_size)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, T, V) for words (B, T)."""
        emb = self.wte(x)  # (B, T, E)
        state = self.start.expand((x.size(0), -1))  # (B, S)
        states = []
        for place in range(x.size(1)):
            state = self.cell(emb[:, place, :], state)
            states.append(state)
        logits: Tensor = self.lm_head(torch.stack(states, 1))
        return logits

    def cell(self, emb: Tensor, state: Tensor) -> Tensor:
        """(B, E) and (B, S) to (B, S)."""
        both = torch.cat([emb, state], 1)
        r = torch.sigmoid(self.to_r(both))
        new = torch.tanh(self.to_new(torch.cat([emb, r * state], 1)))
        z = torch.sigmoid(self.to_z(both))
        return (1 - z) * state + z * new


NETS: dict[str, type[Transformer | MLP | GRU]] = {"transformer": Transformer, "mlp": MLP, "gru": GRU}


class Words(Dataset[tuple[Tensor, Tensor]]):
    """Words that become tensors one by one, when they are asked for."""

    def __init__(self, words: list[str], characters: str, longest: int) -> None:
        self.words, self.longest = words, longest
        self.stoi = {character: number for number, character in enumerate(characters, 1)}

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """x and y of a word, each (T,), where T is one more than the longest word has letters."""
        word = self.words[index]
        numbers = torch.tensor([self.stoi[character] for character in word], dtype=torch.long)
        x = torch.zeros(self.longest + 1, dtype=torch.long)
        y = torch.zeros(self.longest + 1, dtype=torch.long)
        x[1 : 1 + len(numbers)] = numbers
        y[: len(numbers)] = numbers
        y[len(numbers) + 1 :] = IGNORED
        return x, y


def endless(words: Words, batch_size: int, workers: int = WORKERS, *, pin_memory: bool = False) -> Iterator[Batch]:
    """Batches of words drawn with replacement, for ever, made by so many processes; with 0 of them by this one.

    makemore always asks for pinned memory, which does nothing where there is no GPU.
    """
    sampler = RandomSampler(words, replacement=True, num_samples=int(1e10))
    loader = DataLoader(words, batch_size, sampler=sampler, num_workers=workers, pin_memory=pin_memory)
    while True:
        yield from loader


class Loop:
    """Its loop: a net, its AdamW, and where the batches come from. Workers start when the first batch is asked for."""

    def __init__(self, net: nn.Module, batches: Iterator[Batch], device: str = "cpu") -> None:
        self.net, self.batches, self.device = net.to(device), batches, device
        self.optimizer = torch.optim.AdamW(net.parameters(), lr=5e-4, weight_decay=0.01, betas=(0.9, 0.99), eps=1e-8)
        self.step = 0
        self.told: list[str] = []  # what makemore prints

    def train(self, steps: int) -> None:
        """So many steps more."""
        for _ in range(steps):
            started = time.time()
            x, y = (part.to(self.device) for part in next(self.batches))
            logits = self.net(x)
            loss = F.cross_entropy(logits.view(-1, logits.size(-1)), y.view(-1), ignore_index=IGNORED)
            self.net.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch
            self.optimizer.step()
            if self.device.startswith("cuda"):
                torch.cuda.synchronize()
            ended = time.time()
            if self.step % 10 == 0:
                self.told.append(f"step {self.step} | loss {loss.item():.4f} | {(ended - started) * 1000:.2f} ms")
            self.step += 1
