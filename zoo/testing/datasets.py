"""The check of a dataset, whatever its kind.

Axes: N examples of a split, B examples of a batch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

import torch
from torch import Tensor

from zoo.ambient import in_neutral_state
from zoo.data.download import fetcher
from zoo.data.examples import Examples
from zoo.data.kinds import Dataset
from zoo.data.loading import encode, load_dataset, model_inputs
from zoo.data.splits import Pair, Split, checked
from zoo.data.tensors import TensorDataset
from zoo.errors import UnavailableError
from zoo.plugin.registry import Entry
from zoo.plugin.settings import resolve_settings
from zoo.plugin.specs import DatasetSpec, Reads
from zoo.testing.bench import load_registry
from zoo.testing.comparing import same
from zoo.testing.report import Report, Rule, Skip, try_rules
from zoo.training.augmentation import Augmentation

_MOST = 64  # examples of a split that are gathered
_WINDOW = 3  # characters of context


@in_neutral_state
def check_dataset(name: str, *, settings: Mapping[str, object] | None = None) -> Report:
    """A dataset is the same each time it is made, and a batch of it depends on the indices of its examples alone.

    What it provides and the names of its classes can be recorded. Its `augment` depends on its generator alone, and
    leaves the batch that it is given as it is.

    Args:
        name: the dataset's name.
        settings: its own, as `zoo.run` takes them: `{"data.noise": 0.1}`.

    Returns:
        What was tried. One that must be downloaded is skipped where there is no network.

    Raises:
        AssertionError: what is wrong.
        ZooError: it cannot be made.
    """
    entry = load_registry().datasets.get(name)
    who = f"dataset {name!r}"
    given = {key.removeprefix("data."): value for key, value in (settings or {}).items()}
    tried = _Tried(who, entry, resolve_settings(entry, given))
    try:
        data = tried.data
    except UnavailableError:  # one that asks for `fetch` may have it in the cache, or make it there
        if not fetcher().offline:
            raise
        return Report(skipped=(Skip(who, "it is downloaded, and ZOO_OFFLINE forbids that"),))
    rules = RULES | (OF_TENSORS if isinstance(data, TensorDataset) else OF_TEXT)
    if getattr(data, "augment", None) is not None:
        rules |= OF_AUGMENT
    return try_rules(who, rules, tried)


@dataclass(frozen=True)
class _Tried:
    who: str
    entry: Entry[DatasetSpec]
    settings: Mapping[str, Any]

    @cached_property
    def data(self) -> Dataset:
        return self.made()

    @cached_property
    def examples(self) -> Mapping[str, Examples]:
        """Of each split; of text in each form in which a model may read it: `train split, as windows`."""
        if isinstance(self.data, TensorDataset):
            return {f"{split} split": part for split, part in encode(self.data, "windows", None).items()}
        return {
            f"{split} split, as {reads}": part
            for reads in get_args(Reads)
            for split, part in encode(self.data, reads, _WINDOW).items()
        }

    @property
    def tensors(self) -> TensorDataset:
        assert isinstance(self.data, TensorDataset)
        return self.data

    def made(self) -> Dataset:
        return load_dataset(self.entry, self.settings, fetcher())

    def batch(self) -> tuple[Tensor, Tensor]:
        """Some of the training split."""
        examples = self.examples["train split"]
        return examples.gather(torch.arange(min(8, len(examples))))


def _is_the_same(tried: _Tried) -> None:
    assert tried.data.sha256 == tried.made().sha256, (
        f"{tried.who} differs each time it is made: draw from a generator with a fixed seed, or from the global ones "
        "of torch, NumPy or random, which zoo seeds there"
    )


def _has_examples(tried: _Tried) -> None:
    for split, examples in tried.examples.items():
        assert len(examples) > 0, f"{tried.who} has an empty {split}"


def _batches_follow_from_indices(tried: _Tried) -> None:
    for split, examples in tried.examples.items():
        n = min(_MOST, len(examples))
        every = torch.arange(n) * (len(examples) // n)
        _check_gather(f"{tried.who}: a batch of the {split}", examples.gather, every)
        x, y = examples.gather(every.view(1, -1))
        rows = examples.gather(every)
        assert same((x[0], y[0]), rows), f"{tried.who}: a block of the {split} differs from its batches"


def _check_gather(who: str, gather: Any, indices: Tensor) -> None:
    """That rows are the same however they are asked for: again, in another order, twice in a batch, alone."""
    n = len(indices)
    x, y = gather(indices)
    kept = x.clone(), None if y is None else y.clone()
    order = torch.randperm(n, generator=torch.Generator().manual_seed(1))
    twice = torch.cat([order[: n // 2], order[: n // 2 + 1]])
    for how, chosen in (
        ("again", torch.arange(n)),
        ("in another order", order),
        ("twice", twice),
        ("alone", order[:1]),
    ):
        found = gather(indices[chosen])
        wanted = tuple(None if part is None else part[chosen] for part in kept)
        assert same(tuple(found), wanted), (
            f"{who} has other rows where they are gathered {how}: 'gather' must depend on the indices alone, not on "
            "what was gathered before"
        )
    assert same((x, y), kept), f"{who} changes when another is gathered: return new tensors, or rows of an array"


def _evaluation_is_the_same(tried: _Tried) -> None:
    for split, examples in tried.examples.items():
        one, other = (list(_few(examples)) for _ in range(2))
        assert same(one, other), f"{tried.who}: the {split} is read otherwise the second time"


def _few(examples: Examples) -> Any:
    for number, batch in enumerate(examples.in_order(_MOST)):
        if number == 3:
            return
        yield batch


def _is_in_its_vocabulary(tried: _Tried) -> None:
    size = model_inputs(tried.data, ("vocab_size",))["vocab_size"]
    for split, examples in tried.examples.items():
        for x, y in _few(examples):
            least, most = min(int(x.min()), int(y.min()) + 1), max(int(x.max()), int(y.max()))
            assert 0 <= least <= most < size, (
                f"{tried.who}: the {split} has tokens that are not in its vocabulary of {size}"
            )


def _gathers_what_it_says(tried: _Tried) -> None:
    """Splits that are objects, as their author wrote them: before zoo converts their types."""
    for name, split in tried.tensors.splits.items():
        if isinstance(split, Pair):
            continue
        n = len(split)
        assert n == len(split), f"{tried.who}: the length of the {name} split changes"
        some = torch.arange(min(_MOST, n))
        whole = checked(name, split, some)
        few = checked(name, split, some[:1])
        for what, one, other in zip(("inputs", "targets"), whole, few, strict=True):
            assert (one is None) == (other is None), f"{tried.who}: the {name} split has {what} only at times"
            if one is not None and other is not None:
                alike = one.dtype == other.dtype and one.shape[1:] == other.shape[1:]
                assert alike, f"{tried.who}: {what} of the {name} split have another type or shape in another batch"
        _check_gather(f"{tried.who}: the {name} split", _gatherer(name, split), some)


def _gatherer(name: str, split: Split) -> Any:
    return lambda indices: checked(name, split, indices)


def _can_be_recorded(tried: _Tried) -> None:
    data = tried.tensors
    for what, value in (("provides", data.provides), ("classes", data.classes)):
        back = json.loads(json.dumps(value, allow_nan=False))
        assert same(back, value), f"{tried.who}: {what} would be recorded as {back!r}, and is {value!r}"


def _augmentation(tried: _Tried) -> Augmentation:
    assert tried.tensors.augment is not None
    return Augmentation(tried.tensors.augment, f"augment of {tried.who}", 1)


def _augments_by_its_generator(tried: _Tried) -> None:
    augment, (x, y) = _augmentation(tried), tried.batch()
    one, other = (augment.batch(x.clone(), y.clone(), 3) for _ in range(2))
    assert same(one, other), (
        f"{tried.who}: augment gives another batch for the same batch and step: draw from its argument 'generator'"
    )


def _augments_a_copy(tried: _Tried) -> None:
    augment, batch = _augmentation(tried), tried.batch()
    before = tuple(part.clone() for part in batch)
    augment.batch(*batch, 3)
    assert same(batch, before), (
        f"{tried.who}: augment changes its batch in place: the data could change; clone it first"
    )


def _augments_to_the_same_form(tried: _Tried) -> None:
    augment, (x, y) = _augmentation(tried), tried.batch()
    steps = [augment.batch(x.clone(), y.clone(), step) for step in range(4)]
    for part, given, made in zip(("inputs", "targets"), (x, y), zip(*steps, strict=True), strict=True):
        for tensor in made:
            alike = tensor.dtype == given.dtype and tensor.shape == made[0].shape and len(tensor) == len(given)
            assert alike, (
                f"{tried.who}: augment gives {part} of shape {tuple(tensor.shape)} and type {tensor.dtype} for "
                f"shape {tuple(given.shape)} and type {given.dtype}: all batches of a run need the same"
            )


RULES: dict[str, Rule[_Tried]] = {
    "it is the same each time": _is_the_same,
    "each split has examples": _has_examples,
    "a batch follows from its indices alone": _batches_follow_from_indices,
    "it is evaluated on the same examples each time": _evaluation_is_the_same,
}
OF_TEXT: dict[str, Rule[_Tried]] = {"its tokens are in its vocabulary": _is_in_its_vocabulary}
OF_TENSORS: dict[str, Rule[_Tried]] = {
    "its splits gather the same for the same indices": _gathers_what_it_says,
    "what it provides can be recorded": _can_be_recorded,
}
OF_AUGMENT: dict[str, Rule[_Tried]] = {
    "its augment follows from the generator alone": _augments_by_its_generator,
    "its augment leaves the batch as it is": _augments_a_copy,
    "its augment gives batches of one form": _augments_to_the_same_form,
}
