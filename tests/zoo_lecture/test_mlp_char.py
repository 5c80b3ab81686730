"""The built-in plugin, compared with the code of the lecture."""

from __future__ import annotations

import hashlib
import math
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

import zoo_lecture
from zoo import Schedule, TextDataset
from zoo.data.encoding import encode_windows
from zoo.data.examples import Examples
from zoo.training.loop import Training, train
from zoo_lecture.mlp_char import MLPChar
from zoo_lecture.names import SHA256, URL, names, names_ssa_2018
from zoo_lecture.sgd import SGD

SEED = 2147483647


class Negative(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return -weight


def seeded(seed: int = SEED) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def bundled() -> TextDataset:
    return names_ssa_2018()


@pytest.fixture(scope="module")
def examples(bundled: TextDataset) -> Examples:
    return encode_windows(bundled.words[:500], bundled.vocabulary, 3)


def lecture_parameters() -> dict[str, Tensor]:
    """The initial weights of the lecture."""
    g = torch.Generator().manual_seed(2147483647)
    C = torch.randn((27, 10), generator=g)
    W1 = torch.randn((30, 200), generator=g)
    b1 = torch.randn(200, generator=g)
    W2 = torch.randn((200, 27), generator=g)
    b2 = torch.randn(27, generator=g)
    return {"C": C, "W1": W1, "b1": b1, "W2": W2, "b2": b2}


# The net


def test_the_net_has_the_lectures_parameters_in_the_lectures_order() -> None:
    shapes = {name: tuple(p.shape) for name, p in MLPChar(generator=seeded()).named_parameters()}
    assert list(shapes.items()) == [
        ("C", (27, 10)),
        ("W1", (30, 200)),
        ("b1", (200,)),
        ("W2", (200, 27)),
        ("b2", (27,)),
    ]


def test_the_net_has_11_897_parameters() -> None:
    assert sum(p.numel() for p in MLPChar(generator=seeded()).parameters()) == 11_897


@pytest.mark.parametrize("name", ["C", "W1", "b1", "W2", "b2"])
def test_the_initial_weights_are_those_of_the_lecture(name: str) -> None:
    assert torch.equal(MLPChar(generator=seeded()).state_dict()[name], lecture_parameters()[name])


def test_there_is_nothing_in_a_checkpoint_but_the_five_tensors() -> None:
    assert list(MLPChar(generator=seeded()).state_dict()) == ["C", "W1", "b1", "W2", "b2"]


def test_another_seed_gives_other_weights() -> None:
    assert not torch.equal(MLPChar(generator=seeded(1)).C, MLPChar(generator=seeded(2)).C)


def test_without_a_generator_the_weights_come_from_the_global_one() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = MLPChar()
    assert torch.equal(model.b2, lecture_parameters()["b2"])


def test_forward_is_the_lectures_expression() -> None:
    p = lecture_parameters()
    x = torch.randint(0, 27, (32, 3), generator=seeded(1))
    emb = p["C"][x]
    h = torch.tanh(emb.view(-1, 30) @ p["W1"] + p["b1"])
    logits = h @ p["W2"] + p["b2"]
    assert torch.equal(MLPChar(generator=seeded())(x), logits)


def test_a_weight_that_torchs_utilities_make_of_others_is_the_one_that_counts() -> None:
    plain, x = MLPChar(generator=seeded()), torch.randint(0, 27, (32, 3), generator=seeded(1))
    wanted = plain(x)
    pruned, parametrized = MLPChar(generator=seeded()), MLPChar(generator=seeded())
    prune.custom_from_mask(pruned, "W1", torch.zeros(30, 200))  # type: ignore[no-untyped-call]
    parametrize.register_parametrization(parametrized, "W2", Negative())
    bare = torch.tanh(plain.b1) @ plain.W2 + plain.b2
    torch.testing.assert_close(pruned(x), bare.expand(32, 27))
    torch.testing.assert_close(parametrized(x), 2 * plain.b2 - wanted)


@pytest.mark.parametrize("batch", [1, 2, 1000])
def test_logits_are_one_for_each_character_of_each_example(batch: int) -> None:
    assert MLPChar(generator=seeded())(torch.zeros(batch, 3, dtype=torch.int64)).shape == (batch, 27)


@pytest.mark.parametrize(
    ("sizes", "shapes"),
    [
        ({"vocab_size": 40}, [(40, 10), (30, 200), (200,), (200, 40), (40,)]),
        ({"context_length": 8}, [(27, 10), (80, 200), (200,), (200, 27), (27,)]),
        ({"embedding_dim": 2}, [(27, 2), (6, 200), (200,), (200, 27), (27,)]),
        ({"hidden_size": 300}, [(27, 10), (30, 300), (300,), (300, 27), (27,)]),
        (dict.fromkeys(["vocab_size", "context_length", "embedding_dim", "hidden_size"], 1), [(1, 1)] * 2 + [(1,)]),
    ],
)
def test_its_sizes_are_arguments(sizes: dict[str, Any], shapes: list[tuple[int, ...]]) -> None:
    model = MLPChar(**sizes, generator=seeded())
    assert [tuple(p.shape) for p in model.parameters()][: len(shapes)] == shapes
    context = torch.zeros(4, sizes.get("context_length", 3), dtype=torch.int64)
    assert model(context).shape == (4, sizes.get("vocab_size", 27))


def test_the_net_has_a_context_length() -> None:
    assert MLPChar(context_length=5, generator=seeded()).context_length == 5


@pytest.mark.parametrize("size", ["vocab_size", "context_length", "embedding_dim", "hidden_size"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_size_below_1_is_refused_by_name(size: str, value: int) -> None:
    sizes: dict[str, Any] = {size: value}
    with pytest.raises(ValueError, match=f"{size} must be at least 1, got {value}"):
        MLPChar(**sizes, generator=seeded())


# The update


def gradients(model: MLPChar, seed: int) -> None:
    g = seeded(seed)
    for p in model.parameters():
        p.grad = torch.randn(p.shape, generator=g)


@pytest.mark.parametrize("lr", [0.1, 0.01, 0.037, 1.0])
def test_a_step_is_the_lectures_to_the_last_bit(lr: float) -> None:
    ours, theirs = MLPChar(generator=seeded()), MLPChar(generator=seeded())
    optimizer = SGD(ours.parameters(), lr=lr)
    for step in range(5):
        gradients(ours, step)
        gradients(theirs, step)
        optimizer.step()
        for p in theirs.parameters():
            assert p.grad is not None
            p.data += -lr * p.grad
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize("lr", [0.1, 0.01, 0.037, 1.0])
def test_a_step_is_that_of_torchs_sgd(lr: float) -> None:
    ours, theirs = MLPChar(generator=seeded()), MLPChar(generator=seeded())
    one, two = SGD(ours.parameters(), lr=lr), torch.optim.SGD(theirs.parameters(), lr=lr)
    for step in range(5):
        gradients(ours, step)
        gradients(theirs, step)
        one.step()
        two.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


def test_a_rate_that_is_changed_holds_from_the_next_step() -> None:
    p = nn.Parameter(torch.zeros(1))
    optimizer = SGD([p], lr=1.0)
    p.grad = torch.ones(1)
    optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.5
    optimizer.step()
    assert p.item() == -1.5


def test_a_parameter_without_a_gradient_stays_as_it_is() -> None:
    p = nn.Parameter(torch.ones(1))
    SGD([p]).step()
    assert p.item() == 1


def test_zero_grad_takes_gradients_away() -> None:
    p = nn.Parameter(torch.ones(1))
    p.grad = torch.ones(1)
    SGD([p]).zero_grad()
    assert p.grad is None


def test_its_state_is_its_learning_rate() -> None:
    one, two = SGD([nn.Parameter(torch.ones(1))], lr=0.3), SGD([nn.Parameter(torch.ones(1))])
    two.load_state_dict(one.state_dict())
    assert two.param_groups[0]["lr"] == 0.3


def test_a_state_with_other_groups_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        SGD([nn.Parameter(torch.ones(1))]).load_state_dict({"state": {}, "param_groups": []})


@pytest.mark.parametrize("lr", [0, -0.1, float("nan"), float("inf")])
def test_a_learning_rate_that_is_not_positive_is_refused(lr: float) -> None:
    with pytest.raises(ValueError, match="lr must be a positive number"):
        SGD([nn.Parameter(torch.ones(1))], lr=lr)


# Training


def trained(examples: Examples, steps: int) -> Training:
    model = MLPChar(generator=seeded())
    training = Training(model, SGD(model.parameters(), lr=0.1), examples, 32, 0.1, Schedule(), seeded())
    train(training, steps)
    return training


def test_the_loss_falls(examples: Examples) -> None:
    losses = trained(examples, 300).losses
    assert sum(losses[-50:]) < 0.4 * sum(losses[:50])


def test_two_runs_are_equal_to_the_last_bit(examples: Examples) -> None:
    one, two = trained(examples, 50), trained(examples, 50)
    assert one.losses == two.losses
    assert torch.equal(one.model.state_dict()["W1"], two.model.state_dict()["W1"])


# The data


def test_the_bundled_list_is_the_published_one() -> None:
    content = (resources.files("zoo_lecture") / "data" / "names-ssa-2018.txt").read_bytes()
    assert hashlib.sha256(content).hexdigest() == "bd02dfd33179e23ec2dd093cbd4de619834f75d660ef1ae04d3127e7a0110053"


def test_the_bundled_list_has_32_257_names(bundled: TextDataset) -> None:
    assert len(bundled.words) == 32_257


def test_the_bundled_list_has_girls_first_and_the_most_frequent_first(bundled: TextDataset) -> None:
    assert bundled.words[:3] == ["emma", "olivia", "ava"]


def test_the_bundled_list_is_written_in_26_letters(bundled: TextDataset) -> None:
    assert "".join(bundled.vocabulary) == ".abcdefghijklmnopqrstuvwxyz"


def test_the_digest_of_the_bundled_list_is_that_of_its_file(bundled: TextDataset) -> None:
    assert bundled.sha256 == "bd02dfd33179e23ec2dd093cbd4de619834f75d660ef1ae04d3127e7a0110053"


def test_the_lectures_names_are_fetched_by_address_and_digest(names_txt: Path) -> None:
    fetched: list[tuple[str, str, str]] = []

    def fetch(name: str, url: str, *, sha256: str) -> Path:
        fetched.append((name, url, sha256))
        return names_txt

    dataset = names(fetch)  # type: ignore[arg-type]
    assert fetched == [("names.txt", URL, SHA256)]
    assert (len(dataset.words), dataset.sha256) == (32_033, SHA256)


# Specs


def test_the_plugin_has_the_lectures_model_and_its_presets() -> None:
    [spec] = zoo_lecture.zoo_models()
    assert (spec.name, spec.dataset, spec.optimizer, spec.embedding) == ("mlp-char", "names", "sgd", "C")
    assert list(spec.presets) == ["notebook", "lecture", "tuned", "speedrun"]


def test_scaled_weights_are_the_lectures_weights_scaled() -> None:
    """As in part 3: tanh units that are not saturated, and a loss at the start that is that of guessing."""
    scaled, plain = MLPChar(generator=seeded(), scaled_init=True).state_dict(), lecture_parameters()
    assert torch.equal(scaled["C"], plain["C"])
    torch.testing.assert_close(scaled["W1"], plain["W1"] * (5 / 3) / 30**0.5)
    torch.testing.assert_close(scaled["b1"], plain["b1"] * 0.01)
    torch.testing.assert_close(scaled["W2"], plain["W2"] * 0.01)
    assert not scaled["b2"].any()
    logits = MLPChar(generator=seeded(), scaled_init=True)(torch.randint(0, 27, (500, 3), generator=seeded()))
    loss = torch.nn.functional.cross_entropy(logits, torch.randint(0, 27, (500,), generator=seeded()))
    assert float(loss.detach()) == pytest.approx(math.log(27), abs=0.02)


@pytest.mark.parametrize(("name", "engine"), [("tuned", "auto"), ("speedrun", "fused")])
def test_presets_for_speed_and_for_loss_train_the_same_net(name: str, engine: str) -> None:
    preset = zoo_lecture.zoo_models()[0].presets[name]
    assert preset.engine == engine
    assert dict(preset.settings) == {"model.scaled_init": True, "data.shuffle_seed": 42}


def test_the_models_defaults_are_the_notebooks() -> None:
    [spec] = zoo_lecture.zoo_models()
    assert (spec.steps, spec.batch_size, spec.lr) == (5000, 32, 0.1)
    assert isinstance(spec.schedule, Schedule)
    assert [spec.schedule.lr(0.1, step) for step in (99_999, 100_000)] == pytest.approx([0.1, 0.01])


def test_the_preset_lecture_shuffles_and_trains_200_000_steps() -> None:
    preset = zoo_lecture.zoo_models()[0].presets["lecture"]
    assert (preset.steps, preset.settings) == (200_000, {"data.shuffle_seed": 42})


def test_only_the_downloaded_names_may_fall_back() -> None:
    fallbacks = {spec.name: spec.fallback for spec in zoo_lecture.zoo_datasets()}
    assert fallbacks == {"names": "names-ssa-2018", "names-ssa-2018": None}


def test_the_plugin_has_the_lectures_update() -> None:
    [spec] = zoo_lecture.zoo_optimizers()
    assert (spec.name, spec.lr) == ("sgd", 0.1)
