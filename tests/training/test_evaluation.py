"""The mean loss on a split."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.data.examples import SplitName, TensorExamples
from zoo.training import evaluation
from zoo.training.evaluation import CountedContexts, count_contexts, evaluate, evaluate_splits


class Table(nn.Module):
    """Logits (..., 7) of the last token of each context, or of each token."""

    def __init__(self, *, positions: bool = False) -> None:
        super().__init__()
        self.C = nn.Parameter(3 * torch.randn((7, 7), generator=torch.Generator().manual_seed(1)))
        self.inner = nn.Identity()
        self.positions = positions

    def forward(self, x: Tensor) -> Tensor:
        logits = self.C[x]
        return logits if self.positions else logits[:, -1]


def mean_loss(model: nn.Module, examples: TensorExamples) -> float:
    return evaluate(model, examples).loss


def tokens(*shape: int, low: int = 0, seed: int = 2) -> Tensor:
    return torch.randint(low, 7, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("n", [1, 2, 100, (1 << 14) - 1, 1 << 14, (1 << 14) + 1, 40_000])
def test_the_loss_equals_cross_entropy_of_the_full_split(n: int) -> None:
    model, x, y = Table(), tokens(n, 3), tokens(n, seed=3)
    expected = F.cross_entropy(model(x).double(), y).item()
    assert mean_loss(model, TensorExamples(x, y, torch.int64)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("numbers", [1, 10, 64, 1 << 20])
def test_the_size_of_its_batches_does_not_matter(numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.training.evaluation._MAX_INPUTS", numbers)
    model, x, y = Table(), tokens(101, 3), tokens(101, seed=3)
    expected = F.cross_entropy(model(x).double(), y).item()
    assert mean_loss(model, TensorExamples(x, y, torch.int64)) == pytest.approx(expected, abs=1e-6)


def test_a_target_at_each_position_counts_for_itself() -> None:
    model, x, y = Table(positions=True), tokens(500, 6), tokens(500, 6, low=-1, seed=3)
    expected = F.cross_entropy(model(x).double().flatten(0, 1), y.flatten(), ignore_index=-1).item()
    assert mean_loss(model, TensorExamples(x, y, torch.int64)) == pytest.approx(expected, abs=1e-6)


def test_ignored_targets_do_not_thin_the_mean() -> None:
    model, x, y = Table(), tokens(40, 3), tokens(40, seed=3)
    few = mean_loss(model, TensorExamples(x[:10], y[:10], torch.int64))
    y[10:] = -1
    assert mean_loss(model, TensorExamples(x, y, torch.int64)) == pytest.approx(few, abs=1e-6)


def test_text_in_its_smallest_type_is_widened() -> None:
    model, x, y = Table(), tokens(40, 3), tokens(40, seed=3)
    small = TensorExamples(x.to(torch.uint8), y.to(torch.uint8), torch.int64)
    assert mean_loss(model, small) == mean_loss(model, TensorExamples(x, y, torch.int64))


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_of_the_model_is_left_as_it_was(training: bool) -> None:
    model = Table().train(training)
    mean_loss(model, TensorExamples(tokens(5, 3), tokens(5), torch.int64))
    assert model.training is training


def test_the_mode_of_each_part_of_the_model_is_left_as_it_was() -> None:
    model = Table().train()
    model.inner.eval()
    mean_loss(model, TensorExamples(tokens(5, 3), tokens(5), torch.int64))
    assert (model.training, model.inner.training) == (True, False)


def test_a_model_is_evaluated_in_evaluation_mode() -> None:
    modes: list[bool] = []

    class Watching(Table):
        def forward(self, x: Tensor) -> Tensor:
            modes.append(self.training)
            return super().forward(x)

    mean_loss(Watching().train(), TensorExamples(tokens(5, 3), tokens(5), torch.int64))
    assert modes == [False]


def test_no_gradient_is_left_behind() -> None:
    model = Table()
    mean_loss(model, TensorExamples(tokens(5, 3), tokens(5), torch.int64))
    assert model.C.grad is None


def test_each_split_has_a_loss_of_its_own() -> None:
    model = Table()
    splits: dict[SplitName, TensorExamples] = {
        "train": TensorExamples(tokens(50, 3), tokens(50), torch.int64),
        "test": TensorExamples(tokens(9, 3, seed=8), tokens(9, seed=9), torch.int64),
    }
    found = {name: one.loss for name, one in evaluate_splits(model, splits).items()}
    assert found == {name: mean_loss(model, split) for name, split in splits.items()}


# Contexts served once each


class Sum(nn.Module):
    """Logits (B, V) from all T tokens of a context; each place counts otherwise."""

    def __init__(self, V: int, T: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.tables = nn.Parameter(torch.randn((T, V, V), generator=torch.Generator().manual_seed(1)))
        self.dropout = nn.Dropout(dropout)
        self.rows = 0  # served

    def forward(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        logits: Tensor = self.dropout(self.tables[torch.arange(x.shape[1]), x].sum(1))
        return logits


def text(N: int, V: int, T: int, dtype: torch.dtype = torch.int64, seed: int = 2) -> TensorExamples:
    """Contexts of which some are frequent and some are not, as in language."""
    g = torch.Generator().manual_seed(seed)
    x, y = ((torch.rand(shape, generator=g) ** 3 * V).long().to(dtype) for shape in ((N, T), (N,)))
    return TensorExamples(x, y, torch.int64)


def different(examples: TensorExamples) -> Tensor:
    """The contexts that occur, sorted."""
    contexts: Tensor = torch.unique(examples.x, dim=0)
    return contexts


def plain_mean(model: nn.Module, examples: TensorExamples) -> float:
    with torch.no_grad():
        logits = model.eval()(examples.x.long())
    return F.cross_entropy(logits.double(), examples.y.long(), ignore_index=-1).item()


@pytest.fixture(params=["table", "sorting"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Either way of counting, also of few examples."""
    monkeypatch.setattr("zoo.training.evaluation._MIN_EXAMPLES", 1)
    if request.param == "sorting":
        monkeypatch.setattr("zoo.training.evaluation._MAX_TABLE", 0)
    return str(request.param)


