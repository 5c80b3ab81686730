"""A plugin of this process, for tests of `zoo.testing`: specs of any kind, and a small dataset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import zoo
from zoo.plugin.manager import load_plugins
from zoo.plugin.registry import Entry, Plugin

Offer = Callable[..., None]
DISTRIBUTION = "zoo-wrong"


def points() -> zoo.TensorDataset:
    """Three numbers and a class, 26 examples for training: no multiple of a batch."""
    x = torch.randn((40, 3), generator=torch.Generator().manual_seed(5))
    y = (x.sum(1) > 0).long()
    return zoo.TensorDataset((x[:26], y[:26]), (x[26:33], y[26:33]), (x[33:], y[33:]))


def offering(monkeypatch: pytest.MonkeyPatch) -> Offer:
    """What registers specs with the built-in plugins for one test."""

    def offer(*specs: Any) -> None:
        def load(*args: Any, **kwargs: Any) -> Any:
            registry, statuses = load_plugins(*args, **kwargs)
            plugin = Plugin("wrong", DISTRIBUTION, "1.0")
            kinds = {kind.kind: kind for kind in registry.kinds()}
            for spec in (zoo.DatasetSpec("points", points), *specs):
                kinds[spec.kind].add(Entry(spec, plugin))
            return registry, statuses

        monkeypatch.setattr("zoo.testing.bench.load_plugins", load)

    return offer
