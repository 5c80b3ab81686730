"""`zoo sweep`, and `zoo resume` of a sweep, as one of the processes that `torchrun` has started."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo import stages
from zoo.cli import output
from zoo.cli.commands.sweep.result import print_sweep
from zoo.cli.progress import Progress
from zoo.cli.state import State
from zoo.sweeps.request import Request
from zoo.training.distributed.launch import Launch


def sweep_with_ranks(
    state: State, launch: Launch, request: Request | Path, given: Mapping[str, Any], *, as_json: bool, quiet: bool
) -> None:
    """Do this rank's share of a sweep, or of one that is to be resumed; rank 0 says what came of all.

    Each rank trains members of its own: what goes wrong in one is said by it.
    """
    launch.see_one_gpu(os.environ)
    with Progress(quiet=quiet or not launch.leads) as observer:
        with stages.within(stages.LOADING):
            from zoo.runs.observer import Silent
            from zoo.sweeps.shares.sharing import sweep_launched
        state.settle()
        registry = state.registry
        output.speak()
        watcher = observer if launch.leads else Silent()
        done = sweep_launched(request, registry, watcher, launch, given)
    if done is not None:
        print_sweep(done, as_json=as_json)
