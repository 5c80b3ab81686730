"""What a model's constructor and forward pass must do, tried without a run.

Axes: B examples.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from torch import Tensor, nn

from zoo.errors import PluginError
from zoo.plugin.calling import is_of_plugin
from zoo.plugin.registry import Entry
from zoo.plugin.specs import ModelSpec
from zoo.plugin.width import scaled, width_of
from zoo.runs.plan import RunPlan
from zoo.testing.bench import Bench
from zoo.testing.comparing import different, rows, same, tensors_of
from zoo.testing.draws import drawn
from zoo.testing.report import Rule
from zoo.training.building import seeded

_EXAMPLES = 8
_SINGLE = 1e-3  # how far an example alone may be off what it is among others, as a share of the largest number


@dataclass(frozen=True)
class Tried:
    """A model that is tried; `who` is for messages."""

    who: str
    plan: RunPlan

    @cached_property
    def bench(self) -> Bench:
        return Bench(self.plan)

    @property
    def entry(self) -> Entry[ModelSpec]:
        return self.plan.model

    @cached_property
    def batch(self) -> tuple[Tensor, Tensor]:
        """Inputs (B, ...) and targets (B, ...) of the training split, evenly spaced."""
        examples = self.bench.run.examples["train"]
        count = min(_EXAMPLES, len(examples))
        return examples.gather(torch.arange(count) * (len(examples) // count))

    def model(self) -> nn.Module:
        """A new one, in training mode."""
        return self.bench.model()

    def output(self, model: nn.Module, x: Tensor, seed: int = 0) -> list[Tensor]:
        """The tensors that it returns for a copy of `x`, with torch's generator seeded."""
        with torch.no_grad(), seeded(seed, x.device):
            return tensors_of(model(x.clone()))

    def hidden(self) -> str:
        """For a message: which attributes a forward pass changes that are no state; empty where there are none."""
        fresh, used = self.model(), self.model()
        with contextlib.suppress(Exception):  # it is only looked for
            for seed in (1, 2):
                self.output(used, self.batch[0], seed)
        names = changed_attributes(fresh, used)
        return f" (its forward pass changes {', '.join(names)}, in no state_dict)" if names else ""


def changed_attributes(fresh: nn.Module, used: nn.Module) -> list[str]:
    """The plain attributes of a model's modules that its forward pass has changed: `'calls'`, `'layers.0.seen'`."""
    found = []
    for (path, one), (_, other) in zip(fresh.named_modules(), used.named_modules(), strict=False):
        for name, value in vars(other).items():
            if name.startswith("_") and name in vars(nn.Module()):
                continue
            if not same(getattr(one, name, None), value):
                found.append(repr(f"{path}.{name}".lstrip(".")))
    return found


def _same_weights(tried: Tried) -> None:
    one, other = tried.model().state_dict(), tried.model().state_dict()
    key = different(one, other)
    assert key is None, (
        f"{tried.who} has another {key!r} each time its constructor is called with the same seed: draw from its "
        "argument 'generator', or from the global generators of torch, NumPy or random, which zoo seeds there"
    )


def _no_unseeded_draws(tried: Tried) -> None:
    model, (x, _) = tried.model(), tried.batch
    for when in ("training", "evaluation"):
        model.train(when == "training")
        found = drawn(partial(tried.output, model, x))
        assert found is None, (
            f"{tried.who} draws from {found} in its forward pass, in {when}: neither seeded nor saved there; "
            "draw from torch's global generator, and only where self.training is true"
        )


def _no_hidden_state(tried: Tried) -> None:
    x, _ = tried.batch
    one, other = tried.model(), tried.model()
    state = {name: tensor.clone() for name, tensor in one.state_dict().items()}
    for seed in (1, 2):
        tried.output(other, x, seed)
    other.load_state_dict(state)
    assert all(map(same, tried.output(one, x), tried.output(other, x))), (
        f"{tried.who} returns something else for the same inputs, weights and torch generator in training"
        f"{tried.hidden()}: its forward pass may depend on its state_dict and torch's global generator alone; "
        "register_buffer what it keeps"
    )


