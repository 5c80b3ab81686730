"""The commands, as a person uses them: what they print, and what they leave behind."""

from __future__ import annotations

import csv
import functools
import importlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import zoo
from zoo.cli import COMMANDS
from zoo.cli.state import State
from zoo.plugin.manager import load_plugins
from zoo.plugin.registry import Entry, Plugin

Zoo = Callable[..., Any]  # tests/conftest.py has the types

RUN_KEYS = [
    "model",
    "dataset",
    "parameters",
    "optimizer",
    "engine",
    "steps",
    "batch_size",
    "lr",
    "seconds_limit",
    "device",
    "threads",
    "seed",
    "init_seed",
    "losses",
    "metrics",
    "loss_unit",
    "seconds",
    "run_dir",
    "weights_sha256",
    "sha256",
]
RUN_FILES = {
    "model.safetensors",
    "config.json",
    "losses.csv",
    "metrics.json",
    "training_state.safetensors",
    "loss.png",
    "embeddings.png",
    "README.md",
}


def test_run_prints_the_json_object_of_the_contract(zoo_here: Zoo, words_file: Path) -> None:
    result = zoo_here("run", "mlp-char", "--dataset", words_file, "--steps", 20, "--device", "cpu", "--json").result
    assert list(result) == RUN_KEYS
    assert list(result["dataset"]) == ["name", "sha256", "examples"]
    assert list(result["dataset"]["examples"]) == ["train", "val", "test"]
    assert list(result["losses"]) == ["train", "val", "test"]
    assert list(result["seconds"]) == ["data", "train", "eval", "total"]
    assert (result["model"], result["device"], result["engine"], result["optimizer"]) == (
        "mlp-char",
        "cpu",
        "manual",
        "sgd",
    )
    assert (result["steps"], result["batch_size"], result["lr"]) == (20, 32, 0.1)
    assert (result["seed"], result["init_seed"]) == (2147483647, 2147483647)


def test_run_leaves_every_file_of_the_contract_and_no_other(finished_run: Path) -> None:
    assert {path.name for path in finished_run.iterdir()} == RUN_FILES


def test_metrics_file_is_the_json_object(zoo_here: Zoo, words_file: Path) -> None:
    result = zoo_here("run", "mlp-char", "--dataset", words_file, "--steps", 5, "--no-plots", "--json").result
    assert json.loads((Path(result["run_dir"]) / "metrics.json").read_text()) == result


def test_run_prints_a_table_for_people_and_what_was_read_on_stderr(zoo_here: Zoo, words_file: Path) -> None:
    outcome = zoo_here("run", "mlp-char", "--dataset", words_file, "--steps", 5, "--no-plots")
    assert outcome.code == 0
    assert outcome.err == ""
    assert outcome.read == (
        "words.txt: 60 words, 5 different characters, the longest word 3; 0.0% of validation and test words are also "
        "in training"
    )
    assert zoo_here("run", "mlp-char", "--dataset", words_file, "--steps", 5, "--no-plots", "--quiet").read == ""
    assert "loss (nats)" in outcome.out
    assert "Everything is in runs/mlp-char-1" in outcome.out


def test_runs_are_numbered_and_never_written_over(zoo_here: Zoo, words_file: Path) -> None:
    command = ("run", "mlp-char", "--dataset", words_file, "--steps", 2, "--no-plots", "--json")
    assert [zoo_here(*command).result["run_dir"] for _ in range(2)] == ["runs/mlp-char-1", "runs/mlp-char-2"]


@pytest.mark.skipif(os.name != "posix", reason="a shell closes the streams")
@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", ">&-", "2>&-"])
def test_a_run_whose_streams_are_closed_is_a_run_like_any_other(closed: str, words_file: Path) -> None:
    words = f"run mlp-char --dataset {words_file} --device cpu --steps 2 --out new"
    done = subprocess.run(["sh", "-c", f'"{sys.executable}" -P -m zoo {words} {closed}'], timeout=120)
    assert done.returncode == 0
    assert Path("new", "metrics.json").exists()


