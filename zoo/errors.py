"""What can go wrong for a person who uses zoo: one sentence each, with the exit code the command line gives it.

Everything derives from `ZooError`; anything else that escapes is a bug of zoo or of a plugin.
"""

from __future__ import annotations


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
