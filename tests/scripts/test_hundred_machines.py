"""`scripts/hundred_machines.py`: nothing is lost or made up in what it works out, and its page is of its figures."""

from __future__ import annotations

import json
import random
import resource
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import drawing
import hundred_machines
import measuring
import page
import pytest
from matplotlib.figure import Figure
from page import Figures, duration, sections
from simulation import (
    Costs,
    Net,
    Network,
    batch_for,
    best_ranks,
    durations,
    fitted,
    larger_batch,
    limits,
    loopback,
    same_batch,
    sweep,
)

import zoo

NETS = [Net(32, 47_588, 170e-6, 2e-6), Net(64, 722_156, 2e-3, 1e-4), Net(12, 3_190_272, 0.0, 6e-3), Net(8, 4, 1e-3, 0)]
NETWORKS = [Network(50e-6, 1e9, 40e-6), Network(0.0, 1e12), Network(20e-6, 1e9)]
COSTS = [
    Costs(start=2.0, member=0.03, coordinator=1e-3, disk=0.0),
    Costs(start=0.0, member=0.0, coordinator=0.0, disk=5e-3),
    Costs(start=1.0, member=0.1, coordinator=0.02, disk=0.03),
]
RAW = json.loads(hundred_machines.FIGURES.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("fixed", "each"), [(1e-4, 2e-6), (0.0, 1e-3), (5e-3, 0.0)])
def test_a_line_through_measured_steps_is_found(fixed: float, each: float) -> None:
    found = fitted({batch: fixed + each * batch for batch in (1, 4, 32, 512)})
    assert found == pytest.approx((fixed, each), abs=1e-12)


@pytest.mark.parametrize("seconds", [{1: 1.0, 2: 3.0, 4: 8.0}, {1: 3.0, 8: 2.0}, {4: 2.0}])
def test_no_step_has_a_part_below_nothing(seconds: dict[int, float]) -> None:
    fixed, each = fitted(seconds)
    assert fixed >= 0
    assert each >= 0
    assert max(fixed, each) > 0


def test_what_two_processes_take_is_the_ring_of_two() -> None:
    network = Network(0.0, 2e9, 30e-6)
    assert network.all_reduce(10**6, 1) == 0
    measured = {size: network.all_reduce(size, 2) for size in (4, 1000, 10**6)}
    assert loopback(measured) == pytest.approx((30e-6, 2e9))


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("network", NETWORKS)
def test_ranks_are_never_more_times_as_fast_than_they_are(net: Net, network: Network) -> None:
    for ranks in range(1, net.batch + 1):
        assert same_batch(net, network, ranks) <= ranks * (1 + 1e-12)
        assert larger_batch(net, network, ranks) <= ranks * (1 + 1e-12)
    assert same_batch(net, network, 1) == larger_batch(net, network, 1) == 1


def test_ranks_are_as_fast_as_they_are_many_where_nothing_is_fixed_or_sent() -> None:
    free = Network(0.0, float("inf"))
    assert same_batch(Net(64, 4, 0.0, 1e-3), free, 8) == pytest.approx(8)
    assert larger_batch(Net(64, 4, 1.0, 1e-3), free, 8) == pytest.approx(8)


@pytest.mark.parametrize("net", NETS)
def test_a_slower_network_never_helps(net: Net) -> None:
    fast, slow = Network(10e-6, 2e9), Network(20e-6, 1e9)
    for ranks in range(2, net.batch + 1):
        assert same_batch(net, slow, ranks) < same_batch(net, fast, ranks)
        assert larger_batch(net, slow, ranks) < larger_batch(net, fast, ranks)
    assert best_ranks(net, slow)[1] <= best_ranks(net, fast)[1]
    assert best_ranks(net, slow)[0] <= best_ranks(net, fast)[0]


@pytest.mark.parametrize("net", NETS[:3])
@pytest.mark.parametrize("network", NETWORKS[::2])
@pytest.mark.parametrize(("ranks", "times"), [(2, 1.5), (100, 50)])
def test_from_its_batch_on_ranks_are_as_many_times_as_fast(
    net: Net, network: Network, ranks: int, times: float
) -> None:
    batch = batch_for(net, network, ranks, times)
    assert same_batch(replace(net, batch=int(batch) + 1), network, ranks) >= times
    assert same_batch(replace(net, batch=int(0.9 * batch)), network, ranks) < times


def test_so_many_ranks_are_never_as_many_times_as_fast() -> None:
    with pytest.raises(ValueError, match="never 2 times"):
        batch_for(NETS[0], NETWORKS[0], 2, 2)


