"""Mistakes and mishaps: one clear line on stderr, the right exit code, and nothing lost or half written."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import but_for_what_was_read

import zoo
from zoo.cli import COMMANDS
from zoo.storage import checkpoint
from zoo.storage.losses import read_losses

Zoo = Callable[..., Any]


def assert_one_line(outcome: Any, code: int, *parts: str) -> None:
    err = but_for_what_was_read(outcome.err)
    assert err.count("\n") == 1, err
    assert err.startswith("zoo: error: "), err
    assert "Traceback" not in outcome.err
    assert outcome.code == code, outcome.err
    for part in parts:
        assert part in outcome.err, outcome.err


def assert_nothing_left() -> None:
    assert not Path("runs").exists() or not any(Path("runs").iterdir())


USAGE = {
    "unknown model": (["run", "mlp-chr"], ["'mlp-chr'", "did you mean 'mlp-char'?"]),
    "unknown dataset": (["run", "mlp-char", "--dataset", "nams"], ["'nams'", "'names'"]),
    "missing file": (["run", "mlp-char", "--dataset", "nowhere/words.txt"], ["nowhere/words.txt"]),
    "unknown optimizer": (["run", "mlp-char", "--optimizer", "sdg"], ["'sdg'", "did you mean 'sgd'?"]),
    "unknown preset": (["run", "mlp-char", "--preset", "lectur"], ["'lectur'", "did you mean 'lecture'?"]),
    "unknown key": (
        ["run", "mlp-char", "--set", "model.hiden_size=3"],
        ["model.hiden_size", "did you mean 'model.hidden_size'?"],
    ),
    "unknown section": (["run", "mlp-char", "--set", "modell.hidden_size=3"], ["modell.hidden_size"]),
    "no value": (["run", "mlp-char", "--set", "model.hidden_size"], ["SECTION.KEY=VALUE"]),
    "key set twice": (["run", "mlp-char", "--set", "model.hidden_size=1", "--set", "model.hidden_size=2"], ["twice"]),
    "wrong type": (["run", "mlp-char", "--set", "model.hidden_size=big"], ["model.hidden_size", "int", "'big'"]),
    "size 0": (
        ["run", "mlp-char", "--dataset", "names-ssa-2018", "--set", "model.hidden_size=0"],
        ["hidden_size must be at least 1, got 0"],
    ),
    "steps 0": (["run", "mlp-char", "--steps", "0"], ["--steps must be above 0, got 0"]),
    "steps negative": (["run", "mlp-char", "--steps=-5"], ["--steps must be above 0, got -5"]),
    "steps no number": (["run", "mlp-char", "--steps", "many"], ["'many'"]),
    "batch size 0": (["run", "mlp-char", "--batch-size", "0"], ["--batch-size must be above 0, got 0"]),
    "lr 0": (["run", "mlp-char", "--lr", "0"], ["--lr must be above 0"]),
    "lr nan": (["run", "mlp-char", "--lr", "nan"], ["--lr must be above 0, got nan"]),
    "seed negative": (["run", "mlp-char", "--seed=-1"], ["--seed must be from 0"]),
    "unknown device": (["run", "mlp-char", "--device", "gpu"], ["'gpu'", "cuda"]),
    "unknown engine": (["run", "mlp-char", "--engine", "warp"], ["'warp'", "autograd"]),
    "unknown option": (["run", "mlp-char", "--stepz", "5"], ["--stepz"]),
    "unknown command": (["rnu", "mlp-char"], ["'rnu'", "did you mean 'run'?"]),
    "no model": (["run"], ["MODEL"]),
    "no such run": (["eval", "runs/mlp-char-9"], ["runs/mlp-char-9"]),
    "unknown info": (["info", "mlp-chr"], ["'mlp-chr'", "'mlp-char'"]),
    "lr as a setting": (["run", "mlp-char", "--set", "optimizer.lr=1"], ["--lr"]),
    "bad split": (["run", "mlp-char", "--dataset", "names-ssa-2018", "--set", "data.split=0.9,0.8"], ["data.split"]),
}


@pytest.mark.parametrize("case", USAGE)
def test_wrong_usage_is_one_line_and_exit_2(zoo_here: Zoo, case: str) -> None:
    args, parts = USAGE[case]
    assert_one_line(zoo_here(*args, "--offline") if args[0] == "run" else zoo_here(*args), 2, *parts)
    assert_nothing_left()


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
def test_cuda_requested_but_not_available(zoo_here: Zoo, words_file: Path) -> None:
    outcome = zoo_here("run", "mlp-char", "--dataset", words_file, "--device", "cuda")
    assert_one_line(outcome, 2, "'cuda' is not available", "--device cpu")
    assert_nothing_left()


FILES = {
    "empty": (b"", "is empty"),
    "blank": (b"\n \n", "is empty"),
    "binary": (bytes(range(256)), "is not a text file"),
    "not utf-8": (b"anna\n\xff\xfe\n", "is not UTF-8 text"),
    "one word": (b"emma\n", "has 1 word, too few"),
    "five words": (b"a\nb\nc\nd\ne\n", "has 5 words, too few"),
    "a table": (b"anna,1\nb,2\nc,3\nd,4\ne,5\nf,6\n", "looks like a table"),
}


@pytest.mark.parametrize("case", FILES)
def test_unusable_dataset_files_are_refused(zoo_here: Zoo, tmp_path: Path, case: str) -> None:
    content, part = FILES[case]
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    assert_one_line(zoo_here("run", "mlp-char", "--dataset", path), 1, str(path), part)
    assert_nothing_left()


def test_folder_as_dataset_is_refused(zoo_here: Zoo, tmp_path: Path) -> None:
    assert_one_line(zoo_here("run", "mlp-char", "--dataset", tmp_path), 2, "is a folder")


def test_character_that_the_vocabulary_lacks_is_named(zoo_here: Zoo, finished_run: Path, tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("anna\njosé\nb\nc\nd\ne\nf\n")
    assert_one_line(zoo_here("eval", finished_run, "--dataset", file), 1, "'josé'", "'é'")


def test_prefix_that_the_vocabulary_lacks_is_named(zoo_here: Zoo, finished_run: Path) -> None:
    assert_one_line(zoo_here("sample", finished_run, "--prefix", "Zoé"), 2, "'Z'")


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (["-n", "0"], "at least 1"),
        (["--temperature=-1"], "temperature"),
        (["--top-k", "0"], "top-k"),
        (["--prefix", "a" * 200], "too long"),
    ],
)
def test_sampling_options_out_of_range_are_an_error(
    zoo_here: Zoo, finished_run: Path, args: list[str], part: str
) -> None:
    assert_one_line(zoo_here("sample", finished_run, *args), 2, part)


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (["--dims", "0"], "0"),
        (["--dims", "0,10"], "from 0 to 9"),
        (["--dims", "1,1"], "different"),
        (["--dims", "0,1", "--pca"], "--pca"),
        (["--format", "gif"], "gif"),
        (["histogram"], "histogram"),
    ],
)
def test_contradictory_plot_options_are_an_error(zoo_here: Zoo, run_copy: Path, args: list[str], part: str) -> None:
    before = (run_copy / "embeddings.png").read_bytes()
    assert_one_line(zoo_here("plot", run_copy, *(["embeddings"] if args[0] == "--dims" else []), *args), 2, part)
    assert (run_copy / "embeddings.png").read_bytes() == before


@pytest.mark.parametrize("lr", ["3e36", "3e35"])
def test_lr_that_makes_the_loss_nan_stops_and_keeps_the_last_good_checkpoint(zoo_here: Zoo, lr: str) -> None:
    data = ("--dataset", "names-ssa-2018", "--device", "cpu", "--steps", 500)
    outcome = zoo_here("run", "mlp-char", *data, "--lr", lr, "--out", "here")
    assert_one_line(outcome, 1, "the loss became", "smaller --lr", "the checkpoint of step")
    losses = read_losses(Path("here/losses.csv"))
    assert all(map(math.isfinite, losses))
    assert f"the checkpoint of step {len(losses)} is in here" in outcome.err
    zoo.run("mlp-char", dataset="names-ssa-2018", device="cpu", steps=len(losses), lr=float(lr), out="full")
    kept, full = (zoo.load(name).model.state_dict() for name in ("here", "full"))
    assert all(torch.equal(kept[name], full[name]) for name in full)


def test_a_split_with_a_loss_of_nan_is_reported(zoo_here: Zoo) -> None:
    data = ("--dataset", "names-ssa-2018", "--device", "cpu", "--steps", 2)
    outcome = zoo_here("run", "mlp-char", *data, "--lr", "6e36", "--out", "here")
    assert_one_line(outcome, 1, "the loss over the train split is nan after 2 steps", "the checkpoint is in here")


def test_lr_that_spoils_the_first_update_keeps_the_initial_weights(zoo_here: Zoo) -> None:
    data = ("--dataset", "names-ssa-2018", "--device", "cpu", "--steps", 500)
    outcome = zoo_here("run", "mlp-char", *data, "--lr", "1e38", "--out", "here")
    assert_one_line(outcome, 1, "the loss became", "the checkpoint of step 0 is in here")
    assert torch.equal(zoo.load("here").model.state_dict()["C"], zoo.create_model("mlp-char").state_dict()["C"])


def spoil_truncate(data: bytes) -> bytes:
    return data[: len(data) // 2]


def spoil_flip(data: bytes) -> bytes:
    return data[:-100] + bytes([data[-100] ^ 1]) + data[-99:]


def spoil_html(data: bytes) -> bytes:
    return b"<!DOCTYPE html><html><body>404</body></html>"


def spoil_empty(data: bytes) -> bytes:
    return b""


def spoil_pointer(data: bytes) -> bytes:
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"


def spoil_foreign(data: bytes) -> bytes:
    import safetensors.torch

    return safetensors.torch.save({"weight": torch.zeros(2)})


def spoil_shape(data: bytes) -> bytes:
    """An intact file whose metadata does not match its tensors."""
    path = Path("spoilt.safetensors")
    path.write_bytes(data)
    stored = checkpoint.load(path)
    checkpoint.save(path, {**stored.tensors, "b1": torch.zeros(7)}, {"config": stored.meta["config"]})
    return path.read_bytes()


@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (spoil_truncate, "truncated"),
        (spoil_flip, "damaged"),
        (spoil_html, "web page"),
        (spoil_empty, "empty"),
        (spoil_pointer, "Git LFS"),
        (spoil_foreign, "not written by zoo"),
        (spoil_shape, "'b1' is float32[7], the model has float32[200]"),
    ],
)
@pytest.mark.parametrize("command", ["eval", "sample", "plot"])
def test_spoiled_checkpoints_are_refused(
    zoo_here: Zoo, run_copy: Path, command: str, spoil: Callable[[bytes], bytes], part: str
) -> None:
    path = run_copy / "model.safetensors"
    path.write_bytes(spoil(path.read_bytes()))
    assert_one_line(zoo_here(command, run_copy), 1, str(path), part)


def test_checkpoint_of_a_plugin_that_is_not_installed_names_it(zoo_here: Zoo, run_copy: Path) -> None:
    path = run_copy / "model.safetensors"
    stored = checkpoint.load(path)
    config = stored.meta["config"]
    config["model"]["plugin"] = {"distribution": "zoo-absent", "version": "3.1"}
    checkpoint.save(path, stored.tensors, {"config": config})
    assert_one_line(zoo_here("eval", run_copy), 1, "zoo-absent 3.1", "not installed")


def test_data_that_has_changed_is_not_evaluated_as_the_runs_own(zoo_here: Zoo, words_file: Path) -> None:
    zoo_here("run", "mlp-char", "--dataset", words_file, "--steps", 2, "--no-plots", "--out", "here")
    words_file.write_text(words_file.read_text() + "anna\n")
    assert_one_line(zoo_here("eval", "here"), 1, str(words_file), "has other content", "--dataset")


def test_existing_folder_is_never_written_over(zoo_here: Zoo, run_copy: Path, words_file: Path) -> None:
    before = {path.name: path.read_bytes() for path in run_copy.iterdir()}
    assert_one_line(zoo_here("run", "mlp-char", "--dataset", words_file, "--out", run_copy), 2, "already exists")
    assert {path.name: path.read_bytes() for path in run_copy.iterdir()} == before


def test_a_file_in_place_of_the_folder_is_an_error(zoo_here: Zoo, words_file: Path) -> None:
    Path("runs").write_text("in the way")
    assert_one_line(zoo_here("run", "mlp-char", "--dataset", words_file, "--steps", 2), 1, "runs")
    assert Path("runs").read_text() == "in the way"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_an_error(zoo_here: Zoo, words_file: Path) -> None:
    Path("locked").mkdir(mode=0o500)
    assert_one_line(zoo_here("run", "mlp-char", "--dataset", words_file, "--out", "locked/run"), 1, "Permission denied")


def test_a_full_disk_is_an_error(zoo_here: Zoo, run_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (run_copy / "loss.png").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert_one_line(zoo_here("plot", run_copy, "loss"), 1, "No space left on device", str(run_copy / "loss.png"))
    assert (run_copy / "loss.png").read_bytes() == before
    assert not list(run_copy.glob(".*"))


def test_a_named_dataset_without_a_network_is_an_error_with_a_remedy(zoo_here: Zoo) -> None:
    outcome = zoo_here("run", "mlp-char", "--dataset", "names", "--offline")
    assert_one_line(outcome, 1, "names.txt", "offline", "--dataset FILE")
    assert_nothing_left()


def test_default_dataset_without_a_network_falls_back_with_a_warning(zoo_here: Zoo) -> None:
    outcome = zoo_here("run", "mlp-char", "--offline", "--steps", 3, "--no-plots", "--json")
    assert outcome.code == 0
    assert outcome.result["dataset"]["name"] == "names-ssa-2018"
    assert outcome.err.startswith("zoo: warning: ")
    assert "names-ssa-2018" in outcome.err
    config = json.loads((Path(outcome.result["run_dir"]) / "config.json").read_text())
    assert config["dataset"]["name"] == "names-ssa-2018"


def test_unreachable_host_falls_back_with_a_warning(zoo_command: Zoo) -> None:
    closed = {
        "ZOO_OFFLINE": "",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
        "NO_PROXY": "",
    }
    done = zoo_command("run", "mlp-char", "--steps", "3", "--no-plots", "--json", env=closed)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["dataset"]["name"] == "names-ssa-2018"
    assert but_for_what_was_read(done.stderr).count("\n") == 1
    assert "cannot be reached" in done.stderr


def test_debug_shows_the_traceback(zoo_here: Zoo) -> None:
    outcome = zoo_here("run", "mlp-chr", "--debug")
    assert outcome.code == 2
    assert "Traceback" in outcome.err
    assert outcome.err.splitlines()[-1].startswith("zoo: error: no model 'mlp-chr'")


def test_no_command_prints_the_help_and_exits_2(zoo_here: Zoo) -> None:
    outcome = zoo_here()
    assert outcome.code == 2
    assert "Usage: zoo" in outcome.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_saves_a_checkpoint_and_says_where(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    command = [
        "run",
        "mlp-char",
        "--dataset",
        "names-ssa-2018",
        "--device",
        "cpu",
        "--steps",
        "10000000",
        "--engine",
        "manual",  # the choice of the short run below
        "--out",
        "here",
    ]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "zoo", *command], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not Path("here").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert out == ""
    err = but_for_what_was_read(err)
    step = len(read_losses(Path("here/losses.csv")))
    assert err == f"zoo: error: stopped at step {step} of 10000000; to resume: zoo resume here\n"
    full = zoo.run("mlp-char", dataset="names-ssa-2018", device="cpu", steps=step, plots=False)
    assert torch.equal(zoo.load("here").model.state_dict()["C"], zoo.load(full.path).model.state_dict()["C"])


PASTED = {
    "em dash": ("—steps", "5"),
    "en dash": ("–-steps", "5"),
    "minus sign": ("−−steps", "5"),
    "curly quotes": ("--set", "“model.hidden_size=5”"),
    "quotes of a value": ("--engine", "‘auto’"),
    "low quotes": ("--dataset", "„words“"),
    "guillemets": ("--set", "optimizer.x=«5»"),
}


@pytest.mark.parametrize("form", PASTED)
def test_dashes_and_quotes_of_a_word_processor_are_named(zoo_here: Zoo, form: str) -> None:
    outcome = zoo_here("run", "mlp-char", *PASTED[form])
    assert outcome.code == 2
    assert outcome.err.rstrip().endswith("has a dash or quotes of a word processor: type - or ' instead")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_use_of_a_command_refers_to_its_own_help(zoo_here: Zoo, command: str) -> None:
    option = {"run": "--steps", "resume": "--steps", "sample": "-n", "plot": "--dims", "eval": "--dataset"}
    outcome = zoo_here(command, option.get(command, "--nothing"))
    assert f"(see 'zoo {command} --help')" in outcome.err
