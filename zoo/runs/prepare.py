"""From a plan to all that training needs: the data, the model, its optimizer and its engine, made and checked."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from zoo import cuda
from zoo.data.corpus.dataset import CorpusDataset, is_unencoded
from zoo.data.datasets import LONG, TextDataset
from zoo.data.download import fetcher
from zoo.data.encoding import check_sizes
from zoo.data.examples import Examples, SplitName, TensorExamples
from zoo.data.kinds import Dataset, vocabulary_of
from zoo.data.loading import encode, encode_tensors, load_dataset, offered_values, provided_names
from zoo.data.sources.cache import DataCache
from zoo.data.sources.given import Given, Source
from zoo.data.tensors import TensorDataset
from zoo.engines import Engine, Optimizer, PopulationEngine
from zoo.errors import DataError, RunningTextError, UnavailableError, UsageError
from zoo.memory import check_fits, memory_bytes, show_bytes
from zoo.options.declaration import decided
from zoo.options.training import AUTOGRAD
from zoo.phrasing import option
from zoo.plugin.calling import maker
from zoo.plugin.registry import Entry
from zoo.plugin.settings import is_fitted
from zoo.runs.clock import Clock
from zoo.runs.describe import make_config
from zoo.runs.observer import Observer, tell_of_data
from zoo.runs.plan import RunPlan
from zoo.storage.allocation import AllocationLimit
from zoo.storage.config import RANKS
from zoo.training.augmentation import Augmentation
from zoo.training.autograd import StepOptions
from zoo.training.building import (
    asked_inputs,
    build_model,
    build_optimizer,
    check_forward,
    complete_settings,
    context_length,
    fit_model,
    floats_of,
    window_length,
    with_block_length,
)
from zoo.training.device import (
    check_precision,
    choose_threads,
    describe_device,
    named_device,
    native_precision,
    suitable_device,
)
from zoo.training.distributed.alone import ALONE
from zoo.training.engines import choose_engine, stacked_engine
from zoo.training.evaluation import batch_size_of
from zoo.training.history.snapshots import Snapshots
from zoo.training.history.time_limit import Now, TimeLimit
from zoo.training.loop import Training
from zoo.training.objective.loss import Loss
from zoo.training.objective.objective import Objective, make_objective
from zoo.training.population.nets import Net, OfOne
from zoo.training.synthetic import SyntheticWords, sample_words
from zoo.training.validation import Validation

if TYPE_CHECKING:
    from zoo.training.distributed.group import Ranks

NO_BOUNDS: AbstractContextManager[None] = nullcontext()


@dataclass(frozen=True)
class PreparedRun:
    """What a run consists of before its first step.

    Attributes:
        plan: what was planned, with the device, the engine and the threads that were chosen.
        device: where it is trained.
        source: what the data is of: the plan's dataset, or its fallback.
        dataset, examples: the data; the examples of each split are on the device.
        train_on: the training split, and the synthetic examples.
        model: on the device.
        config: as `config.json` has it.
        ranks: the processes that train together; None where this one trains alone.
    """

    plan: RunPlan
    device: torch.device
    source: Source
    dataset: Dataset
    examples: Mapping[SplitName, Examples]
    train_on: Examples
    model: torch.nn.Module
    objective: Objective
    optimizer: Optimizer
    engine: Engine
    config: dict[str, Any]
    ranks: Ranks | None = None

    def new_training(self, now: Now = time.perf_counter) -> Training:
        """Training at step 0; `now` is the clock of its time limit."""
        plan, options = self.plan, self.plan.options
        return Training(
            model=self.model,
            optimizer=self.optimizer,
            examples=self.train_on,
            batch_size=self.plan.batch_size,
            lr=self.plan.lr,
            schedule=self.plan.schedule,
            generator=torch.Generator().manual_seed(options.seed),
            engine=self.engine,
            validation=Validation.of(options, self.examples["val"], self.objective),
            loss=self.objective.loss,
            ranks=self.ranks or ALONE,
            augment=self._augment(),
            snapshots=Snapshots.of(
                options.snapshots, plan.most_steps, plan.model.spec, self.model, vocabulary_of(self.dataset)
            ),
            time_limit=None if options.seconds is None else TimeLimit(options.seconds, now=now),
            new_optimizer=lambda model: build_optimizer(plan.optimizer, model, plan.lr, plan.optimizer_settings),
        )

    def _augment(self) -> Augmentation | None:
        function = getattr(self.dataset, "augment", None)
        if function is None:
            return None
        return Augmentation(function, f"augment of {maker(self.dataset)}", self.plan.options.seed)


def device_of(plan: RunPlan, observer: Observer, ranks: Ranks | None = None) -> torch.device | None:
    """The device that was named, before anything is read for it; None where `auto` is to choose one."""
    name = plan.options.device if ranks is None else ranks.device_name(plan.options.device)
    device = named_device(name, observer.warning)
    if device is not None and not plan.prefers_precision:
        check_precision(plan.options, device)
    return device


def tell_once(run: PreparedRun, observer: Observer, data: DataCache) -> None:
    """Say what was read, to the first of the runs that share it."""
    name, told = run.config["dataset"]["name"], run.plan.made is not None
    data.once(f"{name} was told", lambda: tell_of_data(observer, name, run.dataset, told=told), run.dataset)


def prepare(
    plan: RunPlan,
    device: torch.device | None,
    observer: Observer,
    clock: Clock,
    building: AbstractContextManager[None] = NO_BOUNDS,
    data: DataCache | None = None,
    ranks: Ranks | None = None,
) -> PreparedRun:
    """Make everything that a run needs. Its device should be the current one for all that follows.

    Args:
        plan, observer, clock: of the run.
        device: of the run; None for the one that `auto` chooses for this model and data.
        building: a context to build the model in. Where a checkpoint asks for it, it bounds what that may cost.
        data: what earlier runs of this process have read and encoded.
        ranks: the processes that train together, each of which prepares the same run; None for this one alone.

    Raises:
        ZooError: the data cannot be had, or a plugin or a setting does not fit it.
    """
    data = data or DataCache()
    with clock.measure("data", torch.device("cpu")):
        observer.stage("Reading the data")
        key, made = _source_key(plan)
        source, dataset = data.once(key, lambda: _load(plan, observer), made)
        plan = replace(plan, model_settings=with_block_length(plan.model, plan.model_settings, dataset))
        inputs = asked_inputs(plan.model, dataset)
        own = complete_settings(plan.model, plan.model_settings, plan.named, provided_names(dataset))
        plan = replace(plan, model_settings=own)
        long_words = _LongWords.of(plan, dataset)
        with building:
            model = _build(plan, inputs, long_words)
        if not isinstance(dataset, TensorDataset) and plan.model.spec.reads == "windows":
            window_length(model)  # where there is none, the model is named
        examples = _encode(plan, dataset, model, observer, data)
        _check_batch(plan, examples["train"])
    device = device or suitable_device(plan.options, model, examples["train"], observer.warning)
    if ranks is not None:
        device = ranks.device(device)
    if plan.prefers_precision:
        plan = replace(plan, options=native_precision(plan.options, device, observer.warning))
    check_precision(plan.options, device, model)
    with cuda.current(device):
        with clock.measure("data", device):
            model = model.to(device)
            examples = data.once(("on", str(device)), lambda: _moved(examples, device), examples)
        objective = make_objective(
            plan.model,
            source if isinstance(source, Entry) else None,
            dataset,
            model,
            settings=plan.loss_settings,
            offered=offered_values(dataset),
            monitor=plan.options.monitor,
        )
        made = _Made(plan, source, dataset, inputs, examples, model, objective, long_words)
        return _prepared(made, device, observer, clock, ranks)


@dataclass(frozen=True)
class _Made:
    """What there is of a run once its model and data are on the device."""

    plan: RunPlan
    source: Source
    dataset: Dataset
    inputs: dict[str, Any]
    examples: Mapping[SplitName, Examples]
    model: torch.nn.Module
    objective: Objective
    long_words: _LongWords


def _prepared(made: _Made, device: torch.device, observer: Observer, clock: Clock, ranks: Ranks | None) -> PreparedRun:
    plan, spec, model, examples = made.plan, made.plan.model.spec, made.model, made.examples
    sizes: dict[str, int] = {}
    with clock.measure("train", device):
        if is_fitted(plan.model):
            observer.stage("Fitting")
            sizes = fit_model(plan.model, model, examples["train"])
        words, train_on = _synthetic_words(plan, made.dataset, observer), examples["train"]
        if words is not None and isinstance(train_on, TensorExamples):  # words are
            train_on = words.beside(train_on, spec.reads, context_length(model))
    most = max(plan.batch_size, batch_size_of(model, examples["train"].input_size))
    times = min(most, len(examples["train"])) / 2  # it tries two
    with made.long_words.limit(times) if device.type == "cpu" else nullcontext():
        check_forward(plan.model, model, examples["train"], made.objective)
    optimizer = build_optimizer(plan.optimizer, model, plan.lr, plan.optimizer_settings)
    engine_name, engine = _engine(made, optimizer, train_on, device, observer, ranks)
    threads = choose_threads(plan.options, model, train_on)
    chosen = replace(plan.options, device=describe_device(device), engine=engine_name, threads=threads)
    plan = replace(plan, options=chosen)
    parameters = sum(p.numel() for p in model.parameters()) + sum(sizes.values())
    config = make_config(
        plan, made.source, made.dataset, examples, words, made.inputs | sizes, made.objective, parameters, device
    )
    config["training"] |= {} if ranks is None else {RANKS: ranks.count}
    own = (made.source, made.dataset, examples, train_on, model, made.objective, optimizer, engine, config, ranks)
    return PreparedRun(plan, device, *own)


def _engine(
    made: _Made,
    optimizer: Optimizer,
    train_on: Examples,
    device: torch.device,
    observer: Observer,
    ranks: Ranks | None,
) -> tuple[str, Engine]:
    """The implementation of the training step, and its name."""
    plan, model, loss = made.plan, made.model, made.objective.loss
    options, otherwise = StepOptions.of(plan.options), observer.warning if plan.prefers_engine else None
    if ranks is None:
        return choose_engine(
            decided(plan.options.engine),
            plan.model,
            model,
            optimizer,
            batch_size=plan.batch_size,
            steps=plan.most_steps,
            options=options,
            loss=loss,
            stacked=lambda: OfOne(stacked_together(plan, [net_of(plan, model, optimizer)], train_on, loss)),
            otherwise=otherwise,
        )
    from zoo.runs.launched.engine import engine_of_ranks

    return AUTOGRAD, engine_of_ranks(plan, model, optimizer, made.examples["train"], loss, device, otherwise, ranks)


def net_of(plan: RunPlan, model: torch.nn.Module, optimizer: Optimizer) -> Net:
    """The net of a run, as a population has it."""
    return Net(model, optimizer, lambda other: build_optimizer(plan.optimizer, other, plan.lr, plan.optimizer_settings))


def stacked_together(plan: RunPlan, nets: Sequence[Net], examples: Examples, loss: Loss) -> PopulationEngine:
    """The engine `stacked` for the nets of runs as planned; see `stacked_engine`."""
    options = StepOptions.of(plan.options)
    return stacked_engine(nets, plan.optimizer, examples, batch_size=plan.batch_size, options=options, loss=loss)


@dataclass(frozen=True)
class _LongWords:
    """Words so long that a model that reads whole words may take more memory than there is; `found` says which."""

    found: str | None

    @classmethod
    def of(cls, plan: RunPlan, dataset: Dataset) -> _LongWords:
        """Raises DataError where they are too long for any such model."""
        if plan.model.spec.reads != "sequences" or not isinstance(dataset, TextDataset) or dataset.max_length <= LONG:
            return cls(None)
        check_sizes(dataset, "sequences", dataset.max_length)
        line = "its longest word" if dataset.longest_line is None else f"line {dataset.longest_line:,}"
        return cls(f"{line} has {dataset.max_length - 1:,} characters")

    def limit(self, times: float = 1) -> AbstractContextManager[object]:
        """A context in which what is allocated, so many times, fits into the memory of this machine."""
        memory = memory_bytes()
        if self.found is None or memory is None:
            return nullcontext()
        problem = "for words of that length the model takes more memory than this machine has"
        remedy = "split it into words, one a line, or train a model that reads windows"
        return AllocationLimit(int(memory / max(1.0, times)), DataError(f"{self.found}: {problem}; {remedy}"))


def _build(plan: RunPlan, inputs: Mapping[str, int], long_words: _LongWords) -> torch.nn.Module:
    """The model, unless it does not fit into the memory of this machine."""
    memory = memory_bytes()
    limit: AbstractContextManager[object] = nullcontext()
    if memory is not None:
        needs = f"{plan.model.title} needs more than the {show_bytes(memory)} of memory of this machine"
        limit = AllocationLimit(memory, UsageError(f"{needs}: choose smaller sizes"))
    with limit, long_words.limit():
        return build_model(plan.model, {**plan.model_settings, **inputs}, plan.options.init_seed)


def _encode(
    plan: RunPlan, dataset: Dataset, model: torch.nn.Module, observer: Observer, data: DataCache
) -> Mapping[SplitName, Examples]:
    """The examples of each split as the model reads them: floating-point numbers in the type of its weights."""
    if not isinstance(dataset, TensorDataset):
        blocks = plan.model_settings.get("max_length") if isinstance(dataset, CorpusDataset) else None
        reads, length = plan.model.spec.reads, context_length(model)
        form = ("examples", reads, length, blocks)
        return data.once(form, lambda: encode(dataset, reads, length, max_length=blocks), dataset)
    floats = floats_of(model)
    if dataset.has_float64 and floats != torch.float64:
        observer.warning(
            f"the data is float64, and the model's weights are {str(floats).removeprefix('torch.')}: its numbers are "
            "converted to that, batch by batch"
        )
    return data.once(("examples", str(floats)), lambda: encode_tensors(dataset, floats, maker(dataset)), dataset)


def _moved(examples: Mapping[SplitName, Examples], device: torch.device) -> dict[SplitName, Examples]:
    return {name: split.to(device) for name, split in examples.items()}


def _check_batch(plan: RunPlan, examples: Examples) -> None:
    """Refuse a batch that no memory can hold: indices, inputs and targets, of 8 bytes each."""
    numbers = 1 + examples.input_size + examples.target_size
    check_fits(option("batch_size", plan.batch_size), 8 * numbers * plan.batch_size)


def _source_key(plan: RunPlan) -> tuple[str, object]:
    """All that decides what `_load` returns, as text; and the data itself, where it is in this process already."""
    source, fallback = plan.dataset, plan.fallback
    name = source.full_name if isinstance(source, Entry) else source.name if isinstance(source, Given) else str(source)
    settings = sorted(plan.data_settings.items())
    decides = (type(source).__name__, name, settings, plan.dataset_sha256, plan.like, plan.options.offline)
    made = source.dataset if isinstance(source, Given) else plan.made
    return repr((*decides, None if fallback is None else fallback.full_name)), made


def _load(plan: RunPlan, observer: Observer) -> tuple[Source, Dataset]:
    """The data, or the fallback's where the plan allows it; and which of the two it was."""
    if plan.made is not None:
        return plan.dataset, plan.made
    fetch = fetcher(offline=plan.options.offline)
    if isinstance(plan.dataset, Path) and plan.data_settings.get("format") == "text" and is_unencoded(plan.dataset):
        observer.stage("Encoding the text, once")
    try:
        return plan.dataset, load_dataset(
            plan.dataset, plan.data_settings, fetch, sha256=plan.dataset_sha256, like=plan.like
        )
    except DataError as error:
        preset = _preset_of_running_text(plan) if isinstance(error.__cause__, RunningTextError) else None
        if preset is not None:
            raise DataError(f"{error}; {option('preset', preset)} trains on running text") from error
        if not isinstance(error, UnavailableError) or plan.fallback is None:
            raise
        observer.warning(f"{error}; using the bundled {plan.fallback.spec.name!r} instead")
        return plan.fallback, load_dataset(plan.fallback, plan.data_settings, fetch)


def _preset_of_running_text(plan: RunPlan) -> str | None:
    """The first preset of the model that is for such text; None if there is none."""
    presets = plan.model.spec.presets.items()
    return next((name for name, preset in presets if preset.settings.get("data.format") == "text"), None)


def _synthetic_words(plan: RunPlan, dataset: Dataset, observer: Observer) -> SyntheticWords | None:
    if plan.synthetic is None:
        return None
    observer.stage("Sampling synthetic words")
    return sample_words(plan.synthetic, plan.options, dataset)
