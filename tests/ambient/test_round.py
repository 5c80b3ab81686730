"""Nothing goes round `zoo.ambient`.

Each public function computes in the neutral state, or needs none for a stated reason; and what the import or the
functions of a plugin set reaches nobody else.
"""

from __future__ import annotations

import ast
import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ambient_states import fingerprint
from conftest import Zoo, run_python
from dropping import WORDS, Dropping, install
from torch import nn

import zoo
import zoo.testing
from zoo.data.examples import Examples
from zoo.runs.result import Run
from zoo.storage import loading, verify
from zoo.storage.loading import Loaded

NO_TORCH = "it computes nothing with torch"
FROM_TENSORS = "all that it makes it makes of tensors that are there, by operations that no state changes"
STATELESS = {  # what need not be decorated, and why
    "list_models": "it loads plugins only, each in `zoo.ambient.unchanged`",
    "list_datasets": "it loads plugins only, each in `zoo.ambient.unchanged`",
    "list_loggers": "it loads plugins only, each in `zoo.ambient.unchanged`",
    "list_optimizers": "it loads plugins only, each in `zoo.ambient.unchanged`",
    "TextDataset": NO_TORCH,
    "Vocabulary": NO_TORCH,
    "Fetcher": NO_TORCH,
    "Schedule": NO_TORCH,
    "Preset": NO_TORCH,
    "ModelSpec": NO_TORCH,
    "DatasetSpec": NO_TORCH,
    "OptimizerSpec": NO_TORCH,
    "LoggerSpec": NO_TORCH,
    "hookimpl": NO_TORCH,
    "Run": NO_TORCH,
    "Observer": "it is told of a run, in the run's own state",
    "Loaded.record": NO_TORCH,
    "Loaded.vocabulary": NO_TORCH,
    "TensorDataset.num_features": NO_TORCH,
    "TensorDataset.num_outputs": NO_TORCH,
    "TensorDataset.counts": NO_TORCH,
    "TensorDataset.targets_text": NO_TORCH,
    "CorpusDataset.__init__": FROM_TENSORS,
    "CorpusDataset.arranged": NO_TORCH,
    "CorpusDataset.counts": NO_TORCH,
    "CorpusDataset.evaluated": NO_TORCH,
    "CorpusDataset.splits": NO_TORCH,
    "CorpusDataset.tokenizer_info": NO_TORCH,
    "CorpusDataset.unit": NO_TORCH,
    "CorpusDataset.vocab_size": NO_TORCH,
    "TensorDataset.example": NO_TORCH,
    "TensorDataset.in_memory": NO_TORCH,
    "TensorDataset.has_float64": NO_TORCH,
    "TensorDataset.digest_covers": NO_TORCH,
    "Examples": FROM_TENSORS,
}


def public() -> Iterator[tuple[str, Any]]:
    """All functions of `zoo` and `zoo.testing`, and all public methods of what they take and return."""
    for name in vars(zoo)["__all__"]:
        thing = getattr(zoo, name)
        if isinstance(thing, type):
            if not issubclass(thing, BaseException):
                yield from methods(thing)
        else:
            yield name, thing
    yield from ((name, thing) for name, thing in vars(zoo.testing).items() if name.startswith("check_"))
    for made in (Run, Loaded, Examples):
        yield from methods(made)
    yield "verify", verify.verify
    yield "load", loading.load


def methods(kind: type) -> Iterator[tuple[str, Any]]:
    for name, member in vars(kind).items():
        if name == "__init__" or not name.startswith("_"):
            function = getattr(member, "func", None) or getattr(member, "fget", None) or member
            function = getattr(function, "__func__", function)
            if callable(function):
                yield f"{kind.__name__}.{name}", function


@pytest.mark.parametrize("name", sorted({name for name, _ in public()}))
def test_each_public_function_computes_in_the_neutral_state_or_says_why_not(name: str) -> None:
    for other, function in public():
        if other == name and not getattr(function, "in_neutral_state", False):
            reason = STATELESS.get(name) or STATELESS.get(name.partition(".")[0])
            is_field = name.partition(".")[2] == "__init__" and "Loaded" in name
            assert reason or is_field, f"{name} computes in the caller's state: decorate it with `in_neutral_state`"


