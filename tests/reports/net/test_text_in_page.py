"""Nets that read text, in the browser: what is typed, what is sampled, and that it is what torch says."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from browsing import OpenPage
from net_pages import offer_specs, part_of, write_page
from torch import Tensor, nn

import zoo
from zoo.data.vocabulary import Vocabulary
from zoo.reports.net import text
from zoo.reports.net.tracing import UnsupportedError
from zoo.training.text_model import TextModel

MODELS = ["mlp-char", "bigram", "bow", "mlp", "mlp-bn", "ngram", "wavenet", "rnn", "gru", "lstm", "transformer"]
SMALL: dict[str, dict[str, Any]] = {
    "bow": {"n_embd": 8, "n_embd2": 8},
    "mlp": {"n_embd": 4, "n_embd2": 8},
    "gru": {"n_embd2": 8, "ensemble_size": 2},
    "lstm": {"n_embd2": 8, "n_layer": 2},
    "transformer": {"n_embd": 8, "n_head": 2, "n_layer": 2},
}
PLAY = "To be, or not to be: that is\nthe question.\n" * 12
TYPED = {"words": ["", "a", "nea", "abelnabel"], "text": ["", "T", "to be", "o be, or not to be: that is\nthe qu"]}
LOGITS = """async ([number, typed]) => {
  const { model } = [...zoo.net.parts.values()][number];
  const found = [];
  for (const one of typed) found.push(await model.logits([...one].map((c) => model.tokens.get(c)), () => false));
  return found.map((logits) => Array.from(logits));
}"""


def train(model: str, dataset: Path, out: Path, **more: Any) -> Any:
    settings = {f"model.{name}": value for name, value in SMALL.get(model, {}).items()} | more.pop("settings", {})
    options = {"device": "cpu", "steps": 2, "batch_size": 4, "plots": False, **more}
    return zoo.run(model, dataset=dataset, settings=settings, out=out, **options)


@pytest.fixture(scope="module", params=["words", "text"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def all_models(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of all models, each trained for two steps, in a folder with their runs."""
    folder = tmp_path_factory.mktemp(kind)
    data = folder / "data.txt"
    letters = "abeln"
    data.write_text(PLAY if kind == "text" else "\n".join(a + b + c for a in letters for b in letters for c in letters))
    given: dict[str, Any] = {"data.format": "text"} if kind == "text" else {}
    for model in MODELS:
        blocks = {"model.max_length": 34} if kind == "text" and model in ("bow", "mlp", "transformer") else {}
        rotary = {"model.rotary": True} if kind == "text" and model == "transformer" else {}
        train(model, data, folder / model, settings={**given, **blocks, **rotary})
    return write_page(folder / "nets.html", *(folder / model for model in MODELS))


def test_the_logits_of_every_model_are_those_of_torch(kind: str, all_models: Path, open_page: OpenPage) -> None:
    """Of contexts of all lengths: at the beginning, shorter and longer than what the model reads at once."""
    page = open_page(all_models)
    for number, model in enumerate(MODELS):
        loaded = zoo.load(all_models.parent / model)
        read = loaded.as_text()
        typed = [one for one in TYPED[kind] if kind == "text" or read.reads == "windows" or len(one) < read.length]
        found = page.evaluate(LOGITS, [number, typed])
        with torch.no_grad():
            wanted = [read.next_logits(torch.tensor([read.context(one)]))[0] for one in typed]
        torch.testing.assert_close(torch.tensor(found).float(), torch.stack(wanted), rtol=0, atol=1e-4)


def test_what_is_typed_changes_the_bars_to_torchs_numbers(kind: str, all_models: Path, open_page: OpenPage) -> None:
    page = open_page(all_models)
    typed = "na" if kind == "words" else "to be: t"
    for model, part in zip(MODELS, page.locator("#net .part").all(), strict=True):
        part.locator(".order").select_option("vocabulary")
        part.locator(".context").fill(typed[:-1])
        part.locator(".context").press_sequentially(typed[-1])
        wanted = zoo.load(all_models.parent / model).predict(typed).probabilities[0]
        part.locator(".bars:not(.empty)").wait_for()
        page.wait_for_function("document.querySelectorAll('.told').length > 0")
        page.evaluate("Promise.all([...zoo.net.parts.values()].map((part) => part.model.net.last))")
        shown = [float(one.strip("<>\u00a0%")) / 100 for one in part.locator(".percent").all_inner_texts()]
        torch.testing.assert_close(torch.tensor(shown).double(), wanted, rtol=0, atol=6e-4, msg=model)
        part.locator(".order").select_option("probability")
        shown = [float(one.strip("<>\u00a0%")) for one in part.locator(".percent").all_inner_texts()]
        assert shown == sorted(shown, reverse=True)


