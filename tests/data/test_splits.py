"""Splits of every form: in memory, memory-mapped, or objects that gather; the same batches from each."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from zoo import DataError, TensorDataset
from zoo.data.examples import Examples
from zoo.data.loading import encode_tensors
from zoo.data.splits import SAMPLED, Mapped, is_mapped
from zoo.errors import PluginError

N = 50
X = np.random.default_rng(0).normal(size=(N, 3, 2)).astype(np.float32)
Y = {
    "classes": np.random.default_rng(1).integers(0, 5, N),
    "numbers": np.random.default_rng(2).normal(size=(N, 2)).astype(np.float32),
}


class Gathered:
    """A split as a person writes one; it notes what it is asked for."""

    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y, self.asked = x, y, 0

    def __len__(self) -> int:
        return len(self.x)

    def gather(self, indices: Tensor) -> tuple[Any, Any]:
        assert indices.dtype == torch.int64
        assert indices.ndim == 1
        self.asked += len(indices)
        rows = indices.numpy()
        return self.x[rows], None if self.y is None else self.y[rows]


def mapped(path: Path, array: Any) -> Any:
    np.save(path, array)
    return np.load(path, mmap_mode="r")


def in_form(form: str, folder: Path, x: Any, y: Any) -> Any:
    if form == "tensors":
        return (torch.from_numpy(x), torch.from_numpy(y)) if y is not None else torch.from_numpy(x)
    if form == "arrays":
        return (x, y) if y is not None else x
    if form == "object":
        return Gathered(x, y)
    folder.mkdir(exist_ok=True)
    x_mapped = mapped(folder / "x.npy", x)
    if y is None:
        return x_mapped
    return x_mapped, mapped(folder / "y.npy", y) if form == "mapped" else y


FORMS = ("tensors", "arrays", "object", "mapped", "mapped inputs")
CASES = [(form, kind) for form in FORMS for kind in ("classes", "numbers", "inputs")]


def served(form: str, kind: str, folder: Path) -> dict[Any, Examples]:
    y: Any = Y.get(kind)
    y = None if y is None else y.copy()
    split = in_form(form, folder, X.copy(), y)
    with warnings.catch_warnings(action="error"):  # of a read-only array, for instance
        return encode_tensors(TensorDataset(split, split, split))


@pytest.mark.parametrize(("form", "kind"), CASES)
def test_every_form_gives_the_same_batches_in_the_same_order(form: str, kind: str, tmp_path: Path) -> None:
    examples = served(form, kind, tmp_path)["train"]
    expected_y = torch.from_numpy(Y[kind]) if kind != "inputs" else torch.from_numpy(X)
    indices = torch.tensor([[3, 49, 3], [0, 7, 48]])
    x, y = examples.gather(indices)
    assert torch.equal(x, torch.from_numpy(X)[indices])
    assert torch.equal(y, expected_y[indices])
    assert y.dtype == (torch.int64 if kind == "classes" else torch.float32)
    for size in (1, 7, 50, 99):
        parts = list(examples.in_order(size))
        assert torch.equal(torch.cat([part for part, _ in parts]), torch.from_numpy(X))
        assert torch.equal(torch.cat([part for _, part in parts]), expected_y)
    assert (len(examples), examples.input_size, examples.target_size) == (N, 6, expected_y[0].numel())


@pytest.mark.parametrize("form", ["object", "mapped"])
def test_what_is_outside_memory_is_never_read_whole(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.zeros((10 * SAMPLED, 2), np.float32)
    y = np.zeros((10 * SAMPLED, 1), np.float32)
    read: list[int] = []
    gather = Mapped.gather

    def noting(self: Mapped, indices: Tensor) -> tuple[Any, Any]:
        read.append(len(indices))
        return gather(self, indices)

    monkeypatch.setattr(Mapped, "gather", noting)
    split = in_form(form, tmp_path, x, y)
    data = TensorDataset(split, split, split)
    assert data.sha256
    assert (split.asked if form == "object" else sum(read)) == 3 * SAMPLED  # once for each split
    assert data.digest_covers is not None
    assert "1,024 examples" in data.digest_covers


def test_the_digest_of_data_outside_memory_knows_lengths_types_and_what_it_covers() -> None:
    def digest(n: int, value: float = 0.0, dtype: Any = np.float32, row: int = 0) -> str:
        x = np.zeros((n, 2), dtype)
        x[row] = value
        split = Gathered(x, np.zeros((n, 1), np.float32))
        return TensorDataset(split, split, split).sha256

    n = 2 * SAMPLED
    assert digest(n) == digest(n)
    assert len({digest(n), digest(n + 1), digest(n, 1.0), digest(n, dtype=np.float64), digest(n, 1.0, row=2)}) == 5
    assert digest(n) == digest(n, 1.0, row=1)  # which it does not cover


def test_a_view_of_a_mapped_array_is_mapped(tmp_path: Path) -> None:
    file = mapped(tmp_path / "a.npy", np.zeros((9, 2)))
    assert all(is_mapped(array) for array in (file, file[3:], np.asarray(file)[3:], file.T))
    assert not any(is_mapped(array) for array in (np.zeros(3), np.zeros((3, 3))[1:], file.copy(), file + 0, None))


TYPES = ["uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64", "bool", ">i4", "<i2"]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("form", ["arrays", "object", "mapped"])
def test_targets_may_be_of_any_integer_type(kind: str, form: str, tmp_path: Path) -> None:
    y = (np.arange(N) % 2).astype(kind)
    split = in_form(form, tmp_path, X, y)
    data = TensorDataset(split, split, split, classes=["no", "yes"])
    _, found = encode_tensors(data)["train"].gather(torch.arange(N))
    assert found.dtype == torch.int64
    assert found.tolist() == (np.arange(N) % 2).tolist()


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", ">f8"])
@pytest.mark.parametrize("floats", [torch.float32, torch.float64])
def test_floats_are_served_in_the_type_asked_for(kind: str, floats: torch.dtype) -> None:
    x = np.arange(8.0).reshape(4, 2).astype(kind)
    data = TensorDataset((x, x[:, 0]), (x, x[:, 0]), (x, x[:, 0]))
    found, target = encode_tensors(data, floats)["train"].gather(torch.arange(4))
    assert (found.dtype, target.dtype, data.has_float64) == (floats, floats, np.dtype(kind).itemsize == 8)


def test_whole_numbers_as_inputs_stay_what_they_are() -> None:
    x = torch.arange(36).view(4, 3, 3).to(torch.uint8)
    split = (x, torch.tensor([0, 1, 2, 0]))
    found, _ = encode_tensors(TensorDataset(split, split, split))["val"].gather(torch.arange(4))
    assert found.dtype == torch.uint8


class Wrong(Gathered):
    def __init__(self, answer: Any) -> None:
        super().__init__(X, Y["classes"])
        self.answer = answer

    def gather(self, indices: Tensor) -> Any:
        return self.answer(indices)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda i: 3, "'gather' does not return a pair (x, y)"),
        (lambda i: (torch.zeros(2, 3), torch.zeros(len(i))), "'gather' gave inputs of shape (2, 3) for 50 indices"),
        (lambda i: (torch.zeros(len(i), 3), torch.zeros(7)), "'gather' gave targets of shape (7,) for 50 indices"),
        (lambda i: (torch.zeros(len(i), 3), torch.full((len(i),), -2)), "must be integers from 0"),
        (lambda i: (torch.full((len(i), 3), torch.nan), torch.zeros(len(i))), "NaN in X, at row 0, column 0"),
    ],
)
def test_a_gather_that_is_wrong_is_told_before_training(answer: Any, told: str) -> None:
    split = Wrong(answer)
    with pytest.raises(DataError) as caught:
        TensorDataset(split, split, split)
    assert told in str(caught.value)


def test_a_gather_that_fails_in_training_names_whose_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    split = Gathered(X, Y["classes"])
    examples = encode_tensors(TensorDataset(split, split, split), who="dataset 'rows' of plugin zoo-rows 1.0")["val"]
    monkeypatch.setattr(split, "gather", lambda indices: 1 / 0)
    with pytest.raises(PluginError, match=r"^dataset .rows. of plugin zoo-rows 1.0 cannot gather examples of the val"):
        examples.gather(torch.arange(3))


def test_classes_outside_memory_must_be_named() -> None:
    split = Gathered(X, Y["classes"])
    with pytest.raises(DataError, match="give their names as 'classes'"):
        assert TensorDataset(split, split, split).num_classes
    assert TensorDataset(split, split, split, classes=[*"abcdef"]).num_classes == 6


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"classes": ["a", "a"]}, "classes must be a list of different names"),
        ({"classes": "abc"}, "classes must be a list of different names"),
        ({"classes": ["a", "b"]}, "the train split has class 4, and 'classes' names 2 (0 is the first)"),
        ({"provides": {"two words": 1}}, "provides must be a mapping of arguments' names"),
        ({"provides": {"f": lambda: 1}}, "provides['f'] must be a finite number"),
        ({"provides": {"f": float("nan")}}, "provides['f'] must be a finite number"),
        ({"provides": {"f": {1: 2}}}, "provides['f'] must be a finite number"),
        ({"augment": 3}, "augment must be a function"),
    ],
)
def test_what_a_checkpoint_could_not_hold_is_refused(more: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError) as caught:
        TensorDataset((X, Y["classes"]), (X, Y["classes"]), (X, Y["classes"]), **more)
    assert told in str(caught.value)


def test_what_is_provided_is_made_plain() -> None:
    provides = {"means": np.array([1.0, 2.0]), "size": np.int64(3), "names": ("a", "b"), "of": {"a": torch.tensor([1])}}
    data = TensorDataset(X, X, X, provides=provides)
    assert data.provides == {"means": [1.0, 2.0], "size": 3, "names": ["a", "b"], "of": {"a": [1]}}


@pytest.mark.parametrize(("form", "kind"), CASES)
def test_what_is_changed_in_place_is_never_the_data(form: str, kind: str, tmp_path: Path) -> None:
    """As a model with `nn.ReLU(inplace=True)` at its start does, and a careless metric."""
    examples = served(form, kind, tmp_path)["train"]
    before = [part.clone() for part in examples.gather(torch.arange(N))]
    for x, y in examples.in_order(20):
        x.fill_(7)
        y.fill_(3)
    for part in examples.gather(torch.arange(N)):
        part.fill_(3)
    assert all(map(torch.equal, examples.gather(torch.arange(N)), before))


class Frame:
    """As data frames are: no array, and NumPy makes one of it. Its parts are the names of its columns."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self._array, dtype)

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Any:
        return iter(["first", "second"])


