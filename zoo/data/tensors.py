"""The dataset of anything that is not text: inputs and targets as tensors, or gathered from anywhere.

torch is imported only where tensors are made, so that a plugin's data module can be imported without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from zoo.ambient import in_neutral_state
from zoo.data.splits import SAMPLED, SPLITS, Pair, Sampled, Split, SplitName, add_to_digest, read_split, sample
from zoo.errors import DataError
from zoo.html import facts, titled
from zoo.numbers import show_value
from zoo.options.values import is_plain, plain
from zoo.text import listed

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from zoo.data.sources.origin import Origin

Targets: TypeAlias = Literal["classes", "numbers", "inputs"]
Augment: TypeAlias = Callable[["Tensor", "Tensor", "torch.Generator"], tuple["Tensor", "Tensor"]]


class TensorDataset:
    """Examples of any kind.

    Args:
        train, val, test: each a pair (X, Y) of tensors, arrays, lists of these or of numbers, or what NumPy makes an
            array of, such as a data frame; X alone (a tensor or an array); or any object with `len(split)` and
            `split.gather(indices) -> (x, y)`, which need not fit into memory. X has shape (N, ...) and is the input of
            a model's `forward` for N examples. Y has shape (N, ...): whole numbers are classes from 0, or -1 for a
            target to ignore; floating-point numbers are predicted as such. Memory-mapped arrays stay on the disk: only
            the rows of a batch are read.
        provides: what a model's constructor, a loss or a metric may ask for by name, besides `num_features`,
            `num_classes` and `num_outputs`: numbers, text, lists or mappings of these. Kept in `config.json`.
        classes: the names of the classes, in order. Kept in `config.json`.
        augment: changes training batches on their device: `augment(x, y, generator)` returns both. Its random numbers
            come from `generator`, a CPU generator that depends on the seed and the step of the run alone.

    Attributes:
        targets: `classes`, `numbers`, or `inputs` where there are no targets: then a target is the input itself.

    Raises:
        DataError: a split is empty, its shapes or types do not fit together, or a number is NaN or infinite. Of a split
            outside memory, some examples are checked.
    """

    read_as: str | None = None  # how a table was read, in words
    origin: Origin | None = None  # where `zoo.load_dataset` had it from

    @in_neutral_state
    def __init__(
        self,
        train: Any,
        val: Any,
        test: Any,
        *,
        provides: Mapping[str, Any] | None = None,
        classes: Sequence[str] | None = None,
        augment: Augment | None = None,
    ) -> None:
        given: tuple[tuple[SplitName, Any], ...] = tuple(zip(SPLITS, (train, val, test), strict=True))
        self.splits: dict[SplitName, Pair | Split] = {name: read_split(name, split) for name, split in given}
        self._sampled = {name: sample(name, s) for name, s in self.splits.items() if not isinstance(s, Pair)}
        self._check_alike()
        self.targets = self._targets("train")
        self.provides = _checked_provides(provides or {})
        self.classes = _checked_classes(classes)
        self.augment = augment
        if augment is not None and not callable(augment):
            raise DataError(f"augment must be a function of (x, y, generator), got {show_value(augment)}")
        if self.classes is not None:
            self._check_classes(len(self.classes))

    def __repr__(self) -> str:
        splits = ", ".join(f"{name} {(count, *self.example(name).x.shape[1:])}" for name, count in self.counts.items())
        return f"<TensorDataset of {splits}; {self.targets_text}>"

    def _repr_html_(self) -> str:
        """For a notebook: what is in it."""
        example = self.example("train")
        y = example.y if self.targets != "inputs" else None
        parts = {"x of an example": _form(example.x), "y of an example": "" if y is None else _form(y)}
        named = {"classes": "" if self.classes is None else listed(self.classes, 8, 20)}
        counts: dict[str, str] = {name: f"{count:,} examples" for name, count in self.counts.items()}
        provides = {"provides": listed(self.provides, 8)}
        title = f"{sum(self.counts.values()):,} examples, {self.targets_text}"
        return titled(title, facts({**counts, **parts, **named, **provides}))

    @property
    def counts(self) -> dict[SplitName, int]:
        """The examples of each split."""
        return {name: len(s.x if isinstance(s, Pair) else s) for name, s in self.splits.items()}

    @property
    def num_features(self) -> int:
        """The number of elements of one example."""
        return self.example("train").x[0].numel()

    @property
    def num_outputs(self) -> int:
        """The number of numbers to predict for one example.

        Raises:
            DataError: the targets are classes.
        """
        if self.targets == "classes":
            raise DataError("this dataset has classes, and no numbers to predict: it has no num_outputs")
        example = self.example("train")
        return (example.y if example.y is not None else example.x)[0].numel()

    @cached_property
    @in_neutral_state
    def num_classes(self) -> int:
        """The number of classes: of their names, or one more than the highest.

        Raises:
            DataError: there are none, or how many is not said and the targets are not in memory.
        """
        if self.targets != "classes":
            raise DataError("this dataset has no classes: it has no num_classes")
        if self.classes is not None:
            return len(self.classes)
        pairs = [split for split in self.splits.values() if isinstance(split, Pair)]
        if len(pairs) < len(self.splits):
            raise DataError(
                "how many classes there are is not known without reading all: give their names as 'classes'"
            )
        return 1 + max(int(pair.y.max()) for pair in pairs)

    @property
    def in_memory(self) -> bool:
        """Whether all of it is."""
        return not self._sampled

    @property
    def has_float64(self) -> bool:
        """Whether inputs or targets are of that type."""
        example = self.example("train")
        return any(part is not None and str(part.dtype) == "torch.float64" for part in example)

    @property
    def digest_covers(self) -> str | None:
        """What `sha256` covers, where that is not all of the data."""
        if not self._sampled:
            return None
        return f"the lengths, shapes and types, and up to {SAMPLED:,} examples of each of: {', '.join(self._sampled)}"

    @cached_property
    @in_neutral_state
    def sha256(self) -> str:
        """Hex digest of the shapes, types and values of all splits; of one outside memory, see `digest_covers`.

        That of a table is its file's.
        """
        return self.values_sha256()

    @in_neutral_state
    def values_sha256(self) -> str:
        """That of the splits as they are now, wherever they are from: tensors can be changed in place."""
        found = hashlib.sha256()
        for name, split in self.splits.items():
            add_to_digest(found, name, split, self._sampled.get(name))
        return found.hexdigest()

    @in_neutral_state
    def tensors(self, split: SplitName = "train") -> tuple[Tensor, Tensor]:
        """A split as it was given: X of shape (N, ...) and Y of shape (N, ...), or X twice where there are no targets.

        Of a split outside memory, all is gathered.

        Raises:
            DataError: that does not fit into memory.
            UsageError: there is no such split.
        """
        from zoo.data.sources.arrays import of_tensors

        return of_tensors(self.splits, split)

    def example(self, name: SplitName) -> Pair | Sampled:
        """Some examples of a split, or all of it."""
        split = self.splits[name]
        return split if isinstance(split, Pair) else self._sampled[name]

    def _targets(self, name: SplitName) -> Targets:
        x, y = self.example(name)
        if y is None or y is x:
            return "inputs"
        return "numbers" if y.is_floating_point() else "classes"

    def _check_alike(self) -> None:
        shapes = {name: tuple(self.example(name).x.shape[1:]) for name in self.splits}
        if len(set(shapes.values())) > 1:
            raise DataError(f"the splits have examples of different shapes: {shapes}")
        kinds = {name: self._targets(name) for name in self.splits}
        if len(set(kinds.values())) > 1:
            raise DataError(f"the splits have targets of different kinds: {kinds}")

    def _check_classes(self, count: int) -> None:
        if self.targets != "classes":
            raise DataError(f"classes names {count:,} classes, and the targets are no whole numbers")
        for name in self.splits:
            y = self.example(name).y
            if y is not None and int(y.max()) >= count:
                raise DataError(
                    f"the {name} split has class {int(y.max())}, and 'classes' names {count:,} (0 is the first)"
                )

    @property
    def targets_text(self) -> str:
        """What a model is to predict, in a few words: `10 classes`."""
        if self.targets == "inputs":
            return "no targets"
        if self.targets == "numbers":
            return f"{self.num_outputs:,} output{'s' * (self.num_outputs != 1)}"
        return f"{self.num_classes:,} classes" if self.classes is not None or self.in_memory else "classes"


def _form(part: Tensor) -> str:
    """The shape of one example, and its type."""
    shape = tuple(part.shape[1:])
    return f"{shape or 'one number'}, {str(part.dtype).removeprefix('torch.')}"


def _checked_provides(provides: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(provides, Mapping) or not all(isinstance(name, str) and name.isidentifier() for name in provides):
        raise DataError(f"provides must be a mapping of arguments' names, got {show_value(provides)}")
    values = {name: _plain(value) for name, value in provides.items()}
    for name, value in values.items():
        if not _is_json(value):
            raise DataError(
                f"provides[{name!r}] must be a finite number, text, true, false, None, or lists or mappings of these, "
                f"got {show_value(value)}"
            )
    return values


def _plain(value: Any) -> Any:
    """NumPy's and torch's numbers and arrays as Python's."""
    value = value.tolist() if hasattr(value, "tolist") and hasattr(value, "dtype") else plain(value)
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _is_json(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_json(one) for key, one in value.items())
    return all(map(_is_json, value)) if isinstance(value, list) else is_plain(value)


def _checked_classes(classes: Sequence[str] | None) -> list[str] | None:
    if classes is None:
        return None
    given = _plain(classes)  # an array's as a list
    names = [str(name) for name in given] if isinstance(given, Sequence) and not isinstance(given, str) else []
    if not names or len(set(names)) < len(names):
        raise DataError(f"classes must be a list of different names, got {show_value(classes)}")
    return names
