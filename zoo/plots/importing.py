"""Importing matplotlib, whatever the user's settings for it are, and wherever it cannot keep its files.

matplotlib cannot be imported under an unknown `MPLBACKEND` or a settings file that is not UTF-8, and where no folder
can be written for its list of fonts. None of this matters to the plots of a run, so it is then imported without the
user's settings, and with a folder that is removed afterwards.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from zoo.plugin.calling import pass_on

_NO_SETTINGS = {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}


def import_figures(scratch: Path | None = None) -> ModuleType:
    """The module `zoo.plots.figures`.

    Args:
        scratch: a folder that can be written; nothing is left in it.

    Raises:
        Exception: matplotlib is not installed, or cannot be imported in any way.
    """
    handled = sys.exc_info()[1]
    if sys.modules.get("matplotlib.figure") is None:
        with _quiet():
            try:
                from zoo.plots import figures
            except ImportError:
                raise
            except Exception as error:  # many kinds: see above
                pass_on(error, handled)
                _forget_half_imported()
                with _folder_of_its_own(scratch), _without_settings():
                    from zoo.plots import figures
            return figures
    from zoo.plots import figures

    return figures


@contextlib.contextmanager
def _without_settings() -> Iterator[None]:
    """The environment without the user's settings of matplotlib, for the time of its import."""
    with _environment(_NO_SETTINGS), contextlib.ExitStack() as stack:
        if Path("matplotlibrc").exists():  # which matplotlib would read
            stack.enter_context(contextlib.chdir(os.sep))
        yield


@contextlib.contextmanager
def _folder_of_its_own(scratch: Path | None) -> Iterator[None]:
    """A temporary folder for matplotlib's files: where temporary files are, or else in `scratch`."""
    with contextlib.ExitStack() as stack:
        places = [None, None if scratch is None else scratch.absolute()]
        for number, place in enumerate(places, start=1):
            try:
                made = tempfile.TemporaryDirectory(prefix=".matplotlib.", dir=place, ignore_cleanup_errors=True)
            except OSError:
                if number == len(places):
                    raise
            else:
                stack.enter_context(_environment({"MPLCONFIGDIR": stack.enter_context(made)}))
                break
        yield


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for the time of a block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing of matplotlib on stderr about settings that are not used and folders that are replaced."""
    logger = logging.getLogger("matplotlib")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _forget_half_imported() -> None:
    """Let a failed import of matplotlib begin anew; extension modules stay, because they can be loaded once only."""
    if "matplotlib" in sys.modules:  # the package itself is there: Python has forgotten the module that failed
        return
    for name, module in list(sys.modules.items()):
        if name.startswith("matplotlib.") and str(getattr(module, "__file__", "")).endswith(".py"):
            del sys.modules[name]
