"""`zoo plot`."""

from __future__ import annotations

from pathlib import Path

import click

from zoo import stages
from zoo.cli import output
from zoo.cli.options import PathFromPerson
from zoo.cli.state import State, debug_option, json_option, run_argument, shows_progress
from zoo.errors import UsageError
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

    RUN is a run folder, a .safetensors file, or the name of a model with shipped weights; or the folder of a sweep,
    which has a plot of its own.
    """
    if (sweep := sweep_of(run)) is not None:
        if kinds or dims or pca:
            raise UsageError(f"{run} is a sweep, which has one plot: leave out {' '.join(kinds) or '--dims and --pca'}")
        paths = [_plot_sweep(sweep, out or sweep, suffix)]
        _tell(run, paths, as_json=as_json)
        return
    if pca and dims:
        raise UsageError("--dims and --pca exclude each other")
    from zoo.files import from_person, write_bytes
    from zoo.plots.plot import embeddings_plot, loss_plot
    from zoo.storage.history.record import with_losses
    from zoo.storage.loading import load

    state.settle()
    loaded = load(run, state.registry)
    folder = out or (loaded.path.parent if from_person(run).exists() else Path())
    _make_folder(folder)
    record = loaded.record(losses=False)
    paths = []
    for kind in kinds or _available(loaded.path, record.has_embeddings):
        name = f"{kind}.{suffix}"
        if kind == "loss":
            plot = loss_plot(name, with_losses(record, loaded.path))
        else:
            plot = embeddings_plot(name, record, dims=dims or (0, 1), pca=pca)
        with stages.within("Plotting"):
            write_bytes(folder / name, plot.render(folder))
        paths.append(str(folder / name))
    _tell(run, paths, as_json=as_json)


def _tell(run: str, paths: list[str], *, as_json: bool) -> None:
    if as_json:
        output.json_object({"run": run, "pictures": paths})
    else:
        output.lines(*paths)


def sweep_of(run: str) -> Path | None:
    """The folder of a sweep that a person named; None where it is none."""
    from zoo.files import from_person
    from zoo.sweeps.sheet import is_sweep

    path = from_person(run)
    return path if is_sweep(path) else None


def _plot_sweep(sweep: Path, folder: Path, suffix: str) -> str:
    """Write the plot of a sweep; its path."""
    from zoo.files import write_bytes
    from zoo.sweeps.results.plotting import plot_sweep

    _make_folder(folder)
    path = folder / f"sweep.{suffix}"
    with stages.within("Plotting"):
        write_bytes(path, plot_sweep(sweep, suffix))
    return str(path)


def _make_folder(folder: Path) -> None:
    from zoo.files import kind_of

    if kind_of(folder) in ("file", "other"):
        raise UsageError(f"--out {shown(folder)} is a file: name a folder")
    folder.mkdir(parents=True, exist_ok=True)


def _available(weights: Path, embeddings: bool) -> tuple[str, ...]:
    """The plots to make by default: a weights file outside a run folder has no losses."""
    from zoo.storage.history.record import has_losses

    losses = ("loss",) if has_losses(weights) else ()
    kinds = (*losses, "embeddings") if embeddings else losses
    if not kinds:
        raise UsageError(f"nothing to plot for {weights}: it has no losses.csv beside it and no embeddings in it")
    return kinds
