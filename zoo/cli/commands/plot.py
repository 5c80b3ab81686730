"""`zoo plot`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zoo.cli.state import State, debug_option, json_option, print_json, run_argument
from zoo.errors import CheckpointError, UsageError

_KINDS = ("loss", "embeddings")


def _parse_dims(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    try:
        first, second = (int(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not two numbers, as in 0,1") from error
    return first, second


@click.command("plot")
@run_argument
@click.argument("kinds", nargs=-1, type=click.Choice(_KINDS), metavar="[loss] [embeddings]")
@click.option("--dims", callback=_parse_dims, metavar="I,J", help="Which two embedding dimensions; default 0,1.")
@click.option("--pca", is_flag=True, help="The first two principal components instead.")
@click.option("--format", "kind", type=click.Choice(("png", "svg", "pdf")), default="png", show_default=True)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the pictures go; by default beside the weights.",
)
@json_option
@debug_option
@click.pass_obj
def command(
    state: State,
    run: str,
    kinds: tuple[str, ...],
    dims: tuple[int, int] | None,
    pca: bool,
    kind: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Draw the loss, the embeddings, or both, of RUN.

    RUN is a run folder, a .safetensors file, or the name of a model that comes with weights.
    """
    if pca and dims:
        raise UsageError("--dims and --pca exclude each other")
    from zoo.plots import plot as pictures
    from zoo.storage.folder import VALIDATION_FILE, read_looks
    from zoo.storage.loading import load

    loaded = load(run, state.registry)
    folder = out or (loaded.path.parent if Path(run).exists() else Path())
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = loaded.checked.vocabulary
    wanted = kinds or _available(loaded.path, pictures.has_embeddings(loaded.entry.spec, vocabulary))
    drawn = []
    for name in wanted:
        path = folder / f"{name}.{kind}"
        if name == "loss":
            looks = read_looks(loaded.path.parent / VALIDATION_FILE)
            picture = pictures.loss_picture(path, loaded.config, *_losses(loaded.path), looks)
        else:
            picture = pictures.embeddings_picture(
                path, loaded.config, loaded.entry.spec, loaded.model, vocabulary, dims=dims or (0, 1), pca=pca
            )
        picture.draw()
        drawn.append(str(path))
    if as_json:
        print_json({"run": run, "pictures": drawn})
    else:
        click.echo("\n".join(drawn))


def _available(weights: Path, embeddings: bool) -> tuple[str, ...]:
    """What can be drawn when nobody said: a lone file of weights has no losses beside it."""
    losses = ("loss",) if (weights.parent / "losses.csv").is_file() else ()
    found = (*losses, "embeddings") if embeddings else losses
    if not found:
        raise UsageError(f"there is nothing to draw for {weights}: no losses.csv beside it, and no embeddings in it")
    return found


def _losses(weights: Path) -> tuple[list[float], dict[str, float] | None]:
    """The losses of the run that the weights belong to: of every step, and of whole splits if it was finished."""
    from zoo.files import parse_json, read_text
    from zoo.storage.folder import read_losses

    losses = read_losses(weights.parent / "losses.csv")
    try:
        metrics: Any = parse_json(read_text(weights.parent / "metrics.json"))
        final = {name: float(metrics["losses"][name]) for name in ("train", "val", "test")}
    except FileNotFoundError:
        return losses, None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{weights.parent / 'metrics.json'} is damaged: {error!r}") from error
    return losses, final
