"""What a page gets of a net: verified programs and weights; `text.py` and `tensors.py` say of which inputs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from zoo.ambient.draws import seeded_draws
from zoo.plugin.calling import maker, plugin_errors
from zoo.reports.net.program import Constants, GuardError, Program, is_close
from zoo.reports.net.recording import record
from zoo.reports.net.tracing import UnsupportedError
from zoo.training.building import evaluating

MOST = 5_000_000  # characters of weights in a page
_SPREAD = 4 / 3  # characters of base64 for each byte


@dataclass
class Recorded:
    """The programs of a net, with their constants.

    Attributes:
        model: the net, on the CPU.
    """

    model: nn.Module
    programs: list[Program] = field(default_factory=list)
    constants: Constants = field(default_factory=Constants)

    def __post_init__(self) -> None:
        tensors = [*self.model.parameters(), *self.model.buffers()]
        check_size(int(_SPREAD * sum(x.numel() * x.element_size() for x in tensors)))

    def add(self, x: Tensor) -> Program:
        """Record what the net computes of inputs like `x`.

        Raises:
            UnsupportedError: a page cannot compute that, or its weights would be too many for one.
            PluginError: the net fails.
        """
        with _running(self.model, x):
            program = record(self.model, x, self.constants)
        check_size(self.constants.size)
        self.programs.append(program)
        return program

    def output(self, x: Tensor) -> Tensor:
        """What the net itself computes. Raises PluginError where it fails."""
        with _running(self.model, x):
            found: Tensor = self.model(x.clone())
        return found

    def verify(self, program: Program, inputs: Iterable[Tensor]) -> None:
        """Compare a program with the net, on other inputs than that of the recording.

        Raises:
            UnsupportedError: they differ, because the code of the net takes other ways for other inputs, or draws.
        """
        for x in inputs:
            compare(program, x, self.output(x))

    def as_json(self) -> dict[str, Any]:
        """For `assets/net-program.js`."""
        return {"programs": [program.as_json() for program in self.programs], **self.constants.as_json()}


def compare(program: Program, x: Tensor, wanted: Tensor, place: Sequence[Any] = ()) -> None:
    """Raise UnsupportedError where a program gives another output, or does at a place of it, than the net."""
    try:
        with torch.no_grad():
            found = program.run(x)
    except GuardError:
        found = None
    if found is None or not is_close(found[tuple(place)] if place else found, wanted):
        raise UnsupportedError("does not compute the same for every input: its code reads values of it, or draws")


def check_size(size: int) -> None:
    """Raise UnsupportedError for more weights than a page is to have."""
    if size > MOST:
        raise UnsupportedError(f"would add {size / 1e6:,.1f} MB to the page, and at most {MOST / 1e6:.0f} MB are added")


@contextlib.contextmanager
def _running(model: nn.Module, x: Tensor) -> Iterator[None]:
    """Within the block a net runs, which leaves it and the random number generators as they were."""
    fails = plugin_errors(maker(model), f"fails on inputs of shape {tuple(x.shape)}")
    with fails, seeded_draws(0), evaluating(model), torch.no_grad():
        yield
