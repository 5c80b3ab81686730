"""Members that are trained as populations: each has the files and the row that it has alone by the same engine."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cuda_on_cpu import needs_compiler, on_cpu
from fake_cuda import FakeCuda

import zoo
from zoo.errors import InterruptedRunError, PluginError
from zoo.storage.checkpoint import load
from zoo.sweeps.results.sweep import Sweep
from zoo.sweeps.workers import together
from zoo.training.population import loop
from zoo.training.population.stacked import Stacked

STEPS = 24
SMALL = {"model.hidden_size": 8, "model.embedding_dim": 4}
ALWAYS = ("losses.csv", "model.safetensors")


@pytest.fixture(autouse=True)
def words() -> None:
    Path("words.txt").write_text("\n".join(a + b + c for a in "abeln" for b in "abeln" for c in "abeln"))


def options(**more: Any) -> dict[str, Any]:
    usual = {"dataset": "words.txt", "device": "cpu", "engine": "stacked", "steps": STEPS, "batch_size": 8}
    return {**usual, "settings": SMALL, **more}


def sweep(**more: Any) -> Sweep:
    return zoo.sweep("mlp-char", **options(**{"seeds": 3, **more}))


@pytest.fixture
def populations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many nets each population has that is trained."""
    sizes: list[int] = []
    train = loop.train_population

    def counted(members: Any, *rest: Any, **more: Any) -> None:
        sizes.append(len(members))
        train(members, *rest, **more)

    monkeypatch.setattr(loop, "train_population", counted)
    return sizes


def alone(seed: int, **more: Any) -> zoo.runs.result.Run:  # is imported with zoo.run
    return zoo.run("mlp-char", **options(seed=seed, init_seed=seed, threads=1, plots=False, **more))


def same(path: Path, other: Path) -> bool:
    return all((path / name).read_bytes() == (other / name).read_bytes() for name in ALWAYS)


def test_each_member_is_to_the_bit_the_run_that_it_is_alone(populations: list[int]) -> None:
    done = sweep(lr=[0.1, 0.3], validate_every=7)
    assert populations == [6]
    assert [row.state for row in done] == ["finished"] * 6
    for row in list(done)[::2]:
        run = alone(row.seed, lr=row.settings["lr"], validate_every=7)
        folder = done.path / f"{row.member:04}"
        assert same(run.path, folder)
        assert (run.path / "validation.csv").read_bytes() == (folder / "validation.csv").read_bytes()
        assert load(folder / "model.safetensors").meta == load(run.path / "model.safetensors").meta
        assert row.losses == run.losses
        assert row.weights_sha256 == run.metrics["weights_sha256"]
        assert {file.name for file in folder.iterdir()} == {
            *ALWAYS, "README.md", "config.json", "metrics.json", "validation.csv"
        }  # fmt: skip
        loaded = zoo.load(folder)
        assert loaded.config["training"]["engine"] == "stacked"
        assert loaded.sample(2, seed=1) == zoo.load(run.path).sample(2, seed=1)


def test_nets_of_several_sizes_and_engines_are_several_populations(populations: list[int]) -> None:
    done = sweep(settings={**SMALL, "model.hidden_size": [8, 12]}, engine=["stacked", "autograd"])
    assert populations == [3, 3]
    assert [row.state for row in done] == ["finished"] * 12
    row = next(row for row in done if row.settings == {"model.hidden_size": 8, "engine": "autograd"})
    assert same(alone(row.seed, engine="autograd").path, done.path / f"{row.member:04}")


def test_one_that_diverges_is_a_row_and_the_others_are_as_ever(populations: list[int]) -> None:
    done, usual = sweep(lr=[0.1, 1e38]), sweep(lr=[0.1])
    assert populations == [6, 3]
    assert [row.state for row in done] == ["finished", "diverged"] * 3
    assert done.rows[1].reason.startswith("the loss became ")
    assert done.rows[1].steps == 1
    assert same(done.path / "0001", usual.path / "0001")
    assert (done.path / "0002" / "model.safetensors").exists()
    with pytest.raises(zoo.DivergedError):
        alone(1, lr=1e38, out="run")
    assert same(done.path / "0002", Path("run"))


def test_a_step_that_fails_is_its_members_alone(monkeypatch: pytest.MonkeyPatch, populations: list[int]) -> None:
    """A population whose block fails is halved until one is left, which fails by itself."""
    run = Stacked.run

    def failing(self: Stacked, members: Any, x: Any, y: Any, lrs: Any, stop: Any) -> torch.Tensor:
        if 1 in members and self._nets[1].optimizer.param_groups[0]["lr"] < 1:
            raise PluginError("a step fails")
        return run(self, members, x, y, lrs, stop)

    usual = sweep(seeds=4)
    monkeypatch.setattr(Stacked, "run", failing)
    done = sweep(seeds=4)
    assert [row.state for row in done] == ["finished", "failed", "finished", "finished"]
    assert done.rows[1].reason.startswith("a step fails")
    assert not (done.path / "0002").exists() or not list((done.path / "0002").iterdir())
    for number in (1, 3, 4):
        assert same(done.path / f"{number:04}", usual.path / f"{number:04}")


def test_a_setting_that_is_wrong_for_some_is_a_row() -> None:
    done = sweep(settings={**SMALL, "model.hidden_size": [8, -8]})
    assert [row.state for row in done] == ["finished", "failed"] * 3
    assert "hidden_size" in done.rows[1].reason


