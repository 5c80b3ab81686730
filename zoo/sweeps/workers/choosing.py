"""What a sweep does before its first member: it reads the data, starts the engines, and decides who trains."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from zoo import cuda
from zoo.data.sources.cache import DataCache
from zoo.errors import DataError, UsageError
from zoo.options.sweep import SweepOptions
from zoo.phrasing import option
from zoo.plots.worker import usable_cores
from zoo.plugin.registry import Registry
from zoo.runs.clock import Clock
from zoo.runs.observer import Observer
from zoo.runs.plan import make_plan
from zoo.runs.prepare import device_of, prepare, tell_once
from zoo.sweeps.member import Member
from zoo.sweeps.strategy import settings_key
from zoo.sweeps.workers.forked import CannotForkError, ForkedWorkers
from zoo.sweeps.workers.pool import InTurn, Pool
from zoo.sweeps.workers.telling import Telling
from zoo.sweeps.workers.together import Together, may_be_together

_ON_CPU, _ON_GPU = 32, 128  # members at once: more are no faster on a core; a GPU has about as many multiprocessors
_FORKS = sys.platform == "linux"  # macOS has libraries that cannot be used in a fork


class Prepared(NamedTuple):
    """What is known of the members of a sweep before the first is trained.

    Attributes:
        on_cpu: whether the CPU trains all of them.
        data: the name and the digest of the data of the first that can be trained; None if none can.
        together: whether there is an engine for populations for some of them.
    """

    on_cpu: bool = True
    data: tuple[str, str] | None = None
    together: bool = False


def first_of_settings(members: Sequence[Member]) -> list[Member]:
    """The first member of each setting."""
    return [*{repr(member.settings): member for member in reversed(members)}.values()][::-1]


def refuse_wrong_values(settings: Sequence[Member], wrong: Mapping[int, UsageError], *, has_all: bool) -> None:
    """Raise the first error of a value that is wrong in every setting that has it: a misspelt name, for instance.

    Args:
        settings: a member of each.
        wrong: what is wrong with them, by the member's number.
        has_all: whether these are all settings that there will be; otherwise nothing is refused unless all are wrong.
    """
    failing = [member for member in settings if member.number in wrong]
    of_all, of_failing = (
        Counter(value for member in members for value in settings_key(member.settings))
        for members in (settings, failing)
    )
    for member in failing:
        values = settings_key(member.settings)
        if len(failing) == len(settings) or (has_all and any(of_all[one] == of_failing[one] for one in values)):
            raise wrong[member.number]


def prepare_members(
    settings: Sequence[Member], registry: Registry, observer: Observer, data: DataCache, *, has_all: bool = False
) -> Prepared:
    """Read the data and start the engines, as the first members need them; all that follow have them then.

    Args:
        settings, has_all: as `refuse_wrong_values` takes them.
        registry, observer, data: of the sweep.

    Raises:
        UsageError: a value is wrong in every setting that has it.
        DataError: the data cannot be had or used.
    """
    wrong: dict[int, UsageError] = {}
    known, ready = Prepared(), set[object]()
    for member in settings:
        parts = member.options.model, member.options.preset, member.options.engine
        if parts in ready and not cuda.is_available():  # where there is a GPU, the sizes of each decide
            continue
        try:
            plan = make_plan(registry, member.options)
            run = prepare(plan, device_of(plan, observer), observer, Clock(), data=data)
            tell_once(run, observer, data)
            of = run.config["dataset"]["name"], run.config["dataset"]["sha256"]
            on_cpu = known.on_cpu and run.device.type == "cpu"
            known = Prepared(on_cpu, known.data or of, known.together or may_be_together(run))
            ready.add(parts)
        except DataError:
            raise
        except UsageError as error:
            wrong[member.number] = error
        except Exception:  # noqa: S110  # its row will tell
            pass
    refuse_wrong_values(settings, wrong, has_all=has_all)
    return known


def check_jobs(options: SweepOptions, threads: int) -> None:
    """Raises UsageError where members of several threads are to be trained side by side."""
    if options.jobs is not None and options.jobs > 1 and threads > 1:
        both = f"{option('jobs', options.jobs)} and {option('threads', threads)}"
        raise UsageError(f"{both} exclude each other: members that are trained side by side have one thread each")


@contextlib.contextmanager
def pool_of(
    options: SweepOptions, first: Member, registry: Registry, telling: Telling, data: DataCache, known: Prepared
) -> Iterator[Pool]:
    """Who trains the members: workers, one on each core; or this process, where a fork of it cannot, or many at once.

    Args:
        options, registry, telling, data: of the sweep.
        first: one of its members.
        known: what is known of them.
    """
    jobs, like = options.jobs or usable_cores(), first.options
    with contextlib.ExitStack() as stack:
        pool: Pool = InTurn(registry, telling, data)
        if known.together and first.until is None:  # one that halts goes on alone
            pool = stack.enter_context(Together(registry, telling, data, most=_ON_CPU if known.on_cpu else _ON_GPU))
        elif _FORKS and known.on_cpu and jobs > 1 and like.threads == 1:
            try:
                pool = stack.enter_context(ForkedWorkers(registry, telling, data, like, jobs))
            except CannotForkError as error:
                telling.warning(f"members are trained one after the other, in this process: {error}")
        yield pool
