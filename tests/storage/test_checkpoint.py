"""Weights and training state on disk, whole, foreign or damaged."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from zoo import CheckpointError, PluginError
from zoo.plugin.optimizer_state import flatten_state, unflatten_state
from zoo.storage.checkpoint import digest, fill, load, save


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=generator())


TENSORS = {
    "matrix": normal(3, 4),
    "transposed": normal(5, 2).t(),
    "every second": normal(8)[::2],
    "expanded": normal(1, 3).expand(4, 3),
    "flipped view": normal(4, 4)[1:3, 2:],
    "double": normal(3).double(),
    "half": normal(3).half(),
    "bf16": normal(2, 3).bfloat16(),
    "bool": torch.tensor([True, False, True]),
    "long": torch.tensor([[2**62, -(2**62)]]),
    "byte": torch.arange(5, dtype=torch.uint8),
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 3),
    "not numbers": torch.tensor([float("nan"), float("inf"), -0.0]),
    "parameter": nn.Parameter(normal(2, 2)),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


@pytest.fixture
def small(path: Path) -> Path:
    """A small file as `save` writes it."""
    save(path, {"W": torch.arange(6.0).view(2, 3), "b": torch.tensor([1, 2], dtype=torch.uint8)}, {"config": {"k": 1}})
    return path


def bits(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and bits(a) == bits(b)


# Round trips


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_round_trips_bit_for_bit(path: Path, name: str) -> None:
    save(path, {name: TENSORS[name]}, {})
    assert same(load(path).tensors[name], TENSORS[name])


def test_all_tensors_round_trip_under_their_names(path: Path) -> None:
    save(path, TENSORS, {})
    assert load(path).tensors.keys() == TENSORS.keys()


def test_a_file_without_tensors_is_valid(path: Path) -> None:
    save(path, {}, {"step": 3})
    assert load(path).tensors == {}


@pytest.mark.parametrize("other", [lambda t: t, lambda t: t[:2], lambda t: t.view(2, 2)], ids=["same", "part", "view"])
def test_tensors_that_share_memory_are_written_separately(path: Path, other: Any) -> None:
    shared = normal(4)
    save(path, {"a": shared, "b": other(shared)}, {})
    assert same(load(path).tensors["b"], other(shared))


def test_tied_parameters_round_trip(path: Path) -> None:
    save(path, Tied(1.0).state_dict(), {})
    model = Tied(2.0)
    fill(model, load(path).tensors, path)
    assert model.inner is model.outer
    assert model.inner.tolist() == [1.0, 1.0]


def test_saving_does_not_change_the_tensors(path: Path) -> None:
    weights = nn.Parameter(normal(3, 2).t())
    save(path, {"W": weights}, {})
    assert (weights.requires_grad, weights.is_contiguous()) == (True, False)


@pytest.mark.parametrize(
    "meta", [{}, {"config": {"model": {"name": "zoë"}, "lr": 0.1, "none": None, "list": [1, 2]}, "step": 5000}]
)
def test_metadata_round_trips(path: Path, meta: dict[str, Any]) -> None:
    save(path, {"W": normal(2)}, meta)
    read = load(path).meta
    assert {key: read[key] for key in meta} == meta


def test_metadata_has_the_format_and_the_digest(small: Path) -> None:
    checkpoint = load(small)
    assert checkpoint.meta["format"] == 1
    assert checkpoint.meta["sha256"] == digest(checkpoint.tensors)


# The bytes


def test_the_same_values_give_the_same_bytes(tmp_path: Path) -> None:
    meta = {"a": 1, "b": {"c": 2, "d": 3}}
    again = {"b": {"d": 3, "c": 2}, "a": 1}
    save(tmp_path / "one", TENSORS, meta)
    save(tmp_path / "two", {name: TENSORS[name].clone() for name in reversed(TENSORS)}, again)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_there_is_exactly_one_metadata_key(small: Path) -> None:
    with safetensors.safe_open(small, framework="pt") as file:
        assert list(file.metadata()) == ["zoo"]


def test_safetensors_alone_reads_plain_tensors(path: Path) -> None:
    save(path, TENSORS, {})
    plain = safetensors.torch.load_file(path)
    assert all(same(plain[name], tensor) for name, tensor in TENSORS.items())


def test_overwriting_a_file_does_not_change_loaded_tensors(path: Path) -> None:
    save(path, {"W": torch.ones(1000)}, {})
    loaded = load(path).tensors["W"]
    save(path, {"W": torch.zeros(1000)}, {})
    assert loaded.sum() == 1000


@pytest.mark.parametrize("function", ["save", "load"])
def test_safetensors_without_memory_is_a_memory_error(
    small: Path, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type("PanicException", (BaseException,), {})  # PyO3's, which cannot be imported

    def panics(*args: Any) -> None:
        raise kind("PyObject pointer is null")

    before = small.read_bytes()
    monkeypatch.setattr(safetensors.torch, function, panics)
    with pytest.raises(MemoryError):
        load(small) if function == "load" else save(small, {"a": torch.ones(2)}, {})
    assert small.read_bytes() == before


def test_a_reserved_name_is_refused_and_the_old_file_is_kept(small: Path) -> None:
    before = small.read_bytes()
    with pytest.raises(CheckpointError, match="a tensor cannot be called '__metadata__'"):
        save(small, {"__metadata__": normal(2)}, {})
    assert small.read_bytes() == before


@pytest.mark.parametrize(
    "other",
    [{"b": torch.ones(4)}, {"a": torch.zeros(4)}, {"a": torch.ones(2, 2)}, {"a": torch.ones(4).view(torch.int32)}, {}],
    ids=["name", "value", "shape", "type", "nothing"],
)
def test_a_digest_depends_on_names_values_shapes_and_types(other: dict[str, Tensor]) -> None:
    assert digest(other) != digest({"a": torch.ones(4)})


def test_a_digest_does_not_depend_on_order_or_layout() -> None:
    a, b = normal(3, 4), normal(4)
    assert digest({"a": a, "b": b}) == digest({"b": b, "a": a.t().contiguous().t()})


# Damage


@pytest.mark.parametrize("position", [-1, -2, -3, -7, -14, -20, -26])
@pytest.mark.parametrize("bit", [0, 3, 7])
def test_a_flipped_bit_of_a_value_is_found(small: Path, position: int, bit: int) -> None:
    content = bytearray(small.read_bytes())
    content[position] ^= 1 << bit
    small.write_bytes(content)
    with pytest.raises(CheckpointError, match="is damaged: its tensors do not have the digest it states"):
        load(small)


def loads(path: Path, content: bytes) -> bool:
    path.write_bytes(content)
    try:
        load(path)
    except CheckpointError:
        return False
    return True


def test_a_file_truncated_anywhere_is_refused(small: Path) -> None:
    content = small.read_bytes()
    assert [length for length in range(len(content)) if loads(small, content[:length])] == []


def test_every_flipped_bit_is_a_checkpoint_error(small: Path) -> None:
    content = small.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    survivors = []
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        survivors += [position] if loads(small, bytes(damaged)) else []
    assert all(8 <= position < header for position in survivors)


def test_a_flipped_bit_in_the_metadata_is_found(path: Path) -> None:
    save(path, {"W": torch.ones(2)}, {"config": {"seed": 5000}})
    assert not loads(path, path.read_bytes().replace(b"5000", b"5001"))


@pytest.mark.parametrize("extra", [b"\0", b"x" * 100])
def test_a_file_with_trailing_bytes_is_refused(small: Path, extra: bytes) -> None:
    assert not loads(small, small.read_bytes() + extra)


def zipped() -> bytes:
    """Laid out as torch.save lays its files out: a zip with a pickle in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("archive/version", b"3\n")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "guess"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", "it is a web page, perhaps saved in place of a download"),
        (b"\n\n  <html lang='en'>" + b" " * 1000, "it is a web page"),
        (b"<?xml version='1.0'?><Error/>", "it is a web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 48000\n",
            "it is a Git LFS pointer; fetch the file itself with 'git lfs pull'",
        ),
        (zipped(), "it is a pickled or zipped file (torch.save?), which zoo never loads"),
        (b"\x80\x02}q\x00.", "it is a pickled or zipped file"),
        (b"\x80\x04\x95\x00", "it is a pickled or zipped file"),
        (b"\xff" * 64, "it is truncated, or of another format"),
        (b"short", ""),
        ("name,size\ncafé,3\n".encode() * 40, "it looks like text, and has no weights; name the folder of a run"),
        (b"\x02\x00\x00\x00\x00\x00\x00\x00{}trailing", ""),
        (b"\x05\x00\x00\x00\x00\x00\x00\x00[1,2]", ""),
    ],
    ids=[
        "empty",
        "HTML",
        "late HTML",
        "XML",
        "LFS",
        "zip",
        "pickle 2",
        "pickle 4",
        "noise",
        "short",
        "CSV",
        "tail",
        "list",
    ],
)
def test_a_file_of_another_kind_is_refused_with_a_guess_of_its_kind(path: Path, content: bytes, guess: str) -> None:
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path} is not an intact safetensors file: {guess}")


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}], ids=["none", "foreign"])
def test_a_safetensors_file_without_zoo_metadata_is_refused(path: Path, metadata: dict[str, str] | None) -> None:
    safetensors.torch.save_file({"W": normal(2)}, path, metadata)
    with pytest.raises(
        CheckpointError, match="was not written by zoo: it has no 'zoo' metadata to rebuild the model from"
    ):
        load(path)


