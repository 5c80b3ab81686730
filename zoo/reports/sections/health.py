"""The health of a net at its final weights, as in the lecture's part 3: activations, gradients, updates, dead units.

Andrej Karpathy, "Building makemore Part 3: Activations & Gradients, BatchNorm",
https://www.youtube.com/watch?v=P6sfmUTpUmc
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from zoo.errors import ZooError
from zoo.reports.health.activations import Layer, activations
from zoo.reports.health.batches import Measured
from zoo.reports.health.findings import GUIDE, MOSTLY, findings
from zoo.reports.health.steps import Parameter, Steps, measure_steps
from zoo.reports.reported import ReportedRun
from zoo.reports.section import Part
from zoo.reports.showing import number, percent, plural
from zoo.text import visible

_WIDTH, _HEIGHT = 120, 28  # of a histogram


@dataclass(frozen=True)
class Shown:
    """A number with what it is sorted by; nothing where there is none."""

    text: str
    value: str

    @classmethod
    def of(cls, value: float, text: str | None = None) -> Shown:
        """NaN is shown as a dash."""
        known = math.isfinite(value)
        return cls((text if text is not None else number(value)) if known else "–", repr(value) if known else "")


def make(run: ReportedRun) -> Part | None:
    """What was measured; None where a net has no activation functions and no parameters that are trained."""
    measured = Measured.of(run)
    steps, steps_fail = _try_steps(measured)
    layers = activations(measured.model, measured.batches)
    if not layers and steps is None and steps_fail is None:
        return None
    size = len(measured.batches[0][1])
    return Part(
        {
            "told": f"{plural(len(measured.batches), 'batch', 'batches')} of {plural(size, 'example')} of the training "
            f"split, chosen by seed {run.seed}",
            "findings": findings(layers, steps),
            "mostly": percent(MOSTLY),
            "thresholds": _thresholds(layers),
            "layers": list(map(_layer, layers)),
            "parameters": [] if steps is None else list(map(_parameter, steps.parameters)),
            "how": None if steps is None else steps.how,
            "lr": None if steps is None else f"{steps.lr:.3g}",
            "peak": None if steps is None or steps.lr == steps.peak else f"{steps.peak:.3g}",
            "steps_fail": steps_fail,
            "guide": f"{GUIDE:g}",
            "width": _WIDTH,
            "height": _HEIGHT,
        }
    )


def _try_steps(measured: Measured) -> tuple[Steps | None, str | None]:
    """The steps; or why there are none, which need not keep the activations from being shown."""
    try:
        return measure_steps(measured), None
    except ZooError as error:
        return None, str(error)


def _thresholds(layers: Sequence[Layer]) -> str:
    """From where on the functions of a net count as saturated, at the end of a sentence."""
    known = {layer.function.name: layer.function.flat_text for layer in layers if layer.function.flat_text}
    relu = " Of relu, about half is usual." if any(name.endswith("relu") for name in known) else ""
    return f"({'; '.join(f'{name}: {text}' for name, text in known.items())}).{relu}" if known else "."


def _layer(layer: Layer) -> dict[str, object]:
    return {
        "place": visible(layer.place),
        "function": layer.function.name,
        "units": layer.units,
        "flat": None if layer.flat is None else Shown.of(layer.flat, percent(layer.flat)),
        "dead": layer.dead,
        "mean": Shown.of(layer.mean, f"{layer.mean:.2f}"),
        "std": Shown.of(layer.std, f"{layer.std:.2f}"),
        "path": _outline(layer.counts),
        "low": number(layer.edges[0]),
        "high": number(layer.edges[1]),
    }


def _outline(counts: list[int]) -> str:
    """The outline of a histogram as the path of an SVG."""
    top, width = max(1, *counts), _WIDTH / len(counts)
    bars = "".join(f"V{_HEIGHT * (1 - count / top):.1f}h{width:.3g}" for count in counts)
    return f"M0 {_HEIGHT}{bars}V{_HEIGHT}Z"


def _parameter(parameter: Parameter) -> dict[str, object]:
    update, peak = parameter.update_ratio, parameter.peak_ratio
    return {
        "name": visible(parameter.name),
        "shape": " × ".join(f"{size:,}" for size in parameter.shape) or "1",
        "size": math.prod(parameter.shape),
        "std": Shown.of(parameter.std),
        "gradient": Shown.of(parameter.gradient),
        "gradient_ratio": Shown.of(parameter.gradient_ratio),
        "update_ratio": Shown.of(update, f"{update:.2f}"),
        "peak_ratio": Shown.of(peak, f"{peak:.2f}"),
    }