@pytest.mark.parametrize("costs", COSTS)
@pytest.mark.parametrize("workers", [1, 2, 7, 50, 400])
def test_every_member_is_trained_once_and_no_second_is_lost(costs: Costs, workers: int) -> None:
    seconds = durations(300, 0.5, 0.2, seed=3)
    outcome = sweep(seconds, workers, costs)
    assert sum(outcome.members) == 300
    assert outcome.work == pytest.approx(sum(seconds) + 300 * costs.member)
    assert outcome.coordinator == pytest.approx(300 * costs.coordinator)
    assert outcome.disk == pytest.approx(300 * costs.disk)
    busy = outcome.work + outcome.waited + outcome.coordinator + outcome.disk
    assert busy <= workers * (outcome.seconds - costs.start) * (1 + 1e-9)
    assert outcome.seconds >= max(limits(300, sum(seconds) / 300, workers, costs).values()) * (1 - 1e-9)
    if workers == 1:
        assert outcome.waited == 0
        assert outcome.seconds == pytest.approx(costs.start + busy)


@pytest.mark.parametrize("costs", COSTS)
def test_more_machines_are_no_slower_and_not_more_times_as_fast_than_they_are(costs: Costs) -> None:
    seconds = durations(400, 0.5, 0.1, seed=1)
    counts = (1, 2, 3, 10, 40, 100, 1000)
    taken = [sweep(seconds, 2 * count, costs).seconds for count in counts]
    assert taken == sorted(taken, reverse=True)
    assert all(taken[0] / value <= count * (1 + 1e-9) for count, value in zip(counts, taken, strict=True))
    assert taken[-1] >= costs.start + max(400 * costs.coordinator, 400 * costs.disk)


@pytest.mark.parametrize("shares", [1, 2, 5, 10])
@pytest.mark.parametrize("costs", COSTS)
def test_each_share_has_its_own_members_and_no_second_is_lost(costs: Costs, shares: int) -> None:
    seconds = durations(203, 0.5, 0.2, seed=3)
    outcome = sweep(seconds, 20, costs, shares)
    for share in range(shares):
        assert sum(outcome.members[share::shares]) == len(seconds[share::shares])
        bound = costs.start + sum(seconds[share::shares]) / (20 / shares)
        assert outcome.seconds >= max(bound, len(seconds[share::shares]) * costs.coordinator)
    assert outcome.work == pytest.approx(sum(seconds) + 203 * costs.member)
    busy = outcome.work + outcome.waited + outcome.coordinator + outcome.disk
    assert busy <= 20 * (outcome.seconds - costs.start) * (1 + 1e-9)
    assert outcome.seconds >= 203 * costs.disk


def test_shares_take_turns_at_the_disk_alone() -> None:
    both = Costs(0.0, 0.0, coordinator=1.0, disk=1.0)
    assert sweep([0.0, 0.0], 2, both).seconds == 3  # the second member is handed out while the first is written
    assert sweep([0.0, 0.0], 2, both, shares=2).seconds == 3  # handed out at once, written one after the other
    assert sweep([0.0, 0.0], 2, replace(both, disk=0.0)).seconds == 2
    assert sweep([0.0, 0.0], 2, replace(both, disk=0.0), shares=2).seconds == 1
    assert sweep([5.0, 0.0, 5.0, 0.0], 2, replace(both, coordinator=0.0, disk=0.0), shares=2).seconds == 10
    assert sweep([5.0, 0.0, 5.0, 0.0], 2, replace(both, coordinator=0.0, disk=0.0)).seconds == 5
    with pytest.raises(ValueError, match="3 workers cannot be spread evenly over 2 shares"):
        sweep([1.0], 3, both, shares=2)


def test_the_longest_member_bounds_a_sweep_of_any_number_of_machines() -> None:
    assert sweep([1.0, 9.0, 1.0], 1000, Costs(0.5, 0.0, 0.0, 0.0)).seconds == 9.5


def test_durations_have_their_mean_and_spread_and_are_the_same_each_time() -> None:
    state = random.getstate()
    drawn = durations(20_000, 2.0, 0.1, seed=5)
    assert drawn == durations(20_000, 2.0, 0.1, seed=5) != durations(20_000, 2.0, 0.1, seed=6)
    mean = sum(drawn) / len(drawn)
    assert mean == pytest.approx(2.0, rel=0.01)
    assert sum((one - mean) ** 2 for one in drawn) / len(drawn) == pytest.approx(0.04, rel=0.1)
    assert min(durations(1000, 2.0, 3.0, seed=1)) == pytest.approx(0.2)
    assert random.getstate() == state


def test_the_page_is_of_its_figures() -> None:
    text = hundred_machines.PAGE.read_text(encoding="utf-8")
    assert hundred_machines.page_of(text, RAW) == text, "run scripts/hundred_machines.py"


def test_the_page_changes_with_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MEMBERS", 500)
    before = sections(small := Figures(RAW))
    nets = {name: {**net, "parameters": 10 * net["parameters"]} for name, net in RAW["nets"].items()}
    after = sections(Figures({**RAW, "nets": nets}))
    assert small.nets["gru"].size * 10 == Figures({**RAW, "nets": nets}).nets["gru"].size
    assert {name for name in before if before[name] != after[name]} == {"steps", "ranks"}


def test_no_link_is_faster_than_gloo_without_one() -> None:
    figures = Figures(RAW)
    software, rate = figures.own_network
    assert all(network.rate <= rate and network.software == software for network in figures.networks.values())


