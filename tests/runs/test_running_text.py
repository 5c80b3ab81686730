"""Running text from the command to the checkpoint and back: the models of words and of windows, unchanged."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome, Zoo

import zoo
from zoo.data.corpus import cache
from zoo.data.corpus import dataset as of_dataset
from zoo.plugin.manager import load_plugins
from zoo.plugin.registry import Entry, Plugin
from zoo.plugin.settings import signature_of
from zoo.runs.observer import Observer

TEXT = "To be, or not to be: that is\nthe question.\n" * 12
MODELS = ["rnn", "gru", "lstm", "transformer", "bow", "mlp", "mlp-char", "mlp-bn", "wavenet", "bigram", "ngram"]
SMALL: dict[str, dict[str, Any]] = {
    "transformer": {"model.n_embd": 8, "model.n_head": 2, "model.n_layer": 1},
    "mlp-char": {"model.hidden_size": 4},
    "mlp": {"model.n_embd": 4, "model.n_embd2": 4},
}
FORMAT = {"data.format": "text"}
FILES = ("model.safetensors", "config.json", "losses.csv", "README.md", "training_state.safetensors")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "work" / "play.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture(params=["memory", "cache"])
def stored(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the tokens are."""
    monkeypatch.setattr(of_dataset, "LARGE", 0 if request.param == "cache" else 1 << 30)
    return str(request.param)


def run(model: str, out: str, steps: int = 3, **more: Any) -> Any:
    settings = {**FORMAT, **SMALL.get(model, {}), **more.pop("settings", {})}
    options = {"dataset": "play.txt", "device": "cpu", "batch_size": 4, "plots": False, **more}
    return zoo.run(model, settings=settings, steps=steps, out=out, **options)


def refused(outcome: Outcome, *parts: str) -> None:
    assert outcome.code in (1, 2)
    [line] = outcome.err.splitlines()
    assert line.startswith("zoo: error: ")
    for part in parts:
        assert part in line, line


@pytest.mark.parametrize("model", MODELS)
def test_every_model_trains_evaluates_and_loads(model: str, text: Path, zoo_here: Zoo) -> None:
    settings = {} if model == "ngram" else {"data.evaluate": 40}
    done = run(model, "r", settings=settings)
    dataset = done.config["dataset"]
    assert dataset["kind"] == "corpus"
    assert dataset["vocabulary"] == ["", *sorted(set(TEXT))]
    assert dataset["examples"] == {"train": 412, "val": 52, "test": 52}
    assert dataset["settings"] == {"format": "text"} | ({} if model == "ngram" else {"evaluate": 40})
    assert dataset["sha256"] == zoo.CorpusDataset(TEXT).sha256
    assert dataset["name"] == "play.txt"
    assert done.config["model"]["inputs"]["vocab_size"] == 1 + len(set(TEXT))
    assert "bits_per_character" in done.metrics["metrics"]["val"]
    again = zoo_here("eval", "r", "--device", "cpu", "--json").result
    assert again["losses"] == done.losses
    assert again["dataset"]["examples"] == dataset["examples"]
    assert again.get("evaluated") == done.metrics.get("evaluated")
    assert zoo.load("r").vocabulary.itos[0] == ""
    reads = load_plugins()[0].models.get(model).spec.reads
    assert done.config["model"]["hyperparameters"].get("max_length") == (64 if reads == "sequences" else None)


def test_all_models_that_read_text_are_tried() -> None:
    registry = load_plugins()[0]
    entries = [registry.models.get(name) for name in registry.models.names()]
    assert {entry.spec.name for entry in entries if "vocab_size" in signature_of(entry).inputs} == set(MODELS)


@pytest.mark.parametrize("model", ["mlp-char", "rnn", "transformer"])
def test_a_stopped_and_resumed_run_is_an_undisturbed_one(model: str, text: Path, stored: str, zoo_here: Zoo) -> None:
    more: dict[str, Any] = {"validate_every": 2, "settings": {} if model == "mlp-char" else {"model.max_length": 7}}
    whole = run(model, "whole", 6, **more)
    run(model, "parts", 3, **more)
    resumed = zoo.resume("parts", steps=6, plots=False)
    assert resumed.step_losses == whole.step_losses
    assert resumed.losses == whole.losses == zoo_here("eval", "parts", "--device", "cpu", "--json").result["losses"]
    for name in FILES[:4]:
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes(), name
    assert bool(list(cache.folder().glob("*.tokens"))) == (stored == "cache")


