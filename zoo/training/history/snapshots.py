"""Snapshots: the embedding table at moments spread evenly over the planned steps.

Axes: V characters, E embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from zoo.data.vocabulary import Vocabulary
from zoo.errors import PluginError, UsageError
from zoo.memory import check_fits
from zoo.phrasing import option
from zoo.plugin.specs import ModelSpec


@dataclass
class Snapshots:
    """The snapshots so far, and when the next ones are due: by step number, so resuming does not change when.

    Attributes:
        parameter: the name of the embedding table.
        moments: after how many steps one is due, ascending.
        taken: the tables so far, by their steps, in that order; float32, shape (V, E), on the CPU.
    """

    parameter: str
    moments: tuple[int, ...]
    taken: dict[int, Tensor] = field(default_factory=dict)

    @classmethod
    def of(
        cls, count: int | None, steps: int | None, spec: ModelSpec, model: nn.Module, vocabulary: Vocabulary | None
    ) -> Snapshots | None:
        """Those of a new run that is to keep `count` over `steps` steps; None where it is to keep none.

        A run without a number of steps keeps none.

        Raises:
            UsageError: the model has no embedding table, or as many do not fit into memory.
            PluginError: as `embedding_table`.
        """
        if count is None or steps is None:
            return None
        if spec.embedding is None or vocabulary is None:
            raise UsageError(
                f"{option('snapshots')} keeps embeddings, and model {spec.name!r} has no embeddings of characters"
            )
        table = embedding_table(spec.name, spec.embedding, model, len(vocabulary))
        check_fits(option("snapshots", count), 4 * table.numel() * count)
        snapshots = cls(spec.embedding, moments(count, steps))
        snapshots.take(model, 0)
        return snapshots

    def steps_left(self, step: int) -> int | None:
        """After how many more steps the next one is due; None after the last."""
        return next((moment - step for moment in self.moments if moment > step), None)

    def take_if_due(self, model: nn.Module, step: int) -> None:
        """Take one, if the number of steps done says so."""
        if step in self.moments:
            self.take(model, step)

    def take(self, model: nn.Module, step: int) -> None:
        """Take one now. A table with a number that is NaN or infinite is no use to anybody, and is left out."""
        table = model.state_dict()[self.parameter].detach().to("cpu", torch.float32, copy=True)
        if step not in self.taken and bool(table.isfinite().all()):
            self.taken[step] = table

    def forget_after(self, step: int) -> None:
        """Training has returned to this step."""
        for later in [taken for taken in self.taken if taken > step]:
            del self.taken[later]

    def go_on_from(self, earlier: Mapping[int, Tensor]) -> None:
        """The snapshots of a run that is resumed."""
        self.taken = dict(earlier)


def moments(count: int, steps: int) -> tuple[int, ...]:
    """So many numbers of steps from 0 to `steps`, spread evenly; as many as there are, where there are fewer."""
    return tuple(sorted({round(index * steps / (count - 1)) for index in range(count)}))


def embedding_table(name: str, parameter: str, model: nn.Module, vocab_size: int) -> Tensor:
    """The embeddings of the characters: float32, shape (V, E), on the CPU.

    Args:
        name: of the model, for messages.
        parameter: the name of the table, as the model's spec has it.
        model: that has it.
        vocab_size: V.

    Raises:
        PluginError: the model has no such parameter, or it is not of shape (vocab_size, embedding_dim).
    """
    tensor = model.state_dict().get(parameter)
    if tensor is None or tensor.ndim != 2 or len(tensor) != vocab_size:
        raise PluginError(
            f"model {name!r} names {parameter!r} as its embedding table, but it has no such tensor of {vocab_size} rows"
        )
    rows: Tensor = tensor.detach().cpu().float()
    return rows
