"""How fast a training step is, against the notebook's loop on the same device, and what the machine is."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess

import torch
from results import MISSED, PASSED, SKIPPED, UNAVAILABLE, Result, Setting
from steps import ENGINES, GOALS, StepLoop, lecture_loops, new_training, seconds_a_step, train_more

from zoo import cuda
from zoo.training.device import choose_device, describe_device

THERE = "fused on the CPU"


def speed(setting: Setting) -> list[Result]:
    """A step of the lecture's net: medians of rounds in turn, each waited for."""
    share = 0.02 if setting.quick else 1
    loops = lecture_loops(setting.words, setting.device, share=share)
    if setting.on_cuda:
        add_the_cpus(setting, loops)
    each = seconds_a_step(loops, setting.steps(7, 1), setting.device)
    rows = [Result("a step of the notebook's loop, on the same device", PASSED, _micro(each["notebook"]), "µs")]
    for engine in ENGINES:
        rows.append(row(engine, each, GOALS["cuda"].get(engine) if setting.on_cuda else None))
    rows += [against_the_cpu(each)] if THERE in each else []
    return [*rows, Result("a step of many nets at once", SKIPPED, remark="not built yet: no engine trains several")]


def add_the_cpus(setting: Setting, loops: dict[str, StepLoop]) -> None:
    """The fastest engine of the CPU, if it can be had."""
    training = new_training(setting.words, "fused", "cpu")
    if training is not None:
        loops[THERE] = 8000, lambda steps: train_more(training, steps)


def row(engine: str, each: dict[str, float], goal: float | None) -> Result:
    """One engine, and how many times as fast as the notebook's loop it is."""
    what = f"a step of {engine}"
    if engine not in each:  # which misses its goal, if it has one
        return Result(what, UNAVAILABLE if goal is None else MISSED, remark="it cannot be had: `engines` says why")
    times = each["notebook"] / each[engine]
    remark = f"{times:.2f} times as fast as the notebook's loop"
    result = PASSED
    if goal is not None:
        remark += f"; the goal is {goal:g}"
        result = PASSED if times >= goal else MISSED
    return Result(what, result, _micro(each[engine]), "µs", remark)


def against_the_cpu(each: dict[str, float]) -> Result:
    """`fused` is to be faster than on the CPU."""
    fastest = each.get("fused", each[THERE])
    remark = f"on the device it is {each[THERE] / fastest:.2f} times as fast; the goal is more than 1"
    result = PASSED if fastest < each[THERE] else MISSED
    return Result("a step of fused on the CPU", result, _micro(each[THERE]), "µs", remark)


def about(device: str) -> dict[str, str]:
    """What the figures belong to.

    Raises:
        DeviceError: there is no such device.
    """
    chosen = choose_device(device)
    facts = {"device": describe_device(chosen), "torch": torch.__version__, "python": platform.python_version()}
    facts["zoo"] = importlib.metadata.version("zoo-models")
    if not cuda.holds(chosen):
        return {**facts, "processor": platform.processor() or platform.machine()}
    free, total = cuda.memory(chosen)
    return {
        **facts,
        "name": cuda.name(chosen),
        "capability": "{}.{}".format(*cuda.capability(chosen)),
        "driver": driver(),
        "cuda": str(cuda.built_for()),
        "free memory": f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB",
        "devices": str(cuda.count()),
    }


def driver() -> str:
    """The version of the driver, which torch does not tell."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return "unknown: there is no nvidia-smi"
    asked = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout.partition("\n")[0].strip() or "unknown"


def _micro(seconds: float) -> float:
    return round(1e6 * seconds, 2)
