"""The checks of a plugin, a dataset, a model and an optimizer."""

from __future__ import annotations

import math
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch

from zoo.ambient import in_neutral_state
from zoo.api import load, run
from zoo.data.download import fetcher
from zoo.data.loading import load_dataset
from zoo.data.splits import Pair
from zoo.plugin.settings import signature_of
from zoo.testing.bench import load_registry
from zoo.testing.devices import check_device
from zoo.testing.engines import check_engines
from zoo.text import message
from zoo.training.autograd import needs_closure

STEPS = 5


@in_neutral_state
def check_plugin(distribution: str, *, dataset: str | Path | None = None) -> None:
    """Check everything that a distribution brings.

    Args:
        distribution: its name, as pip has it.
        dataset: trained on in place of the models' own, for tests without a network.
    """
    registry = load_registry()
    mine = {kind.kind: [e for e in kind if e.plugin.distribution == distribution] for kind in registry.kinds()}
    assert any(mine.values()), (
        f"no plugin of {distribution!r} is loaded: is it installed, and does 'zoo plugins' show it?"
    )
    for entry in mine["dataset"]:
        check_dataset(entry.full_name)
    for entry in mine["model"]:
        check_model(entry.full_name, dataset=dataset)
        check_engines(entry.full_name, dataset=dataset)
    for entry in mine["optimizer"]:
        check_optimizer(entry.full_name)


@in_neutral_state
def check_dataset(name: str) -> None:
    """A dataset is the same each time it is made, and the command line can parse the types of its settings.

    One that must be downloaded is checked only where it can be.
    """
    registry = load_registry()
    entry = registry.datasets.get(name)
    signature = signature_of(entry)
    if "fetch" in signature.inputs and fetcher().offline:
        return
    settings = signature.resolve("data", {})
    first, second = (load_dataset(entry, settings, fetcher()) for _ in range(2))
    assert first.sha256 == second.sha256, f"dataset {name!r} differs each time it is made: give it a seed"
    for split, part in first.splits.items():
        size = len(part.y) if isinstance(part, Pair) else len(part)
        assert size > 0, f"dataset {name!r} has an empty {split} split"


@in_neutral_state
def check_model(name: str, *, dataset: str | Path | None = None, optimizer: str | None = None) -> None:
    """A model trains, gives the same weights from the same seed, is saved, reloaded, and samples if it reads text.

    It also goes through `check_device`; where that cannot be, a warning says why.
    """
    with tempfile.TemporaryDirectory() as folder:
        first, second = (
            run(
                name,
                dataset=dataset,
                optimizer=optimizer,
                device="cpu",
                steps=STEPS,
                out=Path(folder) / part,
                plots=False,
            )
            for part in ("a", "b")
        )
        assert all(map(math.isfinite, first.step_losses)), f"model {name!r} has losses {first.step_losses}"
        same = first.step_losses == second.step_losses
        assert same, f"model {name!r} differs with the same seed: initialize its weights from 'generator'"
        loaded = load(first.path)
        for key, tensor in first.model.state_dict().items():
            back = loaded.model.state_dict()[key]
            assert torch.equal(tensor.nan_to_num(), back.nan_to_num()), f"{key!r} of {name!r} is changed by saving"
        if loaded.checked.vocabulary is not None and loaded.checked.kind != "corpus":
            words = loaded.sample(3, seed=1)
            assert words == load(first.path).sample(3, seed=1), f"model {name!r} samples other words from the same seed"
    why = check_device(name, dataset=dataset, optimizer=optimizer)
    if why is not None:
        warnings.warn(message(why), stacklevel=2)


@in_neutral_state
def check_optimizer(name: str) -> None:
    """An optimizer reduces a quadratic, and from a saved state continues as in an uninterrupted run."""
    entry = load_registry().optimizers.get(name)
    lr = entry.spec.lr or 1e-3

    def descend(steps: int, start: torch.Tensor, state: object = None) -> tuple[torch.Tensor, dict[str, object]]:
        p = torch.nn.Parameter(start.clone())
        optimizer = entry.factory()([p], lr=lr)
        if state is not None:
            optimizer.load_state_dict(state)
        for _ in range(steps):

            def closure(optimizer: Any = optimizer, p: torch.nn.Parameter = p) -> torch.Tensor:
                optimizer.zero_grad()
                with torch.enable_grad():
                    loss = (p**2).sum()
                loss.backward()  # type: ignore[no-untyped-call]  # torch
                return loss

            if needs_closure(optimizer):
                optimizer.step(closure)
            else:
                closure()
                optimizer.step()
        return p.detach(), optimizer.state_dict()

    start = torch.linspace(0.5, 1.5, 4)
    whole, _ = descend(6, start)
    assert (whole**2).sum() < (start**2).sum(), f"optimizer {name!r} does not lower a quadratic at its own lr {lr:g}"
    half, state = descend(3, start)
    resumed, _ = descend(3, half, state)
    assert torch.equal(whole, resumed), f"optimizer {name!r} does not continue from its own state_dict"
