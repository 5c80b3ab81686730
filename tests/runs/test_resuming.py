"""Going on with a run: to the last bit where it would have come undisturbed, or not at all."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from zoo.runs.describe import versions
from zoo.runs.observer import Observer
from zoo.runs.resuming import inexact
from zoo.storage import checkpoint
from zoo.storage.config import differences
from zoo.storage.folder import RunFolder

Zoo = Callable[..., Any]
Installed = Callable[[Sequence[str]], str]

FILES = ("model.safetensors", "training_state.safetensors", "losses.csv", "config.json", "README.md")
STEPS = 40
CUDA_DEVICES = [f"cuda:{index}" for index in range(torch.cuda.device_count())] or ["cuda:0"]


def assert_same_files(first: Path, second: Path, names: Sequence[str] = FILES) -> None:
    different = [name for name in names if (first / name).read_bytes() != (second / name).read_bytes()]
    assert not different


def assert_refused(outcome: Any, code: int, *parts: str) -> None:
    assert outcome.code == code, outcome.err
    [line] = outcome.err.splitlines()
    assert line.startswith("zoo: error: ")
    for part in parts:
        assert part in line, line


@pytest.fixture
def half(words_file: Path) -> Path:
    """A finished run of half the steps."""
    return zoo.run("mlp-char", dataset=words_file, device="cpu", steps=STEPS // 2, out="half", plots=False).path


@pytest.fixture
def whole(words_file: Path) -> Path:
    """A run of all the steps in one go."""
    return zoo.run("mlp-char", dataset=words_file, device="cpu", steps=STEPS, out="whole", plots=False).path


@pytest.mark.parametrize("preset", ["notebook", "lecture"])
@pytest.mark.parametrize("first", [1, 17, STEPS - 1])
def test_stop_and_resume_gives_the_bytes_of_one_go(words_file: Path, preset: str, first: int) -> None:
    whole = zoo.run("mlp-char", dataset=words_file, device="cpu", steps=STEPS, preset=preset, out="whole")
    zoo.run("mlp-char", dataset=words_file, device="cpu", steps=first, preset=preset, out="parts")
    resumed = zoo.resume("parts", steps=STEPS)
    assert resumed.step_losses == whole.step_losses
    assert_same_files(resumed.path, whole.path, [*FILES, "loss.png", "embeddings.png"])


def test_learning_rate_schedule_goes_on_where_it_was(words_file: Path) -> None:
    from zoo.options.run import RunOptions
    from zoo.plugin.manager import load_plugins
    from zoo.runs.plan import make_plan
    from zoo.runs.runner import execute

    registry, _ = load_plugins()

    def run(steps: int, out: str) -> Path:
        options = RunOptions("mlp-char", dataset=words_file, device="cpu", steps=steps, out=Path(out), plots=False)
        plan = make_plan(registry, options)
        schedule = zoo.Schedule((15, 30), 0.5)
        return execute(replace(plan, options=replace(plan.options, schedule=schedule))).path

    whole, parts = run(STEPS, "whole"), run(20, "parts")
    zoo.resume(parts, steps=STEPS, plots=False)
    assert_same_files(parts, whole)


THIRD_PARTY = {
    "state in the optimizer": ("zoo-trigram", ["trigram", "--dataset", "planets", "--optimizer", "signsgd"]),
    "dropout, sequences": ("zoo-trigram", ["tiny-gru"]),
    "torch's Adam, images": ("zoo-blobs", ["tiny-conv"]),
}


@pytest.mark.parametrize("case", THIRD_PARTY)
def test_third_party_models_and_optimizers_resume_to_the_same_bytes(
    zoo_command: Zoo, installed: Installed, case: str
) -> None:
    project, args = THIRD_PARTY[case]
    env = {"PYTHONPATH": installed([project])}
    momentum = ["--set", "optimizer.momentum=0.9"] if "signsgd" in args else []
    common = ("--no-plots", "--quiet", "--json")
    for out, steps in (("whole", 12), ("parts", 5)):
        done = zoo_command(
            "run", *args, *momentum, "--device", "cpu", "--steps", str(steps), "--out", out, *common, env=env
        )
        assert done.returncode == 0, done.stderr
    done = zoo_command("resume", "parts", "--steps", "12", *common, env=env)
    assert done.returncode == 0, done.stderr
    assert_same_files(Path("parts"), Path("whole"))


def test_metrics_of_a_resumed_run_are_those_of_one_go(half: Path, whole: Path) -> None:
    metrics = zoo.resume(half, steps=STEPS, plots=False).metrics
    expected = json.loads((whole / "metrics.json").read_text())
    for key in expected.keys() - {"seconds", "run_dir", "sha256"}:  # a digest of all of it
        assert metrics[key] == expected[key], key


def test_killed_run_goes_on_from_its_last_checkpoint(words_file: Path, whole: Path) -> None:
    command = [
        "run",
        "mlp-char",
        "--dataset",
        str(words_file),
        "--device",
        "cpu",
        "--no-plots",
        "--checkpoint-every",
        "3",
        "--engine",
        "manual",  # what a run that long would not choose by itself
    ]
    process = subprocess.Popen([sys.executable, "-P", "-m", "zoo", *command, "--steps", "1000000", "--out", "killed"])
    deadline = time.monotonic() + 60
    while not Path("killed/losses.csv").exists() or Path("killed/losses.csv").read_text().count("\n") < 5:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    step = checkpoint.load(Path("killed/training_state.safetensors")).meta["step"]
    assert step % 3 == 0
    steps = max(step + 5, STEPS)
    resumed = zoo.resume("killed", steps=steps, plots=False)
    options: dict[str, Any] = {"device": "cpu", "engine": "manual", "plots": False}
    undisturbed = zoo.run("mlp-char", dataset=words_file, steps=steps, out="undisturbed", **options)
    assert_same_files(resumed.path, undisturbed.path)


def test_run_killed_before_its_evaluation_is_evaluated(half: Path) -> None:
    metrics = json.loads((half / "metrics.json").read_text())
    (half / "metrics.json").unlink()
    assert zoo.resume(half, plots=False).metrics["losses"] == metrics["losses"]


def test_weights_and_losses_are_made_again_from_the_state(half: Path, whole: Path) -> None:
    """As after a crash between two of the files of a checkpoint."""
    shutil.copy(whole / "training_state.safetensors", half)
    resumed = zoo.resume(half, steps=STEPS, plots=False)
    assert_same_files(resumed.path, whole)


def test_leftovers_of_a_killed_write_are_cleared_away(half: Path) -> None:
    (half / ".model.safetensors.0123abcd.tmp").write_bytes(b"half a file")
    zoo.resume(half, steps=STEPS, plots=False)
    assert not list(half.glob(".*"))


def test_resume_command_prints_the_result_of_the_whole_run(zoo_here: Zoo, half: Path) -> None:
    outcome = zoo_here("resume", half, "--steps", STEPS, "--no-plots", "--json")
    assert outcome.code == 0
    assert outcome.result["steps"] == STEPS
    assert outcome.result["run_dir"] == str(half)


def test_finished_run_asks_for_more_steps(zoo_here: Zoo, half: Path) -> None:
    assert_refused(zoo_here("resume", half), 2, "has done all its 20 steps", "--steps")


@pytest.mark.parametrize("steps", [20, 7])
def test_fewer_steps_than_done_are_refused(zoo_here: Zoo, half: Path, steps: int) -> None:
    assert_refused(zoo_here("resume", half, "--steps", steps), 2, f"--steps {steps} is not more")


def test_folder_without_a_state_is_refused(zoo_here: Zoo, half: Path) -> None:
    (half / "training_state.safetensors").unlink()
    assert_refused(zoo_here("resume", half), 2, "no training_state.safetensors")


def test_absent_folder_is_refused(zoo_here: Zoo) -> None:
    assert_refused(zoo_here("resume", "nowhere"), 2, "no run folder 'nowhere'")


def test_damaged_state_is_refused_and_left_alone(zoo_here: Zoo, half: Path) -> None:
    path = half / "training_state.safetensors"
    data = bytearray(path.read_bytes())
    data[-20] ^= 4
    path.write_bytes(data)
    assert_refused(zoo_here("resume", half, "--steps", STEPS), 1, "damaged")
    assert path.read_bytes() == data


def test_other_data_is_refused_with_what_differs(zoo_here: Zoo, half: Path, words_file: Path) -> None:
    words_file.write_text(words_file.read_text() + "anna\n")
    assert_refused(zoo_here("resume", half, "--steps", STEPS), 1, "'words.txt'", "has other content", "--allow-changes")


def test_other_data_that_is_given_is_allowed_by_the_flag(zoo_here: Zoo, half: Path, words_file: Path) -> None:
    words_file.write_text(words_file.read_text() + "nana\n")
    command = ("resume", half, "--steps", STEPS, "--allow-changes", "--no-plots")
    assert_refused(zoo_here(*command), 1, "has other content", "--dataset FILE", "--allow-changes")
    assert zoo_here(*command, "--dataset", words_file).code == 0
    assert zoo_here("eval", half).code == 0


def test_data_with_other_letters_is_refused_even_with_the_flag(zoo_here: Zoo, half: Path, words_file: Path) -> None:
    words_file.write_text(words_file.read_text() + "zoo\n")
    command = ("resume", half, "--steps", STEPS, "--allow-changes", "--dataset", words_file)
    assert_refused(zoo_here(*command), 1, "dataset.vocabulary")


def edit_config(run: Path, section: str, key: str, value: object) -> None:
    config = json.loads((run / "config.json").read_text())
    config[section][key] = value
    (run / "config.json").write_text(json.dumps(config))


def edit_state(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = run / "training_state.safetensors"
    stored = checkpoint.load(path)
    change(stored.meta["config"])
    checkpoint.save(path, stored.tensors, {key: stored.meta[key] for key in ("step", "optimizer", "config", "data")})
    (run / "config.json").write_text(json.dumps(stored.meta["config"]))


def test_edited_learning_rate_is_refused_with_both_values(zoo_here: Zoo, half: Path) -> None:
    edit_config(half, "training", "lr", 0.05)
    assert_refused(zoo_here("resume", half, "--steps", STEPS), 1, "training.lr: 0.1 then, 0.05 now", "--allow-changes")


def test_edited_learning_rate_is_used_with_the_flag(zoo_here: Zoo, half: Path, whole: Path) -> None:
    edit_config(half, "training", "lr", 0.05)
    outcome = zoo_here("resume", half, "--steps", STEPS, "--allow-changes", "--no-plots", "--json")
    assert outcome.result["lr"] == 0.05
    assert (half / "model.safetensors").read_bytes() != (whole / "model.safetensors").read_bytes()


def test_edited_hyperparameters_are_refused_even_with_the_flag(zoo_here: Zoo, half: Path) -> None:
    edit_config(half, "model", "hyperparameters", {"hidden_size": 7})
    outcome = zoo_here("resume", half, "--steps", STEPS, "--allow-changes")
    assert_refused(outcome, 1, "model.hyperparameters.hidden_size: 200 then, 7 now")


@pytest.mark.parametrize("part", ["model", "optimizer"])
def test_other_version_of_a_plugin_is_refused_or_allowed(zoo_here: Zoo, half: Path, part: str) -> None:
    def older(config: dict[str, Any]) -> None:
        config[part]["plugin"]["version"] = "0.0.7"

    edit_state(half, older)
    refused = zoo_here("resume", half, "--steps", STEPS)
    assert_refused(refused, 1, f"{part}.plugin.version: 0.0.7 then, ", "--allow-changes")
    assert zoo_here("resume", half, "--steps", STEPS, "--allow-changes", "--no-plots").code == 0


def test_setting_that_the_plugin_no_longer_has_is_refused(zoo_here: Zoo, half: Path) -> None:
    def more(config: dict[str, Any]) -> None:
        config["model"]["hyperparameters"]["dropout"] = 0.5

    edit_state(half, more)
    assert_refused(zoo_here("resume", half, "--steps", STEPS), 1, "no setting 'model.dropout'")


def test_setting_that_the_plugin_did_not_have_then_is_refused(zoo_here: Zoo, half: Path) -> None:
    def less(config: dict[str, Any]) -> None:
        del config["model"]["hyperparameters"]["hidden_size"]

    edit_state(half, less)
    assert_refused(
        zoo_here("resume", half, "--steps", STEPS), 1, "model.hyperparameters.hidden_size: none then, 200 now"
    )


def test_other_version_of_torch_is_a_warning(zoo_here: Zoo, half: Path) -> None:
    def older(config: dict[str, Any]) -> None:
        config["versions"]["torch"] = "1.0"

    edit_state(half, older)
    outcome = zoo_here("resume", half, "--steps", STEPS, "--no-plots")
    assert outcome.code == 0
    assert (
        "zoo: warning: the last digits may not be those of an uninterrupted run: versions.torch: 1.0 then"
        in outcome.err
    )


CPU = {"zoo": "0.1.0", "torch": "2.13.0", "python": "3.11.7"}
A100, H100 = ({**CPU, "gpu": f"NVIDIA {card}", "cuda": "13.0"} for card in ("A100-SXM4-80GB", "H100 80GB HBM3"))


@pytest.mark.parametrize(
    ("then", "now", "told"),
    [
        (("cpu", CPU), ("cpu", CPU), []),
        (("cuda:0", H100), ("cuda:0", H100), []),
        (("cuda:0", A100), ("cuda:0", H100), ["versions.gpu: NVIDIA A100-SXM4-80GB then, NVIDIA H100 80GB HBM3 now"]),
        (("cuda:0", {**H100, "cuda": "12.8"}), ("cuda:0", H100), ["versions.cuda: 12.8 then, 13.0 now"]),
        (("cuda:0", CPU), ("cuda:0", H100), []),  # of an earlier version, which did not record it
        (("cuda:0", CPU), ("cuda:1", H100), ["training.device: cuda:0 then, cuda:1 now"]),
        (
            ("cpu", CPU),
            ("cuda:0", H100),
            [
                "training.device: cpu then, cuda:0 now",
                "versions.gpu: none then, NVIDIA H100 80GB HBM3 now",
                "versions.cuda: none then, 13.0 now",
            ],
        ),
    ],
)
def test_another_card_or_version_of_cuda_is_told(
    then: tuple[str, dict[str, str]], now: tuple[str, dict[str, str]], told: list[str]
) -> None:
    configs = [{"training": {"device": device}, "versions": versions} for device, versions in (then, now)]
    assert inexact(*configs) == told


def test_a_config_records_the_card_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.cuda.name", lambda device: f"NVIDIA H100 of {device}")
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert list(versions(torch.device("cpu"))) == list(versions(torch.device("mps"))) == ["zoo", "torch", "python"]
    of_cpu = versions(torch.device("cpu"))
    assert versions(torch.device("cuda:1")) == {**of_cpu, "gpu": "NVIDIA H100 of cuda:1", "cuda": "13.0"}
    monkeypatch.setattr(torch.version, "hip", "6.4.1")
    assert versions(torch.device("cuda:0")) == {**of_cpu, "gpu": "NVIDIA H100 of cuda:0", "rocm": "6.4.1"}


def test_a_run_of_a_card_resumes_on_the_cpu_with_a_warning(zoo_here: Zoo, half: Path) -> None:
    def on_a_card(config: dict[str, Any]) -> None:
        config["versions"] |= {"gpu": "NVIDIA H100 80GB HBM3", "cuda": "13.0"}

    edit_state(half, on_a_card)
    outcome = zoo_here("resume", half, "--steps", STEPS, "--no-plots")
    assert outcome.code == 0
    assert "versions.gpu: NVIDIA H100 80GB HBM3 then, none now" in outcome.err
    assert "versions.cuda: 13.0 then, none now" in outcome.err


def test_model_of_an_absent_plugin_is_named(zoo_here: Zoo, half: Path) -> None:
    def foreign(config: dict[str, Any]) -> None:
        config["model"]["plugin"]["distribution"] = "zoo-absent"

    edit_state(half, foreign)
    assert_refused(zoo_here("resume", half, "--steps", STEPS), 1, "zoo-absent/mlp-char")


@pytest.mark.skipif(os.name != "posix", reason="folders are locked on POSIX systems only")
def test_second_process_in_one_run_folder_is_refused(zoo_command: Zoo, half: Path) -> None:
    before = {path.name: path.read_bytes() for path in half.iterdir()}
    with RunFolder.open(half):
        done = zoo_command("resume", half, "--steps", "60")
    assert done.returncode == 1
    assert done.stderr == f"zoo: error: another process is using {half}: wait for it, or stop it\n"
    assert {path.name: path.read_bytes() for path in half.iterdir()} == before


def test_lock_ends_with_the_run(half: Path) -> None:
    zoo.resume(half, steps=30, plots=False)
    zoo.resume(half, steps=STEPS, plots=False)


def test_checkpoints_come_at_multiples_of_the_given_steps(words_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    write = RunFolder.write_checkpoint

    def spy(self: RunFolder, training: Any, config: Any) -> None:
        steps.append(training.step)
        write(self, training, config)

    monkeypatch.setattr(RunFolder, "write_checkpoint", spy)
    zoo.run("mlp-char", dataset=words_file, device="cpu", steps=25, checkpoint_every="10", plots=False)
    assert steps == [0, 10, 20, 25]


@pytest.mark.parametrize("text", ["0", "-5", "soon", "5 parsecs", "0s", "1.5"])
def test_cadence_that_makes_no_sense_is_refused(zoo_here: Zoo, words_file: Path, text: str) -> None:
    outcome = zoo_here("run", "mlp-char", "--dataset", words_file, f"--checkpoint-every={text}")
    assert_refused(outcome, 2, "--checkpoint-every", text)


def test_checkpoint_on_the_way_does_not_change_the_run(words_file: Path, whole: Path) -> None:
    often = zoo.run(
        "mlp-char", dataset=words_file, device="cpu", steps=STEPS, checkpoint_every="1", out="often", plots=False
    )
    assert_same_files(often.path, whole)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("device", CUDA_DEVICES)
@pytest.mark.parametrize(
    ("model", "engine", "settings"),
    [
        ("mlp-char", "autograd", {}),
        ("mlp-char", "manual", {}),  # whose blocks of 64 steps and more are graphs
        ("gru", "autograd", {"model.dropout": 0.2}),
        ("transformer", "autograd", {"model.dropout": 0.2}),
    ],
)
def test_cuda_run_resumes_to_the_same_bits(
    words_file: Path, device: str, model: str, engine: str, settings: dict[str, Any]
) -> None:
    options: dict[str, Any] = {"dataset": words_file, "device": device, "engine": engine, "settings": settings}
    whole = zoo.run(model, steps=400, out="whole", plots=False, **options)
    zoo.run(model, steps=170, out="parts", plots=False, **options)
    resumed = zoo.resume("parts", steps=400, plots=False)
    assert resumed.step_losses == whole.step_losses
    assert_same_files(resumed.path, whole.path)


def test_warmup_cosine_and_clipping_go_on_where_they_were(words_file: Path) -> None:
    options: dict[str, Any] = {"dataset": words_file, "device": "cpu", "plots": False, "schedule": "cosine"}
    options |= {"warmup": 4, "clip_norm": 0.5}
    whole = zoo.run("mlp-char", steps=20, out="whole", **options)
    config = json.loads((whole.path / "config.json").read_text())["training"]
    assert (config["schedule"]["ends"], config["schedule"]["warmup"], config["clip_norm"]) == (20, 4, 0.5)
    assert config["engine"] == "autograd"  # the only one that clips

    class Stop(Observer):
        def progress(self, step: int, steps: int, loss: float) -> None:
            if step >= 7:
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(zoo.InterruptedRunError):
        zoo.run("mlp-char", steps=20, out="half", observer=Stop(), **options)
    assert_same_files(zoo.resume("half", plots=False).path, whole.path)
    with pytest.raises(zoo.UsageError, match="engine 'manual' does not clip gradients"):
        zoo.run("mlp-char", steps=20, engine="manual", **options)


def test_an_extension_past_a_cosine_says_that_it_changes_nothing(words_file: Path) -> None:
    run = zoo.run("mlp-char", steps=20, out="run", dataset=words_file, device="cpu", plots=False, schedule="cosine")
    then = zoo.load(run.path).model.state_dict()
    with pytest.warns(UserWarning, match=r"is 0 from step 20 on, .*; for a cosine over 25 steps, train anew"):
        zoo.resume("run", steps=25, plots=False)
    assert all(torch.equal(then[name], now) for name, now in zoo.load(run.path).model.state_dict().items())


def test_an_option_that_a_config_is_too_old_for_is_as_good_as_none() -> None:
    old, new = {"training": {"lr": 0.1}}, {"training": {"lr": 0.1, "teacher": None}}
    assert differences(old, new) == differences(new, old) == []
    assert differences(old, {"training": {"lr": 0.1, "teacher": "ngram"}}) == ["training.teacher: none then, ngram now"]
