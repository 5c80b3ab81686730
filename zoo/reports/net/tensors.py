"""Nets that read tensors: small pictures, which one draws, and rows of numbers, each in a field.

Axes: N examples, H rows and W columns of pixels, F features, K classes or numbers of the output.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.data.tables.features import Features
from zoo.reports.net.offer import Recorded
from zoo.reports.net.tracing import UnsupportedError
from zoo.reports.reported import ReportedRun
from zoo.training.building import floats_of
from zoo.training.prediction.results import class_names

_LARGEST, _SMALLEST = 64, 8  # pixels on a side; of pictures that are rows of numbers, at least so many
_MOST_FIELDS, _MOST_NUMBERS = 100, 20  # of a row, of its output
_MOST_CLASSES = 100
_SAMPLE = 256  # examples, of which the range of numbers is taken
_EXAMPLES, _EXAMPLE_BYTES = 10, 120_000  # that are shown to be chosen


@dataclass(frozen=True)
class _Data:
    """What is known of the inputs.

    Attributes:
        x: some of them, (N, ...); none of the data where that is not there.
        y: their targets.
    """

    x: Tensor
    y: Tensor | None

    def others(self, generator: torch.Generator) -> Iterator[Tensor]:
        """Inputs to verify a program with: of the data, and random ones like them."""
        spread = float(self.x.std()) if len(self.x) > 1 else 0.0
        for x in self.x[:4]:
            yield x[None]
        for _ in range(4):
            noise = torch.randn(self.x[:1].shape, generator=generator).to(self.x.dtype)
            yield self.x[:1] + (spread or 1.0) * noise


def offer(run: ReportedRun) -> dict[str, Any]:
    """A net that reads tensors, for `assets/net-tensors.js`.

    Raises:
        UnsupportedError: the page has no way to give it inputs, or it cannot run there.
        DataError: the config describes its columns wrongly.
        PluginError: it fails.
    """
    checked = run.loaded.checked
    if checked.targets == "inputs":
        raise UnsupportedError("predicts its own input, for which the page has no fields")
    data, columns = _data(run), checked.provides.get("columns")
    shape = tuple(data.x.shape[1:])
    sides = None if columns is not None or checked.targets != "classes" else picture_size(shape)
    if sides is None and (len(shape) != 1 or shape[0] > _MOST_FIELDS):
        raise UnsupportedError(f"reads inputs of shape {shape}, for which the page has no fields")
    recorded = Recorded(run.loaded.model)
    program = recorded.add(data.x[:1])
    recorded.verify(program, data.others(torch.Generator().manual_seed(run.seed)))
    outputs = _outputs(run, program.output[1])
    if sides is not None:
        return {"kind": "picture", **outputs, **_picture(data, sides, outputs["classes"]), **recorded.as_json()}
    return {"kind": "row", **outputs, "fields": _fields(run, data), **recorded.as_json()}


def picture_size(shape: Sequence[int]) -> tuple[int, int] | None:
    """Rows and columns of pictures of one channel, (H, W), (1, H, W) or (H * H,); None where it is no such shape."""
    sides = tuple(shape)
    if len(sides) == 1 and math.isqrt(sides[0]) ** 2 == sides[0] and sides[0] >= _SMALLEST**2:
        sides = (math.isqrt(sides[0]),) * 2
    elif len(sides) == 3 and sides[0] == 1:
        sides = sides[1:]
    return (sides[0], sides[1]) if len(sides) == 2 and all(2 <= side <= _LARGEST for side in sides) else None


def _data(run: ReportedRun) -> _Data:
    """Some inputs: of its validation split; without data a row of zeros, where their number is known.

    Raises:
        UnsupportedError: it is not known, or they are no floating-point numbers.
    """
    model = run.loaded.model
    if run.examples:
        split = run.examples["val"]
        x, y = split.gather(torch.arange(min(_SAMPLE, len(split))))
        if not x.is_floating_point():
            raise UnsupportedError("reads whole numbers, for which the page has no fields")
        return _Data(x.to(floats_of(model)), y)
    names, count = run.loaded.checked.provides.get("features"), run.loaded.checked.inputs.get("num_features")
    count = len(names) if isinstance(names, list) else count
    if not isinstance(count, int) or count < 1 or (names is None and picture_size((count,)) is not None):
        raise UnsupportedError("reads inputs whose shape is not known without its data")
    return _Data(torch.zeros(1, count, dtype=floats_of(model)), None)


def _outputs(run: ReportedRun, shape: Sequence[int]) -> dict[str, Any]:
    """The names of what it predicts: of classes, or of numbers."""
    checked = run.loaded.checked
    if len(shape) != 2:
        raise UnsupportedError(f"has an output of shape {tuple(shape)}, which the page does not show")
    if checked.targets == "classes":
        if shape[1] > _MOST_CLASSES:
            raise UnsupportedError(f"predicts {shape[1]:,} classes, and the page shows up to {_MOST_CLASSES}")
        return {"classes": list(class_names(checked.classes, shape[1])), "outputs": None}
    if shape[1] > _MOST_NUMBERS:
        raise UnsupportedError(f"predicts {shape[1]:,} numbers, and the page shows up to {_MOST_NUMBERS}")
    target = checked.provides.get("target")
    one = target if isinstance(target, str) else "output"
    return {"classes": None, "outputs": [one] if shape[1] == 1 else [f"{one} {n}" for n in range(1, shape[1] + 1)]}


def _picture(data: _Data, sides: tuple[int, int], names: Sequence[str]) -> dict[str, Any]:
    """How pictures look: their background, what is drawn on it, and some of the data."""
    low, middle, high = torch.quantile(data.x.flatten()[: 1 << 20].double(), torch.tensor([0.01, 0.5, 0.99]).double())
    ink = high if high - middle >= middle - low else low
    count = min(_EXAMPLES, _EXAMPLE_BYTES // (4 * data.x[0].numel()))
    chosen = _of_each_class(data.y)[:count] if data.y is not None and data.y.ndim == 1 else []
    return {
        "height": sides[0],
        "width": sides[1],
        "background": float(middle),
        "ink": float(ink),
        "examples": [
            {
                "name": names[number] if 0 <= (number := int(data.y[row])) < len(names) else str(number),
                "pixels": base64.b64encode(data.x[row].float().numpy().tobytes()).decode(),
            }
            for row in chosen
            if data.y is not None
        ],
    }


def _of_each_class(y: Tensor) -> list[int]:
    """Rows of different classes, in the order of these; then others."""
    first: dict[int, int] = {}
    for row, number in enumerate(y.tolist()):
        first.setdefault(number, row)
    rows = [row for number, row in sorted(first.items()) if number >= 0]
    return rows + [row for row in range(len(y)) if row not in rows]


def _fields(run: ReportedRun, data: _Data) -> list[dict[str, Any]]:
    """A field for each column: its name, its texts if it has any, and with what it starts."""
    provides: Mapping[str, Any] = run.loaded.checked.provides
    count = data.x.shape[1]
    start = _numbers(provides.get("feature_means"), count) or data.x.double().mean(0).tolist()
    if "columns" not in provides:
        names = provides.get("features")
        known = isinstance(names, list) and len(names) == count and all(isinstance(name, str) for name in names)
        named = names if known and isinstance(names, list) else [f"feature {n}" for n in range(1, count + 1)]
        return [_field(name, None, value) for name, value in zip(named, start, strict=True)]
    features = Features.from_json(provides["columns"])
    if features.size != count:
        raise UnsupportedError("was trained on other columns than its config says")
    fields, at = [], 0
    for name, values in zip(features.names, features.values, strict=True):
        size = 1 if values is None else len(values)
        usual = int(data.x[:, at : at + size].sum(0).argmax())
        fields.append(_field(name, values, start[at] if values is None else usual))
        at += size
    return fields


def _field(name: str, values: Sequence[str] | None, start: float) -> dict[str, Any]:
    return {"name": name, "values": None if values is None else list(values), "start": float(f"{start:.4g}")}


def _numbers(given: object, count: int) -> list[float] | None:
    """What a config has of each feature, if it is that."""
    if not isinstance(given, list) or len(given) != count:
        return None
    fine = all(isinstance(x, int | float) and math.isfinite(x) for x in given)
    return [float(x) for x in given] if fine else None