def test_a_model_that_cannot_be_stacked_is_refused_in_one_line() -> None:
    with pytest.raises(zoo.UsageError, match=r"engine 'stacked' cannot train this: torch\.func cannot vectorize GRU"):
        zoo.sweep("gru", seeds=2, dataset="words.txt", device="cpu", engine="stacked", steps=3)
    assert not Path("sweeps").exists() or not list(Path("sweeps").iterdir())


@pytest.mark.parametrize("keep", ["best", "none"])
def test_what_is_kept_is_as_with_other_engines(keep: str) -> None:
    done = sweep(keep=keep)
    folders = sorted(path.name for path in done.path.iterdir() if path.is_dir())
    best = min(done, key=lambda row: row.losses["val"])
    assert folders == ([f"{best.member:04}"] if keep == "best" else [])
    assert [row.losses for row in done] == [row.losses for row in sweep()]


def test_members_that_end_early_leave_the_others(populations: list[int]) -> None:
    more = {"validate_every": 2, "patience": 2, "lr": [0.01, 3.0]}
    done = sweep(**more)
    steps = [row.steps for row in done]
    assert len({*steps}) > 1
    for row in list(done)[:2]:
        run = alone(row.seed, lr=row.settings["lr"], validate_every=2, patience=2)
        assert (run.metrics["steps"], run.losses) == (row.steps, row.losses)
        assert same(run.path, done.path / f"{row.member:04}")
    assert populations == [6]


def test_a_large_sweep_is_several_populations(monkeypatch: pytest.MonkeyPatch, populations: list[int]) -> None:
    monkeypatch.setattr("zoo.sweeps.workers.choosing._ON_CPU", 4)
    done = sweep(seeds=10)
    assert populations == [4, 4, 2]
    assert [row.member for row in done] == [*range(1, 11)]
    assert same(done.path / "0009", alone(9).path)


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """`stopped(3)`: a signal comes in the third block of a population."""
    report = together.Together._reports

    def at(block: int) -> None:
        blocks = iter(range(1, 1000))

        def reports(self: together.Together, number: int, steps: int) -> Any:
            tell = report(self, number, steps)

            def told(step: int, loss: float) -> None:
                if number == 1 and next(blocks) == block:
                    os.kill(os.getpid(), signal.SIGINT)
                tell(step, loss)

            return told

        monkeypatch.setattr(together.Together, "_reports", reports)

    return at


@pytest.mark.parametrize("block", [1, 3])
def test_a_population_that_is_stopped_goes_on_exactly(block: int, stopped: Callable[[int], None]) -> None:
    more: dict[str, Any] = {"lr": [0.1, 0.3], "optimizer": "adamw", "validate_every": 10}
    whole = sweep(**more)
    stopped(block)
    with pytest.raises(InterruptedRunError, match="stopped with 0 of 6 members done; to resume: "):
        sweep(**more, out="parts")
    stopped(1000)
    assert sorted(path.name for path in Path("parts").iterdir() if path.is_dir()) == [f"{n:04}" for n in range(1, 7)]
    done = zoo.resume_sweep("parts")
    assert (done.path / "sweep.csv").read_bytes() == (whole.path / "sweep.csv").read_bytes()
    for number in range(1, 7):
        folder = f"{number:04}"
        assert same(done.path / folder, whole.path / folder)
        assert {path.name for path in (done.path / folder).iterdir()} == {
            path.name for path in (whole.path / folder).iterdir()
        }


def test_one_that_was_finished_before_the_sweep_was_killed_is_not_trained_again(populations: list[int]) -> None:
    whole = sweep()
    sheet = whole.path / "sweep.csv"
    before = {path: path.stat().st_mtime_ns for path in (whole.path / "0001").iterdir()}
    wanted = sheet.read_bytes()
    description = (whole.path / "sweep.json").read_text()
    (whole.path / "sweep.json").write_text(description.replace('"finished": true', '"finished": false'))
    sheet.write_bytes(wanted[: wanted.index(b"\n") + 1])
    for path in (whole.path / "0003").iterdir():
        path.unlink()
    zoo.resume_sweep(whole.path)
    assert sheet.read_bytes() == wanted
    assert before == {path: path.stat().st_mtime_ns for path in (whole.path / "0001").iterdir()}
    assert populations == [3]  # what is left is one member, which trains by itself


def test_a_logger_is_told_of_each_member() -> None:
    done = sweep(seeds=2, log="tensorboard")
    assert all(list((done.path / name / "tensorboard").iterdir()) for name in ("0001", "0002"))


@needs_compiler
def test_on_a_gpu_members_are_trained_by_one_kernel(
    fake_cuda: Callable[..., FakeCuda],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    populations: list[int],
) -> None:
    """From `zoo.sweep` to the driver's calls: only the card is missing."""
    on_cpu(monkeypatch, tmp_path_factory.mktemp("libraries"))
    fake_cuda(devices=2, tensors_on=1)
    launches: list[int] = []
    launch = zoo_kernel().launch

    def counted(self: Any, blocks: int, arguments: Any) -> None:
        launches.append(blocks)
        launch(self, blocks, arguments)

    monkeypatch.setattr(zoo_kernel(), "launch", counted)
    more = {"engine": "fused", "steps": 6}
    done = sweep(**more, lr=[0.1, 0.2])
    assert populations == [6]
    assert 6 in launches
    assert [row.state for row in done] == ["finished"] * 6
    row = list(done)[3]
    run = alone(row.seed, lr=row.settings["lr"], **more)
    assert (run.metrics["engine"], run.metrics["device"]) == ("fused", "cuda:1")
    assert same(run.path, done.path / "0004")


def zoo_kernel() -> Any:
    from zoo_lecture.nvrtc import Kernel

    return Kernel