@pytest.mark.parametrize("N", [1, 2, 999, 5000])
@pytest.mark.parametrize(("V", "T"), [(2, 1), (2, 12), (7, 3), (27, 1), (27, 3), (60, 2), (200, 2), (1, 4)])
def test_each_context_served_once_gives_the_plain_mean(way: str, V: int, T: int, N: int) -> None:
    model, examples = Sum(V, T), text(N, V, T)
    expected = plain_mean(model, examples)
    model.rows = 0
    assert mean_loss(model, examples) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert model.rows == len(different(examples))


@pytest.mark.parametrize(("V", "T"), [(27, 8), (60, 9), (9, 17), (1000, 5)])
def test_more_contexts_than_any_table_holds_are_counted_by_sorting(V: int, T: int) -> None:
    model, examples = Sum(V, T), text(3000, V, T)
    counted = count_contexts(examples)
    assert counted is not None
    assert torch.equal(counted.contexts, different(examples))
    assert mean_loss(model, examples) == pytest.approx(plain_mean(model, examples), rel=1e-6)


@pytest.mark.parametrize("chunk", [1, 7, 100, 1 << 20])
def test_every_example_is_counted_once(way: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.training.evaluation._CHUNK", chunk)
    examples = text(500, 5, 2)
    counted = count_contexts(examples)
    assert counted is not None
    contexts = counted.contexts[counted.context].tolist()
    pairs = [(*context, y) for context, y in zip(contexts, counted.target.tolist(), strict=True)]
    expected = Counter((*x.tolist(), y) for x, y in zip(examples.x, examples.y.tolist(), strict=True))
    assert dict(zip(pairs, counted.count.tolist(), strict=True)) == expected
    assert int(counted.count.sum()) == 500
    assert torch.equal(counted.contexts, different(examples))
    assert pairs == sorted(pairs)


def test_the_contexts_of_a_split_are_counted_once_for_as_long_as_it_lives(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []

    def count(examples: TensorExamples) -> CountedContexts | None:
        counts.append(len(examples))
        return count_contexts(examples)

    monkeypatch.setattr(evaluation, "count_contexts", count)
    model, first, second = Sum(5, 3), text(700, 5, 3), text(600, 5, 3, seed=4)
    losses = [[mean_loss(model, split) for split in (first, second)] for _ in range(3)]
    assert losses == [losses[0]] * 3
    assert counts == [700, 600]
    key = id(first)
    assert key in evaluation._COUNTED
    del first
    gc.collect()
    assert key not in evaluation._COUNTED
    monkeypatch.setattr(evaluation, "_MAX_KEPT", 100)  # bytes
    third = text(500, 5, 3, seed=5)
    assert mean_loss(model, third) == mean_loss(model, third)
    assert counts == [700, 600, 500, 500]


def test_a_split_without_counts_is_looked_at_once_too(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[None] = []
    monkeypatch.setattr(evaluation, "count_contexts", lambda _: asked.append(None))
    model, examples = Sum(5, 3), text(50, 5, 3)
    assert mean_loss(model, examples) == mean_loss(model, examples)
    assert len(asked) == 1


def test_a_model_that_changes_its_inputs_changes_no_later_evaluation(way: str) -> None:
    class Shifting(Sum):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.sub_(1).clamp_(0))

    model, examples = Shifting(5, 3), text(700, 5, 3)
    assert len({mean_loss(model, examples) for _ in range(3)}) == 1


@pytest.mark.parametrize("size", [1, 3, 64])
def test_contexts_are_served_in_batches_of_any_size(way: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, examples = Sum(5, 3), text(700, 5, 3)
    expected = mean_loss(model, examples)
    monkeypatch.setattr("zoo.training.evaluation.batch_size_of", lambda *_: size)
    assert mean_loss(model, examples) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_the_type_of_the_text_does_not_matter(way: str, dtype: torch.dtype) -> None:
    model, examples = Sum(120, 3), text(2000, 120, 3, dtype)
    assert mean_loss(model, examples) == mean_loss(model, text(2000, 120, 3))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_counting_leaves_the_examples_as_they_are(way: str, dtype: torch.dtype) -> None:
    for T in (1, 3):
        examples = text(500, 7, T, dtype)
        mean_loss(Sum(7, T), examples)
        assert torch.equal(examples.x, text(500, 7, T, dtype).x)
        assert torch.equal(examples.y, text(500, 7, T, dtype).y)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64])
def test_contexts_are_served_in_the_type_that_training_has(way: str, dtype: torch.dtype) -> None:
    served: set[torch.dtype] = set()

    class Noting(Sum):
        def forward(self, x: Tensor) -> Tensor:
            served.add(x.dtype)
            return super().forward(x.long())

    examples = text(300, 2, 3)
    mean_loss(Noting(2, 3), TensorExamples(examples.x.to(dtype), examples.y, dtype))
    assert served == {dtype}


def test_targets_of_another_type_than_the_contexts_are_counted_too(way: str) -> None:
    examples = text(2000, 27, 3)
    mixed = TensorExamples(examples.x.to(torch.uint8), examples.y.to(torch.int16), torch.int64)
    assert mean_loss(Sum(27, 3), mixed) == mean_loss(Sum(27, 3), examples)


def test_a_target_may_be_above_every_character_of_a_context(way: str) -> None:
    model, examples = Sum(9, 2), text(300, 9, 2)
    small = TensorExamples(examples.x.clamp(max=3), examples.y, torch.int64)
    assert mean_loss(model, small) == pytest.approx(plain_mean(model, small), rel=1e-6)


def test_dropout_is_off_where_contexts_are_served_once(way: str) -> None:
    model, examples = Sum(7, 3, dropout=0.5).train(), text(2000, 7, 3)
    assert mean_loss(model, examples) == mean_loss(Sum(7, 3), examples)
    assert model.training
    assert model.dropout.training


def with_one(part: Tensor, value: int) -> Tensor:
    part = part.clone()
    part[-1] = value
    return part


@pytest.mark.parametrize(
    "change",
    [
        lambda e: TensorExamples(e.x, with_one(e.y, -1), torch.int64),
        lambda e: TensorExamples(e.x.float(), e.y, torch.float32),
        lambda e: TensorExamples(e.x.cfloat(), e.y, torch.complex64),
        lambda e: TensorExamples(e.x.to(torch.uint16), e.y, torch.uint16),
        lambda e: TensorExamples(e.x[:, :, None].expand(-1, -1, 2), e.y, torch.int64),
        lambda e: TensorExamples(e.x, e.x, torch.int64),
    ],
    ids=[
        "ignored target",
        "float inputs",
        "complex inputs",
        "inputs without order",
        "inputs of three axes",
        "a target at each position",
    ],
)
def test_what_cannot_be_counted_is_not(way: str, change: Callable[[TensorExamples], TensorExamples]) -> None:
    assert count_contexts(change(text(100, 7, 3))) is None


def test_an_ignored_target_is_left_out_of_the_mean_the_plain_way(way: str) -> None:
    model, examples = Sum(7, 3), text(100, 7, 3)
    ignoring = TensorExamples(examples.x, with_one(examples.y, -1), torch.int64)
    assert mean_loss(model, ignoring) == pytest.approx(plain_mean(model, ignoring), rel=1e-6)


def test_numbers_too_large_for_one_integer_are_not_counted() -> None:
    examples = text(2000, 60, 3)
    assert count_contexts(TensorExamples(with_one(examples.x, 1 << 20), examples.y, torch.int64)) is None
    long = text(2000, 27, 13)  # 27 ** 14 is above 2 ** 62
    assert count_contexts(long) is None
    assert mean_loss(Sum(27, 13), long) == pytest.approx(plain_mean(Sum(27, 13), long), rel=1e-6)


def test_few_examples_are_served_as_they_are() -> None:
    model = Sum(2, 1)
    mean_loss(model, text(1023, 2, 1))
    assert model.rows == 1023
    mean_loss(model, text(1024, 2, 1))
    assert model.rows == 1023 + 2


# What a plugin's model may do


class Counting(nn.Module):
    """Counts its calls in a buffer, in evaluation mode too: in place, or by replacing it."""

    calls: Tensor

    def __init__(self, *, in_place: bool) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self._in_place = in_place

    def forward(self, x: Tensor) -> Tensor:
        if self._in_place:
            self.calls += 1
        else:
            self.calls = self.calls + 1
        return torch.zeros(len(x), 7)


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("n", [5, 5000])
def test_the_buffers_of_the_model_are_left_as_they_were(in_place: bool, n: int) -> None:
    model = Counting(in_place=in_place)
    before = model.calls
    mean_loss(model, TensorExamples(tokens(n, 3), tokens(n), torch.int64))
    assert model.calls is before
    assert model.calls == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("floats", [False, True])  # counted contexts, or examples one by one
def test_the_type_of_the_logits_does_not_change_the_loss(dtype: torch.dtype, floats: bool) -> None:
    class Typed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tensor([[0.5, 1.0, -20.0, 2.0, 0.25, 0.0, 0.0]], dtype=dtype).expand(len(x), 7)

    x, y = tokens(20_000, 3), torch.full((20_000,), 2)
    examples = TensorExamples(x.float(), y, torch.float32) if floats else TensorExamples(x, y, torch.int64)
    exact = -torch.tensor([0.5, 1.0, -20.0, 2.0, 0.25, 0.0, 0.0], dtype=torch.float64).log_softmax(0)[2]
    assert mean_loss(Typed(), examples) == pytest.approx(float(exact), rel=1e-5)
