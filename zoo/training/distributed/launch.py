"""What `torchrun` says of this process, in its environment. Imports no torch: a command asks before it does anything.

The names are those of `torch.distributed`: a *rank* is a process and its number, from 0; the *local* ones are those of
this machine.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from zoo.errors import RankLostError, UsageError
from zoo.files import canonical_json

_RUN_ID, _RESTARTS = "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT"
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_NO_ID = ("", "none")  # what torchrun calls a job that was given no name


@dataclass(frozen=True)
class Launch:
    """This process among those of `torchrun`.

    Attributes:
        rank: its number, from 0.
        ranks: how many there are, on all machines.
        local_rank, local_ranks: its number, and how many there are, on this machine.
        restarts: how often torchrun has started all of them again, because one had failed.
        job: a digest of the job and its command, the same after each restart.
    """

    rank: int
    ranks: int
    local_rank: int
    local_ranks: int
    restarts: int = 0
    job: str = ""

    @classmethod
    def of(cls, environ: Mapping[str, str] = os.environ, argv: Sequence[str] = sys.argv) -> Launch | None:
        """Read the environment; None where `torchrun` did not start this process.

        Schedulers set RANK and WORLD_SIZE too, for processes that are on their own: they are no sign by themselves.

        Raises:
            UsageError: a variable is missing, no number, or out of range.
        """
        if _RUN_ID not in environ:
            return None
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", _RESTARTS)
        try:
            rank, ranks, local_rank, local_ranks, restarts = (int(environ[name]) for name in names)
            if not (0 <= rank < ranks and 0 <= local_rank < local_ranks <= ranks and restarts >= 0):
                raise ValueError("ranks that torchrun does not give")
        except (KeyError, ValueError) as error:
            raise UsageError(
                f"{_RUN_ID} is set, as torchrun does, and of {', '.join(names)} one is missing, no number or out of "
                f"range: start zoo with torchrun, or unset {_RUN_ID}"
            ) from error
        return cls(rank, ranks, local_rank, local_ranks, restarts, _job(environ[_RUN_ID], argv))

    @property
    def leads(self) -> bool:
        """Whether it is the rank that writes: files, logs and what a person reads."""
        return self.rank == 0

    def see_one_gpu(self, environ: MutableMapping[str, str]) -> None:
        """Leave this process one GPU of those of its machine, for members that it trains on its own.

        To be called before CUDA is in use.
        """
        if self.local_ranks > 1:
            seen = environ.get(_VISIBLE, "")
            numbers = seen.split(",") if seen else [str(number) for number in range(self.local_ranks)]
            environ[_VISIBLE] = numbers[self.local_rank % len(numbers)]

    @property
    def command(self) -> str:
        """What a person types before `zoo` to have as many ranks again."""
        if self.local_ranks < self.ranks:
            return "torchrun ... -m "  # on several machines, where the command differs from one to the next
        return f"torchrun --nproc-per-node {self.ranks} -m "


def meeting_place(launch: Launch, patience: timedelta) -> Any:
    """The store that torchrun keeps for its ranks: `set` and `get` of small texts. A restart finds it empty.

    Raises:
        RankLostError: it cannot be reached.
    """
    from torch.distributed.distributed_c10d import PrefixStore  # here, because it imports torch
    from torch.distributed.rendezvous import rendezvous

    try:
        store, _, _ = next(rendezvous("env://", rank=launch.rank, world_size=launch.ranks, timeout=patience))
    except (RuntimeError, ValueError) as error:  # of torch.distributed's errors, all are RuntimeErrors
        raise RankLostError(f"the store of torchrun cannot be reached: {error}") from error
    # torchrun may keep one store over its restarts, in which the ranks of before have left where they were.
    return PrefixStore(f"zoo/{launch.restarts}", store)


def _job(run_id: str, argv: Sequence[str]) -> str:
    """What all restarts of a job share, and no other job does, unless it has the same name and command.

    The same command gives the same run, so that such a job may go on with what the other has left. A job without a name
    is known by its torchrun, which is the parent of its processes on this machine.
    """
    agent = [platform.node(), os.getppid()] if run_id in _NO_ID else []
    return hashlib.sha256(canonical_json([run_id, agent, str(Path.cwd()), *argv[1:]]).encode()).hexdigest()
