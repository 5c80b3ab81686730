"""The parts of `benchmark.py` that need torch, each in a process of its own: `python parts.py PART OPTIONS`.

Prints one JSON list of rows; each has what was measured, the peer, both medians in seconds, and the goal if there is
one.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from makemore import NETS, Loop, Words, endless
from peers import (
    Splits,
    initial_weights,
    jax_scan,
    notebook_evaluation,
    notebook_tensors,
    numpy_loop,
    products,
)
from processes import peak_bytes
from running_text import loops as text_loops
from steps import (
    ENGINES,
    GOALS,
    SEED,
    WARM_UP,
    StepLoop,
    in_turn,
    lecture_loops,
    new_training,
    read,
    seconds_a_step,
    shuffled_examples,
    train_more,
)

import zoo
from zoo.data.examples import SplitName, TensorExamples
from zoo.data.loading import encode
from zoo.plugin.manager import load_plugins
from zoo.training.building import asked_inputs, build_model, build_optimizer
from zoo.training.evaluation import evaluate, evaluate_splits
from zoo.training.loop import Training, train

FAMILY = {  # makemore's own sizes, and how many times as fast as its loop a step is to be
    "transformer": ({"n_layer": 4, "n_head": 4, "n_embd": 64}, 2.0),
    "mlp": ({"n_embd": 64, "n_embd2": 64}, 3.0),
    "gru": ({"n_embd": 64, "n_embd2": 64}, None),
}
Row = dict[str, Any]
Peer = Callable[[], object]


def step(words: Path, rounds: int, device: str) -> list[Row]:
    """A step of the lecture's net, by every engine and every peer, in turn; peers that need the CPU only there."""
    loops = lecture_loops(words, device)
    if device == "cpu":
        tensors = notebook_tensors(read(words))[0]
        loops["NumPy by hand"] = 2000, partial(numpy_loop, *tensors)
        scan = jax_scan()
        if scan is not None:
            loops["jax.lax.scan"] = 4000, partial(scan, *tensors)
    each = seconds_a_step(loops, rounds, device)
    rows = []
    for engine in ENGINES:
        for peer in ("notebook", "NumPy by hand", "jax.lax.scan"):
            goal = 1.5 if (engine, peer) == ("fused", "jax.lax.scan") else None
            if peer == "notebook":
                goal = GOALS[device].get(engine)
            if engine in each and peer in each:
                rows.append(row(f"training step, {engine}", peer, each[peer], each[engine], "µs", goal))
    return rows


