"""What objects show of themselves, as text and in a notebook: short, safe, and of every public class."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from browsing import OpenPage

import zoo
from zoo import html
from zoo.data.examples import GatheredExamples, TensorExamples
from zoo.data.loading import encode
from zoo.data.splits import Pair, Sampled
from zoo.plugin.registry import Entry, Registry
from zoo.runs.result import Run
from zoo.storage.config import RunConfig
from zoo.storage.loading import Loaded
from zoo.text import brief, listed, visible
from zoo.training.prediction.results import Likelihood, Probabilities
from zoo.training.sampling import request

NASTY = "\x1b[2J\u202e<script>alert(1)</script>&amp;\"'"
LONG = NASTY * 200
WORDS = [f"{NASTY}{number}" for number in range(40)]
CHARACTERS = "".join(map(chr, range(0x4E00, 0x9000)))

SPECS: list[Callable[[], Any]] = [
    lambda: zoo.ModelSpec("m", "a.b:c", summary="x" * 5000, references=("y" * 5000,), steps=7),
    lambda: zoo.DatasetSpec("d", "a.b:c", summary="x" * 5000, description="y" * 5000),
    lambda: zoo.OptimizerSpec("o", lambda params, lr: None, summary="x" * 5000),
    lambda: zoo.LoggerSpec("l", "a.b:c", description="y" * 5000),
]
DATASETS: list[Callable[[], Any]] = [
    lambda: zoo.TextDataset(WORDS),
    lambda: zoo.TextDataset([LONG, *CHARACTERS]),
    lambda: zoo.CorpusDataset(LONG),
    lambda: zoo.CorpusDataset(CHARACTERS),
    lambda: zoo.CorpusDataset("a b c " * 20, tokenizer=Bytes()),
    lambda: zoo.TensorDataset(*[(rand(20, 3, 8, 8), torch.zeros(20, dtype=torch.int64))] * 3, classes=WORDS),
    lambda: zoo.TensorDataset(*[rand(20, 2)] * 3, provides={f"name{i}": LONG for i in range(50)}),
]
PREDICTIONS: list[Callable[[], Any]] = [
    lambda: Probabilities(rand(1, 40).softmax(1).double(), tuple(WORDS)),
    lambda: Probabilities(rand(3000, 7, 40).softmax(2).double(), tuple(WORDS)),
    lambda: Likelihood(LONG, -7.5, 3),
    lambda: request.Sampled([LONG] * 50, "words", 50),
    lambda: request.Sampled(rand(20, 8, 8), "generate", 20),
]
OTHERS: list[Callable[[], Any]] = [
    lambda: zoo.Vocabulary(CHARACTERS),
    lambda: zoo.Vocabulary(NASTY),
    lambda: zoo.TextDataset(WORDS).splits["train"],
    lambda: zoo.Fetcher(cache=Path(LONG), mirror="https://me:secret@mirror.test/files"),
    lambda: zoo.Observer(),
    lambda: zoo.Preset(steps=5, summary="x" * 5000, settings={f"model.name{i}": "y" * 100 for i in range(50)}),
    lambda: zoo.Schedule(milestones=tuple(range(1, 5000))),
    lambda: Pair(rand(500, 9), rand(500)),
    lambda: Sampled(rand(500, 9), None),
    lambda: TensorExamples(rand(500, 9), rand(500), torch.float32),
    lambda: gathered(),
    *(lambda reads=reads: encode(zoo.CorpusDataset("abc" * 50), reads, 5)["val"] for reads in ("windows", "sequences")),
]
PLAIN_FUNCTIONS = {"hookimpl"}  # of pluggy


class Bytes:
    """A tokenizer."""

    vocab_size = 256

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: list[int]) -> str:
        return bytes(ids).decode(errors="replace")


def rand(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(3))


def gathered() -> GatheredExamples:
    split: Any = [None] * 9000
    x, y = rand(1, 3, 8), torch.zeros(1)
    return GatheredExamples(split, "me", "train", (x, y), None, None, torch.device("cpu"))


@pytest.fixture(scope="module")
def shown(made: Path) -> list[Any]:
    """One or more objects of each class that a person meets, long, and with texts from anyone."""
    registry, loaded = zoo.api._registry(), zoo.load(made)
    config: dict[str, Any] = copy.deepcopy(loaded.config)
    for part in ("model", "dataset", "optimizer"):
        config[part]["name"] = LONG
    metrics = {**loaded.metrics, "model": LONG, "loss_unit": LONG, "metrics": {"val": {NASTY: 1.5}}}
    errors = [getattr(zoo, name) for name in vars(zoo)["__all__"] if name.endswith("Error")]
    return [
        *(make() for make in (*SPECS, *DATASETS, *PREDICTIONS, *OTHERS)),
        *(error(LONG, 2) if error is zoo.InterruptedRunError else error(LONG) for error in errors),
        loaded,
        dataclasses.replace(loaded, path=Path(LONG), config=config),
        loaded.checked,
        Run(Path(LONG), metrics, config, [2.5] * 200_000, loaded.model),
        Run(made, loaded.metrics, loaded.config, [2.5] * 4, loaded.model, resumed_at=2),
        registry,
        registry.models,
        Entry(SPECS[0](), loaded.entry.plugin),
    ]


class Page(HTMLParser):
    """The texts and tags of a piece of a page, which must be closed in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts, self.tags, self._open = list[str](), set[str](), list[str]()
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert {name for name, _ in attrs} <= {"style"}
        self.tags.add(tag)
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_every_public_class_is_among_them(shown: list[Any]) -> None:
    classes = {name for name in vars(zoo)["__all__"] if inspect.isclass(getattr(zoo, name))} - PLAIN_FUNCTIONS
    assert classes <= {type(one).__name__ for one in shown}
    results = {Run, Loaded, RunConfig, Registry, Entry, Probabilities, Likelihood, request.Sampled}
    assert results <= {type(one) for one in shown}


