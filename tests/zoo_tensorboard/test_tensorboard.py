"""The event files of `--log tensorboard`, read with TensorBoard's own reader."""

from __future__ import annotations

import json
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Zoo

import zoo
from zoo_tensorboard import events, logger

pytest.importorskip("tensorboard")
from google.protobuf import text_format
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata, plugin_data_pb2
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

NO_BOUND = {"scalars": 0, "tensors": 0}


def read(run: Path) -> Any:
    """The events of a run, those dropped that a later process has replaced."""
    accumulator = EventAccumulator(str(run / "tensorboard"), size_guidance=NO_BOUND)
    accumulator.Reload()
    return accumulator


def scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Step and value of all scalars, by tag."""
    events = read(run)
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def train(words: Path, out: str = "run", **options: Any) -> Any:
    given = {"steps": 60, "validate_every": 20, "device": "cpu", "plots": False, "log": "tensorboard", **options}
    given = {"settings": {"logger.every": 1}, **given}
    return zoo.run("mlp-char", dataset=str(words), out=out, **given)


def near(values: list[tuple[int, float]]) -> Any:
    return [(step, pytest.approx(value, rel=1e-6)) for step, value in values]  # scalars are float32


def test_scalars_are_those_of_the_run(words_file: Path) -> None:
    run = train(words_file)
    found = scalars(run.path)
    of_splits = {f"{name}/{split}" for split, values in run.metrics["metrics"].items() for name in ("loss", *values)}
    assert set(found) == {"loss/step", "lr", *of_splits}
    assert "bits_per_character/test" in found
    assert found["loss/step"] == near(list(enumerate(run.step_losses, 1)))
    lines = (run.path / "validation.csv").read_text().splitlines()[1:]
    evaluations = [(int(step), float(loss)) for step, loss in (line.split(",") for line in lines)]
    assert [step for step, _ in evaluations] == [20, 40, 60]
    assert found["loss/val"] == near(evaluations)
    best = run.metrics["best"]["step"]
    for split in ("train", "test"):
        for name, value in {"loss": run.losses[split], **run.metrics["metrics"][split]}.items():
            assert found[f"{name}/{split}"] == near([(best, value)])
    assert [step for step, _ in found["bits_per_character/val"]] == [20, 40, 60]
    assert found["lr"] == near([(step, 0.1) for step, _ in found["lr"]])
    assert found["lr"][-1][0] == 60


@pytest.mark.parametrize(("every", "steps"), [(None, [1, 11, 21, 31, 41, 51]), (25, [1, 26, 51]), (100, [1])])
def test_every_thins_out_the_losses_of_steps_alone(words_file: Path, every: int | None, steps: list[int]) -> None:
    train(words_file, settings={} if every is None else {"logger.every": every})
    found = scalars(Path("run"))
    assert [step for step, _ in found["loss/step"]] == steps
    assert [step for step, _ in found["loss/val"]] == [20, 40, 60]


def test_without_evaluations_in_training_there_are_those_of_the_end(words_file: Path) -> None:
    run = train(words_file, validate_every=None)
    assert scalars(run.path)["loss/val"] == near([(60, run.losses["val"])])


def test_metrics_are_scalars_of_their_split(tmp_path: Path) -> None:
    made: Any = logger.TensorBoard(tmp_path)
    made.start({"training": {}})
    made.evaluated(
        30, {"val": 2.5, "test": 3.0}, {"val": {"accuracy": 0.75}, "test": {"accuracy": 0.5, "mae": 0.25}}, None
    )
    made.close()
    assert scalars(tmp_path) == {
        "loss/val": [(30, 2.5)],
        "accuracy/val": [(30, 0.75)],
        "loss/test": [(30, 3.0)],
        "accuracy/test": [(30, 0.5)],
        "mae/test": [(30, 0.25)],
    }


def test_the_config_is_a_text_and_hyper_parameters_are_in_their_tab(words_file: Path) -> None:
    run = train(words_file, settings={"model.hidden_size": 20})
    events = read(run.path)
    [text] = events.Tensors("config/text_summary")
    shown = text.tensor_proto.string_val[0].decode()
    assert json.loads(shown) == json.loads(json.dumps(run.config))
    content = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    started = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert started["model.hidden_size"].number_value == 20
    assert started["lr"].number_value == pytest.approx(0.1)
    assert started["model"].string_value == "mlp-char"
    content = events.SummaryMetadata(metadata.EXPERIMENT_TAG).plugin_data.content
    metrics = plugin_data_pb2.HParamsPluginData.FromString(content).experiment.metric_infos
    assert {metric.name.tag for metric in metrics} >= {"loss/train", "loss/val", "loss/test", "bits_per_character/val"}


def test_the_projector_has_the_embedding_with_its_characters(words_file: Path) -> None:
    run = train(words_file)
    folder = run.path / "tensorboard"
    config = text_format.Parse((folder / "projector_config.pbtxt").read_text(), ProjectorConfig())
    [embedding] = config.embeddings
    rows = [[float(x) for x in line.split("\t")] for line in (folder / embedding.tensor_path).read_text().splitlines()]
    labels = (folder / embedding.metadata_path).read_text().splitlines()
    assert labels == run.config["dataset"]["vocabulary"]
    assert rows == run.model.C.tolist()


@pytest.mark.parametrize(
    ("character", "label"),
    [("a", "a"), ("ł", "ł"), ("", "start"), ("\n", "'\\n'"), ("\t", "'\\t'"), (" ", "' '"), ("\u202e", "'\\u202e'")],
)
def test_every_character_has_a_label_of_one_line(character: str, label: str) -> None:
    assert logger._label(character) == label


@pytest.mark.parametrize("model", ["gru", "ngram", "mlp-bn"])
def test_other_models_are_logged_too(words_file: Path, model: str) -> None:
    run = zoo.run(model, dataset=str(words_file), steps=5, device="cpu", plots=False, log="tensorboard", out="run")
    assert scalars(run.path)["loss/val"][-1][1] == pytest.approx(run.losses["val"], rel=1e-6)


def test_a_resumed_run_has_each_step_once(words_file: Path, monkeypatch: pytest.MonkeyPatch, zoo_here: Zoo) -> None:
    """Also where the first process had logged more than it had saved, as after `kill -9`."""
    whole = train(words_file, "whole")
    steps = logger.TensorBoard.steps

    def stop(self: logger.TensorBoard, step: int, losses: list[float], lr: float) -> None:
        steps(self, step, losses, lr)
        if step >= 40:
            for beyond in range(step + 1, step + 10):
                self._events.scalar("loss/step", -1.0, beyond)
            self._events.scalar("loss/val", -1.0, step + 9)
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(logger.TensorBoard, "steps", stop)
    with pytest.raises(zoo.InterruptedRunError):
        train(words_file)
    monkeypatch.setattr(logger.TensorBoard, "steps", steps)
    done = zoo_here("resume", "run", "--no-plots", "--log", "tensorboard", "--set", "logger.every=1")
    assert done.code == 0, done.err
    found, wanted = scalars(Path("run")), scalars(whole.path)
    for tag in ("loss/step", "loss/val", "loss/train", "loss/test"):
        assert found[tag] == wanted[tag], tag
    assert len({step for step, _ in found["lr"]}) == len(found["lr"])


def test_an_evaluation_of_the_process_before_is_not_written_again(tmp_path: Path) -> None:
    """Where the best weights are from before the resumption, their validation loss is told again at the end."""
    made: Any = logger.TensorBoard(tmp_path, resumed_at=40)
    made.start({"training": {"validate_every": 20}})
    made.evaluated(20, {"train": 1.0, "val": 2.0}, {}, None)
    made.evaluated(60, {"val": 3.0}, {}, None)
    made.close()
    assert scalars(tmp_path) == {"loss/train": [(20, 1.0)], "loss/val": [(60, 3.0)]}


def test_the_run_folder_stays_one_that_zoo_knows(words_file: Path, zoo_here: Zoo) -> None:
    train(words_file, steps=30)
    for command in (["verify", "run"], ["eval", "run"], ["sample", "run"], ["resume", "run", "--steps", "35"]):
        done = zoo_here(*command)
        assert done.code == 0, done.err
        assert "warning" not in done.err


def test_a_run_folder_that_was_moved_gets_no_other_in_its_place(
    words_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event file goes on in the folder where it is."""
    finish = logger.TensorBoard.finish

    def moved(self: logger.TensorBoard, *told: Any) -> None:
        Path("run").rename("moved")
        finish(self, *told)

    monkeypatch.setattr(logger.TensorBoard, "finish", moved)
    train(words_file)
    assert not Path("run").exists()
    assert len(scalars(Path("moved"))["loss/step"]) == 60


