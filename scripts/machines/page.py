"""The tables and sentences of `hundred_machines.md`, from the measured figures."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from simulation import Costs, Net, Network, Outcome, batch_for, best_ranks, durations, fitted, larger_batch, loopback
from simulation import sweep as simulated

MACHINES = (1, 10, 100, 1000)
MEMBERS = 100_000
RANKS = 100
GIGABIT = 1e9 / 8  # bytes a second
LINKS = {"10 Gbit/s, 50 µs": (10, 50e-6), "100 Gbit/s, 20 µs": (100, 20e-6)}  # taken, not measured
SERVER = 10 * GIGABIT
SHORT = (20_000, 2_000, 200)  # steps of a member
SEED = 1  # of the durations
Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Figures:
    """The measured figures, in the forms that the model wants; `raw` is the JSON."""

    raw: Mapping[str, Any]

    @property
    def cores(self) -> int:
        return int(self.raw["about"]["cores"])

    @property
    def nets(self) -> dict[str, Net]:
        found = {}
        for name, net in self.raw["nets"].items():
            fixed, each = fitted({int(batch): seconds for batch, seconds in net["step_s"].items()})
            found[name] = Net(net["batch"], 4 * net["parameters"], fixed, each)
        return found

    @property
    def networks(self) -> dict[str, Network]:
        """A link is no faster than gloo over loopback, which has no link at all."""
        software, rate = self.own_network
        return {
            name: Network(latency, min(gigabits * GIGABIT, rate), software)
            for name, (gigabits, latency) in LINKS.items()
        }

    @property
    def own_network(self) -> tuple[float, float]:
        """Seconds of a message within this machine, and bytes a second."""
        return loopback({int(size): seconds for size, seconds in self.raw["all_reduce_s"].items()})

    def train(self, steps: int) -> float:
        """Seconds of training of a member."""
        member = self.raw["member"]
        return float(member["train_s"] * steps / member["steps"])

    @property
    def costs(self) -> Costs:
        """With files on one server that writes as this disk does, for all machines."""
        member = self.raw["member"]
        return Costs(self.raw["start"]["run_s"], member["own_s"], member["coordinator_s"], member["disk_s"])

    @property
    def parallel(self) -> Costs:
        """With files on a file system that writes for each machine as this disk does, however many there are."""
        costs = self.costs
        return replace(costs, member=costs.member + costs.disk, disk=0.0)

    def sweep(self, machines: int, costs: Costs, members: int | None = None, steps: int = SHORT[0]) -> Outcome:
        """As zoo does it: each machine has a share of the members, and a coordinator of its own."""
        return simulated(self._durations(members, steps), machines * self.cores, costs, shares=machines)

    def one_coordinator(self, machines: int, costs: Costs) -> Outcome:
        """If one process handed out the members to the workers of all machines."""
        return simulated(self._durations(None, SHORT[0]), machines * self.cores, costs)

    def _durations(self, members: int | None, steps: int) -> list[float]:
        return durations(members or MEMBERS, self.train(steps), self.raw["member"]["spread"], SEED)


STEPS_HEAD = ("net, preset", "its batch", "gradient", "a step", "of it fixed", "each example")
RANKS_HEAD = (
    "net",
    "network",
    "fastest with",
    "times as fast",
    f"{RANKS} with a batch each",
    "2 are 1.5 times from",
    f"{RANKS} are {RANKS // 2} times from",
)
SWEEP_HEAD = ("machines", "one file server", "times", "parallel file system", "times", "one coordinator", "times")
LIMITS_HEAD = ("steps of a member", "its seconds", "all members", "machines for one file server", "for one coordinator")


def sections(figures: Figures) -> dict[str, str]:
    """What stands in each section of the page that is made here, by its name."""
    return {
        "measured": table(("what was measured", "figure"), measured(figures)),
        "steps": table(STEPS_HEAD, steps(figures)),
        "ranks": table(RANKS_HEAD, ranks(figures)),
        "sweep": table(SWEEP_HEAD, sweeps(figures)),
        "totals": totals(figures),
        "limits": table(LIMITS_HEAD, limits(figures)),
        "start": started(figures),
    }


def measured(figures: Figures) -> Rows:
    raw, member = figures.raw, figures.raw["member"]
    software, rate = figures.own_network
    about, start, read = raw["about"], raw["start"], raw["read"]
    return [
        ("machine", f"{about['processor']}, {about['cores']} cores; Python {about['python']}, torch {about['torch']}"),
        ("`import torch`, of which Python itself", f"{start['torch_s']:.2f} s, {start['python_s']:.2f} s"),
        ("`zoo run mlp-char` of one step", f"{start['run_s']:.2f} s"),
        ("files that this opens", f"{start['files']:,}, of {start['bytes'] / 1e6:,.0f} MB"),
        ("names to tensors", duration(read["names_s"])),
        ("running text, read and encoded", f"{read['text_bytes_a_second'] / 1e6:,.0f} MB a second"),
        (f"a member of {member['steps']:,} steps (`fused`): training", duration(member["train_s"])),
        ("its evaluation and all else that its worker does", duration(member["own_s"])),
        ("what the coordinator does for a member", duration(member["coordinator_s"])),
        ("its files on this disk, each written and synchronized", duration(member["disk_s"])),
        ("its files", f"{member['files']}, of {member['bytes'] / 1e3:,.0f} kB"),
        ("relative spread of the training times", f"{100 * member['spread']:.0f} %"),
        ("a message of gloo between two processes", duration(software)),
        ("gloo between two processes", f"{rate / 1e9:.2f} GB a second"),
    ]


def steps(figures: Figures) -> Rows:
    rows = []
    for name, net in figures.nets.items():
        raw = figures.raw["nets"][name]
        title = f"`{name}`, `{raw['preset']}`"
        step, gradient = raw["step_s"][str(net.batch)], f"{net.size / 1e3:,.0f} kB"
        rows.append((title, str(net.batch), gradient, duration(step), duration(net.fixed), duration(net.each)))
    return rows


def ranks(figures: Figures) -> Rows:
    rows = []
    for name, net in figures.nets.items():
        for link, network in figures.networks.items():
            best, times = best_ranks(net, network)
            many = larger_batch(net, network, RANKS)
            two, all_of_them = batch_for(net, network, 2, 1.5), batch_for(net, network, RANKS, RANKS / 2)
            fastest = "1 process" if best == 1 else f"{best} ranks"
            own = f"{many:.0f} times the examples"
            rows.append((f"`{name}`", link, fastest, f"{times:.2f}", own, f"{two:,.0f}", f"{all_of_them:,.0f}"))
    return rows


def sweeps(figures: Figures) -> Rows:
    ways = [
        [figures.sweep(count, figures.costs).seconds for count in MACHINES],
        [figures.sweep(count, figures.parallel).seconds for count in MACHINES],
        [figures.one_coordinator(count, figures.parallel).seconds for count in MACHINES],
    ]
    rows = []
    for number, machines in enumerate(MACHINES):
        cells = [(duration(way[number]), f"{way[0] / way[number]:,.1f}") for way in ways]
        rows.append([f"{machines:,}", *itertools.chain(*cells)])
    return rows


def totals(figures: Figures) -> str:
    """What a sweep takes in all."""
    outcome = figures.sweep(RANKS, figures.parallel)
    member = figures.raw["member"]
    files, size = member["files"] * MEMBERS, member["bytes"] * MEMBERS
    steps = SHORT[0] * MEMBERS
    return (
        f"{MEMBERS:,} members of {SHORT[0]:,} steps are {steps / 1e6:,.0f} million steps, "
        f"{outcome.work / 3600:.1f}\ncore-hours with evaluation, and {files:,} files of {size / 1e9:.1f} GB."
    )


def limits(figures: Figures) -> Rows:
    rows, costs = [], figures.costs
    for count in SHORT:
        member = figures.train(count) + costs.member
        busy = [member / cost / figures.cores for cost in (costs.disk, costs.coordinator)]
        hours = f"{member * MEMBERS / 3600:.1f} core-hours"
        rows.append((f"{count:,}", f"{member:.3f}", hours, *(f"{machines:,.0f}" for machines in busy)))
    return rows


def started(figures: Figures) -> str:
    """How long many machines wait for the files of Python, torch and zoo, if one server has them."""
    start = figures.raw["start"]
    seconds = RANKS * start["bytes"] / SERVER
    return (
        f"A worker is ready after {start['run_s']:.1f} s of processor time where its files are on its own disk. For "
        f"{RANKS} machines\none file server with a link of 10 Gbit/s has {RANKS * start['files']:,} files of "
        f"{RANKS * start['bytes'] / 1e9:,.0f} GB to open: {seconds:.0f} s, if they are read whole."
    )


def table(head: Sequence[str], rows: Rows) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def duration(seconds: float) -> str:
    """With three digits or so, and a unit that suits them."""
    for unit, size in (("h", 3600), ("min", 60), ("s", 1), ("ms", 1e-3)):
        if seconds >= (2 if unit in ("h", "min") else 1) * size:
            value = seconds / size
            return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f} {unit}"
    value = seconds * 1e6
    return f"{value:.{0 if value >= 100 else 1}f} µs"
