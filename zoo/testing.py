"""Checks that a plugin author can run over everything they register; zoo's own tests run them over the built-in plugin.

```python
import zoo.testing


def test_my_plugin_keeps_its_side_of_the_contract() -> None:
    zoo.testing.check_plugin("my-distribution")
```

Each check raises AssertionError with a sentence; a `zoo.ZooError` says what failed before anything could be compared.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import torch

from zoo.api import load, run
from zoo.data import DATASET_INPUTS, load_dataset
from zoo.datasets import SPLITS, TextDataset
from zoo.download import fetcher
from zoo.manager import load_plugins
from zoo.registry import Registry
from zoo.settings import Signature

STEPS = 5


def check_plugin(distribution: str, *, dataset: str | Path | None = None) -> None:
    """Check everything that a distribution brings.

    Args:
        distribution: its name, as pip has it.
        dataset: trained on in place of the models' own, for tests without a network.
    """
    registry = _registry()
    mine = {shelf.kind: [e for e in shelf if e.plugin.distribution == distribution] for shelf in registry.shelves()}
    assert any(mine.values()), (
        f"no plugin of {distribution!r} is loaded: is it installed, and does 'zoo plugins' show it?"
    )
    for entry in mine["dataset"]:
        check_dataset(entry.full_name)
    for entry in mine["model"]:
        check_model(entry.full_name, dataset=dataset)
    for entry in mine["optimizer"]:
        check_optimizer(entry.full_name)


def check_dataset(name: str) -> None:
    """A dataset can be made twice, the same both times; its settings have types that the command line can parse.

    One that must be downloaded is checked only where it can be.
    """
    registry = _registry()
    entry = registry.datasets.get(name)
    signature = Signature(entry.factory(), DATASET_INPUTS)
    if "fetch" in signature.inputs and fetcher().offline:
        return
    settings = signature.resolve("data", {})
    first, second = (load_dataset(entry, settings, fetcher()) for _ in range(2))
    assert first.sha256 == second.sha256, f"dataset {name!r} is another one each time it is made: pass it a seed"
    for split in SPLITS:
        size = len(first.splits[split]) if isinstance(first, TextDataset) else len(first.splits[split][1])
        assert size > 0, f"dataset {name!r} has an empty {split} split"


def check_model(name: str, *, dataset: str | Path | None = None, optimizer: str | None = None) -> None:
    """A model trains, gives the same weights from the same seed, is saved, reloaded, and samples if it reads text."""
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
        assert same, f"model {name!r} is not the same from the same seed: draw its weights from 'generator'"
        loaded = load(first.path)
        for key, tensor in first.model.state_dict().items():
            back = loaded.model.state_dict()[key]
            assert torch.equal(tensor.nan_to_num(), back.nan_to_num()), f"{key!r} of {name!r} is changed by saving"
        if loaded.checked.vocabulary is not None:
            words = loaded.sample(3, seed=1)
            assert words == load(first.path).sample(3, seed=1), f"model {name!r} samples other words from the same seed"


def check_optimizer(name: str) -> None:
    """An optimizer lowers a quadratic, and goes on from a saved state as if it had never stopped."""
    entry = _registry().optimizers.get(name)
    lr = entry.spec.lr or 1e-3

    def descend(steps: int, start: torch.Tensor, state: object = None) -> tuple[torch.Tensor, dict[str, object]]:
        p = torch.nn.Parameter(start.clone())
        optimizer = entry.factory()([p], lr=lr)
        if state is not None:
            optimizer.load_state_dict(state)
        for _ in range(steps):
            optimizer.zero_grad()
            (p**2).sum().backward()  # type: ignore[no-untyped-call]  # torch
            optimizer.step()
        return p.detach(), optimizer.state_dict()

    start = torch.linspace(0.5, 1.5, 4)
    whole, _ = descend(6, start)
    assert (whole**2).sum() < (start**2).sum(), f"optimizer {name!r} does not lower a quadratic at its own lr {lr:g}"
    half, state = descend(3, start)
    resumed, _ = descend(3, half, state)
    assert torch.equal(whole, resumed), f"optimizer {name!r} does not go on from its own state_dict"


def _registry() -> Registry:
    return load_plugins()[0]
