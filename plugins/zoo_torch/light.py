"""torch's optimizers without torch's compiler.

Methods of `torch.optim.Optimizer` are marked so that torch's compiler leaves them alone, and the marks import that
compiler when a method is first called: 1.6 s of a run's start, for something that nothing here uses. The methods under
the marks are the same ones.
"""

from __future__ import annotations

import inspect
from typing import Any, TypeVar, cast

import torch
from torch.optim import Optimizer

Kind = TypeVar("Kind", bound=Optimizer)

_MARKED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")


def light(kind: type[Kind]) -> type[Kind]:
    """An optimizer of torch's, whose class is marked nowhere. It does the same steps, to the last bit."""
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in _MARKED}
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))  # the mark of `step` is what turns gradients off
    return cast(type[Kind], type(kind.__name__, (kind,), methods))
