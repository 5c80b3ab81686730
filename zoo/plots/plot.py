"""The plots of a run and their content. `zoo.plots.figures` draws them with matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from zoo.ambient import in_neutral_state
from zoo.data.vocabulary import Vocabulary
from zoo.errors import UsageError
from zoo.plots.importing import import_figures
from zoo.plugin.specs import ModelSpec

if TYPE_CHECKING:
    from torch import nn

Kind: TypeAlias = Literal["loss", "embeddings"]


@dataclass(frozen=True)
class Plot:
    """One plot, not yet drawn.

    Attributes:
        name: of its file; the suffix is the format.
        kind: what it shows.
        arguments: of `zoo.plots.figures.plot_loss` or `plot_embeddings`; all of them can be written as JSON.
    """

    name: str
    kind: Kind
    arguments: Mapping[str, Any]

    @property
    def size(self) -> int:
        """The number of values that it shows."""
        return len(self.arguments["losses"]) if self.kind == "loss" else sum(map(len, self.arguments["table"]))

    def render(self, scratch: Path | None = None) -> bytes:
        """Draw it: the content of its file, which the caller writes.

        Args:
            scratch: a folder that can be written, for what matplotlib keeps on disk if it has no other place.

        Raises:
            Exception: the errors of the function in `zoo.plots.figures`, and whatever matplotlib raises.
        """
        figures = import_figures(scratch)
        draw = figures.plot_loss if self.kind == "loss" else figures.plot_embeddings
        content: bytes = draw(**self.arguments, file_format=Path(self.name).suffix.lstrip(".").lower())
        return content


def has_embeddings(spec: ModelSpec, vocabulary: Vocabulary | None) -> bool:
    """Whether a model has an embedding table to plot, with one row per character."""
    return spec.embedding is not None and vocabulary is not None


def loss_plot(
    name: str,
    config: Mapping[str, Any],
    losses: Sequence[float],
    final: Mapping[str, float] | None,
    evaluations: Sequence[tuple[int, float]] = (),
) -> Plot:
    """The loss of every step, the final loss of each split, and the validation loss of each evaluation."""
    arguments = {
        "losses": losses,
        "title": _title("Loss", config, len(losses)),
        "final": None if final is None else dict(final),
        "evaluations": evaluations,
        "unit": config.get("loss", {}).get("unit", "nats"),
    }
    return Plot(name, "loss", arguments)


@in_neutral_state
def embeddings_plot(
    name: str,
    config: Mapping[str, Any],
    spec: ModelSpec,
    model: nn.Module,
    vocabulary: Vocabulary | None,
    *,
    dims: tuple[int, int] = (0, 1),
    pca: bool = False,
) -> Plot:
    """The map of a model's character embeddings.

    Raises:
        UsageError: the model has no character embeddings.
        PluginError: the spec names a missing parameter, or one that is not of shape (vocab_size, embedding_dim).
    """
    from zoo.training.history.snapshots import embedding_table  # torch: the plot worker does without

    if spec.embedding is None or vocabulary is None:
        raise UsageError(f"model {spec.name!r} has no character embeddings to plot")
    arguments = {
        "table": embedding_table(spec, model, len(vocabulary)).tolist(),
        "labels": list(vocabulary.itos),
        "title": _title("Embeddings", config, config["training"]["steps"]),
        "dims": dims,
        "pca": pca,
    }
    return Plot(name, "embeddings", arguments)


def _title(what: str, config: Mapping[str, Any], steps: int) -> str:
    return f"{what} of {config['model']['name']} on {Path(config['dataset']['name']).name}, {steps:,} steps"
