"""`zoo sample`: options × kinds of models."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import Zoo
from dropping import install
from matplotlib.image import imread
from trained_plugin import SIDE, train

import zoo

SEED = re.compile(r"^Sampled with seed (\d+): --seed \1 samples the same again\n$")


@pytest.mark.parametrize("model", ["mlp-char", "ngram", "gru"])
def test_a_seed_is_drawn_and_printed_and_samples_the_same_again(model: str, zoo_here: Zoo) -> None:
    drawn, other = (zoo_here("sample", model, "-n", 5) for _ in range(2))
    match = SEED.match(drawn.err)
    assert match
    assert drawn.err != other.err
    again = zoo_here("sample", model, "-n", 5, "--seed", match[1])
    assert (again.out, again.err) == (drawn.out, "")
    as_json = zoo_here("sample", model, "-n", 5, "--json")
    assert as_json.err == ""
    repeated = zoo_here("sample", model, "-n", 5, "--json", "--seed", as_json.result["seed"])
    assert repeated.out == as_json.out


@pytest.mark.parametrize("options", [("--new",), ("--unique",), ("--new", "--unique")])
def test_new_words_are_in_no_split_and_unique_ones_come_once(options: tuple[str, ...], zoo_here: Zoo) -> None:
    result = zoo_here("sample", "ngram", "-n", 60, "--seed", 1, "--temperature", 0.4, *options, "--json").result
    words = [sample["text"] for sample in result["samples"]]
    assert len(words) == 60 < result["tries"]
    assert "" not in words
    if "--new" in options:
        known = zoo.load_dataset("names-ssa-2018") if hasattr(zoo, "load_dataset") else None
        assert {sample["where"] for sample in result["samples"]} == {"new"}
        assert result["counts"] == {"train": 0, "held_out": 0, "new": 60, "empty": 0}
        assert known is None or not {*words} & {*known.words}
    if "--unique" in options:
        assert len({*words}) == 60


def test_a_model_without_new_words_ends_and_says_so(zoo_here: Zoo) -> None:
    outcome = zoo_here("sample", "ngram", "-n", 3, "--temperature", 0, "--unique", "--seed", 1)
    assert outcome.code == 0
    assert outcome.err == (
        "zoo: warning: found 1 of the 3 wanted words among 1,000 that were sampled: a higher temperature gives others\n"
    )
    assert outcome.out.count("\n") == 4
    with pytest.warns(UserWarning, match="found 1 of the 3 wanted words"):
        assert len(zoo.load("ngram").sample(3, temperature=0, unique=True)) == 1


def test_new_words_need_the_data(zoo_here: Zoo, words_file: Path) -> None:
    zoo_here("run", "mlp-char", "--dataset", words_file, "--steps", 5, "--no-plots", "--out", "here")
    words_file.rename(words_file.with_name("elsewhere.txt"))
    outcome = zoo_here("sample", "here", "--new", "--seed", 1)
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)
    assert "--dataset" in outcome.err
    given = zoo_here("sample", "here", "--new", "--seed", 1, "--dataset", words_file.with_name("elsewhere.txt"))
    assert given.code == 0


@pytest.mark.parametrize("words", [["a", "", "b"], ["", ""]])
def test_an_empty_word_is_seen_and_is_no_unseen_one(
    words: list[str], zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.training.trained.sample", lambda *_, **__: words)
    shown = zoo_here("sample", "ngram", "--seed", 1).out
    assert shown.count("(empty)") == words.count("")
    assert shown.endswith(f", {words.count('')} empty\n")
    counts = zoo_here("sample", "ngram", "--seed", 1, "--json").result["counts"]
    assert (counts["new"], counts["empty"]) == (len([word for word in words if word]), words.count(""))
    assert zoo_here("sample", "ngram", "--seed", 1, "--plain").out == "".join(f"{word}\n" for word in words)


def test_plain_is_the_samples_alone(zoo_here: Zoo, words_file: Path) -> None:
    outcome = zoo_here("sample", "gru", "-n", 4, "--plain", "--seed", 1)
    words = zoo.load("gru").sample(4, seed=1)
    assert (outcome.out, outcome.err) == ("".join(f"{word}\n" for word in words), "")


def test_a_file_is_written_and_never_overwritten(zoo_here: Zoo) -> None:
    outcome = zoo_here("sample", "gru", "-n", 4, "--out", "words.txt", "--seed", 1)
    assert outcome.out == "words.txt\n"
    assert Path("words.txt").read_text().splitlines() == zoo.load("gru").sample(4, seed=1)
    before = Path("words.txt").read_bytes()
    for args, message in (
        (("--out", "words.txt"), "--out 'words.txt' is there already: name another file, or remove it"),
        (("--out", "words.png"), "--out 'words.png': these samples are texts"),
        (("--out", "."), "is there already"),
        (("--out", "nowhere/words.txt"), "--out 'nowhere/words.txt': there is no folder 'nowhere'"),
        (("--plain", "--json"), "--plain and --json exclude each other"),
    ):
        failed = zoo_here("sample", "gru", *args)
        assert (failed.code, failed.err.count("\n")) == (2, 1)
        assert message in failed.err
    assert Path("words.txt").read_bytes() == before


KINDS = {"words": "ngram", "generate": "pictures"}
OPTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # the kinds that take an option, and what is given
    "--temperature": (("words",), ("--temperature", "2")),
    "--top-k": (("words",), ("--top-k", "3")),
    "--prefix": (("words",), ("--prefix", "a")),
    "--new": (("words",), ("--new",)),
    "--unique": (("words",), ("--unique",)),
    "--prompt": ((), ("--prompt", "a")),
    "--length": ((), ("--length", "4")),
    "--set": (("generate",), ("--set", "generate.brightness=0.5")),
    "--seed": (("words", "generate"), ("--seed", "4")),
    "-n": (("words", "generate"), ("-n", "2")),
    "--json": (("words", "generate"), ("--json",)),
    "--plain": (("words", "generate"), ("--plain",)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_takes_its_options_and_refuses_others(
    kind: str, zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(monkeypatch, "pictures")
    for option, (kinds, args) in OPTIONS.items():
        outcome = zoo_here("sample", KINDS[kind], *args, *([] if "-n" in args else ["-n", 2]))
        assert outcome.code == (0 if kind in kinds else 2), (option, outcome.err)
        if kind not in kinds:
            assert f"{option} is for a model that samples" in outcome.err
            assert outcome.err.count("\n") == 1
            assert ("use --prefix" in outcome.err) == (option == "--prompt" and kind == "words")


def pixels(path: str) -> Any:
    return imread(io.BytesIO(Path(path).read_bytes()), format="png")


def test_pictures_are_one_png_that_overwrites_nothing(zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    train(monkeypatch, "pictures")
    first = zoo_here("sample", "pictures", "-n", 4, "--seed", 1)
    assert (first.out, first.err) == ("samples.png\n", "")
    scale = -(-64 // SIDE)
    assert pixels("samples.png").shape == (2 * SIDE * scale + 2, 2 * SIDE * scale + 2, 3)
    second = zoo_here("sample", "pictures", "-n", 4, "--seed", 1, "--json").result
    assert second["pictures"] == {"file": "samples-2.png", "shape": [4, SIDE, SIDE]}
    assert Path("samples.png").read_bytes() == Path("samples-2.png").read_bytes()
    assert zoo_here("sample", "pictures", "--out", "mine.png").code == 0
    failed = zoo_here("sample", "pictures", "--out", "mine.txt")
    assert (failed.code, "name a file with the suffix .png" in failed.err) == (2, True)
    assert not Path("mine.txt").exists()


def test_texts_of_generate_are_shown_as_they_are(zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = train(monkeypatch, "texts")
    made = loaded.sample(2, seed=1)
    assert zoo_here("sample", "texts", "-n", 2, "--seed", 1).out == "".join(f"{text}\n" for text in made)
    samples = zoo_here("sample", "texts", "-n", 2, "--seed", 1, "--json").result["samples"]
    assert [sample["text"] for sample in samples] == made


@pytest.mark.parametrize("call", ["command", "Python"])
def test_a_model_of_tensors_without_generate_says_what_it_is_for(
    call: str, zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = train(monkeypatch, "classifier")
    message = "model 'classifier' was not trained on text, and its spec has no 'generate': there is nothing to sample; "
    if call == "Python":
        with pytest.raises(zoo.UsageError) as error:
            loaded.sample(3)
        assert str(error.value) == f"{message}predict() and evaluate() are for it"
    else:
        outcome = zoo_here("sample", "classifier")
        told = f"zoo: error: {message}'zoo predict' and 'zoo eval' are for it\n"
        assert (outcome.code, outcome.err) == (2, told)


@pytest.fixture
def running(tmp_path: Path) -> Path:
    """A run on running text, of lines with a full stop."""
    text = tmp_path / "text.txt"
    text.write_text("To be, or not to be.\nThat is it.\n" * 40)
    settings = {"data.format": "text", "model.max_length": 16}
    options: dict[str, Any] = {"device": "cpu", "plots": False, "steps": 5, "batch_size": 4}
    return zoo.run("gru", dataset=text, settings=settings, out=tmp_path / "running", **options).path


def test_running_text_goes_on_after_the_prompt(running: Path, zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = zoo.load(running)
    [expected] = loaded.sample(seed=1, prompt="To\nbe", length=80)
    assert len(expected) == 85
    outcome = zoo_here("sample", running, "--prompt", "To\\nbe", "--length", 80, "--seed", 1)
    assert (outcome.out, outcome.err) == (expected + "\n", "")
    monkeypatch.setattr("sys.stdin", io.StringIO("To\nbe"))
    result = zoo_here("sample", running, "--prompt", "-", "--length", 80, "--seed", 1, "--json").result
    assert [sample["text"] for sample in result["samples"]] == [expected]
    two = zoo_here("sample", running, "-n", 2, "--length", 9, "--seed", 1)
    assert [two.out.count(f"sample {number} of 2") for number in (1, 2)] == [1, 1]
    for option in ("--prefix", "a"), ("--new",), ("--unique",), ("--set", "generate.a=1"):
        refused = zoo_here("sample", running, *option)
        assert (refused.code, refused.err.count("\n")) == (2, 1)
        assert f"{option[0]} is for a model that samples" in refused.err


@pytest.mark.parametrize("model", ["gru", "transformer", "mlp-char"])
def test_the_likelihood_of_the_training_text_is_its_loss(model: str, tmp_path: Path) -> None:
    text = "To be, or not to be.\nThat is it.\n" * 9
    (tmp_path / "text.txt").write_text(text)
    settings = {"data.format": "text"} | ({} if model == "mlp-char" else {"model.max_length": 16})
    options: dict[str, Any] = {"device": "cpu", "plots": False, "steps": 3, "batch_size": 4}
    run = zoo.run(model, dataset=tmp_path / "text.txt", settings=settings, out=tmp_path / "run", **options)
    [found] = zoo.load(run.path).likelihood(text[: int(len(text) * 0.8)])
    assert found.loss == pytest.approx(run.losses["train"], abs=1e-6)


class Pairs:
    """Pairs of letters are tokens."""

    vocab_size = 9

    def encode(self, text: str) -> list[int]:
        return [3 * "abc".index(text[i]) + "abc".index(text[i + 1]) for i in range(0, len(text), 2)]

    def decode(self, ids: list[int]) -> str:
        return "".join("abc"[i // 3] + "abc"[i % 3] for i in ids)


class Corpus:
    @zoo.hookimpl
    def zoo_datasets(self) -> list[zoo.DatasetSpec]:
        return [zoo.DatasetSpec("pairs", lambda: zoo.CorpusDataset("abacbccaab" * 30, tokenizer=Pairs()))]


def test_text_of_a_tokenizer_is_sampled_with_that_of_its_data(
    zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patch:
        install(patch, Corpus(), "zoo-pairs")
        options: dict[str, Any] = {"device": "cpu", "plots": False, "steps": 3, "batch_size": 4}
        run = zoo.run("gru", dataset="pairs", settings={"model.max_length": 8}, out=tmp_path / "run", **options).path
        loaded = zoo.load(run)
        [text] = loaded.sample(seed=1, prompt="abca", length=20)
        assert len(text) == 44
        assert loaded.predict("ab").probabilities.shape == (1, 10)
        assert loaded.likelihood("abca")[0].count == 2
    failed = zoo_here("sample", run)
    assert (failed.code, failed.err.count("\n"), "zoo-pairs" in failed.err) == (1, 1, True)
