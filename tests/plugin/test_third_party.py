"""Third-party plugins, as their users have them: built and installed by pip, and used through the command line.

`tests/plugins/` holds the projects. Two of them work (one has text models, one has nothing to do with text), and
four are wrong in one way each.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import but_for_what_was_read, run_python
from safetensors.torch import load_file

from zoo.cli import main
from zoo.plugin.manager import load_plugins

ZooCommand = Callable[..., subprocess.CompletedProcess[str]]
Installed = Callable[[Sequence[str]], str]
ZooWith = Callable[..., subprocess.CompletedProcess[str]]
Train = Callable[..., Path]
FinishedRun = Callable[[str], Path]

TRIGRAM, BLOBS, TAKEN = "zoo-trigram", "zoo-blobs", "zoo-taken-name"
IMPORT, HOOK, MISSPELT = "zoo-broken-import", "zoo-broken-hook", "zoo-misspelt-hook"
BROKEN = {  # what the one line about each must have in it, beside its name
    IMPORT: ("0.1.0", "ModuleNotFoundError: No module named 'a_package_that_nobody_has'"),
    HOOK: ("0.2.0", "RuntimeError: the list of datasets is on fire"),
    MISSPELT: ("0.3.0", "there is no hook 'zoo_model'; did you mean 'zoo_models'?"),
}
ALL = [TRIGRAM, BLOBS, TAKEN, *BROKEN]

BUILT_IN = {kind.kind + "s": kind.names() for kind in load_plugins(environ={"ZOO_PLUGINS": ""})[0].kinds()}
BUILT_IN_PLUGINS = ["lecture", "makemore", "tabular", "tensorboard", "torch"]
TRIGRAM_BRINGS = {
    "models": ["tiny-gru", "trigram"],
    "datasets": ["planets"],
    "optimizers": ["signsgd"],
    "loggers": ["json-lines"],
}
HEAVY = ["matplotlib", "numpy", "requests", "torch"]

RUNS: dict[str, tuple[list[str], list[str]]] = {  # what is installed, and the arguments of `zoo run`
    "trigram": ([TRIGRAM], ["trigram", "--dataset", "planets"]),
    "tiny-gru": ([TRIGRAM], ["tiny-gru"]),
    "tiny-conv": ([BLOBS], ["tiny-conv"]),
    "mixed": ([TRIGRAM], ["mlp-char", "--dataset", "planets", "--optimizer", "signsgd"]),
    "built-in": ([TRIGRAM, TAKEN], ["mlp-char", "--dataset", "planets"]),
    "namesake": ([TRIGRAM, TAKEN], ["zoo-taken-name/mlp-char", "--dataset", "planets"]),
}


@pytest.fixture
def zoo_with(zoo_command: ZooCommand, installed: Installed) -> ZooWith:
    """Run `zoo ARGS` where the given projects are installed: `zoo_with([TRIGRAM], "list")`."""

    def run(
        projects: Sequence[str], *args: str | Path, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return zoo_command(*args, env={"PYTHONPATH": installed(projects), **(env or {})})

    return run


@pytest.fixture
def zoo_here(installed: Installed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> ZooWith:
    """As `zoo_with`, but in this process, where torch is imported already: for mistakes, of which there are many."""

    def run(projects: Sequence[str], *args: str | Path) -> subprocess.CompletedProcess[str]:
        for folder in installed(projects).split(os.pathsep):
            monkeypatch.syspath_prepend(folder)
        with pytest.raises(SystemExit) as end:
            main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return subprocess.CompletedProcess(args, end.value.code, out, err)

    return run


@pytest.fixture
def train(zoo_with: ZooWith) -> Train:
    """`zoo run ARGS` for a few steps and without plots; the run's folder."""

    def run(projects: Sequence[str], *args: str | Path, steps: int = 3) -> Path:
        options = ["--steps", str(steps), "--device", "cpu", "--no-plots", "--json", "--quiet"]
        result = zoo_with(projects, "run", *args, *options)
        assert result.returncode == 0, result.stderr
        return Path(json.loads(result.stdout)["run_dir"])

    return run


@pytest.fixture(scope="session")
def _finished() -> dict[str, Path]:
    return {}


@pytest.fixture
def finished_run(_finished: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, train: Train) -> FinishedRun:
    """The folder of one of `RUNS`, done once for all tests, which only read it."""

    def run(name: str) -> Path:
        if name not in _finished:
            projects, args = RUNS[name]
            _finished[name] = train(projects, *args, "--out", tmp_path_factory.mktemp("finished") / name, steps=200)
        return _finished[name]

    return run


def error_line(result: subprocess.CompletedProcess[str], exit_code: int) -> str:
    """The one line that a failed command prints."""
    assert (result.returncode, result.stdout) == (exit_code, ""), result.stderr
    [line] = result.stderr.splitlines()
    assert line.startswith("zoo: error: ")
    return line


