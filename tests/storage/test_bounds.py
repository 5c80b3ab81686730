"""Files that cost far more than their size: each kind, in every command that reads a checkpoint, at little cost.

`zoo.storage.bounds` has the bounds.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT, Zoo
from forging import MEMORY_BYTES, changer, forge, peak_growth

import zoo
from zoo import CheckpointError
from zoo.files import MAX_JSON_BYTES, parse_json
from zoo.storage import bounds, checkpoint

SECONDS = 15  # for what takes less than one on an idle machine
GIB = 1 << 30


@pytest.fixture(scope="session")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run of a net that can have any number of layers; tests must not change it."""
    folder = tmp_path_factory.mktemp("deep")
    (folder / "words.txt").write_text("\n".join(a + b for a in "abeln" for b in "abeln"))
    settings = {"model.n_embd": 2, "model.n_embd2": 2}
    zoo.run("gru", dataset=folder / "words.txt", steps=2, out=folder / "run", plots=False, settings=settings)
    return folder / "run"


def restate(run: Path, file: str, key: str, value: int, *, pad: int = 0) -> None:
    """State another hyper-parameter, in a file that is larger by a tensor."""
    stored = checkpoint.load(run / file)
    extra = {"pad": torch.zeros(pad)} if pad else {}
    changer(run)(f"model.hyperparameters.{key}", value, name=file, tensors={**stored.tensors, **extra})


