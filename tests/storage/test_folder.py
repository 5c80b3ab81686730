"""A run's folder and its files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from zoo import Schedule, UsageError, ZooError
from zoo.data.examples import TensorExamples
from zoo.plugin.optimizer_state import unflatten_state
from zoo.storage import checkpoint
from zoo.storage.folder import RunFolder
from zoo.storage.losses import read_losses
from zoo.training.loop import Training, train

Create = Callable[..., RunFolder]


class Table(nn.Module):
    """A table of logits: the smallest model."""

    def __init__(self) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.zeros(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.W[x[:, 0]]


@pytest.fixture
def training() -> Training:
    examples = TensorExamples(torch.tensor([[0], [1], [2], [3]]), torch.tensor([0, 1, 2, 0]), torch.int64)
    model = Table()
    optimizer = torch.optim.Adam(model.parameters())
    new = Training(model, optimizer, examples, 2, 0.1, Schedule(), torch.Generator().manual_seed(1))
    train(new, 5)
    return new


@pytest.fixture
def create() -> Iterator[Create]:
    """`create("mlp")`: a new folder, locked until the test ends."""
    open_folders: list[RunFolder] = []

    def make(model_name: str, out: Path | None = None) -> RunFolder:
        open_folders.append(RunFolder.create(model_name, out))
        return open_folders[-1]

    yield make
    for folder in open_folders:
        folder.close()


# Folders


def test_runs_are_numbered_from_1(create: Create) -> None:
    assert [create("mlp-char").path for _ in range(3)] == [Path(f"runs/mlp-char-{i}") for i in (1, 2, 3)]


def test_each_model_has_its_own_numbers(create: Create) -> None:
    create("mlp-char")
    assert create("mlp").path == Path("runs/mlp-1")


@pytest.mark.parametrize(
    ("present", "number"),
    [
        (["mlp-7"], 8),
        (["mlp-1", "mlp-3"], 4),
        (["mlp-9", "mlp-10"], 11),
        (["mlp-x", "mlp-", "mlp-1.5", "mlp--1", "other-9", "mlp-2-5", "xmlp-6"], 1),
        (["mlp-007"], 8),
        (["mlp-²"], 1),
    ],
)
def test_the_next_number_is_one_above_the_highest(create: Create, present: list[str], number: int) -> None:
    for name in present:
        (Path("runs") / name).mkdir(parents=True)
    assert create("mlp").path == Path(f"runs/mlp-{number}")


def test_a_file_takes_a_number_too(create: Create) -> None:
    Path("runs").mkdir()
    Path("runs/mlp-1").write_text("")
    assert create("mlp").path == Path("runs/mlp-2")


def test_a_number_that_another_process_takes_is_skipped(create: Create, monkeypatch: pytest.MonkeyPatch) -> None:
    mkdir = Path.mkdir

    def raced(self: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        if self == Path("runs/mlp-1") and not self.exists():
            mkdir(self)
        mkdir(self, mode, parents, exist_ok)

    monkeypatch.setattr(Path, "mkdir", raced)
    assert create("mlp").path == Path("runs/mlp-2")


@pytest.mark.parametrize("out", ["mine", "deep/er/mine"])
def test_out_is_made_with_its_parents(create: Create, out: str) -> None:
    assert create("mlp", Path(out)).path.is_dir()


def test_an_empty_folder_may_be_used(create: Create) -> None:
    Path("mine").mkdir()
    assert create("mlp", Path("mine")).path == Path("mine")


def test_a_folder_with_files_is_never_overwritten() -> None:
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("keep me")
    with pytest.raises(UsageError, match="mine already exists, and a run never overwrites anything: choose another"):
        RunFolder.create("mlp", Path("mine"))
    assert Path("mine/notes.txt").read_text() == "keep me"


def test_a_file_is_never_overwritten() -> None:
    Path("mine").write_text("keep me")
    with pytest.raises(UsageError, match="mine already exists"):
        RunFolder.create("mlp", Path("mine"))
    assert Path("mine").read_text() == "keep me"


@pytest.mark.parametrize("out", [None, Path("runs/mine")])
def test_a_file_in_place_of_the_parent_folder_is_named_in_the_error(out: Path | None) -> None:
    Path("runs").write_text("")
    with pytest.raises(ZooError, match=r"cannot make the run folder runs.*: (File exists|Not a directory)"):
        RunFolder.create("mlp", out)


def test_an_empty_folder_is_deleted_on_closing() -> None:
    with RunFolder.create("mlp") as folder:
        assert folder.path.is_dir()
    assert not folder.path.exists()


def test_a_folder_with_files_is_kept_on_closing() -> None:
    with RunFolder.create("mlp") as folder:
        folder.write_card("# mlp")
    assert (folder.path / "README.md").read_text() == "# mlp"


def test_a_missing_folder_is_no_error_on_closing() -> None:
    with RunFolder.create("mlp") as folder:
        folder.path.rmdir()
    assert not folder.path.exists()


@pytest.mark.skipif(os.name != "posix", reason="folders can be locked on POSIX systems only")
def test_a_folder_has_one_writer_at_a_time(create: Create, training: Training) -> None:
    folder = create("mlp")
    folder.write_checkpoint(training, {})
    with pytest.raises(ZooError, match="another process is using runs/mlp-1: wait for it, or stop it"):
        RunFolder.open(folder.path)


def test_a_closed_folder_can_be_opened_again(training: Training) -> None:
    with RunFolder.create("mlp") as folder:
        folder.write_checkpoint(training, {})
    with RunFolder.open(folder.path) as again:
        assert again.path == folder.path


def test_opening_deletes_temporary_files_of_a_killed_process(training: Training) -> None:
    with RunFolder.create("mlp") as folder:
        folder.write_checkpoint(training, {})
    kept = sorted(folder.path.iterdir())
    (folder.path / ".losses.csv.0123abcd.tmp").write_text("half")
    with RunFolder.open(folder.path):
        assert sorted(folder.path.iterdir()) == kept


def test_a_missing_folder_cannot_be_opened() -> None:
    with pytest.raises(UsageError, match="no run folder 'nowhere'"):
        RunFolder.open(Path("nowhere"))


def test_a_folder_without_a_training_state_cannot_be_opened() -> None:
    Path("mine").mkdir()
    with pytest.raises(UsageError, match=r"cannot be resumed: there is no training_state\.safetensors in it"):
        RunFolder.open(Path("mine"))


def test_a_first_checkpoint_that_fails_leaves_an_empty_folder(create: Create, training: Training) -> None:
    folder = create("mlp")
    with pytest.raises(ValueError, match="JSON"):
        folder.write_first_checkpoint(training, {"lr": float("nan")})
    assert list(folder.path.iterdir()) == []


# Checkpoints


@pytest.fixture
def folder(training: Training) -> Iterator[Path]:
    """A run folder with a checkpoint."""
    with RunFolder.create("table") as new:
        new.write_checkpoint(training, {"model": "zoë"})
        yield new.path


def test_a_checkpoint_is_four_files(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["config.json", "losses.csv", "model.safetensors", "training_state.safetensors"]


def test_the_weights_file_has_config_and_step(folder: Path, training: Training) -> None:
    loaded = checkpoint.load(folder / "model.safetensors")
    assert torch.equal(loaded.tensors["W"], training.model.state_dict()["W"])
    assert (loaded.meta["config"], loaded.meta["step"]) == ({"model": "zoë"}, 5)


def test_the_config_is_also_a_separate_file(folder: Path) -> None:
    assert json.loads((folder / "config.json").read_text(encoding="utf-8")) == {"model": "zoë"}


def test_the_losses_of_a_checkpoint_are_those_of_its_training(folder: Path, training: Training) -> None:
    assert read_losses(folder / "losses.csv") == training.losses


def test_the_training_state_has_step_generator_and_optimizer(folder: Path, training: Training) -> None:
    state = checkpoint.load(folder / "training_state.safetensors")
    assert state.meta["step"] == 5
    assert torch.equal(state.tensors["generator"], training.generator.get_state())
    moments = unflatten_state(state.meta["optimizer"], state.tensors)["state"][0]
    assert torch.equal(moments["exp_avg"], training.optimizer.state_dict()["state"][0]["exp_avg"])


def test_the_same_training_gives_the_same_bytes(folder: Path, training: Training) -> None:
    with RunFolder.create("table") as again:
        again.write_checkpoint(training, {"model": "zoë"})
    one, two = ({f.name: f.read_bytes() for f in path.iterdir()} for path in (folder, again.path))
    assert one == two


def test_metrics_are_indented_json() -> None:
    with RunFolder.create("table") as folder:
        folder.write_metrics({"losses": {"train": 2.5}})
    assert (folder.path / "metrics.json").read_text() == '{\n  "losses": {\n    "train": 2.5\n  }\n}\n'
