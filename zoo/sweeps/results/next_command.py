"""The command that is to be typed after a sweep: with the options of the sweep, and the settings that it found."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

from zoo.options.sweep import MOST_SEEDS
from zoo.phrasing import command
from zoo.sweeps.request import Request
from zoo.verdicts.verdict import Verdict

_MORE_BY_INTERIM_TESTS = 1.25  # a sequential test may need so many times the seeds of a single one
_WORTH_IT = 1000  # seeds; a difference that takes more matters to nobody


def with_settings(name: str, request: Request, settings: Mapping[str, Any], /, **more: Any) -> str:
    """`zoo run` or `zoo sweep` for the model of a sweep, with what its members shared and with these settings.

    Args:
        name: of the command.
        request: the sweep.
        settings: by the name of an option or `SECTION.KEY`, the model among them where several were swept.
        more: options of the command; None leaves out what the sweep was given.
    """
    given = {**request.same, "log": None, **request.settings, **settings, **more}
    model = given.pop("model")
    options = {key: _typed(key, value) for key, value in given.items() if value is not None and "." not in key}
    of_sections = {key: value for key, value in given.items() if value is not None and "." in key}
    return command(name, model, **options, **({"settings": of_sections} if of_sections else {}))


def until_decided(request: Request, verdict: Verdict) -> str | None:
    """The sweep that would settle what a verdict leaves open.

    Not the same settings with more seeds: that would be a second look, which `--until-decided` allows for.

    Returns:
        None where nothing is open, where that was done already, or where it would take too many seeds.
    """
    still_open = [one for one in verdict.comparisons if not one.is_shown]
    needed = [one.pairs.n + one.more_seeds for one in still_open if one.more_seeds is not None]
    if verdict.interim or not needed:
        return None
    most = math.ceil(_MORE_BY_INTERIM_TESTS * max(needed))
    if most > _WORTH_IT:
        return None
    more = {"most_seeds": most} if most > MOST_SEEDS else {}
    return with_settings("sweep", request, request.grid, until_decided=True, **more)


def _typed(name: str, value: Any) -> Any:
    """An option's value that can be typed; `...` for data and functions that Python code gave."""
    is_text = isinstance(value, str | os.PathLike)
    return value if is_text or (name != "dataset" and isinstance(value, int | float | list | tuple)) else "..."