def test_the_reasons_are_of_functions_that_are_there() -> None:
    names = {name for name, _ in public()}
    assert {name for name in STATELESS if name not in names} <= {name.partition(".")[0] for name in names}


SETTERS = {  # of the state that `zoo.ambient` answers for
    *("set_default_dtype", "set_default_device", "set_default_tensor_type", "set_grad_enabled", "inference_mode"),
    *("use_deterministic_algorithms", "set_deterministic_debug_mode", "set_float32_matmul_precision"),
    *("set_flush_denormal", "set_anomaly_enabled", "set_detect_anomaly", "set_num_threads"),
    *("manual_seed", "fork_rng", "seed", "set_rng_state"),
}
MAY_SET = {  # where, and what: each within a neutral block
    "ambient/draws.py",  # `seeded_draws`, which puts them back
    "ambient/own.py",
    "ambient/shared.py",
    "training/device.py",  # threads and deterministic algorithms of a run
    "training/building.py",  # `seeded`
    "training/loop.py",  # back to the last good block
    "training/distributed/engine.py",  # what a rank draws in a step, from its seed, step and rank
    "storage/state.py",  # the state of the generators of a resumed run
}


def test_torchs_state_is_set_in_few_places_only() -> None:
    root = Path(zoo.__file__).parent
    found = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SETTERS:
                owner = ast.unparse(node.func.value)
                if owner.startswith("torch") and owner != "torch.Generator()":
                    found.add(path.relative_to(root).as_posix())
    assert found <= MAY_SET


# What plugins set


SETTING: dict[str, str] = {  # lines of a plugin's module
    "gradients": "torch.set_grad_enabled(False)",
    "inference mode": "mode = torch.inference_mode(); mode.__enter__()",
    "dtype": "torch.set_default_dtype(torch.float64)",
    "device": "torch.set_default_device('meta')",
    "device block": "torch.device('meta').__enter__()",
    "autocast": "torch.autocast('cpu', torch.bfloat16).__enter__()",
    "threads": "torch.set_num_threads(3)",
    "deterministic": "torch.use_deterministic_algorithms(True)",
    "fill": "torch.utils.deterministic.fill_uninitialized_memory = False",
    "precision": "torch.set_float32_matmul_precision('medium')",
    "anomalies": "torch.autograd.set_detect_anomaly(True)",
    "denormal": "torch.set_flush_denormal(True)",
    "mkldnn": "torch.backends.mkldnn.enabled = False",
    "hooks": "torch.nn.modules.module.register_module_forward_hook(lambda m, i, o: None)",
    "saved tensors": "torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x).__enter__()",
    "seed": "torch.manual_seed(5); torch.rand(3)",
    "fails afterwards": "torch.set_default_dtype(torch.float64); raise RuntimeError('no')",
}
MODULE = """
import torch, zoo
%s
class Model(torch.nn.Module):
    context_length = 3
    def __init__(self, vocab_size: int):
        super().__init__()
        self.out = torch.nn.Embedding(vocab_size, vocab_size)
    def forward(self, x):
        return self.out(x[:, -1])
@zoo.hookimpl
def zoo_models():
    return [zoo.ModelSpec("setting", "setting_plugin:Model", optimizer="sgd", lr=0.1)]
"""