@pytest.mark.parametrize(
    ("seconds", "text"), [(9e-7, "0.9 µs"), (2.5e-4, "250 µs"), (0.0123, "12.3 ms"), (1.5, "1.50 s"), (90, "90.0 s")]
)
def test_times_have_units_that_suit_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
    assert [duration(value) for value in (600, 7200)] == ["10.0 min", "2.00 h"]


def test_the_plot_shows_each_net_and_each_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "MEMBERS", 50)
    drawn: list[Any] = []
    savefig = Figure.savefig

    def kept(figure: Any, *args: Any, **options: Any) -> None:
        drawn.append(figure)
        savefig(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", kept)
    drawing.draw(Figures(RAW), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert [len(axes.get_legend().get_texts()) for axes in drawn[0].axes] == [6, 6]


def test_figures_are_measured_with_the_keys_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in this process; those that start others are only asked what they ask."""
    monkeypatch.setattr(measuring, "ROUNDS", 1)
    monkeypatch.setattr(measuring, "NETS", {"mlp-char": (("mlp-char", None), (1, 4))})
    found = measuring.steps("mlp-char", str(tmp_path))
    assert found.keys() == RAW["nets"]["mlp-char"].keys()
    assert found["parameters"] == RAW["nets"]["mlp-char"]["parameters"]
    assert found["step_s"].keys() == {"1", "4"}
    assert measuring.about().keys() == RAW["about"].keys()
    files = {"a.json": b"{}", "b.bin": b"12"}
    assert measuring.written(files, tmp_path / "written", times=3) > 0
    assert (tmp_path / "written" / "2" / "b.bin").read_bytes() == b"12"
    assert measuring.names() > 0
    (tmp_path / "text.txt").write_text("to be\n" * 100)
    monkeypatch.setenv("ZOO_CACHE", "")  # so that what is set there is put back
    assert measuring.encoded(str(tmp_path / "text.txt")) > 0
    assert measuring.imported("autograd")["files"] > 100


def test_what_starts_processes_has_the_keys_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def own_process(*words: Any) -> Any:
        asked.append(words)
        if words[0] == "imported":
            return {"files": 7, "bytes": 8}
        if words[0] == "trained":
            return {"1": 0.5}.get(str(words[1]), 0.7)
        return {"own_s": 0.002, "workers_s": 0.05}

    def spent(argv: list[Any], env: object) -> SimpleNamespace:
        out = Path(argv[-1])
        for number, seconds in (("0001", 0.5), ("0002", 0.7)):
            (out / number).mkdir(parents=True)
            (out / number / "metrics.json").write_text(json.dumps({"seconds": {"train": seconds, "eval": 0.1}}))
        return SimpleNamespace(processor=1.0)

    monkeypatch.setattr(measuring, "ROUNDS", 3)
    monkeypatch.setattr(measuring, "SHORT_ROUNDS", 1)
    monkeypatch.setattr(measuring, "own_process", own_process)
    monkeypatch.setattr(measuring, "spent", spent)
    member = measuring.member()
    assert member.keys() == RAW["member"].keys()
    assert (member["coordinator_s"], member["own_s"]) == pytest.approx((0.002, 0.05))
    assert (member["train_s"], member["files"]) == (0.5, 1)
    monkeypatch.setattr(measuring, "spent", lambda argv, env: SimpleNamespace(processor=1.0))
    assert measuring.start().keys() == RAW["start"].keys()
    assert measuring.PARTS.keys() | {"about"} == RAW.keys()


def test_a_member_more_is_the_difference_of_sweeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {resource.RUSAGE_SELF: 9.0, resource.RUSAGE_CHILDREN: 5.0}
    sweeps: list[int] = []

    def sweep(model: str, *, seeds: int, **_: Any) -> None:
        sweeps.append(seeds)
        imports = 1.5 if len(sweeps) == 1 else 0.1 * len(sweeps)  # of what is not there yet, and of other programs
        seconds[resource.RUSAGE_SELF] += imports + 0.002 * seeds
        seconds[resource.RUSAGE_CHILDREN] += 0.05 * seeds

    monkeypatch.setattr(zoo, "sweep", sweep)
    monkeypatch.setattr(measuring, "processor_time", seconds.__getitem__)
    monkeypatch.setattr(measuring, "FEW", 2)
    monkeypatch.setattr(measuring, "MANY", 202)
    found = measuring.coordinator(str(tmp_path))
    assert found == pytest.approx({"own_s": 0.002 + 0.1 / 200, "workers_s": 0.05})
    assert len(sweeps) == 1 + 2 * measuring.SWEEPS


def test_two_ranks_add_up_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "SHORT_ROUNDS", 3)
    seconds = measuring.two_ranks()
    assert seconds.keys() == RAW["all_reduce_s"].keys()
    assert all(0 < value < 10 for value in seconds.values())


def test_a_part_that_there_is_not_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["hundred_machines.py", "--measure", "disks"])
    with pytest.raises(SystemExit, match="2"):
        hundred_machines.main()
    assert "no part disks: there are nets, all_reduce_s, start, read, member" in capsys.readouterr().err
