"""What sections look at one by one: the targets of the validation split, or a part of it of bounded size.

Axes: M losses, I items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from zoo.data.corpus.dataset import CorpusDataset
from zoo.data.datasets import TextDataset
from zoo.data.examples import Examples
from zoo.data.kinds import Dataset
from zoo.data.loading import encode_words
from zoo.reports.showing import plural
from zoo.storage.loading import Loaded
from zoo.training.building import context_length
from zoo.training.evaluation import batch_size_of
from zoo.training.objective.loss import Loss
from zoo.training.prediction.judging import Judged, judge

MOST = 20_000  # targets
_LEAST = 500  # of a large model
_MOST_WORK = 1 << 36  # targets times parameters
_MOST_INPUTS = 1 << 26  # numbers of all inputs
STRETCH = 64  # targets of a stretch of running text

Kind = Literal["words", "stretches", "examples"]


@dataclass(frozen=True)
class Chosen:
    """Targets of the validation split with their losses, and the items that they belong to.

    Attributes:
        kind: what an item is: a word; a stretch of running text; or an example of tensors.
        items: words; the tokens of each stretch; or the numbers of the examples in the split. Of length I.
        item: which one each loss is of, ascending, shape (M,).
        judged: the losses.
        taken, total: how many targets these are, and the split has.
        seed: that chose them, where they are not all.
    """

    kind: Kind
    items: Sequence[Any]
    item: Tensor
    judged: Judged
    taken: int
    total: int
    seed: int

    @property
    def counts(self) -> Tensor:
        """How many losses each item has, shape (I,)."""
        return torch.bincount(self.item, minlength=len(self.items))

    @property
    def losses(self) -> Tensor:
        """The mean loss of each item, shape (I,); NaN where it has no target that counts."""
        total = torch.zeros(len(self.items), dtype=torch.float64).index_add_(0, self.item, self.judged.loss)
        return total / self.counts

    def losses_of(self, item: int) -> Tensor:
        """The losses of the targets of an item, in their order."""
        first, last = torch.searchsorted(self.item, torch.tensor([item, item + 1])).tolist()
        return self.judged.loss[first:last]

    @property
    def told(self) -> str:
        """What they are, in a sentence."""
        if self.taken >= self.total:
            return f"All {plural(self.total, 'target')} of the validation split."
        return (
            f"{self.taken:,} of the {plural(self.total, 'target')} of the validation split, chosen by seed {self.seed}."
        )


def choose(loaded: Loaded, dataset: Dataset, loss: Loss, examples: Callable[[], Examples], seed: int) -> Chosen:
    """The targets of a run's validation split, up to `MOST`; of a large model fewer.

    Args:
        loaded: the run.
        dataset: its data.
        loss: of its objective.
        examples: makes those of its validation split.
        seed: decides which targets, where there are more.

    Raises:
        PluginError: the model or its loss fails.
    """
    parameters = sum(p.numel() for p in loaded.model.parameters())
    most = min(MOST, max(_LEAST, _MOST_WORK // max(1, parameters)))
    chooser = _Chooser(loaded, loss, most, seed)
    if isinstance(dataset, TextDataset):
        return chooser.words(dataset)
    if isinstance(dataset, CorpusDataset):
        return chooser.stretches(examples(), len(dataset.splits["val"]))
    return chooser.examples(examples(), dataset.targets == "classes")


@dataclass(frozen=True)
class _Chooser:
    """What all kinds of data have in common: `most` is a number of targets."""

    loaded: Loaded
    loss: Loss
    most: int
    seed: int

    @property
    def _model(self) -> nn.Module:
        return self.loaded.model

    def _permuted(self, count: int) -> Tensor:
        return torch.randperm(count, generator=torch.Generator().manual_seed(self.seed))

    def words(self, dataset: TextDataset) -> Chosen:
        words, reads = dataset.splits["val"], self.loaded.entry.spec.reads
        lengths = torch.from_numpy(words.lengths).long()  # with the end
        order = self._permuted(len(words))
        fits = int((lengths[order].cumsum(0) <= self.most).sum())
        rows = order[: max(1, fits)].sort().values
        chosen = [words[row] for row in rows.tolist()]
        longest = self.loaded.checked.inputs.get("max_length") or dataset.max_length
        length = longest if reads == "sequences" else context_length(self._model)
        examples = encode_words({"val": chosen}, reads, length, self.loaded.vocabulary)["val"]
        judged = judge(self._model, examples.in_order(batch_size_of(self._model, examples.input_size)), self.loss)
        word = torch.arange(len(rows))
        word = word.repeat_interleave(lengths[rows]) if reads == "windows" else word  # of each example
        taken, total = int(lengths[rows].sum()), int(lengths.sum())
        return Chosen("words", chosen, word[judged.example], judged, taken, total, self.seed)

    def stretches(self, examples: Examples, total: int) -> Chosen:
        """Stretches of `STRETCH` targets: of consecutive windows, or parts of the blocks of an evaluation."""
        blocks = self.loaded.entry.spec.reads == "sequences"
        length = examples.input_size if blocks else STRETCH
        starts = torch.arange(0, total, length)
        starts = starts[self._permuted(len(starts))[: max(1, self.most // length)].sort().values]
        places = starts[:, None] + torch.arange(length)  # (starts, length)
        inside = places < total
        judged, y = self._judged(examples, starts if blocks else places[inside])
        row, place = inside.nonzero(as_tuple=True)
        _, stretch = torch.unique_consecutive(row * length + place // STRETCH, return_inverse=True)
        y = y[inside] if blocks else y
        tokens: list[list[int]] = [part.tolist() for part in torch.split(y, torch.bincount(stretch).tolist())]
        if len(judged.loss) != len(stretch):  # a loss of its own that gives a number for each block
            tokens = [part.tolist() for part in torch.split(y, torch.bincount(row).tolist())]
            stretch = judged.example
        return Chosen("stretches", tokens, stretch, judged, len(y), total, self.seed)

    def examples(self, examples: Examples, has_classes: bool) -> Chosen:
        each = examples.target_size if has_classes else 1
        count = max(1, min(self.most // each, _MOST_INPUTS // max(1, examples.input_size)))
        rows = self._permuted(len(examples))[:count].sort().values
        judged, _ = self._judged(examples, rows)
        taken, total = len(rows) * each, len(examples) * each
        return Chosen("examples", rows.tolist(), judged.example, judged, taken, total, self.seed)

    def _judged(self, examples: Examples, indices: Tensor) -> tuple[Judged, Tensor]:
        """The losses of the examples at `indices`, and their targets."""
        targets: list[Tensor] = []

        def batches() -> Iterator[tuple[Tensor, Tensor]]:
            for part in torch.split(indices, batch_size_of(self._model, examples.input_size)):
                x, y = examples.gather(part)
                targets.append(y)
                yield (x.clone() if x is y else x), y  # a model may change its inputs

        judged = judge(self._model, batches(), self.loss)
        return judged, torch.cat(targets)
