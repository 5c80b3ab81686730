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

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import nn

Kind: TypeAlias = Literal["loss", "embeddings"]


@dataclass(frozen=True)
class Record:
    """What the plots of a run are made of.

    Attributes:
        config: as in `config.json`.
        embedding: the name of the embedding table; None of a model without one.
        model: with the weights that are kept.
        vocabulary: of a text model.
        step: that of these weights; None where it is not known.
        losses: of every step from 0.
        final: the losses of the splits for these weights; None of a run that has not ended.
        evaluations: pairs of step and validation loss.
        best: the step of these weights, where they are the best ones by an evaluation and not the last.
    """

    config: Mapping[str, Any]
    embedding: str | None
    model: nn.Module
    vocabulary: Vocabulary | None
    step: int | None
    losses: Sequence[float] = ()
    final: Mapping[str, float] | None = None
    evaluations: Sequence[tuple[int, float]] = ()
    best: int | None = None

    @property
    def has_embeddings(self) -> bool:
        """Whether the model has an embedding table to plot, with one row per character."""
        return self.embedding is not None and self.vocabulary is not None


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

    def draw(self, ax: Axes | None) -> Axes:
        """Draw it on matplotlib's axes, or on those of a new figure: see `zoo.plots.figures.style.drawing_on`.

        Raises:
            UsageError: it cannot be drawn, or not there.
        """
        figures = import_figures()
        draw = figures.draw_loss if self.kind == "loss" else figures.draw_embeddings
        axes: Axes = draw(ax, **self.arguments)
        return axes


def loss_plot(file: str, record: Record) -> Plot:
    """The loss of every step, the final loss of each split, and the validation loss of each evaluation."""
    arguments = {
        "losses": record.losses,
        "title": _title("Loss", record, len(record.losses)),
        "final": None if record.final is None else dict(record.final),
        "evaluations": record.evaluations,
        "unit": record.config.get("loss", {}).get("unit", "nats"),
        "best": record.best,
    }
    return Plot(file, "loss", arguments)


@in_neutral_state
def embeddings_plot(file: str, record: Record, *, dims: tuple[int, int] = (0, 1), pca: bool = False) -> Plot:
    """The map of a model's character embeddings.

    Raises:
        UsageError: the model has no character embeddings.
        PluginError: the spec names a missing parameter, or one that is not of shape (vocab_size, embedding_dim).
    """
    from zoo.training.history.snapshots import embedding_table  # torch: the plot worker does without

    name, vocabulary = record.config["model"]["name"], record.vocabulary
    if record.embedding is None or vocabulary is None:
        raise UsageError(f"model {name!r} has no character embeddings to plot")
    arguments = {
        "table": embedding_table(name, record.embedding, record.model, len(vocabulary)).tolist(),
        "labels": list(vocabulary.itos),
        "title": _title("Embeddings", record, record.step),
        "dims": dims,
        "pca": pca,
    }
    return Plot(file, "embeddings", arguments)


def _title(what: str, record: Record, steps: int | None) -> str:
    """What is shown, and after how many steps: the weights may be of another step than the last."""
    of = f"{what} of {record.config['model']['name']} on {Path(record.config['dataset']['name']).name}"
    if record.best is not None:
        done = f", {steps:,} steps" if steps is not None and steps != record.best else ""
        return f"{of}{done}, best weights: step {record.best:,}"
    return of if steps is None else f"{of}, {steps:,} step{'s' * (steps != 1)}"
