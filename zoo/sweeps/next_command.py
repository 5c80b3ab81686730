"""The command that is to be typed after a sweep: with the options of the sweep, and the settings that it found."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from zoo.phrasing import command
from zoo.sweeps.request import Request


def with_settings(name: str, request: Request, settings: Mapping[str, Any], **more: Any) -> str:
    """`zoo run` or `zoo sweep` for the model of a sweep, with what its members shared and with these settings.

    Args:
        name: of the command.
        request: the sweep.
        settings: by the name of an option or `SECTION.KEY`, the model among them where several were swept.
        more: options of the command; None leaves out what the sweep was given.
    """
    given = {**request.same, "log": None, **request.settings, **settings, **more}
    model = given.pop("model")
    options = {key: _plain(value) for key, value in given.items() if value is not None and "." not in key}
    of_sections = {key: value for key, value in given.items() if value is not None and "." in key}
    return command(name, model, **options, **({"settings": of_sections} if of_sections else {}))


def _plain(value: Any) -> Any:
    """An option's value that can be typed; `...` for data and functions that Python code gave."""
    return value if isinstance(value, str | int | float | list | tuple | os.PathLike) else "..."
