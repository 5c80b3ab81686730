"""Padding is skipped without changing results, and dropout with four elements per random number."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import zoo
from zoo_makemore.packing import Packing
from zoo_makemore.parts import Dropout

WORDS = torch.tensor([[0, 3, 1, 2, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0], [0, 2, 2, 4, 1, 0, 0]])
LENGTHS = [4, 2, 1, 5]


PACKED = ["mlp", "rnn", "gru", "lstm", "transformer"]


def model(name: str, **more: Any) -> nn.Module:
    length: dict[str, Any] = {} if name in ("rnn", "gru", "lstm") else {"max_length": 7}
    return zoo.create_model(name, vocab_size=6, **length, **more)


class Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The names of all operators that torch runs in a block."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.add(str(func))
        return func(*args, **(kwargs or {}))


def test_places_that_count_are_those_up_to_the_last_character() -> None:
    packing = Packing(WORDS)
    assert packing.lengths is not None
    assert packing.lengths.tolist() == LENGTHS
    assert not packing.whole
    assert packing.x.tolist() == WORDS[:, :5].tolist()
    table = torch.arange(7.0)[:, None]  # the row of a position is its number
    positions = packing.add_positions(torch.zeros(12, 1), table)
    assert positions.flatten().tolist() == [0, 1, 2, 3, 0, 1, 0, 0, 1, 2, 3, 4]
    assert packing.pack(packing.x).tolist() == [0, 3, 1, 2, 0, 1, 0, 0, 2, 2, 4, 1]


def test_what_is_packed_comes_back_to_its_place() -> None:
    packing = Packing(WORDS)
    numbers = torch.arange(1.0, 13)[:, None].repeat(1, 2)  # (N, 2)
    padded = packing.logits(numbers)
    assert padded.shape == (4, 7, 2)
    assert padded[:, :, 0].tolist() == [
        [1, 2, 3, 4, 0, 0, 0],
        [5, 6, 0, 0, 0, 0, 0],
        [7, 0, 0, 0, 0, 0, 0],
        [8, 9, 10, 11, 12, 0, 0],
    ]
    assert torch.equal(packing.pack(packing.pad(numbers)), numbers)


def test_blocks_without_padding_are_not_copied() -> None:
    """Running text: no operator gathers or scatters but the embeddings; numbers and gradients have the same bits."""
    blocks = torch.randint(1, 6, (4, 7), generator=torch.Generator().manual_seed(1))
    packing = Packing(blocks)
    assert packing.whole
    assert packing.lengths is not None
    assert packing.lengths.tolist() == [7, 7, 7, 7]
    numbers = torch.arange(56.0).view(28, 2)
    padded = packing.logits(numbers)
    assert padded.shape == (4, 7, 2)
    assert padded.data_ptr() == packing.pack(padded).data_ptr() == numbers.data_ptr()


def test_a_batch_without_padding_has_the_bits_of_one_whose_padding_is_looked_for() -> None:
    net = model("transformer")
    nn.init.normal_(net.get_parameter("wpe"), generator=torch.Generator().manual_seed(1))
    blocks = torch.randint(1, 6, (40, 7), generator=torch.Generator().manual_seed(1))

    def numbers() -> list[Tensor]:
        logits = net(blocks)
        return [logits, *torch.autograd.grad(logits.square().sum(), list(net.parameters()))]

    here = numbers()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Packing, "__init__", _looked_for)
        there = numbers()
    assert all(map(torch.equal, here, there))


def _looked_for(packing: Packing, x: Tensor) -> None:
    packing._total, packing.x = x.shape[1], x
    packing.lengths = torch.full((len(x),), x.shape[1])
    packing._indices = torch.arange(x.numel())


def test_elsewhere_than_on_the_cpu_all_places_count() -> None:
    packing = Packing(WORDS.to("meta"))
    assert packing.whole
    assert packing.x.shape == (4, 7)
    assert packing.pack(packing.x).shape == (28,)
    assert packing.pad(torch.empty(28, 3, device="meta")).shape == (4, 7, 3)
    table = torch.empty(9, 3, device="meta")
    assert packing.add_positions(torch.empty(28, 3, device="meta"), table).shape == (28, 3)


@pytest.mark.parametrize("name", PACKED)
def test_a_word_has_the_same_logits_and_gradients_alone_and_among_longer_ones(name: str) -> None:
    net = model(name)

    def of(x: Tensor, length: int) -> tuple[Tensor, list[Tensor]]:
        logits = net(x)[0, :length]
        return logits, list(torch.autograd.grad(logits.square().sum(), list(net.parameters()), allow_unused=True))

    for row, length in enumerate(LENGTHS):
        alone, gradients = of(WORDS[row : row + 1, :length], length)
        order = [row, *(i for i in range(4) if i != row)]
        among, others = of(WORDS[order], length)
        torch.testing.assert_close(alone, among)
        for one, other in zip(gradients, others, strict=True):
            torch.testing.assert_close(one, other)


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in PACKED},
    **{f"{name}, 3 layers": (name, {"n_layer": 3}) for name in ("rnn", "gru", "lstm", "transformer")},
    **{f"{name}, ensemble": (name, {"n_layer": 2, "ensemble_size": 2}) for name in ("rnn", "gru", "lstm")},
}


@pytest.mark.parametrize("case", list(CASES))
@pytest.mark.parametrize("training", [False, True])
def test_numbers_are_the_same_where_all_places_count(
    case: str, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, here on the CPU: logits of all positions but padding, and gradients of all parameters."""
    name, settings = CASES[case]
    net = model(name, **settings).train(training)
    if name == "transformer":
        nn.init.normal_(net.get_parameter("wpe"), generator=torch.Generator().manual_seed(1))
    kept = torch.arange(7) < torch.tensor(LENGTHS)[:, None]

    def numbers() -> list[Tensor]:
        logits = net(WORDS)[kept]
        weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(2))
        return [logits, *torch.autograd.grad((logits * weights).sum(), list(net.parameters()))]

    packed = numbers()
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert Packing(WORDS).whole
    for one, other in zip(packed, numbers(), strict=True):
        torch.testing.assert_close(one, other)


