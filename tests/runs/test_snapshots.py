"""`--snapshots N`: the embedding table on the way. None is lost, and none invented, however a run ends."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Zoo
from forging import NET, forge
from safetensors import safe_open
from torch import Tensor

import zoo
from zoo.errors import CheckpointError, DivergedError
from zoo.runs.result import Run
from zoo.storage import checkpoint
from zoo.storage.history.snapshots import SNAPSHOTS_FILE, read_snapshots
from zoo.storage.open_folder import OpenFolder
from zoo.training.history.snapshots import moments

STATE = "training_state.safetensors"
FILES = (SNAPSHOTS_FILE, "model.safetensors", STATE, "losses.csv", "config.json", "README.md")


class Killed(BaseException):
    """Nothing of zoo's catches it, as nothing survives `kill -9`."""


@pytest.fixture
def trained(words_file: Path) -> Callable[..., Run]:
    """`trained(60, "a")`: a run of so many steps in folder `a`, with 7 snapshots."""

    def run(steps: int, out: str, **more: Any) -> Run:
        options = {"snapshots": 7, "settings": NET, "engine": "autograd", **more}
        return zoo.run("mlp-char", dataset=words_file, device="cpu", steps=steps, out=out, plots=False, **options)

    return run


def assert_same(first: Path, second: Path) -> None:
    assert not [name for name in FILES if (first / name).read_bytes() != (second / name).read_bytes()]


def kill_at(monkeypatch: pytest.MonkeyPatch, nth: int) -> None:
    """Let the process "die" at its Nth write, and write nothing after."""
    writes, real = 0, OpenFolder.write

    def write(self: OpenFolder, name: str, data: bytes) -> None:
        nonlocal writes
        writes += 1
        if writes >= nth:
            raise Killed
        real(self, name, data)

    monkeypatch.setattr(OpenFolder, "write", write)


@pytest.mark.parametrize(
    ("count", "steps", "expected"),
    [
        (2, 1000, (0, 1000)),
        (5, 1000, (0, 250, 500, 750, 1000)),
        (4, 10, (0, 3, 7, 10)),
        (1000, 3, (0, 1, 2, 3)),
        (7, 1, (0, 1)),
    ],
)
def test_the_moments_are_spread_from_the_first_step_to_the_last(
    count: int, steps: int, expected: tuple[int, ...]
) -> None:
    assert moments(count, steps) == expected


def test_each_is_the_table_of_a_run_that_ends_there(trained: Callable[..., Run]) -> None:
    found = read_snapshots(trained(60, "a").path)
    assert list(found) == [0, 10, 20, 30, 40, 50, 60]
    for step in (10, 30, 60):
        alone = trained(step, f"alone-{step}", snapshots=None)
        assert torch.equal(found[step], alone.model.state_dict()["C"])
    untrained = zoo.create_model("mlp-char", vocab_size=6, hidden_size=3, embedding_dim=2)
    assert torch.equal(found[0], untrained.state_dict()["C"])


def test_they_change_nothing_else(trained: Callable[..., Run]) -> None:
    with_them, without = trained(60, "a"), trained(60, "b", snapshots=None)
    assert with_them.step_losses == without.step_losses
    assert not (without.path / SNAPSHOTS_FILE).exists()
    assert read_snapshots(without.path) == {}
    mine, other = (run.model.state_dict() for run in (with_them, without))
    assert all(torch.equal(mine[name], other[name]) for name in other)


def test_the_file_is_one_of_zoos(trained: Callable[..., Run]) -> None:
    path = trained(60, "a").path / SNAPSHOTS_FILE
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        assert sorted(file.keys(), key=int) == ["0", "10", "20", "30", "40", "50", "60"]
    assert metadata.keys() == {"zoo"}
    assert json.loads(metadata["zoo"])["sha256"] == checkpoint.digest(checkpoint.load(path).tensors)


@pytest.mark.parametrize(("every", "nth"), [(5, 4), (5, 9), (5, 14), *((7, nth) for nth in range(2, 26, 3))])
def test_a_run_killed_at_any_write_resumes_to_the_same_bytes(
    trained: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, every: int, nth: int, zoo_here: Zoo
) -> None:
    whole = trained(30, "whole")
    with monkeypatch.context() as patch:
        kill_at(patch, nth)
        with pytest.raises(Killed):
            trained(30, "parts", checkpoint_every=every)
    if not Path("parts", STATE).exists():
        return  # there was nothing yet to lose
    step = checkpoint.load_meta(Path("parts", STATE))["step"]
    assert [at for at in read_snapshots(Path("parts")) if at <= step] == list(range(0, step + 1, 5))
    files = zoo_here("verify", "parts", "--json").result["files"]
    assert next(file["result"] for file in files if file["file"] == SNAPSHOTS_FILE) == "intact"
    assert_same(whole.path, zoo.resume("parts", plots=False).path)


def test_a_longer_run_keeps_the_earlier_ones(trained: Callable[..., Run]) -> None:
    trained(60, "a")
    zoo.resume("a", steps=120, plots=False)
    assert list(read_snapshots(Path("a"))) == [0, 10, 20, 30, 40, 50, 60, 80, 100, 120]