def test_no_plots_makes_no_plots(zoo_here: Zoo, words_file: Path) -> None:
    zoo_here("run", "mlp-char", "--dataset", words_file, "--steps", 2, "--no-plots", "--out", "here")
    assert not list(Path("here").glob("*.png"))


def test_weights_are_plain_tensors_under_the_lectures_names(finished_run: Path) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in load_file(finished_run / "model.safetensors").items()}
    assert shapes == {"C": (27, 10), "W1": (30, 200), "b1": (200,), "W2": (200, 27), "b2": (27,)}


def test_metadata_has_one_key_that_holds_the_config(finished_run: Path) -> None:
    with safe_open(finished_run / "model.safetensors", "pt") as file:
        metadata = file.metadata()
    assert list(metadata) == ["zoo"]
    assert json.loads(metadata["zoo"])["config"] == json.loads((finished_run / "config.json").read_text())


def test_losses_csv_has_every_step_from_0_in_digits_that_read_back(zoo_here: Zoo, words_file: Path) -> None:
    run = zoo.run("mlp-char", dataset=words_file, steps=30, plots=False)
    rows = list(csv.reader((run.path / "losses.csv").read_text().splitlines()))
    assert rows[0] == ["step", "loss"]
    assert [int(step) for step, _ in rows[1:]] == list(range(30))
    assert [float(loss) for _, loss in rows[1:]] == run.step_losses


def test_files_get_the_mode_of_the_umask(zoo_here: Zoo, words_file: Path) -> None:
    before = os.umask(0o027)
    try:
        zoo_here("run", "mlp-char", "--dataset", words_file, "--steps", 2, "--out", "here")
    finally:
        os.umask(before)
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in Path("here").iterdir()} == dict.fromkeys(
        RUN_FILES, "0o640"
    )


def test_model_card_tells_results_and_how_to_reproduce(finished_run: Path) -> None:
    card = (finished_run / "README.md").read_text()
    metrics = json.loads((finished_run / "metrics.json").read_text())
    assert f"| val | {metrics['dataset']['examples']['val']:,} | {metrics['losses']['val']:.4f} |" in card
    assert "--steps 200" in card
    assert metrics["dataset"]["sha256"] in card


