"""Every engine and every model on the device, step by step against autograd in float32 on the CPU."""

from __future__ import annotations

import math

import torch
from results import SKIPPED, UNAVAILABLE, Result, Setting, check, each, failed, one_line
from steps import ENGINES
from torch import nn
from trainings import OF_FLOAT32, difference, in_step, new_training, numbers, recorded, same_bits, train_to

import zoo
from zoo.plugin.manager import load_plugins
from zoo.training.loop import Training

NET = "mlp-char"
OF_BFLOAT16 = 0.03  # of the loss: 8 bits of every factor
OF_FREE_RUN = 0.05  # of the last loss, after the steps of a free run, in which rounding grows
_SHARE = "of the loss, at most"


def engines(setting: Setting) -> list[Result]:
    """The batches are the CPU's; each engine does the CPU's steps, and in one block what it does step by step."""
    steps = setting.steps(255, 20)
    return [_batches(setting, steps), *each(list(ENGINES), lambda engine: engine_rows(setting, engine, steps))]


def engine_rows(setting: Setting, engine: str, steps: int, device: str | None = None) -> list[Result]:
    """Two rows of an engine of the lecture's net, or one if it cannot be had.

    Args:
        setting, engine, device: what is checked, on which device; by default on that of the setting.
        steps: how many. With 255 the last block, of 128, has two graphs of 64 steps.
    """
    what = f"{NET}, {engine}" + (f" on {device}" if device else "")
    device = device or setting.device
    try:
        one = new_training(setting, NET, device, engine=engine)
    except zoo.UsageError as error:
        return [unavailable(setting, engine, device, what, str(error))]
    most, why = in_step(new_training(setting, NET, "cpu", engine="autograd"), one, setting.steps(100, 10))
    rows = [check(f"{what}: each step is the CPU's", why, most, _SHARE)]
    whole, parts = (new_training(setting, NET, device, engine=engine) for _ in range(2))
    return [*rows, check(f"{what}: a block has the bits of single steps", block_off(whole, parts, steps))]


def unavailable(setting: Setting, engine: str, device: str, what: str, reason: str) -> Result:
    """The row of an engine that cannot be had: failed on CUDA if it accepts net and device, and then does not start.

    Its kernel does not compile or computes something else then. On a CPU that is numba, which may not fit NumPy.
    """
    if not setting.on_cuda:
        return Result(what, UNAVAILABLE, remark=one_line(reason))
    entry, training = load_plugins()[0].models.get(NET), new_training(setting, NET, device, engine="autograd")
    try:
        entry.load(entry.spec.engines[engine])(training.model, training.optimizer, training.batch_size)
    except zoo.UsageError:
        return Result(what, UNAVAILABLE, remark=one_line(reason))
    return failed(what, reason)


def block_off(whole: Training, parts: Training, steps: int) -> str | None:
    """What of a training differs when every block has one step; None for nothing."""
    train_to(whole, steps)
    for step in range(steps):
        train_to(parts, step + 1)
    return _losses_off(whole.losses, parts.losses) or difference(numbers(whole), numbers(parts))


def models(setting: Setting) -> list[Result]:
    """All models: in float32 step by step and in a free run, and in bfloat16."""
    names = family()
    rows = each(names, lambda name: [*in_float32(setting, name), in_bfloat16(setting, name)])
    return [*rows, *each([NET], lambda name: [compiled(setting, name)])]


def family() -> list[str]:
    """The names of all built-in models that read words: those of tables have no data of their own."""
    entries = [entry for entry in load_plugins()[0].models if entry.plugin.distribution == "zoo-models"]
    return [entry.spec.name for entry in entries if entry.spec.dataset is not None]


def is_recurrent(model: nn.Module) -> bool:
    return any(isinstance(part, nn.RNNBase) for part in model.modules())


