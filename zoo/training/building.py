"""Making models and optimizers by the factories of plugins."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from zoo import cuda
from zoo.ambient.draws import seeded_draws
from zoo.data.corpus.dataset import BLOCK_LENGTH, CorpusDataset
from zoo.data.examples import Examples, TensorExamples
from zoo.data.kinds import Dataset, is_text, targets_of
from zoo.data.loading import model_inputs, provided_names
from zoo.engines import Optimizer
from zoo.errors import PluginError, UsageError, out_of_memory
from zoo.phrasing import option, setting
from zoo.plugin.calling import made_by, maker, plugin_call, plugin_errors, step_errors
from zoo.plugin.optimizer_state import check_state, load_exactly
from zoo.plugin.registry import Entry
from zoo.plugin.settings import REQUIRED, fitted_arguments, signature_of
from zoo.plugin.specs import ModelSpec, OptimizerSpec
from zoo.training.autograd import needs_closure
from zoo.training.device import synchronize
from zoo.training.objective.loss import CROSS_ENTROPY, Loss
from zoo.training.objective.objective import Objective

_TARGETS = {"classes": "its targets are classes", "numbers": "its targets are numbers", "inputs": "it has no targets"}


def asked_inputs(entry: Entry[ModelSpec], dataset: Dataset) -> dict[str, Any]:
    """What the data decides about a model, as far as its constructor has arguments of those names.

    Raises:
        UsageError: it needs something that data of this kind does not have.
        DataError: it needs something that is not known of the data.
    """
    left_out = {"generator", *fitted_arguments(entry)}
    inputs = signature_of(entry, provided_names(dataset)).inputs
    asked = {name: default for name, default in inputs.items() if name not in left_out}
    offered = model_inputs(dataset, asked)
    kind = "text" if is_text(dataset) else f"not text ({_TARGETS[targets_of(dataset)]})"
    for name, default in asked.items():
        blocks = name == "max_length" and isinstance(dataset, CorpusDataset)  # a setting: see `with_block_length`
        if name not in offered and default is REQUIRED and not blocks:
            raise UsageError(f"{entry.title} needs {name}, and this dataset, which is {kind}, has none")
    if asked and not asked.keys() & offered.keys():
        reads, is_ = ("reads", "is not") if "vocab_size" in asked else ("does not read", "is")
        raise UsageError(f"{entry.title} {reads} text, and this dataset {is_} text")
    return {name: offered[name] for name in asked if name in offered}


def complete_settings(
    entry: Entry[ModelSpec], settings: Mapping[str, Any], named: Collection[str], provided: Collection[str]
) -> dict[str, Any]:
    """The settings of a model, without those that the data decides.

    Args:
        entry: the model.
        settings: those that it has by itself.
        named: those of them that a person or a preset asked for.
        provided: the names of what the data provides.

    Raises:
        UsageError: one was asked for that the data decides, or one has no default and is not provided.
    """
    for name in provided:
        if name in named:
            raise UsageError(f"'model.{name}' is decided by the data: leave it out")
    for name in signature_of(entry, provided).settings:
        if name not in settings:
            raise UsageError(
                f"'model.{name}' has no default, and this dataset does not provide it: give it with "
                f"{setting(f'model.{name}', 'VALUE')}"
            )
    return {name: value for name, value in settings.items() if name not in provided}


def with_block_length(entry: Entry[ModelSpec], settings: Mapping[str, Any], dataset: Dataset) -> dict[str, Any]:
    """The settings of a model, with the positions of a block where it reads sequences of running text.

    Raises:
        UsageError: they are given for other data, which decides them.
    """
    if isinstance(dataset, CorpusDataset):
        return (
            {**settings, "max_length": settings.get("max_length", BLOCK_LENGTH)}
            if _reads_blocks(entry)
            else {**settings}
        )
    if "max_length" in settings and _reads_blocks(entry):
        raise UsageError(
            f"'model.max_length' is for running text ({setting('data.format', 'text')}): the longest word decides it "
            "here"
        )
    return dict(settings)


def _reads_blocks(entry: Entry[ModelSpec]) -> bool:
    return entry.spec.reads == "sequences" and "max_length" not in signature_of(entry).settings


def build_model(entry: Entry[ModelSpec], arguments: Mapping[str, Any], init_seed: int) -> nn.Module:
    """Make a model on the CPU, with its weights initialized from `init_seed`.

    A model that takes a `generator` gets one; for others the global generators of torch, NumPy and Python are seeded,
    and restored afterwards.

    Raises:
        UsageError: the constructor refuses a value.
        PluginError: it fails otherwise, or what it makes is no module.
    """
    signature = signature_of(entry)
    known = signature.inputs.keys() | signature.settings.keys()
    arguments = {name: value for name, value in arguments.items() if name != "max_length" or name in known}
    wants_generator = "generator" in signature.inputs
    generator = {"generator": torch.Generator().manual_seed(init_seed)} if wants_generator else {}
    factory = entry.factory()
    with plugin_call(entry.who, "cannot be made", refused=entry.title), seeded_draws(init_seed):
        model = factory(**arguments, **generator)
    if not isinstance(model, nn.Module):
        raise PluginError(f"{entry.who} is a {type(model).__name__}, not an nn.Module")
    _check_state(entry, model)
    if not hasattr(model, "context_length") and "context_length" in arguments:
        model.context_length = arguments["context_length"]  # what reads it later has only the model
    return made_by(entry.who, model)


def _check_state(entry: Entry[ModelSpec], model: nn.Module) -> None:
    """Refuse a model whose state cannot be saved as tensors."""
    with plugin_errors(entry.who, "has no state that can be saved"):
        state = model.state_dict()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            kind = type(value).__name__
            raise PluginError(f"{entry.who} has {name!r} in its state, a {kind}: only tensors are saved")
        if nn.parameter.is_lazy(value):
            layer = name.rpartition(".")[0]
            kind = type(model.get_submodule(layer)).__name__
            raise PluginError(
                f"{entry.who} has the lazy layer {layer!r} ({kind}), whose weights would not be seeded: "
                "give it its sizes in the constructor"
            )
        if value.layout != torch.strided:
            raise PluginError(f"{entry.who} has the sparse tensor {name!r} in its state: only dense ones are saved")


def fit_model(entry: Entry[ModelSpec], model: nn.Module, examples: Examples) -> dict[str, int]:
    """Fit a model by counting, for instance, to all of it at once.

    Such a model has a method `fit(x, y)`, called with all inputs (N, ...) and targets (N) or (N, T) of the training
    split before the first step. It returns the sizes of its tables: a number, or a mapping where its spec's `fitted`
    names several. With these as the constructor's arguments of those names, a module whose tensors have the same
    shapes can be made again. They count as the model's parameters.

    Raises:
        PluginError: it fails, or returns something else.
    """
    names = fitted_arguments(entry)
    if not isinstance(examples, TensorExamples):
        raise UsageError(f"{entry.title} is fitted to all examples at once, and these are not in memory")
    with plugin_call(entry.who, "cannot be fitted"), torch.no_grad():
        fitted = model.fit(examples.x.to(examples.x_dtype), examples.y.long())  # type: ignore[operator]
        synchronize(examples.device)  # what fails on a GPU fails here
    sizes = dict(fitted) if isinstance(fitted, Mapping) else {names[0]: fitted}
    if sizes.keys() != set(names) or not all(type(size) is int and size >= 0 for size in sizes.values()):
        raise PluginError(
            f"{entry.who} cannot be fitted: 'fit' returned {fitted!r}, not the size of {' and '.join(names)}"
        )
    return sizes


def floats_of(model: nn.Module) -> torch.dtype:
    """The type of floating-point inputs that a model asks for: that of its first weight of such a type, or float32."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)