def test_the_cards_command_makes_the_same_weights_again_where_the_data_is(
    zoo_here: Zoo, words_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(words_file.parent)
    first = zoo.run(
        "mlp-char", dataset=words_file, steps=9, lr=0.05, seed=3, settings={"data.shuffle_seed": 1}, plots=False
    )
    [command] = [line for line in (first.path / "README.md").read_text().splitlines() if line.startswith("$ zoo ")]
    assert zoo_here(*command.split()[2:], "--out", "again", "--no-plots").code == 0
    assert (first.path / "model.safetensors").read_bytes() == Path("again/model.safetensors").read_bytes()


@pytest.mark.parametrize("target", ["", "model.safetensors"], ids=["folder", "lone file"])
def test_eval_repeats_the_runs_losses(zoo_here: Zoo, finished_run: Path, tmp_path: Path, target: str) -> None:
    metrics = json.loads((finished_run / "metrics.json").read_text())
    result = zoo_here("eval", finished_run / target, "--device", "cpu", "--json").result
    assert result["losses"] == metrics["losses"]
    assert result["dataset"] == metrics["dataset"]


def test_eval_also_has_the_loss_of_words_never_seen_in_training(zoo_here: Zoo, tmp_path: Path) -> None:
    path = tmp_path / "twice.txt"
    path.write_text("anna\nbert\ncora\ndave\nemma\nfinn\ngina\nhans\nanna\nivan\n")  # val is anna, test is ivan
    run = zoo.run("mlp-char", dataset=path, device="cpu", steps=20, plots=False)
    result = zoo_here("eval", run.path, "--device", "cpu", "--json").result
    assert result["novel"] == {"examples": {"test": 5}, "losses": {"test": result["losses"]["test"]}}
    shown = zoo_here("eval", run.path, "--device", "cpu").out
    assert "test, unseen words" in shown
    assert "val, unseen words" not in shown
    assert f"{result['losses']['val'] / math.log(2):.4f}" in shown


def test_eval_takes_another_dataset(zoo_here: Zoo, finished_run: Path, words_file: Path) -> None:
    result = zoo_here("eval", finished_run, "--dataset", words_file, "--json").result
    assert result["dataset"]["examples"] == {"train": 192, "val": 24, "test": 24}
    assert all(math.isfinite(loss) for loss in result["losses"].values())


def test_sample_shows_in_which_split_each_word_is_found(zoo_here: Zoo, finished_run: Path) -> None:
    result = zoo_here("sample", finished_run, "-n", 40, "--seed", 5, "--json").result
    words = zoo.TextDataset.from_file(_bundled())
    for sample in result["samples"]:
        found = [name for name in ("train", "val", "test") if sample["text"] in words.splits[name]]
        assert sample["where"] == (found[0] if found else "new"), sample
    assert sum(result["counts"].values()) == 40


def test_sample_is_the_same_for_the_same_seed_and_another_for_another(zoo_here: Zoo, finished_run: Path) -> None:
    first, again, other = (zoo_here("sample", finished_run, "--seed", seed).out for seed in (1, 1, 2))
    assert first == again != other


def test_sample_starts_every_word_with_the_prefix(zoo_here: Zoo, finished_run: Path) -> None:
    result = zoo_here("sample", finished_run, "-n", 10, "--prefix", "em", "--json").result
    assert all(sample["text"].startswith("em") for sample in result["samples"])


def test_sample_at_temperature_0_is_greedy(zoo_here: Zoo, finished_run: Path) -> None:
    result = zoo_here("sample", finished_run, "-n", 5, "--temperature", 0, "--json").result
    assert len({sample["text"] for sample in result["samples"]}) == 1


def test_sample_works_without_the_data_with_a_warning(zoo_here: Zoo, words_file: Path) -> None:
    zoo_here("run", "mlp-char", "--dataset", words_file, "--steps", 50, "--no-plots", "--out", "here")
    words_file.unlink()
    outcome = zoo_here("sample", "here", "-n", 3, "--seed", 1)
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) == 3
    assert outcome.err.startswith("zoo: warning: unknown which samples are unseen: ")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_plot_makes_both_plots_in_each_format(zoo_here: Zoo, finished_run: Path, kind: str) -> None:
    result = zoo_here("plot", finished_run, "--format", kind, "--out", "pictures", "--json").result
    assert result["pictures"] == [f"pictures/loss.{kind}", f"pictures/embeddings.{kind}"]
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind]
    assert all(Path(path).read_bytes().startswith(start) for path in result["pictures"])


def test_plot_reproduces_the_plots_of_the_run(zoo_here: Zoo, run_copy: Path) -> None:
    before = (run_copy / "loss.png").read_bytes(), (run_copy / "embeddings.png").read_bytes()
    zoo_here("plot", run_copy)
    assert before == ((run_copy / "loss.png").read_bytes(), (run_copy / "embeddings.png").read_bytes())


@pytest.mark.parametrize("option", [("--dims", "3,4"), ("--pca",)])
def test_plot_options_change_the_plot_of_the_embeddings(zoo_here: Zoo, run_copy: Path, option: tuple[str, ...]) -> None:
    before = (run_copy / "embeddings.png").read_bytes()
    assert zoo_here("plot", run_copy, "embeddings", *option).code == 0
    assert (run_copy / "embeddings.png").read_bytes() != before


def test_plot_of_a_single_file_plots_the_embeddings(zoo_here: Zoo, run_copy: Path) -> None:
    (run_copy / "losses.csv").unlink()
    assert zoo_here("plot", run_copy / "model.safetensors", "--json").result["pictures"] == [
        str(run_copy / "embeddings.png")
    ]


