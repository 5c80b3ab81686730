"""Every model and optimizer on torch's device `meta`: no step waits for a device, and nothing is left on the CPU.

No operator of a step may add in any order on CUDA, or two runs would not have the same bits.

And the check itself, `zoo.testing.check_device`, finds what it is for.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
import zoo.testing
import zoo_lecture
import zoo_makemore
import zoo_torch
from zoo.engines import Stop
from zoo.plugin.manager import load_plugins
from zoo.plugin.registry import Entry, Plugin
from zoo.testing import guard
from zoo.training.autograd import Autograd

MODELS = [spec.name for spec in [*zoo_lecture.zoo_models(), *zoo_makemore.zoo_models()]]
OPTIMIZERS = [
    spec.name
    for spec in [*zoo_lecture.zoo_optimizers(), *zoo_torch.zoo_optimizers()]
    if spec.name != "muon" or hasattr(torch.optim, "Muon")
]
SMALL: dict[str, dict[str, object]] = {"transformer": {"model.n_layer": 1}}
SETTINGS: dict[str, dict[str, object]] = {
    **{
        name: SMALL.get(name, {}) | {"model.dropout": 0.3}
        for name in ("bow", "mlp", "wavenet", "rnn", "gru", "lstm", "transformer")
    },
    **{f"{name} of 2 layers": {"model.n_layer": 2} for name in ("rnn", "gru", "lstm", "transformer")},
    **{f"{name} ensemble": {"model.ensemble_size": 2} for name in ("rnn", "gru", "lstm")},
    "lstm of 2 layers, ensemble, dropout": {"model.n_layer": 2, "model.ensemble_size": 2, "model.dropout": 0.3},
}


UNORDERED = {  # on CUDA they may add in any order, as torch's list for `use_deterministic_algorithms` says
    *("index_add", "index_add_", "scatter_add", "scatter_add_", "scatter_reduce", "scatter_reduce_", "put", "put_"),
    *("index_select_backward", "gather_backward", "histc", "bincount", "median", "kthvalue", "cumsum", "resize_"),
    *("avg_pool3d_backward", "_adaptive_avg_pool2d_backward", "_adaptive_avg_pool3d_backward"),
    *("adaptive_max_pool2d_backward", "fractional_max_pool2d_backward", "fractional_max_pool3d_backward"),
    *("max_pool3d_with_indices_backward", "max_unpool2d", "max_unpool3d", "nll_loss2d_forward", "_ctc_loss_backward"),
    *("upsample_linear1d_backward", "upsample_bilinear2d_backward", "upsample_bicubic2d_backward"),
    *("upsample_trilinear3d_backward", "reflection_pad1d_backward", "reflection_pad2d_backward"),
    *("reflection_pad3d_backward", "grid_sampler_2d_backward", "grid_sampler_3d_backward"),
}
ORDERED_HERE = {("bow", "cumsum")}  # one thread adds along a word; only a tensor of one axis is shared by blocks


@pytest.fixture
def operators(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the operators that run on the device in a test."""
    seen: set[str] = set()
    reads = guard._reads

    def noted(func: Any, args: Any, kwargs: Any) -> bool:
        seen.add(func._schema.name.removeprefix("aten::"))
        return reads(func, args, kwargs)

    monkeypatch.setattr(guard, "_reads", noted)
    return seen


def check(operators: set[str], name: str, words_file: Path, **more: Any) -> None:
    assert not zoo.testing.check_device(name, dataset=words_file, **more).skipped
    assert "nll_loss_backward" in operators or name == "ngram"
    assert {(name, operator) for operator in operators & UNORDERED} <= ORDERED_HERE


@pytest.mark.parametrize("name", MODELS)
def test_every_model_trains_is_evaluated_and_resumed(name: str, words_file: Path, operators: set[str]) -> None:
    check(operators, name, words_file, settings=SMALL.get(name))


@pytest.mark.parametrize("name", ["mlp-bn", "lstm"])
def test_gradients_are_clipped(name: str, words_file: Path, operators: set[str]) -> None:
    check(operators, name, words_file, clip_norm=0.1)


@pytest.mark.parametrize("case", list(SETTINGS))
def test_every_model_with_layers_dropout_and_ensembles(case: str, words_file: Path, operators: set[str]) -> None:
    check(operators, case.partition(" ")[0], words_file, settings=SETTINGS[case])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(name: str, words_file: Path, operators: set[str]) -> None:
    check(operators, "mlp-bn", words_file, optimizer=name)


# What is found


def keeps(model: Table, x: Tensor) -> Tensor:
    """A tensor that is copied to the device once."""
    if model.kept.device != x.device:
        model.kept = model.kept.to(x.device)
    return model.kept


