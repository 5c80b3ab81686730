"""What many machines would take, from what one was measured to take: data-parallel steps, and sweeps.

Nothing here measures, and nothing needs torch. Times are seconds, sizes bytes, rates bytes a second.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Net:
    """A training step of one process: `fixed` seconds, and `each` for an example of its part of the batch.

    Attributes:
        batch: examples of the global batch.
        size: bytes of the gradient.
    """

    batch: int
    size: int
    fixed: float
    each: float

    def step(self, examples: float) -> float:
        return self.fixed + self.each * examples


def fitted(seconds: Mapping[int, float]) -> tuple[float, float]:
    """`fixed` and `each` for the seconds of a step over the examples of a batch, neither below 0.

    Least squares of the relative errors, so that a small batch counts as much as a large one.
    """
    rows = [(1 / taken, batch / taken) for batch, taken in seconds.items()]  # fixed * a + each * b is to be 1
    aa, ab, bb = (sum(row[i] * row[j] for row in rows) for i, j in ((0, 0), (0, 1), (1, 1)))
    a, b = (sum(row[i] for row in rows) for i in (0, 1))
    determinant = aa * bb - ab * ab
    if determinant <= 0:  # a single size
        return 0.0, b / bb
    fixed, each = (a * bb - b * ab) / determinant, (b * aa - a * ab) / determinant
    if fixed < 0:
        return 0.0, b / bb
    return (fixed, each) if each >= 0 else (a / aa, 0.0)


@dataclass(frozen=True)
class Network:
    """What adds up the gradients of all ranks.

    Attributes:
        latency: from one machine to the next.
        rate: of a link.
        software: what each message takes beside that, as measured over loopback.
    """

    latency: float
    rate: float
    software: float = 0.0

    def all_reduce(self, size: int, ranks: int) -> float:
        """By a ring: 2 (P - 1) messages one after the other, each with a P-th of the gradient.

        Patarasuk, Yuan, Bandwidth optimal all-reduce algorithms for clusters of workstations, JPDC 69 (2009) 117-124.
        """
        return 2 * (ranks - 1) * (self.latency + self.software + size / ranks / self.rate)


def loopback(seconds: Mapping[int, float]) -> tuple[float, float]:
    """Seconds of a message, and the rate, from those in which two ranks of one machine add up so many bytes."""
    fixed, each = fitted(seconds)  # of two ranks: two messages, each with half of the bytes
    return fixed / 2, 1 / each


def same_batch(net: Net, network: Network, ranks: int) -> float:
    """How many times as fast so many ranks are as one with the same global batch, of which each takes its part.

    All-reduce begins when the gradients are there, and the update when it has ended: these nets have less than the
    25 MB that DistributedDataParallel puts into one bucket, of which only the first, of 1 MB, could begin before.
    """
    return net.step(net.batch) / (net.step(net.batch / ranks) + network.all_reduce(net.size, ranks))


def larger_batch(net: Net, network: Network, ranks: int) -> float:
    """How many times as many examples a second, where each rank has a batch of its own."""
    return ranks * net.step(net.batch) / (net.step(net.batch) + network.all_reduce(net.size, ranks))


def best_ranks(net: Net, network: Network) -> tuple[int, float]:
    """The ranks that are fastest with the same global batch, and how many times as fast they are."""
    speeds = {ranks: same_batch(net, network, ranks) for ranks in range(1, net.batch + 1)}
    best = max(speeds, key=lambda ranks: (speeds[ranks], -ranks))
    return best, speeds[best]


@dataclass(frozen=True)
class Costs:
    """What a sweep takes beside training.

    Attributes:
        start: of a worker, before its first member.
        member: of the worker for each member: its evaluation, for instance.
        coordinator: of the process that hands out members and writes their rows, for each member.
        disk: of the file system for each member.
    """

    start: float
    member: float
    coordinator: float
    disk: float


@dataclass(frozen=True)
class Outcome:
    """What became of a sweep.

    Attributes:
        seconds: until its last row is written.
        work: seconds of all workers together that trained and evaluated.
        waited: seconds of all workers together that waited for the coordinator or the file system.
        coordinator, disk: seconds in which these were at work.
        members: how many each worker has trained.
    """

    seconds: float
    work: float
    waited: float
    coordinator: float
    disk: float
    members: Sequence[int]


Kind = Literal["asks", "writes"]


def sweep(durations: Sequence[float], workers: int, costs: Costs, shares: int = 1) -> Outcome:
    """Train members of these durations, in their order, on so many workers at a time.

    A worker asks its coordinator for a member, trains it, writes its files, and asks again. Each coordinator, and the
    one file system, serve one at a time, first come, first served; writing a row is the coordinator's.

    Args:
        durations: of training, of each member.
        workers: of all shares together.
        costs: beside training.
        shares: how many coordinators there are, each with as many workers, and with a fixed share of the members: share
            K of N has the members K, K + N, K + 2 N and so on. A worker whose share is done has nothing more to do.

    Raises:
        ValueError: the workers are not a multiple of the shares.
    """
    if workers % shares:
        raise ValueError(f"{workers} workers cannot be spread evenly over {shares} shares")
    left = [list(reversed(durations[share::shares])) for share in range(shares)]
    coordinators, disk = [0.0] * shares, 0.0  # from when each of them is free
    events: list[tuple[float, int, Kind]] = [(costs.start, worker, "asks") for worker in range(workers)]
    members = [0] * workers
    work = waited = seconds = 0.0
    while events:
        now, worker, kind = heapq.heappop(events)
        share = worker % shares
        if kind == "asks" and left[share]:
            served = max(now, coordinators[share])
            coordinators[share] = done = served + costs.coordinator
            own = left[share].pop() + costs.member
            work, members[worker] = work + own, members[worker] + 1
            heapq.heappush(events, (done + own, worker, "writes"))
        elif kind == "writes":
            served = max(now, disk)
            disk = done = served + costs.disk
            seconds = max(seconds, done)
            heapq.heappush(events, (done, worker, "asks"))
        else:
            continue
        waited += served - now
    count = len(durations)
    return Outcome(seconds, work, waited, costs.coordinator * count, costs.disk * count, members)


def durations(members: int, mean: float, spread: float, seed: int) -> list[float]:
    """Seconds of training of so many members: normal, of this relative spread, and a tenth of the mean at least."""
    draw = random.Random(seed)
    return [mean * max(0.1, draw.gauss(1.0, spread)) for _ in range(members)]


def limits(members: int, mean: float, workers: int, costs: Costs) -> dict[str, float]:
    """The seconds that a sweep takes at least, by what bounds it."""
    return {
        "the processors": costs.start + members * (mean + costs.member) / workers,
        "the coordinator": members * costs.coordinator,
        "the file system": members * costs.disk,
    }


def batch_for(net: Net, network: Network, ranks: int, times: float) -> float:
    """The global batch from which so many ranks are at least so many times as fast as one.

    It solves `same_batch` for the batch; `times` must be below `ranks`.
    """
    if not 0 < times < ranks:
        raise ValueError(f"{ranks} ranks are never {times} times as fast as one")
    waits = network.all_reduce(net.size, ranks)
    return max(0.0, ((times - 1) * net.fixed + times * waits) / (net.each * (1 - times / ranks)))
