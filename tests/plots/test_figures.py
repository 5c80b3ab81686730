"""The two plots of a run."""

from __future__ import annotations

import math
import string
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from zoo import UsageError
from zoo.plots.figures import FORMATS, plot_embeddings, plot_loss

MAGIC = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml", "pdf": b"%PDF-"}
LABELS = "." + string.ascii_lowercase
TABLE: NDArray[np.float32] = np.random.default_rng(0).normal(size=(27, 10)).astype(np.float32)
LOSSES = [27 / (1 + step / 50) + 0.3 * math.sin(step) for step in range(700)]

each_format = pytest.mark.parametrize("kind", FORMATS)


def loss_curve(**options: Any) -> bytes:
    return plot_loss(LOSSES, "Loss", {"train": 2.1, "val": 2.2, "test": 2.3}, **options)


def embedding_map(**options: Any) -> bytes:
    return plot_embeddings(TABLE, LABELS, "Embeddings", **options)


each_plot = pytest.mark.parametrize("make_plot", [loss_curve, embedding_map])
MakePlot = Callable[..., bytes]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved; no files are written."""
    saved: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: saved.append(self))
    return saved


def texts(figure: Figure) -> dict[str, tuple[float, float]]:
    return {text.get_text(): text.get_position() for text in figure.axes[0].texts}


def lines(figure: Figure) -> dict[str, Any]:
    return {str(line.get_label()): line for line in figure.axes[0].lines}


# Files


@each_plot
@each_format
def test_the_content_is_in_the_format(make_plot: MakePlot, kind: str) -> None:
    content = make_plot(file_format=kind)
    assert (content[: len(MAGIC[kind])], len(content) > 5000) == (MAGIC[kind], True)


@each_plot
@each_format
def test_the_same_values_give_the_same_bytes_at_any_time(
    make_plot: MakePlot, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")  # the time for matplotlib
    one = make_plot(file_format=kind)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    assert make_plot(file_format=kind) == one


def test_other_values_give_other_bytes() -> None:
    assert plot_embeddings(TABLE, LABELS, "Embeddings") != plot_embeddings(-TABLE, LABELS, "Embeddings")


@each_plot
@pytest.mark.parametrize("kind", ["jpg", "", "txt", "PNG"])
def test_another_format_is_refused_with_the_known_ones(make_plot: MakePlot, kind: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_plot(file_format=kind)
    assert str(caught.value) == f"a plot is a png, svg, pdf file, not {kind!r}"


def test_pyplot_is_never_imported() -> None:
    script = (
        "import sys, numpy as np\nfrom zoo.plots.figures import plot_embeddings, plot_loss\n"
        "plot_loss([3.0, 2.0], 'Loss')\n"
        "plot_embeddings(np.eye(3, dtype=np.float32), '.ab', 'Map', file_format='svg')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-P", "-W", "error", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# The loss


def test_every_loss_is_a_point_at_its_log10(figures: list[Figure]) -> None:
    plot_loss([100.0, 10.0, 1.0], "Loss")
    points = lines(figures[0])["each step"]
    assert (list(points.get_xdata()), list(points.get_ydata())) == ([0, 1, 2], [2.0, 1.0, 0.0])


def test_the_curve_is_a_running_mean_of_full_windows(figures: list[Figure]) -> None:
    plot_loss(LOSSES, "Loss")
    curve = lines(figures[0])["mean of 7 steps"]
    logs = np.log10(LOSSES)
    np.testing.assert_allclose(curve.get_ydata(), np.convolve(logs, np.ones(7) / 7, mode="valid"), atol=1e-12)
    assert (curve.get_xdata()[0], curve.get_xdata()[-1]) == (3, 696)


def test_a_long_run_is_thinned(figures: list[Figure]) -> None:
    plot_loss([1.0 + 1 / (step + 1) for step in range(200_000)], "Loss")
    assert 5_000 < len(lines(figures[0])["each step"].get_xdata()) <= 20_000


def test_the_final_losses_are_marked(figures: list[Figure]) -> None:
    plot_loss(LOSSES, "Loss", {"train": 2.1245, "val": 2.1682})
    assert {"train at the end: 2.1245", "val at the end: 2.1682"} <= lines(figures[0]).keys()
    assert lines(figures[0])["train at the end: 2.1245"].get_ydata()[0] == pytest.approx(math.log10(2.1245))


def test_the_axes_have_labels(figures: list[Figure]) -> None:
    plot_loss(LOSSES, "Loss of mlp-char")
    axes = figures[0].axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title(loc="left")) == (
        "step",
        "log10(loss)",
        "Loss of mlp-char",
    )


@pytest.mark.parametrize(
    "losses",
    [[2.5], [2.5, 2.5, 2.5], [0.0, 0.0], [3.0] * 99 + [0.0], [1e-45, 3.4e38]],
    ids=["one", "constant", "zero", "a zero at the end", "extreme"],
)
def test_unusual_losses_are_plotted(losses: list[float]) -> None:
    assert plot_loss(losses, "Loss", {"train": 0.0, "val": losses[-1]}).startswith(MAGIC["png"])


def test_no_losses_are_an_error() -> None:
    with pytest.raises(UsageError, match="there are no losses to plot"):
        plot_loss([], "Loss")


@each_format
def test_a_title_is_not_parsed_as_a_formula(kind: Any) -> None:
    assert plot_loss([2.0, 1.0], "Loss on $}$.txt", file_format=kind).startswith(MAGIC[kind])


@pytest.mark.parametrize("title", ["$x$ and $\\frac$", "$ a_b^c", "100 % {} \\alpha"])
def test_a_title_of_the_embeddings_is_not_parsed_as_a_formula(title: str) -> None:
    assert plot_embeddings(TABLE[:3], "abc", title)


def test_a_title_in_a_script_that_the_font_lacks_gives_no_warning() -> None:
    assert plot_loss([2.0, 1.0], "Loss on さくら.txt")


# The map


def test_there_is_one_label_for_each_character(figures: list[Figure]) -> None:
    plot_embeddings(TABLE, LABELS, "Embeddings")
    assert sorted(texts(figures[0])) == sorted(LABELS)
    assert len(figures[0].axes[0].texts) == 27


SPARSE = np.array([[0, 0, 5], [4, 0, 1], [0, 3, 2], [4, 3, 9], [2, 9, 7]], dtype=np.float32)


@pytest.mark.parametrize("dims", [(0, 1), (1, 0), (2, 0), (1, 2)])
def test_each_label_is_at_its_two_dimensions(figures: list[Figure], dims: tuple[int, int]) -> None:
    plot_embeddings(SPARSE, ".abcd", "Embeddings", dims=dims)
    np.testing.assert_allclose(list(texts(figures[0]).values()), SPARSE[:, list(dims)], atol=1e-3)


def test_the_axes_of_the_embeddings_name_their_dimensions(figures: list[Figure]) -> None:
    plot_embeddings(TABLE, LABELS, "Embeddings", dims=(3, 7))
    axes = figures[0].axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("dimension 3", "dimension 7")


def test_labels_of_equal_embeddings_do_not_cover_each_other(figures: list[Figure]) -> None:
    plot_embeddings(np.zeros((5, 2), dtype=np.float32), ".abcd", "Embeddings")
    figure = figures[0]
    places = figure.axes[0].transData.transform(list(texts(figure).values()))
    gaps = np.linalg.norm(places[:, None] - places[None], axis=2)[np.triu_indices(5, 1)]
    assert gaps.min() > 10


@pytest.mark.parametrize("dims", [(0, 10), (-1, 0), (3, 3), (10, 11), (0, -10)])
def test_invalid_dimensions_are_refused_with_the_valid_range(dims: tuple[int, int]) -> None:
    with pytest.raises(UsageError) as caught:
        plot_embeddings(TABLE, LABELS, "Embeddings", dims=dims)
    assert str(caught.value) == f"dims takes two different dimensions from 0 to 9, got {dims[0]},{dims[1]}"


@pytest.mark.parametrize("pca", [False, True])
def test_one_dimension_cannot_be_plotted(pca: bool) -> None:
    with pytest.raises(UsageError, match="a plot of embeddings needs at least 2 dimensions, and this table has 1"):
        plot_embeddings(TABLE[:, :1], LABELS, "Embeddings", pca=pca)


# Principal components


def principal(table: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores on the first two eigenvectors of the covariance, their signs open, and the shares of the variance."""
    centred = table.astype(np.float64) - table.astype(np.float64).mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    return centred @ vectors[:, [-1, -2]], values[[-1, -2]] / values.sum()


