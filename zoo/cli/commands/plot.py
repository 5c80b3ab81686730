"""`zoo plot`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zoo import stages
from zoo.cli import output
from zoo.cli.options import PathFromPerson
from zoo.cli.state import State, debug_option, json_option, run_argument, shows_progress
from zoo.errors import CheckpointError, UsageError
from zoo.numbers import parse_whole, show_value
from zoo.text import shown

_KINDS = ("loss", "embeddings")


def _parse_dims(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    try:
        first, second = (parse_whole(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{show_value(value)} is not two integers, as in 0,1") from error
    return first, second


@click.command("plot")
@run_argument
@click.argument("kinds", nargs=-1, type=click.Choice(_KINDS), metavar="[loss] [embeddings]")
@click.option("--dims", callback=_parse_dims, metavar="I,J", help="The two embedding dimensions to plot; default 0,1.")
@click.option("--pca", is_flag=True, help="Plot the first two principal components instead.")
@click.option(
    "--format",
    "suffix",
    type=click.Choice(("png", "svg", "pdf")),
    default="png",
    show_default=True,
    help="The file format.",
)
@click.option(
    "--out",
    type=PathFromPerson(),
    metavar="DIR",
    help="The folder of the plots; by default that of the weights.",
)
@json_option
@debug_option
@click.pass_obj
@shows_progress
def command(
    state: State,
    run: str,
    kinds: tuple[str, ...],
    dims: tuple[int, int] | None,
    pca: bool,
    suffix: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Plot the loss, the embeddings, or both, of RUN.

    RUN is a run folder, a .safetensors file, or the name of a model with shipped weights.
    """
    if pca and dims:
        raise UsageError("--dims and --pca exclude each other")
    from zoo.files import from_person, kind_of, write_bytes
    from zoo.plots.plot import embeddings_plot, has_embeddings, loss_plot
    from zoo.storage.loading import load
    from zoo.storage.losses import VALIDATION_FILE, read_evaluations

    state.settle()
    loaded = load(run, state.registry)
    folder = out or (loaded.path.parent if from_person(run).exists() else Path())
    if kind_of(folder) in ("file", "other"):
        raise UsageError(f"--out {shown(folder)} is a file: name a folder")
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = loaded.checked.vocabulary
    paths = []
    for kind in kinds or _available(loaded.path, has_embeddings(loaded.entry.spec, vocabulary)):
        name = f"{kind}.{suffix}"
        if kind == "loss":
            evaluations = read_evaluations(loaded.path.parent / VALIDATION_FILE)
            plot = loss_plot(name, loaded.config, *_losses(loaded.path), evaluations)
        else:
            plot = embeddings_plot(
                name, loaded.config, loaded.entry.spec, loaded.model, vocabulary, dims=dims or (0, 1), pca=pca
            )
        with stages.within("Plotting"):
            write_bytes(folder / name, plot.render(folder))
        paths.append(str(folder / name))
    if as_json:
        output.json_object({"run": run, "pictures": paths})
    else:
        output.lines(*paths)


def _available(weights: Path, embeddings: bool) -> tuple[str, ...]:
    """The plots to make by default: a weights file outside a run folder has no losses."""
    losses = ("loss",) if (weights.parent / "losses.csv").is_file() else ()
    kinds = (*losses, "embeddings") if embeddings else losses
    if not kinds:
        raise UsageError(f"nothing to plot for {weights}: it has no losses.csv beside it and no embeddings in it")
    return kinds


def _losses(weights: Path) -> tuple[list[float], dict[str, float] | None]:
    """The losses of the run of these weights: of every step, and of each split if the run is finished."""
    from zoo.data.examples import SPLITS
    from zoo.files import parse_json, read_text
    from zoo.storage.losses import read_losses

    losses = read_losses(weights.parent / "losses.csv")
    try:
        metrics: Any = parse_json(read_text(weights.parent / "metrics.json"))
        splits = metrics.get("dataset", {}).get("examples", SPLITS)  # running text may be without a test split
        final = {str(name): float(metrics["losses"][name]) for name in SPLITS if name in splits}
    except FileNotFoundError:
        return losses, None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{weights.parent / 'metrics.json'} is damaged: {error!r}") from error
    return losses, final
