"""The workers as the sweep sees them: it starts them, gives each a member, and hears what becomes of it."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import time
import warnings
from pathlib import Path
from types import TracebackType

from zoo.data.sources.cache import DataCache
from zoo.errors import UsageError, ZooError
from zoo.options.run import RunOptions
from zoo.plugin.registry import Registry
from zoo.sweeps.member import FAILED, Member, Row
from zoo.sweeps.training import failed
from zoo.sweeps.workers.child import work
from zoo.sweeps.workers.messages import Message, Reader, of_member, row_of, send
from zoo.sweeps.workers.telling import Telling

_PATIENCE_S = 30.0  # for workers to save what they have; a step that takes longer is given up


class CannotForkError(Exception):
    """A fork of this process cannot train."""


class StoppedError(Exception):
    """A worker was told to stop by someone else, with the signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _Worker:
    """One of them."""

    def __init__(self, process: int, commands: int, results: int) -> None:
        self.process = process
        self.commands = commands
        self.results = results
        self.reader = Reader(results)
        self.given: tuple[Member, Path | None] | None = None
        self.ready = self.dismissed = False

    def dismiss(self) -> None:
        """No member comes any more: it ends after the one that it has, if nothing stops it before."""
        if not self.dismissed:
            os.close(self.commands)
            self.dismissed = True

    def end(self) -> int | None:
        """Close its pipes and wait until it has ended: its exit code, or less than 0 for a signal; None: not known."""
        self.dismiss()
        os.close(self.results)
        try:
            return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        except ChildProcessError:  # the caller's process takes care of all its children itself
            return None


class ForkedWorkers:
    """Trains members in processes that are forked from this one; see `zoo.sweeps.workers.pool.Pool`.

    The fork has all that this process has imported and read. It has one thread, and no more is asked of it: libraries
    that compute with several cannot be used in a fork once their threads have run.
    """

    def __init__(self, registry: Registry, telling: Telling, data: DataCache, like: RunOptions, jobs: int) -> None:
        """Args:
        registry, telling, data: of the sweep.
        like: the options of one of its members.
        jobs: how many workers there are at most.
        """
        self._registry, self._telling, self._data, self._like = registry, telling, data, like
        self._jobs = jobs
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()
        self._killed: set[int] = set()  # the numbers of members whose worker was killed
        self._again: list[tuple[Member, Path | None]] = []

    def __enter__(self) -> ForkedWorkers:
        try:
            self._fork()
            self._await_first()
        except BaseException:
            self._end(kill=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(kill=False)

    @property
    def free(self) -> int:
        return self._jobs - sum(worker.given is not None for worker in self._workers) - len(self._again)

    def start(self, member: Member, folder: Path | None) -> None:
        worker = next((worker for worker in self._workers if worker.given is None), None) or self._fork()
        worker.given = member, folder
        with contextlib.suppress(BrokenPipeError):  # it has died, as `wait` will see
            send(worker.commands, of_member(member, folder, self._like))

    def wait(self) -> Row:
        while True:
            while self._again:
                self.start(*self._again.pop())
            for key, _ in self._selector.select():
                row = self._hear(key.data)
                if row is not None:
                    return row

    def _hear(self, worker: _Worker) -> Row | None:
        """Read what a worker says; the row of its member, if that is done."""
        row = None
        for message in worker.reader.read():
            row = self._take(worker, message) or row
        return self._lost(worker) or row if worker.reader.ended else row

    def _take(self, worker: _Worker, message: Message) -> Row | None:
        if "warning" in message:
            self._telling.warning(message["warning"], None if worker.given is None else worker.given[0].number)
        elif "at" in message and worker.given is not None:
            self._telling.at(worker.given[0].number, *message["at"])
        elif "row" in message:
            assert worker.given is not None
            (member, _), worker.given = worker.given, None
            return row_of(message["row"], member)
        elif "stopped" in message:
            raise StoppedError(message["stopped"])
        elif "error" in message:
            raise _error(message["error"])
        worker.ready = True
        return None

    def _lost(self, worker: _Worker) -> Row | None:
        """A worker has ended that was not asked to. What killed it may not have been meant for its member: try again.

        The system kills a process where memory runs out, of whichever process.
        """
        self._forget(worker)
        code = worker.end()
        if worker.given is None:
            return None
        member, folder = worker.given
        if code == -signal.SIGKILL and member.number not in self._killed:
            self._killed.add(member.number)
            self._again.append((member, folder))
            return None
        memory = ", as the system does where memory runs out" if code == -signal.SIGKILL else ""
        how = f"was killed (signal {-code}){memory}" if code is not None and code < 0 else "ended by itself"
        return failed(member, FAILED, f"the worker {how}")

    def _fork(self) -> _Worker:
        commands, results = os.pipe(), os.pipe()
        mine, its = (commands[1], results[0]), (commands[0], results[1])
        others = [*mine, *(pipe for worker in self._workers for pipe in (worker.commands, worker.results))]
        parent = os.getpid()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of threads: what they hold is not used in it
                process = os.fork()
            if process == 0:
                work(self._registry, self._like, self._data, *its, parent, others)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for pipe in its:
            os.close(pipe)
        worker = _Worker(process, *mine)
        self._workers.append(worker)
        self._selector.register(worker.results, selectors.EVENT_READ, worker)
        return worker

    def _await_first(self) -> None:
        """Raises CannotForkError where the first worker cannot train."""
        worker = self._workers[0]
        while not worker.ready:
            try:
                self._hear(worker)
            except ZooError as error:
                raise CannotForkError(str(error)) from error
            if worker not in self._workers:
                raise CannotForkError("a fork of this process ends at once")

    def _forget(self, worker: _Worker) -> None:
        self._selector.unregister(worker.results)
        self._workers.remove(worker)

    def _end(self, *, kill: bool) -> None:
        """Stop the workers: those that train save what they have. A second Ctrl-C ends them at once."""
        busy = {worker.results: worker for worker in self._workers if worker.given is not None}
        try:
            for worker in self._workers:
                worker.dismiss()
            for worker in busy.values():
                _signal(worker, signal.SIGKILL if kill else signal.SIGTERM)
            deadline = time.monotonic() + _PATIENCE_S
            while busy and (left := deadline - time.monotonic()) > 0:
                for key, _ in self._selector.select(left):
                    worker = key.data
                    worker.reader.read()  # what it says now, a resumption finds out
                    if worker.reader.ended:
                        busy.pop(worker.results, None)
                        self._selector.unregister(worker.results)
        finally:
            for worker in self._workers:
                if worker.results in busy:
                    _signal(worker, signal.SIGKILL)
                worker.end()
            self._workers.clear()
            self._selector.close()


def _signal(worker: _Worker, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker.process, number)


def _error(told: Message) -> Exception:
    """The error that ended a worker, in this process."""
    if "errno" in told:
        return OSError(told["errno"], told["strerror"], told["filename"])
    return UsageError(told["message"]) if told["exit_code"] == UsageError.exit_code else ZooError(told["message"])