def test_principal_components_are_the_eigenvectors_of_the_covariance(figures: list[Figure]) -> None:
    plot_embeddings(SPARSE, ".abcd", "Embeddings", pca=True)
    places = np.array(list(texts(figures[0]).values()))
    scores, _ = principal(SPARSE)
    signs = np.sign((places * scores).sum(axis=0))
    np.testing.assert_allclose(places, scores * signs, atol=2e-3)


def test_the_farthest_label_of_each_component_is_on_its_positive_side(figures: list[Figure]) -> None:
    for table in (SPARSE, -SPARSE):
        plot_embeddings(table, ".abcd", "Embeddings", pca=True)
    ours, mirrored = (np.array(list(texts(figure).values())) for figure in figures)
    assert (ours[np.abs(ours).argmax(axis=0), [0, 1]] > 0).all()
    np.testing.assert_allclose(ours, mirrored, atol=1e-2)


def test_the_axes_say_how_much_of_the_variance_they_show(figures: list[Figure]) -> None:
    plot_embeddings(TABLE, LABELS, "Embeddings", pca=True)
    _, shares = principal(TABLE)
    axes = figures[0].axes[0]
    assert [axes.get_xlabel(), axes.get_ylabel()] == [
        f"principal component {i + 1} ({share:.0%} of the variance)" for i, share in enumerate(shares)
    ]


