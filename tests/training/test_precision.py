"""bfloat16 and torch's compiler: what they change, what they do not, and what is said where they cannot be had."""

from __future__ import annotations

import contextlib
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import run_python
from torch import Tensor, nn

import zoo
from zoo.errors import DeviceError, ZooError
from zoo.options.run import RunOptions
from zoo.runs.result import Run
from zoo.training.autograd import Autograd, StepOptions
from zoo.training.device import check_precision, native_precision
from zoo.training.objective.cross_entropy import cross_entropy

Zoo = Callable[..., Any]

BFLOAT16_HERE = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
bfloat16 = pytest.mark.skipif(not BFLOAT16_HERE, reason="this processor does not compute in bfloat16")


@pytest.fixture
def run(words_file: Path) -> Callable[..., Run]:
    def run(out: str, steps: int = 20, **more: Any) -> Run:
        settings = {"model.n_embd": 16, "model.n_head": 2, "model.n_layer": 2, "model.dropout": 0.1}
        return zoo.run(
            "transformer",
            dataset=words_file,
            device="cpu",
            steps=steps,
            out=out,
            plots=False,
            settings=settings,
            **more,
        )

    return run


@bfloat16
def test_bfloat16_computes_otherwise_and_comes_near(run: Callable[..., Run]) -> None:
    full, half = run("full"), run("half", precision="bfloat16")
    assert half.step_losses != full.step_losses
    assert half.step_losses == pytest.approx(full.step_losses, rel=0.02)
    assert all(tensor.dtype == torch.float32 for tensor in half.model.state_dict().values())
    assert half.config["training"]["precision"] == "bfloat16"
    assert "--precision bfloat16" in (half.path / "README.md").read_text()


