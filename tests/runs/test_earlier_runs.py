"""Run folders and plugins from before today's names (`teacher`, `n_net`, `fitted_size`) load, evaluate and resume.

`tests/earlier_runs` has four small runs on `words.txt` that version 0.1.0 made at commit d8244c9, without their cards:

    zoo run mlp-char --steps 12 --set model.hidden_size=4 --set model.embedding_dim=2 --engine autograd
    zoo run lstm --steps 8 --set model.n_net=2 --set model.n_embd=2 --set model.n_embd2=3 --clip-norm 1 \
        --validate-every 3 --patience 4 --schedule cosine --warmup 2
    zoo run gru --steps 4 --set model.n_embd=2 --set model.n_embd2=3 --teacher ngram --teacher-share 0.5 --optimizer sgd
    zoo run ngram --set model.context_length=2
"""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from conftest import ROOT, Zoo
from torch import Tensor, nn

import zoo
from zoo.errors import CheckpointError
from zoo.options.run import RunOptions
from zoo.plugin.manager import load_plugins
from zoo.plugin.registry import Entry, Plugin
from zoo.runs.plan import make_plan
from zoo.runs.runner import execute

EARLIER = ROOT / "tests" / "earlier_runs"
RUNS = ("mlp-char", "lstm", "gru", "ngram")


@pytest.fixture(autouse=True)
def copies() -> None:
    """The runs in the working folder, beside the words that they were trained on."""
    shutil.copytree(EARLIER, Path.cwd(), dirs_exist_ok=True)


@pytest.mark.parametrize("name", RUNS)
def test_an_earlier_run_is_intact_and_has_its_losses(name: str, zoo_here: Zoo) -> None:
    assert zoo_here("verify", name).code == 0
    recorded = json.loads(Path(name, "metrics.json").read_text())["losses"]
    assert zoo_here("eval", name, "--json").result["losses"] == pytest.approx(recorded, rel=1e-5)
    assert len(zoo.load(name).sample(3, seed=1)) == 3


@pytest.mark.parametrize(("name", "steps"), [("mlp-char", 15), ("lstm", 11)])
@pytest.mark.filterwarnings("ignore:the learning rate is 0")
def test_an_earlier_run_is_resumed(name: str, steps: int) -> None:
    before = zoo.load(name).config["training"]
    with pytest.warns(UserWarning, match=r"may not be those of an uninterrupted run: (training.threads|versions)"):
        run = zoo.resume(name, steps=steps, plots=False)
    assert (run.resumed_at, len(run.step_losses)) == (before["steps"], steps)
    assert run.config["training"].items() >= {k: before[k] for k in ("seed", "lr", "clip_norm", "patience")}.items()


def test_an_earlier_run_with_synthetic_words_is_resumed() -> None:
    """On the processor that it was made on, and others that round the counts alike: the words are sampled anew."""
    problem = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            zoo.resume("gru", steps=6, plots=False)
        except CheckpointError as error:
            problem = str(error)
    assert not problem or ("training.synthetic." in problem and "edited" not in problem), problem


def test_a_config_under_old_names_is_no_edited_one() -> None:
    options = {"dataset": "words.txt", "device": "cpu", "plots": False, "synthetic": "ngram", "out": "new"}
    zoo.run("gru", steps=3, settings={"model.n_embd": 2, "model.n_embd2": 3}, **options)  # type: ignore[arg-type]
    path = Path("new", "config.json")
    config = json.loads(path.read_text())
    training = config["training"]
    training["teacher"] = {**training.pop("synthetic"), "share": training.pop("synthetic_share")}
    path.write_text(json.dumps(config))
    assert len(zoo.resume("new", steps=5, plots=False).step_losses) == 5


@pytest.mark.filterwarnings("ignore:the learning rate is 0")
def test_a_setting_that_was_renamed_has_its_name_now() -> None:
    loaded = zoo.load("lstm")
    assert len(loaded.model.others) == 1  # type: ignore[arg-type]  # of an ensemble of two
    with pytest.warns(UserWarning, match="uninterrupted"):
        run = zoo.resume("lstm", steps=9, plots=False)
    settings = run.config["model"]["hyperparameters"]
    assert settings["ensemble_size"] == 2
    assert "n_net" not in settings


