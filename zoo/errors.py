"""What can go wrong for a person who uses zoo: one sentence each, with the exit code the command line gives it.

Everything derives from `ZooError`; anything else that escapes is a bug of zoo or of a plugin.
"""

from __future__ import annotations

from collections.abc import Iterable

_AS_LIKELY = 0.2  # how much less alike a second suggestion may be than the first


class ZooError(Exception):
    """A mistake or a mishap that one sentence explains. `str(error)` is that sentence."""

    exit_code = 1


class UsageError(ZooError):
    """What was asked for makes no sense: an unknown name or key, a value out of range, a device that is not there."""

    exit_code = 2


class UnknownNameError(UsageError):
    """No model, dataset, optimizer, preset or setting of that name."""


class AmbiguousNameError(UsageError):
    """A short name that several distributions use."""


class DeviceError(UsageError):
    """The device asked for does not exist, or this build of torch cannot use it."""


class EngineUnavailableError(UsageError):
    """An engine cannot train this model here; raised by a plugin's engine while it is made, with the reason."""


class PluginError(ZooError):
    """A plugin cannot be loaded, or breaks its side of the contract."""


class DataError(ZooError):
    """A dataset cannot be read or used."""


class UnavailableError(DataError):
    """Data that must come over the network, and could not."""


class CheckpointError(ZooError):
    """A checkpoint is missing, damaged, foreign, or does not fit its own config."""


class DivergedError(ZooError):
    """The loss stopped being a finite number."""


class InterruptedRunError(ZooError):
    """A run was stopped by a signal and has saved what it had."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number  # the shell's convention: 130 for Ctrl-C, 143 for SIGTERM


def suggest(name: str, known: Iterable[str], *, prefix: str = "") -> str:
    """The end of a sentence about an unknown name: the nearest known ones, or all of them when nothing is near.

    `prefix` goes before each name that is shown.
    """
    import difflib  # which only a mistake should wait for

    known = list(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if near:
        likeness = {one: difflib.SequenceMatcher(None, one, name).ratio() for one in near}
        near = [one for one in near if likeness[one] > likeness[near[0]] - _AS_LIKELY]
        return "did you mean " + " or ".join(repr(prefix + one) for one in near) + "?"
    if not known:
        return "there are none"
    shown = ", ".join(prefix + one for one in known[:12]) + (", …" if len(known) > 12 else "")
    return f"there are: {shown}"
