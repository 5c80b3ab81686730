"""Whatever state of torch a call is made in, it gives the same bytes, and the state is the same after it.

Tried by enumeration: every state of `ambient_states.STATES` with every call of `CALLS`.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ambient_states import STATES, fingerprint
from dropping import WORDS, Plugin, install
from torch import Tensor, nn

import zoo
from zoo import cuda
from zoo.ambient import unchanged
from zoo.ambient.neutral import changed_since_new, neutral, others_turn
from zoo.cli import main
from zoo.data.download import fetcher
from zoo.plots.plot import embeddings_plot
from zoo.plugin.manager import load_plugins
from zoo.storage import checkpoint
from zoo.storage.verify import verify

PRECISION = "bfloat16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "float32"
OPTIONS: dict[str, Any] = {"device": "cpu", "plots": False, "batch_size": 8}


@pytest.fixture(autouse=True)
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Plugin())


CPU = torch.device("cpu")  # made here, because a mode would see how it is made


def plain(result: Any) -> Any:
    """What a call returned, as data to compare; models and tensors must be ordinary ones."""
    if isinstance(result, nn.Module):
        return [plain(part) for part in itertools.chain(result.named_parameters(), result.named_buffers())]
    if isinstance(result, Tensor):
        assert (result.device, result.is_inference()) == (CPU, False)
        return result.requires_grad, str(result.dtype), result.detach().numpy().tobytes()
    if isinstance(result, list | tuple):
        return [plain(part) for part in result]
    if isinstance(result, zoo.TensorDataset):
        return plain([*result.splits.values(), result.sha256, result.num_classes])
    return result


def files(folder: Path) -> dict[str, Any]:
    """What a run has written, but for where its data was."""
    meta = checkpoint.load_meta(folder / "training_state.safetensors")  # with a digest of the tensors
    state = {key: value for key, value in meta.items() if key not in ("data", "meta_sha256")}
    assert "sha256" in state
    return {"state": state, **{name: (folder / name).read_bytes() for name in ("model.safetensors", "config.json")}}


def run(model: str, **options: Any) -> Callable[[Path], Any]:
    def call(work: Path) -> Any:
        done = zoo.run(model, dataset=work / "words.txt", steps=6, out=work / "out", **OPTIONS, **options)
        return files(done.path), done.losses, done.model

    return call


def resume(work: Path) -> Any:
    return files(zoo.resume(shutil.copytree(work / "dropping", work / "copy"), steps=9, plots=False).path)


def read(use: Callable[[zoo.storage.loading.Loaded, Any], Any]) -> Callable[[Path], Any]:
    """A call of a method of what `zoo.load` returns."""
    return lambda work: use(zoo.load(work / "mlp"), zoo.TextDataset.from_file(work / "words.txt"))


def tensors(_: Path) -> Any:
    dataset = zoo.TensorDataset(*3 * [([[0.1, 1e-3], [7.0, 1 / 3]], [0, 1])])
    return dataset, dataset.sha256, dataset.num_classes


def evaluated(loaded: Any, data: Any) -> Any:
    return loaded.evaluate(loaded.examples(data), CPU), len(loaded.novel_examples(data))


def embeddings(loaded: Any, _data: Any) -> Any:
    made = embeddings_plot("x.png", loaded.record(losses=False))
    return made.arguments["table"]


def command(*args: str) -> Callable[[Path], Any]:
    def call(work: Path) -> Any:
        with pytest.raises(SystemExit) as ended:
            main([*args, "--json", "--debug"])
        return ended.value.code

    return call


CALLS: dict[str, Callable[[Path], Any]] = {
    "create_model": lambda _: zoo.create_model("gru", vocab_size=27),
    "create_model, global generator": lambda _: zoo.create_model("dropping", vocab_size=6),
    "load": read(lambda loaded, _: loaded.model),
    "sample": read(lambda loaded, _: loaded.sample(30, seed=1)),
    "predict": read(lambda loaded, _: loaded.predict(["a", ""]).probabilities),
    "likelihood": read(lambda loaded, _: loaded.likelihood(["a", "ab"])),
    "evaluate": read(evaluated),
    "dataset": read(lambda loaded, _: loaded.dataset(load_plugins()[0], fetcher()).sha256),
    "embeddings": read(embeddings),
    "verify": lambda work: verify(work / "mlp", load_plugins()[0]),
    "tensors": tensors,
    "run, manual engine": run("mlp-char", engine="manual"),
    "run, gru": run("gru"),
    "run, dropout": run("dropping", validate_every=2, precision=PRECISION),
    "run, data of a plugin": lambda _: files(zoo.run("linear", dataset="numbers", steps=2, out="out", **OPTIONS).path),
    "resume": resume,
    "zoo eval": command("eval", "mlp"),
    "zoo sample": command("sample", "mlp", "-n", "5", "--seed", "1"),
}


@pytest.mark.parametrize("state", STATES)
def test_float32_is_float32_in_the_neutral_state(state: str) -> None:
    """By each of torch's ways to ask for it, which torch refuses to read where two of them contradict each other."""
    with STATES[state](), neutral():
        assert torch.get_float32_matmul_precision() == "highest"
        assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == (False, False)
        with torch.backends.cudnn.flags(enabled=False, allow_tf32=None):  # which reads and restores all of it
            pass
        for operation in ("matmul", "conv", "rnn") if hasattr(torch._C, "_get_fp32_precision_getter") else ():
            assert torch._C._get_fp32_precision_getter("cuda", operation) in ("ieee", "none")  # none: as a whole
        assert torch.backends.cudnn.allow_tf32 is False