@pytest.mark.parametrize("monitor", ["loss", "loss:max", "bits_per_character:max"])
def test_a_resumed_run_stops_where_an_undisturbed_one_does_whatever_is_monitored(monitor: str, text: Path) -> None:
    """The loss may be what should be high: then the evaluations are not compared by the losses themselves."""
    more: dict[str, Any] = {"validate_every": 2, "patience": 2, "monitor": monitor}
    whole = run("bigram", "whole", 30, **more)
    run("bigram", "parts", 4, **more)
    resumed = zoo.resume("parts", steps=30, plots=False)
    assert (len(whole.step_losses) < 30) == monitor.endswith("max")
    assert resumed.step_losses == whole.step_losses
    for name in ("model.safetensors", "losses.csv", "validation.csv"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes(), name


@pytest.mark.parametrize("model", ["rnn", "transformer", "mlp-char"])
def test_memory_and_cache_train_the_same_weights(model: str, text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for large in (1 << 30, 0):
        monkeypatch.setattr(of_dataset, "LARGE", large)
        done = run(model, f"r{large}")
        found.append(((done.path / "model.safetensors").read_bytes(), done.step_losses))
    assert found[0] == found[1]


def test_a_large_text_is_read_once_for_all_commands(text: Path, monkeypatch: pytest.MonkeyPatch, zoo_here: Zoo) -> None:
    """Its encoding is said; after that neither another run nor eval nor resume reads it again."""
    monkeypatch.setattr(of_dataset, "LARGE", 0)
    monkeypatch.setattr(cache, "_SETTLED", -1000.0)
    stages: list[str] = []

    class Stages(Observer):
        def stage(self, name: str) -> None:
            stages.append(name)

    run("bigram", "r", observer=Stages())
    assert stages[:2] == ["Reading the data", "Encoding the text, once"]

    def fail(*args: object) -> None:
        raise AssertionError("the text was read again")

    monkeypatch.setattr(of_dataset, "scan", fail)
    monkeypatch.setattr("hashlib.file_digest", fail)
    stages.clear()
    run("bigram", "s", observer=Stages())
    assert stages[:2] == ["Reading the data", "Training"]
    assert zoo_here("eval", "r", "--json").code == 0
    assert zoo_here("resume", "r", "--steps", 5, "--quiet").code == 0


def test_without_a_test_split(text: Path, zoo_here: Zoo) -> None:
    outcome = zoo_here(
        *("run", "mlp-char", "--dataset", "play.txt", "--set", "data.format=text", "--set", "data.split=0.9,1.0"),
        *("--steps", 3, "--out", "r", "--device", "cpu", "--set", "model.hidden_size=4", "--quiet"),
    )
    assert outcome.code == 0, outcome.err
    assert not outcome.err, outcome.err  # both plots are made
    assert "val" in outcome.out
    assert "test" not in outcome.out
    metrics, config = (json.loads(Path("r", name).read_text()) for name in ("metrics.json", "config.json"))
    for counts in (metrics["losses"], metrics["dataset"]["examples"], config["dataset"]["examples"]):
        assert counts.keys() == {"train", "val"}
    assert config["dataset"]["settings"]["split"] == [0.9, 1.0]
    assert "| val | 52 |" in Path("r", "README.md").read_text()
    assert "| test |" not in Path("r", "README.md").read_text()
    for command in (["eval", "r"], ["eval", "r", "--json"], ["plot", "r"], ["verify", "r"], ["list", "models"]):
        again = zoo_here(*command)
        assert again.code == 0, again.err
    assert zoo_here("resume", "r", "--steps", 5, "--quiet").code == 0
    assert json.loads(Path("r", "metrics.json").read_text())["losses"].keys() == {"train", "val"}


def test_a_limited_evaluation_is_said(text: Path, zoo_here: Zoo) -> None:
    command = ["run", "rnn", "--dataset", "play.txt", "--set", "data.format=text", "--steps", 2, "--no-plots"]
    outcome = zoo_here(*command, "--set", "data.evaluate=10", "--out", "r", "--device", "cpu", "--quiet")
    said = "The losses are those of the first 10 targets of each split"
    assert said in outcome.out
    assert f"{said}." in Path("r", "README.md").read_text()
    assert json.loads(Path("r", "metrics.json").read_text())["evaluated"] == {"train": 10, "val": 10, "test": 10}
    assert said in zoo_here("eval", "r").out
    done = run("rnn", "all", 2)
    assert "evaluated" not in done.metrics
    assert done.losses["val"] != json.loads(Path("r", "metrics.json").read_text())["losses"]["val"]
    outcome = zoo_here(*command, "--set", "data.evaluate=60", "--out", "s", "--device", "cpu", "--quiet")
    assert "first targets of each split: 60 of train, 52 of val, 52 of test" in outcome.out


def test_the_card_has_the_command_that_makes_the_run_again(text: Path, zoo_here: Zoo) -> None:
    first = run("rnn", "r", settings={"data.split": (0.7, 0.8), "data.evaluate": 20})
    (line,) = [line for line in (first.path / "README.md").read_text().splitlines() if line.startswith("$ zoo run")]
    assert "model.max_length=64" in line
    words = shlex.split(line)[2:]
    assert zoo_here(*words, "--out", "again", "--no-plots", "--quiet").code == 0
    for name in ("model.safetensors", "config.json"):
        assert (Path("again") / name).read_bytes() == (first.path / name).read_bytes()


@pytest.mark.parametrize("command", ["eval", "resume"])
def test_moved_text_is_found_by_its_digest(command: str, text: Path, stored: str, zoo_here: Zoo) -> None:
    done = run("bigram", "runs/r")
    text.rename(done.path.parent / "play.txt")
    options = ["--json"] if command == "eval" else ["--steps", 5, "--quiet"]
    assert zoo_here(command, done.path, *options).code == 0
    (done.path.parent / "play.txt").write_text(TEXT.replace("be", "eb"))
    refused(zoo_here(command, done.path, *(options if command == "eval" else ["--steps", 7])), "has other content")
    text.write_text(TEXT)
    elsewhere = text.rename(text.with_name("elsewhere.txt"))
    options = ["--json"] if command == "eval" else ["--steps", 7, "--quiet"]
    assert zoo_here(command, done.path, "--dataset", elsewhere, *options).code == 0


def test_other_text_is_evaluated_in_the_vocabulary_of_the_model(text: Path, zoo_here: Zoo) -> None:
    done = run("rnn", "r")
    Path("part.txt").write_text("that is the question\n" * 9)
    outcome = zoo_here("eval", done.path, "--dataset", "part.txt", "--json")
    assert outcome.result["dataset"]["examples"] == {"train": 151, "val": 19, "test": 19}
    Path("other.txt").write_text("Zeal\n" * 20)
    refused(zoo_here("eval", done.path, "--dataset", "other.txt"), "'Z' and 1 more, which is not in the vocabulary")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--set", "model.max_length=0", "--set", "data.format=text"], ["'model.max_length' must be at least 1"]),
        (["--set", "model.max_length=8"], ["'model.max_length'", "the longest word decides it"]),
        (["--set", "data.format=text", "--set", "data.shuffle_seed=1"], ["data.shuffle_seed", "split by position"]),
        (["--set", "data.evaluate=5"], ["data.evaluate", "running text"]),
        (["--set", "data.evaluate=0", "--set", "data.format=text"], ["data.evaluate"]),
        (["--set", "data.format=text", "--set", "model.max_length=517"], ["517", "516 characters", "max_length"]),
        (["--set", "data.format=poem"], ["data.format", "words, text"]),
        (["--set", "data.format=text", "--set", "data.split=0.5,0.4"], ["data.split", "0.9,1.0"]),
        (["--set", "data.format=text", "--set", "data.split=0.5,1.2"], ["data.split"]),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], parts: list[str], text: Path, zoo_here: Zoo) -> None:
    Path("words.txt").write_text("\n".join(f"{a}{b}" for a in "abcdef" for b in "abcdef"))
    file = "play.txt" if "data.format=text" in arguments else "words.txt"
    refused(zoo_here("run", "rnn", "--dataset", file, *arguments, "--steps", 2, "--quiet", "--no-plots"), *parts)


