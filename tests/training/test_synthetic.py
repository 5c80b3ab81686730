"""Synthetic words beside those of the data: what is sampled, how much of it is trained on, and how runs resume."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest
import torch
from conftest import Zoo
from torch import Tensor, nn

import zoo
from zoo.data.examples import TensorExamples
from zoo.errors import CheckpointError, UsageError
from zoo.options.run import RunOptions
from zoo.plugin.manager import load_plugins
from zoo.plugin.registry import Entry, Plugin, Registry
from zoo.plugin.specs import ModelSpec
from zoo.runs.plan import make_plan
from zoo.runs.result import Run
from zoo.storage.config import RunConfig
from zoo.training.synthetic import WORDS_FOR_EACH, SyntheticWords, sample_words

_SHARE = ["gru", "--synthetic", "ngram", "--synthetic-share"]
FILES = ("model.safetensors", "training_state.safetensors", "losses.csv", "config.json", "README.md")


class Counts(nn.Module):
    """A fitted model that ends each word after so many letters, all letters equally likely."""

    context_length = 12
    longest = 2

    def __init__(self, vocab_size: int, fitted_size: int = 0) -> None:
        super().__init__()
        self.vocab_size = vocab_size

    def fit(self, x: Tensor, y: Tensor) -> int:
        return len(y)

    def forward(self, x: Tensor) -> Tensor:
        ends = (x != 0).sum(1) >= self.longest
        logits = torch.zeros(len(x), self.vocab_size)
        logits[:, 0] = torch.where(ends, torch.inf, -torch.inf)
        logits[ends, 0] = 100.0
        return logits


class Silent(Counts):
    longest = 0


class Endless(Counts):
    longest = 50


@pytest.fixture
def dataset(words_file: Path) -> zoo.TextDataset:
    return zoo.TextDataset.from_file(words_file)


@pytest.fixture
def ngram(registry: Registry) -> Entry[ModelSpec]:
    return registry.models.get("ngram")


def sampled(source: Entry[ModelSpec], dataset: zoo.TensorDataset | zoo.TextDataset, seed: int = 1) -> SyntheticWords:
    return sample_words(source, RunOptions("gru", synthetic_share=1 / 3, seed=seed), dataset)


@pytest.fixture
def augmented(words_file: Path) -> Callable[..., Run]:
    """`augmented(20, "a")`: a run of so many steps in folder `a`, half of whose words are synthetic."""

    def run(steps: int, out: str, model: str = "gru", **more: Any) -> Run:
        options = {"synthetic": "ngram", "synthetic_share": 0.5, "plots": False, **more}
        return zoo.run(model, dataset=words_file, device="cpu", steps=steps, out=out, **options)

    return run


def source(factory: type[Counts]) -> Entry[ModelSpec]:
    spec = zoo.ModelSpec("counts", factory, fitted=("fitted_size",))
    return Entry(spec, Plugin("counts", "zoo-counts", "1.0"))


# What is sampled


def test_words_follow_the_statistics_of_the_training_words(ngram: Entry[ModelSpec]) -> None:
    words = ["ab", "abab", "ababab"] * 8 + ["ba", "bb", "bbb"] * 2  # of these the last six do not train
    dataset = zoo.TextDataset(words)
    drawn = sampled(ngram, dataset).words
    assert len(drawn) > 100
    assert {word[0] for word in drawn} <= {"a", "b"}
    assert sum("bb" in word for word in drawn) < len(drawn) / 10
    assert sum(word in dataset.splits["train"] for word in drawn) > len(drawn) / 2


def test_no_word_is_empty_or_longer_than_the_longest_of_the_data(
    ngram: Entry[ModelSpec], dataset: zoo.TextDataset
) -> None:
    words = sampled(ngram, dataset).words
    wanted = WORDS_FOR_EACH * len(dataset.splits["train"])
    assert wanted / 2 < len(words) <= wanted
    assert {len(word) for word in words} <= {1, 2, 3}
    assert max(map(len, words)) == 3  # `max_length` has a place for the end, too


def test_a_seed_gives_the_same_words_whatever_else_was_sampled(
    ngram: Entry[ModelSpec], dataset: zoo.TextDataset
) -> None:
    first = sampled(ngram, dataset)
    with torch.random.fork_rng(devices=[]):
        torch.rand(3)
        assert sampled(ngram, dataset) == first
    assert sampled(ngram, dataset, seed=2).sha256 != first.sha256


def test_many_words_are_sampled_in_parts_that_differ(
    ngram: Entry[ModelSpec], dataset: zoo.TextDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = len(sampled(ngram, dataset, seed=2**64 - 1).words)
    monkeypatch.setattr("zoo.training.synthetic._AT_ONCE", 100)
    words = sampled(ngram, dataset, seed=2**64 - 1).words
    assert abs(len(words) - whole) < 60
    assert words[:50] != words[len(words) // 4 :][:50]


def test_their_number_has_a_limit(
    ngram: Entry[ModelSpec], dataset: zoo.TextDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.training.synthetic.MOST_WORDS", 50)
    assert 25 < len(sampled(ngram, dataset).words) <= 50


def test_any_fitted_model_can_supply_words(dataset: zoo.TextDataset) -> None:
    assert {len(word) for word in sampled(source(Counts), dataset).words} == {2}


@pytest.mark.parametrize("factory", [Silent, Endless])
def test_a_model_without_a_word_that_fits_is_refused(dataset: zoo.TextDataset, factory: type[Counts]) -> None:
    with pytest.raises(UsageError, match='synthetic="counts" samples no words that are as short as those of the data'):
        sampled(source(factory), dataset)


def test_a_model_that_cannot_count_so_many_characters_is_refused(ngram: Entry[ModelSpec]) -> None:
    words = [chr(0x4E00 + i) + chr(0x4E01 + i) for i in range(3000)]
    with pytest.raises(UsageError, match=r'synthetic="ngram" cannot read .* is too long for 3002 characters'):
        sampled(ngram, zoo.TextDataset(words))


def test_the_dataset_must_be_text(ngram: Entry[ModelSpec]) -> None:
    split = (torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64))
    dataset = zoo.TensorDataset(split, split, split)
    with pytest.raises(UsageError, match="synthetic is for a dataset of words, and this is none"):
        sampled(ngram, dataset)


# What is trained on


@pytest.mark.parametrize(
    ("share", "times", "again"), [(1 / 3, 16, 1), (0.5, 8, 1), (0.2, 32, 1), (8 / 9, 1, 1), (0.99, 1, 12)]
)
def test_the_examples_are_repeated_until_the_share_is_right(share: float, times: int, again: int) -> None:
    words = SyntheticWords(["ab"] * 80, share, zoo.Vocabulary("ab"), 4)
    own = TensorExamples(torch.full((10, 4), 1, dtype=torch.uint8), torch.zeros(10, 4, dtype=torch.int16), torch.int64)
    both = words.beside(own, "sequences", None)
    assert both.x.shape == both.y.shape == (10 * times + 80 * again, 4)
    assert torch.equal(both.x[: 10 * times], own.x.repeat(times, 1))
    assert both.x[10 * times :].tolist() == [[0, 1, 2, 0]] * 80 * again
    assert both.y[10 * times :].tolist() == [[1, 2, 0, -1]] * 80 * again
    assert both.x_dtype == torch.int64


def test_windows_are_those_of_the_words() -> None:
    words = SyntheticWords(["ab"] * 80, 0.5, zoo.Vocabulary("ab"), 4)
    own = TensorExamples(torch.zeros(240, 3, dtype=torch.uint8), torch.zeros(240, dtype=torch.uint8), torch.int64)
    both = words.beside(own, "windows", 3)
    assert both.x[240:243].tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 2]]
    assert both.y[240:243].tolist() == [1, 2, 0]
    assert len(both) == 480


@pytest.mark.parametrize("model", ["gru", "mlp-char"])
def test_training_differs_and_evaluation_is_on_the_data_alone(
    augmented: Callable[..., Run], model: str, zoo_here: Zoo
) -> None:
    run, alone = augmented(20, "a", model), augmented(20, "b", model, synthetic_share=0.0)
    assert alone.config["training"]["synthetic"] is None
    assert run.step_losses != alone.step_losses
    assert run.metrics["dataset"]["examples"] == alone.metrics["dataset"]["examples"]
    assert zoo_here("eval", "a", "--json").result["losses"] == run.losses


def test_synthetic_words_reduce_overfitting(words_file: Path) -> None:
    """Words whose letters say nothing of the next: the more a net memorizes, the worse it does on others."""
    generator = torch.Generator().manual_seed(1)
    letters = torch.randint(0, 6, (200, 5), generator=generator).tolist()
    words_file.write_text("\n".join("".join("abcdef"[i] for i in word) for word in letters))

    def val(name: str, **options: Any) -> float:
        fixed: dict[str, Any] = {"optimizer": "adamw", "lr": 0.01, "device": "cpu", "plots": False, "out": name}
        cut = {"data.split": (0.3, 0.9)}
        return zoo.run("gru", dataset=words_file, steps=300, settings=cut, **fixed, **options).losses["val"]

    assert val("augmented", synthetic="ngram", synthetic_share=0.8) < val("alone") - 0.1  # it is 0.34


# What a run records, and how it resumes


def test_a_config_names_the_source_and_identifies_the_words(augmented: Callable[..., Run]) -> None:
    kept = augmented(3, "a").config["training"]["synthetic"]
    assert (kept["name"], kept["plugin"]["distribution"]) == ("ngram", "zoo-models")
    assert 200 < kept["words"] <= 384
    assert re.fullmatch("[0-9a-f]{64}", kept["sha256"])


def test_the_words_depend_on_the_seed(augmented: Callable[..., Run]) -> None:
    kept = [
        augmented(2, name, seed=seed).config["training"]["synthetic"] for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert kept[0] == kept[1]
    assert kept[0]["sha256"] != kept[2]["sha256"]


def test_a_resumed_run_has_the_bytes_of_an_uninterrupted_one(augmented: Callable[..., Run]) -> None:
    augmented(23, "whole")
    augmented(9, "parts")
    zoo.resume("parts", steps=23, plots=False)
    assert not [name for name in FILES if Path("whole", name).read_bytes() != Path("parts", name).read_bytes()]


def test_a_run_is_not_resumed_with_other_words(augmented: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    augmented(3, "a")
    monkeypatch.setattr("zoo.training.synthetic.WORDS_FOR_EACH", 4)
    with pytest.raises(CheckpointError, match=r"training.synthetic.words: \d+ then, \d+ now"):
        zoo.resume("a", steps=5)


def test_a_run_is_resumed_only_with_its_share(augmented: Callable[..., Run]) -> None:
    augmented(3, "a")
    path = Path("a", "config.json")
    path.write_text(path.read_text().replace('"synthetic_share": 0.5', '"synthetic_share": 0.25'))
    with pytest.raises(CheckpointError, match=r"training\.synthetic_share: 0\.5 then, 0\.25 now"):
        zoo.resume("a", steps=5)


def test_the_card_has_the_command_that_makes_the_run_again(augmented: Callable[..., Run], zoo_here: Zoo) -> None:
    run = augmented(5, "a")
    card = Path("a", "README.md").read_text()
    assert ", and on synthetic words sampled from ngram." in card
    [line] = re.findall(r"^\$ zoo (run .*)$", card, re.MULTILINE)
    copyfile("../words.txt", "words.txt")  # the card has the name of the file, not its path
    assert zoo_here(*shlex.split(line), "--out", "b", "--no-plots").code == 0
    again = json.loads(Path("b", "config.json").read_text())
    assert again == json.loads(json.dumps(run.config))


# What is refused


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["gru", "--synthetic", "rnn"],
            "--synthetic rnn: only a model that is fitted to its data can supply words",
        ),
        (["gru", "--synthetic", "ngrm"], "no model 'ngrm'; did you mean 'ngram'?"),
        (
            ["ngram", "--synthetic", "ngram"],
            "model 'ngram' is fitted to its data, and not trained: leave out --synthetic",
        ),
        (
            ["gru", "--synthetic-share", "0.5"],
            "--synthetic-share is the share of synthetic words: give --synthetic, too",
        ),
        (
            [*_SHARE, "1"],
            "--synthetic-share must be 0 or from 0.05 to 0.95, got 1.0",
        ),
        (
            [*_SHARE, "nan"],
            "--synthetic-share must be 0 or from 0.05 to 0.95, got nan",
        ),
        (
            [*_SHARE, "-1"],
            "--synthetic-share must be 0 or from 0.05 to 0.95, got -1.0",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(zoo_here: Zoo, arguments: list[str], said: str) -> None:
    outcome = zoo_here("run", *arguments, "--dataset", "names-ssa-2018")
    assert (outcome.code, outcome.out, outcome.err) == (2, "", f"zoo: error: {said}\n")
    assert not Path("runs").exists()


@pytest.mark.parametrize("share", [1.0, 0.04, -0.1, float("nan")])
def test_a_preset_with_such_a_share_cannot_be_made(share: float) -> None:
    with pytest.raises(ValueError, match=r"synthetic_share must be 0 or from 0\.05 to 0\.95"):
        zoo.Preset(synthetic="ngram", synthetic_share=share)


@pytest.mark.parametrize("share", [2, 1e-9, "x", True, -1])
def test_a_damaged_share_is_a_damaged_config(augmented: Callable[..., Run], share: object) -> None:
    raw = json.loads(json.dumps(augmented(2, "a").config))
    raw["training"]["synthetic_share"] = share
    with pytest.raises(CheckpointError, match=r"has a damaged config: 'training\.synthetic_share' must be"):
        RunConfig.read(raw, Path("a"))


@pytest.mark.parametrize("share", [0, None])
def test_a_config_without_a_share_cannot_be_resumed(augmented: Callable[..., Run], share: object) -> None:
    augmented(2, "a")
    path = Path("a", "config.json")
    path.write_text(path.read_text().replace('"synthetic_share": 0.5', f'"synthetic_share": {json.dumps(share)}'))
    with pytest.raises(CheckpointError):
        zoo.resume("a", steps=3, allow_changes=True)


@pytest.mark.parametrize("damage", [{"name": 3}, {"plugin": None}])
def test_a_damaged_source_is_a_damaged_config(augmented: Callable[..., Run], damage: dict[str, Any]) -> None:
    raw = json.loads(json.dumps(augmented(2, "a").config))
    raw["training"]["synthetic"] |= damage
    with pytest.raises(CheckpointError, match=r"has a damaged config: 'training\.synthetic"):
        RunConfig.read(raw, Path("a"))


def test_a_config_from_before_it_was_called_so_reads_the_same(augmented: Callable[..., Run]) -> None:
    now = json.loads(json.dumps(augmented(2, "a").config))
    before = json.loads(json.dumps(now))
    share = before["training"].pop("synthetic_share")
    before["training"]["teacher"] = {**before["training"].pop("synthetic"), "share": share}
    assert RunConfig.read(before, Path("a")) == RunConfig.read(now, Path("a"))


def test_the_old_names_still_work(words_file: Path, zoo_here: Zoo) -> None:
    options = ["--dataset", words_file, "--device", "cpu", "--steps", 2, "--no-plots", "--quiet"]
    assert zoo_here("run", "gru", *options, "--teacher", "ngram", "--teacher-share", 0.5, "--out", "old").code == 0
    assert zoo_here("run", "gru", *options, "--synthetic", "ngram", "--synthetic-share", 0.5, "--out", "new").code == 0
    assert not [name for name in FILES if Path("old", name).read_bytes() != Path("new", name).read_bytes()]
    assert zoo.Preset(teacher="ngram", teacher_share=0.5) == zoo.Preset(synthetic="ngram", synthetic_share=0.5)
    assert "teacher" not in zoo_here("run", "--help").out


def test_a_preset_may_ask_for_synthetic_words(monkeypatch: pytest.MonkeyPatch, words_file: Path) -> None:
    registry = load_plugins()[0]
    preset = zoo.Preset(synthetic="ngram", synthetic_share=0.25)
    registry.models.add(
        Entry(zoo.ModelSpec("net", Counts, presets={"taught": preset}), Plugin("net", "zoo-net", "1.0"))
    )
    monkeypatch.setattr("zoo.runs.plan.is_fitted", lambda entry: entry.spec.name == "ngram")

    def planned(**options: Any) -> tuple[str, float | None] | None:
        plan = make_plan(registry, RunOptions("net", dataset=words_file, **options))
        return (plan.synthetic.full_name, plan.options.synthetic_share) if plan.synthetic else None

    assert planned() == ("zoo-models/ngram", 0.25)
    assert planned(synthetic_share=0.5) == ("zoo-models/ngram", 0.5)
    assert planned(synthetic_share=0.0) is None