def test_the_likelihood_of_a_word_is_that_of_zoo_predict(kind: str, all_models: Path, open_page: OpenPage) -> None:
    if kind == "text":
        pytest.skip("of words")
    page = open_page(all_models)
    for model, part in zip(MODELS, page.locator("#net .part").all(), strict=True):
        part.locator(".context").fill("abe")
        [wanted] = zoo.load(all_models.parent / model).likelihood("abe")
        part.locator(".whole-word:not(:empty)").wait_for(state="attached")
        said = part.locator(".whole-word").inner_text()
        assert f"loss {wanted.loss:.3f} nats per character, in the training split" in said, model
        times, exponent = re.findall(r"1 in ([\d,.]+)(?: × 10([⁰¹²³⁴⁵⁶⁷⁸⁹]+))?, loss", said)[0]
        power = int(exponent.translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")) or "0")
        one_in = float(times.replace(",", "")) * 10**power
        assert one_in == pytest.approx(math.exp(-wanted.nats), rel=0.05, abs=1)


def test_the_likelihood_of_a_word_that_is_next_to_impossible(
    words_file: Path, tmp_path: Path, open_page: OpenPage
) -> None:
    """Its probability, and that of its characters, is too small for a number: not so their logarithms."""
    train("mlp-char", words_file, tmp_path / "sure", steps=20, lr=500.0)
    part = open_page(write_page(tmp_path / "sure.html", tmp_path / "sure")).locator("#net .part")
    loaded = zoo.load(tmp_path / "sure")
    letters = list(loaded.vocabulary)[1:]
    found = loaded.likelihood([a + b + a for a in letters for b in letters])
    wanted = min(found, key=lambda one: one.nats)
    assert wanted.nats < -2000
    part.locator(".context").fill(wanted.text)
    part.locator(".whole-word:not(:empty)").wait_for(state="attached")
    said = part.locator(".whole-word").inner_text()
    [loss] = re.findall(r"loss ([\d.]+) nats per character", said)
    assert float(loss) == pytest.approx(wanted.loss, rel=1e-6)
    digits, raised = re.findall("1 in ([0-9.]+) × 10([⁰¹²³⁴-⁹]+),", said)[0]
    exponent = raised.translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789"))
    assert math.log10(float(digits)) + int(exponent) == pytest.approx(-wanted.nats / math.log(10), abs=0.1)


def test_logits_that_are_nan_are_told_and_not_sampled_from(
    words_file: Path, tmp_path: Path, open_page: OpenPage
) -> None:
    train("mlp-char", words_file, tmp_path / "net")
    write_page(tmp_path / "net.html", tmp_path / "net")
    page = open_page(tmp_path / "net.html")
    page.evaluate("[...zoo.net.parts.values()][0].model.net.constants.forEach(({ data }) => data.fill(NaN))")
    page.locator(".context").fill("a")
    page.locator(".told", has_text="For this input the output of the net is NaN or infinite.").wait_for()
    assert set(page.locator(".percent").all_inner_texts()) == {""}
    page.locator(".sampling button").click()
    page.locator(".sampled[aria-busy=false]").wait_for(state="attached")
    assert page.locator(".sampled tbody tr").count() == 0


# One net, with its page


@pytest.fixture
def one(words_file: Path, tmp_path: Path) -> Path:
    """The page of the lecture's net after some steps."""
    train("mlp-char", words_file, tmp_path / "one", steps=300)
    return write_page(tmp_path / "one.html", tmp_path / "one")


def test_a_click_on_a_bar_appends_its_character(one: Path, open_page: OpenPage) -> None:
    page = open_page(one)
    context = page.locator(".context")
    page.get_by_role("button", name=re.compile("^n ")).click()
    page.get_by_role("button", name=re.compile("^e ")).press("Enter")
    assert context.input_value() == "ne"
    assert page.evaluate("document.activeElement.querySelector('.name').textContent") == "e"
    page.get_by_role("button", name=re.compile("^end of word ")).click()
    assert context.input_value() == ""


def test_what_the_net_cannot_read_is_said(one: Path, open_page: OpenPage) -> None:
    page = open_page(one)
    page.locator(".context").fill("aZ b\u202e.Z")
    assert page.locator(".told").inner_text() == "Not in the vocabulary: Z ␣ U+202E ."
    assert set(page.locator(".percent").all_inner_texts()) == {""}
    assert page.get_by_role("button", name=re.compile("^a")).first.is_disabled()
    page.locator(".context").fill("a" * 101)
    assert page.locator(".told").inner_text() == "Too long for this net: at most 100 characters"
    page.locator(".clear").click()
    assert "Most probable: " in page.locator(".told").inner_text()


def sampled(page: Any, **fields: object) -> list[list[str]]:
    for name, value in fields.items():
        page.locator(f"[name={name}]").fill(str(value))
    page.locator(".sampling button").click()
    page.locator(".sampled[aria-busy=false] tr").first.wait_for()
    return [row.split("\t") for row in page.locator(".sampled tbody tr").all_inner_texts()]


def test_samples_repeat_with_their_seed_and_follow_the_probabilities(
    one: Path, words_file: Path, open_page: OpenPage
) -> None:
    loaded = zoo.load(one.with_suffix(""))
    training = set(words_file.read_text().split()[:48])
    page = open_page(one)
    first, other, again = (sampled(page, count=20, seed=seed) for seed in (1, 2, 1))
    assert first == again != other
    for word, loss, known in first:
        assert float(loss) == pytest.approx(loaded.likelihood(word)[0].loss, abs=1e-3) if word else True
        assert known == ("yes" if word in training else "no")
    draw = """async (temperature) => {
      const { model } = [...zoo.net.parts.values()][0];
      const settings = { count: 1, temperature, random: new zoo.net.Random(3), isStale: () => false };
      const words = [];
      for (let i = 0; i < 4000; i++) words.push(model.decode(await model.sample([], settings)));
      return words;
    }"""
    for temperature in (1, 5):
        counts = Counter(word[:1] for word in page.evaluate(draw, temperature))
        logits = loaded.predict("").probabilities[0].log() / temperature
        wanted = logits.softmax(0)
        found = torch.tensor([counts["" if i == 0 else c] / 4000 for i, c in enumerate(loaded.vocabulary)])
        assert float((found - wanted).abs().max()) < 4 * 0.5 / 4000**0.5
    assert len(set(page.evaluate(draw, 0))) == 1


def test_samples_begin_with_what_is_typed(one: Path, open_page: OpenPage) -> None:
    page = open_page(one)
    page.locator(".context").fill("ne")
    assert all(row[0].startswith("ne") for row in sampled(page, count=100, temperature=0.5))


def test_running_text_is_sampled_as_it_comes(tmp_path: Path, open_page: OpenPage) -> None:
    play = tmp_path / "play.txt"
    play.write_text(PLAY)
    train("bigram", play, tmp_path / "run", settings={"data.format": "text"})
    page = open_page(write_page(tmp_path / "text.html", tmp_path / "run"), width=390)
    page.locator(".context").fill("To\nbe")
    page.locator("[name=count]").fill("150")
    page.locator(".sampling button").click()
    page.locator(".sampled[aria-busy=false] pre").wait_for()
    found = page.locator(".sampled pre").inner_text()
    assert found.startswith("To\nbe")
    assert len(found) == 155
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_newer_sample_replaces_one_that_is_not_finished(one: Path, open_page: OpenPage) -> None:
    page = open_page(one)
    page.evaluate("zoo.net.Pause.prototype.ifDue = () => new Promise((go) => setTimeout(go))")
    page.locator("[name=count]").fill("100")
    for _ in range(2):
        page.locator(".sampling button").click()
    page.locator("[name=count]").fill("3")
    assert len(sampled(page, count=3)) == 3


# What does not run


class Sequences(nn.Module):
    """Logits of each position of words (B, T), in a way that is wrong in a page."""

    def __init__(self, vocab_size: int, max_length: int, generator: torch.Generator, how: str = "") -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(vocab_size, vocab_size, generator=generator))
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.table[x]
        if self.how == "ahead":
            return logits + logits.mean(1, keepdim=True)
        if self.how == "branch":
            return logits * (2 if int(x[0, 0]) else 1)
        if self.how == "lists":
            return logits * float(1 + sum(x[0].tolist()))
        if self.how == "unknown":
            logits = torch.fft.fft(logits).real
        return logits


