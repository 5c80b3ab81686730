"""The loss and the prediction of each target, in one place; and which targets sections look at."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from objectives import Linear, Parts, dataset, objective, pair
from reading import read
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from zoo.data.loading import encode_tensors
from zoo.errors import PluginError
from zoo.reports import chosen as module
from zoo.training.evaluation import evaluate
from zoo.training.prediction.judging import judge

TEXT = "To be, or not to be: that is the question.\nWhether 'tis nobler in the mind to suffer\n" * 60


def each(values: Tensor, target: Tensor) -> Tensor:
    """A loss that gives one number for each example, without a reduction."""
    return (values - target).abs().mean(1)


def of_parts(output: dict[str, Tensor], target: Tensor) -> Tensor:
    return (output["out"] - target).square().sum(1)


LOSSES: dict[str, tuple[str, nn.Module, dict[str, Any]]] = {
    "classes": ("classes", Linear(3), {}),
    "ignored targets": ("ignoring", Linear(3), {}),
    "torch's loss of classes": ("classes", Linear(3), {"loss": "torch.nn:MultiMarginLoss"}),
    "label smoothing": ("ignoring", Linear(3), {"loss": "torch.nn.functional:cross_entropy"}),
    "numbers": ("numbers", Linear(3), {}),
    "one column": ("one column", Linear(1), {}),
    "its own": ("numbers", Linear(3), {"loss": each}),
    "an output of parts": ("numbers", Linear(3), {"loss": "torch.nn.functional:huber_loss"}),
    "inputs": ("inputs", Linear(4), {}),
    "parts": ("numbers", Parts(3), {"loss": of_parts, "metrics": {}}),
}


@pytest.mark.parametrize("name", LOSSES)
def test_their_mean_is_the_loss_of_an_evaluation(name: str) -> None:
    kind, model, spec = LOSSES[name]
    data = dataset(kind)
    examples = encode_tensors(data)["val"]
    smoothing: dict[str, object] = {"label_smoothing": 0.1} if name == "label smoothing" else {}
    aim = objective(data, model, smoothing, **spec)
    judged = judge(model, examples.in_order(4), aim.loss)
    assert float(judged.loss.mean()) == pytest.approx(evaluate(model, examples, aim).loss, rel=1e-6)
    assert len(judged.loss) == len(judged.example)
    assert set(judged.example.tolist()) <= set(range(11))


def test_losses_and_predictions_of_classes_are_those_of_a_plain_loop() -> None:
    model, data = Linear(3), dataset("ignoring")
    judged = judge(model, encode_tensors(data)["val"].in_order(4), objective(data, model).loss)
    x, y = (part.numpy() for part in pair("ignoring", 11))
    logits = x @ model.weight.detach().numpy()
    kept = [i for i in range(len(y)) if y[i] != -1]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert judged.example.tolist() == kept
    np.testing.assert_allclose(judged.loss.numpy(), [-math.log(probabilities[i, y[i]]) for i in kept], rtol=1e-5)
    assert judged.classes is not None
    assert judged.classes.target.tolist() == [y[i] for i in kept]
    assert judged.classes.predicted.tolist() == [int(logits[i].argmax()) for i in kept]
    np.testing.assert_allclose(judged.classes.of_target, [probabilities[i, y[i]] for i in kept], rtol=1e-5)
    np.testing.assert_allclose(judged.classes.of_predicted, [probabilities[i].max() for i in kept], rtol=1e-5)


def test_a_model_that_fails_is_named() -> None:
    class Broken(Linear):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("no")

    data = dataset("classes")
    with pytest.raises(PluginError, match="Broken fails on its data: RuntimeError: no"):
        judge(Broken(), encode_tensors(data)["val"].in_order(4), objective(data, Linear()).loss)


@pytest.mark.parametrize("model", ["mlp-char", "gru"])
def test_the_loss_of_a_word_is_that_of_its_likelihood(words_file: Path, model: str) -> None:
    done = zoo.run(model, dataset=words_file, steps=20, device="cpu", plots=False, out="r")
    chosen = read("r").chosen
    words = words_file.read_text().split()[48:54]
    assert chosen.items == words
    found = zoo.load("r").likelihood(words)
    np.testing.assert_allclose(chosen.losses, [one.loss for one in found], rtol=1e-5)
    assert float(chosen.judged.loss.mean()) == pytest.approx(done.losses["val"], rel=1e-5)
    assert chosen.told == "All 24 targets of the validation split."
    assert len(chosen.losses_of(3)) == 4
    assert float(chosen.losses_of(3).sum()) == pytest.approx(-found[3].nats, rel=1e-5)


@pytest.mark.parametrize("model", ["mlp-char", "gru"])
@pytest.mark.parametrize("evaluate", [None, 500])
def test_the_losses_of_running_text_are_those_of_an_evaluation(model: str, evaluate: int | None) -> None:
    Path("text.txt").write_text(TEXT)
    settings = {"data.format": "text"} | ({} if evaluate is None else {"data.evaluate": evaluate})
    done = zoo.run(model, dataset="text.txt", steps=10, device="cpu", plots=False, out="r", settings=settings)
    run = read("r")
    chosen, codec = run.chosen, run.loaded.vocabulary
    start, stop = int(len(TEXT) * 0.8), int(len(TEXT) * 0.9)
    assert "".join(codec.itos[token] for tokens in chosen.items for token in tokens) == TEXT[start:stop]
    assert {len(tokens) for tokens in chosen.items[:-1]} == {module.STRETCH}
    losses = chosen.judged.loss[: evaluate or None]
    assert float(losses.mean()) == pytest.approx(done.losses["val"], rel=1e-5)
    np.testing.assert_array_equal(chosen.counts, [len(tokens) for tokens in chosen.items])


@pytest.mark.parametrize("model", ["mlp-char", "gru"])
def test_of_many_targets_the_seed_chooses_some(words_file: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    zoo.run(model, dataset=words_file, steps=1, device="cpu", plots=False, out="words")
    Path("text.txt").write_text(TEXT)
    text = {"data.format": "text"}
    zoo.run(model, dataset="text.txt", steps=1, device="cpu", plots=False, out="text", settings=text)
    whole = {name: read(name).chosen for name in ("words", "text")}
    monkeypatch.setattr(module, "MOST", 12)
    some = [read("words", seed).chosen for seed in (0, 0, 1, 2, 3)]
    assert {(one.taken, len(one.items)) for one in some} == {(12, 3)}
    assert some[0].items == some[1].items
    assert len({tuple(one.items) for one in some}) > 1
    assert some[0].told == "12 of the 24 targets of the validation split, chosen by seed 0."
    losses = dict(zip(whole["words"].items, whole["words"].losses.tolist(), strict=True))
    assert some[2].losses.tolist() == pytest.approx([losses[word] for word in some[2].items])
    monkeypatch.setattr(module, "MOST", 2 * module.STRETCH)
    part = read("text", 3).chosen
    assert len(part.items) == 2
    places = [whole["text"].items.index(tokens) for tokens in part.items]
    np.testing.assert_allclose(part.losses, whole["text"].losses[places], rtol=1e-5)


def test_of_a_large_model_fewer_are_taken(words_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = zoo.run("mlp-char", dataset=words_file, steps=1, device="cpu", plots=False, out="r")
    monkeypatch.setattr(module, "_LEAST", 4)
    monkeypatch.setattr(module, "_MOST_WORK", 9 * done.config["model"]["parameters"])
    assert read("r").chosen.taken == 8


def test_the_model_is_left_as_it_was(finished_run: Path) -> None:
    run = read(finished_run)
    before = {name: tensor.clone() for name, tensor in run.loaded.model.state_dict().items()}
    assert run.chosen.kind == "words"
    assert all(torch.equal(before[name], tensor) for name, tensor in run.loaded.model.state_dict().items())
    assert not any(module.training for module in run.loaded.model.modules())


def test_dropout_is_off() -> None:
    model = nn.Sequential(nn.Dropout(0.9), Linear(3))
    data = dataset("classes")
    judged = judge(model.train(), encode_tensors(data)["val"].in_order(20), objective(data, model).loss)
    x, y = pair("classes", 11)
    torch.testing.assert_close(judged.loss, F.cross_entropy(model[1](x), y, reduction="none").double().detach())
    assert model.training
