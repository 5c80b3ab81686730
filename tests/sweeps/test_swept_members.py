"""Each member of a sweep is, to the bit, the run that `zoo run` would do with its options and a thread."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import zoo
from zoo.sweeps.results.sweep import Sweep

WORDS = [a + b + c for a in "abeln" for b in "abeln" for c in "abeln"][:90]
TABLE = "width,size,kind\n" + "".join(f"{i % 5}.25,{i % 7}.5,{'ab'[i % 2]}\n" for i in range(90))
FILES = ("model.safetensors", "losses.csv", "config.json", "README.md", "validation.csv")
NEEDS_NUMBA = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")

CASES: dict[str, dict[str, Any]] = {  # what all members share, what varies, and the settings that vary
    "autograd": {"engine": "autograd", "lr": [0.1, 0.5]},
    "manual": {"engine": "manual", "lr": [0.1, 0.5]},
    "fused": {"engine": "fused", "batch_size": [32, 7]},
    "evaluations": {"engine": "manual", "validate_every": 4, "patience": [1, 3], "monitor": "bits_per_character"},
    "schedules": {"schedule": ["cosine", "step", "constant"], "warmup": 3},
    "optimizers": {"optimizer": ["adam", "adamw", "sgd"], "engine": "autograd", "clip_norm": 0.5},
    "sizes": {"settings": {"model.hidden_size": [8, 16], "model.context_length": [2, 3]}},
    "orders": {"settings": {"data.shuffle_seed": [1, 2]}},
    "models": {"model": ["mlp-char", "gru", "ngram"]},
    "synthetic words": {"synthetic": "ngram", "synthetic_share": [0.2, 0.5]},
    "dropout": {"model": "transformer", "settings": {"model.dropout": [0.0, 0.3]}, "batch_size": 4},
    "running text": {"dataset": "lines.txt", "format": "text", "model": ["mlp-char", "gru"]},
    "a table": {"dataset": "table.csv", "target": "kind", "model": ["linear-table", "mlp-table"]},
    "snapshots": {"snapshots": 3, "lr": [0.1, 0.2]},
}


@pytest.fixture(autouse=True)
def files() -> None:
    Path("words.txt").write_text("\n".join(WORDS) + "\n")
    Path("lines.txt").write_text("".join(f"the {one} of it.\n" for one in WORDS))
    Path("table.csv").write_text(TABLE)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES if (folder / name).exists()}


def result(folder: Path) -> Mapping[str, Any]:
    """What `metrics.json` has, but for what no two runs share, and the digest over that."""
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return {name: value for name, value in metrics.items() if name not in ("seconds", "run_dir", "sha256")}


def options(case: str) -> dict[str, Any]:
    return {"model": "mlp-char", "dataset": "words.txt", "device": "cpu", "steps": 12, **CASES[case]}


def alone(sweep: Sweep, given: Mapping[str, Any]) -> None:
    """Do each member's run by itself, and compare."""
    for row in sweep:
        settings = {name: value for name, value in row.settings.items() if "." in name}
        same = {name: value for name, value in (given.get("settings") or {}).items() if name not in settings}
        own = {name: value for name, value in row.settings.items() if "." not in name}
        run = {**given, **own, "settings": {**same, **settings} or None, "seed": row.seed, "init_seed": row.seed}
        done = zoo.run(**run, threads=1, plots=False, out=f"alone-{row.member}")
        folder = sweep.path / f"{row.member:04}"
        assert contents(folder) == contents(done.path), row
        assert not (folder / "training_state.safetensors").exists()  # there is nothing to resume
        assert result(folder) == result(done.path), row
        assert row.weights_sha256 == done.metrics["weights_sha256"]
        assert row.losses == done.losses
        assert row.steps == done.metrics["steps"]


@pytest.mark.parametrize("case", [pytest.param(case, marks=NEEDS_NUMBA if case == "fused" else ()) for case in CASES])
def test_a_member_is_the_run_alone(case: str) -> None:
    given = options(case)
    sweep = zoo.sweep(**given, seeds=[3, 1], jobs=2)
    assert {row.state for row in sweep} == {"finished"}, [row.reason for row in sweep]
    alone(sweep, given)


def test_whoever_trains_them_and_in_whatever_order() -> None:
    given = options("models") | {"lr": [0.1, 0.3]}
    folders = [zoo.sweep(**given, seeds=2, jobs=jobs, out=f"sweep-{jobs}").path for jobs in (1, 2, 3)]
    sheets = {(folder / "sweep.csv").read_bytes() for folder in folders}
    described = {(folder / "sweep.json").read_bytes() for folder in folders}
    assert len(sheets) == len(described) == 1