REASONS = {
    "ahead": "does not compute the same for every input",
    "branch": "does not compute the same for every input",
    "lists": "does not compute the same for every input",
    "unknown": "computes _fft_r2c, for which the page has no operation",
}


def test_a_net_that_cannot_run_in_the_page_says_why(
    words_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: OpenPage
) -> None:
    """No numbers that could be wrong, and the other nets of the page run."""
    spec = zoo.ModelSpec(
        "odd", Sequences, dataset="names", optimizer="sgd", steps=1, batch_size=4, lr=0.1, reads="sequences"
    )
    offer_specs(monkeypatch, spec)
    for how in REASONS:
        train("odd", words_file, tmp_path / how, steps=1, settings={"model.how": how})
    train("bigram", words_file, tmp_path / "bigram")
    page = open_page(write_page(tmp_path / "page.html", *(tmp_path / how for how in REASONS), tmp_path / "bigram"))
    for how, part in zip(REASONS, page.locator("#net .part").all(), strict=False):
        assert f"The net does not run in this page: it {REASONS[how]}" in part.inner_text()
        assert part.locator("input, button").count() == 0
    assert "Most probable" in page.locator("#net .part").last.inner_text()


def test_a_guard_that_does_not_hold_is_told_in_the_page(one: Path, open_page: OpenPage) -> None:
    page = open_page(one)
    page.evaluate("[...zoo.net.parts.values()][0].model.net.programs[0].guards.push([1, 123])")
    page.locator(".context").fill("ab")
    page.locator(".bars.empty").wait_for()
    assert "takes a way that this page does not have" in page.locator(".told").inner_text()