@pytest.mark.parametrize(
    "text",
    ["no json", "", "[]", "3", '"text"', "null", "{}", '{"format":1,"format":1}', '{"format":NaN}', "[" * 100_000],
    ids=["no json", "empty", "list", "number", "text", "null", "no format", "key twice", "NaN", "deep"],
)
def test_invalid_metadata_is_damage(path: Path, text: str) -> None:
    safetensors.torch.save_file({"W": normal(2)}, path, {"zoo": text})
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged"):
        load(path)


@pytest.mark.parametrize("version", [2, 0, "1", None, [1]])
def test_a_file_of_another_format_is_refused_with_the_supported_one(path: Path, version: object) -> None:
    tensors = {"W": normal(2)}
    record = {"format": version, "sha256": digest(tensors)}
    safetensors.torch.save_file(tensors, path, {"zoo": json.dumps(record)})
    with pytest.raises(CheckpointError, match=r"has format .*; this zoo reads format 1: a newer zoo may read it"):
        load(path)


@pytest.mark.parametrize("stated", [None, "", "0" * 64, 3])
def test_a_file_that_states_another_digest_is_refused(path: Path, stated: object) -> None:
    safetensors.torch.save_file({"W": normal(2)}, path, {"zoo": json.dumps({"format": 1, "sha256": stated})})
    with pytest.raises(CheckpointError, match="is damaged"):
        load(path)


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot read .*model\.safetensors: No such file or directory"):
        load(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot read"):
        load(tmp_path)


# Filling a model


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.zeros(2, 3))
        self.b = nn.Parameter(torch.zeros(3))