def test_list_has_the_built_in_things(zoo_here: Zoo) -> None:
    result = zoo_here("list", "--json").result
    names = {kind: {entry["name"] for entry in entries} for kind, entries in result.items()}
    assert names["models"] >= {"mlp-char", "ngram", "transformer"}
    assert names["datasets"] == {"names", "names-ssa-2018"}
    assert names["optimizers"] >= {"sgd", "adamw"}


@pytest.mark.parametrize("kind", ["models", "datasets", "optimizers"])
def test_list_takes_a_kind(zoo_here: Zoo, kind: str) -> None:
    assert list(zoo_here("list", kind, "--json").result) == [kind]
    assert zoo_here("list", kind).out.splitlines()[0].split()[0] == kind


def test_info_shows_settings_with_types_and_defaults_and_presets(zoo_here: Zoo) -> None:
    [found] = zoo_here("info", "mlp-char", "--json").result["found"]
    settings = {setting["key"]: (setting["type"], setting["default"]) for setting in found["settings"]}
    assert settings == {
        "model.context_length": ("int", 3),
        "model.embedding_dim": ("int", 10),
        "model.hidden_size": ("int", 200),
        "model.scaled_init": ("bool", False),
    }
    assert list(found["presets"]) == ["notebook", "lecture", "tuned", "speedrun"]
    out = zoo_here("info", "mlp-char").out
    assert "model.hidden_size" in out
    assert "Bengio" in out


def test_info_of_tensors_lists_no_settings_of_text(
    zoo_here: Zoo, installed: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(installed(["zoo-blobs"]))
    [found] = zoo_here("info", "bars", "--json").result["found"]
    assert [setting["key"] for setting in found["settings"]] == ["data.examples", "data.noise", "data.seed"]
    assert "shuffle_seed" not in zoo_here("info", "bars").out


def test_info_of_words_lists_the_settings_of_text(zoo_here: Zoo) -> None:
    [found] = zoo_here("info", "names", "--json").result["found"]
    assert [setting["key"] for setting in found["settings"]] == ["data.split", "data.shuffle_seed"]


class Shapes(zoo.TensorDataset):
    """Tensors under another name."""

    def __init__(self, size: int = 3) -> None:
        super().__init__(*[(torch.ones(size, 2), torch.ones(size, dtype=torch.long))] * 3)


def bars(size: int = 3) -> zoo.TensorDataset:
    return Shapes(size)


def shapes(size: int = 3) -> Shapes:
    return Shapes(size)


def either(size: int = 3) -> zoo.TensorDataset | zoo.TextDataset:
    return Shapes(size)


def unnamed(size: int = 3) -> NowhereDataset:  # type: ignore[name-defined]  # noqa: F821
    return Shapes(size)


def arranged(size: int = 3, split: str = "odd") -> zoo.TextDataset:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("factory", "keys"),
    [
        (bars, ["size"]),
        (shapes, ["size"]),
        (Shapes, ["size"]),
        (functools.partial(bars, size=4), ["size"]),
        (either, ["size", "split", "shuffle_seed"]),
        (unnamed, ["size", "split", "shuffle_seed"]),
        (lambda size=3: Shapes(size), ["size", "split", "shuffle_seed"]),
        (arranged, ["size", "split", "shuffle_seed"]),
    ],
    ids=["function", "subclass", "class", "partial", "either", "unknown", "unsaid", "its own"],
)
def test_info_goes_by_what_a_dataset_says_it_returns(
    zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch, factory: Callable[..., Any], keys: list[str]
) -> None:
    registry, _ = load_plugins()
    registry.datasets.add(Entry(zoo.DatasetSpec("shapes", factory), Plugin("shapes", "zoo-shapes", "1.0")))
    monkeypatch.setattr(State, "registry", registry)
    [found] = zoo_here("info", "shapes", "--json").result["found"]
    assert [setting["key"] for setting in found["settings"]] == [f"data.{key}" for key in keys]


