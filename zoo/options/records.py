"""Every option of a run, each declared once: what a run can be told, on the command line, in Python and in a preset.

From these fields come the options of `zoo run` and `zoo resume`, the arguments of `zoo.run` and `zoo.resume`, the
fields of `zoo.Preset` and `zoo.ModelSpec`, the checks and their messages, the keys of `config.json` and their reader,
and the card's command to reproduce a run.

No `from __future__ import annotations` here: the annotations are read.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from zoo.options.declaration import NOT_NEGATIVE, NOT_SAID, POSITIVE, SEEDS, Option, Range, take_old_names
from zoo.options.schedule import CONSTANT, SCHEDULES, Schedule

SEED = 2147483647  # the lecture's
SAMPLING_SEED = SEED + 10  # the lecture's, too
AUTO, AUTOGRAD = "auto", "autograd"  # the names of engines that every model has
ENGINES = "auto|autograd|manual|fused"  # how a person is told of them; a model may bring others
DEVICES = "auto|cpu|cuda[:N]|mps"
PRECISIONS = FLOAT32, BFLOAT16 = "float32", "bfloat16"

# Outside this range, examples would be repeated too often.
SHARES = Range("0 or from 0.05 to 0.95", lambda share: share == 0 or 0.05 <= share <= 0.95)


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How a model is trained: set by its spec, a preset or the user, the last taking precedence."""

    dataset: Annotated[
        str | os.PathLike[str] | None,
        Option("A dataset's name, or a text file with one word a line.", metavar="NAME|FILE", recorded=False),
    ] = NOT_SAID
    optimizer: Annotated[
        str | None,
        Option("The optimizer; by default the model's own.", metavar="NAME", default="sgd", recorded=False),
    ] = NOT_SAID
    engine: Annotated[
        str | None,
        Option(
            "Implementation of the training step; by default the preset's, or auto.",
            metavar=ENGINES,
            default=AUTO,
            reported=True,
        ),
    ] = NOT_SAID
    steps: Annotated[int | None, Option("Steps to train.", POSITIVE, default=1000, reported=True)] = NOT_SAID
    batch_size: Annotated[
        int | None,
        Option("Examples in a step.", POSITIVE, default=32, reported=True, editable=True),
    ] = NOT_SAID
    lr: Annotated[float | None, Option("Peak (base) learning rate.", POSITIVE, reported=True, editable=True)] = NOT_SAID
    schedule: Annotated[
        str | Schedule | None,
        Option(
            "How the learning rate changes over the run.",
            choices=SCHEDULES,
            default=CONSTANT,
            editable=True,
        ),
    ] = NOT_SAID
    warmup: Annotated[
        int | None,
        Option("Warm-up: steps over which the learning rate rises at the start.", NOT_NEGATIVE, recorded=False),
    ] = NOT_SAID
    clip_norm: Annotated[
        float | None,
        Option("Gradient clipping: the global norm is clipped to X.", POSITIVE, may_be_missing=True, editable=True),
    ] = NOT_SAID
    validate_every: Annotated[
        int | None,
        Option(
            "Evaluate the validation split every N steps, and keep the best weights.", POSITIVE, may_be_missing=True
        ),
    ] = NOT_SAID
    patience: Annotated[
        int | None,
        Option(
            "Early stopping after K evaluations without improvement.",
            POSITIVE,
            metavar="K",
            may_be_missing=True,
            editable=True,
        ),
    ] = NOT_SAID
    synthetic: Annotated[
        str | None,
        Option(
            "Also train on synthetic data: words sampled from MODEL, fitted to the training split; ngram for instance.",
            metavar="MODEL",
            may_be_missing=True,
            plugin=True,
        ),
    ] = NOT_SAID
    synthetic_share: Annotated[
        float | None,
        Option("The mean share of synthetic examples in a batch; by default 1/3.", SHARES, may_be_missing=True),
    ] = NOT_SAID
    precision: Annotated[
        str | None,
        Option(
            "Compute precision; bfloat16 is mixed precision.",
            choices=PRECISIONS,
            default=FLOAT32,
            may_be_missing=True,
        ),
    ] = NOT_SAID
    compile: Annotated[
        bool | None,
        Option(
            "Compile the model with torch.compile, which takes about half a minute.", default=False, may_be_missing=True
        ),
    ] = NOT_SAID
    teacher: Annotated[str | None, Option("", recorded=False, renamed="synthetic")] = NOT_SAID
    teacher_share: Annotated[float | None, Option("", recorded=False, renamed="synthetic_share")] = NOT_SAID

    def __post_init__(self) -> None:
        take_old_names(self)