def suppressed(logits: Tensor) -> Tensor:
    with contextlib.suppress(Exception):
        return logits * logits.mean().item()
    return logits


def filled(logits: Tensor, where: Any, value: Any) -> Tensor:
    logits = logits.clone()
    logits[where] = value
    return logits


Change = Callable[["Table", Tensor, Tensor], Tensor]

READS: dict[str, Change] = {
    ".item()": lambda model, x, logits: logits * logits.mean().item(),
    "an if": lambda model, x, logits: logits * 2 if logits.mean() > 0 else logits,
    "float()": lambda model, x, logits: logits * float(logits[0, 0].detach()),
    "range()": lambda model, x, logits: logits + len(range(x[0, 0])),
    "a mask": lambda model, x, logits: logits + logits[logits > 0].sum(),
    "a mask that is filled": lambda model, x, logits: filled(logits, logits < 9, torch.zeros_like(logits).flatten()),
    "nonzero": lambda model, x, logits: logits + len(x.nonzero()),
    "where": lambda model, x, logits: logits + len(torch.where(x > 0)[0]),
    "unique": lambda model, x, logits: logits + len(torch.unique(x)),
    "unique_consecutive": lambda model, x, logits: logits + len(torch.unique_consecutive(x)),
    "masked_select": lambda model, x, logits: logits + logits.masked_select(logits > 0).sum(),
    "equal": lambda model, x, logits: logits * 2 if torch.equal(x, x) else logits,
    "allclose": lambda model, x, logits: logits * 2 if torch.allclose(logits, logits) else logits,
    "bincount": lambda model, x, logits: logits + x.flatten().bincount().sum(),
    "one_hot": lambda model, x, logits: logits + F.one_hot(x).sum(),
    "repeat_interleave": lambda model, x, logits: logits + logits.repeat_interleave(x[:, 0] * 0 + 1, 0).sum(),
    "inverse": lambda model, x, logits: logits + torch.linalg.inv(torch.eye(2, device=x.device)).sum(),
    "format": lambda model, x, logits: logits * len(f"{logits.mean():.3f}"),
    "repr": lambda model, x, logits: logits * len(repr(logits)),
    "normal": lambda model, x, logits: logits + torch.normal(0.0, logits.detach().abs()),
    "the gradient of prod": lambda model, x, logits: logits + model.table.prod(1)[:1],
    "the gradient of cumprod": lambda model, x, logits: logits + torch.cumprod(logits, 1),
    "singular values": lambda model, x, logits: logits + torch.linalg.svdvals(model.table.detach()),
    "eigenvalues": lambda model, x, logits: logits + torch.linalg.eigvalsh(model.table.detach()),
    "matrix_exp": lambda model, x, logits: logits + torch.matrix_exp(model.table)[0],
    "suppressed": lambda model, x, logits: suppressed(logits),
    "in evaluation only": lambda model, x, logits: logits if model.training else logits * logits.mean().item(),
}
TO_CPU: dict[str, Change] = {
    ".cpu()": lambda model, x, logits: logits + x.cpu().sum().item(),
    ".tolist()": lambda model, x, logits: logits + len(x.tolist()),
    "copy_": lambda model, x, logits: logits + torch.zeros(x.shape).copy_(x).sum(),
}
FROM_CPU: dict[str, Change] = {
    ".to(device)": lambda model, x, logits: logits + model.kept.to(x.device),
    "copy_": lambda model, x, logits: logits + torch.zeros_like(logits).copy_(model.kept),
    "torch.tensor": lambda model, x, logits: logits * torch.tensor(2.0, device=x.device),
    "torch.as_tensor": lambda model, x, logits: logits * torch.as_tensor([2.0], device=x.device),
    "new_tensor": lambda model, x, logits: logits * logits.new_tensor([2.0]),
    "a list as an index": lambda model, x, logits: logits + logits[:, [1, 0]].sum(),
    "a list as an index that is filled": lambda model, x, logits: filled(logits, (slice(None), [1, 0]), 1.0),
}
MIXED: dict[str, Change] = {
    "a tensor that is no buffer": lambda model, x, logits: logits + model.kept,
    "a tensor made on the CPU": lambda model, x, logits: logits + torch.zeros(len(x), 1),
    "a product": lambda model, x, logits: logits @ torch.eye(logits.shape[1]),
    "an index": lambda model, x, logits: logits[torch.arange(len(x))],
    "a table": lambda model, x, logits: logits + F.embedding(x, torch.zeros(30, 1)).sum(1),
    "a scalar in a list": lambda model, x, logits: logits + torch.stack([logits.mean(), torch.tensor(1.0)]).sum(),
    "random numbers": lambda model, x, logits: logits + torch.rand(logits.shape, generator=torch.Generator()),
}
FAILS: dict[str, Change] = {
    "numpy": lambda model, x, logits: logits + float(x.numpy().sum()),
    "lengths": lambda model, x, logits: (
        logits + len(nn.utils.rnn.pack_padded_sequence(logits[..., None], 0 * x[:, 0] + 1, True, False).data)
    ),
}
FAULTS = {
    f"{what}: {name}": (change, said)
    for what, changes, said in [
        ("reads", READS, "reads values of a tensor"),
        ("to the CPU", TO_CPU, "copies a tensor to the CPU"),
        ("from the CPU", FROM_CPU, "copies a tensor from the CPU in every step"),
        ("mixed", MIXED, "combines a tensor of the CPU with tensors of the device"),
        ("fails", FAILS, "fails on another device than the CPU"),
    ]
    for name, change in changes.items()
}
SOUND: dict[str, Change] = {
    "nothing": lambda model, x, logits: logits,
    "a scalar of the CPU": lambda model, x, logits: logits * torch.tensor(2.0),
    "a scalar of the CPU that is filled in": lambda model, x, logits: logits.masked_fill(
        x[:, :1] > 0, torch.tensor(0.0)
    ),
    "a value of the CPU's": lambda model, x, logits: logits * torch.tensor(2.0).item(),
    "a mask that is filled with one number": lambda model, x, logits: filled(logits, logits < 0, 0.0),
    "an index that is filled": lambda model, x, logits: filled(logits, x[:, 0], 1.0),
    "where with three arguments": lambda model, x, logits: torch.where(logits > 0, logits, 0.0),
    "a tensor that is copied once": lambda model, x, logits: logits + keeps(model, x),
    "a tensor made on the device": lambda model, x, logits: logits + torch.full((1,), 2.0, device=x.device),
    "one_hot of known classes": lambda model, x, logits: logits + F.one_hot(x, 30).sum(),
    "repeat_interleave of known size": lambda model, x, logits: (
        logits + logits.repeat_interleave(x[:, 0] * 0 + 1, 0, output_size=len(x)).sum()
    ),
    "a product without a gradient": lambda model, x, logits: logits * logits.detach().prod(1, keepdim=True),
    "normal numbers of one deviation": lambda model, x, logits: logits + torch.normal(logits.detach(), 1.0),
    "numbers and slices as an index": lambda model, x, logits: logits + logits[0, 1:2, None] + logits[..., -1:],
    "the shape and the size": lambda model, x, logits: logits * 2 if len(x) > 1 and x.shape[1] else logits,
}