def test_a_new_process_is_no_change_of_a_plugin_although_cudnn_has_tf32_there() -> None:
    changed_since_new()  # other tests may have left precisions that say the same in other words
    before = torch.backends.cudnn.allow_tf32
    assert before
    assert changed_since_new() == []
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("medium")
    try:
        assert changed_since_new() == ["the precision of float32"]
        assert torch.backends.cudnn.allow_tf32
        assert torch.get_float32_matmul_precision() == "highest"
    finally:
        torch.backends.cudnn.allow_tf32 = before
        torch.set_float32_matmul_precision("highest")


class Cards:
    """Two cards, of which one is the current one; with a generator of their own."""

    def __init__(self) -> None:
        self.number, self.default_generators = 1, (torch.Generator(), torch.Generator())
        self.in_use = True

    def is_initialized(self) -> bool:
        return self.in_use

    def current_device(self) -> int:
        return self.number

    def set_device(self, number: int) -> None:
        self.number = number

    @contextlib.contextmanager
    def device(self, device: torch.device) -> Iterator[None]:
        before, self.number = self.number, device.index
        yield
        self.number = before


def test_the_callers_current_device_is_put_back_whatever_a_plugin_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = Cards()
    monkeypatch.setattr(cuda, "api", cards)
    states = [generator.get_state() for generator in cards.default_generators]
    with neutral(), cuda.current(torch.device("cuda:0")):
        assert cards.number == 0
        with unchanged() as changed:
            cards.set_device(1)  # a plugin
            cards.default_generators[0].manual_seed(7)
        assert (cards.number, changed) == (0, [])
        with others_turn():
            assert cards.number == 0  # each thread has its own
        cards.set_device(0)
    assert cards.number == 1
    for generator, state in zip(cards.default_generators, states, strict=True):
        assert torch.equal(generator.get_state(), state)
    assert "the current device of CUDA" in changed_since_new()
    assert cards.number == 0


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("turns", [0, 1, 2])
def test_the_callers_seed_is_put_back_where_cuda_comes_into_use_in_a_neutral_block(
    monkeypatch: pytest.MonkeyPatch, depth: int, turns: int
) -> None:
    cards = Cards()
    cards.in_use = False
    monkeypatch.setattr(cuda, "api", cards)
    for generator in cards.default_generators:
        generator.manual_seed(7)  # torch.manual_seed(7) is done to them as soon as they are there
    wanted = [generator.get_state() for generator in cards.default_generators]
    with contextlib.ExitStack() as blocks:
        for _ in range(depth):
            blocks.enter_context(neutral())
        with neutral():
            cards.in_use = True
        assert [generator.initial_seed() for generator in cards.default_generators] == [0, 0]  # neutral at once
        cards.default_generators[1].manual_seed(3)
        for _ in range(turns):
            with others_turn():
                assert [generator.initial_seed() for generator in cards.default_generators] == [7, 7]
            assert cards.default_generators[1].initial_seed() == 3
    assert all(map(torch.equal, [generator.get_state() for generator in cards.default_generators], wanted))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs that calls read."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "words.txt").write_text(WORDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        install(patch, Plugin())
        zoo.run("mlp-char", dataset="words.txt", steps=6, out="mlp", **OPTIONS)
        zoo.run("dropping", dataset="words.txt", steps=5, out="dropping", **OPTIONS)
    return folder


@pytest.fixture
def work(runs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with those runs in it."""
    for path in runs.iterdir():
        Path(path.name).symlink_to(path)
    return Path()


def outcome(call: str, work: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """What a call returns and prints; and no folder of a run is left."""
    capsys.readouterr()
    result = CALLS[call](work)
    for folder in ("out", "copy"):
        shutil.rmtree(folder, ignore_errors=True)
    return result, capsys.readouterr().out


EXPECTED: dict[str, Any] = {}  # by call: what it gives in the neutral state


@pytest.mark.parametrize("state", STATES)
def test_each_call_gives_the_same_in_every_state_and_leaves_it(
    state: str, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for call in CALLS.keys() - EXPECTED.keys():
        EXPECTED[call] = plain(outcome(call, work, capsys))
    found = {}
    with STATES[state]():
        before = fingerprint()
        for call in CALLS:
            found[call] = outcome(call, work, capsys)
            assert fingerprint() == before, call
    for call, result in found.items():
        assert plain(result) == EXPECTED[call], call