def test_without_its_package_one_line_says_what_to_install(
    words_file: Path, monkeypatch: pytest.MonkeyPatch, zoo_here: Zoo
) -> None:
    for name in [name for name in sys.modules if name.startswith(("torch.utils.tensorboard", "tensorboard"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    done = zoo_here("run", "mlp-char", "--dataset", words_file, "--log", "tensorboard", "--out", "run")
    assert done.code == 2
    told = "the logger 'tensorboard' needs the package tensorboard: pip install 'zoo-models[tensorboard]'"
    assert done.err == f"zoo: error: {told}\n"
    assert not Path("run").exists()
    assert zoo_here("info", "tensorboard").code == 0


@pytest.mark.parametrize("every", ["0", "-3"])
def test_an_interval_that_makes_no_sense_is_refused(words_file: Path, zoo_here: Zoo, every: str) -> None:
    options = ("--log", "tensorboard", "--set", f"logger.every={every}", "--out", "run")
    done = zoo_here("run", "mlp-char", "--dataset", words_file, *options)
    assert (done.code, done.err) == (2, f"zoo: error: logger 'tensorboard': every must be 1 or above, got {every}\n")
    assert not Path("run").exists()


def test_no_file_has_a_name_of_the_machine(words_file: Path) -> None:
    train(words_file)
    for path in (path for path in Path("run/tensorboard").iterdir()):
        assert socket.gethostname() not in path.name
        assert str(Path.cwd()).encode() not in path.read_bytes()


def test_a_full_disk_costs_one_warning(words_file: Path, monkeypatch: pytest.MonkeyPatch, zoo_here: Zoo) -> None:
    def full(self: events.EventFile) -> None:
        self.close()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(events.EventFile, "flush", full)
    options = ("--steps", "30", "--log", "tensorboard", "--out", "run", "--no-plots", "--quiet")
    done = zoo_here("run", "mlp-char", "--dataset", words_file, *options)
    assert done.code == 0
    [line] = done.err.splitlines()
    assert "logger 'tensorboard' of plugin zoo-models" in line
    assert "No space left on device" in line