def window_length(model: nn.Module) -> int:
    """How many characters a text model that reads windows wants to see.

    Raises:
        PluginError: it does not say.
    """
    length = context_length(model)
    if length is None:
        raise PluginError(
            f"{maker(model)} reads windows, and has no 'context_length' of at least 1: neither an attribute nor an "
            "argument of its constructor"
        )
    return length


def context_length(model: nn.Module) -> int | None:
    """How many characters a text model that reads windows wants to see, if it says: by an attribute or argument."""
    length = getattr(model, "context_length", None)
    return length if isinstance(length, int) and length >= 1 else None


def build_optimizer(entry: Entry[OptimizerSpec], model: nn.Module, lr: float, settings: Mapping[str, Any]) -> Optimizer:
    """Make an optimizer for a model's parameters.

    Raises:
        UsageError: the constructor refuses a value.
        PluginError: it fails otherwise, or lacks what a training loop calls.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    try:
        with plugin_call(entry.who, "cannot be made", refused=entry.title):
            optimizer = entry.factory()(parameters, lr=lr, **settings)
    except UsageError as error:
        if parameters:
            raise
        raise UsageError(f"this model has nothing to train: leave out {option('optimizer')} ({error})") from error
    for name in ("step", "zero_grad", "param_groups", "state_dict", "load_state_dict"):
        if not hasattr(optimizer, name):
            raise PluginError(f"{entry.who} has no {name!r}: an optimizer has the interface of torch.optim.Optimizer")
    return made_by(entry.who, cast(Optimizer, optimizer))


@dataclass(frozen=True)
class Trial:
    """Steps with gradients of zero, of optimizers made anew for copies of a model's parameters.

    No optimizer is copied or pickled: one may hold functions of its parameters, a scheduler, or other optimizers.

    Attributes:
        make: makes an optimizer for the parameters of a module.
        model: what is to be trained; it stays as it is.
        examples: some that it is trained on.
        loss: what it is trained on.
    """

    make: Callable[[nn.Module], Optimizer]
    model: nn.Module
    examples: Examples
    loss: Loss = CROSS_ENTROPY

    def step(self, state: Mapping[str, Any] | None = None) -> Optimizer:
        """An optimizer after one step; before that it has loaded `state`, whose tensors may be changed.

        Raises:
            Exception: whatever the optimizer raises.
        """
        copies = nn.ParameterList(_copy(p) for p in self.model.parameters())

        def closure() -> Tensor:
            return torch.zeros((), device=self.examples.device)

        with seeded_draws(0), seeded(0, self.examples.device):  # an optimizer may use random numbers
            with warnings.catch_warnings(action="ignore"):  # the training's own optimizer was warned of
                optimizer = self.make(copies)
            if state is not None:
                load_exactly(optimizer, state)
            for p, gradient in zip(copies, self._gradients() or copies, strict=True):
                p.grad = torch.zeros_like(gradient) if p.requires_grad else None
            _leave_out_unused(optimizer, state or {})
            if needs_closure(optimizer):
                optimizer.step(closure)
            else:
                optimizer.step()
        return optimizer

    def check(self, who: str) -> None:
        """Refuse an optimizer that fails in a first step, or whose state could then not be saved.

        Args:
            who: whose code that is: `optimizer 'clipped' of plugin zoo-stars 1.0`.

        Raises:
            PluginError: it does; what is wrong is said.
        """
        try:
            with plugin_errors(who, "fails in a step"):
                optimizer = self.step()
            check_state(optimizer)
        except BaseException as error:
            if not out_of_memory(error):
                raise  # without memory for the copies, the training itself may still fit

    def _gradients(self) -> list[Tensor] | None:
        """Gradients of two examples where a layer makes sparse ones, for their layout; None where none does."""
        wanted = [p for p in self.model.parameters() if p.requires_grad]
        if not wanted or not any(getattr(module, "sparse", False) is True for module in self.model.modules()):
            return None
        x, y = self.examples.gather(torch.arange(min(2, len(self.examples)), device=self.examples.device))
        with evaluating(self.model), step_errors(self.model):
            self.model.train()  # the backward pass of some kernels is for training only
            loss = self.loss.mean(self.model(x), y, x)
            found = torch.autograd.grad(loss, wanted, allow_unused=True)
        gradients = dict(zip(map(id, wanted), found, strict=True))
        return [p if (gradient := gradients.get(id(p))) is None else gradient for p in self.model.parameters()]


def _leave_out_unused(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Give no gradient to what has no state where others have: it had none in the training.

    A kernel may rely on that: torch's fused SGD fails where one parameter has a momentum and another has none yet.
    """
    known = state.get("state")
    if not isinstance(known, Mapping) or not known:
        return
    for number, p in enumerate(p for group in optimizer.param_groups for p in group["params"]):
        if number not in known:
            p.grad = None