HELD: list[Any] = []  # for good: an inference mode that is freed ends then, in the middle of another test


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """`imported(lines)`: there is a module `setting_plugin` with these lines, not yet imported."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(lines: str) -> None:
        (tmp_path / "setting_plugin.py").write_text(MODULE % lines)

    yield write
    HELD.append(sys.modules.pop("setting_plugin", None))


@pytest.mark.parametrize("place", ["entry point", "spec"])
@pytest.mark.parametrize("setting", SETTING)
def test_what_the_import_of_a_plugin_sets_is_undone_with_a_warning_that_names_it(
    setting: str, place: str, imported: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, zoo_here: Zoo
) -> None:
    imported(SETTING[setting])
    if place == "spec":
        hooks = type("Hooks", (), {"zoo_models": zoo.hookimpl(lambda self: [_spec()])})()
        install(monkeypatch, hooks, "zoo-setting")
    else:
        monkeypatch.setattr("dropping.Point.load", lambda self: __import__("setting_plugin"))
        install(monkeypatch, None, "zoo-setting")
    before = fingerprint()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        listed = zoo_here("list", "models")
        with contextlib.suppress(zoo.ZooError):
            zoo.create_model("setting", vocab_size=3)
    assert fingerprint() == before
    told = listed.err + "".join(str(warning.message) for warning in caught)
    if (setting, place) == ("fails afterwards", "spec"):
        assert told == ""  # the error says it all
    elif setting != "seed":
        assert "zoo-setting 1.0" in told
        assert "changes settings of torch for all, which was undone" in told
    else:
        assert "changes settings" not in told


def _spec() -> zoo.ModelSpec:
    return zoo.ModelSpec("setting", "setting_plugin:Model", optimizer="sgd", lr=0.1)


def test_a_plugin_that_imports_torch_first_changes_nothing_either(tmp_path: Path) -> None:
    lines = [line for name, line in SETTING.items() if name not in ("threads", "seed", "fails afterwards")]
    (tmp_path / "first.py").write_text("import torch, torch.utils.deterministic\n" + "\n".join(lines))
    code = (
        "import sys; from zoo.ambient import unchanged\n"
        "with unchanged() as changed:\n    assert 'torch' not in sys.modules\n    import first\n"
        "import torch\nassert torch.get_default_dtype() == torch.float32\nassert torch.is_grad_enabled()\n"
        "assert not torch.is_inference_mode_enabled()\nassert torch.ones(1).device.type == 'cpu'\n"
        "assert torch.get_deterministic_debug_mode() == 0\nprint(len(changed))"
    )
    done = run_python("-c", code, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 13


def leaving(place: str, lines: str) -> object:
    """A plugin whose function at a place runs some lines before it returns."""

    def leave(here: str) -> None:
        if here == place:
            HELD.append(_run(lines))

    def model(vocab_size: int) -> nn.Module:
        leave("model")
        made = Dropping(vocab_size)
        leave("model's end")
        return made

    def dataset() -> zoo.TextDataset:
        leave("dataset")
        return zoo.TextDataset(WORDS.split())

    def optimizer(params: Any, lr: float) -> torch.optim.Optimizer:
        leave("optimizer")
        return torch.optim.SGD(params, lr=lr)

    class Hooks:
        @zoo.hookimpl
        def zoo_models(self) -> list[zoo.ModelSpec]:
            return [zoo.ModelSpec("leaving", model, optimizer="leaver", lr=0.1)]

        @zoo.hookimpl
        def zoo_datasets(self) -> list[zoo.DatasetSpec]:
            return [zoo.DatasetSpec("left", dataset)]

        @zoo.hookimpl
        def zoo_optimizers(self) -> list[zoo.OptimizerSpec]:
            return [zoo.OptimizerSpec("leaver", optimizer)]

    return Hooks()


def _run(lines: str) -> dict[str, Any]:
    """What the lines have made, to be kept: some blocks end when they are freed."""
    namespace: dict[str, Any] = {"torch": torch}
    exec(lines, namespace)  # noqa: S102  # lines of this file
    return namespace


@pytest.mark.parametrize("place", ["dataset", "model's end", "optimizer"])
@pytest.mark.parametrize("setting", [name for name in SETTING if name != "fails afterwards"])
def test_what_a_function_of_a_plugin_sets_does_not_reach_the_run(
    setting: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(out: str) -> bytes:
        done = zoo.run("leaving", dataset="left", steps=3, device="cpu", plots=False, out=out, batch_size=4)
        return (done.path / "model.safetensors").read_bytes()

    with monkeypatch.context() as patch:
        install(patch, leaving("nowhere", ""), "zoo-leaving")
        expected = train("quiet")
    install(monkeypatch, leaving(place, SETTING[setting]), "zoo-leaving")
    before = fingerprint()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = train("left-behind")
    assert fingerprint() == before
    assert found == expected
    told = [str(warning.message) for warning in caught if "changes settings of torch" in str(warning.message)]
    assert len(told) == (setting != "seed")
    assert all("of plugin zoo-leaving 1.0 changes" in text for text in told)
