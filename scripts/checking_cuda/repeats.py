"""The same run twice: equal bytes, or the first step that differs and the operators to suspect.

torch lists itself which of its operators add in no fixed order on CUDA, and warns of each that is used when it is asked
for deterministic ones. What it names is a suspect, and no proof.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from against_cpu import NET, family
from results import UNAVAILABLE, Result, Setting, check, each, one_line
from steps import ENGINES
from trainings import difference, new_training, numbers, train_to

import zoo
from zoo.storage import checkpoint
from zoo.training.loop import Training

FILES = ("model.safetensors", "training_state.safetensors", "losses.csv", "config.json")
_NAMED = re.compile(r"^(\S+) does not have a deterministic implementation")


def repeats(setting: Setting) -> list[Result]:
    """The lecture's net by each engine, every model with its own optimizer, and dropout."""
    steps = setting.steps(255, 20)
    names = family()
    rows = each(list(ENGINES), lambda engine: [twice(setting, NET, steps, engine=engine)])
    rows += each(names, lambda name: [twice(setting, name, setting.steps(60, 2), engine="autograd")])
    dropout = {"model.dropout": 0.2}
    rows += each(["transformer"], lambda name: [twice(setting, name, setting.steps(60, 2), settings=dropout)])
    between = {**dropout, "model.n_layer": 2}  # of recurrent layers, where cuDNN would have its own
    return rows + each(["lstm"], lambda name: [twice(setting, name, setting.steps(60, 2), settings=between)])


def twice(setting: Setting, name: str, steps: int, **options: Any) -> Result:
    """A run and the same run again."""
    said = [f"{key} {value}" for key, value in {**options, **options.get("settings", {})}.items() if key != "settings"]
    what = ", ".join([name, *said, f"{steps} steps, twice"])
    paths = [setting.folder / f"{len(list(setting.folder.iterdir()))}-{part}" for part in ("first", "second")]
    try:
        for path in paths:
            setting.run(name, path, steps=steps, **options)
    except zoo.UsageError as error:
        return Result(what, UNAVAILABLE, remark=one_line(str(error)))
    different = files_off(paths[0], paths[1])
    if different is None:
        return check(what, None)
    return check(what, f"{different}; {where(lambda: new_training(setting, name, **options), steps)}")


def files_off(first: Path, second: Path, names: Sequence[str] = FILES) -> str | None:
    """The first file of two runs that differs; of the weights, the first tensor."""
    for name in names:
        if (first / name).read_bytes() != (second / name).read_bytes():
            if name != "model.safetensors":
                return f"{name} differs"
            return f"{name}: {weights_off(first, second) or 'its metadata differs'}"
    return None


def weights_off(first: Path, second: Path) -> str | None:
    """The first tensor of the weights that differs; the file itself also has the name of the device."""
    weights = [checkpoint.load(path / "model.safetensors").tensors for path in (first, second)]
    return difference(weights[0], weights[1])


def where(make: Callable[[], Training], steps: int) -> str:
    """The first step in which two equal trainings differ, and the operators that torch has no fixed order for."""
    first, second = make(), make()
    for step in range(steps):
        for training in (first, second):
            train_to(training, step + 1, step)
        found = difference(numbers(first), numbers(second))
        if found is None and first.losses[-1] != second.losses[-1]:
            found = f"the loss is {first.losses[-1]!r} and {second.losses[-1]!r}"
        if found is not None:
            named = ", ".join(suspects(make())) or "none of which torch knows it"
            return f"first at step {step}: {found}; operators to suspect: {named}"
    return "single steps do not differ: a block of steps does"


def suspects(training: Training) -> list[str]:
    """The operators of one step that torch says it has no deterministic algorithm for."""
    before = torch.get_deterministic_debug_mode()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            train_to(training, training.step + 1)
    finally:
        torch.set_deterministic_debug_mode(before)
    found = (_NAMED.match(str(warning.message)) for warning in caught)
    return sorted({match[1] for match in found if match})
