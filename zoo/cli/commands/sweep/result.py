"""What a sweep came to, for a person and for a program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from zoo.cli import output
from zoo.cli.table import print_table, wrapped
from zoo.numbers import show_loss
from zoo.options.sweep import HALVING
from zoo.options.values import as_text
from zoo.phrasing import command
from zoo.sweeps.member import STATES, name_of
from zoo.sweeps.results.sweep import MOST_RANKED, Sweep
from zoo.sweeps.sheet import SHEET_FILE
from zoo.verdicts.sentences import as_json as verdict_as_json

if TYPE_CHECKING:
    from zoo.sweeps.results.settings import Setting
    from zoo.sweeps.shares.sharing import Part


def print_sweep(sweep: Sweep | Part, *, as_json: bool) -> None:
    """The result of a sweep: one JSON object, or a table of its settings; of a share, how much of all is done."""
    if not isinstance(sweep, Sweep):
        _print_part(sweep, as_json=as_json)
        return
    output.keep_in_mind(str(sweep.path))
    if as_json:
        output.json_object(as_object(sweep))
        return
    counts = [f"{count:,} {state}" for state, count in _states(sweep).items() if count and state != "finished"]
    lost = f", {', '.join(counts)}" if counts else ""
    output.lines(f"{len(sweep):,} member{'s' * (len(sweep) != 1)} of {_shown(len(sweep.settings))}{lost}", "")
    _print_settings(sweep)
    _print_reasons(sweep)
    if sweep.sentences:
        output.lines("", *(part for said in sweep.sentences for part in _wrapped(said)))
    output.lines("")
    best = sweep.best_row
    if best is not None and (path := sweep.path / name_of(best.member)).exists():
        output.lines(f"The best member is {path}, with validation loss {show_loss(best.losses['val'])}")
    output.lines(f"Everything is in {sweep.path}")


def _print_settings(sweep: Sweep) -> None:
    """A row for each setting; of a search for the best ones, and of halving with their steps."""
    settings = sweep.ranked
    names = list(dict.fromkeys(name for one in settings for name in one.settings))
    shown = settings if sweep.search is None else settings[:MOST_RANKED]
    columns = [*(name if "." in name else name.replace("_", " ") for name in names), "validation loss", "n", "lost"]
    rows = [(*(_value(one, name) for name in names), *_cells(one)) for one in shown]
    if not any(len(one.values) < len(one.rows) for one in settings):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    if sweep.search == HALVING:
        columns, rows = [*columns, "steps"], [(*row, f"{one.steps:,}") for row, one in zip(rows, shown, strict=True)]
    print_table(columns, rows, right=[*columns])
    if len(shown) < len(settings):
        output.lines("", f"and {len(settings) - len(shown):,} more settings, which {SHEET_FILE} has")


def _wrapped(said: str) -> list[str]:
    """A sentence in lines of the terminal's width; a command stays one, to be copied."""
    return [said] if said.startswith("zoo ") else wrapped(said)


def as_object(sweep: Sweep) -> dict[str, Any]:
    """As `--json` has it."""
    best = sweep.best_row
    return {
        "sweep_dir": str(sweep.path),
        "members": len(sweep),
        "states": _states(sweep),
        "settings": [
            {
                "settings": dict(one.settings),
                "n": len(one.values),
                "mean": one.mean,
                "sd": one.sd,
                "states": {state: count for state in STATES if (count := one.count(state))},
            }
            for one in sweep.settings
        ],
        "sentences": [*sweep.sentences],
        "verdict": None if sweep.verdict is None else verdict_as_json(sweep.verdict),
        "best": None if best is None else {**asdict(best), "run_dir": str(sweep.path / name_of(best.member))},
    }


def _print_part(part: Part, *, as_json: bool) -> None:
    if as_json:
        found = {"sweep_dir": str(part.path), "share": str(part.share), "members": part.of, "done": part.done}
        output.json_object(found)
        return
    output.lines(
        f"Share {part.share} is done, and with it {part.done:,} of the {part.of:,} members of {part.path}; the last "
        f"share to end puts all together, or: {command('resume', part.path)}"
    )


def _states(sweep: Sweep) -> Mapping[str, int]:
    return {state: sum(row.state == state for row in sweep) for state in STATES}


def _shown(settings: int) -> str:
    return "one setting" if settings == 1 else f"{settings:,} settings"


def _value(one: Setting, name: str) -> str:
    return as_text(one.settings[name]) if name in one.settings else "-"


def _cells(one: Setting) -> tuple[str, str, str]:
    """The mean with the standard deviation, how many are finished, and how many are not."""
    mean, sd, n = one.mean, one.sd, len(one.values)
    spread = "" if sd is None else f" ± {show_loss(sd)}"
    lost = len(one.rows) - n
    return "-" if mean is None else f"{show_loss(mean)}{spread}", f"{n:,}", f"{lost:,}" if lost else ""


def _print_reasons(sweep: Sweep) -> None:
    """Why members have no result: each reason once, with the first member that has it."""
    reasons: dict[str, list[int]] = {}
    for row in sweep:
        if row.reason:
            reasons.setdefault(row.reason, []).append(row.member)
    for reason, members in [*reasons.items()][:5]:
        named = f"Member {members[0]}" if len(members) == 1 else f"{len(members):,} members, the first {members[0]}"
        output.lines("", *wrapped(f"{named}: {reason}"))
