"""A run's folder, and the files in it: made once, never written over by another run.

| file | what |
|---|---|
| `model.safetensors` | the weights, with config and digest in the metadata |
| `config.json` | everything that made the run |
| `losses.csv` | the loss of every step |
| `metrics.json` | the result, as `zoo run --json` prints it |
| `training_state.safetensors` | optimizer, generator and step |
| `loss.png`, `embeddings.png` | the pictures |
| `README.md` | a model card |
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from zoo import checkpoint
from zoo.errors import CheckpointError, UsageError, ZooError
from zoo.files import readable_json, write_text
from zoo.training import Training

RUNS = Path("runs")


class RunFolder:
    """Writes the files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, model_name: str, out: Path | None = None) -> RunFolder:
        """Make a new folder: `out`, or the next free `runs/MODEL-N`.

        Raises:
            UsageError: `out` exists and is not an empty folder.
            ZooError: the folder cannot be made.
        """
        try:
            return cls(_take(out) if out is not None else _next_free(RUNS, model_name))
        except OSError as error:
            raise ZooError(f"cannot make the run folder {error.filename}: {error.strerror}") from error

    def discard_if_empty(self) -> None:
        """Take back a folder into which nothing was written."""
        if self.path.is_dir() and not any(self.path.iterdir()):
            self.path.rmdir()

    def write_checkpoint(self, training: Training, config: Mapping[str, Any]) -> None:
        """Write the config, the losses, the training state, and last the weights.

        Raises:
            OSError: a file cannot be written.
        """
        write_text(self.path / "config.json", readable_json(config))
        write_text(self.path / "losses.csv", losses_csv(training.losses))
        tensors, optimizer = checkpoint.flatten_state(training.optimizer.state_dict(), "optimizer")
        tensors["generator"] = training.generator.get_state()
        tensors["global_generator"] = torch.get_rng_state()  # dropout and the like draw from it
        state = {"step": training.step, "optimizer": optimizer}
        checkpoint.save(self.path / "training_state.safetensors", tensors, state)
        meta = {"config": config, "step": training.step}
        checkpoint.save(self.path / "model.safetensors", training.model.state_dict(), meta)

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        write_text(self.path / "metrics.json", readable_json(metrics))

    def write_card(self, text: str) -> None:
        write_text(self.path / "README.md", text)


def losses_csv(losses: list[float]) -> str:
    """`step,loss` for every step, in the shortest digits from which the same float is read back."""
    return "step,loss\n" + "".join(f"{step},{loss!r}\n" for step, loss in enumerate(losses))


def read_losses(path: Path) -> list[float]:
    """The losses of a `losses.csv`.

    Raises:
        CheckpointError: it is missing, or not such a file.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, csv.Error) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    try:
        if rows[0] != ["step", "loss"]:
            raise ValueError("its first line is not step,loss")
        losses = [float(loss) for _, loss in rows[1:]]
        if [step for step, _ in rows[1:]] != [str(i) for i in range(len(losses))]:
            raise ValueError("its steps do not count up from 0")
    except (IndexError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    return losses


def _take(out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        out.mkdir()
    except FileExistsError as error:
        if not out.is_dir() or any(out.iterdir()):
            raise UsageError(
                f"{out} already exists, and a run never writes over anything: choose another --out"
            ) from error
    return out


def _next_free(base: Path, model_name: str) -> Path:
    base.mkdir(parents=True, exist_ok=True)
    prefix = f"{model_name}-"
    endings = (entry.name.removeprefix(prefix) for entry in base.iterdir() if entry.name.startswith(prefix))
    number = max((int(ending) for ending in endings if ending.isdecimal()), default=0)
    while True:  # another process may be taking numbers too
        number += 1
        try:
            path = base / f"{prefix}{number}"
            path.mkdir()
        except FileExistsError:
            continue
        return path