def of_text(module: nn.Module, reads: Any, length: int, running: bool = True) -> TextModel:
    return TextModel(module.eval(), Vocabulary("abcde"), reads, length, running)


def test_what_a_page_cannot_read_is_said() -> None:
    long = zoo.create_model("transformer", vocab_size=6, max_length=300, n_layer=1)
    with pytest.raises(UnsupportedError, match="reads 300 positions, and the page computes up to 256"):
        text.offer(of_text(long, "sequences", 300), None)
    bigram = zoo.create_model("bigram", vocab_size=6)
    with pytest.raises(UnsupportedError, match="reads the tokens of a tokenizer"):
        text.offer(TextModel(bigram, object(), "windows", 1, True), None)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match="vocabulary without characters"):
        text.offer(TextModel(bigram, Vocabulary(""), "windows", 1, False), None)


@pytest.mark.parametrize(
    "words", [[], ["a"], ["anna", "ann", "annabel", "b"], ["zoë", "zo", "葵"], ["ab" * 20, "ab" * 19]]
)
def test_words_of_the_training_split_are_there(words: list[str], tmp_path: Path, open_page: OpenPage) -> None:
    coded = text.front_coded(words)
    if max(map(len, words), default=0) > 30:
        assert coded is None
        return
    assert coded is not None
    before, decoded = "", set()
    for line in coded.split("\n") if coded else []:
        before = before[: ord(line[0]) - ord("a")] + line[1:]
        decoded.add(before)
    assert decoded == set(words)


def test_long_lists_of_words_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_MOST_KNOWN", 20)
    assert text.front_coded(["anna", "bert", "carla"]) is not None
    assert text.front_coded(["anna", "bert", "carla", "doris"]) is None


def test_the_same_net_gives_the_same_data(words_file: Path, tmp_path: Path) -> None:
    train("transformer", words_file, tmp_path / "run")
    assert part_of(tmp_path / "run").data == part_of(tmp_path / "run").data
