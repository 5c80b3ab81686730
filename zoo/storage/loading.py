"""Loading a trained model from a run folder, a `.safetensors` file, or the weights that a plugin ships."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo import cuda, stages
from zoo.ambient import in_neutral_state
from zoo.data.corpus.dataset import CorpusDataset
from zoo.data.datasets import TextDataset
from zoo.data.download import Fetcher, fetcher
from zoo.data.examples import Examples, SplitName
from zoo.data.kinds import Dataset, vocabulary_of
from zoo.data.loading import (
    encode,
    encode_tensors,
    encode_words,
    offered_values,
)
from zoo.data.tensors import TensorDataset
from zoo.data.vocabulary import Vocabulary
from zoo.errors import (
    MORE,
    CheckpointError,
    DataError,
    OtherVersionWarning,
    UsageError,
    ZooError,
    memory_errors,
    warn,
)
from zoo.files import from_person, kind_of
from zoo.numbers import LARGEST_COUNT
from zoo.options.run import AS_RECORDED, FileOptions
from zoo.plots.plot import Record
from zoo.plots.plotted import Plotted
from zoo.plugin.calling import maker
from zoo.plugin.recorded import find_recorded, naming_versions
from zoo.plugin.registry import Entry, Registry
from zoo.plugin.settings import check_provided, resolve_settings, signature_of
from zoo.plugin.specs import ModelSpec
from zoo.storage import checkpoint
from zoo.storage.bounds import building
from zoo.storage.card import WithResult
from zoo.storage.checkpoint import Checkpoint
from zoo.storage.config import RunConfig
from zoo.storage.data.own import check_same, data_of_run
from zoo.storage.folder import WEIGHTS_FILE, where_run_is
from zoo.storage.history.record import has_losses, with_losses
from zoo.storage.members.not_kept import SWEEP_FILE, not_kept
from zoo.storage.shipped import has_weights, shipped_weights
from zoo.text import brief, shown
from zoo.training.building import build_model, context_length, floats_of
from zoo.training.device import threads
from zoo.training.evaluation import Evaluation, evaluate_splits
from zoo.training.objective.objective import PLAIN, Objective, make_objective
from zoo.training.text_model import Codec, TokenizerCodec
from zoo.training.trained import Trained, TrainedOn


@dataclass(frozen=True, repr=False)
class Loaded(WithResult, Plotted, Trained):
    """A trained model with its config.

    Attributes:
        model: on the CPU, in evaluation mode.
        config: as in `config.json`.
        path: the file of the weights.
        entry: the model's spec and plugin.
        registry: where what it was trained with is found by name.
        checked: the parts of the config that zoo uses, checked.
        step: the number of steps that the weights were trained for; None if the file does not record it.
        weights_sha256: the digest of the weights as they were stored.
        given: its data, where it was given; see `zoo.load`.
    """

    model: nn.Module
    config: dict[str, Any]
    path: Path
    entry: Entry[ModelSpec]
    registry: Registry
    checked: RunConfig
    step: int | None
    weights_sha256: str | None = None
    given: Dataset | None = None

    def __repr__(self) -> str:
        step = "" if self.step is None else f", step {self.step:,}"
        return brief(f"<Loaded {self.path}: {self.entry.spec.name} on {self.checked.dataset}{step}>")

    def record(self, *, losses: bool) -> Record:
        """What its plots are made of; see `Plotted.record`."""
        if losses and not has_losses(self.path):
            raise UsageError(f"no losses of {self.path}: they are in losses.csv of its run folder, which is not there")
        options, step = self.checked.options, self.step
        best = step if options.validate_every is not None and step != options.steps else None
        record = Record(
            self.config, self.entry.spec.embedding, self.model, self.checked.vocabulary, self.step, best=best
        )
        return with_losses(record, self.path) if losses else record

    @property
    def _threads(self) -> int:
        """Those of the run: another number may give other last digits. Files of old versions do not record it."""
        return self.checked.options.threads or 1

    @property
    def _vocab_size(self) -> int | None:
        """How many tokens a text has that was encoded by a tokenizer."""
        size = self.checked.tokenizer_size
        return None if size is None else size + 1

    @property
    def vocabulary(self) -> Vocabulary:
        """The `zoo.Vocabulary` of a text model.

        Raises:
            UsageError: the model does not read text.
        """
        if self.checked.vocabulary is None:
            raise UsageError(f"{self.path}: model {self.entry.spec.name!r} was not trained on text")
        return self.checked.vocabulary

    @property
    def _trained_on(self) -> TrainedOn:
        checked, running = self.checked, self.checked.kind == "corpus"
        vocabulary = checked.vocabulary
        known = checked.hyperparameters if running else checked.inputs
        return TrainedOn(
            text="text" if running else None if vocabulary is None else "words",
            codec=self._tokenizer if vocabulary is None else lambda: vocabulary,
            max_length=length if isinstance(length := known.get("max_length"), int) and length > 0 else None,
            words=self._words,
            targets=checked.targets,
            classes=checked.classes,
            features=checked.inputs.get("num_features"),
            offered=checked.offered,
            threads=self._threads,
        )

    def _words(self) -> set[str]:
        """All words of the data that the model was trained on."""
        dataset = self.dataset(self.registry, fetcher())
        assert isinstance(dataset, TextDataset)
        return {word for words in dataset.splits.values() for word in words}

    def _tokenizer(self) -> Codec:
        """The tokenizer of the data that the model was trained on: a checkpoint has its name alone."""
        dataset = self.dataset(self.registry, fetcher())
        tokenizer = dataset.tokenizer if isinstance(dataset, CorpusDataset) else None
        if tokenizer is None or 1 + int(tokenizer.vocab_size) != self._vocab_size:
            raise DataError(f"the data of {self.entry.title} has not the tokenizer that it was trained with")
        return TokenizerCodec(tokenizer, f"the tokenizer of {maker(dataset)}")

    @in_neutral_state
    @memory_errors(MORE)
    def evaluate(
        self, splits: Mapping[SplitName, Examples], device: torch.device, objective: Objective = PLAIN
    ) -> dict[SplitName, Evaluation]:
        """The mean loss and the metrics over each split, with the threads that the run itself was evaluated with.

        Moves the model to `device`, where it stays.

        Raises:
            PluginError: the model, its loss or a metric fails.
        """
        with threads(self._threads), cuda.current(device):
            model = self.model.to(device)
            return evaluate_splits(model, {name: split.to(device) for name, split in splits.items()}, objective)

    @in_neutral_state
    def objective(self, registry: Registry, dataset: Dataset) -> Objective:
        """The loss that the model was trained on, and its metrics, for its own data or data like it.

        Raises:
            PluginError: they cannot be made.
            UsageError: the loss has no such settings any more.
        """
        checked = self.checked
        no_plugin = checked.dataset_is_file or checked.dataset_is_given
        recorded = None if no_plugin else checked.recorded("dataset")
        known = recorded is not None and recorded.name in registry.datasets
        return make_objective(
            self.entry,
            registry.datasets.get(recorded.name) if recorded is not None and known else None,
            dataset,
            self.model,
            settings=self.checked.loss_settings,
            offered=offered_values(dataset),
        )

    @in_neutral_state
    @stages.within("Reading the data")
    def dataset(
        self, registry: Registry, fetch: Fetcher, other: Any = None, options: FileOptions = AS_RECORDED
    ) -> Dataset:
        """The data that the model was trained on, or another dataset, split and shuffled the same way.

        Args:
            registry: of datasets.
            fetch: what downloads them.
            other: other data, as `zoo.run` takes it; a file is read as that of the run was, and a dataset that was made
                already is used as it is.
            options: how that file is read instead.

        Raises:
            UsageError: there are such options, and no other data.
            DataError: the data cannot be loaded, or is not what the model was trained on.
        """
        return data_of_run(self.checked, self.path, registry, fetch, other, options, self.given)

    @in_neutral_state
    def with_data(self, data: Any) -> Loaded:
        """The same model, with the data that it was trained on given, as `zoo.run` takes it.

        Raises:
            DataError: it is other data.
            UsageError: it is none.
        """
        dataset = self.dataset(self.registry, fetcher(), data)
        check_same(dataset, self.checked, self.path)
        return replace(self, given=dataset)

    @in_neutral_state
    @stages.within("Encoding the data")
    def novel_examples(self, dataset: Dataset) -> Mapping[SplitName, Examples]:
        """The examples of the unseen words of validation and test; splits without any are left out."""
        if self.checked.vocabulary is None or not isinstance(dataset, TextDataset):
            return {}
        reads = self.entry.spec.reads
        longest = self.checked.inputs.get("max_length") or dataset.max_length
        length = longest if reads == "sequences" else context_length(self.model)
        novel = {name: words for name, words in dataset.novel().items() if words}
        return encode_words(novel, reads, length, self.checked.vocabulary)

    def _check_shapes(self, dataset: TensorDataset) -> None:
        """Refuse data of other targets, inputs or classes than the model's, of which losses would be made all the same.

        Raises:
            DataError: something differs.
        """
        of = f"the dataset is not of the kind that model {self.entry.spec.name!r} was trained on"
        if dataset.targets != self.checked.targets:
            raise DataError(f"{of}: its targets are {dataset.targets}, and the model's were {self.checked.targets}")
        known = {"num_features": dataset.num_features, **offered_values(dataset)}
        for name in ("num_features", "num_outputs", "num_classes"):
            then, now = self.checked.inputs.get(name), known.get(name)
            if then is not None and now is not None and (now > then if name == "num_classes" else now != then):
                raise DataError(f"{of}: {name} was {then}, and is {now}")

    @in_neutral_state
    @stages.within("Encoding the data")
    def examples(self, dataset: Dataset) -> Mapping[SplitName, Examples]:
        """The examples of a dataset for this model, in the model's vocabulary.

        Raises:
            DataError: the vocabulary lacks a character, or a word is too long.
        """
        checked = self.checked
        text, running = checked.vocabulary is not None, isinstance(dataset, CorpusDataset)
        fits = (checked.kind == "corpus") == running and text == (vocabulary_of(dataset) is not None)
        if not fits or (isinstance(dataset, CorpusDataset) and not text and dataset.vocab_size != self._vocab_size):
            raise DataError(f"the dataset is not of the kind that model {self.entry.spec.name!r} was trained on")
        if isinstance(dataset, TensorDataset):
            self._check_shapes(dataset)
            return encode_tensors(dataset, floats_of(self.model), maker(dataset))
        return encode(
            dataset,
            self.entry.spec.reads,
            context_length(self.model),
            vocabulary=checked.vocabulary,
            max_length=checked.hyperparameters.get("max_length") if running else checked.inputs.get("max_length"),
        )


@in_neutral_state
@memory_errors(MORE)
def load(target: str | Path, registry: Registry) -> Loaded:
    """Rebuild a model and load its weights, after checking that the file is intact and fits the model.

    Args:
        target: a run folder, a `.safetensors` file, or the name of a model whose plugin ships weights.

    Raises:
        UsageError: `target` is none of these.
        CheckpointError: the file is damaged, not of zoo, or does not fit its config.
        OtherVersionError: it does not fit the installed version of its plugin. One that it fits is warned of.
        PluginError: the model's plugin is broken.
        ZooError: the system denies access to the path.
    """
    path = find_weights(target, registry)
    with stages.within("Reading the weights"):
        loaded = rebuild(path, checkpoint.load(path), registry)
    other = loaded.checked.recorded("model").other_version(loaded.entry)
    # What zoo's own models compute is tested with the weights of earlier versions; a plugin knows the weights it ships.
    if other is not None and not loaded.entry.plugin.builtin and path != _shipped(loaded.entry):
        text = f"{path} may compute something else than it did: {other}"
        warn(text, OtherVersionWarning)
    return loaded


def rebuild(path: Path, stored: Checkpoint, registry: Registry) -> Loaded:
    """The model of a file of weights that was read.

    Raises:
        MissingPluginError: there is no such model.
        OtherVersionError: the weights do not fit the installed version of their plugin.
        CheckpointError: the weights do not fit their config.
        PluginError: the model's plugin is broken.
    """
    config = RunConfig.read(stored.meta.get("config"), path)
    recorded = config.recorded("model")
    entry = find_recorded(registry, registry.models, recorded, path)
    with naming_versions(list(filter(None, [recorded.other_version(entry)]))):
        hyperparameters = _hyperparameters(entry, config, path)
        try:
            with building(path, stored.file_bytes, len(stored.tensors)):
                model = build_model(entry, {**hyperparameters, **config.inputs}, config.options.init_seed)
        except UsageError as error:
            raise CheckpointError(f"{path} has a config that its model refuses: {error}") from error
        checkpoint.fill(model, stored.tensors, path)
    model.eval()
    step = stored.meta.get("step")
    known = step if isinstance(step, int) else None
    return Loaded(model, config.raw, path, entry, registry, config, known, stored.meta.get("sha256"))


def find_weights(target: str | Path, registry: Registry) -> Path:
    """The `.safetensors` file that `target` refers to. Raises UsageError and ZooError as `load` does."""
    path = from_person(target)
    kind = kind_of(path)
    if kind == "folder":
        if kind_of(path / WEIGHTS_FILE) != "file":
            if kind_of(path / SWEEP_FILE) == "file":
                raise UsageError(f"{path} is a sweep, of many runs: give one of them, such as {path / '0001'}")
            raise UsageError(f"no run in {path}: there is no {WEIGHTS_FILE} in it")
        return path / WEIGHTS_FILE
    if kind != "nothing":
        if path.name != WEIGHTS_FILE and (where := where_run_is(path)):
            raise UsageError(f"no weights in {path}{where}")
        return path
    if isinstance(target, str) and target in registry.models:
        return shipped_weights(registry.models.get(target))
    raise UsageError(f"no run folder, .safetensors file or model called {shown(target)}{not_kept(path)}")


def _shipped(entry: Entry[ModelSpec]) -> Path | None:
    return shipped_weights(entry) if has_weights(entry) else None


def _hyperparameters(entry: Entry[ModelSpec], config: RunConfig, path: Path) -> Mapping[str, Any]:
    """The hyper-parameters in the config, checked against the types of the model's constructor."""
    signature, provided = signature_of(entry, config.provides), config.provides
    unknown = config.inputs.keys() - (signature.inputs.keys() - {"generator"})
    counts = [value for name, value in config.inputs.items() if name in entry.spec.inputs or name not in provided]
    positive = all(type(value) is int and 0 < value <= LARGEST_COUNT for value in counts)
    same = all(config.inputs[name] == provided[name] for name in config.inputs.keys() & provided.keys())
    size = config.inputs.get("vocab_size")
    known = len(config.vocabulary) if config.vocabulary is not None else 1 + (config.tokenizer_size or -1)
    fits = size is None or size == known or "vocab_size" in provided
    if unknown or not positive or not same or not fits:
        raise CheckpointError(f"{path} has a damaged config: 'model.inputs' does not fit model {entry.spec.name!r}")
    try:
        check_provided(entry, config.inputs, provided)
        return resolve_settings(entry, config.hyperparameters, provided)
    except ZooError as error:
        raise CheckpointError(f"{path} does not fit model {entry.spec.name!r}: {error}") from error
