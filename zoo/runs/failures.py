"""What is said of a run that cannot go on: what failed, what is saved, and how to resume."""

from __future__ import annotations

from pathlib import Path

from zoo.errors import (
    DivergedError,
    InterruptedRunError,
    OutOfMemoryError,
    memory_sentence,
    out_of_memory,
    whose_memory,
)
from zoo.runs.prepare import PreparedRun
from zoo.storage.folder import RunFolder
from zoo.text import quoted_path
from zoo.training.loop import Training


def saved_in(training: Training, path: Path) -> str:
    """Of which step a folder has the checkpoint."""
    return f"the checkpoint of step {training.step} is in {path}"


def diverged(error: DivergedError, training: Training, path: Path) -> DivergedError:
    """Where a loss is NaN or infinite; `training` is back at the last good step, which is saved."""
    saved = saved_in(training, path)
    if error.step == 0:  # nothing was learnt yet
        cause = "before the first update: look at the model, its settings and the data"
        return DivergedError(f"{error}, {cause}; {saved}")
    return DivergedError(f"{error}, at learning rate {training.lr:g}; {saved}; try a smaller --lr")


def without_gpu(error: BaseException, path: Path) -> str:
    """What failed, and how to go on: of the training nothing can be saved that is still on the GPU."""
    why = str(error).partition("\n")[0]
    return f"the GPU failed: {why}; the last checkpoint is in {path}; to resume: zoo resume {quoted_path(path)}"


def without_memory(error: BaseException, run: PreparedRun, training: Training, folder: RunFolder) -> str:
    """Save what was trained until memory ran out, if that can be, and say how to resume with less."""
    saved = "the last checkpoint"
    if isinstance(error, OutOfMemoryError) and error.step is not None:
        try:
            folder.write_checkpoint(training, run.config)
            saved = f"the checkpoint of step {error.step}"
        except BaseException as failure:
            if not out_of_memory(failure):
                raise
    step, steps, path = training.step, run.plan.steps, folder.path
    if step == 0:
        return f"{memory_sentence(error)}; {saved} is in {path}"
    kind = whose_memory(error)
    resume = f"zoo resume {quoted_path(path)}"
    remedies = [f"{resume} --device cpu"] if kind == "GPU memory" else []
    if step < steps:
        remedies += [f"set a smaller batch_size in its config.json, then {resume} --allow-changes"]
    remedies = remedies or [f"{resume}, where there is more"]
    return f"not enough {kind} after step {step} of {steps}; {saved} is in {path}; to resume: {' or '.join(remedies)}"


def interrupted(signal_number: int, training: Training, steps: int, path: Path) -> InterruptedRunError:
    """Where a signal has stopped a run of so many steps."""
    done = training.step >= steps or training.stopped_early
    where = f"after step {training.step}, before its evaluation" if done else f"at step {training.step} of {steps}"
    return InterruptedRunError(f"stopped {where}; to resume: zoo resume {quoted_path(path)}", signal_number)
