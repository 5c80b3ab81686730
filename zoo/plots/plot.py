"""Which pictures a run has, and what goes into them. `zoo.plots.figures` draws; this file does not know how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from zoo.data.vocabulary import Vocabulary
from zoo.errors import PluginError, UsageError
from zoo.plugin.specs import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

Kind: TypeAlias = Literal["loss", "embeddings"]


@dataclass(frozen=True)
class Picture:
    """One picture to be drawn.

    Attributes:
        path: where to.
        kind: what it shows.
        given: the arguments of `zoo.plots.figures.draw_loss` or `draw_embeddings`, of what JSON can hold.
    """

    path: Path
    kind: Kind
    given: Mapping[str, Any]

    @property
    def numbers(self) -> int:
        """How many it shows."""
        return len(self.given["losses"]) if self.kind == "loss" else sum(map(len, self.given["table"]))

    def draw(self) -> None:
        """Draw it. Raises as the function of `zoo.plots.figures` does."""
        from zoo.plots import figures as plotting

        draw = plotting.draw_loss if self.kind == "loss" else plotting.draw_embeddings
        draw(self.path, **self.given)


def has_embeddings(spec: ModelSpec, vocabulary: Vocabulary | None) -> bool:
    """Whether a model has a table of embeddings, one row a character, to draw."""
    return spec.embedding is not None and vocabulary is not None


def loss_picture(
    path: Path,
    config: Mapping[str, Any],
    losses: Sequence[float],
    final: dict[str, float] | None,
    looks: Sequence[tuple[int, float]] = (),
) -> Picture:
    """The loss of every step, that of whole splits, and that of looks at the validation split."""
    title = _title("Loss", config, len(losses))
    return Picture(path, "loss", {"losses": losses, "title": title, "final": final, "looks": looks})


def embeddings_picture(
    path: Path,
    config: Mapping[str, Any],
    spec: ModelSpec,
    model: nn.Module,
    vocabulary: Vocabulary | None,
    *,
    dims: tuple[int, int] = (0, 1),
    pca: bool = False,
) -> Picture:
    """The map of a model's embeddings.

    Raises:
        UsageError: the model has none that belong to characters.
        PluginError: the spec names a parameter that is not there, or not of shape (vocab_size, embedding_dim).
    """
    if spec.embedding is None or vocabulary is None:
        raise UsageError(f"model {spec.name!r} names no embeddings of characters, so there is no map to draw")
    given = {
        "table": _table(spec, model, len(vocabulary)).tolist(),
        "labels": list(vocabulary.itos),
        "title": _title("Embeddings", config, config["training"]["steps"]),
        "dims": dims,
        "pca": pca,
    }
    return Picture(path, "embeddings", given)


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
