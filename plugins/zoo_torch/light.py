"""Optimizers of torch.optim that do not import torch's compiler, and continue on another device as they begin there.

Decorators exclude some methods of `torch.optim.Optimizer` from torch's compiler. When such a method is first called,
its decorator imports the compiler, which takes 1.6 s. The undecorated methods do the same.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.optim import Optimizer

Kind = TypeVar("Kind", bound=Optimizer)

_DECORATED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
_IMPLEMENTATION = ("fused", "foreach")
_COUNTERS = ("step", "mu_product")  # the scalars that torch's optimizers count in


def light(kind: type[Kind]) -> type[Kind]:
    """A subclass of an optimizer class with undecorated methods. Its steps are bit-identical.

    A loaded state does not change which of torch's implementations is used, which depends on the device. Scalars that
    the optimizer keeps on the CPU stay there: torch moves some of them to the device of the parameter, and every step
    would then wait for it to read them.
    """
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in _DECORATED}
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))  # the decorator of `step` also turns off gradients
    load = methods["load_state_dict"]

    def load_state_dict(self: Optimizer, state_dict: dict[str, Any]) -> None:
        load(self, {**state_dict, "param_groups": _with_own_implementation(self, state_dict["param_groups"])})
        _put_counters_back(self, state_dict)

    methods["load_state_dict"] = load_state_dict
    return cast(type[Kind], type(kind.__name__, (kind,), methods))


def _with_own_implementation(optimizer: Optimizer, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The groups of a state, with the implementation that was chosen when the optimizer was made."""
    own = {name: optimizer.defaults[name] for name in _IMPLEMENTATION if name in optimizer.defaults}
    return [{**group, **own} for group in groups]


def _put_counters_back(optimizer: Optimizer, saved: Mapping[str, Any]) -> None:
    """Put scalars on the CPU that the optimizer would have made there."""
    for number, p, group in _numbered(optimizer, saved["param_groups"]):
        state = optimizer.state.get(p)
        if p.device.type == "cpu" or not state or group.get("fused") or group.get("capturable"):
            continue  # these two count on the device
        for name, value in state.items():
            if isinstance(value, Tensor) and value.ndim == 0 and (p.ndim > 0 or name in _COUNTERS):
                state[name] = saved["state"][number][name].to("cpu", value.dtype, copy=True)


def _numbered(
    optimizer: Optimizer, saved: list[dict[str, Any]]
) -> Iterator[tuple[int, torch.nn.Parameter, dict[str, Any]]]:
    """Each parameter with its number in the state, and its group."""
    for group, other in zip(optimizer.param_groups, saved, strict=True):
        for number, p in zip(other["params"], group["params"], strict=True):
            yield number, p, group