def metrics_of(run: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((run / "metrics.json").read_text())
    return metrics


def config_of(run: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((run / "config.json").read_text())
    return config


def weights_of(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


def suppliers(run: Path) -> list[str]:
    """The distributions that a run's model, dataset and optimizer came from."""
    config = config_of(run)
    return [config[part]["plugin"]["distribution"] for part in ("model", "dataset", "optimizer")]


def names_listed(result: subprocess.CompletedProcess[str]) -> dict[str, list[str]]:
    """What `zoo list --json` lists."""
    assert result.returncode == 0, result.stderr
    return {kind: [entry["name"] for entry in entries] for kind, entries in json.loads(result.stdout).items()}


def with_built_in(**more: list[str]) -> dict[str, list[str]]:
    """The names of what is built in, and more."""
    return {kind: sorted([*names, *more[kind]]) for kind, names in BUILT_IN.items()}


def states(result: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """What `zoo plugins --json` says of each distribution."""
    assert result.returncode == 0, result.stderr
    return {row["distribution"]: row["state"] for row in json.loads(result.stdout)["plugins"]}


def write_plugin(site: Path, name: str, code: str) -> None:
    """Put a plugin of one module in place, as an installer would."""
    module = name.replace("-", "_")
    (site / f"{module}.py").write_text(code)
    dist_info = site / f"{module}-1.0.dist-info"
    dist_info.mkdir()
    (dist_info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (dist_info / "entry_points.txt").write_text(f"[zoo]\n{name} = {module}\n")


# What is there


def test_an_installed_plugin_appears_in_the_list(zoo_with: ZooWith) -> None:
    result = zoo_with([TRIGRAM], "list")
    assert (result.returncode, result.stderr) == (0, "")
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line}
    assert rows.keys() >= {"mlp-char", "trigram", "tiny-gru", "planets", "signsgd", "sgd"}
    assert "Softmax table over the two characters before" in rows["trigram"]
    assert rows["trigram"].rstrip().endswith("zoo-trigram 1.2.0")


def test_list_as_json_names_the_distributions(zoo_with: ZooWith) -> None:
    result = zoo_with([TRIGRAM, BLOBS], "list", "--json")
    assert names_listed(result) == with_built_in(
        models=["tiny-conv", "tiny-gru", "tiny-mlp", "trigram"],
        datasets=["bars", "planets"],
        optimizers=["blob-adam", "signsgd"],
        loggers=["json-lines"],
    )
    [adam] = [entry for entry in json.loads(result.stdout)["optimizers"] if entry["name"] == "blob-adam"]
    assert adam == {
        "name": "blob-adam",
        "full_name": "zoo-blobs/blob-adam",
        "summary": "Steps scaled by running moments of the gradient",
        "distribution": "zoo-blobs",
        "version": "0.3.1",
    }


def test_without_third_parties_the_list_has_what_is_built_in(zoo_with: ZooWith) -> None:
    assert names_listed(zoo_with([], "list", "--json")) == BUILT_IN


def test_plugins_shows_what_each_provides(zoo_with: ZooWith) -> None:
    result = zoo_with([TRIGRAM, BLOBS], "plugins", "--json")
    rows = {row["name"]: row for row in json.loads(result.stdout)["plugins"]}
    assert list(rows) == [*BUILT_IN_PLUGINS, "blobs", "trigram"]
    assert rows["lecture"]["builtin"]
    assert rows["trigram"] == {
        "name": "trigram",
        "distribution": "zoo-trigram",
        "version": "1.2.0",
        "builtin": False,
        "state": "loaded",
        "brings": TRIGRAM_BRINGS,
        "cause": None,
    }


def test_a_plugin_that_is_found_through_two_paths_is_loaded_once(zoo_with: ZooWith) -> None:
    result = zoo_with([TRIGRAM, TRIGRAM], "plugins", "--json")
    assert states(result) == {"zoo-models": "loaded", "zoo-trigram": "loaded"}
    assert [row["name"] for row in json.loads(result.stdout)["plugins"]] == [*BUILT_IN_PLUGINS, "trigram"]


def test_info_shows_what_can_be_set_of_a_third_partys_model(zoo_here: ZooWith) -> None:
    result = zoo_here([TRIGRAM], "info", "trigram")
    assert (result.returncode, result.stderr) == (0, "")
    assert "model of zoo-trigram 1.2.0, full name zoo-trigram/trigram" in result.stdout
    assert ["model.init_scale", "float", "0.01"] in [line.split() for line in result.stdout.splitlines()]
    assert "100 steps on planets, moons and stars" in result.stdout
    assert "vocab_size" not in result.stdout  # the data decides it
    assert "generator" not in result.stdout


def test_info_reads_the_settings_of_a_choice(zoo_here: ZooWith) -> None:
    [found] = json.loads(zoo_here([TRIGRAM], "info", "planets", "--json").stdout)["found"]
    assert found["kind"] == "dataset"
    assert found["settings"][0] == {
        "key": "data.kind",
        "type": "all or planets or moons or stars",
        "default": "all",
        "required": False,
    }


def test_info_reads_the_settings_of_a_class_of_torch(zoo_here: ZooWith) -> None:
    [found] = json.loads(zoo_here([BLOBS], "info", "blob-adam", "--json").stdout)["found"]
    settings = {setting["key"]: setting for setting in found["settings"]}
    assert settings["optimizer.betas"]["default"] == [0.9, 0.999]
    assert settings["optimizer.amsgrad"]["type"] == "bool"
    assert settings.keys().isdisjoint({"optimizer.params", "optimizer.lr"})


# Runs


def test_the_window_model_learns_and_its_weights_load_without_zoo(finished_run: FinishedRun) -> None:
    run = finished_run("trigram")
    metrics = metrics_of(run)
    assert metrics["dataset"]["examples"] == {"train": 555, "val": 65, "test": 72}
    assert metrics["losses"]["train"] < 2.5  # ln 26 = 3.26 where nothing was learned
    assert load_file(run / "model.safetensors")["W"].shape == (26, 26, 26)


def test_the_sequence_model_reads_padded_words_and_learns(finished_run: FinishedRun) -> None:
    run = finished_run("tiny-gru")
    metrics = metrics_of(run)
    assert metrics["dataset"]["examples"] == {"train": 76, "val": 9, "test": 10}  # words, not characters
    assert metrics["losses"]["train"] < 2.7
    assert config_of(run)["model"]["inputs"] == {"vocab_size": 26, "max_length": 12}
    assert load_file(run / "model.safetensors")["positions.weight"].shape == (12, 16)


def test_the_classifier_learns_from_tensors(finished_run: FinishedRun) -> None:
    run = finished_run("tiny-conv")
    metrics, dataset = metrics_of(run), config_of(run)["dataset"]
    assert metrics["dataset"]["examples"] == {"train": 800, "val": 100, "test": 100}
    assert metrics["optimizer"] == "blob-adam"
    assert metrics["losses"]["test"] < 0.5  # ln 4 = 1.39 where nothing was learned
    assert (dataset["kind"], dataset["vocabulary"]) == ("tensors", None)


def test_a_model_that_asks_for_the_number_of_features_is_given_it(train: Train) -> None:
    run = train([BLOBS], "tiny-mlp", "--optimizer", "sgd")
    assert config_of(run)["model"]["inputs"] == {"num_features": 64, "num_classes": 4}


def test_the_built_in_model_takes_a_third_partys_dataset_and_optimizer(finished_run: FinishedRun) -> None:
    run = finished_run("mixed")
    assert suppliers(run) == ["zoo-models", "zoo-trigram", "zoo-trigram"]
    assert metrics_of(run)["lr"] == 0.01  # signsgd's own: that of mlp-char belongs to sgd


def test_a_third_partys_model_takes_a_file_and_the_built_in_optimizer(train: Train, words_file: Path) -> None:
    run = train([TRIGRAM], "trigram", "--dataset", words_file, "--optimizer", "sgd")
    assert metrics_of(run)["dataset"]["name"] == words_file.name
    assert metrics_of(run)["parameters"] == 6**3
    assert config_of(run)["optimizer"]["plugin"]["distribution"] == "zoo-models"


def test_two_third_parties_mix(train: Train) -> None:
    run = train([TRIGRAM, BLOBS], "tiny-conv", "--optimizer", "signsgd")
    assert suppliers(run) == ["zoo-blobs", "zoo-blobs", "zoo-trigram"]


def test_a_models_own_dataset_falls_back_as_the_built_in_models_does(zoo_with: ZooWith) -> None:
    result = zoo_with([TRIGRAM], "run", "trigram", "--steps", "3", "--device", "cpu", "--no-plots")
    assert result.returncode == 0, result.stderr
    assert "trigram on names-ssa-2018" in result.stdout
    [line] = but_for_what_was_read(result.stderr).splitlines()
    assert line.startswith("zoo: warning: ")


def test_a_preset_with_another_optimizer_is_run_at_that_optimizers_learning_rate(train: Train) -> None:
    run = train([TRIGRAM], "trigram", "--preset", "planets")
    assert suppliers(run) == ["zoo-trigram", "zoo-trigram", "zoo-trigram"]
    assert config_of(run)["optimizer"]["hyperparameters"] == {"momentum": 0.9}
    assert metrics_of(run)["lr"] == 0.01  # not 20, which the model has for sgd


def test_a_presets_settings_of_its_optimizer_do_not_get_in_the_way_of_another(train: Train) -> None:
    run = train([TRIGRAM], "trigram", "--preset", "planets", "--optimizer", "sgd")
    assert suppliers(run) == ["zoo-trigram", "zoo-trigram", "zoo-models"]


def test_a_model_without_generator_argument_gives_the_same_bytes_again(finished_run: FinishedRun, train: Train) -> None:
    weights = weights_of(finished_run("tiny-gru"))  # torch's global generator made them, and the dropout
    assert weights_of(train([TRIGRAM], "tiny-gru", steps=200)) == weights
    assert weights_of(train([TRIGRAM], "tiny-gru", "--init-seed", "1", steps=200)) != weights


def test_the_command_in_the_model_card_makes_the_same_bytes(
    finished_run: FinishedRun, zoo_with: ZooWith, tmp_path: Path
) -> None:
    run = finished_run("tiny-conv")
    result = zoo_with([BLOBS], *_command_in_card(run), "--no-plots", "--out", tmp_path / "again")
    assert result.returncode == 0, result.stderr
    assert weights_of(tmp_path / "again") == weights_of(run)


def _command_in_card(run: Path) -> list[str]:
    """The arguments of the command with which a run's README.md says that it can be made again."""
    [line] = [line for line in (run / "README.md").read_text().splitlines() if line.startswith("$ zoo run ")]
    return shlex.split(line.removeprefix("$ zoo "))


# Settings


def test_settings_reach_a_third_partys_model_dataset_and_optimizer(train: Train) -> None:
    run = train([TRIGRAM], "tiny-gru", *_set("model.hidden_size=8", "data.kind=stars", "optimizer.momentum=0.5"))
    config = config_of(run)
    assert config["model"]["hyperparameters"] == {"embedding_dim": 16, "hidden_size": 8, "dropout": 0.1}
    assert config["dataset"]["settings"] == {"kind": "stars"}
    assert config["optimizer"]["hyperparameters"] == {"momentum": 0.5}
    assert metrics_of(run)["dataset"]["examples"] == {"train": 36, "val": 4, "test": 5}
    assert load_file(run / "model.safetensors")["head.weight"].shape[1] == 8


def test_settings_reach_a_tensor_dataset_and_a_class_of_torch(train: Train) -> None:
    data = _set("data.examples=40", "data.seed=1", "data.noise=0")
    run = train([BLOBS], "tiny-conv", *data, *_set("optimizer.betas=0.8,0.99", "optimizer.amsgrad=yes"))
    config = config_of(run)
    assert metrics_of(run)["dataset"]["examples"] == {"train": 32, "val": 4, "test": 4}
    assert config["dataset"]["settings"] == {"examples": 40, "noise": 0.0, "seed": 1}
    assert config["optimizer"]["hyperparameters"]["betas"] == [0.8, 0.99]
    assert config["optimizer"]["hyperparameters"]["amsgrad"] is True


def test_a_text_dataset_can_be_shuffled_and_split_another_way(train: Train) -> None:
    run = train([TRIGRAM], "tiny-gru", *_set("data.shuffle_seed=7", "data.split=0.5,0.75"))
    assert metrics_of(run)["dataset"]["examples"] == {"train": 47, "val": 24, "test": 24}


def _set(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


@pytest.mark.parametrize(
    ("model", "setting", "expected"),
    [
        ("trigram", "model.init_scale=big", "'model.init_scale' takes float, not 'big'"),
        ("tiny-gru", "data.kind=comets", "'data.kind' takes all or planets or moons or stars, not 'comets'"),
        ("tiny-conv", "optimizer.amsgrad=maybe", "'optimizer.amsgrad' takes bool, not 'maybe'"),
    ],
)
def test_a_setting_of_the_wrong_type_is_one_line(zoo_here: ZooWith, model: str, setting: str, expected: str) -> None:
    line = error_line(zoo_here([TRIGRAM, BLOBS], "run", model, "--set", setting), 2)
    assert line == f"zoo: error: {expected}"


@pytest.mark.parametrize(
    ("model", "setting", "nearest"),
    [
        ("trigram", "model.initscale=1", "init_scale"),
        ("tiny-conv", "data.nois=1", "noise"),
        ("tiny-gru", "optimizer.momentun=0.5", "momentum"),
    ],
)
def test_an_unknown_setting_is_one_line_with_the_nearest(
    zoo_here: ZooWith, model: str, setting: str, nearest: str
) -> None:
    line = error_line(zoo_here([TRIGRAM, BLOBS], "run", model, "--set", setting), 2)
    assert f"no setting '{setting.partition('=')[0]}'" in line
    assert nearest in line.partition("did you mean")[2]


def test_what_the_data_decides_cannot_be_set(zoo_here: ZooWith) -> None:
    line = error_line(zoo_here([TRIGRAM], "run", "trigram", "--set", "model.vocab_size=3"), 2)
    assert "no setting 'model.vocab_size'" in line


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("model.kernel_size=4", "kernel_size must be odd, got 4"),
        ("data.noise=-1", "noise must be 0 or above, got -1.0"),
        ("optimizer.betas=0.9,2", "Invalid beta parameter at index 1: 2.0"),
    ],
)
def test_a_value_that_a_third_party_refuses_is_wrong_usage(zoo_here: ZooWith, setting: str, expected: str) -> None:
    assert error_line(zoo_here([BLOBS], "run", "tiny-conv", "--set", setting), 2).endswith(expected)


@pytest.mark.parametrize("model", ["mlp-char", "tiny-gru"])  # the first has a default for what the data decides
def test_a_text_model_on_a_tensor_dataset_is_one_clear_line(zoo_here: ZooWith, model: str) -> None:
    line = error_line(zoo_here([TRIGRAM, BLOBS], "run", model, "--dataset", "bars"), 2)
    assert f"model '{model}'" in line
    assert "this dataset" in line
    assert "not text" in line


@pytest.mark.parametrize("model", ["tiny-mlp", "tiny-conv"])  # and here the second has one
def test_a_tensor_model_on_a_text_dataset_is_one_clear_line(zoo_here: ZooWith, model: str) -> None:
    line = error_line(zoo_here([TRIGRAM, BLOBS], "run", model, "--dataset", "planets"), 2)
    assert f"model '{model}'" in line
    assert "this dataset" in line
    assert "text" in line


def test_a_tensor_dataset_cannot_be_shuffled(zoo_here: ZooWith) -> None:
    line = error_line(zoo_here([BLOBS], "run", "tiny-conv", "--set", "data.shuffle_seed=1"), 2)
    assert "'data.shuffle_seed': the splits of this dataset are fixed" in line


# Finished runs


@pytest.mark.parametrize("model", ["trigram", "tiny-gru", "tiny-conv"])
def test_eval_of_a_run_gives_its_losses_again(finished_run: FinishedRun, zoo_with: ZooWith, model: str) -> None:
    run = finished_run(model)
    result = zoo_with([TRIGRAM, BLOBS], "eval", run, "--device", "cpu", "--json")
    assert result.returncode == 0, result.stderr
    evaluated, metrics = json.loads(result.stdout), metrics_of(run)
    assert evaluated["losses"] == metrics["losses"]
    assert evaluated["dataset"]["examples"] == metrics["dataset"]["examples"]


@pytest.mark.parametrize("model", ["trigram", "tiny-gru"])
def test_words_are_sampled_from_a_third_partys_text_model(
    finished_run: FinishedRun, zoo_with: ZooWith, model: str
) -> None:
    result = zoo_with([TRIGRAM], "sample", finished_run(model), "-n", "30", "--prefix", "al", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    words = [sample["text"] for sample in json.loads(result.stdout)["samples"]]
    assert len(set(words)) > 10
    assert all(word.startswith("al") for word in words)
    if model == "tiny-gru":
        assert max(map(len, words)) <= 12  # the positions that it has


def test_there_is_nothing_to_sample_from_a_classifier(finished_run: FinishedRun, zoo_here: ZooWith) -> None:
    line = error_line(zoo_here([BLOBS], "sample", finished_run("tiny-conv")), 2)
    assert "model 'tiny-conv' was not trained on text" in line


def test_samples_cannot_be_looked_up_in_a_tensor_dataset(finished_run: FinishedRun, zoo_here: ZooWith) -> None:
    result = zoo_here([TRIGRAM, BLOBS], "sample", finished_run("trigram"), "-n", "3", "--dataset", "bars")
    assert "not of the kind that model 'trigram' was trained on" in error_line(result, 1)


def test_a_classifier_cannot_be_evaluated_on_words(finished_run: FinishedRun, zoo_here: ZooWith) -> None:
    result = zoo_here([TRIGRAM, BLOBS], "eval", finished_run("tiny-conv"), "--dataset", "planets")
    assert "not of the kind that model 'tiny-conv' was trained on" in error_line(result, 1)


def test_a_text_model_with_an_embedding_has_both_plots(
    finished_run: FinishedRun, zoo_with: ZooWith, tmp_path: Path
) -> None:
    result = zoo_with([TRIGRAM], "plot", finished_run("tiny-gru"), "--out", tmp_path / "plots")
    assert (result.returncode, result.stderr) == (0, "")
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["embeddings.png", "loss.png"]


def test_a_classifier_has_only_the_loss_plot(finished_run: FinishedRun, zoo_with: ZooWith, tmp_path: Path) -> None:
    result = zoo_with([BLOBS], "plot", finished_run("tiny-conv"), "--out", tmp_path / "plots")
    assert (result.returncode, result.stderr) == (0, "")
    assert [path.name for path in (tmp_path / "plots").iterdir()] == ["loss.png"]


def test_a_run_of_an_uninstalled_plugin_names_the_plugin(finished_run: FinishedRun, zoo_with: ZooWith) -> None:
    line = error_line(zoo_with([BLOBS], "sample", finished_run("trigram")), 1)
    assert "needs the model 'zoo-trigram/trigram' of plugin zoo-trigram 1.2.0, which is not installed" in line


def test_a_run_whose_plugin_is_disabled_names_the_plugin(finished_run: FinishedRun, zoo_with: ZooWith) -> None:
    result = zoo_with([TRIGRAM], "eval", finished_run("trigram"), env={"ZOO_PLUGINS": ""})
    assert "'zoo-trigram/trigram' of plugin zoo-trigram 1.2.0" in error_line(result, 1)


def test_a_run_without_its_dataset_cannot_be_evaluated(finished_run: FinishedRun, zoo_with: ZooWith) -> None:
    line = error_line(zoo_with([], "eval", finished_run("mixed")), 1)
    assert "needs the dataset 'zoo-trigram/planets' of plugin zoo-trigram 1.2.0" in line
    assert "give it with --dataset" in line


def test_a_run_without_its_dataset_and_optimizer_can_be_evaluated_on_other_data(
    finished_run: FinishedRun, zoo_with: ZooWith, words_file: Path
) -> None:
    result = zoo_with([], "eval", finished_run("mixed"), "--dataset", words_file, "--json")
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["dataset"]["examples"] == {"train": 192, "val": 24, "test": 24}


def test_a_run_without_its_dataset_can_be_sampled(finished_run: FinishedRun, zoo_with: ZooWith) -> None:
    result = zoo_with([], "sample", finished_run("mixed"), "-n", "3", "--seed", "1")
    assert (result.returncode, len(result.stdout.splitlines())) == (0, 3)
    [line] = result.stderr.splitlines()
    assert "needs the dataset 'zoo-trigram/planets' of plugin zoo-trigram 1.2.0" in line


# Broken plugins


@pytest.mark.parametrize("project", BROKEN)
def test_a_broken_plugin_is_skipped_with_one_line(zoo_with: ZooWith, project: str) -> None:
    result = zoo_with([project, TRIGRAM], "list", "--json")
    [line] = result.stderr.splitlines()
    version, cause = BROKEN[project]
    assert line.startswith(f"zoo: warning: plugin {project} {version} ")
    assert cause in line
    assert f"pip uninstall {project}" in line
    mine = TRIGRAM_BRINGS
    assert names_listed(result) == with_built_in(**mine)  # and nothing of it stays


@pytest.mark.parametrize("project", BROKEN)
def test_plugins_shows_a_broken_one_with_the_cause(zoo_with: ZooWith, project: str) -> None:
    result = zoo_with([project], "plugins")
    assert result.returncode == 0
    [row] = [line for line in result.stdout.splitlines() if project in line]
    version, cause = BROKEN[project]
    assert row.split()[1:4] == [project, version, "failed"]
    assert cause in row


@pytest.mark.parametrize("project", BROKEN)
def test_a_broken_plugin_is_an_error_where_plugins_are_strict(zoo_with: ZooWith, project: str) -> None:
    line = error_line(zoo_with([project], "list", env={"ZOO_STRICT_PLUGINS": "1"}), 1)
    version, cause = BROKEN[project]
    assert f"plugin {project} {version} " in line
    assert cause in line


def test_working_plugins_load_in_strict_mode(zoo_with: ZooWith) -> None:
    result = zoo_with([TRIGRAM, BLOBS, TAKEN], "list", env={"ZOO_STRICT_PLUGINS": "1"})
    assert (result.returncode, result.stderr) == (0, "")


def test_the_built_in_model_runs_beside_all_broken_plugins(zoo_with: ZooWith, words_file: Path) -> None:
    options = ["--dataset", words_file, "--steps", "3", "--device", "cpu", "--no-plots"]
    result = zoo_with(list(BROKEN), "run", "mlp-char", *options)
    assert result.returncode == 0
    assert "mlp-char on " in result.stdout
    assert len(but_for_what_was_read(result.stderr).splitlines()) == len(BROKEN)


def test_an_unknown_name_mentions_broken_plugins(zoo_with: ZooWith) -> None:
    result = zoo_with([HOOK], "run", "half-registered")
    assert result.returncode == 2
    warning, error = result.stderr.splitlines()
    assert warning.startswith("zoo: warning: ")
    assert "no model 'half-registered'" in error
    assert "plugins that failed to load: zoo-broken-hook; see 'zoo plugins'" in error


def test_a_plugin_that_prints_when_it_is_imported_does_not_spoil_the_json(
    zoo_command: ZooCommand, tmp_path: Path
) -> None:
    write_plugin(tmp_path, "zoo-chatty", "print('thank you for installing zoo-chatty')\n")
    result = zoo_command("plugins", "--json", env={"PYTHONPATH": str(tmp_path)})
    assert states(result) == {"zoo-models": "loaded", "zoo-chatty": "loaded"}


# Choosing plugins


def test_an_empty_choice_leaves_the_built_in_plugins_alone(zoo_with: ZooWith) -> None:
    result = zoo_with(ALL, "list", "--json", env={"ZOO_PLUGINS": ""})
    assert names_listed(result) == BUILT_IN
    assert result.stderr == ""


def test_a_disabled_plugin_is_shown_as_disabled(zoo_with: ZooWith) -> None:
    result = zoo_with([TRIGRAM, IMPORT], "plugins", "--json", env={"ZOO_PLUGINS": ""})
    assert states(result) == {"zoo-models": "loaded", "zoo-trigram": "disabled", "zoo-broken-import": "disabled"}


@pytest.mark.parametrize("name", ["trigram", "zoo-trigram"])
def test_a_choice_loads_that_plugin_beside_the_built_in_ones(zoo_with: ZooWith, name: str) -> None:
    result = zoo_with(ALL, "plugins", "--json", env={"ZOO_PLUGINS": name})
    assert [dist for dist, state in states(result).items() if state == "loaded"] == ["zoo-models", "zoo-trigram"]
    assert result.stderr == ""


def test_several_plugins_can_be_chosen(zoo_with: ZooWith) -> None:
    result = zoo_with(ALL, "list", "models", "--json", env={"ZOO_PLUGINS": "trigram, blobs"})
    assert names_listed(result) == {
        "models": sorted([*BUILT_IN["models"], "tiny-conv", "tiny-gru", "tiny-mlp", "trigram"])
    }


def test_an_unknown_name_in_the_choice_is_wrong_usage(zoo_with: ZooWith) -> None:
    line = error_line(zoo_with([TRIGRAM], "list", env={"ZOO_PLUGINS": "trigrm"}), 2)
    assert "ZOO_PLUGINS names 'trigrm', which is not installed" in line
    assert "'trigram'" in line


# A taken name


def test_a_built_in_name_means_the_built_in_model_and_optimizer(zoo_here: ZooWith) -> None:
    args = ("--dataset", "names-ssa-2018", "--optimizer", "sgd", "--steps", "3", "--device", "cpu", "--no-plots")
    result = zoo_here([TAKEN], "run", "mlp-char", *args, "--json")
    assert suppliers(Path(json.loads(result.stdout)["run_dir"])) == ["zoo-models", "zoo-models", "zoo-models"]


def test_info_of_a_built_in_name_describes_the_built_in_model(zoo_here: ZooWith) -> None:
    assert "model of zoo-models" in zoo_here([TAKEN], "info", "mlp-char").stdout


def test_the_list_has_both_of_a_name_and_the_full_name_of_the_third_partys(zoo_with: ZooWith) -> None:
    listed = names_listed(zoo_with([TAKEN], "list", "--json"))
    taken = {"models": ["zoo-taken-name/mlp-char"], "datasets": [], "optimizers": ["zoo-taken-name/sgd"], "loggers": []}
    assert {kind: sorted(names) for kind, names in listed.items()} == with_built_in(**taken)


def test_by_its_short_name_the_built_in_model_runs_with_the_built_in_optimizer(finished_run: FinishedRun) -> None:
    run = finished_run("built-in")
    assert suppliers(run) == ["zoo-models", "zoo-trigram", "zoo-models"]
    assert metrics_of(run)["lr"] == 0.1


def test_by_its_full_name_the_other_model_runs_with_its_own_optimizer(finished_run: FinishedRun) -> None:
    run = finished_run("namesake")
    assert suppliers(run) == ["zoo-taken-name", "zoo-trigram", "zoo-taken-name"]
    assert metrics_of(run)["lr"] == 0.5


def test_a_run_is_reloaded_with_the_model_of_the_plugin_that_made_it(
    finished_run: FinishedRun, zoo_with: ZooWith
) -> None:
    run = finished_run("namesake")
    result = zoo_with([TRIGRAM, TAKEN], "eval", run, "--device", "cpu", "--json")
    assert json.loads(result.stdout)["losses"] == metrics_of(run)["losses"]


def test_a_run_is_never_reloaded_with_another_plugins_model_of_that_name(
    finished_run: FinishedRun, zoo_with: ZooWith
) -> None:
    line = error_line(zoo_with([TRIGRAM], "eval", finished_run("namesake")), 1)
    assert "needs the model 'zoo-taken-name/mlp-char' of plugin zoo-taken-name 0.4.0" in line


def test_the_command_in_the_model_card_works_where_names_are_taken(
    finished_run: FinishedRun, zoo_with: ZooWith
) -> None:
    result = zoo_with([TRIGRAM, TAKEN], *_command_in_card(finished_run("built-in")), "--no-plots")
    assert result.returncode == 0, result.stderr


def test_another_plugin_that_takes_a_built_in_name_does_not_stop_a_third_partys_model(train: Train) -> None:
    run = train([TRIGRAM, TAKEN], "trigram", "--dataset", "planets")  # its spec says optimizer="sgd"
    assert suppliers(run) == ["zoo-trigram", "zoo-trigram", "zoo-models"]


def test_a_named_optimizer_makes_the_models_own_unneeded(train: Train) -> None:
    run = train([TRIGRAM, TAKEN], "trigram", "--dataset", "planets", "--optimizer", "signsgd")
    assert suppliers(run) == ["zoo-trigram", "zoo-trigram", "zoo-trigram"]


# All at once


def test_with_all_plugins_installed_each_has_its_state(zoo_with: ZooWith) -> None:
    result = zoo_with(ALL, "plugins", "--json")
    assert states(result) == {
        "zoo-models": "loaded",
        **{project: "failed" if project in BROKEN else "loaded" for project in ALL},
    }
    assert len(result.stderr.splitlines()) == len(BROKEN)


def test_with_all_plugins_installed_the_working_ones_run(zoo_with: ZooWith) -> None:
    result = zoo_with(ALL, "run", "tiny-gru", "--steps", "3", "--device", "cpu", "--no-plots", "--json")
    assert result.returncode == 0
    assert json.loads(result.stdout)["model"] == "tiny-gru"
    lines = but_for_what_was_read(result.stderr).splitlines()
    assert sorted(line.split()[3] for line in lines) == sorted(BROKEN)


# Python


def test_python_sees_third_parties_as_the_command_does(installed: Installed) -> None:
    script = """
import json, zoo
model = zoo.create_model("tiny-gru", vocab_size=5, max_length=4, hidden_size=8)
run = zoo.run("trigram", dataset="planets", steps=20, device="cpu", plots=False)
loaded = zoo.load(run.path)
print(json.dumps({
    "models": zoo.list_models(), "datasets": zoo.list_datasets(),
    "optimizers": zoo.list_optimizers(), "loggers": zoo.list_loggers(),
    "hidden": model.gru.hidden_size, "losses": len(run.step_losses), "words": loaded.sample(5, seed=1),
}))
"""
    result = _python(script, installed([TRIGRAM, BLOBS]))
    assert (result.returncode, result.stderr) == (0, "")
    seen = json.loads(result.stdout)
    assert {kind: seen[kind] for kind in BUILT_IN} == with_built_in(
        models=["tiny-conv", "tiny-gru", "tiny-mlp", "trigram"],
        datasets=["bars", "planets"],
        optimizers=["blob-adam", "signsgd"],
        loggers=["json-lines"],
    )
    assert (seen["hidden"], seen["losses"], len(seen["words"])) == (8, 20, 5)


def test_a_run_is_told_to_a_third_partys_logger(zoo_here: ZooWith, tmp_path: Path) -> None:
    out, few = tmp_path / "run", ["--no-plots", "--log", "json-lines"]
    run = ["run", "trigram", "--dataset", "planets", "--steps", "40", "--validate-every", "20", "--out", out]
    assert zoo_here([TRIGRAM], *run, *few, "--set", "logger.decimals=2").returncode == 0
    assert zoo_here([TRIGRAM], "resume", out, "--steps", "60", *few).returncode == 0
    told = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [one["resumed_at"] for one in told if one["event"] == "start"] == [0, 40]
    assert sum(one["steps"] for one in told if one["event"] == "steps") == 60
    evaluated = [(one["step"], sorted(one["losses"])) for one in told if one["event"] == "evaluated"]
    assert [step for step, splits in evaluated if splits == ["val"]] == [20, 40, 60]
    assert [one["steps"] for one in told if one["event"] == "finish"] == [40, 60]


def test_the_check_of_a_broken_plugin_says_why_it_is_not_loaded(installed: Installed) -> None:
    result = _python(f"import zoo.testing; zoo.testing.check_plugin('{IMPORT}')", installed([IMPORT]))
    assert re.search(rf"AssertionError: plugin {IMPORT} [\d.]+ failed to load: \w", result.stderr), result.stderr


def test_python_is_warned_of_a_broken_plugin(installed: Installed) -> None:
    result = _python("import zoo; print(zoo.list_models())", installed([HOOK]))
    assert (result.returncode, result.stdout) == (0, f"{BUILT_IN['models']}\n")
    assert "UserWarning: plugin zoo-broken-hook 0.2.0 was skipped" in result.stderr


def _python(script: str, path: str, *args: str) -> subprocess.CompletedProcess[str]:
    return run_python("-c", script, *args, env={"PYTHONPATH": path})


# Lightness

RUN_AND_TELL_IMPORTS = f"""
import sys, zoo.cli
try:
    zoo.cli.main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
sys.exit(" ".join(sorted(sys.modules.keys() & set({HEAVY}))) or 0)
"""


def test_the_working_plugins_are_imported_without_anything_heavy(installed: Installed) -> None:
    script = f"import sys, zoo_trigram, zoo_blobs; print(sorted(sys.modules.keys() & set({HEAVY})))"
    result = _python(script, installed([TRIGRAM, BLOBS]))
    assert (result.stdout, result.stderr) == ("[]\n", "")


@pytest.mark.parametrize("command", ["--help", "list", "plugins"])
def test_with_twenty_plugins_nothing_heavy_is_imported(tmp_path: Path, command: str) -> None:
    site = tmp_path / "site"
    site.mkdir()
    for number in range(20):
        code = f"""
import zoo

@zoo.hookimpl
def zoo_models():
    return [zoo.ModelSpec("model-{number}", "zoo_many_{number}_model:Model", dataset="data-{number}")]

@zoo.hookimpl
def zoo_datasets():
    return [zoo.DatasetSpec("data-{number}", "zoo_many_{number}_data:data")]
"""
        write_plugin(site, f"zoo-many-{number}", code)
    result = _python(RUN_AND_TELL_IMPORTS, str(site), command)
    assert (result.returncode, result.stderr) == (0, "")
    assert command == "--help" or all(f"model-{number}" in result.stdout for number in range(20))
