"""Event files for TensorBoard. TensorFlow is not needed.

The step of each scalar is the number of steps that were done: the first step's loss is at 1, and an evaluation after
1,000 steps at 1,000. So a resumed run replaces all that an interrupted one had written beyond its last checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zoo

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"  # in the run folder
_FLUSH_SECONDS = 10  # TensorBoard shows a run as it goes on


class TensorBoard:
    """Writes scalars while a run is trained, and at its end the hyper-parameters and the embedding."""

    _writer: SummaryWriter  # once it has started

    def __init__(self, run_dir: Path, resumed_at: int = 0, embedding: str | None = None, every: int = 10) -> None:
        """Remember where to write.

        Args:
            run_dir: the run folder.
            resumed_at: how many steps an earlier process has done.
            embedding: the name of the parameter of shape (vocab_size, embedding_dim), if the model has one.
            every: write the loss of every so many steps. A scalar takes about 50 microseconds.

        Raises:
            ValueError: `every` is below 1.
            UsageError: the package tensorboard is not installed.
        """
        if every < 1:
            raise ValueError(f"every must be 1 or above, got {every}")
        try:
            import torch.utils.tensorboard  # noqa: F401  # which needs that package
        except ImportError as error:
            raise zoo.UsageError(
                "--log tensorboard needs the package tensorboard: pip install 'zoo-models[tensorboard]'"
            ) from error
        self._folder = run_dir / FOLDER
        self._resumed_at = resumed_at
        self._embedding = embedding
        self._every = every
        self._config: dict[str, Any] = {}
        self._told: set[tuple[str, int]] = set()  # scalars of evaluations

    def start(self, config: dict[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._config = config
        purge = self._resumed_at + 1 if self._resumed_at else None
        self._writer = SummaryWriter(str(self._folder), purge_step=purge, flush_secs=_FLUSH_SECONDS)
        self._writer.add_text("config", _as_code(json.dumps(config, indent=2)), self._resumed_at)

    def steps(self, step: int, losses: Sequence[float], lr: float) -> None:
        for done, loss in enumerate(losses, step - len(losses) + 1):
            if (done - 1) % self._every == 0:
                self._writer.add_scalar("loss/step", loss, done)
        self._writer.add_scalar("lr", lr, step)

    def evaluated(
        self, step: int, losses: Mapping[str, float], metrics: Mapping[str, Mapping[str, float]], model: nn.Module
    ) -> None:
        for split, loss in losses.items():
            if split == "val" and self._was_evaluated(step):
                continue
            for name, value in {"loss": loss, **metrics.get(split, {})}.items():
                self._scalar(f"{name}/{split}", value, step)
        self._writer.flush()

    def finish(self, metrics: dict[str, Any], model: nn.Module) -> None:
        self._add_hyperparameters(metrics)
        if self._folder.is_dir():  # the run folder may have been moved, and no other is to be made in its place
            self._add_embedding(metrics["steps"], model)

    def close(self) -> None:
        if hasattr(self, "_writer"):
            self._writer.close()

    def _scalar(self, tag: str, value: float, step: int) -> None:
        """Write a scalar once: the best weights are evaluated during training and again at the end."""
        if (tag, step) not in self._told:
            self._told.add((tag, step))
            self._writer.add_scalar(tag, value, step)

    def _was_evaluated(self, step: int) -> bool:
        """Whether the process before has evaluated the validation split then."""
        every = self._config["training"].get("validate_every")
        return bool(every) and step <= self._resumed_at and step % every == 0

    def _add_hyperparameters(self, metrics: Mapping[str, Any]) -> None:
        """For the tab HPARAMS, in this event file: SummaryWriter.add_hparams makes a folder of its own for them."""
        from torch.utils.tensorboard.summary import hparams

        of_model = {f"model.{key}": value for key, value in self._config["model"]["hyperparameters"].items()}
        names = ("model", "optimizer", "preset", "lr", "batch_size", "seed", "init_seed", "engine", "device")
        values = {**{name: metrics.get(name) for name in names}, **of_model}
        kept = {name: value for name, value in values.items() if isinstance(value, bool | int | float | str)}
        losses = {f"loss/{split}": loss for split, loss in metrics["losses"].items()}
        writer: Any = self._writer
        for summary in hparams(kept, losses):  # type: ignore[no-untyped-call]
            writer.file_writer.add_summary(summary)

    def _add_embedding(self, step: int, model: nn.Module) -> None:
        """For the projector: the rows of the embedding, each with its character."""
        vocabulary = self._config["dataset"].get("vocabulary")
        weights = dict(model.named_parameters()).get(self._embedding or "")
        if weights is None or weights.ndim != 2 or not vocabulary or len(vocabulary) != len(weights):
            return
        labels = [_label(character) for character in vocabulary]
        self._writer.add_embedding(weights.detach().float().cpu(), metadata=labels, tag="embedding", global_step=step)


def _label(character: str) -> str:
    """A character in a table of tab-separated values."""
    if not character:
        return "start"
    return character if character.isprintable() and not character.isspace() else repr(character)


def _as_code(text: str) -> str:
    """Markdown that shows a text as it is."""
    return "".join(f"    {line}\n" for line in text.splitlines())
