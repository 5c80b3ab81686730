"""The `autograd` engine against the lecture's own loop, of which this file holds an independent copy.

Both call the same operators of torch in the same order, so that they have equal bits within one process. Nothing here
compares with numbers that were written down: those are of one processor and one version of torch.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

import zoo
from zoo.runs.result import Run

SEED = 2147483647


@dataclass
class Notebook:
    losses: list[float]
    parameters: dict[str, Tensor]


def notebook(words: list[str], steps: int, batch_size: int = 32, seed: int = SEED) -> Notebook:
    """The lecture's cells, one after the other, in plain torch."""
    chars = sorted(list(set("".join(words))))
    stoi = {s: i + 1 for i, s in enumerate(chars)}
    stoi["."] = 0
    block_size = 3

    def build_dataset(words: list[str]) -> tuple[Tensor, Tensor]:
        X, Y = [], []
        for w in words:
            context = [0] * block_size
            for ch in w + ".":
                ix = stoi[ch]
                X.append(context)
                Y.append(ix)
                context = context[1:] + [ix]
        return torch.tensor(X), torch.tensor(Y)

    Xtr, Ytr = build_dataset(words[: int(0.8 * len(words))])

    g = torch.Generator().manual_seed(SEED)
    C = torch.randn((len(stoi), 10), generator=g)
    W1 = torch.randn((30, 200), generator=g)
    b1 = torch.randn(200, generator=g)
    W2 = torch.randn((200, len(stoi)), generator=g)
    b2 = torch.randn(len(stoi), generator=g)
    parameters = [C, W1, b1, W2, b2]
    for p in parameters:
        p.requires_grad = True

    lossi = []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for i in range(steps):
            # minibatch construct
            ix = torch.randint(0, Xtr.shape[0], (batch_size,))
            # forward pass
            emb = C[Xtr[ix]]
            h = torch.tanh(emb.view(-1, 30) @ W1 + b1)
            logits = h @ W2 + b2
            loss = F.cross_entropy(logits, Ytr[ix])
            # backward pass
            for p in parameters:
                p.grad = None
            loss.backward()  # type: ignore[no-untyped-call]  # torch
            # update
            lr = 0.1 if i < 100000 else 0.01
            for p in parameters:
                assert p.grad is not None
                p.data += -lr * p.grad
            lossi.append(loss.item())
    names = ("C", "W1", "b1", "W2", "b2")
    return Notebook(lossi, {name: p.detach() for name, p in zip(names, parameters, strict=True)})


def bundled_words() -> list[str]:
    import zoo_lecture

    return (Path(zoo_lecture.__file__).parent / "data" / "names-ssa-2018.txt").read_text().split()


def zoo_run(words: str | Path = "names-ssa-2018", **options: Any) -> Run:
    """A run with the notebook's engine and number of threads: more threads sum a product in another order."""
    common: dict[str, Any] = {"device": "cpu", "engine": "autograd", "threads": torch.get_num_threads(), "plots": False}
    return zoo.run("mlp-char", dataset=words, **common, **options)


def assert_same(run: Run, expected: Notebook) -> None:
    assert run.step_losses == expected.losses  # to the last bit
    weights = load_file(run.path / "model.safetensors")
    assert weights.keys() == expected.parameters.keys()
    for name, parameter in expected.parameters.items():
        assert torch.equal(weights[name], parameter), name


def test_notebook_preset_equals_the_lectures_loop_on_the_lectures_names(names_txt: Path) -> None:
    expected = notebook(names_txt.read_text().splitlines(), steps=5000)
    run = zoo_run(names_txt)
    assert len(run.step_losses) == 5000
    assert_same(run, expected)


def test_loop_equals_the_lectures_loop_on_the_bundled_names() -> None:
    expected = notebook(bundled_words(), steps=1000)
    assert_same(zoo_run(steps=1000), expected)


def test_another_seed_and_batch_size_equal_the_lectures_loop_too() -> None:
    expected = notebook(bundled_words(), steps=200, batch_size=7, seed=42)
    assert_same(zoo_run(steps=200, batch_size=7, seed=42), expected)


def test_lecture_preset_shuffles_the_words_as_the_lecture_does() -> None:
    words = bundled_words()
    random.Random(42).shuffle(words)
    expected = notebook(words, steps=200)
    assert_same(zoo_run(steps=200, preset="lecture"), expected)


def test_learning_rate_falls_to_a_hundredth_at_step_100_000() -> None:
    schedule = zoo.Schedule(milestones=(100_000,), gamma=0.1)
    rates = torch.tensor([schedule.lr(0.1, step) for step in (0, 99_999, 100_000, 199_999)], dtype=torch.float32)
    assert torch.equal(rates, torch.tensor([0.1, 0.1, 0.01, 0.01]))  # float32, as the update sees them


def test_same_run_gives_the_same_bytes() -> None:
    files = (
        "model.safetensors",
        "config.json",
        "losses.csv",
        "training_state.safetensors",
        "loss.png",
        "embeddings.png",
    )
    first, second = (zoo.run("mlp-char", dataset="names-ssa-2018", device="cpu", steps=50) for _ in range(2))
    assert first.path != second.path
    for name in files:
        assert (first.path / name).read_bytes() == (second.path / name).read_bytes(), name


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_has_the_same_batches_and_losses_as_the_cpu() -> None:
    cpu, cuda = (
        zoo.run("mlp-char", dataset="names-ssa-2018", device=device, steps=200, plots=False)
        for device in ("cpu", "cuda")
    )
    torch.testing.assert_close(torch.tensor(cuda.step_losses), torch.tensor(cpu.step_losses), rtol=1e-3, atol=1e-3)
    assert cuda.metrics["device"].startswith("cuda:")
