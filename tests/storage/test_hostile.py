"""Files that nobody vouches for, from end to end: each trap that checkpoints have been seen to be, sprung on zoo."""

from __future__ import annotations

import contextlib
import importlib
import mmap
import os
import pickle
import resource
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
from forging import NET, Change, assert_one_line, refusal
from torch import Tensor

import zoo
from zoo import CheckpointError, ZooError
from zoo.plugin.registry import Registry
from zoo.storage import checkpoint, loading
from zoo.storage.verify import verify

Zoo = Callable[..., Any]


class HangError(BaseException):
    """No `Exception`, and no `OSError`: nothing on the way may take it for a fault of the file."""


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """No test may hang, or eat the machine: after 10 seconds, or with 1 GiB more, it fails."""

    def late(number: int, frame: object) -> None:
        raise HangError

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    statm = Path("/proc/self/statm")
    if statm.exists():
        used = int(statm.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), hard))
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def bits(tensors: dict[str, Tensor]) -> dict[str, bytes]:
    return {name: t.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() for name, t in tensors.items()}


def header_of(content: bytes) -> str:
    return content[8 : 8 + int.from_bytes(content[:8], "little")].decode()


def with_header(content: bytes, header: str) -> bytes:
    start = 8 + int.from_bytes(content[:8], "little")
    return len(header.encode()).to_bytes(8, "little") + header.encode() + content[start:]


# What safetensors itself gets wrong


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "transposed": lambda t: t.t().contiguous().t(),
    "strided": lambda t: torch.stack([t, -t], dim=-1)[..., 0],
    "part of a larger one": lambda t: torch.nn.functional.pad(t, (1, 1, 1, 1))[1:-1, 1:-1],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_weights_of_any_memory_layout_round_trip(change: Change, made: Path, layout: str) -> None:
    tensors = zoo.load(made).model.state_dict()
    tensors["W1"] = LAYOUTS[layout](tensors["W1"])
    assert not tensors["W1"].is_contiguous()
    assert bits(zoo.load(change(tensors=tensors)).model.state_dict()) == bits(tensors)


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002], ids=oct)
def test_the_files_of_a_run_have_the_mode_of_the_umask(words_file: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        zoo.run("mlp-char", dataset=words_file, device="cpu", steps=2, out="run", plots=False, settings=NET)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in Path("run").iterdir()}
    assert modes == dict.fromkeys(modes, 0o666 & ~umask)


def test_the_same_weights_give_the_same_bytes_twenty_times(change: Change, weights: Path) -> None:
    before = weights.read_bytes()
    assert {change().read_bytes() for _ in range(20)} == {before}


def test_any_flipped_bit_is_found(weights: Path, registry: Registry) -> None:
    content = weights.read_bytes()
    survivors = []
    for position in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit
            weights.write_bytes(damaged)
            try:
                loading.load(weights, registry)
            except CheckpointError:
                continue
            survivors.append((position, bit))
    assert survivors == []


def test_a_file_truncated_at_any_length_is_refused(weights: Path, registry: Registry) -> None:
    content = weights.read_bytes()
    for length in range(len(content)):
        weights.write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            loading.load(weights, registry)


def test_a_reader_of_the_old_file_keeps_the_old_tensors(weights: Path) -> None:
    stored = checkpoint.load(weights)
    old = stored.tensors
    with safetensors.safe_open(weights, framework="pt") as mapped, weights.open("rb") as file:
        view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        before = bytes(view)
        sevens = {name: torch.full_like(tensor, 7.0) for name, tensor in old.items()}
        checkpoint.save(weights, sevens, {"config": stored.meta["config"]})
        assert bits({name: mapped.get_tensor(name) for name in old}) == bits(old)
        assert bytes(view) == before
        view.close()
    assert bool((checkpoint.load(weights).tensors["C"] == 7.0).all())


def test_a_tensor_under_a_reserved_name_is_not_written(weights: Path) -> None:
    before = weights.read_bytes()
    with pytest.raises(CheckpointError, match="reserves that name"):
        checkpoint.save(weights, {"__metadata__": torch.ones(2)}, {"config": {}})
    assert weights.read_bytes() == before


TWICE = {
    "a tensor": lambda h: h.replace('"C":', '"C":{"dtype":"F32","shape":[6,2],"data_offsets":[0,48]},"C":', 1),
    "the metadata": lambda h: h.replace('"__metadata__":', '"__metadata__":{},"__metadata__":', 1),
    "zoo's metadata": lambda h: h.replace('"zoo":', '"zoo":"{}","zoo":', 1),
    "the config": lambda h: h.replace('\\"config\\":', '\\"config\\":{},\\"config\\":', 1),
}


@pytest.mark.parametrize("case", TWICE)
def test_a_duplicate_key_is_refused(weights: Path, case: str) -> None:
    content = weights.read_bytes()
    header = TWICE[case](header_of(content))
    assert header != header_of(content)
    weights.write_bytes(with_header(content, header))
    assert "damaged" in refusal(weights) or "not an intact safetensors file" in refusal(weights)


@pytest.mark.parametrize("token", ["1e999", "-1e999", "NaN", "Infinity", "9" * 5000, "[" * 100_000, "1" + "e" * 9])
def test_a_config_with_invalid_json_values_is_refused(weights: Path, token: str) -> None:
    content = weights.read_bytes()
    header = header_of(content).replace('\\"lr\\":0.1', f'\\"lr\\":{token}')
    assert header != header_of(content)
    weights.write_bytes(with_header(content, header))
    assert "damaged" in refusal(weights)


# Files that are something else