def with_header(run: Path, file: str, header: object, size: int = 0) -> None:
    """Write a header, and as many bytes as `size`, which a sparse file does not have on the disk."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    with (run / file).open("wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        if size:
            out.truncate(size)


def with_start(run: Path, file: str, start: bytes) -> None:
    (run / file).write_bytes(start + (run / file).read_bytes())


def entry(start: int, end: int) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [end - start], "data_offsets": [start, end]}


def with_tensors(run: Path, file: str, count: int) -> None:
    stored = checkpoint.load(run / file)
    meta = {key: stored.meta[key] for key in stored.meta if key not in ("format", "sha256", "meta_sha256")}
    empty = torch.zeros(0)
    forge(run / file, stored.tensors | {f"t{number:06d}": empty for number in range(count)}, meta)


def sparse(run: Path, file: str) -> None:
    with (run / file).open("r+b") as out:
        out.truncate(8 * GIB)


HOSTILE: dict[str, Callable[[Path, str], None]] = {
    "a huge layer": lambda run, file: restate(run, file, "n_embd2", 10**8),
    "very many layers": lambda run, file: restate(run, file, "n_layer", 10**9),
    "very many layers in a larger file": lambda run, file: restate(run, file, "n_layer", 200_000, pad=200_000),
    "very many nets": lambda run, file: restate(run, file, "ensemble_size", 10**7, pad=200_000),
    "very many tensors": lambda run, file: with_tensors(run, file, bounds.MAX_TENSORS),
    "more tensors than the model has": lambda run, file: with_tensors(run, file, 3000),
    "a long header": lambda run, file: with_header(run, file, b" " * (MAX_JSON_BYTES + 1)),
    "a header of many values": lambda run, file: with_header(run, file, b"[" + b"[]," * (MAX_JSON_BYTES // 4) + b"1]"),
    "a header beyond the end": lambda run, file: with_start(run, file, b"\xff" * 8),
    "a sparse file after a run's": sparse,
    "a sparse file of zeros": lambda run, file: with_header(run, file, b"", 8 * GIB),
    "a sparse file that is one tensor": lambda run, file: with_header(run, file, {"a": entry(0, 1 << 40)}, 1 << 40),
    "a gap": lambda run, file: with_header(run, file, {"a": entry(0, 1), "b": entry(9, 10)}, 1 << 33),
    "an overlap": lambda run, file: with_header(run, file, {"a": entry(0, 1 << 32), "b": entry(0, 1 << 32)}, 1 << 33),
    "a negative size": lambda run, file: with_header(run, file, {"a": entry(5, -5)}, 1 << 33),
    "offsets that are no numbers": lambda run, file: with_header(
        run, file, {"a": {"data_offsets": ["x", {}]}}, 1 << 33
    ),
    "no object": lambda run, file: with_header(run, file, [1, 2], 1 << 33),
}

COMMANDS = {
    "load": "model.safetensors",
    "eval": "model.safetensors",
    "sample": "model.safetensors",
    "plot": "model.safetensors",
    "verify": "model.safetensors",
    "verify the state": "training_state.safetensors",
    "resume": "training_state.safetensors",
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_costs_little_in_every_command(zoo_here: Zoo, deep: Path, kind: str, command: str) -> None:
    run = Path(shutil.copytree(deep, "run"))
    file = COMMANDS[command]
    harmless = "more tensors than the model has"  # in a state, which is not compared with its model until it is used
    HOSTILE[kind](run, file)
    if command == "resume":
        (run / "config.json").unlink()  # the state's own is used
    outcomes: list[Any] = []

    def work() -> None:
        if command == "load":
            with pytest.raises(CheckpointError):
                zoo.load(run)
        else:
            steps = ["--steps", 9] if command == "resume" else []
            outcomes.append(zoo_here(command.partition(" ")[0], run, *steps))

    started = time.monotonic()
    growth = peak_growth(work)
    assert time.monotonic() - started < SECONDS
    assert growth < MEMORY_BYTES + 2 * min((run / file).stat().st_size, 32 << 20)
    for outcome in outcomes:
        assert outcome.code == (0 if kind == harmless and file != "model.safetensors" else 1)
        assert outcome.err.count("\n") == (outcome.code != 0)
        assert len(outcome.err) < 5000
        assert "error: unexpected" not in outcome.err


def test_what_cannot_be_loaded_is_not_saved(tmp_path: Path) -> None:
    empty = torch.zeros(0)
    many = {str(number): empty for number in range(bounds.MAX_TENSORS + 1)}
    with pytest.raises(CheckpointError, match=r"cannot hold this state: it has 16,385 tensors, more than 16,384"):
        checkpoint.save(tmp_path / "many", many, {})
    with pytest.raises(CheckpointError, match="cannot hold this state: its header has"):
        checkpoint.save(tmp_path / "long", {}, {"config": "a" * MAX_JSON_BYTES})
    assert not list(tmp_path.glob("many*"))


def test_a_file_at_the_bounds_is_saved_and_loaded(tmp_path: Path) -> None:
    many = {str(number): torch.zeros(1) for number in range(bounds.MAX_TENSORS)}
    checkpoint.save(tmp_path / "many", many, {})
    assert len(checkpoint.load(tmp_path / "many").tensors) == bounds.MAX_TENSORS


def test_what_takes_too_long_to_build_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bounds, "BUILD_SECONDS", -1.0)
    for build in (lambda: torch.zeros(3), lambda: torch.nn.ModuleList([torch.nn.Tanh()])):
        with pytest.raises(CheckpointError, match="more than -1 s to build"), bounds.building(tmp_path, 1 << 20, 1):
            build()


def test_the_hooks_are_removed(tmp_path: Path) -> None:
    with bounds.building(tmp_path, 1 << 30, 0):
        torch.nn.ModuleList([torch.nn.Tanh() for _ in range(1000)])
    torch.nn.ModuleList([torch.nn.BatchNorm1d(1) for _ in range(1500)])


def test_the_documented_bounds_are_those_of_the_code() -> None:
    text = bounds.__doc__ or ""
    for number in (f"{bounds.MAX_TENSORS:,}", f"{bounds.MAX_HEADER_BYTES >> 20} MiB", f"| {bounds.BUILD_SECONDS:g} |"):
        assert number in text


@pytest.mark.parametrize(
    "text", ["[" + "1," * (1 << 20) + "1]", b"[" + b"[]," * (1 << 20) + b"1]"], ids=["str", "bytes"]
)
def test_json_of_very_many_values_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError, match="too many values"):
        parse_json(text)


def test_a_model_of_a_checkpoint_is_built_within_bounds_only() -> None:
    """`build_model` is called where nobody else's file asks for it, or in a `building` block."""
    callers = {
        path.relative_to(ROOT / "zoo").as_posix()
        for path in (ROOT / "zoo").rglob("*.py")
        if "build_model(" in path.read_text().replace("def build_model(", "")
    }
    free = {"api.py", "testing/bench.py", "training/synthetic.py"}  # of arguments, and of a model's own defaults
    assert callers - free == {"runs/prepare.py", "storage/loading.py"}
    for name in callers - free:
        calls = " _build(" if name == "runs/prepare.py" else "build_model("
        before = (ROOT / "zoo" / name).read_text().partition(calls)[0].splitlines()[-2:]
        assert any(line.strip().startswith("with building") for line in before), name
