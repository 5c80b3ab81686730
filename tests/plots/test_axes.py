"""Plots on axes: the values that are drawn, whose style they have, where the legend stands; what stays as it was."""

from __future__ import annotations

import math
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
import numpy as np
import pytest
from conftest import Zoo
from forging import NET
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from numpy.typing import NDArray
from plot_settings import SETTINGS

import zoo
from zoo import UsageError
from zoo.plots.figures import draw_embeddings, draw_loss
from zoo.plots.plot import Plot
from zoo.runs.result import Run

LETTERS = "." + string.ascii_lowercase
TABLE: NDArray[np.float32] = np.random.default_rng(0).normal(size=(27, 10)).astype(np.float32)
LOSSES = [3 / (1 + step / 9) for step in range(60)]
LOSS: dict[str, Any] = {"losses": LOSSES, "title": "Loss of net", "final": {"train": 2.0, "val": 2.1}}
MAP: dict[str, Any] = {"table": TABLE, "labels": LETTERS, "title": "Embeddings of net"}
BOTH: list[tuple[Any, dict[str, Any]]] = [("loss", LOSS), ("embeddings", MAP)]
each_plot = pytest.mark.parametrize(("kind", "arguments"), BOTH, ids=["loss", "embeddings"])


@pytest.fixture(autouse=True)
def no_figures() -> Iterator[None]:
    plt.switch_backend("agg")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """One that has done its steps, and one that was stopped early; tests must not change them."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "words.txt").write_text("\n".join(a + b for a in "abeln" for b in "abeln"))
    options: dict[str, Any] = {"dataset": folder / "words.txt", "settings": NET, "device": "cpu", "plots": True}
    plain = zoo.run("mlp-char", steps=60, out=folder / "plain", **options)
    early = zoo.run("mlp-char", steps=6000, lr=30.0, validate_every=7, patience=3, out=folder / "early", **options)
    return plain, early


def content(axes: Any) -> list[Any]:
    """The values of all that is drawn, and all texts."""
    lines = [(line.get_label(), line.get_xdata(), line.get_ydata()) for line in axes.lines]
    dots = [np.asarray(dots.get_offsets()) for dots in axes.collections if isinstance(dots, PathCollection)]
    texts = [(text.get_text(), text.get_position()) for text in axes.texts]
    plain = [(label, np.asarray(x).tolist(), np.asarray(y).tolist()) for label, x, y in lines]
    return [plain, [some.tolist() for some in dots], texts, axes.get_title(loc="left"), legend_texts(axes)]


def legend_texts(axes: Any) -> list[str]:
    legend = axes.get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


def line(axes: Any, label: str) -> Any:
    [found] = [line for line in axes.lines if line.get_label() == label]
    return found


def pixels(axes: Any) -> NDArray[Any]:
    """The figure as it is drawn now, whatever its resolution is."""
    figure = axes.figure
    figure.set_dpi(60)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()


# Run and Loaded


@pytest.mark.parametrize("which", [0, 1])
def test_a_run_and_its_loaded_weights_have_the_same_plots(runs: tuple[Run, Run], which: int) -> None:
    run = runs[which]
    loaded = zoo.load(run.path)
    assert content(run.plot_loss()) == content(loaded.plot_loss())
    assert content(run.plot_embeddings(pca=True)) == content(loaded.plot_embeddings(pca=True))


def test_the_plots_have_the_values_of_the_run(runs: tuple[Run, Run]) -> None:
    run = runs[0]
    axes = run.plot_loss()
    np.testing.assert_allclose(line(axes, "each step").get_ydata(), np.log10(run.step_losses))
    np.testing.assert_allclose(line(axes, "loss").get_ydata(), np.log10(run.step_losses))
    assert axes.get_title(loc="left") == "Loss of mlp-char on words.txt, 60 steps"
    names = [f"{name} at the end: {run.losses[name]:.4f}" for name in ("train", "val")]
    assert legend_texts(axes) == ["each step", "loss", *names]
    assert line(axes, names[1]).get_ydata()[0] == pytest.approx(math.log10(run.losses["val"]))
    axes = run.plot_embeddings(dims=(1, 0))
    assert axes.get_title(loc="left") == "Embeddings of mlp-char on words.txt, 60 steps"
    places = {text.get_text(): text.get_position() for text in axes.texts}
    table = run.model.state_dict()["C"].numpy()
    np.testing.assert_allclose([places[c] for c in ".abeln"], table[:, [1, 0]], atol=0.2)


def test_a_run_that_stopped_early_says_which_steps_its_weights_have(runs: tuple[Run, Run]) -> None:
    run = runs[1]
    steps, best = run.metrics["steps"], run.metrics["best"]
    assert best["step"] < steps < 1000
    axes = run.plot_loss()
    assert (
        axes.get_title(loc="left") == f"Loss of mlp-char on words.txt, {steps} steps, best weights: step {best['step']}"
    )
    assert f"val, best weights (step {best['step']}): {best['loss']:.4f}" in legend_texts(axes)
    assert not [text for text in legend_texts(axes) if "at the end" in text]
    ring = line(axes, "_best")
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (best["step"], pytest.approx(math.log10(best["loss"])))
    assert list(line(axes, "validation").get_xdata()) == [step for step, _ in run.evaluations]
    title = run.plot_embeddings().get_title(loc="left")
    assert title == f"Embeddings of mlp-char on words.txt, best weights: step {best['step']}"


def test_weights_that_are_the_best_and_the_last_are_not_set_apart(words_file: Path) -> None:
    options: dict[str, Any] = {"dataset": words_file, "settings": NET, "device": "cpu", "plots": False}
    run = zoo.run("mlp-char", steps=14, validate_every=7, out="a", **options)
    assert run.metrics["best"]["step"] == 14
    for made in (run, zoo.load("a")):
        assert made.plot_loss().get_title(loc="left") == "Loss of mlp-char on words.txt, 14 steps"
        assert made.plot_embeddings().get_title(loc="left") == "Embeddings of mlp-char on words.txt, 14 steps"


def test_the_files_have_the_same_content_as_the_axes(runs: tuple[Run, Run], tmp_path: Path, zoo_here: Zoo) -> None:
    for run in runs:
        before = {name: (run.path / name).read_bytes() for name in ("loss.png", "embeddings.png")}
        assert zoo_here("plot", run.path, "--out", tmp_path / "plots").code == 0
        assert {name: (tmp_path / "plots" / name).read_bytes() for name in before} == before


def test_weights_alone_have_no_losses(runs: tuple[Run, Run], tmp_path: Path) -> None:
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes((runs[0].path / "model.safetensors").read_bytes())
    with pytest.raises(UsageError) as caught:
        zoo.load(alone).plot_loss()
    expected = f"no losses of {alone}: they are in losses.csv of its run folder, which is not there"
    assert str(caught.value) == expected
    assert zoo.load(alone).plot_embeddings().texts


def test_a_model_without_embeddings_says_so(words_file: Path) -> None:
    run = zoo.run("bigram", dataset=words_file, device="cpu", steps=2, out="a", plots=False)
    for made in (run, zoo.load("a")):
        with pytest.raises(UsageError, match="model 'bigram' has no character embeddings to plot"):
            made.plot_embeddings()


@pytest.mark.parametrize("dims", [(0, 5), (1, 1), (0,), 3, "01", (0.0, 1), (True, 1), None])
def test_dimensions_that_there_are_not_are_told_as_in_python(runs: tuple[Run, Run], dims: Any) -> None:
    with pytest.raises(UsageError, match=r"^dims ") as caught:
        runs[0].plot_embeddings(dims=dims)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ax", ["axes", 3, "figure", "polar", "3d", "list"])
def test_what_are_no_axes_of_two_dimensions_is_refused(ax: Any) -> None:
    figure = plt.figure()
    things = {"figure": figure, "list": [figure.add_subplot()]}
    given: Any = things.get(ax) or (figure.add_subplot(projection=ax) if ax in ("polar", "3d") else ax)
    for draw, arguments in ((draw_loss, LOSS), (draw_embeddings, MAP)):
        with pytest.raises(UsageError, match=r"^ax must be a matplotlib Axes of two dimensions, got "):
            draw(given, **arguments)


# Whose figure


@each_plot
def test_with_pyplot_it_is_one_new_figure_of_pyplots(kind: Any, arguments: dict[str, Any]) -> None:
    mine, _ = plt.subplots()
    axes = Plot("x", kind, arguments).draw(None)
    assert (plt.gcf(), len(plt.get_fignums())) == (axes.figure, 2)
    assert axes.figure is not mine


def test_a_backend_that_does_not_work_is_no_hindrance(monkeypatch: pytest.MonkeyPatch) -> None:
    def figure(**_: Any) -> None:
        raise ImportError("Cannot load backend 'QtAgg'")

    monkeypatch.setattr(plt, "figure", figure)
    axes = Plot("x", "loss", LOSS).draw(None)
    assert (plt.get_fignums(), pixels(axes).size > 0) == ([], True)


def test_without_pyplot_it_is_not_imported() -> None:
    script = (
        "import sys\nfrom zoo.plots.plot import Plot\n"
        "ax = Plot('x', 'loss', {'losses': [3.0, 2.0], 'title': 'Loss'}).draw(None)\n"
        "ax.set_title('mine')\nax.figure.savefig('loss.svg')\n"
        "assert 'matplotlib.pyplot' not in sys.modules and 'torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        env={"MPLBACKEND": "nonsense"},
    )
    assert done.returncode == 0, done.stderr
    assert Path("loss.svg").read_text().startswith("<?xml")


def test_a_notebook_shows_it_once() -> None:
    """In a kernel whose user has not imported pyplot; whatever the last line of the cell is."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    Path.home().mkdir()  # where IPython keeps its settings
    make = "from zoo.plots.plot import Plot\nplot = Plot('x', 'loss', {'losses': [3.0, 2.0], 'title': 'Loss'})\n"
    cells = [make + "ax = plot.draw(None)", "plot.draw(None)", "ax = plot.draw(None)\nax.set_ylim(0, 1);"]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(book, timeout=60, kernel_name="python3").execute()
    pictures = [[output for output in cell.outputs if "image/png" in output.get("data", {})] for cell in book.cells]
    assert [len(some) for some in pictures] == [1, 1, 1]