@bfloat16
def test_bfloat16_resumes_to_the_same_bytes(run: Callable[..., Run]) -> None:
    whole = run("whole", precision="bfloat16")
    run("parts", 9, precision="bfloat16")
    resumed = zoo.resume("parts", steps=20, plots=False)
    for name in ("model.safetensors", "training_state.safetensors", "losses.csv"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes()


@bfloat16
def test_products_are_rounded_and_losses_are_not() -> None:
    """The weights are 2 ** -10 above whole numbers, which bfloat16 rounds off; then every sum is exact in any order."""
    model = nn.Linear(64, 8, bias=False, device="meta").to_empty(device="cpu")
    generator = torch.Generator().manual_seed(1)
    whole = torch.randint(-1, 2, (8, 64), generator=generator).float()
    with torch.no_grad():
        model.weight.copy_(whole * (1 + 2**-10))
    x, y = torch.randint(-1, 2, (1, 5, 64), generator=generator).float(), torch.zeros(1, 5, dtype=torch.int64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    [loss] = Autograd(model, optimizer, StepOptions(precision="bfloat16")).run(x, y, [0.0], lambda: False)
    rounded, exact = (cross_entropy(x[0] @ weight.t(), y[0]) for weight in (whole, model.weight.detach()))
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(rounded), rel=1e-5)
    assert float(exact) != pytest.approx(float(rounded), rel=1e-4)
    assert model.weight.grad is not None
    assert model.weight.grad.dtype == torch.float32


def test_a_device_without_bfloat16_is_one_line(
    monkeypatch: pytest.MonkeyPatch, words_file: Path, zoo_here: Zoo
) -> None:
    monkeypatch.setattr("zoo.training.device._computes_in_bfloat16", lambda _: False)
    done = zoo_here("run", "gru", "--dataset", words_file, "--device", "cpu", "--precision", "bfloat16")
    assert (done.code, done.err) == (
        2,
        "zoo: error: this cpu does not compute in bfloat16; leave out --precision\n",
    )
    assert not Path("runs").exists()
    check_precision(RunOptions("x"), torch.device("cpu"))
    with pytest.raises(DeviceError, match=r'leave out precision, or use device="cpu"$'):
        check_precision(RunOptions("x", precision="bfloat16"), torch.device("mps"))


def on_running_text(tmp_path: Path, out: str, **more: Any) -> Run:
    """Two steps of a preset that prefers bfloat16."""
    (tmp_path / "play.txt").write_text("To be, or not to be: that is\nthe question.\n" * 12)
    small = {"model.n_embd": 8, "model.n_head": 2, "model.n_layer": 1, "model.max_length": 8}
    options = {"dataset": tmp_path / "play.txt", "device": "cpu", "steps": 2, "plots": False, **more}
    return zoo.run("transformer", preset="shakespeare", settings=small, out=out, **options)


def test_a_presets_bfloat16_is_float32_where_the_processor_would_emulate_it(
    tmp_path: Path, zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.training.device._is_fast_in_bfloat16", lambda _: False)
    with pytest.warns(UserWarning, match="this cpu has no products in bfloat16, which the preset prefers: it computes"):
        run = on_running_text(tmp_path, "preferred")
    assert run.config["training"]["precision"] == "float32"
    plain = on_running_text(tmp_path, "plain", precision="float32")  # nobody is warned of what was asked for
    assert plain.step_losses == run.step_losses
    monkeypatch.setattr("zoo.training.device._computes_in_bfloat16", lambda _: False)
    with pytest.raises(DeviceError, match="this cpu does not compute in bfloat16; leave out precision"):
        on_running_text(tmp_path, "asked", precision="bfloat16")


@bfloat16
def test_a_run_in_bfloat16_is_not_resumed_in_float32(
    tmp_path: Path, zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.training.device._is_fast_in_bfloat16", lambda _: True)
    run = on_running_text(tmp_path, "begun")
    assert run.config["training"]["precision"] == "bfloat16"
    monkeypatch.setattr("zoo.training.device._is_fast_in_bfloat16", lambda _: False)
    monkeypatch.setattr("zoo.training.device._computes_in_bfloat16", lambda _: False)
    with pytest.raises(DeviceError, match="this cpu does not compute in bfloat16"):
        zoo.resume(run.path, steps=3, plots=False)


@pytest.mark.parametrize(
    ("features", "native"), [(set(), False), ({"avx512_bf16"}, True), ({"amx_tile"}, True), ({"avx512"}, False)]
)
def test_which_processors_have_products_in_bfloat16(
    features: set[str], native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's library computes in bfloat16 with AVX-512 alone, too, and more slowly than in float32."""
    monkeypatch.setattr("zoo.training.device._computes_in_bfloat16", lambda _: True)
    for name in ("avx512_bf16", "amx_tile", "avx512"):
        monkeypatch.setattr(f"torch.cpu._is_{name}_supported", lambda name=name: name in features, raising=False)
    warnings: list[str] = []
    chosen = native_precision(RunOptions("x", precision="bfloat16"), torch.device("cpu"), warnings.append)
    assert (chosen.precision, len(warnings)) == (("bfloat16", 0) if native else ("float32", 1))


@pytest.mark.parametrize(("capability", "computes"), [((7, 5), False), ((8, 0), True), ((8, 9), True), ((12, 0), True)])
def test_bfloat16_is_asked_of_the_device_of_the_run(
    capability: tuple[int, int], computes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine with two cards: the current one, which does not matter, and the run's."""
    cards = {torch.device("cuda:0"): (9, 0) if not computes else (7, 0), torch.device("cuda:1"): capability}
    monkeypatch.setattr("zoo.cuda.capability", cards.__getitem__)
    options = RunOptions("x", precision="bfloat16")
    with contextlib.nullcontext() if computes else pytest.raises(DeviceError, match="does not compute in bfloat16"):
        check_precision(options, torch.device("cuda:1"))


@pytest.mark.parametrize("hip", [None, "6.4"])
@pytest.mark.parametrize("cell", [nn.RNN, nn.GRU, nn.LSTM])
def test_recurrent_cells_in_bfloat16_are_refused_on_cuda(
    cell: Callable[..., nn.Module], hip: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.cuda.capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.version, "hip", hip)
    recurrent, other = nn.Sequential(cell(4, 4, device="meta")), nn.GRUCell(4, 4, device="meta")
    options = RunOptions("x", precision="bfloat16")
    for device in map(torch.device, ("cuda:0", "cuda:1")):
        with pytest.raises(DeviceError, match="recurrent models such as Sequential on cuda, where torch computes"):
            check_precision(options, device, recurrent)
        check_precision(options, device, other)
        check_precision(RunOptions("x", precision="float32"), device, recurrent)


def test_a_recurrent_model_in_bfloat16_is_refused_before_training(
    words_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on CUDA: what is made up is only that the CPU is such a device."""
    monkeypatch.setattr("zoo.training.device._computes_in_bfloat16", lambda _: True)
    monkeypatch.setattr("zoo.cuda.holds", lambda _: True)
    monkeypatch.setattr("zoo.cuda.synchronize", lambda _: None)
    with pytest.raises(
        DeviceError, match=r'is not for recurrent models such as .* leave out precision, or use device="cpu"$'
    ):
        zoo.run("gru", dataset=words_file, device="cpu", precision="bfloat16", plots=False)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--precision", "bf16"], "--precision must be float32 or bfloat16, got 'bf16'; did you mean 'bfloat16'?"),
        (["--engine", "manual", "--compile"], "engine 'manual' does not use torch.compile; --engine auto"),
        (["--engine", "manual", "--clip-norm", 1], "engine 'manual' does not clip gradients; --engine auto"),
    ],
)
def test_what_cannot_be_is_one_line(options: list[object], said: str, words_file: Path, zoo_here: Zoo) -> None:
    done = zoo_here("run", "mlp-char", "--dataset", words_file, "--device", "cpu", *options)
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (StepOptions(), ""),
        (StepOptions(1.0), "clip gradients"),
        (StepOptions(1.0, "bfloat16"), "clip gradients or compute in bfloat16"),
        (StepOptions(None, "float32", True), "use torch.compile"),
    ],
)
def test_what_is_wanted_reads_as_a_sentence(options: StepOptions, said: str) -> None:
    assert str(options) == said


# torch's compiler


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch's compiler needs a C++ compiler on the CPU")
def test_compiled_steps_come_near_and_resume(words_file: Path, tmp_path: Path) -> None:
    """In a process of its own: what the compiler leaves behind is no other test's business.

    Where torch takes the processor for one without vector instructions, some versions make C++ that no compiler takes.
    Its cache is not shared: what was compiled for other vector instructions has been seen to give NaN.
    """
    import json

    code = f"""
import json, warnings, zoo
warnings.simplefilter("ignore")
options = dict(dataset={str(words_file)!r}, device="cpu", plots=False, settings={{"model.hidden_size": 16}})
plain = zoo.run("mlp-char", steps=20, out="plain", engine="autograd", **options)
compiled = zoo.run("mlp-char", steps=20, out="compiled", compile=True, **options)
zoo.run("mlp-char", steps=9, out="parts", compile=True, **options)
resumed = zoo.resume("parts", steps=20, plots=False)
print(json.dumps([plain.step_losses, compiled.step_losses, resumed.step_losses, compiled.config["training"]]))
"""
    done = run_python("-c", code, env={"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "compiled")}, timeout=300)
    if "ZooError: torch cannot compile" in done.stderr:
        pytest.skip("torch's compiler does not work here")
    assert done.returncode == 0, done.stderr
    plain, compiled, resumed, training = json.loads(done.stdout)
    assert compiled == pytest.approx(plain, rel=1e-3)
    assert resumed == compiled
    assert (training["compile"], training["engine"]) == (True, "autograd")


def test_the_compiler_does_not_advise_what_nobody_can_follow(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    def advising(model: nn.Module) -> Callable[[Tensor], Tensor]:
        def forward(x: Tensor) -> Tensor:
            if len(recwarn) < 2:
                warnings.warn("TensorFloat32 tensor cores for float32 matrix multiplication available", stacklevel=1)
                warnings.warn("another", stacklevel=1)
            logits: Tensor = model(x)
            return logits

        return forward

    monkeypatch.setattr(torch, "compile", advising)
    model = nn.Linear(2, 2, device="meta").to_empty(device="cpu")
    engine = Autograd(model, torch.optim.SGD(model.parameters()), StepOptions(compiled=True))
    engine.run(torch.zeros(1, 3, 2), torch.zeros(1, 3, dtype=torch.int64), [0.1], lambda: False)
    assert [str(warning.message) for warning in recwarn] == ["another"]


def test_what_the_compiler_cannot_do_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unsupported(Exception):
        pass

    def refuse(model: nn.Module) -> Callable[[Tensor], Tensor]:
        def forward(x: Tensor) -> Tensor:
            raise Unsupported("no such kernel\nand a page of details")

        return forward

    monkeypatch.setattr(torch, "compile", refuse)
    monkeypatch.setattr("zoo.training.autograd._compiler_error", lambda: Unsupported)
    model = nn.Linear(2, 2, device="meta").to_empty(device="cpu")
    engine = Autograd(model, torch.optim.SGD(model.parameters()), StepOptions(compiled=True))
    x, y = torch.zeros(1, 3, 2), torch.zeros(1, 3, dtype=torch.int64)
    with pytest.raises(ZooError, match=r"^torch cannot compile Linear here: no such kernel; leave out compile$"):
        engine.run(x, y, [0.1], lambda: False)