def target(words: Path, rounds: int, device: str) -> list[Row]:
    """Seconds to a validation loss of 2.17 on the shuffled split: of training alone, evaluated every 5,000 steps."""
    rows, seconds = [], {}
    for engine in ENGINES:
        training = new_training(words, engine, device, shuffled=True)
        if training is None:
            continue
        validation = shuffled_examples(words)["val"].to(device)
        train(training, WARM_UP)  # is not counted, for any engine
        spent = 0.0
        while evaluate(training.model, validation).loss > 2.17 and training.step < 250_000:
            started = time.perf_counter()
            train(training, training.step // 5000 * 5000 + 5000)
            spent += time.perf_counter() - started
        seconds[engine] = spent
        print(f"{engine}: {training.step:,} steps in {spent:.1f} s", file=sys.stderr)
    for engine in ENGINES[1:]:
        if engine in seconds:
            rows.append(
                row(f"to a validation loss of 2.17, {engine}", "autograd", seconds["autograd"], seconds[engine], "s")
            )
    return rows


def family(words: Path, rounds: int, device: str) -> list[Row]:
    """A step of makemore's models, of 32 words, as `zoo run` takes it, and as makemore's loop does.

    The loop is measured as it is, with four workers that share the cores with it, and have eight batches made before a
    round begins; with its data made in the process; and with batches that are there already, so that only forward,
    backward and update are left of it.
    """
    rows, dataset = [], zoo.TextDataset.from_file(words)
    theirs = Words(list(dataset.splits["train"]), "".join(dataset.vocabulary.itos[1:]), dataset.max_length - 1)
    for name, (_, goal) in FAMILY.items():
        ours, loops = family_training(name, dataset, device), makemore_loops(name, theirs, device)
        assert_alike(name, ours, theirs, loops["makemore's loop"])
        runs: dict[str, StepLoop] = {"zoo": (200, partial(train_more, ours))}
        runs |= {peer: (100, loop.train) for peer, loop in loops.items()}
        each = seconds_a_step(runs, rounds, device)
        for peer in loops:
            goal_here = goal if peer == "makemore's loop" else None
            rows.append(row(f"training step, {name}", peer, each[peer], each["zoo"], "ms", goal_here))
    return rows


def text(path: Path, rounds: int, device: str) -> list[Row]:
    """A step of the transformer on running text, in each precision, and of nanoGPT's loop, which has float32."""
    each = seconds_a_step(text_loops(path), rounds, device)
    theirs = each.pop("nanoGPT")
    goals = {"bfloat16": 4 / 3} if "bfloat16" in each else {}
    return [
        row(f"training step, running text, {precision}", "nanoGPT's loop", theirs, ours, "ms", goals.get(precision))
        for precision, ours in each.items()
    ]


def data(words: Path, rounds: int, device: str) -> list[Row]:
    """From a file to the tensors of three splits, vocabulary included."""

    def ours() -> dict[SplitName, TensorExamples]:
        return encode(zoo.TextDataset.from_file(words), "windows", 3)

    def theirs() -> Splits:
        return notebook_tensors(read(words))

    for (x, y), examples in zip(theirs(), ours().values(), strict=True):
        assert torch.equal(x, examples.x.long())
        assert torch.equal(y, examples.y.long())
    seconds = in_turn({"notebook": theirs, "zoo": ours}, rounds)
    return [row("file to tensors of three splits", "notebook", seconds["notebook"], seconds["zoo"], "ms", 50)]


def evaluation(words: Path, rounds: int, device: str) -> list[Row]:
    """The losses of all three splits."""
    splits = notebook_tensors(read(words))
    examples = encode(zoo.TextDataset.from_file(words), "windows", 3)
    model = zoo.create_model("mlp-char")
    weights = [p.detach() for p in model.parameters()]
    theirs, ours = partial(notebook_evaluation, splits, weights), partial(evaluate_splits, model, examples)
    assert all(abs(a / b.loss - 1) < 1e-6 for a, b in zip(theirs(), ours().values(), strict=True))
    seconds = in_turn({"notebook": theirs, "zoo": ours}, rounds)
    return [row("loss of three splits", "notebook", seconds["notebook"], seconds["zoo"], "ms", 10)]


def growth(words: Path, rounds: int, device: str) -> list[Row]:
    """Seconds a step over the size of hidden layer, batch and context, beside BLAS for the same matrix products."""
    rows = []
    sweeps = {
        "hidden size": [(32, h, 3) for h in (50, 200, 1000, 5000)],
        "batch size": [(b, 200, 3) for b in (8, 32, 128, 512, 2048, 8192)],
        "context length": [(32, 200, t) for t in (1, 3, 10, 30, 100)],
    }
    for axis, sizes in sweeps.items():
        for batch, hidden, context in sizes:
            operations = 6 * batch * hidden * (10 * context + 27)
            steps = min(
                4000, max(20, 12_000_000_000 // operations)
            )  # so many that the shorter blocks at the start do not count
            blas = products(batch, hidden, 10 * context)
            runs: dict[str, Peer] = {"matrix products": partial(repeat, blas, steps)}
            for engine in ENGINES:
                training = new_training(words, engine, device, batch, hidden, context)
                if training is not None:
                    runs[engine] = partial(train_more, training, steps)
            seconds = in_turn(runs, rounds)
            size = {"hidden size": hidden, "batch size": batch, "context length": context}[axis]
            rows.append({"axis": axis, "size": size, **{name: s / steps for name, s in seconds.items()}})
    return rows


def file(words: Path, rounds: int, device: str) -> list[Row]:
    """One file of words to tensors, for the growth of data: seconds, and peak memory over that of the libraries."""
    before = peak_bytes()
    started = time.perf_counter()
    examples = encode(zoo.TextDataset.from_file(words), "windows", 3)
    seconds = time.perf_counter() - started
    tensors = sum(split.x.nbytes + split.y.nbytes for split in examples.values())
    characters = sum(map(len, examples.values()))
    return [{"characters": characters, "seconds": seconds, "bytes": (peak_bytes() - before - tensors) / characters}]


def family_training(name: str, dataset: zoo.TextDataset, device: str) -> Training:
    """A model of makemore's, trained as its preset `makemore` has it."""
    registry, _ = load_plugins()
    entry = registry.models.get(name)
    settings = {**asked_inputs(entry, dataset), **FAMILY[name][0]}
    model = build_model(entry, settings, SEED).to(device)
    adamw = registry.optimizers.get("adamw")
    optimizer = build_optimizer(adamw, model, 5e-4, {"betas": (0.9, 0.99), "weight_decay": 0.01})
    examples = encode(dataset, "sequences", None)["train"].to(device)
    generator = torch.Generator().manual_seed(SEED)
    return Training(model, optimizer, examples, 32, 5e-4, zoo.Schedule(), generator)


def makemore_loops(name: str, words: Words, device: str) -> dict[str, Loop]:
    """makemore's loop for a net of the same sizes, with less and less of its data loading."""
    batches = partial(endless, words, 32, pin_memory=device == "cuda")
    sources = {
        "makemore's loop": batches(),
        "the same, 0 workers": batches(workers=0),
        "the same, data at hand": cycle(islice(batches(workers=0), 100)),
    }
    vocab_size, block_size = len(words.stoi) + 1, words.longest + 1
    return {
        peer: Loop(NETS[name](vocab_size, block_size, **FAMILY[name][0]), source, device)
        for peer, source in sources.items()
    }


def assert_alike(name: str, ours: Training, words: Words, loop: Loop) -> None:
    """Both train on the same tensors, and nets of the same size."""
    for number in range(1000):
        x, y = words[number]
        our_x, our_y = ours.examples.gather(torch.tensor([number]))
        assert torch.equal(x, our_x[0].cpu())
        assert torch.equal(y, our_y[0].cpu())
    parameters = sum(p.numel() for p in ours.model.parameters()) - sum(p.numel() for p in loop.net.parameters())
    assert parameters == (3 * 64 if name == "gru" else 0)  # torch's cell has two biases for one in each of its layers


def repeat(run: Peer, times: int) -> None:
    for _ in range(times):
        run()


def row(what: str, peer: str, theirs: float, ours: float, unit: str, goal: float | None = None) -> Row:
    return {"what": what, "peer": peer, "theirs": theirs, "ours": ours, "unit": unit, "goal": goal}


PARTS = {f.__name__: f for f in (step, target, family, text, data, evaluation, growth, file)}

if __name__ == "__main__":
    part, threads, words_path, rounds_text, device_name = sys.argv[1:]
    torch.set_num_threads(int(threads))
    initial_weights()
    print(json.dumps(PARTS[part](Path(words_path), int(rounds_text), device_name)))
