"""A run folder that is moved or deleted while its run writes to it: the run is whole, and no other is touched."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import before_call

import zoo
from zoo.plugin.registry import Registry
from zoo.runs import runner
from zoo.storage import losses
from zoo.storage.folder import RunFolder
from zoo.storage.open_folder import OpenFolder
from zoo.storage.verify import verify

pytestmark = pytest.mark.usefixtures("quick_plots")

STEPS = 12
STAGES: dict[str, tuple[Any, str, int]] = {  # when it happens: at the Nth call of this function
    "the first file": (OpenFolder, "write", 1),
    "the third file": (OpenFolder, "write", 3),
    "training": (RunFolder, "write_checkpoint", 2),
    "a file of a checkpoint": (OpenFolder, "write", 6),
    "the last checkpoint": (RunFolder, "write_checkpoint", 4),
    "evaluating": (runner, "evaluate_splits", 1),
    "the card": (RunFolder, "write_card", 1),
    "the result": (RunFolder, "write_metrics", 1),
}
OTHER = {"model.safetensors": b"another run's", "notes.txt": b"mine"}


def take(name: str) -> None:
    """Another run takes the name."""
    Path(name).mkdir(parents=True)
    for file, content in OTHER.items():
        Path(name, file).write_bytes(content)


def move_and_take() -> None:
    shutil.move("runs/bigram-1", "elsewhere")
    take("runs/bigram-1")


def delete_and_take() -> None:
    shutil.rmtree("runs/bigram-1")
    take("runs/bigram-1")


EVENTS: dict[str, tuple[Callable[[], Any], str]] = {  # what happens, and where the run is then
    "moved": (lambda: shutil.move("runs/bigram-1", "elsewhere"), "elsewhere"),
    "moved, its name taken": (move_and_take, "elsewhere"),
    "renamed": (lambda: Path("runs/bigram-1").rename("runs/good"), "runs/good"),
    "its parent moved": (lambda: shutil.move("runs", "old"), "old/bigram-1"),
    "deleted": (lambda: shutil.rmtree("runs/bigram-1"), "runs/bigram-1"),
    "deleted, its name taken": (delete_and_take, "runs/bigram-1-again-1"),
    "its parent deleted": (lambda: shutil.rmtree("runs"), "runs/bigram-1"),
}


def files(folder: Path) -> dict[str, bytes]:
    names = ("model.safetensors", "training_state.safetensors", "losses.csv", "config.json", "loss.png")
    return {name: (folder / name).read_bytes() for name in names}


def train(words: Path) -> Any:
    return zoo.run("bigram", dataset=str(words), steps=STEPS, checkpoint_every=5, device="cpu")


@pytest.mark.parametrize("steps_of_a_part", [1_000_000, 4], ids=["short", "long"])
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("stage", STAGES)
def test_the_run_is_whole_wherever_its_folder_went(
    words_file: Path,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    event: str,
    steps_of_a_part: int,
) -> None:
    monkeypatch.setattr(losses, "STEPS_OF_A_PART", steps_of_a_part)
    whole = train(words_file)
    shutil.move(whole.path, "whole")
    what, where = EVENTS[event]
    with before_call(*STAGES[stage], what), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        done = train(words_file)
    assert done.path.resolve() == Path(where).resolve()
    assert files(Path(where)) == files(Path("whole"))
    assert all(finding.intact for finding in verify(Path(where), registry))
    assert [w for w in said if "the run goes on in" in str(w.message)]
    if "taken" in event:
        assert {path.name: path.read_bytes() for path in Path("runs/bigram-1").iterdir()} == OTHER


def test_a_run_whose_disk_is_gone_saves_among_temporary_files(
    words_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))

    def unplug() -> None:
        shutil.rmtree("runs")
        Path("runs").write_text("a file in the place of the folder")

    with (
        before_call(*STAGES["evaluating"], unplug),
        pytest.warns(UserWarning, match="was deleted; the run goes on in .*temporary/bigram-1"),
    ):
        done = train(words_file)
    assert done.path == tmp_path / "temporary" / "bigram-1"
    assert zoo.load(done.path).step == STEPS


def test_a_run_that_can_save_nowhere_says_so(words_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file" / "absent"))

    def unplug() -> None:
        shutil.rmtree("runs")
        Path("runs").write_text("a file in the place of the folder")

    with before_call(*STAGES["evaluating"], unplug), pytest.raises(OSError, match="runs"):
        train(words_file)
