"""The loss over a whole split."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.datasets import Examples, SplitName
from zoo.evaluation import evaluate, evaluate_splits


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


def tokens(*shape: int, low: int = 0, seed: int = 2) -> Tensor:
    return torch.randint(low, 7, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("n", [1, 2, 100, (1 << 14) - 1, 1 << 14, (1 << 14) + 1, 40_000])
def test_it_equals_cross_entropy_of_the_whole_split_at_once(n: int) -> None:
    model, x, y = Table(), tokens(n, 3), tokens(n, seed=3)
    whole = F.cross_entropy(model(x).double(), y).item()
    assert evaluate(model, Examples(x, y, torch.int64)) == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize("numbers", [1, 10, 64, 1 << 20])
def test_the_size_of_its_batches_does_not_matter(numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.evaluation._MOST_NUMBERS", numbers)
    model, x, y = Table(), tokens(101, 3), tokens(101, seed=3)
    whole = F.cross_entropy(model(x).double(), y).item()
    assert evaluate(model, Examples(x, y, torch.int64)) == pytest.approx(whole, abs=1e-6)


def test_a_target_at_each_position_counts_for_itself() -> None:
    model, x, y = Table(positions=True), tokens(500, 6), tokens(500, 6, low=-1, seed=3)
    whole = F.cross_entropy(model(x).double().flatten(0, 1), y.flatten(), ignore_index=-1).item()
    assert evaluate(model, Examples(x, y, torch.int64)) == pytest.approx(whole, abs=1e-6)


def test_ignored_targets_do_not_thin_the_mean() -> None:
    model, x, y = Table(), tokens(40, 3), tokens(40, seed=3)
    few = evaluate(model, Examples(x[:10], y[:10], torch.int64))
    y[10:] = -1
    assert evaluate(model, Examples(x, y, torch.int64)) == pytest.approx(few, abs=1e-6)


def test_text_in_its_smallest_type_is_widened() -> None:
    model, x, y = Table(), tokens(40, 3), tokens(40, seed=3)
    small = Examples(x.to(torch.uint8), y.to(torch.uint8), torch.int64)
    assert evaluate(model, small) == evaluate(model, Examples(x, y, torch.int64))


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_of_the_model_is_left_as_it_was(training: bool) -> None:
    model = Table().train(training)
    evaluate(model, Examples(tokens(5, 3), tokens(5), torch.int64))
    assert model.training is training


def test_the_mode_of_each_part_of_the_model_is_left_as_it_was() -> None:
    model = Table().train()
    model.inner.eval()
    evaluate(model, Examples(tokens(5, 3), tokens(5), torch.int64))
    assert (model.training, model.inner.training) == (True, False)


def test_a_model_is_evaluated_in_evaluation_mode() -> None:
    modes: list[bool] = []

    class Watching(Table):
        def forward(self, x: Tensor) -> Tensor:
            modes.append(self.training)
            return super().forward(x)

    evaluate(Watching().train(), Examples(tokens(5, 3), tokens(5), torch.int64))
    assert modes == [False]


def test_no_gradient_is_left_behind() -> None:
    model = Table()
    evaluate(model, Examples(tokens(5, 3), tokens(5), torch.int64))
    assert model.C.grad is None


def test_each_split_has_a_loss_of_its_own() -> None:
    model = Table()
    splits: dict[SplitName, Examples] = {
        "train": Examples(tokens(50, 3), tokens(50), torch.int64),
        "test": Examples(tokens(9, 3, seed=8), tokens(9, seed=9), torch.int64),
    }
    assert evaluate_splits(model, splits) == {name: evaluate(model, split) for name, split in splits.items()}
