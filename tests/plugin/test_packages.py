"""Six whole packages as other people would write them, by the documented interface alone.

`tests/plugins/` has their projects. pip installs them at once; each model learns, is evaluated, is stopped and resumed
to the same bytes, and is used for what it is for.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECTS, Zoo, run_python

import zoo
import zoo.testing


@dataclass(frozen=True)
class Package:
    """One of the six.

    Attributes:
        model, dataset: its names.
        kind: of the data, as config.json has it.
        loss: what its loss is called.
        metrics: their names.
        learned: whether the result of a run, as `metrics.json` has it, shows that the model has learned.
        settings: that make its data small.
    """

    model: str
    dataset: str
    kind: str
    loss: str
    metrics: Sequence[str]
    learned: Callable[[Mapping[str, Any]], bool]
    settings: Mapping[str, object]


PACKAGES = {
    "zoo-digits": Package(
        *("digits-cnn", "digits", "tensors", "nats", ["accuracy", "top2"]),
        lambda result: result["metrics"]["test"]["accuracy"] > 0.8,  # 0.1 by chance
        {"data.examples": 600},
    ),
    "zoo-pendulum": Package(
        *("pendulum-net", "pendulum", "tensors", "huber_loss", ["mae", "r2"]),
        lambda result: result["metrics"]["val"]["r2"] > 0.95,
        {"data.examples": 600},
    ),
    "zoo-fables": Package(
        *("fable-gpt", "fables", "corpus", "nats", ["bits_per_character"]),
        lambda result: result["losses"]["test"] < 1.5,  # ln 44 = 3.8 where nothing was learned
        {"data.count": 100},
    ),
    "zoo-rings": Package(
        *("ring-vae", "rings", "tensors", "nats", ["kl"]),
        lambda result: result["losses"]["test"] < 60 and 2 < result["metrics"]["test"]["kl"] < 20,  # from 100 nats, 0
        {"data.examples": 600},
    ),
    "zoo-moods": Package(
        *("bag-of-words", "moods", "tensors", "nats", ["accuracy"]),
        lambda result: result["metrics"]["test"]["accuracy"] > 0.9,
        {"data.examples": 300},
    ),
    "zoo-sensors": Package(
        *("sensor-net", "sensors", "tensors", "mse_loss", ["within", "worst"]),
        lambda result: result["losses"]["val"] < 0.1 < result["metrics"]["val"]["within"],  # the variance is 1
        {"data.readings": 3000},
    ),
}
MODELS = {package.model: package for package in PACKAGES.values()}
LIGHT = ["matplotlib", "numpy", "requests", "torch"]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All packages, built and installed by one call of pip."""
    base = tmp_path_factory.mktemp("packages")
    for project in PACKAGES:
        shutil.copytree(PROJECTS / project, base / project)  # building must leave nothing in the tree
    options = ["--no-index", "--no-deps", "--no-build-isolation", "--no-compile", "--isolated", "--quiet"]
    options += ["--disable-pip-version-check", "--target", str(base / "site")]
    pip = [sys.executable, "-m", "pip", "install", *options, *(str(base / project) for project in PACKAGES)]
    done = subprocess.run(pip, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return base / "site"


@pytest.fixture(autouse=True)
def installed_here(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(site)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def trained(site: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a run of a model with its own defaults, made once; tests must not change it."""
    base = tmp_path_factory.mktemp("trained")

    def run(model: str) -> Path:
        if not (base / model).exists():
            zoo.run(model, device="cpu", out=base / model, plots=False, settings=MODELS[model].settings)
        return base / model

    return run


Trained = Callable[[str], Path]


@pytest.fixture(autouse=True)
def shared_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sensors' readings are made once."""
    monkeypatch.setenv("ZOO_CACHE", str(cache))


def read(run: Path, file: str) -> Any:
    return json.loads((run / file).read_text())


def sets(settings: Mapping[str, object]) -> list[str]:
    return [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]


# What holds for each of them


def test_the_list_has_what_they_bring(zoo_here: Zoo) -> None:
    listed = zoo_here("list", "--json").result
    of = {kind: {row["name"]: row["distribution"] for row in rows} for kind, rows in listed.items()}
    for project, package in PACKAGES.items():
        assert (of["models"][package.model], of["datasets"][package.dataset]) == (project, project)
    assert of["optimizers"]["polyak"] == "zoo-sensors"


def test_the_hooks_import_nothing_heavy(site: Path) -> None:
    modules = ", ".join(project.replace("-", "_") for project in PACKAGES)
    done = run_python(
        "-c", f"import sys, {modules}; print(sorted(sys.modules.keys() & {LIGHT}))", env={"PYTHONPATH": str(site)}
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("model", MODELS)
def test_it_learns(trained: Trained, model: str) -> None:
    package, result = MODELS[model], read(trained(model), "metrics.json")
    config = read(trained(model), "config.json")
    assert package.learned(result), result
    assert (config["dataset"]["kind"], config["loss"]["unit"]) == (package.kind, package.loss)
    assert set(package.metrics) <= result["metrics"]["val"].keys()
    card = (trained(model) / "README.md").read_text()
    assert all(metric.replace("_", " ") in card for metric in package.metrics)


@pytest.mark.parametrize("model", MODELS)
def test_it_is_evaluated_to_the_same_numbers(trained: Trained, zoo_here: Zoo, model: str) -> None:
    result = read(trained(model), "metrics.json")
    again = zoo_here("eval", trained(model), "--device", "cpu", "--json")
    assert (again.code, again.err) == (0, "")
    assert {key: again.result[key] for key in ("losses", "metrics")} == {
        key: result[key] for key in ("losses", "metrics")
    }


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("monitored", [False, True], ids=["plain", "monitored"])
def test_it_is_resumed_to_the_same_bytes(model: str, monitored: bool) -> None:
    package = MODELS[model]
    options: dict[str, Any] = {"device": "cpu", "plots": False, "settings": package.settings}
    if monitored:
        options |= {"validate_every": 2, "monitor": f"{package.metrics[0]}:max"}
    full = zoo.run(model, steps=7, out="full", **options)
    half = zoo.run(model, steps=3, out="half", **options)
    assert half.step_losses == full.step_losses[:3]
    resumed = zoo.resume(half.path, steps=7, plots=False)
    assert resumed.step_losses == full.step_losses
    for file in ("model.safetensors", "training_state.safetensors"):
        assert (half.path / file).read_bytes() == (full.path / file).read_bytes(), file


@pytest.mark.parametrize("model", MODELS)
def test_the_command_on_its_card_makes_it_again(trained: Trained, zoo_here: Zoo, model: str) -> None:
    [line] = [line for line in (trained(model) / "README.md").read_text().splitlines() if line.startswith("$ zoo run")]
    done = zoo_here(*line.split()[2:], "--steps", 3, "--no-plots", "--out", "again")
    assert done.code == 0, done.err
    assert Path("again/losses.csv").read_text() == "".join(
        (trained(model) / "losses.csv").read_text().splitlines(keepends=True)[:4]
    )


@pytest.mark.parametrize("model", MODELS)
def test_info_shows_the_model_and_its_data(zoo_here: Zoo, model: str) -> None:
    package = MODELS[model]
    shown = [zoo_here("info", name) for name in (model, package.dataset)]
    assert [(one.code, one.err) for one in shown] == [(0, ""), (0, "")]
    named = package.metrics if model not in ("bag-of-words", "fable-gpt") else []  # these have zoo's own
    assert all(name in "".join(one.out for one in shown) for name in named)
    assert next(iter(package.settings)) in shown[1].out


@pytest.mark.parametrize("project", PACKAGES)
def test_it_passes_the_checks_for_authors(project: str) -> None:
    package = PACKAGES[project]
    zoo.testing.check_plugin(
        project, settings={name: dict(package.settings) for name in (package.model, package.dataset)}
    )


# What each of them is for


def test_augmentation_is_of_the_seed_and_the_step_and_of_training_alone(trained: Trained) -> None:
    import torch
    from zoo_digits.digits import augment, digits  # type: ignore[import-not-found]

    x, y = digits(50).splits["train"]
    first, again, other = (augment(x, y, torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    dataset = read(trained("digits-cnn"), "config.json")["dataset"]
    assert dataset["classes"] == [str(digit) for digit in range(10)]


def test_the_settings_of_a_loss_of_torch_are_set_and_recorded(zoo_here: Zoo) -> None:
    options = ("--steps", 5, "--no-plots", "--set", "data.examples=100", "--json", "--device", "cpu")
    wide, narrow = (
        zoo_here("run", "pendulum-net", *options, "--set", f"loss.delta={delta}").result for delta in (2, 0.5)
    )
    assert wide["losses"]["train"] > narrow["losses"]["train"]  # outliers count less
    assert zoo_here("eval", narrow["run_dir"], "--device", "cpu", "--json").result["losses"] == narrow["losses"]
    config = read(Path(narrow["run_dir"]), "config.json")
    assert (config["loss"]["name"], config["loss"]["settings"]["delta"]) == ("huber_loss", 0.5)
    wrong = zoo_here("run", "pendulum-net", "--set", "loss.dleta=1")
    assert (wrong.code, "did you mean 'loss.delta'" in wrong.err) == (2, True)


@pytest.mark.skipif(importlib.util.find_spec("torchmetrics") is None, reason="torchmetrics is not installed")
def test_classes_of_torchmetrics_work_by_path(monkeypatch: pytest.MonkeyPatch) -> None:
    import zoo_pendulum  # type: ignore[import-not-found]

    [spec] = zoo_pendulum.zoo_models()
    metrics = {**spec.metrics, "theirs": "torchmetrics.regression:R2Score"}
    monkeypatch.setattr(zoo_pendulum, "zoo_models", zoo.hookimpl(lambda: [replace(spec, metrics=metrics)]))
    run = zoo.run("pendulum-net", steps=50, device="cpu", plots=False, validate_every=10, monitor="theirs")
    for values in read(run.path, "metrics.json")["metrics"].values():
        assert values["theirs"] == pytest.approx(values["r2"], abs=1e-4)


def test_data_on_the_disk_is_known_by_a_part_of_it(trained: Trained, cache: Path) -> None:
    run = trained("sensor-net")
    assert (cache / "sensors-3000-0.npy").stat().st_size == 128 + 3000 * 9 * 4
    covered = read(run, "config.json")["dataset"]["sha256_covers"]
    assert all(name in covered for name in ("1,024 examples", "train", "val", "test"))
    assert read(run, "config.json")["dataset"]["provides"] == {"tolerance": 0.1}


def test_the_optimizer_keeps_its_state(trained: Trained) -> None:
    from safetensors.torch import load_file

    state = load_file(trained("sensor-net") / "training_state.safetensors")
    assert sum("velocity" in name for name in state) == 4


def test_running_text_is_continued(trained: Trained, zoo_here: Zoo) -> None:
    sampled = zoo_here("sample", trained("fable-gpt"), "--prompt", "The Fox ", "--length", 200, "--seed", 1, "--json")
    [text] = [sample["text"] for sample in sampled.result["samples"]]
    assert text.startswith("The Fox ")
    assert len(text) == len("The Fox ") + 200
    assert "\n" in text  # lines and full stops are characters as any other
    assert "." in text


def test_pictures_are_drawn(trained: Trained, zoo_here: Zoo) -> None:
    from PIL import Image

    for name, spread in (("narrow", 0.1), ("wide", 1.0)):
        options = ("-n", 9, "--seed", 1, "--set", f"generate.spread={spread}", "--out", f"{name}.png")
        assert zoo_here("sample", trained("ring-vae"), *options).code == 0
    with Image.open("wide.png") as picture:
        assert min(picture.size) >= 3 * 12
    assert Path("wide.png").read_bytes() != Path("narrow.png").read_bytes()


def test_sentences_are_given_their_moods(trained: Trained) -> None:
    from zoo_moods.sentences import encode  # type: ignore[import-not-found]

    loaded = zoo.load(trained("bag-of-words"))
    tokens = loaded.config["dataset"]["provides"]["tokens"]  # the checkpoint knows its tokenizer
    sentences = ["The old dog seems full of joy", "I was gloomy again", "everybody looks half asleep at home"]
    predicted = loaded.predict([encode(sentence, tokens) for sentence in sentences])
    assert [predicted.classes[int(row.argmax())] for row in predicted.probabilities] == ["glad", "sad", "calm"]


@pytest.mark.parametrize(("model", "named"), [("digits-cnn", True), ("pendulum-net", False), ("sensor-net", False)])
def test_rows_of_a_split_are_predicted(trained: Trained, zoo_here: Zoo, model: str, named: bool) -> None:
    predicted = zoo_here("predict", trained(model), "--split", "test", "--rows", "0:3", "--json")
    assert predicted.code == 0, predicted.err
    rows = predicted.result["predictions"]
    assert len(rows) == 3
    if named:
        likeliest = [row["probabilities"][0]["class"] for row in rows]
        assert likeliest == [row["target"] for row in rows]
        assert set(likeliest) <= set("0123456789")
