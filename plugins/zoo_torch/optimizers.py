"""Optimizers of torch.optim, each with the settings of its paper as typed arguments.

torch has up to three implementations of each: a loop over parameters; `foreach`, with one call per operation for all
parameters; and `fused`, with one kernel. Microseconds per step on one CPU core, the best of five runs of 100 steps:

              11,897 parameters in 5 tensors    204,544 parameters in 53 tensors
              loop    foreach    fused          loop     foreach    fused
    AdamW      245        221       76          2460        1588      449
    Adam       221        203       77          2273        1440      457
    Adagrad    136        152       66          1329        1088      387
    SGD         76         73       43           629         434      220
    NAdam      264        248                   1773        1232
    RAdam      333        239                   2485        1219
    RMSprop    159        144                   1045         652

Therefore `fused` is used on the CPU and on CUDA where this torch has it, and otherwise `foreach`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from zoo_torch.light import light

Parameters = Iterable[nn.Parameter]


def adamw(
    params: Parameters,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.01,
    amsgrad: bool = False,
) -> Optimizer:
    """Loshchilov and Hutter's AdamW: each step multiplies weights by `1 - lr * weight_decay`, then does Adam's update.

    Like all functions of this module, it raises torch's own ValueError for a value out of range.
    """
    params = list(params)
    return light(torch.optim.AdamW)(
        params, lr, betas, eps, weight_decay=weight_decay, amsgrad=amsgrad, **_implementation("adamw", params)
    )


def adam(
    params: Parameters,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
) -> Optimizer:
    """Kingma and Ba's Adam."""
    params = list(params)
    return light(torch.optim.Adam)(
        params, lr, betas, eps, weight_decay=weight_decay, amsgrad=amsgrad, **_implementation("adam", params)
    )


def nadam(
    params: Parameters,
    lr: float = 2e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum_decay: float = 4e-3,
    decoupled_weight_decay: bool = False,
) -> Optimizer:
    """Dozat's NAdam; with `decoupled_weight_decay`, weight decay is as in AdamW."""
    return light(torch.optim.NAdam)(
        params, lr, betas, eps, weight_decay, momentum_decay, decoupled_weight_decay, foreach=True
    )


def radam(
    params: Parameters,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled_weight_decay: bool = False,
) -> Optimizer:
    """RAdam of Liu and others; with `decoupled_weight_decay`, weight decay is as in AdamW."""
    return light(torch.optim.RAdam)(params, lr, betas, eps, weight_decay, decoupled_weight_decay, foreach=True)


def rmsprop(
    params: Parameters,
    lr: float = 1e-3,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
) -> Optimizer:
    """Hinton's RMSProp; `centered` divides by the running standard deviation, as Graves does."""
    return light(torch.optim.RMSprop)(params, lr, alpha, eps, weight_decay, momentum, centered, foreach=True)


def adagrad(
    params: Parameters,
    lr: float = 0.01,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
) -> Optimizer:
    """Duchi, Hazan and Singer's AdaGrad."""
    params = list(params)
    return light(torch.optim.Adagrad)(
        params, lr, lr_decay, weight_decay, initial_accumulator_value, eps, **_implementation("adagrad", params)
    )


def sgd_momentum(
    params: Parameters,
    lr: float = 0.01,
    momentum: float = 0.9,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> Optimizer:
    """Stochastic gradient descent with momentum."""
    params = list(params)
    return light(torch.optim.SGD)(
        params, lr, momentum, dampening, weight_decay, nesterov, **_implementation("sgd", params)
    )


def _implementation(name: str, params: list[nn.Parameter]) -> dict[str, Any]:
    """Arguments that select `fused` if this torch has it for all parameters, else `foreach`."""
    fused = all(p.is_floating_point() and _has_fused(name, p.device.type) for p in params)
    return {"fused": True} if fused else {"foreach": True}


def _has_fused(name: str, device: str) -> bool:
    """Whether this torch has the fused kernel of an optimizer, `adam` for instance, for a type of device."""
    if device != "cuda":
        return device == "cpu"  # from torch 2.4 on, for each optimizer that asks here
    has_kernel = getattr(torch._C, "_dispatch_has_kernel_for_dispatch_key", None)  # not promised by torch
    try:
        return has_kernel is not None and bool(has_kernel(f"aten::_fused_{name}_", "CUDA"))
    except RuntimeError:  # torch does not know the operator
        return False