def read_only(array: Any) -> Any:
    array = array.copy()
    array.flags.writeable = False
    return array


LAYOUTS: dict[str, Any] = {
    "read-only": read_only,
    "Fortran order": np.asfortranarray,
    "backwards": lambda array: array[::-1].copy()[::-1],
    "other byte order": lambda array: array.astype(array.dtype.newbyteorder()),
    "list of arrays": list,
    "list of tensors": lambda array: [torch.tensor(row) for row in array],
    "tuple of tensors": lambda array: tuple(torch.tensor(row) for row in array),
    "frame": Frame,
    "masked, with nothing masked": np.ma.masked_array,
    "tensor with a gradient": lambda array: torch.tensor(array).requires_grad_(array.dtype.kind == "f"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_an_array_may_lie_in_memory_in_any_way(layout: str, kind: str) -> None:
    with warnings.catch_warnings(action="error"):  # torch has one for lists of arrays
        pair = LAYOUTS[layout](X), LAYOUTS[layout](Y[kind])
        dataset = TensorDataset(pair, pair, pair)
    plain = (X, Y[kind])
    assert dataset.sha256 == TensorDataset(plain, plain, plain).sha256


@pytest.mark.parametrize("form", ["tensors", "arrays", "object", "mapped"])
@pytest.mark.parametrize("kind", ["classes", "numbers", "inputs"])
def test_batches_lie_row_by_row_however_the_data_does(form: str, kind: str, tmp_path: Path) -> None:
    """A model that calls `view` would train, and then not be evaluated."""

    def served(x: Any, y: Any) -> dict[Any, Examples]:
        x, y = np.asfortranarray(x), None if y is None else np.asfortranarray(y)
        split = in_form(form, tmp_path / str(len(x)), x, y)
        return encode_tensors(TensorDataset(split, split, split))

    for rows in (N, 1):
        y: Any = None if kind == "inputs" else np.asarray(Y[kind])[:rows]
        examples = served(X[:rows], y)["val"]
        for batch in [*examples.in_order(20), examples.gather(torch.zeros(2, 3, dtype=torch.int64))]:
            assert all(part.is_contiguous() for part in batch)


def test_a_frame_may_stand_alone() -> None:
    assert TensorDataset(Frame(X), Frame(X), Frame(X)).targets == "inputs"


@pytest.mark.parametrize(
    ("x", "y", "told"),
    [
        (X, ["a"] * N, "Y of the train split is no tensor: it has text: give numbers"),
        (X, np.array(["a"] * N), "Y of the train split is no tensor: it has text"),
        (X.astype(object), Y["classes"], "X of the train split is no tensor: it has Python objects"),
        (np.ma.masked_array(X, X > 0), Y["classes"], "X of the train split is no tensor: it has masked numbers"),
        (torch.tensor(X).to_sparse(), Y["classes"], "X of the train split is sparse"),
        ([X[0], X[1, :2]], [0, 1], "X of the train split is no tensor"),
    ],
    ids=["texts", "array of text", "objects", "masked", "sparse", "ragged"],
)
def test_what_is_no_tensor_is_told_with_its_part(x: Any, y: Any, told: str) -> None:
    with pytest.raises(DataError) as caught:
        TensorDataset((x, y), (x, y), (x, y))
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize(
    ("split", "what"),
    [
        (None, "None"),
        ({"x": X, "y": Y}, "a dict"),
        ((X, Y["classes"], X), "a tuple of 3"),
        (torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y["numbers"])), "a TensorDataset"),
        ("ab", "a str"),
    ],
    ids=["nothing", "mapping", "three", "dataset of torch", "text"],
)
def test_what_is_no_split_is_told_with_what_is(split: Any, what: str) -> None:
    with pytest.raises(DataError) as caught:
        TensorDataset(split, split, split)
    assert str(caught.value) == (
        "the train split is not a pair (X, Y) of tensors, nor X alone, nor an object with len and gather(indices), "
        f"but {what}"
    )


def test_names_of_classes_may_be_an_array() -> None:
    split, names = (X, Y["classes"]), list("abcde")
    given: Any = np.array(names)
    assert TensorDataset(split, split, split, classes=given).classes == names


def test_its_repr_has_the_number_of_examples(tmp_path: Path) -> None:
    splits = [in_form(form, tmp_path, X, Y["numbers"]) for form in ("arrays", "mapped", "object")]
    shape = (N, *X.shape[1:])
    assert repr(TensorDataset(*splits)) == f"<TensorDataset of train {shape}, val {shape}, test {shape}; 2 outputs>"
