"""What a run folder says: its state, its figures, and what is wrong with it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from forged_runs import CONFIG, edit_json, forge_run

import zoo
from zoo.files import readable_json
from zoo.runs.listing.record import RunRecord, read_run
from zoo.runs.listing.settings import settings_of
from zoo.storage.config import sealed
from zoo.storage.open_folder import OpenFolder

EARLIER = ROOT / "tests" / "earlier_runs"


def record(folder: Path) -> RunRecord:
    return read_run(folder.name, folder)


def test_a_finished_run_has_what_its_files_say(made: Path) -> None:
    run, metrics = record(made), json.loads((made / "metrics.json").read_text())
    config = json.loads((made / "config.json").read_text())
    assert (run.state, run.fault, run.model, run.data) == ("finished", "", "mlp-char", "words.txt")
    assert (run.steps, run.planned, run.unit) == (4, 4, "nats")
    assert run.losses == metrics["losses"]
    assert run.metrics("test") == metrics["metrics"]["test"]
    assert (run.parameters, run.seconds) == (metrics["parameters"], metrics["seconds"]["train"])
    assert run.settings["lr"] == config["training"]["lr"]
    assert run.settings["model.hidden_size"] == config["model"]["hyperparameters"]["hidden_size"]
    last = [float(line.split(",")[1]) for line in (made / "losses.csv").read_text().splitlines()[1:]]
    assert run.batch_loss == pytest.approx(sum(last) / 4)
    assert abs(run.modified - (made / "metrics.json").stat().st_mtime) < 1
    assert run.as_json()["losses"] == metrics["losses"]


@pytest.mark.parametrize("name", ["mlp-char", "lstm", "gru", "ngram"])
def test_an_earlier_run_is_read(name: str) -> None:
    run, metrics = record(EARLIER / name), json.loads((EARLIER / name / "metrics.json").read_text())
    assert (run.state, run.model, run.data, run.unit) == ("finished", name, "words.txt", "nats")
    assert run.losses == metrics["losses"]
    assert run.steps == metrics["steps"] == run.planned
    assert ("synthetic" in run.settings) == (name == "gru")


def test_a_run_without_a_result_is_stopped_and_has_its_best_evaluation() -> None:
    run = record(forge_run(Path("net"), finished=False, evaluations=[(1, 0.9), (2, 0.7), (3, float("nan")), (4, 0.8)]))
    assert (run.state, run.steps, run.planned, run.losses) == ("stopped", 4, 4, {"val": 0.7})
    assert run.batch_loss == pytest.approx(0.85)
    changes = {"training.monitor": "accuracy", "training.validate_every": 1}
    other = record(forge_run(Path("other"), changes, finished=False, evaluations=[(1, 0.9)]))
    assert other.losses == {}  # the weights are the best by another figure


def test_a_result_of_before_the_run_was_resumed_is_no_result() -> None:
    run = record(forge_run(Path("net"), result={"steps": 2}))
    assert (run.state, run.steps, run.losses, run.seconds) == ("stopped", 4, {}, None)


def test_a_run_is_running_while_a_process_holds_its_lock() -> None:
    path = forge_run(Path("net"), finished=False)
    folder = OpenFolder(path)
    assert record(path).state == "running"
    folder.close()
    assert record(path).state == "stopped"


def test_states_of_a_real_run_that_is_killed() -> None:
    """`kill -9`: the system releases the lock, and the run is stopped."""
    command = ["run", "mlp-char", "--dataset", "names-ssa-2018", "--steps", "100000000", "--engine", "autograd"]
    options = ["--quiet", "--no-plots", "--device", "cpu", "--out", "net", "--checkpoint-every", "100"]
    process = subprocess.Popen([sys.executable, "-P", "-m", "zoo", *command, *options])
    try:
        until = time.monotonic() + 60
        while record(Path("net")).state != "running" or not record(Path("net")).steps:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
        assert record(Path("net")).planned == 100_000_000
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    run = record(Path("net"))
    assert run.state == "stopped"
    assert run.steps


def test_a_run_is_diverged_by_the_rule_that_a_run_warns_by() -> None:
    """Above the loss of its first step and of a uniform guess, ln 3; or NaN on the validation split."""
    worse = {"train": 1.2, "val": 1.2, "test": 1.2}
    assert record(forge_run(Path("a"), losses=worse)).state == "diverged"
    assert record(forge_run(Path("b"), losses=worse, steps=(1.2, 1, 1, 1))).state == "finished"
    assert record(forge_run(Path("c"), {"loss.unit": "mse"}, losses=worse)).state == "finished"
    assert record(forge_run(Path("d"), finished=False, steps=(1.2, 9.0, 99.0))).state == "diverged"
    assert record(forge_run(Path("e"), finished=False, evaluations=[(1, 1.0), (2, float("nan"))])).state == "diverged"
    assert "uniform guess" in record(Path("a")).fault


def missing(name: str) -> Callable[[Path], object]:
    return lambda run: (run / name).unlink()


def content(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda run: (run / name).write_bytes(data)


def other_metrics(**changes: object) -> Callable[[Path], object]:
    """With their digest: only the config tells that they are of another run."""

    def spoil(run: Path) -> None:
        metrics = json.loads((run / "metrics.json").read_text())
        (run / "metrics.json").write_text(readable_json(sealed({**metrics, **changes})))

    return spoil


def unreadable_evaluations(run: Path) -> None:
    (run / "metrics.json").unlink()
    (run / "validation.csv").write_text("no")


def a_pipe(run: Path) -> None:
    (run / "config.json").unlink()
    os.mkfifo(run / "config.json")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (missing("config.json"), "cannot read net/config.json: No such file"),
    "no losses": (missing("losses.csv"), "cannot read net/losses.csv: No such file"),
    "an empty config": (content("config.json", b""), "net/config.json is damaged: it is not JSON"),
    "a config that is cut": (content("config.json", b'{"model": {'), "net/config.json is damaged: it is not JSON"),
    "a config of something else": (content("config.json", b"{}"), "net/config.json has a damaged config"),
    "a config that is HTML": (content("config.json", b"<html>"), "net/config.json is damaged: it is not JSON"),
    "a config in another encoding": (content("config.json", b"\xff\xfe"), "net/config.json is damaged"),
    "a config that is a pipe": (a_pipe, "cannot read net/config.json: it is not a regular file"),
    "an infinite config": (content("config.json", b"[" * 100_000), "net/config.json is damaged: it is not JSON"),
    "a setting of another type": (
        lambda run: edit_json(run / "config.json", training={**CONFIG["training"], "lr": "fast"}),
        "'training.lr' must be",
    ),
    "metrics that are cut": (content("metrics.json", b'{"losses"'), "net/metrics.json is damaged: it is not JSON"),
    "metrics that were edited": (
        lambda run: edit_json(run / "metrics.json", losses={"val": 0.1}),
        "net/metrics.json was edited",
    ),
    "metrics without losses": (other_metrics(losses=None), "net/metrics.json has no losses"),
    "metrics of another run": (other_metrics(seed=7, model="gru"), "not of this run: model, seed differ"),
    "losses of something else": (content("losses.csv", b"PK\x03\x04"), "its first line is not step,loss"),
    "losses that are no numbers": (content("losses.csv", b"step,loss\n0,a\n"), "lines that are not a step and a loss"),
    "losses from step 1 on": (content("losses.csv", b"step,loss\n1,0.5\n"), "its steps do not count up from 0"),
    "losses with a gap": (content("losses.csv", b"step,loss\n0,0.5\n2,0.5\n"), "its steps do not count up from 0"),
    "losses with NaN": (content("losses.csv", b"step,loss\n0,nan\n"), "NaN or infinite"),
    "losses on one line": (content("losses.csv", b"step,loss\n0," + b"1" * 9000), "not a step and a loss"),
    "evaluations that are none": (unreadable_evaluations, "net/validation.csv is damaged"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_run_is_a_record_with_its_fault(kind: str) -> None:
    spoil, fault = DAMAGE[kind]
    forge_run(Path("net"))
    spoil(Path("net"))
    run = record(Path("net"))
    assert run.state == "damaged"
    assert fault in run.fault
    assert "\n" not in run.fault
    assert run.losses == {}
    json.dumps(run.as_json(), allow_nan=False)


def test_metrics_of_another_device_are_of_this_run() -> None:
    """A resumption may choose another one, and writes its config before its metrics."""
    forge_run(Path("net"))
    other_metrics(device="cuda", engine="fused", threads=4)(Path("net"))
    assert record(Path("net")).state == "finished"


HOSTILE_RESULTS: list[Any] = [None, True, "x", [], {}, -1, 1e308, 10**18]


@pytest.mark.parametrize("value", HOSTILE_RESULTS, ids=repr)
@pytest.mark.parametrize("key", ["metrics", "seconds", "loss_unit", "evaluated", "best", "run_dir", "preset"])
def test_any_value_in_a_result_is_read(key: str, value: object) -> None:
    run = record(forge_run(Path("net"), result={key: value}))
    assert run.state == "finished"
    json.dumps(run.as_json(), allow_nan=False)


@pytest.mark.parametrize("steps", [0, 1, 2, 99, 100, 101, 150, 1000, 20_000])
def test_the_ends_of_the_losses_are_those_of_all(steps: int) -> None:
    losses = [1 / (step + 1) for step in range(steps)]
    run = record(forge_run(Path("net"), steps=losses, finished=False))
    assert (run.state, run.steps) == ("stopped", steps)
    assert run.ends.first == (losses[0] if losses else None)
    assert list(run.ends.last) == losses[-100:]


def test_a_line_that_is_being_written_does_not_count() -> None:
    path = forge_run(Path("net"), finished=False)
    with (path / "losses.csv").open("a") as file:
        file.write("4,0.")
    assert record(path).steps == 4


def test_settings_have_the_names_that_set_them() -> None:
    settings = settings_of(CONFIG)
    assert settings["model"] == "mlp-char"
    assert settings["data"] == "names"
    assert settings["model.hidden_size"] == 200
    assert settings["plugins.model"] == "zoo-models 0.1.0"
    assert settings["schedule.gamma"] == 0.1
    assert settings["versions.torch"] == "2.13.0"
    assert not {"clip_norm", "data.vocabulary", "data.examples", "model.parameters"} & settings.keys()


def test_every_option_of_a_run_is_a_setting(made: Path) -> None:
    config = zoo.load(made).config
    names = {name.partition(".")[0] for name in settings_of(config)}
    assert {name for name, value in config["training"].items() if value is not None} <= names


def test_a_run_that_is_being_deleted_is_a_record() -> None:
    forge_run(Path("net"))
    shutil.rmtree("net")
    assert record(Path("net")).state == "damaged"


def test_the_mean_of_losses_whose_sum_is_no_float() -> None:
    run = read_run("net", forge_run(Path("net"), steps=[1.5e308] * 50))
    assert run.batch_loss == pytest.approx(1.5e308)