def _keeps_inputs(tried: Tried) -> None:
    x, _ = tried.batch
    model = tried.model()
    for when in ("training", "evaluation"):
        given = x.clone()
        with torch.no_grad(), seeded(0, x.device):
            model.train(when == "training")(given)
        assert same(given, x), (
            f"{tried.who} changes its input in place, in {when}: the data would change; clone it first"
        )


def _evaluates_the_same(tried: Tried) -> None:
    model, (x, _) = tried.model().eval(), tried.batch
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad(), seeded(0, x.device):
        generator = torch.get_rng_state()
        one = tensors_of(model(x.clone()))
        draws = not torch.equal(generator, torch.get_rng_state())
        other = tensors_of(model(x.clone()))
    if all(map(same, one, other)):
        return
    key = different(before, model.state_dict())
    if draws:
        why = "it draws from torch's generator: draw only where self.training is true"
    elif key is not None:
        why = f"its forward pass changes {key!r}: change it only where self.training is true"
    else:
        why = f"its forward pass depends on more than weights and inputs{tried.hidden()}"
    raise AssertionError(f"{tried.who} returns something else for the same inputs in evaluation; {why}")


def _examples_are_independent(tried: Tried) -> None:
    model, (x, _) = tried.model().eval(), tried.batch
    whole = tried.output(model, x)
    for start, end in ((0, 1), (1, min(4, len(x)))):
        try:
            alone = tried.output(model, x[start:end])
        except BaseException as error:
            if not is_of_plugin(error):
                raise
            raise AssertionError(
                f"{tried.who} fails on a batch of {end - start} in evaluation, such as the last of a split: "
                f"{type(error).__name__}: {error}"
            ) from error
        for part, own in zip(whole, alone, strict=True):
            if not rows(part, len(x)):
                continue
            close = own.shape == part[start:end].shape and torch.allclose(
                own.double(), part[start:end].double(), rtol=_SINGLE, atol=_SINGLE * _largest(part), equal_nan=True
            )
            assert close, (
                f"{tried.who} returns something else for an example when others are in its batch in evaluation: what "
                "it is evaluated to would depend on the batch size"
            )


def _largest(part: Tensor) -> float:
    finite = part[part.isfinite()].double().abs() if part.is_floating_point() else part.double().abs()
    return float(finite.max()) if finite.numel() else 0.0


def _has_gradients(tried: Tried) -> None:
    model, (x, y) = tried.model(), tried.batch
    wanted = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not wanted:
        return
    with seeded(0, x.device):
        loss = tried.bench.objective(model).loss.mean(model(x.clone()), y, x)
    assert loss.requires_grad, f"{tried.who} has no gradient: its output does not depend on its weights, or is detached"
    found = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)
    gradients = {name: g.to_dense() for name, g in zip(wanted, found, strict=True) if g is not None}
    for name, gradient in gradients.items():
        assert gradient.isfinite().all(), f"{tried.who} has a gradient of {name!r} that is NaN or infinite at its start"
    assert any(map(torch.any, gradients.values())), f"{tried.who} learns nothing: all its gradients are zero"


def _width_makes_it_larger(tried: Tried) -> None:
    entry, plan = tried.entry, tried.plan
    if entry.spec.width is None:
        return
    try:
        width = width_of(entry, plan.model_settings)
    except PluginError as error:
        raise AssertionError(str(error)) from error
    wider = Bench(replace(plan, model_settings={**plan.model_settings, entry.spec.width: scaled(width, 2)}))
    counts = [sum(p.numel() for p in model.parameters()) for model in (tried.model(), wider.model())]
    assert counts[1] > counts[0], (
        f"{tried.who} has {counts[1]:,} parameters with twice its width {entry.spec.width!r}, and {counts[0]:,} with "
        "the width itself: 'width' in its spec names the setting that makes it larger"
    )


FORWARD: dict[str, Rule[Tried]] = {
    "its weights follow from the seed": _same_weights,
    "its forward pass leaves the generators of Python and NumPy alone": _no_unseeded_draws,
    "its forward pass has no state but weights and buffers": _no_hidden_state,
    "its forward pass leaves its inputs as they are": _keeps_inputs,
    "evaluation gives the same twice": _evaluates_the_same,
    "evaluation takes each example alone": _examples_are_independent,
    "its gradients are finite, and not all zero": _has_gradients,
    "its width makes it larger": _width_makes_it_larger,
}
