"""A teacher's words beside those of the data: what it draws, how much of it is trained on, and that runs resume so."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Zoo
from torch import Tensor, nn

import zoo
from zoo.data.datasets import Examples
from zoo.errors import CheckpointError, UsageError
from zoo.plugin.manager import load_plugins
from zoo.plugin.registry import Entry, Plugin, Registry
from zoo.runs.plan import Teaching
from zoo.runs.runner import Run
from zoo.training.synthetic import WORDS_FOR_EACH, Lesson, prepare_lesson

_SHARE = ["gru", "--teacher", "ngram", "--teacher-share"]
FILES = ("model.safetensors", "training_state.safetensors", "losses.csv", "config.json", "README.md")


class Counts(nn.Module):
    """A teacher that ends each word after so many letters, and takes all letters as alike."""

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
def ngram(registry: Registry) -> Teaching:
    return Teaching(registry.models.get("ngram"), 1 / 3)


@pytest.fixture
def taught(words_file: Path) -> Callable[..., Run]:
    """`taught(20, "a")`: a run of so many steps in folder `a`, half of whose words are the teacher's."""

    def run(steps: int, out: str, model: str = "gru", **more: Any) -> Run:
        options = {"teacher": "ngram", "teacher_share": 0.5, "plots": False, **more}
        return zoo.run(model, dataset=words_file, device="cpu", steps=steps, out=out, **options)

    return run


def teacher(factory: type[Counts]) -> Teaching:
    return Teaching(Entry(zoo.ModelSpec("counts", factory), Plugin("counts", "zoo-counts", "1.0")), 0.5)


# What the teacher draws


def test_a_teacher_draws_from_what_follows_what_in_the_training_words(ngram: Teaching) -> None:
    words = ["ab", "abab", "ababab"] * 8 + ["ba", "bb", "bbb"] * 2  # of these the last six do not train
    dataset = zoo.TextDataset(words)
    drawn = prepare_lesson(ngram, dataset, seed=1).words
    assert len(drawn) > 100
    assert {word[0] for word in drawn} <= {"a", "b"}
    assert sum("bb" in word for word in drawn) < len(drawn) / 10
    assert sum(word in dataset.splits["train"] for word in drawn) > len(drawn) / 2


def test_no_word_is_empty_or_longer_than_the_longest_of_the_data(ngram: Teaching, dataset: zoo.TextDataset) -> None:
    words = prepare_lesson(ngram, dataset, seed=1).words
    wanted = WORDS_FOR_EACH * len(dataset.splits["train"])
    assert wanted / 2 < len(words) <= wanted
    assert {len(word) for word in words} <= {1, 2, 3}
    assert max(map(len, words)) == 3  # `max_length` has a place for the end, too


def test_a_seed_draws_the_same_words_whatever_else_was_drawn(ngram: Teaching, dataset: zoo.TextDataset) -> None:
    first = prepare_lesson(ngram, dataset, seed=1)
    with torch.random.fork_rng(devices=[]):
        torch.rand(3)
        assert prepare_lesson(ngram, dataset, seed=1) == first
    assert prepare_lesson(ngram, dataset, seed=2).sha256 != first.sha256


