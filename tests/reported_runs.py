"""Runs of the kinds that a report is about, each made once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dropping import install

import zoo
from zoo.plugin.manager import load_plugins
from zoo.reports.reported import ReportedRun
from zoo.reports.sections import SECTIONS

DIGITS = Path(__file__).resolve().parent / "plugins" / "zoo-digits"
LETTERS = "abeln"
WORDS = [a + b + c for a in LETTERS for b in LETTERS for c in LETTERS][:60]
RUNS = {
    "mlp-char": {"settings": {"model.hidden_size": 20, "model.embedding_dim": 4}, "steps": 40, "validate_every": 10},
    "lstm": {"settings": {"model.n_embd": 4, "model.n_embd2": 8}, "steps": 4},
    "digits-cnn": {"steps": 3},
    "linear-table": {"steps": 30, "target": "price"},
}


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run of each of `RUNS`, under its name; tests must not change it."""
    folder = tmp_path_factory.mktemp("reported")
    (folder / "words.txt").write_text("\n".join(WORDS) + "\n")
    rows = [f"{area},{'red' if area % 3 else 'blue'},{3.5 * area + 20}" for area in range(50, 170)]
    (folder / "prices.csv").write_text("\n".join(["area,colour,price", *rows]) + "\n")
    data = {"mlp-char": folder / "words.txt", "lstm": folder / "words.txt", "linear-table": folder / "prices.csv"}
    with pytest.MonkeyPatch.context() as patch:
        _offer_digits(patch)
        for name, options in RUNS.items():
            dataset = data.get(name, "digits")
            zoo.run(name, dataset=dataset, device="cpu", plots=False, out=folder / name, **options)  # type: ignore[arg-type]
    return folder


def _offer_digits(patch: pytest.MonkeyPatch) -> None:
    patch.syspath_prepend(DIGITS)
    import zoo_digits  # type: ignore[import-not-found]

    install(patch, zoo_digits, "zoo-digits")


@pytest.fixture
def digits() -> Iterator[None]:
    """With the sample plugin of small images."""
    with pytest.MonkeyPatch.context() as patch:
        _offer_digits(patch)
        yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "zoo_digits"]:
        del sys.modules[name]


def sections(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let reports have these sections alone: what others compute takes longer than most tests."""
    kept = tuple(section for section in SECTIONS if section.name in names)
    assert len(kept) == len(names)
    monkeypatch.setattr("zoo.reports.sections.SECTIONS", kept)


def as_reported(path: Path) -> ReportedRun:
    """A run as the sections of a report see it."""
    return ReportedRun.read(str(path), path.name, 0, load_plugins()[0], zoo.Fetcher(Path("cache")))
