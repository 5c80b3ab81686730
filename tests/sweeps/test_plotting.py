"""From a sweep's folder to what its plot shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Zoo

import zoo
from zoo.plots.figures import plot_population
from zoo.plots.population import Population
from zoo.storage.losses import read_losses
from zoo.sweeps.results import plotting
from zoo.sweeps.results.plotting import plot_sweep, population_of
from zoo.sweeps.results.sweep import Sweep
from zoo.sweeps.sheet import read_sheet, read_sweep

OPTIONS: dict[str, Any] = {"steps": 90, "device": "cpu", "jobs": 1, "settings": {"model.hidden_size": 4}}


def swept(**given: Any) -> Sweep:
    return zoo.sweep("mlp-char", dataset="words.txt", **{**OPTIONS, **given})


def shown(sweep: Sweep, **more: Any) -> Population:
    return population_of(sweep.path, sweep.rows, {**read_sweep(sweep.path), **more})


@pytest.fixture(autouse=True)
def words_here(few_words: Path) -> None:
    """The data of all of these sweeps."""


def test_a_grid_has_a_group_for_each_setting_with_its_results_and_curves() -> None:
    sweep = swept(lr=[0.1, 0.3], seeds=2)
    population = shown(sweep)
    assert (population.view, population.names) == ("settings", ["lr"])
    assert population.title == "mlp-char on words.txt: 2 settings, 2 seeds each"
    assert population.measure == "validation loss (nats)"
    assert [group.values for group in population.groups] == [[0.1], [0.3]]
    assert population.groups[0].results == [row.losses["val"] for row in sweep.rows if row.settings["lr"] == 0.1]
    first = [read_losses(sweep.path / f"{member:04}" / "losses.csv") for member in (1, 3)]
    band = population.bands[0]
    assert (band.name, band.seeds, len(band.steps)) == ("lr 0.1", 2, 45)  # each point of two steps
    assert band.steps[:2] == [1.0, 3.0]
    assert band.means[0] == pytest.approx(sum(losses[0] + losses[1] for losses in first) / 4)


def test_the_folder_alone_gives_the_same_plot() -> None:
    sweep = swept(lr=[0.1, 0.3], optimizer=["sgd", "adamw"], seeds=2)
    assert population_of(sweep.path, read_sheet(sweep.path / "sweep.csv"), read_sweep(sweep.path)) == shown(sweep)
    assert plot_sweep(sweep.path) == (sweep.path / "sweep.png").read_bytes()


def test_the_figure_of_a_sweep_can_be_changed_and_written() -> None:
    sweep = swept(lr=[0.1, 0.3], seeds=2)
    figure = sweep.plot()
    assert [axes.get_xlabel() for axes in figure.axes] == ["lr", "step"]
    figure.savefig("before.png", dpi=140)
    assert Path("before.png").read_bytes() == plot_population(shown(sweep))
    figure.axes[0].set_ylim(0, 9)
    figure.savefig("after.png", dpi=140)
    assert Path("after.png").read_bytes() != Path("before.png").read_bytes()


def test_members_that_diverged_are_counted() -> None:
    population = shown(swept(lr=[0.1, 1e30], seeds=2))
    assert [(len(group.results), group.lost, group.failed) for group in population.groups] == [(2, 0, 0), (0, 2, 0)]
    assert [band.name for band in population.bands] == ["lr 0.1"]


def test_without_losses_of_members_there_are_no_curves() -> None:
    population = shown(swept(lr=[0.1, 0.3], seeds=1, keep="none"))
    assert len(population.groups) == 2
    assert not population.bands


def test_of_many_settings_the_best_have_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plotting, "_MOST_BANDS", 2)
    sweep = swept(lr=[0.1, 0.2, 0.3], seeds=1)
    best = sorted(sweep.rows, key=lambda row: row.losses["val"])[:2]
    assert {band.name for band in shown(sweep).bands} == {f"lr {row.settings['lr']}" for row in best}


def test_kinds_of_sweeps_have_views_of_their_own() -> None:
    search = shown(swept(search="halving", trials=3, lr="0.01..1"))
    assert (search.view, search.shading, len(search.groups)) == ("trials", "those with more steps darker", 3)
    assert [group.steps for group in search.groups] == [30, 30, 90]
    rates = swept(find_lr=True, lr="0.01..1", seeds=1)
    assert (shown(rates).view, shown(rates).suggestion) == ("rates", read_sweep(rates.path)["find_lr"]["suggestion"])
    ladder = shown(swept(ladder=3, settings={"model.hidden_size": 8}, seeds=1))
    assert (ladder.view, ladder.names) == ("ladder", ["model.hidden_size"])
    assert all(len(band.seconds) == 45 for band in ladder.bands)
    assert ladder.groups[0].parameters is not None


def test_a_metric_that_decides_is_what_is_plotted() -> None:
    sweep = swept(lr=[0.1, 0.3], seeds=1, monitor="bits_per_character", validate_every=30)
    population = shown(sweep)
    assert (population.measure, population.higher) == ("validation bits_per_character", False)
    assert population.groups[0].results == [sweep.rows[0].metrics["val"]["bits_per_character"]]


def test_a_plot_that_fails_costs_a_warning(monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder) -> None:
    def fail(*_: Any, **__: Any) -> bytes:
        raise RuntimeError("no backend")

    monkeypatch.setattr(plotting, "plot_population", fail)
    with pytest.warns(UserWarning, match=r"sweep.png was not made: no backend"):
        sweep = swept(seeds=1)
    assert read_sweep(sweep.path)["finished"] is True


@pytest.mark.usefixtures("drawn")
def test_zoo_plot_makes_it_again_in_any_format(zoo_here: Zoo, tmp_path: Path) -> None:
    sweep = swept(lr=[0.1, 0.3], seeds=2)
    before = (sweep.path / "sweep.png").read_bytes()
    (sweep.path / "sweep.png").unlink()
    done = zoo_here("plot", sweep.path)
    assert (done.code, done.out.strip(), done.err) == (0, str(sweep.path / "sweep.png"), "")
    assert (sweep.path / "sweep.png").read_bytes() == before
    done = zoo_here("plot", sweep.path, "--format", "svg", "--out", tmp_path / "plots", "--json")
    assert json.loads(done.out)["pictures"] == [str(tmp_path / "plots" / "sweep.svg")]
    wrong = zoo_here("plot", sweep.path, "loss")
    assert (wrong.code, wrong.err) == (
        2,
        f"zoo: error: {sweep.path} is a sweep, which has one plot: leave out loss\n",
    )


def test_without_plots_there_is_none() -> None:
    assert not (swept(seeds=1, plots=False).path / "sweep.png").exists()
