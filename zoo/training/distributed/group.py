"""The ranks of a run as one group: what they agree on, and what is said where one of them is lost.

Nothing that depends on the time, on a signal or on a file may be decided by each rank for itself: the others would wait
for it for ever. It is rank 0's decision, or that of all.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore

from zoo import cuda
from zoo.data.examples import Examples
from zoo.errors import DeviceError, RankLostError, out_of_memory
from zoo.phrasing import option
from zoo.training.distributed.alone import Begun
from zoo.training.distributed.launch import Launch, meeting_place
from zoo.training.evaluation import Evaluation, evaluate
from zoo.training.objective.objective import PLAIN, Objective

# A rank that ends closes its connections, which the others notice at once, and torchrun ends them all. These limits are
# for a machine that is lost without a word.
_STEP = timedelta(minutes=5)  # of a step's collectives, which all ranks reach at about the same time
_PATIENT = timedelta(hours=24)  # where the others wait while rank 0 evaluates or writes
_REASON_S, _PAUSE_S = 0.5, 0.05  # a rank that fails says why before it closes its connections
_LEAVING_S = 30.0
_REASON = "reason"


class Ranks:
    """This rank and the others. A context manager: within it, all can be asked; its end leaves them.

    Attributes:
        rank, count, local_rank: as of `Launch`.
        gradients: the process group of a step's collectives, on the device; None until there is an engine.
        steps_done: how many the training has done.
    """

    def __init__(self, launch: Launch) -> None:
        """Wait for all ranks.

        Raises:
            RankLostError: they do not come.
        """
        self.rank, self.count, self.local_rank, self._local_ranks = (
            launch.rank,
            launch.ranks,
            launch.local_rank,
            launch.local_ranks,
        )
        self.gradients: Any = None
        self.steps_done: Callable[[], int] = lambda: 0
        self._joined = False
        self._store = meeting_place(launch, _STEP)
        try:
            group = PrefixStore("group", self._store)
            dist.init_process_group("gloo", store=group, rank=self.rank, world_size=self.count, timeout=_PATIENT)
            self._joined = True
            self._meet("joined", _STEP.total_seconds())  # before one can leave again, which others cannot connect to
        except (RuntimeError, ValueError) as error:
            raise RankLostError(f"the {self.count} ranks did not come together: {_line(error)}") from error

    @property
    def leads(self) -> bool:
        """Whether this is the rank that writes."""
        return self.rank == 0

    def __enter__(self) -> Ranks:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.leave()
        else:
            self._tell(error)
            self._destroy()

    def begin(self, training: Begun) -> None:
        """Train this with the others: its evaluations are rank 0's, and its steps are those that ranks draw for."""
        if training.validation is not None:
            training.validation.evaluate = self.evaluate
        self.steps_done = lambda: training.step

    def any(self, here: bool) -> bool:
        """Whether it is so at one of the ranks, or more."""
        found = torch.tensor([int(here)], dtype=torch.int32)
        with self.collective():
            dist.all_reduce(found, op=dist.ReduceOp.MAX)
        return bool(found.item())

    def first(self, here: bool) -> bool:
        """What rank 0 says."""
        return self.any(here and self.leads)

    def least(self, here: int) -> int:
        """The smallest of the ranks' numbers."""
        found = torch.tensor([here], dtype=torch.int64)
        with self.collective():
            dist.all_reduce(found, op=dist.ReduceOp.MIN)
        return int(found.item())

    def numbers(self, own: Sequence[float], count: int) -> list[float]:
        """So many numbers of rank 0; the others' own are not looked at."""
        found = torch.tensor(own if self.leads else [0.0] * count, dtype=torch.float64)
        with self.collective():
            dist.broadcast(found, src=0)
        return [float(number) for number in found.tolist()]

    def text(self, own: str = "") -> str:
        """A text of rank 0; the others' own is not looked at."""
        data = own.encode()
        size = int(self.numbers([len(data)], 1)[0])
        if not size:
            return ""
        found = torch.tensor([*data] if self.leads else [0] * size, dtype=torch.uint8)
        with self.collective():
            dist.broadcast(found, src=0)
        return bytes(found.tolist()).decode()

    def part(self, size: int) -> slice:
        """Which examples of a batch are this rank's; the parts differ by one at most."""
        return slice(self.rank * size // self.count, (self.rank + 1) * size // self.count)

    def evaluate(self, model: nn.Module, examples: Examples, objective: Objective = PLAIN) -> Evaluation:
        """`zoo.training.evaluation.evaluate` by rank 0, whose figures all ranks get, to the bit.

        Once the ranks have parted, each that asks evaluates for itself.
        """
        if not self._joined:
            return evaluate(model, examples, objective)
        names = objective.metrics.names()
        found = evaluate(model, examples, objective) if self.leads else Evaluation(0.0, {})
        loss, *values = self.numbers([found.loss, *(found.metrics[name] for name in found.metrics)], 1 + len(names))
        return Evaluation(loss, dict(zip(found.metrics or names, values, strict=True)))

    def device_name(self, name: str) -> str:
        """The device of this rank, where all were given that name: of CUDA's that of its number on this machine."""
        return f"cuda:{self.local_rank}" if name.partition(":")[0] == "cuda" else name

    def device(self, chosen: torch.device) -> torch.device:
        """The device of this rank, where `auto` has chosen that one.

        Raises:
            DeviceError: ranks cannot train on it, or there are fewer than ranks.
        """
        if cuda.holds(chosen):
            if self._local_ranks > cuda.count():
                raise DeviceError(
                    f"there are {self._local_ranks} ranks on this machine and {cuda.count()} CUDA devices: start as "
                    f"many ranks as devices, or use {option('device', 'cpu')}"
                )
            return torch.device("cuda", self.local_rank)
        if chosen.type != "cpu":
            raise DeviceError(f"device {chosen.type!r} is for one process: use {option('device', 'cpu')}")
        return chosen

    def open_gradients(self, device: torch.device) -> None:
        """Make the group of a step's collectives. All ranks must call it."""
        with self.collective():
            self.gradients = dist.new_group(backend="nccl" if cuda.holds(device) else "gloo", timeout=_STEP)

    def sum(self, tensor: Tensor) -> None:
        """Make a tensor on the run's device the sum of that of all ranks."""
        with self.collective():
            dist.all_reduce(tensor, group=self.gradients)

    def leave(self) -> None:
        """Part from the others, once each of them is where it can do without this one."""
        if not self._joined:
            return
        with contextlib.suppress(RuntimeError):
            self._meet("leaving", _LEAVING_S)
        self._destroy()

    @contextlib.contextmanager
    def collective(self) -> Iterator[None]:
        """A block in which the ranks wait for each other.

        Raises:
            RankLostError: one of them is lost. Rank 0 knows why, if the other could say it.
        """
        try:
            yield
        except RuntimeError as error:
            if out_of_memory(error) or not is_of_collective(error):
                raise
            raise self.lost(error) from error

    def lost(self, error: BaseException) -> RankLostError:
        """What to say where a collective has failed."""
        reason = self._reason() if self.leads else None
        return RankLostError(reason or f"another rank was lost ({_line(error)})")

    def _meet(self, where: str, seconds: float) -> None:
        """Wait until all ranks are there, or so long."""
        self._store.add(where, 1)
        deadline = time.monotonic() + seconds
        while self._store.add(where, 0) < self.count and time.monotonic() < deadline:
            time.sleep(0.002)

    def _tell(self, error: BaseException) -> None:
        """Let rank 0 say what went wrong here. A rank that is lost because of another one has nothing to say."""
        if self.leads or not self._joined or isinstance(error, RankLostError):
            return
        with contextlib.suppress(RuntimeError):
            self._store.set(_REASON, f"rank {self.rank}: {_line(error) or type(error).__name__}")

    def _reason(self) -> str | None:
        deadline = time.monotonic() + _REASON_S
        with contextlib.suppress(RuntimeError):
            while time.monotonic() < deadline:
                if self._store.check([_REASON]):
                    return str(self._store.get(_REASON).decode(errors="replace"))
                time.sleep(_PAUSE_S)
        return None

    def _destroy(self) -> None:
        if self._joined:
            self._joined = False
            with contextlib.suppress(RuntimeError):
                dist.destroy_process_group()


_PLACE = re.compile(r"\[[^]]*\.(cc|cpp):[0-9]+\] ")
_SIGNS = ("gloo", "nccl", "connection closed", "connection reset", "process group", "broken pipe", "socket")


def is_of_collective(error: BaseException) -> bool:
    """Whether an exception comes of a collective that failed; torch raises a plain RuntimeError for most of them."""
    text = str(error).lower()
    return isinstance(error, dist.DistError) or any(sign in text for sign in _SIGNS)


def _line(error: BaseException) -> str:
    """The first line of its message, without the place in torch's sources that some begin with."""
    return _PLACE.sub("", str(error).strip().partition("\n")[0])