def test_a_repr_is_one_short_line_without_control_characters(shown: list[Any]) -> None:
    for one in shown:
        text = repr(one)
        assert len(text) <= 320, type(one)
        assert visible(text) == text, type(one)
        assert not text.startswith("<") or " object at 0x" not in text or type(one) is zoo.Observer, text
        assert "secret" not in text


IN_A_TABLE = {Run, Loaded, zoo.TextDataset, zoo.CorpusDataset, zoo.TensorDataset, Probabilities, Likelihood}


def test_a_notebook_shows_small_tables_of_escaped_text(shown: list[Any]) -> None:
    found = set()
    for one in shown:
        if not hasattr(one, "_repr_html_"):
            continue
        found.add(type(one))
        text = one._repr_html_()
        page = Page(text)
        assert page.tags <= {"div", "b", "table", "tr", "th", "td", "span"}, type(one)
        assert len("".join(page.texts)) <= 1600, type(one)
        assert all(visible(line) == line for line in page.texts)
        assert len(text) <= 5000, type(one)
    assert found == IN_A_TABLE


def test_the_table_of_a_run_has_its_figures(made: Path) -> None:
    loaded = zoo.load(made)
    run = Run(made, loaded.metrics, loaded.config, [2.5] * 4, loaded.model)
    texts = Page(run._repr_html_()).texts
    assert texts[0].startswith("Run ")
    assert "loss (nats)" in texts
    for split, loss in run.losses.items():
        at = texts.index(split)
        assert texts[at + 1 : at + 3] == [f"{loaded.config['dataset']['examples'][split]:,}", f"{loss:.4f}"]
    assert f"{loaded.config['model']['parameters']:,} parameters" in " ".join(texts)
    assert texts[1:] == Page(loaded._repr_html_()).texts[1:]
    assert len(run._repr_html_()) < 1600


def test_the_time_of_a_resumed_run_is_said_to_be_that_of_its_last_steps(made: Path) -> None:
    loaded = zoo.load(made)
    run = Run(made, loaded.metrics, loaded.config, [], loaded.model, resumed_at=1)
    assert "the last 3 steps in" in run._repr_html_()


@pytest.mark.parametrize("place", ["model.parameters", "optimizer", "training.lr", "dataset.examples"])
@pytest.mark.parametrize("value", [None, "many", [1], {}])
def test_a_config_that_says_anything_is_shown_without_an_error(made: Path, place: str, value: object) -> None:
    loaded = zoo.load(made)
    config: Any = copy.deepcopy(loaded.config)
    *parents, last = place.split(".")
    for parent in parents:
        config = config[parent]
    config[last] = value
    text = dataclasses.replace(loaded, config=config)._repr_html_()
    assert Page(text).texts[0].endswith("model.safetensors")


def test_probabilities_have_their_numbers_and_bars_of_their_lengths() -> None:
    text = Probabilities(torch.tensor([[0.25, 0.75]]).double(), (" ", "b"))._repr_html_()
    assert Page(text).texts[1:] == ["b", "0.7500", "' '", "0.2500"]
    assert text.index("width:9.00em") < text.index("width:3.00em")
    several = Probabilities(torch.eye(50, 9).double(), tuple("abcdefghi"))._repr_html_()
    assert Page(several).texts[-1] == "… and 45 more inputs"


@pytest.mark.parametrize("text", ["a" * 500, NASTY, "\n" * 100, "", "é" * 41])
def test_brief_is_short_and_visible(text: str) -> None:
    assert len(brief(text, 40)) <= 40 or len(text) <= 40
    assert visible(brief(text)) == brief(text)


def test_listed_reads_no_more_than_it_shows() -> None:
    def words() -> Iterator[str]:
        yield from "abc"
        raise AssertionError("read further than needed")

    assert listed(words(), 2) == "a, b, …"
    assert listed("ab", 2) == "a, b"
    assert listed("", 2) == ""


@pytest.mark.parametrize("dark", [False, True])
def test_tables_are_readable_on_a_light_page_and_a_dark_one(tmp_path: Path, open_page: OpenPage, *, dark: bool) -> None:
    parts = [
        html.table(["split", "loss"], [["train", "2.12"], [NASTY, "3"]]),
        html.bars([("", NASTY, "0.5", 0.5)]),
        html.titled(NASTY, html.facts({NASTY: NASTY}), html.line(NASTY)),
    ]
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><style>:root{{color-scheme:light dark}}</style><div id=all>{''.join(parts)}</div>")
    opened = open_page(page, width=390, dark=dark)
    assert opened.locator("script").count() == 0
    assert opened.locator("#all").inner_text().count("<script>") == 6
    colours = opened.evaluate("[...document.querySelectorAll('td,th,b')].map(e => getComputedStyle(e).color)")
    colours += opened.evaluate("[getComputedStyle(document.querySelector('span')).backgroundColor]")
    assert set(colours) == {"rgb(255, 255, 255)" if dark else "rgb(0, 0, 0)"}
    bar = opened.locator("span").bounding_box()
    assert bar is not None
    assert bar["width"] == pytest.approx(6 * 16, abs=1)