class Table(nn.Module):
    """Logits (B, V) from a table, and what a test makes of them."""

    context_length = 2
    change: Change
    table: nn.Parameter
    kept: Tensor

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(vocab_size, vocab_size))
        self.kept = torch.ones(vocab_size)

    def forward(self, x: Tensor) -> Tensor:
        return type(self).change(self, x, self.table[x].sum(1))


Offer = Callable[..., None]


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Offer:
    """`offer(change)`: a plugin with a model that changes its logits so; also by name its engines."""

    def make(change: Change, **engines: Any) -> None:
        def load(*args: Any, **kwargs: Any) -> Any:
            registry, statuses = load_plugins(*args, **kwargs)
            plugin = Plugin("tables", "zoo-tables", "1.0")
            model = type("Table", (Table,), {"change": staticmethod(change)})
            registry.models.add(Entry(zoo.ModelSpec("table", model, optimizer="sgd", lr=0.1, engines=engines), plugin))
            for name, kind in (("torch-asgd", "ASGD"), ("torch-nadam", "NAdam")):
                registry.optimizers.add(Entry(zoo.OptimizerSpec(name, f"torch.optim:{kind}", lr=0.01), plugin))
            registry.optimizers.add(Entry(zoo.OptimizerSpec("moving", Moving, lr=0.01), plugin))
            return registry, statuses

        monkeypatch.setattr("zoo.testing.bench.load_plugins", load)
        monkeypatch.setattr("zoo.api.load_plugins", load)

    return make


