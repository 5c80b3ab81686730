"""What zoo is measured against: the lecture's own cells, NumPy by hand, and JAX, each in its best form.

All train the same net on the same batches: C (27, 10), W1 (30, 200), b1, W2 (200, 27), b2, batches of 32, rate 0.1.
Axes: N examples, K steps, B examples of a batch.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

SEED = 2147483647
RATE = 0.1
Splits = list[tuple[Tensor, Tensor]]


def notebook_tensors(words: list[str]) -> Splits:
    """The lecture's `build_dataset`, for its three splits."""
    stoi = {s: i + 1 for i, s in enumerate(sorted(set("".join(words))))}
    stoi["."] = 0

    def build_dataset(words: list[str]) -> tuple[Tensor, Tensor]:
        X, Y = [], []
        for w in words:
            context = [0] * 3
            for ch in w + ".":
                ix = stoi[ch]
                X.append(context)
                Y.append(ix)
                context = [*context[1:], ix]
        return torch.tensor(X), torch.tensor(Y)

    n1, n2 = int(0.8 * len(words)), int(0.9 * len(words))
    return [build_dataset(part) for part in (words[:n1], words[n1:n2], words[n2:])]


def initial_weights(hidden_size: int = 200, device: torch.device | str = "cpu") -> list[Tensor]:
    """The lecture's, from its seed: the same on every device."""
    g = torch.Generator().manual_seed(SEED)
    shapes = [(27, 10), (30, hidden_size), (hidden_size,), (hidden_size, 27), (27,)]
    return [torch.randn(shape, generator=g).to(device) for shape in shapes]


def notebook_loop(X: Tensor, Y: Tensor, steps: int, parameters: list[Tensor] | None = None) -> list[float]:
    """The lecture's training cells, seeded, on the device of the data; `parameters` are trained in place."""
    parameters = parameters or initial_weights(device=X.device)
    C, W1, b1, W2, b2 = parameters
    for p in parameters:
        p.requires_grad = True
    lossi = []
    torch.manual_seed(SEED)
    for i in range(steps):
        ix = torch.randint(0, X.shape[0], (32,), device=X.device)
        emb = C[X[ix]]
        h = torch.tanh(emb.view(-1, 30) @ W1 + b1)
        logits = h @ W2 + b2
        loss = F.cross_entropy(logits, Y[ix])
        for p in parameters:
            p.grad = None
        loss.backward()  # type: ignore[no-untyped-call]  # torch
        lr = RATE if i < 100000 else RATE / 10
        for p in parameters:
            assert p.grad is not None
            p.data += -lr * p.grad
        lossi.append(loss.item())
    return lossi


@torch.no_grad()
def notebook_evaluation(splits: Splits, parameters: list[Tensor]) -> list[float]:
    """The lecture's `split_loss`, for each split."""
    C, W1, b1, W2, b2 = parameters
    losses = []
    for x, y in splits:
        emb = C[x]
        h = torch.tanh(emb.view(emb.shape[0], -1) @ W1 + b1)
        logits = h @ W2 + b2
        losses.append(F.cross_entropy(logits, y).item())
    return losses


def numpy_loop(X: Tensor, Y: Tensor, steps: int) -> list[float]:
    """The gradient by hand in NumPy, every result in an array that is made once."""
    C, W1, b1, W2, b2 = (p.numpy().copy() for p in initial_weights())
    g = torch.Generator().manual_seed(SEED)
    drawn = torch.randint(0, len(X), (steps, 32), generator=g)
    xs, ys = X[drawn].numpy(), Y[drawn].numpy()
    emb, h, dh = np.empty((32, 3, 10), np.float32), np.empty((32, 200), np.float32), np.empty((32, 200), np.float32)
    flat, p, demb = emb.reshape(32, 30), np.empty((32, 27), np.float32), np.empty((32, 30), np.float32)
    dW1, dW2, dC, rows = np.empty_like(W1), np.empty_like(W2), np.empty_like(C), np.arange(32)
    one_hot = np.eye(27, dtype=np.float32)
    losses = []
    for x, y in zip(xs, ys, strict=True):
        np.take(C, x, axis=0, out=emb, mode="clip")
        np.tanh(np.add(np.matmul(flat, W1, out=h), b1, out=h), out=h)
        np.add(np.matmul(h, W2, out=p), b2, out=p)
        p -= p.max(1, keepdims=True)
        np.exp(p, out=p)
        p /= p.sum(1, keepdims=True)
        losses.append(-np.log(p[rows, y]).mean())
        p[rows, y] -= 1
        p *= RATE / 32  # the rate is in all gradients from here on
        np.matmul(h.T, p, out=dW2)
        np.matmul(p, W2.T, out=dh)
        h *= h
        np.subtract(1, h, out=h)
        dh *= h
        np.matmul(flat.T, dh, out=dW1)
        np.matmul(dh, W1.T, out=demb)
        np.matmul(one_hot[x.ravel()].T, demb.reshape(96, 10), out=dC)
        W1 -= dW1
        W2 -= dW2
        b1 -= dh.sum(0)
        b2 -= p.sum(0)
        C -= dC
    return [float(loss) for loss in losses]


def jax_scan() -> Callable[[Tensor, Tensor, int], list[float]] | None:
    """All steps as one jitted `jax.lax.scan`, the gradient by `jax.value_and_grad`; None where JAX is not installed."""
    if importlib.util.find_spec("jax") is None:
        return None
    import jax
    import jax.numpy as jnp

    def loss_of(parameters: list[Any], x: Any, y: Any) -> Any:
        C, W1, b1, W2, b2 = parameters
        h = jnp.tanh(C[x].reshape(32, 30) @ W1 + b1)
        logprobs = jax.nn.log_softmax(h @ W2 + b2)
        return -jnp.take_along_axis(logprobs, y[:, None], 1).mean()

    def step(parameters: list[Any], batch: tuple[Any, Any]) -> tuple[list[Any], Any]:
        loss, gradients = jax.value_and_grad(loss_of)(parameters, *batch)
        return [p - RATE * g for p, g in zip(parameters, gradients, strict=True)], loss

    train = jax.jit(lambda parameters, batches: jax.lax.scan(step, parameters, batches), donate_argnums=0)

    def loop(X: Tensor, Y: Tensor, steps: int) -> list[float]:
        g = torch.Generator().manual_seed(SEED)
        drawn = torch.randint(0, len(X), (steps, 32), generator=g)
        batches = (jnp.asarray(X[drawn].numpy(), jnp.int32), jnp.asarray(Y[drawn].numpy(), jnp.int32))
        _, losses = train([jnp.asarray(p.numpy()) for p in initial_weights()], batches)
        return [float(loss) for loss in np.asarray(losses)]

    return loop


def products(batch_size: int, hidden_size: int, inputs: int = 30, classes: int = 27) -> Callable[[], None]:
    """The six matrix products of a step by torch's own `mm` into tensors that are there: what BLAS takes for them."""
    B, D, H, V = batch_size, inputs, hidden_size, classes
    x, W1, h, W2, dlogits = (torch.randn(shape) for shape in [(B, D), (D, H), (B, H), (H, V), (B, V)])
    out = [torch.empty(shape) for shape in [(B, H), (B, V), (H, V), (B, H), (D, H), (B, D)]]

    def run() -> None:
        torch.mm(x, W1, out=out[0])
        torch.mm(h, W2, out=out[1])
        torch.mm(h.t(), dlogits, out=out[2])
        torch.mm(dlogits, W2.t(), out=out[3])
        torch.mm(x.t(), h, out=out[4])
        torch.mm(h, W1.t(), out=out[5])

    return run
