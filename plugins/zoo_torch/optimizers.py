"""Optimizers of torch.optim, each with the settings of its paper as typed arguments.

torch has up to three implementations of each: a loop over parameters, `foreach`, which does one operation for all of
them, and `fused`, which does all in one kernel. A step in microseconds on one CPU core, the fastest of five times 100:

              11,897 parameters in 5 tensors    204,544 parameters in 53 tensors
              loop    foreach    fused          loop     foreach    fused
    AdamW      245        221       76          2460        1588      449
    Adam       221        203       77          2273        1440      457
    Adagrad    136        152       66          1329        1088      387
    SGD         76         73       43           629         434      220
    NAdam      264        248                   1773        1232
    RAdam      333        239                   2485        1219
    RMSprop    159        144                   1045         652

So the fused one is taken where there is one, and else `foreach`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from zoo_torch.light import light

_FUSED_ON = {"cpu", "cuda"}

Parameters = Iterable[nn.Parameter]


def adamw(
    params: Parameters,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.01,
    amsgrad: bool = False,
) -> Optimizer:
    """Loshchilov and Hutter's AdamW: weights shrink by `lr * weight_decay` in each step, beside Adam's update.

    As all functions here: raises ValueError for a value out of range, in torch's words.
    """
    params = list(params)
    return light(torch.optim.AdamW)(
        params, lr, betas, eps, weight_decay=weight_decay, amsgrad=amsgrad, **_implementation(params)
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
        params, lr, betas, eps, weight_decay=weight_decay, amsgrad=amsgrad, **_implementation(params)
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
    """Dozat's NAdam; with `decoupled_weight_decay` the decay is AdamW's."""
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
    """The RAdam of Liu and others; with `decoupled_weight_decay` the decay is AdamW's."""
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
    """Hinton's RMSProp; `centered` divides by the deviation from the running mean, as Graves does."""
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
        params, lr, lr_decay, weight_decay, initial_accumulator_value, eps, **_implementation(params)
    )


def sgd_momentum(
    params: Parameters,
    lr: float = 0.01,
    momentum: float = 0.9,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> Optimizer:
    """Gradient descent with momentum."""
    params = list(params)
    return light(torch.optim.SGD)(params, lr, momentum, dampening, weight_decay, nesterov, **_implementation(params))


def _implementation(params: list[nn.Parameter]) -> dict[str, Any]:
    """The fused one, where all parameters are of a kind that it knows."""
    fused = all(p.is_floating_point() and p.device.type in _FUSED_ON for p in params)
    return {"fused": True} if fused else {"foreach": True}
