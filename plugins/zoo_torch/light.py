"""Optimizers of torch.optim that do not import torch's compiler.

Decorators exclude some methods of `torch.optim.Optimizer` from torch's compiler. When such a method is first called,
its decorator imports the compiler, which takes 1.6 s. The undecorated methods do the same.
"""

from __future__ import annotations

import inspect
from typing import Any, TypeVar, cast

import torch
from torch.optim import Optimizer

Kind = TypeVar("Kind", bound=Optimizer)

_DECORATED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")


def light(kind: type[Kind]) -> type[Kind]:
    """A subclass of an optimizer class with undecorated methods. Its steps are bit-identical."""
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in _DECORATED}
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))  # the decorator of `step` also turns off gradients
    return cast(type[Kind], type(kind.__name__, (kind,), methods))