def test_equal_embeddings_can_be_plotted() -> None:
    assert plot_embeddings(np.ones((4, 3), dtype=np.float32), ".abc", "Embeddings", pca=True)


# Characters


@pytest.mark.parametrize(
    "labels",
    [
        ".абвгд",
        ".あ名漢😀",
        ".אבגד",
        ".ابتث",
        ".कखगघ",
        ".কখগ",
        ".กขค",
        ".தமி",
        ".ሀለሐ",
        ".\x00\x0c\t\u2028",
        ".'- $",
        "$\\{}_^%&#",
        ".\u0301\u200d\u200f\ufeff",
        ".\U0010ffff\ue000",
    ],
    ids=ascii,
)
def test_characters_of_any_script_give_no_warning(labels: str) -> None:
    table = TABLE[: len(labels)]
    assert plot_embeddings(table, labels, "Embeddings").startswith(MAGIC["png"])


@pytest.mark.parametrize("kind", ["svg", "pdf"])
def test_characters_that_the_font_lacks_can_be_plotted_in_the_other_formats(kind: Any) -> None:
    content = plot_embeddings(TABLE[:5], ".あ名😀क", "Embeddings", file_format=kind)
    assert content.startswith(MAGIC[kind])


def test_a_large_vocabulary_has_all_its_labels(figures: list[Figure]) -> None:
    labels = [chr(0x4E00 + i) for i in range(600)]
    table = np.random.default_rng(1).normal(size=(600, 2)).astype(np.float32)
    plot_embeddings(table, labels, "Embeddings")
    assert len(texts(figures[0])) == 600


@pytest.mark.parametrize(
    ("labels", "legend"),
    [
        (LABELS, ["vowels", "other letters", "start and end (.)", "q"]),
        (".bcd", ["characters", "start and end (.)"]),
        (".жзя", ["characters", "start and end (.)"]),
    ],
)
def test_the_legend_has_the_kinds_of_characters_there_are(
    figures: list[Figure], labels: str, legend: list[str]
) -> None:
    plot_embeddings(TABLE[: len(labels)], labels, "Embeddings")
    shown = figures[0].axes[0].get_legend()
    assert shown is not None
    assert [text.get_text() for text in shown.get_texts()] == legend


def test_losses_outside_the_range_of_the_steps_are_visible(figures: list[Figure]) -> None:
    """With dropout, the loss of a split is often below that of every step."""
    plot_loss([2.5, 2.4, 2.3], "Loss", {"train": 1.9, "val": 2.0}, [(1, 2.6), (2, 2.7)])
    low, high = figures[0].axes[0].get_ylim()
    assert low < math.log10(1.9) < math.log10(2.7) < high


@pytest.mark.parametrize("losses", [[5e7, 6e6, 7e8], [3.0, 2.0], [1e-7, 2e-7], [1e-30, 1e30], [2.2e6, 2.3e6]])
def test_losses_of_any_size_have_ticks_on_the_right(figures: list[Figure], losses: list[float]) -> None:
    plot_loss(losses, "Loss", {})
    [right] = figures[0].axes[0].child_axes
    ticks = right.yaxis.get_major_locator().tick_values(0, 1)
    assert 1 <= len(ticks) <= 17


@pytest.mark.filterwarnings("error")
@each_format
@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("unit", ["$\\nope$", "US$ per m$^2", "x" * 100_000, "\x1b[31m\0\n", "\udcff"])
def test_the_unit_of_a_loss_may_be_any_text(unit: str, linear: bool, kind: Any) -> None:
    losses = [loss - 20 * linear for loss in LOSSES]
    assert plot_loss(losses, "Loss", unit=unit, file_format=kind).startswith(MAGIC[kind])
