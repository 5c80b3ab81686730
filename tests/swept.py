"""What tests of sweeps share: fixtures, which `conftest.py` imports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zoo.options.sweep import SweepOptions
from zoo.sweeps.request import Request, request_of
from zoo.sweeps.results import plotting

WORDS = [a + b + c for a in "abeln" for b in "abeln" for c in "abeln"][:90]
MakeRequest = Callable[..., Request]


@pytest.fixture(autouse=True)
def quick_sweep_plots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than the members of a sweep do, so it is left out where a test is not about it."""
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(plotting, "plot_population", lambda population, *_: population.title.encode())


@pytest.fixture
def drawn() -> None:
    """For a test that wants the plot of a sweep as it is."""


@pytest.fixture
def few_words() -> Path:
    """A small text dataset, in the working folder."""
    path = Path("words.txt")
    path.write_text("\n".join(WORDS) + "\n")
    return path


@pytest.fixture
def make_request(few_words: Path) -> MakeRequest:
    """`make_request({"search": "tpe"}, lr="0.01..1")`: a sweep of mlp-char as it was asked for."""

    def make(options: dict[str, Any], **given: Any) -> Request:
        return request_of(
            SweepOptions(**options), {"model": "mlp-char", "dataset": str(few_words), "steps": 9, **given}
        )

    return make
