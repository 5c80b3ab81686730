"""What the `generate` of a model's spec may be, and may return."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from trained_plugin import SIDE, train

import zoo
from zoo.plugin.registry import Entry, Plugin
from zoo.training.sampling.generating import generate

ORIGIN = Plugin("trained", "zoo-trained", "1.0")
N = 3
WANTED = r"'generate' of model 'net' of plugin zoo-trained 1\.0 "


def made(value: object, **settings: object) -> Any:
    """What comes of it when `generate` returns that."""
    spec = zoo.ModelSpec("net", nn.Identity, generate=lambda: value)
    return generate(Entry(spec, ORIGIN), nn.Identity(), N, 1, settings, {})


HALF = torch.full((N, 4, 6), 0.5)
GOOD: dict[str, tuple[Any, tuple[int, ...]]] = {
    "grey": (HALF, (N, 4, 6)),
    "colored": (HALF[:, None].repeat(1, 3, 1, 1), (N, 3, 4, 6)),
    "one channel": (HALF[:, None], (N, 4, 6)),
    "three rows of pixels": (HALF[:, :3], (N, 3, 6)),
    "NumPy": (HALF.numpy(), (N, 4, 6)),
    "float64": (HALF.double(), (N, 4, 6)),
    "float16": (HALF.half(), (N, 4, 6)),
    "bfloat16": (HALF.bfloat16(), (N, 4, 6)),
    "black and white": (HALF > 0.4, (N, 4, 6)),
    "0 and 1": (torch.ones(N, 4, 6, dtype=torch.uint8), (N, 4, 6)),
    "with a gradient": (HALF.clone().requires_grad_(), (N, 4, 6)),
    "a list of tensors": (list(HALF), (N, 4, 6)),
    "rounded": (HALF * 2 + 1e-6, (N, 4, 6)),
    "read only": (np.broadcast_to(np.float32(0.5), (N, 4, 6)), (N, 4, 6)),
}


@pytest.mark.parametrize("name", GOOD)
def test_pictures_are_tensors_of_float32_in_0_to_1(name: str) -> None:
    value, shape = GOOD[name]
    pictures = made(value)
    assert (tuple(pictures.shape), pictures.dtype) == (shape, torch.float32)
    assert float(pictures.min()) >= 0
    assert float(pictures.max()) <= 1
    assert not pictures.requires_grad


@pytest.mark.parametrize("value", [["a", "", "b\nc"], ("a", "", "b\nc")])
def test_texts_are_texts(value: object) -> None:
    assert made(value) == ["a", "", "b\nc"]


BAD: dict[str, tuple[Any, str]] = {
    "None": (None, "returns a NoneType: 3 texts, or pictures of shape"),
    "one text": ("abc", "returns a str: 3 texts"),
    "too few texts": (["a"], "returns 1 texts where 3 are wanted"),
    "too many texts": (["a"] * 4, "returns 4 texts where 3 are wanted"),
    "a list of numbers": ([1, 2, 3], "returns a list of int: 3 texts"),
    "texts and numbers": (["a", 2, "c"], "returns a list of int, str: 3 texts"),
    "tensors of two shapes": ([torch.zeros(2, 2), torch.zeros(2, 2), torch.zeros(3, 2)], "returns a list of Tensor"),
    "too few pictures": (HALF[:2], r"returns shape \(2, 4, 6\)"),
    "vectors": (HALF[:, 0], r"returns shape \(3, 6\)"),
    "channels last": (HALF[..., None].repeat(1, 1, 1, 3), r"returns shape \(3, 4, 6, 3\)"),
    "two channels": (HALF[:, None].repeat(1, 2, 1, 1), r"returns shape \(3, 2, 4, 6\)"),
    "no pixels": (HALF[:, :0], r"returns shape \(3, 0, 6\)"),
    "NaN": (HALF * float("nan"), "returns pictures with NaN or infinity"),
    "infinity": (HALF * float("inf"), "returns pictures with NaN or infinity"),
    "above 1": (HALF * 3, r"returns pictures with numbers from 1\.5 to 1\.5: numbers in 0\.\.1 are wanted"),
    "below 0": (HALF - 1, r"returns pictures with numbers from -0\.5 to -0\.5"),
    "0 to 255": (torch.full((N, 4, 6), 255, dtype=torch.uint8), "returns pictures with numbers from 255 to 255"),
    "complex": (HALF * 1j, "returns no real numbers: 3 texts, or pictures"),
    "objects": (np.array([[["a"]]] * N, object), "returns no real numbers"),
}


@pytest.mark.parametrize("name", BAD)
def test_anything_else_is_an_error_of_its_plugin(name: str) -> None:
    value, message = BAD[name]
    with pytest.raises(zoo.PluginError, match=WANTED + message):
        made(value)


def fails(model: nn.Module, n: int, size: int = 2) -> Any:
    raise ValueError("size must be odd")


def test_a_failure_names_the_plugin_and_a_refused_setting_the_model() -> None:
    entry = Entry(zoo.ModelSpec("net", nn.Identity, generate=fails), ORIGIN)
    with pytest.raises(zoo.PluginError, match=WANTED + "fails: ValueError: size must be odd"):
        generate(entry, nn.Identity(), N, 1, {}, {})
    with pytest.raises(zoo.UsageError, match="size must be odd"):
        generate(entry, nn.Identity(), N, 1, {"size": "4"}, {})


@pytest.mark.parametrize("name", ["pictures", "ambient", "texts"])
def test_a_seed_decides_all_of_it_and_none_draws_anew(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = train(monkeypatch, name)

    def sampled(seed: int | None) -> Any:
        made = loaded.sample(4, seed=seed)
        return made if isinstance(made, list) else made.tolist()

    assert sampled(1) == sampled(1) != sampled(2)
    assert sampled(None) != sampled(None) or name == "texts"  # 81 different ones


def test_the_model_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = train(monkeypatch, "pictures")
    loaded.model.train()
    assert loaded.sample(2, seed=1).shape == (2, SIDE, SIDE)
    assert loaded.model.training


def test_settings_are_typed_by_the_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = train(monkeypatch, "pictures")
    bright, dark = (loaded.sample(2, seed=1, settings={"generate.brightness": b}) for b in ("1", 0.5))
    assert torch.equal(bright / 2, dark)
    for settings, message in (
        ({"generate.brightness": "much"}, "'generate.brightness' takes float, not 'much'"),
        ({"generate.size": 3}, "'generate' of model 'pictures' has no setting 'generate.size'"),
        ({"model.size": 3}, r"no setting 'model\.size': settings are generate\.KEY"),
    ):
        with pytest.raises(zoo.UsageError, match=message):
            loaded.sample(2, settings=settings)


def test_info_shows_the_settings_of_generate(monkeypatch: pytest.MonkeyPatch, zoo_here: Any) -> None:
    train(monkeypatch, "pictures")
    settings = {
        one["key"]: one["default"] for one in zoo_here("info", "pictures", "--json").result["found"][0]["settings"]
    }
    assert settings == {"generate.brightness": 1.0}
    assert "generate.brightness" in zoo_here("info", "pictures").out
    assert zoo_here("info", "texts", "--json").result["found"][0]["settings"] == []