class Moving(torch.optim.SGD):
    """Loads its state to the CPU."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        super().__init__(params, lr, momentum=0.9, foreach=False)

    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        for state in self.state.values():
            state["momentum_buffer"] = torch.zeros(state["momentum_buffer"].shape)


@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_fault_is_found_and_its_line_is_named(offer: Offer, words_file: Path, fault: str) -> None:
    change, said = FAULTS[fault]
    offer(change)
    with pytest.raises(AssertionError) as found:
        zoo.testing.check_device("table", dataset=words_file)
    text = str(found.value)
    assert text.startswith(f"model 'table' with optimizer 'sgd' {said}"), text
    line = change.__code__.co_firstlineno
    lines = [f"/test_on_meta.py:{line + k} in " for k in range(3)]
    helpers = [f"test_on_meta.py:{f.__code__.co_firstlineno + k} in " for f in (suppressed, filled) for k in range(4)]
    assert any(where in text for where in lines + helpers), text
    assert ("in evaluation)" if "evaluation" in fault else "in training)") in text
    assert "\n" not in text


@pytest.mark.parametrize("name", list(SOUND))
def test_what_is_sound_passes(offer: Offer, words_file: Path, name: str) -> None:
    offer(SOUND[name])
    assert not zoo.testing.check_device("table", dataset=words_file).skipped


def test_a_state_that_is_loaded_to_the_cpu_is_found(offer: Offer, words_file: Path) -> None:
    offer(SOUND["nothing"])
    said = "has 'state.0.momentum_buffer' of the optimizer's state on cpu after a resume, and on meta without one"
    with pytest.raises(AssertionError, match=said):
        zoo.testing.check_device("table", dataset=words_file, optimizer="moving")


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        ("torch-asgd", "reads values of a tensor"),
        ("torch-nadam", "has 'state.0.mu_product' of the optimizer's state on meta after a resume"),
    ],
)
def test_what_torchs_own_code_waits_for_is_told_and_is_not_the_models_fault(
    offer: Offer, words_file: Path, optimizer: str, said: str
) -> None:
    offer(SOUND["nothing"])
    [(_, why)] = zoo.testing.check_device("table", dataset=words_file, optimizer=optimizer).skipped
    assert why is not None
    assert f"optimizer '{optimizer}' {said}" in why
    assert "in torch itself" in why


class LossesOnTheCPU(Autograd):
    def __init__(self, model: Any, optimizer: Any, batch_size: int) -> None:
        super().__init__(model, optimizer)

    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
        super().run(x, y, lrs, stop)
        return torch.zeros(len(y))


class ReadsLosses(LossesOnTheCPU):
    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
        losses = Autograd.run(self, x, y, lrs, stop)
        return losses if losses.sum() > 0 else losses * 0


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        (LossesOnTheCPU, "has its losses on cpu in training, and not on the device"),
        (ReadsLosses, r"reads values of a tensor.*test_on_meta.py:\d+ in run, in training\)"),
    ],
)
def test_an_engine_is_checked_if_it_is_named(offer: Offer, words_file: Path, engine: Any, said: str) -> None:
    offer(SOUND["nothing"], faulty=engine)
    assert not zoo.testing.check_device("table", dataset=words_file).skipped
    with pytest.raises(AssertionError, match=said):
        zoo.testing.check_device("table", dataset=words_file, engine="faulty")


def test_an_operator_that_torch_lacks_for_meta_is_told_and_no_fault(offer: Offer, words_file: Path) -> None:
    library: Any = torch.library.Library("zoo_test", "FRAGMENT")  # type: ignore[no-untyped-call]
    library.define("twice(Tensor x) -> Tensor")
    library.impl("twice", lambda x: 2 * x, "CPU")
    offer(lambda model, x, logits: logits + torch.ops.zoo_test.twice(x).sum(1, keepdim=True))
    [(_, why)] = zoo.testing.check_device("table", dataset=words_file).skipped
    assert why is not None
    assert why.startswith("model 'table' with optimizer 'sgd' cannot be checked without a GPU: NotImplementedError: ")
    assert "zoo_test::twice" in why
    with pytest.warns(UserWarning, match="cannot be checked without a GPU"):
        zoo.testing.check_model("table", dataset=words_file)


def test_authors_get_it_with_their_other_checks(offer: Offer, words_file: Path) -> None:
    offer(lambda model, x, logits: logits + model.table[0, 0].item())
    for check in (zoo.testing.check_model, zoo.testing.check_plugin):
        with pytest.raises(AssertionError, match="reads values of a tensor"):
            check("zoo-tables" if check is zoo.testing.check_plugin else "table", dataset=words_file)


def test_a_check_leaves_no_mode_behind(offer: Offer, words_file: Path) -> None:
    offer(READS[".item()"])
    with pytest.raises(AssertionError):
        zoo.testing.check_device("table", dataset=words_file)
    assert copy.deepcopy(torch.ones(2)).sum().item() == 2
