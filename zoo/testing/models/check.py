"""The check of a model as a whole."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.ambient import in_neutral_state
from zoo.errors import warn
from zoo.runs.plan import make_plan
from zoo.testing.bench import load_registry, options_of
from zoo.testing.devices import check_device
from zoo.testing.models.forward import FORWARD, Tried
from zoo.testing.models.objectives import LOSS, METRICS
from zoo.testing.models.runs import RUNS, Runs
from zoo.testing.models.samples import SAMPLES
from zoo.testing.report import Report, try_rules

STEPS = 6  # of the runs of a check; a stop comes after half of them


@in_neutral_state
def check_model(
    name: str,
    *,
    dataset: str | Path | None = None,
    optimizer: str | None = None,
    settings: Mapping[str, object] | None = None,
) -> Report:
    """A model does what zoo relies on.

    It is made from its seed alone. Its forward pass depends on its weights, its buffers and the inputs, in training
    also on torch's generator, and changes no input. Its loss and its metrics do what `check_loss` and `check_metrics`
    want. A short run of it, one that is stopped and resumed, and one that is loaded have the same bytes and losses. It
    samples the same from the same seed. It passes `check_device`, as far as that can be told; a warning says where not.

    Args:
        name: the model's name.
        dataset, optimizer, settings: of the training, as `zoo.run` takes them.

    Returns:
        What was tried.

    Raises:
        AssertionError: what is wrong, and how to mend it where that is known.
        ZooError: the model cannot be trained with these options at all.
    """
    report = report_of_model(name, dataset=dataset, optimizer=optimizer, settings=settings)
    warn_of_skipped(report)
    return report


def warn_of_skipped(report: Report) -> None:
    """A warning for each check that was left out, which a test's summary shows."""
    for what, why in report.skipped:
        warn(f"not checked: {what}: {why}")


def report_of_model(name: str, **given: Any) -> Report:
    """As `check_model`, without warnings."""
    registry, options = load_registry(), options_of(name, steps=STEPS, **given)
    tried = Tried(f"model {name!r}", make_plan(registry, options))
    report = try_rules(tried.who, FORWARD | LOSS | METRICS, tried)
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(tried.who, Path(folder), registry, options, tried.hidden)
        report += try_rules(tried.who, RUNS | SAMPLES, runs)
    return report + check_device(name, **given)