class Bomb:
    """Says something when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("BOOM",)


FOREIGN = {
    "LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 48000\n",
        "it is a Git LFS pointer; fetch the file itself with 'git lfs pull'",
    ),
    "HTML": (b"<!DOCTYPE html>\n<html><body>Not found</body></html>", "it is a web page, perhaps saved in place of a"),
    "pickle": (pickle.dumps(Bomb()), "it is a pickled or zipped file (torch.save?), which zoo never loads"),
    "empty": (b"", "it is empty"),
    "noise": (bytes(range(256)), "it is truncated, or of another format"),
}


@pytest.mark.parametrize("case", FOREIGN)
@pytest.mark.parametrize("command", ["eval", "sample", "plot"])
def test_a_file_of_another_kind_is_an_error_of_one_line(zoo_here: Zoo, weights: Path, case: str, command: str) -> None:
    content, guess = FOREIGN[case]
    weights.write_bytes(content)
    outcome = zoo_here(command, weights)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith(f"zoo: error: {weights} is not an intact safetensors file: {guess}")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("zipped", [True, False])
def test_files_of_torch_save_are_refused_and_never_unpickled(
    weights: Path, capsys: pytest.CaptureFixture[str], zipped: bool
) -> None:
    torch.save({"C": Bomb()}, weights, _use_new_zipfile_serialization=zipped)
    assert "it is a pickled or zipped file (torch.save?), which zoo never loads" in refusal(weights)
    assert "BOOM" not in capsys.readouterr().out


NO_FILES: dict[str, Callable[[Path], None]] = {
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "an endless device": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nowhere": lambda path: path.symlink_to("nowhere"),
}


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("call", [zoo.load, zoo.resume], ids=["load", "resume"])
@pytest.mark.parametrize("name", ["model.safetensors", "training_state.safetensors"])
def test_pipes_and_devices_are_refused_at_once(run: Path, kind: str, call: Callable[..., Any], name: str) -> None:
    if (call is zoo.load) != (name == "model.safetensors"):
        call, run = zoo.load, run / name  # the other file, on its own
    (Path("run") / name).unlink()
    NO_FILES[kind](Path("run") / name)
    with pytest.raises(ZooError):
        call(run)


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize(
    "name", ["model.safetensors", "training_state.safetensors", "losses.csv", "config.json", "metrics.json"]
)
def test_verify_reports_pipes_and_devices_in_a_folder(run: Path, registry: Registry, kind: str, name: str) -> None:
    (run / name).unlink()
    NO_FILES[kind](run / name)
    missing = name == "metrics.json" and kind.startswith("a link")  # a run that has not ended has none
    assert {finding.file: finding.intact for finding in verify(run, registry)}[name] == missing


@pytest.mark.parametrize("kind", ["a pipe", "a folder", "an endless device", "a link to itself"])
def test_resume_reports_a_config_that_is_not_a_file(zoo_here: Zoo, run: Path, kind: str) -> None:
    (run / "config.json").unlink()
    NO_FILES[kind](run / "config.json")
    assert_one_line(zoo_here("resume", run, "--steps", 6))


@pytest.mark.parametrize("kind", NO_FILES)
def test_metrics_that_are_not_a_file_are_replaced_or_refused(zoo_here: Zoo, run: Path, kind: str) -> None:
    (run / "metrics.json").unlink()
    NO_FILES[kind](run / "metrics.json")
    stays = kind == "a folder" or (run / "metrics.json").is_symlink()
    outcome = zoo_here("resume", run, "--quiet", "--no-plots")
    assert outcome.code == (1 if stays else 0), outcome.err
    assert (run / "metrics.json").is_file() == (not stays)


@pytest.mark.parametrize("kind", ["a pipe", "an endless device", "a folder"])
def test_data_that_is_not_a_file_is_refused(zoo_here: Zoo, change: Change, kind: str) -> None:
    NO_FILES[kind](Path("words"))
    change("dataset.name", "words").with_name("training_state.safetensors").unlink()  # which knows where the data is
    assert_one_line(zoo_here("eval", "run"))


# Code


@pytest.fixture
def trap(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module that can be imported, and must not be."""
    Path("traps").mkdir()
    Path("traps/zoo_trap_module.py").write_text("class Net: pass\n")
    monkeypatch.syspath_prepend(Path("traps").absolute())
    yield "zoo_trap_module"
    sys.modules.pop("zoo_trap_module", None)


# fmt: off
PLACES = [
    "model.name", "model.plugin.distribution", "model.plugin.name", "model.factory", "model.hyperparameters.factory",
    "model.inputs.factory", "optimizer.name", "optimizer.factory", "dataset.plugin", "dataset.factory", "factory",
    "dataset.settings.factory", "training.engine", "__reduce__", "versions.zoo",
]
# fmt: on


@pytest.mark.parametrize("path", ["{}:Net", "{}", "{}.Net"])
@pytest.mark.parametrize("place", PLACES)
def test_no_name_in_a_checkpoint_is_ever_imported(run: Path, change: Change, trap: str, place: str, path: str) -> None:
    value: Any = path.format(trap)
    if place == "dataset.plugin":
        value = {"distribution": value, "version": "1", "module": trap}
    for name in ("model.safetensors", "training_state.safetensors"):
        change(place, value, name=name)
    for call in (zoo.load, zoo.resume):
        with contextlib.suppress(ZooError):
            call(run)
    assert trap not in sys.modules


def test_the_trap_can_be_imported(trap: str) -> None:
    assert importlib.import_module(trap).Net


def test_a_plugin_that_is_not_installed_is_named_and_not_fetched(
    change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("subprocess.Popen.__init__", refuse)
    monkeypatch.setattr(os, "system", refuse)
    message = refusal(change("model.plugin.distribution", "zoo-absent"))
    assert "'zoo-absent/mlp-char'" in message
    assert "not installed" in message
