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

    from zoo_tensorboard.events import EventFile

FOLDER = "tensorboard"  # in the run folder
TENSORS, LABELS = "embedding.tsv", "characters.tsv"

_PROJECTOR = f"""embeddings {{
  tensor_name: "embedding"
  tensor_path: "{TENSORS}"
  metadata_path: "{LABELS}"
}}"""


class TensorBoard:
    """Writes scalars while a run is trained, and at its end the hyper-parameters and the embedding."""

    _events: EventFile  # once it has started

    def __init__(self, run_dir: Path, resumed_at: int = 0, embedding: str | None = None, every: int = 10) -> None:
        """Remember where to write.

        Args:
            run_dir: the run folder.
            resumed_at: how many steps an earlier process has done.
            embedding: the name of the parameter of shape (vocab_size, embedding_dim), if the model has one.
            every: write the loss of every so many steps. A scalar takes about 10 microseconds.

        Raises:
            ValueError: `every` is below 1.
            UsageError: the package tensorboard is not installed.
        """
        if every < 1:
            raise ValueError(f"every must be 1 or above, got {every}")
        try:
            import tensorboard  # noqa: F401
        except ImportError as error:
            raise zoo.UsageError(
                "the logger 'tensorboard' needs the package tensorboard: pip install 'zoo-models[tensorboard]'"
            ) from error
        self._folder = run_dir / FOLDER
        self._resumed_at = resumed_at
        self._embedding = embedding
        self._every = every
        self._config: dict[str, Any] = {}
        self._told: set[tuple[str, int]] = set()  # scalars of evaluations

    def start(self, config: dict[str, Any]) -> None:
        from torch.utils.tensorboard.summary import text

        from zoo_tensorboard.events import EventFile

        self._config = config
        self._events = EventFile(self._folder, self._resumed_at + 1 if self._resumed_at else None)
        shown = text("config", _as_code(json.dumps(config, indent=2)))  # type: ignore[no-untyped-call]
        self._events.add(shown, self._resumed_at)
        self._events.flush()

    def steps(self, step: int, losses: Sequence[float], lr: float) -> None:
        for done, loss in enumerate(losses, step - len(losses) + 1):
            if (done - 1) % self._every == 0:
                self._events.scalar("loss/step", loss, done)
        self._events.scalar("lr", lr, step)
        self._events.flush()

    def evaluated(
        self, step: int, losses: Mapping[str, float], metrics: Mapping[str, Mapping[str, float]], model: nn.Module
    ) -> None:
        for split, loss in losses.items():
            if split == "val" and self._was_evaluated(step):
                continue
            for name, value in {"loss": loss, **metrics.get(split, {})}.items():
                self._scalar(f"{name}/{split}", value, step)
        self._events.flush()

    def finish(self, metrics: dict[str, Any], model: nn.Module) -> None:
        self._add_hyperparameters(metrics)
        self._events.flush()
        if self._folder.is_dir():  # the run folder may have been moved, and no other is to be made in its place
            self._write_embedding(model)

    def close(self) -> None:
        if hasattr(self, "_events"):
            self._events.close()

    def _scalar(self, tag: str, value: float, step: int) -> None:
        """Write a scalar once: the best weights are evaluated during training and again at the end."""
        if (tag, step) not in self._told:
            self._told.add((tag, step))
            self._events.scalar(tag, value, step)

    def _was_evaluated(self, step: int) -> bool:
        """Whether the process before has evaluated the validation split then."""
        every = self._config["training"].get("validate_every")
        return bool(every) and step <= self._resumed_at and step % every == 0

    def _add_hyperparameters(self, metrics: Mapping[str, Any]) -> None:
        """For the tab HPARAMS."""
        from torch.utils.tensorboard.summary import hparams

        of_model = {f"model.{key}": value for key, value in self._config["model"]["hyperparameters"].items()}
        names = ("model", "optimizer", "preset", "lr", "batch_size", "seed", "init_seed", "engine", "device")
        values = {**{name: metrics.get(name) for name in names}, **of_model}
        kept = {name: value for name, value in values.items() if isinstance(value, bool | int | float | str)}
        found = {f"loss/{split}": loss for split, loss in metrics["losses"].items()}
        for split, values_of_split in metrics.get("metrics", {}).items():
            found |= {f"{name}/{split}": value for name, value in values_of_split.items() if value is not None}
        for summary in hparams(kept, found):  # type: ignore[no-untyped-call]
            self._events.add(summary)

    def _write_embedding(self, model: nn.Module) -> None:
        """For the projector: the rows of the embedding, each with its character."""
        vocabulary = self._config["dataset"].get("vocabulary")
        weights = dict(model.named_parameters()).get(self._embedding or "")
        if weights is None or weights.ndim != 2 or not vocabulary or len(vocabulary) != len(weights):
            return
        rows = ["\t".join(map(repr, row)) for row in weights.detach().float().cpu().tolist()]
        files = {TENSORS: rows, LABELS: map(_label, vocabulary), "projector_config.pbtxt": [_PROJECTOR]}
        for name, lines in files.items():
            (self._folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _label(character: str) -> str:
    """A character in a table of tab-separated values."""
    if not character:
        return "start"
    return character if character.isprintable() and not character.isspace() else repr(character)


def _as_code(text: str) -> str:
    """Markdown that shows a text as it is."""
    return "".join(f"    {line}\n" for line in text.splitlines())