def test_old_names_of_settings_and_presets_still_work(zoo_here: Zoo) -> None:
    options = ["--dataset", "words.txt", "--device", "cpu", "--steps", 1, "--no-plots", "--quiet", "--json"]
    small = ["--set", "model.n_embd=2", "--set", "model.n_embd2=3"]
    done = zoo_here("run", "lstm", *options, *small, "--set", "model.n_net=3", "--out", "a")
    assert done.code == 0, done.err
    assert json.loads(Path("a", "config.json").read_text())["model"]["hyperparameters"]["ensemble_size"] == 3
    done = zoo_here("run", "lstm", *options, *small, "--preset", "committee", "--set", "model.n_net=2", "--out", "b")
    assert done.code == 0, done.err
    config = json.loads(Path("b", "config.json").read_text())
    assert (config["training"]["preset"], config["model"]["hyperparameters"]["ensemble_size"]) == ("ensemble", 2)


def test_the_users_setting_wins_over_a_presets_under_either_name(zoo_here: Zoo) -> None:
    options = ["--dataset", "words.txt", "--device", "cpu", "--steps", 1, "--no-plots", "--quiet", "--json"]
    small = ["--set", "model.n_embd=2", "--set", "model.n_embd2=3", "--preset", "ensemble"]
    done = zoo_here("run", "lstm", *options, *small, "--set", "model.n_net=3", "--out", "a")
    assert done.code == 0, done.err
    assert json.loads(Path("a", "config.json").read_text())["model"]["hyperparameters"]["ensemble_size"] == 3
    both = ["--set", "model.n_net=3", "--set", "model.ensemble_size=2"]
    assert "'model.n_net' is the old name of 'model.ensemble_size'" in zoo_here("run", "lstm", *options, *both).err
    both = ["--teacher", "ngram", "--synthetic", "ngram"]
    assert "'teacher' is the old name of 'synthetic'" in zoo_here("run", "lstm", *options, *both).err


def test_a_section_is_not_taken_off_twice(zoo_here: Zoo) -> None:
    done = zoo_here("run", "mlp-char", "--dataset", "words.txt", "--set", "model.model.hidden_size=7")
    assert (done.code, "has no setting 'model.model.hidden_size'" in done.err) == (2, True)


class Counted(nn.Module):
    """A model that is fitted, as a plugin wrote it before specs had the field `fitted`."""

    context_length = 2

    def __init__(self, vocab_size: int, fitted_size: int = 0) -> None:
        super().__init__()
        self.register_buffer("counts", torch.zeros(fitted_size))
        self.vocab_size = vocab_size

    def fit(self, x: Tensor, y: Tensor) -> int:
        self.counts = torch.bincount(y, minlength=self.vocab_size).float()
        return len(self.counts)

    def forward(self, x: Tensor) -> Tensor:
        return (self.counts + 1).log().expand(len(x), -1)


def test_a_plugin_from_before_is_fitted_and_supplies_words(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = load_plugins()[0]
    plugin = Plugin("counted", "zoo-counted", "1.0")
    registry.models.add(Entry(zoo.ModelSpec("counted", Counted, steps=1, dataset="names"), plugin))
    preset = zoo.Preset("old names", teacher="counted", teacher_share=0.5)
    net = registry.models.get("gru").spec
    registry.models.add(Entry(zoo.ModelSpec("net", net.factory, reads="sequences", presets={"own": preset}), plugin))
    options = {"dataset": "words.txt", "device": "cpu", "plots": False}
    fitted = execute(make_plan(registry, RunOptions("counted", out="counted", **options)))  # type: ignore[arg-type]
    assert fitted.config["model"]["inputs"]["fitted_size"] == fitted.metrics["parameters"] == 6
    monkeypatch.setattr("zoo.api._registry", lambda: registry)
    assert torch.equal(zoo.load("counted").model.counts, fitted.model.counts)  # type: ignore[arg-type]
    run = execute(make_plan(registry, RunOptions("net", out="net", steps=1, **options)))  # type: ignore[arg-type]
    assert run.config["training"]["synthetic"]["name"] == "counted"
