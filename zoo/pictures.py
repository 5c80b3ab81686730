"""Which pictures a run has, and what goes into them. `zoo.plotting` draws; this file does not know how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from zoo.errors import PluginError, UsageError
from zoo.specs import ModelSpec
from zoo.vocabulary import Vocabulary

KINDS = ("loss", "embeddings")


def has_embeddings(spec: ModelSpec, vocabulary: Vocabulary | None) -> bool:
    """Whether a model has a table of embeddings, one row a character, to draw."""
    return spec.embedding is not None and vocabulary is not None


def draw_loss(
    path: Path,
    config: Mapping[str, Any],
    losses: Sequence[float],
    final: dict[str, float] | None,
    looks: Sequence[tuple[int, float]] = (),
) -> None:
    """Draw the loss of every step, and that of looks at the validation split. Raises as `zoo.plotting.draw_loss`."""
    from zoo import plotting

    plotting.draw_loss(path, losses, _title("Loss", config, len(losses)), final, looks)


def draw_embeddings(
    path: Path,
    config: Mapping[str, Any],
    spec: ModelSpec,
    model: nn.Module,
    vocabulary: Vocabulary | None,
    *,
    dims: tuple[int, int] = (0, 1),
    pca: bool = False,
) -> None:
    """Draw the map of a model's embeddings to `path`.

    Raises:
        UsageError: the model has none that belong to characters, or not those dimensions.
        PluginError: the spec names a parameter that is not there, or not of shape (vocab_size, embedding_dim).
    """
    from zoo import plotting

    if spec.embedding is None or vocabulary is None:
        raise UsageError(f"model {spec.name!r} names no embeddings of characters, so there is no map to draw")
    table = _table(spec, model, len(vocabulary))
    title = _title("Embeddings", config, config["training"]["steps"])
    plotting.draw_embeddings(path, table.numpy(), vocabulary.itos, title, dims=dims, pca=pca)


def _table(spec: ModelSpec, model: nn.Module, vocab_size: int) -> Tensor:
    tensor = model.state_dict().get(spec.embedding or "")
    if tensor is None or tensor.ndim != 2 or len(tensor) != vocab_size:
        raise PluginError(
            f"model {spec.name!r} gives its embeddings as {spec.embedding!r}, which is no tensor of {vocab_size} rows"
        )
    rows: Tensor = tensor.detach().cpu().float()
    return rows


def _title(what: str, config: Mapping[str, Any], steps: int) -> str:
    return f"{what} of {config['model']['name']} on {Path(config['dataset']['name']).name}, {steps:,} steps"