class Tied(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.inner = nn.Parameter(torch.full((2,), value))
        self.outer = self.inner


FITTING = {"W": torch.ones(2, 3), "b": torch.ones(3)}


def test_tensors_that_fit_are_copied_into_the_model() -> None:
    model = Net()
    fill(model, FITTING, Path("m.safetensors"))
    assert (model.W.sum().item(), model.b.sum().item()) == (6, 3)


def test_a_filled_model_shares_no_memory_with_the_tensors() -> None:
    model, tensors = Net(), {name: tensor.clone() for name, tensor in FITTING.items()}
    fill(model, tensors, Path("m.safetensors"))
    tensors["W"].zero_()
    assert model.W.sum() == 6


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"W": None}, "missing tensors: W; unexpected tensors: none"),
        ({"V": torch.ones(1), "A": torch.ones(1)}, "missing tensors: none; unexpected tensors: A, V"),
        ({"W": None, "b": None, "C": torch.ones(1)}, "missing tensors: W, b; unexpected tensors: C"),
        ({"W": torch.ones(3, 2)}, "'W' is float32[3, 2], the model has float32[2, 3]"),
        ({"W": torch.ones(6)}, "'W' is float32[6], the model has float32[2, 3]"),
        ({"b": torch.tensor(1.0)}, "'b' is float32[], the model has float32[3]"),
        ({"b": torch.ones(3).double()}, "'b' is float64[3], the model has float32[3]"),
        ({"b": torch.ones(3).bfloat16()}, "'b' is bfloat16[3], the model has float32[3]"),
    ],
    ids=["missing", "unexpected", "both", "shape", "flat", "scalar", "double", "bf16"],
)
def test_tensors_that_do_not_fit_are_refused_with_the_cause(change: dict[str, Tensor | None], cause: str) -> None:
    tensors = {name: tensor for name, tensor in {**FITTING, **change}.items() if tensor is not None}
    with pytest.raises(CheckpointError) as caught:
        fill(Net(), tensors, Path("m.safetensors"))
    assert str(caught.value) == f"m.safetensors does not fit its config: {cause}"


