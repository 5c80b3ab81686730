"""What the commands share: the plugins, loaded once and with their failures reported, and common options."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import signal
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zoo import stages
from zoo.cli import output

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from zoo.plots.worker import PlotWorker
    from zoo.plugin.manager import PluginStatus
    from zoo.plugin.registry import Registry
    from zoo.training.distributed.launch import Launch

F = TypeVar("F", bound=Callable[..., Any])

_OBJECTS_BEFORE_GC = 50_000  # Python itself looks after every 700


class State:
    """One invocation of `zoo`. `own_process`: the process is the command's own, and not a caller's."""

    def __init__(self, *, own_process: bool = False) -> None:
        self.debug = False
        self.own_process = own_process
        self.interrupted = False  # by Ctrl-C, whatever became of the exception that it raises
        if own_process:
            gc.set_threshold(_OBJECTS_BEFORE_GC)
            self._notice_interrupts()

    def _notice_interrupts(self) -> None:
        """Remember Ctrl-C, which raises KeyboardInterrupt as ever: a library that is being imported may turn that into
        another exception, or go on without a part of itself.
        """
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            with contextlib.suppress(ValueError):  # not in another thread than the main one
                signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, number: int, frame: object) -> None:
        self.interrupted = True
        raise KeyboardInterrupt

    def settle(self) -> None:
        """To be called when torch has been imported: of the million objects that this makes, all stay.

        Looking through them for garbage, while they are made and again at the end, would take half a second.
        """
        if self.interrupted:
            raise KeyboardInterrupt
        stages.begin("")
        if self.own_process:
            gc.freeze()

    def plot_worker(self, *, wanted: bool) -> AbstractContextManager[PlotWorker | None]:
        """What imports matplotlib while torch is imported here, where the process is the command's own."""
        from zoo.plots.worker import plot_worker

        return plot_worker(enabled=wanted and self.own_process)

    @cached_property
    def launch(self) -> Launch | None:
        """What `torchrun` says of this process; None where it did not start it, or the process is a caller's."""
        if not self.own_process or "TORCHELASTIC_RUN_ID" not in os.environ:
            return None
        from zoo.training.distributed.launch import Launch

        # Before torch is imported: else each rank says that its layers are all used, which is well.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        return Launch.of()

    @cached_property
    def _plugins(self) -> tuple[Registry, list[PluginStatus]]:
        from zoo.plugin.manager import load_plugins

        output.keep_plugins_out()
        registry, statuses = load_plugins()
        for status in statuses:
            for warning in status.warnings:
                output.warning(warning)
        return registry, statuses

    @property
    def registry(self) -> Registry:
        return self._plugins[0]

    @property
    def plugins(self) -> list[PluginStatus]:
        return self._plugins[1]


def _set_debug(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(State).debug = True


debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, callback=_set_debug, is_eager=True, help="Show tracebacks of errors."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
run_argument = click.argument("run")
dataset_option = click.option("--dataset", metavar="NAME|FILE|-", help="Use this data, split the way the run's was.")


def shows_progress(command: F) -> F:
    """Say on stderr what a command does while it does it; it gets an option `--quiet`."""

    @functools.wraps(command)
    def shown(*args: Any, quiet: bool, **parameters: Any) -> Any:
        from zoo.cli.progress import Progress

        with Progress(quiet=quiet), stages.within(stages.LOADING):
            return command(*args, **parameters)

    return quiet_option(shown)  # type: ignore[return-value]  # click's decorators keep the function


quiet_option = click.option("--quiet", is_flag=True, help="No progress on stderr.")
offline_option = click.option("--offline", is_flag=True, help="Make no network request.")
