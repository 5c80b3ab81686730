"""The plot of `hundred_machines.md`."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from page import SHORT, Figures
from simulation import same_batch

MACHINES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
MEMBERS = 20_000  # fewer than on the page, which change the ends of the lines alone
STYLES = ("-", "--")
COLOURS = ("#0072b2", "#d55e00", "#009e73")  # of Okabe and Ito, told apart with any kind of colour vision


def draw(figures: Figures, path: Path) -> None:
    """Data parallelism with the batch of the preset, and a sweep, both over the number of machines."""
    figure = Figure(figsize=(9.5, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    data_parallel(figures, left)
    population(figures, right)
    figure.savefig(path, dpi=90, metadata={"Software": None})


def data_parallel(figures: Figures, axes: Axes) -> None:
    for colour, (name, net) in zip(COLOURS, figures.nets.items(), strict=True):
        for style, (link, network) in zip(STYLES, figures.networks.items(), strict=True):
            ranks = range(1, net.batch + 1)
            times = [same_batch(net, network, count) for count in ranks]
            axes.loglog(ranks, times, style, color=colour, label=f"{name}, {link}")
    axes.axhline(1, color="0.7", linewidth=0.8)
    axes.set(xlabel="ranks", ylabel="times as fast as one process", title="One net, the batch of its preset")
    axes.legend(fontsize=7, frameon=False, handlelength=3)


def population(figures: Figures, axes: Axes) -> None:
    for colour, steps in zip(COLOURS, SHORT, strict=True):
        for style, (place, costs) in zip(
            STYLES, {"parallel file system": figures.parallel, "one file server": figures.costs}.items(), strict=True
        ):
            seconds = [figures.sweep(machines, costs, MEMBERS, steps).seconds for machines in MACHINES]
            times = [seconds[0] / value for value in seconds]
            axes.loglog(MACHINES, times, style, color=colour, marker=".", label=f"{steps:,} steps, {place}")
    axes.loglog(MACHINES, MACHINES, color="0.7", linewidth=0.8)
    axes.set(xlabel="machines", ylabel="times as fast as one machine", title=f"A sweep of {MEMBERS:,} members")
    axes.legend(fontsize=7, frameon=False, handlelength=3)
