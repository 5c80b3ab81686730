"""The check of what a model samples, as text or by the `generate` of its spec."""

from __future__ import annotations

from typing import Any

import torch

from zoo.ambient.draws import seeded_draws
from zoo.data.download import fetcher
from zoo.data.loading import offered_values
from zoo.plugin.settings import Signature
from zoo.testing.comparing import same
from zoo.testing.models.runs import Runs
from zoo.testing.report import Rule
from zoo.training.building import evaluating

_COUNT = 3


def _samples(runs: Runs) -> None:
    loaded = runs.loaded
    of_words = loaded.checked.vocabulary is not None and loaded.config["dataset"].get("kind") != "corpus"
    if loaded.entry.spec.generate is not None or not of_words:
        return
    one, other = (runs.loaded.sample(_COUNT, seed=1) for _ in range(2))
    assert one == other, f"{runs.who} samples something else from the same seed: {one[0]!r} and {other[0]!r}"


def _generates(runs: Runs) -> None:
    spec = runs.loaded.entry.spec
    if spec.generate is None:
        return
    who = f"'generate' of {runs.who}"
    (one, before, after), (other, *_), (third, *_) = (_generated(runs, seed) for seed in (1, 1, 2))
    _check_form(who, one)
    assert same(one, other), f"{who} makes something else from the same seed: draw from its argument 'generator'"
    never = torch.equal(before, after) and same(one, third)
    assert not never, f"{who} makes the same from every seed: draw from its argument 'generator'"


def _generated(runs: Runs, seed: int) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """Samples, and the state of the generator before and after."""
    loaded, generator = runs.loaded, torch.Generator().manual_seed(seed)
    before = generator.get_state()
    function = loaded.entry.load(loaded.entry.spec.generate or "")
    known = {"model": loaded.model, "n": _COUNT, "generator": generator}
    known |= offered_values(loaded.dataset(runs.registry, fetcher(), None))
    signature = Signature(function, tuple(known))
    settings = signature.resolve("generate", {}, f"'generate' of {runs.who}")
    with torch.no_grad(), evaluating(loaded.model), seeded_draws(seed):
        made = function(**{name: known[name] for name in signature.inputs}, **settings)
    return made, before, generator.get_state()


def _check_form(who: str, made: Any) -> None:
    """That it is N texts, or N pictures of shape (H, W) or (3, H, W) in 0..1."""
    if isinstance(made, list | tuple) and all(isinstance(text, str) for text in made):
        assert len(made) == _COUNT, f"{who} makes {len(made)} texts where {_COUNT} are wanted"
        return
    pictures = torch.as_tensor(made)
    shape = tuple(pictures.shape)
    wanted = len(shape) in (3, 4) and shape[0] == _COUNT and (len(shape) == 3 or shape[1] in (1, 3))
    assert wanted, f"{who} makes pictures of shape {shape}: ({_COUNT}, H, W) or ({_COUNT}, 3, H, W) is wanted"
    low, high = float(pictures.min()), float(pictures.max())
    assert 0 <= low <= high <= 1, f"{who} makes pictures with numbers from {low:g} to {high:g}: 0..1 is wanted"


SAMPLES: dict[str, Rule[Runs]] = {
    "it samples the same from the same seed": _samples,
    "its 'generate' makes what is wanted, by its generator alone": _generates,
}
