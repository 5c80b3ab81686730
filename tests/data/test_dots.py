"""Words in which `.` occurs: it is a character like others, and token 0 is written as the newline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import pytest
from conftest import Zoo
from matplotlib.figure import Figure

import zoo
from zoo import DataError, UsageError
from zoo.data.encoding import encode_sequences, encode_windows
from zoo.plots.figures import plot_embeddings

DOTTED = [f"jr.{a}{b}" for a in "abeln" for b in "abeln"]
PLAIN = [word.replace(".", "") for word in DOTTED]


@pytest.fixture(scope="module")
def dotted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on words with dots."""
    folder = tmp_path_factory.mktemp("dotted")
    (folder / "dots.txt").write_text("\n".join(DOTTED))
    zoo.run("mlp-char", dataset=folder / "dots.txt", device="cpu", steps=300, lr=0.1, out=folder / "run", plots=False)
    return folder


def test_the_tokens_are_those_of_any_other_character_in_its_place() -> None:
    """`-` sorts before the letters as `.` does, so that both have token 1."""
    dots, dashes = zoo.TextDataset(DOTTED), zoo.TextDataset([word.replace(".", "-") for word in DOTTED])
    assert dots.vocabulary.itos == ("\n", ".", *"abejlnr")
    assert dashes.vocabulary.itos == (".", "-", *"abejlnr")
    for encode in (encode_windows, encode_sequences):
        ours, theirs = (encode(data.splits["train"], data.vocabulary, 7) for data in (dots, dashes))
        assert (ours.x == theirs.x).all()
        assert (ours.y == theirs.y).all()


def test_such_a_run_is_sampled_evaluated_and_resumed(zoo_here: Zoo, dotted: Path) -> None:
    config = zoo.load(dotted / "run").config["dataset"]
    assert config["vocabulary"] == ["\n", ".", *"abejlnr"]
    sampled = zoo_here("sample", dotted / "run", "--prefix", "jr.", "-n", 9, "--json").result["samples"]
    assert all(sample["text"].startswith("jr.") and "\n" not in sample["text"] for sample in sampled)
    assert any(sample["where"] == "train" for sample in sampled)
    assert "jr." in zoo_here("sample", dotted / "run").out
    losses = zoo_here("eval", dotted / "run", "--json").result["losses"]
    assert losses == zoo_here("eval", dotted / "run", "--dataset", dotted / "dots.txt", "--json").result["losses"]
    resumed = zoo_here("resume", dotted / "run", "--steps", 400, "--no-plots", "--json")
    whole = zoo.run("mlp-char", dataset=dotted / "dots.txt", device="cpu", steps=400, lr=0.1, plots=False)
    assert resumed.result["losses"] == whole.losses


def test_the_models_vocabulary_decides(dotted: Path, zoo_here: Zoo, run: Path) -> None:
    """Words without a dot are words for a model that knows dots, and not the other way round."""
    Path("plain.txt").write_text("\n".join(PLAIN))
    Path("b.txt").write_text("\n".join(["a.b", *(a + b for a in "abeln" for b in "abeln")]))
    assert zoo_here("eval", dotted / "run", "--dataset", "plain.txt").code == 0
    outcome = zoo_here("eval", run, "--dataset", "b.txt")
    assert outcome.code == 1
    assert "the word 'a.b' has '.', which is not in the vocabulary 'abeln'" in outcome.err


def test_a_prefix_has_no_boundary(dotted: Path) -> None:
    with pytest.raises(UsageError, match=r"'jr\\n' has '\\n', which is not in the vocabulary '\.abejlnr'"):
        zoo.load(dotted / "run").sample(1, prefix="jr\n")


@pytest.mark.parametrize("bad", ["", "a\nb", "\n"])
def test_empty_words_and_words_with_a_newline_stay_refused(bad: str) -> None:
    with pytest.raises(DataError, match="a word is one line, not empty"):
        zoo.TextDataset([*DOTTED, bad])


def test_synthetic_words_may_have_dots(dotted: Path) -> None:
    run = zoo.run(
        "mlp-char", dataset=dotted / "dots.txt", device="cpu", steps=5, plots=False, synthetic="ngram",
        synthetic_share=0.5,
    )  # fmt: skip
    assert run.config["training"]["synthetic"]["words"] > 0


@pytest.mark.parametrize(
    ("labels", "texts", "legend"),
    [
        (".abq", [".", "a", "b", "q"], ["vowels", "other letters", "start and end (.)", "q"]),
        ("\n.ab", ["⏎", ".", "a", "b"], ["vowels", "other letters", "symbols", "start and end (⏎)"]),
        (["", "\n", " ", "a"], ["start", "⏎", "␣", "a"], ["vowels", "spaces and the like", "start"]),
    ],
)
def test_the_map_shows_the_boundary_of_each_vocabulary(
    monkeypatch: pytest.MonkeyPatch, labels: Sequence[str], texts: list[str], legend: list[str]
) -> None:
    shown: list[list[str]] = []

    def keep(figure: Figure, *_: object) -> bytes:
        [axes] = figure.axes
        shown.append([text.get_text() for text in axes.texts if text.get_text()])
        legend = axes.get_legend()
        assert legend is not None
        shown.append([text.get_text() for text in legend.get_texts()])
        return b""

    monkeypatch.setattr("zoo.plots.figures.embeddings.encode", keep)
    with mpl.rc_context():
        plot_embeddings([[0, 0], [1, 0], [0, 1], [1, 1]], labels, "Embeddings")
    assert shown == [texts, legend]