def test_tensors_that_do_not_fit_do_not_change_the_model() -> None:
    model = Net()
    with pytest.raises(CheckpointError):
        fill(model, {"W": torch.ones(2, 3), "b": torch.ones(4)}, Path("m.safetensors"))
    assert model.W.sum() == 0


# The state of an optimizer


def through_a_file(path: Path, state: Any) -> Any:
    tensors, tree = flatten_state(state, "state")
    save(path, tensors, {"tree": tree})
    checkpoint = load(path)
    return unflatten_state(checkpoint.meta["tree"], checkpoint.tensors)


def adam(model: Net) -> torch.optim.Adam:
    groups: list[dict[str, Any]] = [
        {"params": [model.W], "lr": 0.01},
        {"params": [model.b], "betas": (0.8, 0.9)},
    ]
    return torch.optim.Adam(groups, amsgrad=True)


def step(model: Net, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    ((model.W.sum(0) + model.b - torch.arange(3.0)) ** 2).sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def test_the_state_of_adam_resumes_bit_for_bit_from_a_file(path: Path) -> None:
    one, two = Net(), Net()
    first, second = adam(one), adam(two)
    for _ in range(3):
        step(one, first)
    fill(two, one.state_dict(), path)
    second.load_state_dict(through_a_file(path, first.state_dict()))
    for _ in range(3):
        step(one, first)
        step(two, second)
    assert same(one.W, two.W)
    assert same(one.b, two.b)


def test_the_groups_of_adam_round_trip_with_their_types(path: Path) -> None:
    model = Net()
    optimizer = adam(model)
    step(model, optimizer)
    state = optimizer.state_dict()
    assert through_a_file(path, state)["param_groups"] == state["param_groups"]


@pytest.mark.parametrize(
    "state",
    [
        None,
        3,
        0.1,
        "text",
        True,
        [],
        (),
        {},
        {"a": [1, (2, None)], 3: {"b": "c"}},
        {"tensor": "W"},
        {"items": [[1, 2]]},
        {"list": 3},
        [{"tuple": []}],
    ],
    ids=repr,
)
def test_plain_values_round_trip(path: Path, state: object) -> None:
    back = through_a_file(path, state)
    assert (back, type(back)) == (state, type(state))


@pytest.mark.parametrize(
    "state",
    [
        {"a": {"b": torch.zeros(1)}, "a.b": torch.ones(1)},
        {1: torch.zeros(1), "1": torch.ones(1)},
        {"a": [torch.zeros(1)], "a.0": torch.ones(1)},
    ],
    ids=["dots", "numbers", "lists"],
)
def test_tensors_with_similar_keys_stay_separate(path: Path, state: dict[Any, Any]) -> None:
    assert list(map(float, leaves(through_a_file(path, state)))) == [0, 1]


def leaves(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [leaf for item in (value.values() if isinstance(value, dict) else value) for leaf in leaves(item)]


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", 1j, object()], ids=["set", "bytes", "complex", "object"])
def test_an_unsupported_state_is_refused_by_name(value: object) -> None:
    with pytest.raises(PluginError) as caught:
        flatten_state({"state": {0: {"odd": value}}}, "optimizer", "optimizer 'x'")
    kind = type(value).__name__
    assert str(caught.value) == (
        f"optimizer 'x' keeps 'optimizer.state.0.odd' in its state, {'an' if kind[0] == 'o' else 'a'} {kind}: a state "
        "may hold dense tensors, int, float, bool, str, None, and lists, tuples and dicts of these"
    )


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"tensor": "nowhere"},
        {"tensor": 3},
        {"tensor": ["a"]},
        {"items": 3},
        {"items": [[1]]},
        {"items": [[1, 2, 3]]},
        {"items": [[[1], 2]]},
        {"list": 3},
        {"list": None},
        {"set": [1]},
        {"list": [], "tuple": []},
        {"list": [{"items": [["key", {"tensor": "nowhere"}]]}]},
    ],
    ids=repr,
)
def test_a_damaged_state_is_refused(tree: Any) -> None:
    with pytest.raises(CheckpointError, match="the training state is damaged"):
        unflatten_state(tree, {})


def test_a_state_that_is_nested_too_deeply_is_refused() -> None:
    tree: Any = 1
    for _ in range(5000):
        tree = {"list": [tree]}
    with pytest.raises(CheckpointError, match="the training state is damaged"):
        unflatten_state(tree, {})
