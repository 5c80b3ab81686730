"""What is said of a run that cannot go on: what failed, what is saved, and how to resume."""

from __future__ import annotations

from zoo.errors import (
    DivergedError,
    InterruptedRunError,
    OutOfMemoryError,
    RankLostError,
    memory_sentence,
    out_of_memory,
    whose_memory,
)
from zoo.phrasing import command, option
from zoo.runs.prepare import PreparedRun
from zoo.storage.folder import AnyFolder
from zoo.training.loop import Training

_NOTHING = "nothing is kept (keep=False)"


def saved_in(folder: AnyFolder, step: int | None = None) -> str:
    """Where the checkpoint is, of that step or the last one."""
    if folder.path is None:
        return _NOTHING
    return f"the {'last checkpoint' if step is None else f'checkpoint of step {step}'} is in {folder.path}"


def _resumed(folder: AnyFolder, **options: object) -> str | None:
    """What resumes the run; None where nothing is kept of it."""
    return None if folder.path is None else command("resume", folder.path, **options)


def diverged(error: DivergedError, training: Training, folder: AnyFolder) -> DivergedError:
    """Where a loss is NaN or infinite; `training` is back at the last good step, which is saved."""
    saved = saved_in(folder, training.step)
    if error.step == 0:  # nothing was learnt yet
        cause = "before the first update: look at the model, its settings and the data"
        return DivergedError(f"{error}, {cause}; {saved}")
    return DivergedError(f"{error}, at learning rate {training.lr:g}; {saved}; try a smaller {option('lr')}")


def not_finite(split: str, loss: float, run: PreparedRun, training: Training, folder: AnyFolder) -> DivergedError:
    """Where the loss over a whole split is NaN or infinite, after the last step."""
    plan = run.plan
    saved = _NOTHING if folder.path is None else f"the checkpoint is in {folder.path}"
    return DivergedError(
        f"the loss over the {split} split is {loss} after {training.step} steps at learning rate {plan.lr:g}; {saved}; "
        f"try a smaller {option('lr')}"
    )


def without_gpu(error: BaseException, folder: AnyFolder) -> str:
    """What failed, and how to go on: of the training nothing can be saved that is still on the GPU."""
    why = str(error).partition("\n")[0]
    resume = _resumed(folder)
    return f"the GPU failed: {why}; {saved_in(folder)}" + ("" if resume is None else f"; to resume: {resume}")


def without_memory(error: BaseException, run: PreparedRun, training: Training, folder: AnyFolder) -> str:
    """Save what was trained until memory ran out, if that can be, and say how to resume with less."""
    saved = saved_in(folder)
    if isinstance(error, OutOfMemoryError) and error.step is not None:
        try:
            folder.write_checkpoint(training, run.config)
            saved = saved_in(folder, error.step)
        except BaseException as failure:
            if not out_of_memory(failure):
                raise
    step, steps, resume = training.step, run.plan.most_steps, _resumed(folder)
    if step == 0 or resume is None:
        return f"{memory_sentence(error)}; {saved}"
    kind = whose_memory(error)
    remedies = [str(_resumed(folder, device="cpu"))] if kind == "GPU memory" else []
    if not is_done(training, steps):
        remedies += [f"set a smaller batch_size in its config.json, then {_resumed(folder, allow_changes=True)}"]
    remedies = remedies or [f"{resume}, where there is more"]
    return f"not enough {kind} after step {_of(training, steps)}; {saved}; to resume: {' or '.join(remedies)}"


def rank_lost(error: RankLostError, training: Training, steps: int | None, folder: AnyFolder) -> RankLostError:
    """Where another rank was lost, or has failed; `training` is at a step that is saved."""
    resume = _resumed(folder)
    then = _NOTHING if resume is None else f"to resume: {resume}"
    return RankLostError(f"{error}; stopped at step {_of(training, steps)}; {then}")


def interrupted(signal_number: int, training: Training, steps: int | None, folder: AnyFolder) -> InterruptedRunError:
    """Where a signal has stopped a run of so many steps, or of as many as its time limit allows."""
    done = is_done(training, steps)
    where = f"after step {training.step}, before its evaluation" if done else f"at step {_of(training, steps)}"
    resume = _resumed(folder)
    then = _NOTHING if resume is None else f"to resume: {resume}"
    return InterruptedRunError(f"stopped {where}; {then}", signal_number)


def is_done(training: Training, steps: int | None) -> bool:
    """Whether a training of so many steps, or of as many as its time limit allows, has come to its end."""
    return (steps is not None and training.step >= steps) or training.stopped_early or training.out_of_time


def _of(training: Training, steps: int | None) -> str:
    """The step, of how many; and the seconds of training, where they are limited."""
    limit = training.time_limit
    done = f"{training.step}" if steps is None else f"{training.step} of {steps}"
    return done if limit is None else f"{done} ({limit.used:.1f} of {limit.seconds:g} seconds)"
