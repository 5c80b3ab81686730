"""Ranks as `torchrun` starts them, forked from the tests' own process, which spares each the import of torch."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch._dynamo  # which DistributedDataParallel imports, for a second
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # it is documented there

import zoo.runs.launched.running
import zoo.training.distributed.engine  # noqa: F401  # what each would import again
from zoo.cli import main

_LIMIT_S = 60.0
_exit = os._exit  # of which zoo makes another one in a process of its own


@dataclass
class Launched:
    """Some ranks of a launch.

    Attributes:
        processes: their numbers.
        outputs: what each writes to stdout and stderr.
        store: as torchrun has it in its own process, while they live.
    """

    processes: list[int]
    outputs: list[Path]
    store: TCPStore

    def wait(self) -> list[int]:
        """The exit code of each; a rank that does not end is killed."""
        deadline, codes = time.monotonic() + _LIMIT_S, []
        for process in self.processes:
            while not (done := os.waitpid(process, os.WNOHANG))[0]:
                if time.monotonic() > deadline:
                    os.kill(process, signal.SIGKILL)
                time.sleep(0.005)
            codes.append(os.waitstatus_to_exitcode(done[1]))
        return codes

    def kill(self, rank: int, number: int = signal.SIGKILL) -> None:
        os.kill(self.processes[rank], number)

    @property
    def said(self) -> list[list[str]]:
        """The lines of each, without what torch's C++ says, which a process of its own keeps from saying it."""
        lines = [path.read_text().splitlines() for path in self.outputs]
        return [[line for line in own if ".cpp:" not in line and ".cc:" not in line] for own in lines]


def launch(*args: object, count: int = 2, restarts: int = 0, name: str = "job") -> Launched:
    """`torchrun --nproc-per-node COUNT -m zoo ARGS`, in the working folder."""

    def run() -> None:
        sys.argv = ["zoo", *map(str, args)]
        main()

    return launch_function(run, count=count, restarts=restarts, name=name)


def launch_function(
    work: Callable[[], None], *, count: int = 2, restarts: int = 0, name: str = "job", folder: Path = Path()
) -> Launched:
    """Call a function in each of some processes that are to torch and zoo as if torchrun had started them.

    What they say is in files of `folder`.
    """
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    here = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    here |= {"TORCHELASTIC_RUN_ID": name, "TORCHELASTIC_RESTART_COUNT": str(restarts)}
    here |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    outputs = [(folder / f"rank-{rank}.txt").absolute() for rank in range(count)]
    processes = [_fork(work, {**here, "RANK": str(r), "LOCAL_RANK": str(r)}, outputs[r]) for r in range(count)]
    return Launched(processes, outputs, store)


def process_of_rank(rank: int, torchrun: int) -> int:
    """The process that a torchrun has started for a rank."""
    for child in Path(f"/proc/{torchrun}/task/{torchrun}/children").read_text().split():
        if f"LOCAL_RANK={rank}\0".encode() in Path(f"/proc/{child}/environ").read_bytes():
            return int(child)
    raise ProcessLookupError(f"no process of rank {rank}")


def _fork(work: Callable[[], None], environ: dict[str, str], output: Path) -> int:
    with warnings.catch_warnings(action="ignore"):  # the tests' process has threads, which wait
        process = os.fork()
    if process:
        return process
    code = 70
    try:
        os.environ.update(environ)
        to = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(to, 1)
        os.dup2(to, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        warnings.resetwarnings()
        warnings.simplefilter("ignore", ResourceWarning)  # as in a process of its own
        signal.signal(signal.SIGINT, signal.default_int_handler)
        torch.set_num_threads(1)
        work()
        code = 0
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        _exit(code)
