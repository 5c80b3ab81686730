"""Doing a sweep: its members, as its strategy names them, until all are done; and resuming one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from zoo.ambient import in_neutral_state
from zoo.errors import CheckpointError, UsageError
from zoo.files import from_person
from zoo.options.sweep import BEST, NONE, SweepOptions
from zoo.plugin.registry import Registry
from zoo.runs.observer import Observer
from zoo.runs.plan import make_plan
from zoo.sweeps.folder import SWEEP_FILE, SWEEP_STATE_FILE, SweepFolder, read_sweep
from zoo.sweeps.member import FINISHED, Member, Row
from zoo.sweeps.pool import InTurn
from zoo.sweeps.request import Request, request_of
from zoo.sweeps.result import Sweep
from zoo.sweeps.strategy import Strategy, strategy_of


@in_neutral_state
def sweep(request: Request, registry: Registry, observer: Observer) -> Sweep:
    """Do a sweep.

    Raises:
        UsageError: what was asked for is wrong for every setting.
        ZooError: see `zoo.errors`. The members that are done are in its folder, with those under way.
    """
    strategy = strategy_of(request)
    check(strategy, registry)
    out = None if request.options.out is None else from_person(request.options.out)
    with SweepFolder.create(_name(request, registry), out) as folder:
        folder.write_json(SWEEP_STATE_FILE, _state_of(request))
        folder.write_json(SWEEP_FILE, _description(request))
        return _finish(request, strategy, folder, registry, observer)


@in_neutral_state
def resume_sweep(path: Path, registry: Registry, observer: Observer) -> Sweep:
    """Resume a sweep that was stopped or killed. What it ends with has the bytes of an uninterrupted one.

    Raises:
        UsageError: it is not a sweep.
        CheckpointError: its files are damaged.
    """
    with SweepFolder.open(path) as folder:
        request = _request_from(read_sweep(path, SWEEP_STATE_FILE), path)
        return _finish(request, strategy_of(request), folder, registry, observer)


def check(strategy: Strategy, registry: Registry) -> None:
    """Refuse what is wrong for every setting, before anything starts.

    Raises:
        UsageError: of the first setting.
    """
    errors: list[UsageError] = []
    settings = {repr(member.settings): member for member in strategy.members({})}
    for member in settings.values():
        try:
            make_plan(registry, member.options)
        except UsageError as error:
            errors.append(error)
    if errors and len(errors) == len(settings):
        raise errors[0]


def _finish(request: Request, strategy: Strategy, folder: SweepFolder, registry: Registry, observer: Observer) -> Sweep:
    members = _train(request, strategy, folder, registry, observer)
    folder.sort_rows()
    if request.options.keep == BEST:
        best = best_row(folder.rows)
        for member in members:
            if best is None or member.number != best.member:
                folder.remove_member(member)
    folder.write_json(SWEEP_FILE, _description(request) | {"finished": True})
    return Sweep(folder.path, [*folder.rows.values()])


def _train(
    request: Request, strategy: Strategy, folder: SweepFolder, registry: Registry, observer: Observer
) -> list[Member]:
    """Train all members that are not done; all of them."""
    pool, under_way = InTurn(registry, observer), set[int]()
    while True:
        members = strategy.members(folder.rows)
        waiting = [one for one in members if one.number not in folder.rows and one.number not in under_way]
        for member in waiting[: max(0, pool.free)]:
            pool.start(member, None if request.options.keep == NONE else folder.of_member(member))
            under_way.add(member.number)
        if not under_way:
            return [*members]
        row = pool.wait()
        under_way.discard(row.member)
        folder.add(row)


def best_row(rows: Mapping[int, Row]) -> Row | None:
    """The finished member with the smallest validation loss, the first of equals; None if none is finished."""
    finished = [row for row in rows.values() if row.state == FINISHED]
    return min(finished, key=lambda row: (row.losses["val"], row.member), default=None)


def _name(request: Request, registry: Registry) -> str:
    """Of its folder: the models' names."""
    return "+".join(registry.models.get(name).spec.name for name in request.models)


def _state_of(request: Request) -> dict[str, Any]:
    options = asdict(request.options) | {"out": None}
    return {"options": options, "given": {**request.same, **request.grid, "settings": request.settings}}


def _request_from(state: Mapping[str, Any], path: Path) -> Request:
    try:
        given = dict(state["given"])
        settings = {**given.pop("settings"), **{name: given.pop(name) for name in [*given] if "." in name}}
        return request_of(SweepOptions(**state["options"]), {**given, "settings": settings})
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path / SWEEP_STATE_FILE} is damaged: it is not the state of a sweep") from error


def _description(request: Request) -> dict[str, Any]:
    """What `sweep.json` says from the start."""
    return {
        "schema": 1,
        "models": request.models,
        "seeds": request.seeds,
        "grid": {name: [*values] for name, values in request.grid.items()},
        "same": {name: str(value) for name, value in request.same.items()},
        "settings": dict(request.settings),
        "finished": False,
    }