def test_plugins_shows_the_built_in_ones_as_loaded(zoo_here: Zoo) -> None:
    plugins = zoo_here("plugins", "--json").result["plugins"]
    assert [plugin["name"] for plugin in plugins] == ["lecture", "makemore", "tabular", "tensorboard", "torch"]
    assert {(plugin["distribution"], plugin["state"]) for plugin in plugins} == {("zoo-models", "loaded")}
    assert plugins[0]["brings"]["models"] == ["mlp-char"]


def test_set_changes_the_net_and_the_split(zoo_here: Zoo, words_file: Path) -> None:
    result = zoo_here(
        *("run", "mlp-char", "--dataset", words_file, "--steps", 3, "--no-plots", "--json"),
        *("--set", "model.hidden_size=7", "--set", "model.context_length=2", "--set", "data.split=0.5,0.75"),
    ).result
    assert result["parameters"] == 6 * 10 + 20 * 7 + 7 + 7 * 6 + 6
    assert result["dataset"]["examples"] == {"train": 120, "val": 60, "test": 60}


@pytest.mark.parametrize("words", ["josé renée", "анна мария", "さくら ひまわり", "a😀b 😀"])
def test_any_alphabet_can_be_trained_sampled_and_plotted(zoo_here: Zoo, tmp_path: Path, words: str) -> None:
    file = tmp_path / "words.txt"
    file.write_text("\n".join(words.split() * 6), encoding="utf-8")
    assert zoo_here("run", "mlp-char", "--dataset", file, "--steps", 30, "--out", "here", "--quiet").err == ""
    assert Path("here/embeddings.png").exists()
    letters = set(words)
    assert all(set(word) <= letters for word in zoo.load("here").sample(10))


def test_short_name_and_full_name_give_the_same_run(words_file: Path) -> None:
    runs = [zoo.run(name, dataset=words_file, steps=3, plots=False) for name in ("mlp-char", "zoo-models/mlp-char")]
    assert runs[0].step_losses == runs[1].step_losses
    assert runs[0].path.name == "mlp-char-1"
    assert runs[1].path.name == "mlp-char-2"


def test_python_api_loads_what_the_command_wrote(zoo_here: Zoo, finished_run: Path) -> None:
    loaded = zoo.load(finished_run)
    assert loaded.config["training"]["steps"] == 200
    assert loaded.vocabulary.decode([5, 13, 13, 1, 0]) == "emma"
    assert len(loaded.sample(20, seed=1)) == 20
    assert not loaded.model.training


def test_create_model_gives_the_lectures_initial_weights() -> None:
    g = torch.Generator().manual_seed(2147483647)
    model = zoo.create_model("mlp-char")
    assert torch.equal(model.state_dict()["C"], torch.randn((27, 10), generator=g))
    assert zoo.create_model("mlp-char", hidden_size=300).state_dict()["W1"].shape == (30, 300)


def test_help_of_every_command_names_its_options(zoo_here: Zoo) -> None:
    for name in ("run", "eval", "sample", "plot", "list", "info", "plugins"):
        outcome = zoo_here(name, "--help")
        assert outcome.code == 0
        assert "--json" in outcome.out
        assert name in zoo_here("--help").out


def test_version_is_the_distributions(zoo_here: Zoo) -> None:
    from importlib.metadata import version

    assert zoo_here("--version").out == f"zoo {version('zoo-models')}\n"


def _bundled() -> Path:
    import zoo_lecture

    return Path(zoo_lecture.__file__).parent / "data" / "names-ssa-2018.txt"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_of_a_command_what_it_says_of_itself(name: str) -> None:
    """The list is written down apart from the commands, so that showing it need not import them."""
    command = importlib.import_module(f"zoo.cli.commands.{name}").command
    assert command.get_short_help_str(limit=200) == COMMANDS[name].removesuffix(".") + "."
    assert command.name == name