# Whose style


@pytest.fixture(scope="module")
def expected() -> dict[str, NDArray[Any]]:
    """Each plot on a figure of its own, under matplotlib's defaults."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.use("agg")
        return {str(kind): pixels(Plot("x", kind, arguments).draw(None)) for kind, arguments in BOTH}


# Each with one of the plots: their style is the same. The resolution is the caller's.
@pytest.mark.parametrize(
    ("name", "kind", "arguments"),
    [(name, *BOTH[number % 2]) for number, name in enumerate(sorted(SETTINGS)) if name != "resolution"],
)
def test_a_figure_of_its_own_has_zoos_style_also_when_it_is_shown(
    name: str, kind: Any, arguments: dict[str, Any], expected: dict[str, NDArray[Any]]
) -> None:
    with mpl.rc_context(cast("Any", SETTINGS[name])):
        before = dict(mpl.rcParams)
        axes = Plot("x", kind, arguments).draw(None)
        assert dict(mpl.rcParams) == before
        np.testing.assert_array_equal(pixels(axes), expected[kind])
    assert mpl.get_backend() == "agg"


@each_plot
def test_on_the_callers_axes_their_style_stays(kind: Any, arguments: dict[str, Any]) -> None:
    with plt.style.context("dark_background"):
        figure, (axes, other) = plt.subplots(1, 2)
        before = dict(mpl.rcParams)
        assert Plot("x", kind, arguments).draw(axes) is axes
        assert dict(mpl.rcParams) == before
        assert (axes.get_facecolor(), figure.get_facecolor()) == (other.get_facecolor(), (0, 0, 0, 1))
        title = axes.set_title(axes.get_title())
        assert (title.get_color(), title.get_fontsize()) == (other.title.get_color(), other.title.get_fontsize())
        assert axes.xaxis.label.get_color() == other.xaxis.label.get_color() == "white"
        figure.canvas.draw()
    assert len(plt.get_fignums()) == 1


@each_plot
@pytest.mark.parametrize("given", [False, True])
def test_a_title_of_the_callers_replaces_zoos(kind: Any, arguments: dict[str, Any], given: bool) -> None:
    axes = Plot("x", kind, arguments).draw(plt.subplots()[1] if given else None)
    assert axes.get_title() == arguments["title"]
    axes.set_title("mine")
    assert [axes.get_title(loc="left"), axes.get_title(loc="center")].count("") == 1
    assert axes.get_title() == "mine"


@each_plot
def test_no_text_of_zoos_is_given_to_latex(kind: Any, arguments: dict[str, Any]) -> None:
    with mpl.rc_context({"text.usetex": True}):
        _, axes = plt.subplots()
        Plot("x", kind, {**arguments, "title": "Loss of a_b & 100% $"}).draw(axes)
        legend = axes.get_legend()
        assert legend is not None
        texts = [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts, *legend.get_texts()]
        assert not any(text.get_usetex() for text in texts)


def test_several_runs_on_the_same_axes_have_colours_and_names(runs: tuple[Run, Run]) -> None:
    _, axes = plt.subplots(figsize=(8, 5))
    for run in (*runs, runs[0]):
        run.plot_loss(axes)
    curves: list[Any] = [line for line in axes.lines if str(line.get_gid()).startswith("zoo loss")]
    assert list(curves[0].get_ydata()) == pytest.approx(np.log10(runs[0].step_losses))
    assert len({str(curve.get_color()) for curve in curves}) == 3
    assert (axes.get_title(), legend_texts(axes)[0]) == ("Loss", "mlp-char on words.txt, 60 steps")
    assert (len(legend_texts(axes)), len(axes.child_axes)) == (3, 1)
    low, high = axes.get_ylim()
    assert all(low <= min(curve.get_ydata()) and max(curve.get_ydata()) <= high for curve in curves)
    with pytest.raises(UsageError, match="plotted in another way or unit"):
        draw_loss(axes, losses=[-1.0], title="Loss")


# The legend


def spikes(count: int) -> list[float]:
    return [2.0 + 5.0 * (step % 7 == 0) for step in range(count)]


CURVES: dict[str, list[float]] = {
    "falls": [3 / (1 + step / 30) for step in range(300)],
    "rises": [1 + step / 30 for step in range(300)],
    "flat": [2.5] * 300,
    "spikes": spikes(300),
    "diverges": [2.0] * 290 + [10.0**power for power in range(10)],
    "falls and rises": [1 + ((step - 150) / 50) ** 2 for step in range(300)],
    "rises and falls": [12 - ((step - 150) / 50) ** 2 for step in range(300)],
    "below zero": [-1.0 * step for step in range(300)],
    "long": (np.random.default_rng(0).random(200_000) + 2).tolist(),
    **{f"{count} steps": spikes(count) for count in (1, 2, 3, 10)},
}


def covered(axes: Any) -> float:
    """How many pixels of lines and dots are within the box of the legend, each line walked in small steps."""
    axes.figure.draw_without_rendering()
    legend = axes.get_legend()
    assert legend is not None
    box, inside = legend.get_window_extent(), 0
    for one in axes.lines:
        points = one.get_transform().transform(np.column_stack([one.get_xdata(orig=False), one.get_ydata(orig=False)]))
        if one.get_linestyle() != "None" and len(points) > 1:
            at = np.linspace(0, len(points) - 1, 50_000)
            points = np.column_stack([np.interp(at, range(len(points)), column) for column in points.T])
        inside += int(((points > box.min) & (points < box.max)).all(axis=1).sum())
    for dots in axes.collections:
        if isinstance(dots, PathCollection):
            points = dots.get_offset_transform().transform(np.asarray(dots.get_offsets()))
            inside += int(((points > box.min - 5) & (points < box.max + 5)).all(axis=1).sum())
    return inside


def assert_within(axes: Any) -> None:
    """The legend is within the figure, and on none of its texts."""
    figure = axes.figure
    legend = axes.get_legend()
    assert legend is not None
    box = legend.get_window_extent()
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
    assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1
    labels = [axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels()]
    assert not any(box.overlaps(label.get_window_extent()) for label in labels if label.get_text())


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("whose", ["own", "callers", "small"])
def test_the_legend_covers_no_loss(name: str, whose: str) -> None:
    losses = CURVES[name]
    ax = None if whose == "own" else plt.subplots(figsize=(4, 3) if whose == "small" else (8, 5))[1]
    evaluations = [(step, losses[step]) for step in range(0, len(losses), max(1, len(losses) // 9))]
    axes = draw_loss(
        ax, losses=losses, title="Loss", final={"train": losses[-1], "val": losses[0]}, evaluations=evaluations
    )
    assert covered(axes) == 0
    if whose != "small":
        assert_within(axes)


@pytest.mark.parametrize("labels", [LETTERS, ".aeéxçAXÉÇ1' ", "".join(map(chr, range(0x4E00, 0x4E00 + 120)))])
@pytest.mark.parametrize("own", [True, False])
def test_the_legend_covers_no_character(labels: str, own: bool) -> None:
    table = np.random.default_rng(1).normal(size=(len(labels), 2))
    ax = None if own else plt.subplots(figsize=(8, 6))[1]
    axes = draw_embeddings(ax, table=table, labels=list(labels), title="Map")
    assert covered(axes) == 0
    assert_within(axes)


def test_what_zoom_shows_has_ticks_on_the_right() -> None:
    axes = draw_loss(None, **LOSS)
    axes.set_ylim(0.1, 0.2)
    [right] = axes.child_axes
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    shown = [tick for tick in right.yaxis.get_majorticklocs() if 10**0.1 < tick < 10**0.2]
    assert len(shown) >= 2
