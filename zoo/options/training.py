"""The options of a run that a model's spec or a preset may set, too. Each option is declared once.

From the fields of these records and of those in `zoo.options.run` come the options of `zoo run` and `zoo resume`, the
arguments of `zoo.run` and `zoo.resume`, the fields of `zoo.Preset` and `zoo.ModelSpec`, the checks and their messages,
the keys of `config.json` and their reader, and the card's command to reproduce a run.

No `from __future__ import annotations` here: the annotations are read.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any

from zoo.options.declaration import NOT_GIVEN, NOT_NEGATIVE, POSITIVE, Option, Range, take_old_names
from zoo.options.schedule import CONSTANT, SCHEDULES, Schedule
from zoo.text import brief

AUTO, AUTOGRAD, STACKED = "auto", "autograd", "stacked"  # the names of engines that every model has
ENGINES = "auto|autograd|manual|fused"  # how a person is told of them; a model may bring others
PRECISIONS = FLOAT32, BFLOAT16 = "float32", "bfloat16"

# Outside this range, examples would be repeated too often.
SHARES = Range("0 or from 0.05 to 0.95", lambda share: share == 0 or 0.05 <= share <= 0.95)


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)  # only its heirs are made, each with its own
class TrainingOptions:
    """How a model is trained: set by its spec, a preset or the user, the last taking precedence."""

    dataset: Annotated[
        str | os.PathLike[str] | None,
        Option("A dataset's name, or a file; - is standard input.", metavar="NAME|FILE|-", recorded=False),
    ] = NOT_GIVEN
    optimizer: Annotated[
        str | None,
        Option("The optimizer; by default the model's own.", metavar="NAME", default="sgd", recorded=False),
    ] = NOT_GIVEN
    engine: Annotated[
        str | None,
        Option(
            "Implementation of the training step; by default the preset's, or auto.",
            metavar=ENGINES,
            default=AUTO,
            reported=True,
        ),
    ] = NOT_GIVEN
    steps: Annotated[int | None, Option("Steps to train.", POSITIVE, default=1000, reported=True)] = NOT_GIVEN
    batch_size: Annotated[
        int | None,
        Option("Examples in a step.", POSITIVE, default=32, reported=True, editable=True),
    ] = NOT_GIVEN
    lr: Annotated[
        float | None,
        Option("Peak (base) learning rate.", POSITIVE, reported=True, editable=True),
    ] = NOT_GIVEN
    schedule: Annotated[
        str | Schedule | Callable[..., float] | None,
        Option(
            "How the learning rate changes; a function returns the factor of the peak.",
            choices=SCHEDULES,
            or_path=True,
            default=CONSTANT,
            editable=True,
        ),
    ] = NOT_GIVEN
    warmup: Annotated[
        int | None,
        Option("Warm-up: steps over which the learning rate rises at the start.", NOT_NEGATIVE, recorded=False),
    ] = NOT_GIVEN
    clip_norm: Annotated[
        float | None,
        Option("Gradient clipping: the global norm is clipped to X.", POSITIVE, may_be_missing=True, editable=True),
    ] = NOT_GIVEN
    validate_every: Annotated[
        int | None,
        Option(
            "Evaluate the validation split every N steps, and keep the best weights.", POSITIVE, may_be_missing=True
        ),
    ] = NOT_GIVEN
    patience: Annotated[
        int | None,
        Option(
            "Early stopping after K evaluations without improvement.",
            POSITIVE,
            metavar="K",
            may_be_missing=True,
            editable=True,
        ),
    ] = NOT_GIVEN
    monitor: Annotated[
        str | None,
        Option(
            "The metric that decides which weights are the best; by default the loss.",
            metavar="NAME[:max|:min]",
            may_be_missing=True,
        ),
    ] = NOT_GIVEN
    synthetic: Annotated[
        str | None,
        Option(
            "Also train on synthetic data: words sampled from MODEL, fitted to the training split; ngram for instance.",
            metavar="MODEL",
            may_be_missing=True,
            plugin=True,
        ),
    ] = NOT_GIVEN
    synthetic_share: Annotated[
        float | None,
        Option("The mean share of synthetic examples in a batch; by default 1/3.", SHARES, may_be_missing=True),
    ] = NOT_GIVEN
    precision: Annotated[
        str | None,
        Option(
            "Compute precision; bfloat16 is mixed precision.",
            choices=PRECISIONS,
            default=FLOAT32,
            may_be_missing=True,
        ),
    ] = NOT_GIVEN
    compile: Annotated[
        bool | None,
        Option(
            "Compile the model with torch.compile, which takes about half a minute.", default=False, may_be_missing=True
        ),
    ] = NOT_GIVEN
    teacher: Annotated[str | None, Option("", recorded=False, renamed="synthetic")] = NOT_GIVEN
    teacher_share: Annotated[float | None, Option("", recorded=False, renamed="synthetic_share")] = NOT_GIVEN

    def __post_init__(self) -> None:
        take_old_names(self)

    # Written once for all heirs: what `dataclass` makes anew for each of them takes a millisecond of `zoo list`.

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    __hash__ = None  # type: ignore[assignment]  # settings and presets are mappings

    def __repr__(self) -> str:
        """Only the fields that differ from their defaults, on one line."""
        changed = [
            f"{field.name}={value!r}"
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default and value not in ({}, ())
        ]
        return brief(f"{type(self).__name__}({', '.join(changed)})")


def recorded_under_todays_names(training: Mapping[str, Any]) -> dict[str, Any]:
    """The recorded options of an older config under their current names: `synthetic` was `teacher`, with its share."""
    kept = {name: value for name, value in training.items() if name != "teacher"}
    if isinstance(before := training.get("teacher"), dict):
        kept["synthetic_share"] = before.get("share")
        before = {name: value for name, value in before.items() if name != "share"}
    return {**kept, "synthetic": before} if "teacher" in training else kept