def _copy(p: nn.Parameter) -> nn.Parameter:
    """A copy of a parameter, with the attributes that its author gave it, by which an optimizer may group it."""
    copied = copy.deepcopy(p)
    vars(copied).update(vars(p))
    return copied


@torch.no_grad()
def check_forward(entry: Entry[ModelSpec], model: nn.Module, examples: Examples, objective: Objective) -> None:
    """Try a model, its loss and its metrics on two examples, so that a plugin's mistake is one message before training.

    Raises:
        PluginError: the model, the loss or a metric fails, or the output does not fit the targets.
    """
    device = examples.device
    x, y = examples.gather(torch.arange(min(2, len(examples)), device=device))
    before = model.state_dict().keys()
    inputs = f"inputs of shape {tuple(x.shape)} and type {str(x.dtype).removeprefix('torch.')}"
    with plugin_errors(entry.who, f"fails on {inputs}"), evaluating(model):
        output = model(x)
        synchronize(device)  # what fails on a GPU fails here
    if new := model.state_dict().keys() - before:
        raise PluginError(
            f"{entry.who} makes {min(new)!r} in its forward pass: weights must be made in the constructor, "
            "or they are neither seeded nor loaded"
        )
    loss = objective.loss
    with plugin_errors(entry.who if loss.is_cross_entropy else getattr(loss, "who", loss.name), "fails"):
        problem = loss.problem(output, y, x)
    if problem is not None:
        raise PluginError(f"{entry.who} {problem}")
    if loss.is_cross_entropy:
        largest = int(examples.y.max()) if isinstance(examples, TensorExamples) else int(y.max())
        if largest >= output.shape[-1]:
            raise PluginError(f"{entry.who} returns {output.shape[-1]} logits, too few for target {largest}")
    objective.metrics.start(device).update(output, y)


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """A model in evaluation mode for a block. Then the mode of each module and the buffers are as they were.

    A model may change buffers in its forward pass in evaluation mode too: one that counts its calls, for example. The
    weights that are saved must not depend on how often they were evaluated.
    """
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone(), module, name) for module, name, buffer in _buffers(model)]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:  # not model.train(): some modules may have been in evaluation mode before
            module.training = training
        with torch.no_grad():
            for buffer, before, module, name in buffers:
                if not torch.equal(buffer, before):
                    buffer.copy_(before)
                module._buffers[name] = buffer  # it may have been replaced by another


def _buffers(model: nn.Module) -> Iterator[tuple[nn.Module, str, Tensor]]:
    for module in model.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None:
                yield module, name, buffer


@contextlib.contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed torch's global generators for a block (dropout and default initializations use them), and put them back."""
    of_cuda = device if device is not None and cuda.holds(device) else None
    before = None if of_cuda is None else cuda.generator_state(of_cuda)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # not torch.manual_seed, which seeds every CUDA device too
        if of_cuda is None or before is None:
            yield
            return
        cuda.seed_generator(seed, of_cuda)
        try:
            yield
        finally:
            cuda.set_generator_state(before, of_cuda)
