"""Many of the lecture's nets at once in JAX, each with its own weights and batches, as a sweep's members have them.

    python jax_members.py WORDS MEMBERS STEPS vmap|map

`vmap` is `jax.vmap` of a `jax.lax.scan` over the steps, which computes all members in each operation, in one program
that XLA spreads over the cores as it sees fit. `map` gives each core a device of its own, on which `jax.lax.map` trains
one member after another. Batches are there before the clock starts, compiling is not counted, and weights are donated.

Axes: M members, K steps, B examples of a batch (32), T characters of context (3).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers import RATE, notebook_tensors

VARIANTS = ("vmap", "map")
SHAPES = [(27, 10), (30, 200), (200,), (200, 27), (27,)]
Batches = tuple[Any, Any]  # (M, K, B, T) and (M, K, B)


def weights_of(members: int) -> list[Any]:
    """Those of the seeds 1 to M, as `mlp-char` draws them; each with M at its first axis."""
    drawn = []
    for seed in range(1, members + 1):
        g = torch.Generator().manual_seed(seed)
        drawn.append([torch.randn(shape, generator=g).numpy() for shape in SHAPES])
    return [np.stack(tensors) for tensors in zip(*drawn, strict=True)]


def batches_of(words: Path, members: int, steps: int) -> Batches:
    """The batches of the seeds 1 to M, as `zoo run` draws them."""
    X, Y = notebook_tensors(words.read_text(encoding="utf-8").splitlines())[0]
    xs, ys = X.to(torch.int32), Y.to(torch.int32)
    drawn = [
        torch.randint(0, len(X), (steps, 32), generator=torch.Generator().manual_seed(seed))
        for seed in range(1, members + 1)
    ]
    return np.stack([xs[one].numpy() for one in drawn]), np.stack([ys[one].numpy() for one in drawn])


def scan(weights: list[Any], batches: Batches) -> tuple[list[Any], Any]:
    """Train one member: weights and batches without M; the losses are (K,)."""
    import jax
    import jax.numpy as jnp

    def loss_of(weights: list[Any], x: Any, y: Any) -> Any:
        C, W1, b1, W2, b2 = weights
        h = jnp.tanh(C[x].reshape(32, 30) @ W1 + b1)
        logprobs = jax.nn.log_softmax(h @ W2 + b2)
        return -jnp.take_along_axis(logprobs, y[:, None], 1).mean()

    def step(weights: list[Any], batch: Batches) -> tuple[list[Any], Any]:
        loss, gradients = jax.value_and_grad(loss_of)(weights, *batch)
        return [p - RATE * g for p, g in zip(weights, gradients, strict=True)], loss

    trained: tuple[list[Any], Any] = jax.lax.scan(step, weights, batches)
    return trained


def trainer(variant: str, weights: list[Any], batches: Batches) -> tuple[Callable[..., Any], list[Any], Batches]:
    """A compiled function of all weights and batches, and these where it wants them."""
    import jax

    if variant == "vmap":
        function, spread = jax.vmap(scan), None
    else:
        mesh = jax.sharding.Mesh(np.array(jax.devices()), ("members",))
        part = jax.sharding.PartitionSpec("members")
        spread = jax.sharding.NamedSharding(mesh, part)
        function = jax.shard_map(
            lambda weights, batches: jax.lax.map(lambda member: scan(*member), (weights, batches)),
            mesh=mesh,
            in_specs=part,
            out_specs=part,
        )
    placed = [jax.device_put(tensor, spread) for tensor in weights]
    fed = jax.device_put(batches[0], spread), jax.device_put(batches[1], spread)
    compiled = jax.jit(function, donate_argnums=0).lower(placed, fed).compile()
    jax.block_until_ready((placed, fed))
    return compiled, placed, fed


def train(words: Path, members: int, steps: int, variant: str) -> tuple[float, list[Any], Any]:
    """Seconds of the training alone, the weights of all members, and their losses (M, K)."""
    import jax

    compiled, weights, batches = trainer(variant, weights_of(members), batches_of(words, members, steps))
    started = time.perf_counter()
    trained, losses = jax.block_until_ready(compiled(weights, batches))
    return time.perf_counter() - started, [np.asarray(tensor) for tensor in trained], np.asarray(losses)


def main() -> None:
    words, members, steps, variant = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    if variant == "map":  # read when jax is imported; members are spread evenly
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        devices = max(count for count in range(1, cores + 1) if members % count == 0)
        os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
    seconds, _, losses = train(words, members, steps, variant)
    print(json.dumps({"seconds": seconds, "last": [float(loss) for loss in losses[:, -1]]}))


if __name__ == "__main__":
    main()
