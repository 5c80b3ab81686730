"""The options of a run that only the user gives, and those of a resumption.

No `from __future__ import annotations` here: the annotations are read.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from zoo.options.declaration import NOT_GIVEN, POSITIVE, SEEDS, SNAPSHOTS, THREADS, Option
from zoo.options.schedule import SCHEDULES
from zoo.options.training import ENGINES, TrainingOptions

SEED = 2147483647  # the lecture's
SAMPLING_SEED = SEED + 10  # the lecture's, too
DEVICES = "auto|cpu|cuda[:N]|mps"
FORMATS = WORDS, TEXT, CSV, TSV = ("words", "text", "csv", "tsv")  # of a file that is given to --dataset


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class CallOptions:
    """What concerns one call of `zoo run` or `zoo resume`, and does not affect the result."""

    checkpoint_every: Annotated[
        str | int | None,
        Option(
            "Save every N steps, or every 30s, 5m, ...; default 10s.",
            metavar="N|TIME",
            recorded=False,
            about_files=True,
            in_sweep="same",
        ),
    ] = None
    log: Annotated[
        str | Sequence[str] | None,
        Option(
            "Log the run with a logger, such as tensorboard; can be repeated.",
            metavar="NAME",
            recorded=False,
            in_sweep="same",
        ),
    ] = None
    plots: Annotated[bool, Option("Make no plots.", recorded=False, in_sweep="no")] = True
    offline: Annotated[bool, Option("Make no network request.", recorded=False, in_sweep="same")] = False


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """How a file that is given to `--dataset` is read. A config has them among the settings of its dataset."""

    format: Annotated[
        str | None,
        Option(
            "How a file is read: by default a table if it is called .csv or .tsv, and else words, one a line.",
            choices=FORMATS,
            recorded=False,
            in_sweep="same",
        ),
    ] = NOT_GIVEN
    column: Annotated[
        str | None,
        Option("The column of a table that has the words.", metavar="NAME", recorded=False, in_sweep="same"),
    ] = NOT_GIVEN
    target: Annotated[
        str | None,
        Option(
            "The column of a table that has the targets; all others are features.",
            metavar="NAME",
            recorded=False,
            in_sweep="same",
        ),
    ] = NOT_GIVEN


AS_RECORDED = FileOptions()  # a file is read as the run's own was


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class RunOptions(CallOptions, FileOptions, TrainingOptions):
    """What the user says of a run.

    Attributes:
        model: its name.
        settings: as `--set` takes them: `{"model.hidden_size": 300, "data.shuffle_seed": 42}`.
    """

    model: str = field(kw_only=False)
    dataset: Annotated[  # in Python also words, and datasets, which `zoo.data.sources` knows
        str | os.PathLike[str] | object | None,
        Option(
            "A dataset's name, or a file; - is standard input.", metavar="NAME|FILE|-", recorded=False, in_sweep="same"
        ),
    ] = NOT_GIVEN  # type: ignore[assignment]
    preset: Annotated[
        str | None,
        Option("One of the model's presets; 'zoo info MODEL' lists them.", metavar="NAME", may_be_missing=True),
    ] = None
    seconds: Annotated[
        float | None,
        Option(
            "End the training after X seconds of it; --steps, if given, is then the most.",
            POSITIVE,
            reported_as="seconds_limit",
            may_be_missing=True,
        ),
    ] = None
    schedule_steps: Annotated[
        int | None,
        Option("Steps over which the schedule falls; by default those of the run.", POSITIVE, recorded=False),
    ] = None
    device: Annotated[
        str,
        Option("Where to train; auto is CUDA for all but small runs.", metavar=DEVICES, reported=True, in_sweep="same"),
    ] = "auto"
    threads: Annotated[
        int | None,
        Option(
            "CPU threads; by default chosen by the size of the model and the batch.",
            THREADS,
            reported=True,
            may_be_missing=True,
            in_sweep="same",
        ),
    ] = None
    seed: Annotated[int, Option("Seed for sampling batches.", SEEDS, reported=True, in_sweep="same")] = SEED
    init_seed: Annotated[int, Option("Seed for weight initialization.", SEEDS, reported=True, in_sweep="same")] = SEED
    snapshots: Annotated[
        int | None,
        Option(
            "Keep the embedding table at N moments, evenly spread from step 0 to the last.",
            SNAPSHOTS,
            may_be_missing=True,
            about_files=True,
            in_sweep="same",
        ),
    ] = None
    settings: Annotated[
        Mapping[str, object] | None,
        Option(
            "Set model.KEY, loss.KEY, data.KEY, optimizer.KEY or logger.KEY; can be repeated.",
            flag="--set",
            metavar="SECTION.KEY=VALUE",
            recorded=False,
            in_sweep="same",  # as a whole; the value of a key may be several
        ),
    ] = None
    out: Annotated[
        str | os.PathLike[str] | None,
        Option(
            "The run's folder; default runs/MODEL-N.", metavar="DIR", recorded=False, about_files=True, in_sweep="no"
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class ResumeOptions(CallOptions):
    """How a run is to be resumed: what is given here overrides the original run's options."""

    dataset: Annotated[
        str | os.PathLike[str] | object | None,
        Option("The run's data, where it is now: a dataset's name, or a file.", metavar="NAME|FILE", recorded=False),
    ] = NOT_GIVEN
    steps: Annotated[int | None, Option("Total steps; by default as many as were planned.", POSITIVE)] = NOT_GIVEN
    seconds: Annotated[
        float | None, Option("Total seconds of training; by default as many as were planned.", POSITIVE)
    ] = NOT_GIVEN
    device: Annotated[str | None, Option("Another device than the run's own.", metavar=DEVICES)] = NOT_GIVEN
    engine: Annotated[str | None, Option("Another engine than the run's own.", metavar=ENGINES)] = NOT_GIVEN
    threads: Annotated[int | None, Option("Another number of CPU threads than the run's own.", THREADS)] = NOT_GIVEN
    schedule: Annotated[
        str | None,
        Option(
            "The run's schedule again, where it is a function: no checkpoint causes an import.",
            choices=SCHEDULES,
            or_path=True,
            metavar="package.module:function",
        ),
    ] = NOT_GIVEN
    snapshots: Annotated[
        int | None,
        Option("Another number of snapshots, from here on, than the run's own.", SNAPSHOTS, may_be_missing=True),
    ] = NOT_GIVEN
    settings: Annotated[
        Mapping[str, object] | None,
        Option("Set logger.KEY; can be repeated.", flag="--set", metavar="logger.KEY=VALUE", recorded=False),
    ] = None
    allow_changes: Annotated[
        bool,
        Option("Resume although the data, a plugin or config.json has changed.", recorded=False),
    ] = False