def test_what_is_for_words_is_refused_of_running_text(text: Path, zoo_here: Zoo) -> None:
    refused(zoo_here("sample", run("rnn", "r").path, "--new"), "running text")


class Codes:
    """A tokenizer, kept by a plugin: its ids are the codes of ASCII."""

    name = "codes"
    vocab_size = 128

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: list[int]) -> str:
        return bytes(ids).decode()


def play(length: int = 12) -> zoo.CorpusDataset:
    return zoo.CorpusDataset(TEXT[: 43 * length], tokenizer=Codes(), split=(0.9, 1.0))


def test_a_plugins_tokenizer_is_recorded_and_needed(monkeypatch: pytest.MonkeyPatch, zoo_here: Zoo) -> None:
    def load() -> Any:
        registry, failures = load_plugins()
        registry.datasets.add(Entry(zoo.DatasetSpec("play", play), Plugin("play", "zoo-play", "1.0")))
        return registry, failures

    monkeypatch.setattr("zoo.api.load_plugins", load)
    monkeypatch.setattr("zoo.plugin.manager.load_plugins", load)
    done = zoo.run("rnn", dataset="play", steps=2, device="cpu", plots=False, out="r", settings={"data.evaluate": 30})
    dataset = done.config["dataset"]
    assert dataset["tokenizer"] == {"name": "codes", "vocab_size": 128}
    assert dataset["vocabulary"] is None
    assert "bits_per_character" not in done.metrics["metrics"]["val"], "its tokens are no characters"
    assert dataset["settings"] == {"length": 12, "evaluate": 30}
    assert done.config["model"]["inputs"] == {"vocab_size": 129}
    assert zoo_here("eval", "r", "--device", "cpu", "--json").result["losses"] == done.losses
    assert zoo.resume("r", steps=4, plots=False).metrics["steps"] == 4
    Path("play.txt").write_text(TEXT)
    refused(zoo_here("eval", "r", "--dataset", "play.txt"), "not of the kind that model 'rnn' was trained on")


def test_a_text_that_is_read_as_words_names_the_preset_for_it(zoo_here: Zoo) -> None:
    Path("play.txt").write_text(
        "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n" * 20
    )
    with_preset = zoo_here("run", "transformer", "--dataset", "play.txt")
    assert (with_preset.code, with_preset.err.count("\n")) == (1, 1)
    assert with_preset.err.endswith("; --preset shakespeare trains on running text\n")
    assert "--preset" not in zoo_here("run", "mlp-char", "--dataset", "play.txt").err