def test_many_words_are_drawn_in_parts_that_differ(
    ngram: Teaching, dataset: zoo.TextDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = len(prepare_lesson(ngram, dataset, seed=2**64 - 1).words)
    monkeypatch.setattr("zoo.training.synthetic._AT_ONCE", 100)
    words = prepare_lesson(ngram, dataset, seed=2**64 - 1).words
    assert abs(len(words) - whole) < 60
    assert words[:50] != words[len(words) // 4 :][:50]


def test_of_a_large_dataset_no_more_are_drawn(
    ngram: Teaching, dataset: zoo.TextDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.training.synthetic.MOST_WORDS", 50)
    assert 25 < len(prepare_lesson(ngram, dataset, seed=1).words) <= 50


def test_any_model_that_is_fitted_can_teach(dataset: zoo.TextDataset) -> None:
    assert {len(word) for word in prepare_lesson(teacher(Counts), dataset, seed=1).words} == {2}


@pytest.mark.parametrize("factory", [Silent, Endless])
def test_a_teacher_without_a_word_that_fits_is_refused(dataset: zoo.TextDataset, factory: type[Counts]) -> None:
    with pytest.raises(UsageError, match="--teacher counts draws no words that are as short as those of the data"):
        prepare_lesson(teacher(factory), dataset, seed=1)


def test_a_teacher_that_cannot_count_so_many_characters_is_refused(ngram: Teaching) -> None:
    words = [chr(0x4E00 + i) + chr(0x4E01 + i) for i in range(3000)]
    with pytest.raises(UsageError, match=r"--teacher ngram cannot read .* is too long for 3002 characters"):
        prepare_lesson(ngram, zoo.TextDataset(words), seed=1)


def test_a_teacher_needs_words(ngram: Teaching) -> None:
    split = (torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64))
    dataset = zoo.TensorDataset(split, split, split)
    with pytest.raises(UsageError, match="--teacher is for words, and this dataset is not text"):
        prepare_lesson(ngram, dataset, seed=1)


# What is trained on


@pytest.mark.parametrize(
    ("share", "times", "again"), [(1 / 3, 16, 1), (0.5, 8, 1), (0.2, 32, 1), (8 / 9, 1, 1), (0.99, 1, 12)]
)
def test_the_examples_are_repeated_until_the_share_is_right(share: float, times: int, again: int) -> None:
    lesson = Lesson(["ab"] * 80, share, zoo.Vocabulary("ab"), 4)
    own = Examples(torch.full((10, 4), 1, dtype=torch.uint8), torch.zeros(10, 4, dtype=torch.int16), torch.int64)
    both = lesson.beside(own, "sequences", None)
    assert both.x.shape == both.y.shape == (10 * times + 80 * again, 4)
    assert torch.equal(both.x[: 10 * times], own.x.repeat(times, 1))
    assert both.x[10 * times :].tolist() == [[0, 1, 2, 0]] * 80 * again
    assert both.y[10 * times :].tolist() == [[1, 2, 0, -1]] * 80 * again
    assert both.x_dtype == torch.int64


def test_windows_are_those_of_the_words() -> None:
    lesson = Lesson(["ab"] * 80, 0.5, zoo.Vocabulary("ab"), 4)
    own = Examples(torch.zeros(240, 3, dtype=torch.uint8), torch.zeros(240, dtype=torch.uint8), torch.int64)
    both = lesson.beside(own, "windows", 3)
    assert both.x[240:243].tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 2]]
    assert both.y[240:243].tolist() == [1, 2, 0]
    assert len(both) == 480


@pytest.mark.parametrize("model", ["gru", "mlp-char"])
def test_a_taught_model_learns_something_else_and_is_judged_by_the_data(
    taught: Callable[..., Run], model: str, zoo_here: Zoo
) -> None:
    run, alone = taught(20, "a", model), taught(20, "b", model, teacher_share=0.0)
    assert alone.config["training"]["teacher"] is None
    assert run.step_losses != alone.step_losses
    assert run.metrics["dataset"]["examples"] == alone.metrics["dataset"]["examples"]
    assert zoo_here("eval", "a", "--json").result["losses"] == run.losses


def test_a_taught_model_overfits_less(words_file: Path) -> None:
    """Words whose letters say nothing of the next: the more a net knows of them, the worse it does on others."""
    generator = torch.Generator().manual_seed(1)
    letters = torch.randint(0, 6, (200, 5), generator=generator).tolist()
    words_file.write_text("\n".join("".join("abcdef"[i] for i in word) for word in letters))

    def val(name: str, **options: Any) -> float:
        fixed: dict[str, Any] = {"optimizer": "adamw", "lr": 0.01, "device": "cpu", "plots": False, "out": name}
        cut = {"data.split": (0.3, 0.9)}
        return zoo.run("gru", dataset=words_file, steps=300, settings=cut, **fixed, **options).losses["val"]

    assert val("taught", teacher="ngram", teacher_share=0.8) < val("alone") - 0.1  # it is 0.34


# What a run remembers, and how it goes on


def test_a_config_names_the_teacher_and_what_it_drew(taught: Callable[..., Run]) -> None:
    kept = taught(3, "a").config["training"]["teacher"]
    assert (kept["name"], kept["plugin"]["distribution"], kept["share"]) == ("ngram", "zoo-models", 0.5)
    assert 200 < kept["words"] <= 384
    assert re.fullmatch("[0-9a-f]{64}", kept["sha256"])


