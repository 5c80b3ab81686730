"""Predictions against the model's own outputs, and likelihoods against its losses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from trained_plugin import FEATURES, NAMES, train

import zoo
from zoo.data.loading import encode_words
from zoo.data.vocabulary import START, Vocabulary
from zoo.training import text_model
from zoo.training.evaluation import evaluate
from zoo.training.prediction import tensors
from zoo.training.prediction.results import Probabilities
from zoo.training.text_model import TextModel, TokenizerCodec

SHIPPED = ("bigram", "mlp-char", "wavenet", "ngram", "bow", "mlp", "lstm", "transformer")  # windows, and sequences
WORDS = ["emma", "olivia", "x", "zzz", "emma"]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_probabilities_of_the_next_character_are_the_models(name: str) -> None:
    loaded = zoo.load(name)
    prefixes = ["", "em", "olivi", "a"]
    found = loaded.predict(prefixes)
    assert found.classes == loaded.vocabulary.itos
    assert torch.allclose(found.probabilities.sum(1), torch.ones(4, dtype=torch.float64), atol=1e-12)
    for prefix, row in zip(prefixes, found.probabilities, strict=True):
        tokens = loaded.vocabulary.encode(prefix)
        if loaded.entry.spec.reads == "windows":
            length: Any = loaded.model.context_length
            x = torch.tensor([([0] * length + tokens)[-length:]])
        else:
            x = torch.tensor([[0, *tokens]])
        with torch.no_grad():
            logits = loaded.model(x)
        logits = logits if logits.ndim == 2 else logits[:, -1]
        assert torch.allclose(row, logits[0, : len(loaded.vocabulary)].double().softmax(0), atol=1e-6)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_likelihood_of_words_is_their_loss(name: str) -> None:
    loaded = zoo.load(name)
    length = loaded.checked.inputs.get("max_length") or getattr(loaded.model, "context_length", 9)
    examples = encode_words({"val": WORDS}, loaded.entry.spec.reads, length, loaded.vocabulary)["val"]
    loss = evaluate(loaded.model, examples).loss
    found = loaded.likelihood(WORDS)
    assert [one.count for one in found] == [len(word) + 1 for word in WORDS]
    assert -sum(one.nats for one in found) / sum(one.count for one in found) == pytest.approx(loss, abs=1e-6)
    assert found[0].nats == found[-1].nats == pytest.approx(-found[0].loss * 5)
    assert found[0].bits_per_character == pytest.approx(found[0].loss / math.log(2))


def test_the_best_classes_come_first() -> None:
    found = Probabilities(torch.tensor([[0.25, 0.5, 0.25], [0.125, 0.25, 0.625]]).double(), ("a", "b", "c"))
    assert found.best(2) == [[("b", 0.5), ("a", 0.25)], [("c", 0.625), ("b", 0.25)]]
    assert [[name for name, _ in row] for row in found.best()] == [["b", "a", "c"], ["c", "b", "a"]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "a model of text takes a text, or a list of texts, got 3"),
        ([], r"a model of text takes a text, or a list of texts, got \[\]"),
        (["a", 3], "a model of text takes a text"),
        ("Zoé", "'Zoé' has 'Z', which is not in the vocabulary"),
        ("a" * 40, "the prefix 'a+' is too long: at most 15 characters"),
    ],
)
def test_texts_that_do_not_fit_are_refused(given: Any, message: str) -> None:
    loaded = zoo.load("transformer")
    with pytest.raises(zoo.UsageError, match=message):
        loaded.predict(given)


class Next(nn.Module):
    """After token t the logits are those of its row; `reads` says at which positions."""

    context_length = 3

    def __init__(self, size: int, sequences: bool) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(size, size, generator=torch.Generator().manual_seed(1)))
        self.sequences = sequences
        self.seen: list[list[list[int]]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.tolist())
        logits = self.table[x]
        return logits if self.sequences else logits[:, -1]


LETTERS = Vocabulary("ab\n", START)


def running(sequences: bool, length: int = 4) -> tuple[TextModel, Next]:
    module = Next(len(LETTERS), sequences)
    return TextModel(module, LETTERS, "sequences" if sequences else "windows", length, True), module


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 8, 100])
@pytest.mark.parametrize("sequences", [True, False])
def test_every_character_of_a_running_text_is_a_target_once(
    sequences: bool, length: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_model, "batch_size_of", lambda *_: size)
    model, module = running(sequences, length)
    text = "abba\nab"
    tokens = [0, *LETTERS.encode(text)]
    table = module.table.detach().double().log_softmax(1)
    expected = [float(table[before, after]) for before, after in itertools.pairwise(tokens)]
    assert model.log_likelihoods(text).tolist() == pytest.approx(expected)
    assert max(len(x) for x in module.seen) <= size
    if not sequences:
        windows = [row for x in module.seen for row in x]
        assert windows == [([0] * length + tokens[1 : i + 1])[-length:] for i in range(len(text))]


@pytest.mark.parametrize(
    ("sequences", "text", "context"),
    [
        (True, "", [[1]]),  # the newline is the first character
        (True, "ab", [[2, 3]]),
        (True, "ababab", [[2, 3, 2, 3]]),
        (False, "", [[0, 0, 0, 1]]),
        (False, "ab", [[0, 0, 2, 3]]),
        (False, "ababab", [[2, 3, 2, 3]]),
    ],
)
def test_what_a_model_of_running_text_reads(sequences: bool, text: str, context: list[list[int]]) -> None:
    model, module = running(sequences)
    model.next_probabilities([model.context(text)])
    assert module.seen == [context]


class Tokenizer:
    """Pairs of letters are tokens."""

    vocab_size = 4
    pairs = ("aa", "ab", "ba", "bb")

    def encode(self, text: str) -> list[int]:
        return [self.pairs.index(text[i : i + 2]) for i in range(0, len(text), 2)]

    def decode(self, ids: list[int]) -> str:
        return "".join(self.pairs[i] for i in ids)


def test_the_ids_of_a_tokenizer_are_tokens_from_1() -> None:
    codec = TokenizerCodec(Tokenizer(), "tokenizer of plugin zoo-pairs 1.0")
    assert (len(codec), codec.itos) == (5, ["", "aa", "ab", "ba", "bb"])
    assert codec.encode("abbb") == [2, 4]
    assert codec.decode([2, 4]) == "abbb"
    with pytest.raises(zoo.UsageError, match="zoo-pairs"):
        codec.encode("ax")
    codec.tokenizer.vocab_size = 3
    with pytest.raises(zoo.PluginError, match="encodes 'abbb' with ids that are not below its vocab_size"):
        codec.encode("abbb")


FORMS: dict[str, Callable[[Tensor], Any]] = {
    "tensor": lambda x: x,
    "float64": lambda x: x.double(),
    "NumPy": lambda x: x.numpy(),
    "big endian": lambda x: x.numpy().astype(">f4"),
    "read only": lambda x: np.broadcast_to(x.numpy(), x.shape),
    "lists": lambda x: x.tolist(),
    "with a gradient": lambda x: x.clone().requires_grad_(),
}


@pytest.mark.parametrize("form", FORMS)
def test_classes_are_the_softmax_of_the_logits(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensors, "batch_size_of", lambda *_: 2)
    loaded = train(monkeypatch, "classifier")
    x = torch.linspace(-2, 2, 5 * FEATURES).view(5, FEATURES)
    loaded.model.train()
    modes: set[bool] = set()
    loaded.model.register_forward_pre_hook(lambda module, _: modes.add(module.training))
    found = loaded.predict(FORMS[form](x))
    assert (modes, loaded.model.training) == ({False}, True)
    assert found.classes == tuple(NAMES)
    with torch.no_grad():
        expected = loaded.model(x).double().softmax(1)
    assert torch.allclose(found.probabilities, expected, atol=1e-6)
    assert torch.allclose(found.probabilities.sum(1), torch.ones(5, dtype=torch.float64), atol=1e-12)


def test_numbers_and_other_outputs_are_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensors, "batch_size_of", lambda *_: 2)
    x = torch.linspace(-2, 2, 5 * FEATURES).view(5, FEATURES)
    regression = train(monkeypatch, "regression")
    with torch.no_grad():
        assert torch.allclose(regression.predict(x), regression.model(x))
        pictures = train(monkeypatch, "pictures")
        found, expected = pictures.predict(x), pictures.model(x)
        assert isinstance(found, tuple)
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(found, expected, strict=True))
        positions = train(monkeypatch, "positions")
        assert positions.predict(x).probabilities.shape == (5, 3, 2)
        assert positions.predict(x).classes == ("0", "1")


WRONG: list[tuple[Any, str]] = [
    (torch.zeros(2, 3), r"inputs of shape \(2, 3\) have 3 numbers each: model 'classifier'.* was trained on 4"),
    (torch.zeros(4), r"inputs of shape \(4,\) are not of shape \(N, \.\.\.\): give one example as \[x\]"),
    (torch.zeros(0, 4), "there are no inputs"),
    (torch.tensor(1.0), "there are no inputs"),
    ([[1.0, 2.0], [3.0]], "the inputs are no tensor, array or lists of real numbers: "),
    ("abcd", "the inputs are no tensor, array or lists of real numbers: "),
    (torch.zeros(2, 4) * 1j, "real numbers"),
    ([[0.0] * 4, [0.0, math.nan, 0.0, 0.0]], r"the inputs have NaN or infinity, first at row 1 \(counted from 0\)"),
    ([[math.inf] * 4], "NaN or infinity, first at row 0"),
]


def test_inputs_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = train(monkeypatch, "classifier")
    for given, message in WRONG:
        with pytest.raises(zoo.UsageError, match=message):
            loaded.predict(given)
    with pytest.raises(zoo.PluginError, match=r"model 'classifier' .* fails on inputs of shape \(2, 2, 2\)"):
        loaded.predict(torch.zeros(2, 2, 2))
    with pytest.raises(zoo.UsageError, match="model 'classifier' was not trained on text: it knows no likelihood"):
        loaded.likelihood("abc")


def test_a_model_that_computes_nan_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("classifier", "regression"):
        loaded = train(monkeypatch, name)
        with torch.no_grad():
            loaded.model.weight.fill_(math.nan)
        with pytest.raises(zoo.ZooError, match="cannot predict with this model: its output is NaN or infinite"):
            loaded.predict(torch.zeros(2, 4))
