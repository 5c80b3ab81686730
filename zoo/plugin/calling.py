"""Calling the code of plugins: an exception that it raises becomes one message that names the plugin."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from zoo.errors import PluginError, UsageError, ZooError


@contextlib.contextmanager
def plugin_errors(who: str, what: str, *, refused: str | None = None) -> Iterator[None]:
    """Turn an exception of a plugin's code into a `ZooError`. One that is a `ZooError` already passes as it is.

    Args:
        who: `model 'trigram' of plugin zoo-trigram 1.0`.
        what: what failed: `cannot be made`.
        refused: where a ValueError refuses a value that the user gave: who refuses it, `model 'trigram'`. By default
            it is the plugin's fault, as any other exception.

    Raises:
        UsageError: a value was refused.
        PluginError: anything else was raised.
    """
    try:
        yield
    except ZooError:
        raise
    except Exception as error:  # a plugin may raise anything
        if refused is not None and isinstance(error, ValueError):
            raise UsageError(f"{refused}: {error}") from error
        raise PluginError(f"{who} {what}: {type(error).__name__}: {error}") from error