@dataclass(frozen=True, kw_only=True)
class CallOptions:
    """What concerns one call of `zoo run` or `zoo resume`, and does not affect the result."""

    checkpoint_every: Annotated[
        str | int | None,
        Option("Save every N steps, or every 30s, 5m, ...; default 10s.", metavar="N|TIME", recorded=False),
    ] = None
    plots: Annotated[bool, Option("Make no plots.", recorded=False)] = True
    offline: Annotated[bool, Option("Make no network request.", recorded=False)] = False


@dataclass(frozen=True, kw_only=True)
class RunOptions(CallOptions, TrainingOptions):
    """What the user says of a run.

    Attributes:
        model: its name.
        settings: as `--set` takes them: `{"model.hidden_size": 300, "data.shuffle_seed": 42}`.
    """

    model: str = field(kw_only=False)
    preset: Annotated[
        str | None,
        Option("One of the model's presets; 'zoo info MODEL' lists them.", metavar="NAME", may_be_missing=True),
    ] = None
    device: Annotated[str, Option("Where to train.", metavar=DEVICES, reported=True)] = "auto"
    threads: Annotated[
        int | None,
        Option(
            "CPU threads; by default chosen by the size of the model and the batch.",
            POSITIVE,
            reported=True,
            may_be_missing=True,
        ),
    ] = None
    seed: Annotated[int, Option("Seed for sampling batches.", SEEDS, reported=True)] = SEED
    init_seed: Annotated[int, Option("Seed for weight initialization.", SEEDS, reported=True)] = SEED
    settings: Annotated[
        Mapping[str, object] | None,
        Option(
            "Set model.KEY, data.KEY or optimizer.KEY; can be repeated.",
            flag="--set",
            metavar="SECTION.KEY=VALUE",
            recorded=False,
        ),
    ] = None
    out: Annotated[
        str | os.PathLike[str] | None,
        Option("The run's folder; default runs/MODEL-N.", metavar="DIR", recorded=False),
    ] = None


def recorded_under_todays_names(training: Mapping[str, Any]) -> dict[str, Any]:
    """The recorded options of an older config under their current names: `synthetic` was `teacher`, with its share."""
    kept = {name: value for name, value in training.items() if name != "teacher"}
    if isinstance(before := training.get("teacher"), dict):
        kept["synthetic_share"] = before.get("share")
        before = {name: value for name, value in before.items() if name != "share"}
    return {**kept, "synthetic": before} if "teacher" in training else kept


@dataclass(frozen=True, kw_only=True)
class ResumeOptions(CallOptions):
    """How a run is to be resumed: what is given here overrides the original run's options."""

    steps: Annotated[int | None, Option("Total steps; by default as many as were planned.", POSITIVE)] = NOT_SAID
    device: Annotated[str | None, Option("Another device than the run's own.", metavar=DEVICES)] = NOT_SAID
    engine: Annotated[str | None, Option("Another engine than the run's own.", metavar=ENGINES)] = NOT_SAID
    threads: Annotated[int | None, Option("Another number of CPU threads than the run's own.", POSITIVE)] = NOT_SAID
    allow_changes: Annotated[
        bool,
        Option("Resume although the data, a plugin or config.json has changed.", recorded=False),
    ] = False