def test_the_words_are_drawn_from_the_seed(taught: Callable[..., Run]) -> None:
    kept = [taught(2, name, seed=seed).config["training"]["teacher"] for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    assert kept[0] == kept[1]
    assert kept[0]["sha256"] != kept[2]["sha256"]


def test_a_run_that_was_stopped_and_resumed_has_the_bytes_of_one_go(taught: Callable[..., Run]) -> None:
    taught(23, "whole")
    taught(9, "parts")
    zoo.resume("parts", steps=23, plots=False)
    assert not [name for name in FILES if Path("whole", name).read_bytes() != Path("parts", name).read_bytes()]


def test_a_run_does_not_go_on_with_other_words(taught: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    taught(3, "a")
    monkeypatch.setattr("zoo.training.synthetic.WORDS_FOR_EACH", 4)
    with pytest.raises(CheckpointError, match=r"training.teacher.words: \d+ then, \d+ now"):
        zoo.resume("a", steps=5)


def test_a_run_goes_on_only_with_its_share(taught: Callable[..., Run]) -> None:
    taught(3, "a")
    path = Path("a", "config.json")
    path.write_text(path.read_text().replace('"share": 0.5', '"share": 0.25'))
    with pytest.raises(CheckpointError, match=r"training\.teacher\.share: 0\.5 then, 0\.25 now"):
        zoo.resume("a", steps=5)


def test_the_card_has_the_command_that_makes_the_run_again(taught: Callable[..., Run], zoo_here: Zoo) -> None:
    run = taught(5, "a")
    card = Path("a", "README.md").read_text()
    assert ", and on words that ngram drew (a share of 0.5)." in card
    [line] = re.findall(r"^\$ zoo (run .*)$", card, re.MULTILINE)
    assert zoo_here(*shlex.split(line), "--out", "b", "--no-plots").code == 0
    again = json.loads(Path("b", "config.json").read_text())
    assert again == json.loads(json.dumps(run.config))


# What is refused


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["gru", "--teacher", "rnn"],
            "--teacher rnn: only a model that is fitted to its data can teach, as 'ngram' can",
        ),
        (["gru", "--teacher", "ngrm"], "no model 'ngrm'; did you mean 'ngram'?"),
        (["ngram", "--teacher", "ngram"], "model 'ngram' is fitted to its data, and not trained: leave out --teacher"),
        (
            ["gru", "--teacher-share", "0.5"],
            "--teacher-share is of a teacher's words: give --teacher, too",
        ),
        (
            [*_SHARE, "1"],
            "--teacher-share must be 0 or from 0.05 to 0.95, got 1.0",
        ),
        (
            [*_SHARE, "nan"],
            "--teacher-share must be 0 or from 0.05 to 0.95, got nan",
        ),
        (
            [*_SHARE, "-1"],
            "--teacher-share must be 0 or from 0.05 to 0.95, got -1.0",
        ),
    ],
)
def test_what_cannot_teach_is_one_line(zoo_here: Zoo, arguments: list[str], said: str) -> None:
    outcome = zoo_here("run", *arguments, "--dataset", "names-ssa-2018")
    assert (outcome.code, outcome.out, outcome.err) == (2, "", f"zoo: error: {said}\n")
    assert not Path("runs").exists()


@pytest.mark.parametrize("share", [1.0, 0.04, -0.1, float("nan")])
def test_a_preset_with_such_a_share_cannot_be_made(share: float) -> None:
    with pytest.raises(ValueError, match=r"teacher_share must be 0 or from 0\.05 to 0\.95"):
        zoo.Preset(teacher="ngram", teacher_share=share)


@pytest.mark.parametrize(
    "damage",
    [{"name": 3}, {"share": 2}, {"share": 1e-9}, {"share": 0}, {"share": "x"}, {"share": None}, {"plugin": None}],
)
def test_a_damaged_teacher_is_a_damaged_config(taught: Callable[..., Run], damage: dict[str, Any]) -> None:
    from zoo.storage.config import RunConfig

    raw = json.loads(json.dumps(taught(2, "a").config))
    raw["training"]["teacher"] |= damage
    with pytest.raises(CheckpointError, match=r"has a damaged config: 'training\.teacher"):
        RunConfig.read(raw, Path("a"))


def test_a_preset_may_name_a_teacher(monkeypatch: pytest.MonkeyPatch, words_file: Path) -> None:
    from zoo.runs.plan import RunOptions, make_plan

    registry = load_plugins()[0]
    preset = zoo.Preset(teacher="ngram", teacher_share=0.25)
    registry.models.add(
        Entry(zoo.ModelSpec("net", Counts, presets={"taught": preset}), Plugin("net", "zoo-net", "1.0"))
    )
    monkeypatch.setattr("zoo.runs.plan.is_fitted", lambda entry: entry.spec.name == "ngram")

    def teaching(**options: Any) -> tuple[str, float] | None:
        plan = make_plan(registry, RunOptions("net", dataset=words_file, **options)).teaching
        return (plan.teacher.full_name, plan.share) if plan else None

    assert teaching() == ("zoo-models/ngram", 0.25)
    assert teaching(teacher_share=0.5) == ("zoo-models/ngram", 0.5)
    assert teaching(teacher_share=0.0) is None