def test_the_gradient_of_positions_is_a_sum_where_all_places_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scatter-add, as of looked-up rows, has no fixed order on a GPU."""
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    with Operators() as operators:
        model("transformer")(WORDS).sum().backward()
    assert not {name for name in operators.seen if "index" in name or "scatter" in name}


@pytest.mark.parametrize("name", PACKED)
def test_padding_has_logits_of_zero(name: str) -> None:
    logits = model(name)(WORDS)
    for row, length in enumerate(LENGTHS):
        assert not logits[row, length:].any()
        assert logits[row, :length].any(1).all()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_dropout_leaves_out_its_share_and_keeps_the_mean(share: float) -> None:
    layer = Dropout(share)
    x = torch.ones(999, 1001)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        out = layer(x)
    assert float((out == 0).float().mean()) == pytest.approx(share, abs=0.003)
    assert float(out.mean()) == pytest.approx(1, abs=0.02)
    assert len(out.unique()) == 2
    neighbours = (out[:, 1:] == 0) & (out[:, :-1] == 0)  # elements of one random number are independent
    assert float(neighbours.float().mean()) == pytest.approx(share**2, abs=0.003)
    assert torch.equal(layer.eval()(x), x)


def test_dropout_is_repeated_by_its_seed_and_its_gradient_is_the_mask() -> None:
    x = torch.ones(7, 5, requires_grad=True)
    outs = []
    for _ in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            outs.append(Dropout(0.3)(x))
    assert torch.equal(outs[0], outs[1])
    outs[0].sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, outs[0].detach())


def test_the_smallest_and_the_largest_share() -> None:
    x = torch.ones(100)
    assert torch.equal(Dropout(0.0)(x), x)
    with torch.random.fork_rng(devices=[]):
        assert Dropout(0.999_999_9)(x).isfinite().all()