def free_run_off(wanted: list[float], losses: list[float]) -> str | None:
    """Whether losses of a free run are finite, and the last ones are near."""
    if not all(map(math.isfinite, losses)):
        return f"the loss is {next(loss for loss in losses if not math.isfinite(loss))}"
    last = max(1, len(wanted) // 4)
    first, second = sum(wanted[-last:]) / last, sum(losses[-last:]) / last
    if abs(first - second) <= OF_FREE_RUN * abs(first):
        return None
    return f"the mean loss of the last {last} steps is {second:.4f}, and the CPU's {first:.4f}"


def _batches(setting: Setting, steps: int) -> Result:
    """The batches of the device, to the bit."""
    first, second = (
        recorded(new_training(setting, NET, device, engine="autograd"), steps) for device in ("cpu", setting.device)
    )
    return check(f"{NET}: the batches are the CPU's", batches_off(first, second), steps, "steps")


Batches = list[tuple[torch.Tensor, torch.Tensor]]


def batches_off(first: Batches, second: Batches) -> str | None:
    """The first step whose batch differs, of blocks (K, B, ...) and (K, B) that may be cut otherwise."""
    cut = [[torch.cat([block[place] for block in blocks]) for place in (0, 1)] for blocks in (first, second)]
    for step, (x, y, others_x, others_y) in enumerate(zip(*cut[0], *cut[1], strict=True)):
        if not (same_bits(x, others_x) and same_bits(y, others_y)):
            return f"the batch of step {step} differs"
    return None


def in_float32(setting: Setting, name: str) -> list[Result]:
    """Steps with plain SGD, whose update shows each gradient as it is, and then a free run with its own optimizer."""
    steps = setting.steps(20, 2)
    plain = {"engine": "autograd", "optimizer": "sgd", "lr": 0.1}
    cpu, other = (new_training(setting, name, device, **plain) for device in ("cpu", setting.device))
    most, why = in_step(cpu, other, steps, of_update=OF_FLOAT32)
    rows = [check(f"{name}, float32: each step is the CPU's", why, most, _SHARE)]
    cpu, other = (new_training(setting, name, device, engine="autograd") for device in ("cpu", setting.device))
    for training in (cpu, other):
        train_to(training, 4 * steps)
    off, why = abs(other.losses[-1] / cpu.losses[-1] - 1), free_run_off(cpu.losses, other.losses)
    return [*rows, check(f"{name}, float32: a run of {4 * steps} steps", why, off, "of the last loss")]


def in_bfloat16(setting: Setting, name: str) -> Result:
    """Losses near those of float32 on the CPU, or the refusal that is due."""
    what = f"{name}, bfloat16"
    options = {"precision": "bfloat16", "engine": "autograd"}
    reference = new_training(setting, name, "cpu", engine="autograd")
    refused = refusal(setting, name)
    if setting.on_cuda and is_recurrent(reference.model):
        due = "cuDNN would compute it in float16" if refused is None else None
        return check(what, due and f"it is not refused: {due}", remark=f"refused, as it should be: {refused}")
    if refused is not None:
        return Result(what, SKIPPED, remark=one_line(refused))
    steps = setting.steps(20, 2)
    most, why = in_step(reference, new_training(setting, name, **options), steps, of_loss=OF_BFLOAT16, of_update=None)
    return check(what, why, most, _SHARE)


def refusal(setting: Setting, name: str) -> str | None:
    """Why a run in bfloat16 is not done; None if it is."""
    out = setting.folder / f"bfloat16-{name}"
    try:
        setting.run(name, out, precision="bfloat16", steps=1)
    except zoo.UsageError as error:
        return str(error)
    return None


def compiled(setting: Setting, name: str) -> Result:
    """Steps through torch.compile, which needs a compiler on this machine."""
    what = f"{name}, torch.compile"
    if setting.quick:
        return Result(what, SKIPPED, remark="it takes half a minute")
    other = new_training(setting, name, engine="autograd", compile=True)
    try:
        most, why = in_step(new_training(setting, name, "cpu", engine="autograd"), other, 20)
    except zoo.ZooError as error:
        if "cannot compile" not in str(error):
            raise
        return Result(what, UNAVAILABLE, remark=one_line(str(error)))
    return check(what, why, most, _SHARE)


def _losses_off(first: list[float], second: list[float]) -> str | None:
    for step, (one, other) in enumerate(zip(first, second, strict=True)):
        if one != other:
            return f"the loss of step {step} is {other!r} in single steps, and {one!r} in a block"
    return None