def test_a_resumption_may_begin_to_keep_them(trained: Callable[..., Run], zoo_here: Zoo) -> None:
    trained(10, "a", snapshots=None)
    outcome = zoo_here("resume", "a", "--steps", 40, "--snapshots", 5, "--no-plots")
    assert (outcome.code, outcome.err) == (0, "")
    assert list(read_snapshots(Path("a"))) == [10, 20, 30, 40]
    assert zoo_here("verify", "a").code == 0


def test_early_stopping_keeps_those_planned_until_then_and_the_last(trained: Callable[..., Run]) -> None:
    run = trained(6000, "a", lr=30.0, validate_every=7, patience=3)
    stop = run.metrics["steps"]
    assert stop < 1000
    assert list(read_snapshots(run.path)) == [0, stop]


def test_a_run_that_diverges_has_none_of_later_than_its_checkpoint(
    trained: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo.training.autograd import Autograd

    real, done = Autograd.run, 0

    def run(self: Autograd, x: Tensor, *rest: Any) -> Tensor:
        nonlocal done
        losses = real(self, x, *rest)
        done += len(losses)
        return losses * float("nan") if done > 20 else losses  # the first loss of a block: back to the block before

    monkeypatch.setattr(Autograd, "run", run)
    with pytest.raises(DivergedError):
        trained(60, "a")
    step = checkpoint.load_meta(Path("a", STATE))["step"]
    assert 0 < step < 20
    assert list(read_snapshots(Path("a"))) == [0, *range(10, step + 1, 10)]


def test_a_model_without_embeddings_is_told_before_it_is_trained(zoo_here: Zoo, words_file: Path) -> None:
    outcome = zoo_here("run", "bigram", "--dataset", words_file, "--snapshots", 5)
    expected = "zoo: error: --snapshots keeps embeddings, and model 'bigram' has no embeddings of characters\n"
    assert (outcome.code, outcome.err) == (2, expected)
    assert not Path("runs").exists() or not list(Path("runs").iterdir())


# The file is untrusted input


def forged(path: Path, change: Callable[[dict[str, Tensor]], object], **meta: Any) -> None:
    """Write the file anew, with the right digests."""
    stored = checkpoint.load(path)
    tensors = dict(stored.tensors)
    change(tensors)
    forge(path, tensors, {"snapshots": {"parameter": "C"}, **meta})


LIES: dict[str, Callable[[dict[str, Tensor]], object]] = {
    "a name that is no number": lambda t: t.update(x=t["10"]),
    "a name with a sign": lambda t: t.update({"-10": t["10"]}),
    "a name with zeros": lambda t: t.update({"010": t["10"]}),
    "digits of another script": lambda t: t.update({"١٠": t["10"]}),
    "a step of 4000 digits": lambda t: t.update({"9" * 4000: t["10"]}),
    "another type": lambda t: t.update({"10": t["10"].double()}),
    "another shape": lambda t: t.update({"10": t["10"][:-1]}),
    "three dimensions": lambda t: t.update({name: table[None] for name, table in t.items()}),
    "empty tables": lambda t: t.update({name: table[:0] for name, table in t.items()}),
    "not a number": lambda t: t.update({"10": t["10"] * float("nan")}),
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with snapshots; tests must not change it."""
    folder = tmp_path_factory.mktemp("kept")
    words = folder / "words.txt"
    words.write_text("\n".join(a + b for a in "abeln" for b in "abeln"))
    options: dict[str, Any] = {"snapshots": 7, "settings": NET, "device": "cpu", "plots": False}
    zoo.run("mlp-char", dataset=words, steps=60, out=folder / "run", **options)
    return folder / "run"


@pytest.mark.parametrize("lie", LIES)
def test_what_no_run_writes_is_refused_in_one_line(lie: str, kept: Path, zoo_here: Zoo) -> None:
    copy = Path(shutil.copytree(kept, "copy"))
    forged(copy / SNAPSHOTS_FILE, LIES[lie])
    with pytest.raises(CheckpointError, match="is damaged: ") as caught:
        read_snapshots(copy)
    assert len(str(caught.value)) < 200
    assert zoo_here("verify", copy).code == 1


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "missing", "of another run", "edited", "weights"])
def test_a_changed_file_is_found_and_no_run_goes_on_with_it(damage: str, kept: Path, zoo_here: Zoo) -> None:
    copy = Path(shutil.copytree(kept, "copy"))
    path = copy / SNAPSHOTS_FILE
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[-5] ^= 1
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(content[:-5])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "missing":
        path.unlink()
    elif damage == "weights":
        shutil.copy(copy / "model.safetensors", path)
    else:
        forged(path, (lambda t: t.pop("20")) if damage == "edited" else lambda t: t.update({"20": t["30"]}))
    outcome = zoo_here("verify", copy, "--json")
    found = {file["file"]: file["result"] for file in outcome.result["files"]}
    assert (outcome.code, found.pop(SNAPSHOTS_FILE)) == (1, "damaged")
    assert set(found.values()) == {"intact"}
    outcome = zoo_here("resume", copy, "--steps", 70, "--no-plots")
    assert (outcome.code, outcome.err.count("\n"), SNAPSHOTS_FILE in outcome.err) == (1, 1, True)


def test_the_file_alone_is_described(kept: Path, zoo_here: Zoo) -> None:
    outcome = zoo_here("verify", kept / SNAPSHOTS_FILE, "--json")
    [file] = outcome.result["files"]
    assert (outcome.code, file["result"]) == (0, "intact")
    assert file["text"].startswith("7 snapshots of 6 x ")
