"""A training step of `transformer` on running text, as its preset `shakespeare` has it, and nanoGPT's loop."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from nanogpt import GPT, Loop, encoded
from steps import SEED, StepLoop, train_more

import zoo
from zoo.data.loading import encode
from zoo.errors import DeviceError
from zoo.options.declaration import decided
from zoo.options.run import RunOptions
from zoo.options.training import PRECISIONS
from zoo.plugin.manager import load_plugins
from zoo.training.autograd import Autograd, StepOptions
from zoo.training.building import build_model, build_optimizer
from zoo.training.device import check_precision
from zoo.training.loop import Training


@dataclass(frozen=True)
class Sizes:
    """Those of nanoGPT's setting for a CPU, and the steps of a round."""

    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 128
    max_length: int = 64
    batch_size: int = 12
    steps: int = 40


def loops(text: Path, sizes: Sizes = Sizes()) -> dict[str, StepLoop]:
    """nanoGPT's loop, and zoo's in each precision that this processor has, all on the CPU with the same text."""
    ids, vocab_size = encoded(text)
    net = GPT(vocab_size, sizes.max_length, sizes.n_layer, sizes.n_head, sizes.n_embd)
    runs: dict[str, StepLoop] = {
        "nanoGPT": (sizes.steps, Loop(net, ids, sizes.batch_size, sizes.max_length).train),
    }
    dataset = zoo.CorpusDataset(path=text, split=(0.9, 1.0))
    for precision in PRECISIONS:
        try:
            check_precision(RunOptions("transformer", precision=precision), torch.device("cpu"))
        except DeviceError as error:
            warnings.warn(f"no {precision}: {error}", stacklevel=1)
            continue
        runs[precision] = sizes.steps, partial(train_more, training(dataset, precision, sizes))
    return runs


def training(dataset: zoo.CorpusDataset, precision: str, sizes: Sizes) -> Training:
    """That of the preset, in a precision."""
    registry, _ = load_plugins()
    entry = registry.models.get("transformer")
    preset = entry.spec.presets["shakespeare"]
    settings = {
        name: {key.partition(".")[2]: value for key, value in preset.settings.items() if key.startswith(f"{name}.")}
        for name in ("model", "optimizer")
    }
    own = {name: getattr(sizes, name) for name in ("n_layer", "n_head", "n_embd", "max_length")}
    model = build_model(entry, {**settings["model"], **own, "vocab_size": dataset.vocab_size}, SEED)
    adamw = registry.optimizers.get(decided(preset.optimizer))
    lr = decided(preset.lr)
    optimizer = build_optimizer(adamw, model, lr, settings["optimizer"])
    engine = Autograd(model, optimizer, StepOptions(clip_norm=decided(preset.clip_norm), precision=precision))
    return Training(
        model=model,
        optimizer=optimizer,
        examples=encode(dataset, "sequences", None, max_length=sizes.max_length)["train"],
        batch_size=sizes.batch_size,
        lr=lr,
        schedule=zoo.Schedule(cosine=True, warmup=100).over(decided(preset.steps)),
        generator=torch.Generator().manual_seed(SEED),
        engine=engine,
    )
