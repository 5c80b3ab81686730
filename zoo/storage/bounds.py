"""What a checkpoint may cost: the one place that bounds it, for every command that reads one.

A checkpoint may come from anyone, and state anything. It costs no more than this, in `load`, `resume`, `verify`,
`eval`, `sample` and `plot` alike:

| of | at most |
|---|---|
| bytes read | the file, once its header says that the file has all of its tensors, and no more; half of the memory |
| header | 8 MiB, and a million values |
| tensors | 16,384 |
| memory to build the model | twice the file and 32 MiB |
| parameters, buffers | twice the tensors in the file, and 256: the file has those that the model keeps |
| modules | four times the tensors in the file, and 1,024 |
| seconds to build the model | 30 |

The seconds are counted whenever the model's code calls torch, or registers a part. A plugin that does neither for long,
while it computes with a setting of any size, must refuse what is too large itself.

`zoo.storage.checkpoint` writes nothing beyond the first three, so that what was saved can be loaded.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from torch import nn
from torch.nn.modules import module as hooks

from zoo.errors import CheckpointError
from zoo.files import MAX_JSON_BYTES, parse_json
from zoo.memory import fits, show_bytes
from zoo.storage.allocation import AllocationLimit

MAX_TENSORS = 1 << 14
MAX_HEADER_BYTES = MAX_JSON_BYTES
BUILD_SECONDS = 30.0
_SLACK_BYTES = 32 << 20  # for buffers that are not saved, such as masks
_SLACK_TENSORS = 256
_SLACK_MODULES = 1024

_LENGTH_BYTES = 8  # in which a safetensors file states the length of its header


class HeaderError(Exception):
    """A file does not begin as a safetensors file of its size does, or exceeds a bound."""


def read_header(file: BinaryIO) -> dict[str, Any]:
    """The header of a safetensors file, which fits its size and the bounds, before anything else is read.

    Raises:
        HeaderError: it does not.
    """
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    if length > size - _LENGTH_BYTES:
        raise HeaderError("it is truncated, or of another format")
    if length > MAX_HEADER_BYTES:
        raise HeaderError(f"its header has {length:,} bytes, more than {MAX_HEADER_BYTES:,}")
    try:
        header = parse_json(file.read(length))
        tensors = {name: entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"}
        spans = sorted((int(start), int(end)) for start, end in tensors.values())
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise HeaderError(f"its header cannot be read: {error}") from error
    check_count(len(tensors))
    ends = 0
    for start, end in spans:
        if start != ends or end < start:
            raise HeaderError("its tensors are not side by side")
        ends = end
    stated = _LENGTH_BYTES + length + ends
    if size < stated:
        raise HeaderError(f"it is truncated ({size} bytes of {stated})")
    if size > stated:
        raise HeaderError(f"it has {size} bytes, and by its header {stated}")
    if not fits(2 * size):
        raise HeaderError(f"it has {show_bytes(size)}, too much for the memory of this machine")
    return dict(header)


def check_count(tensors: int) -> None:
    """Refuse more tensors than a file may have. Raises HeaderError."""
    if tensors > MAX_TENSORS:
        raise HeaderError(f"it has {tensors:,} tensors, more than {MAX_TENSORS:,}")


def check_writable(content: bytes, tensors: Mapping[str, object]) -> None:
    """Refuse a file that could not be read back. Raises HeaderError."""
    check_count(len(tensors))
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise HeaderError(f"its header has {length:,} bytes, more than {MAX_HEADER_BYTES:,}")


@contextlib.contextmanager
def building(path: Path, file_bytes: int, tensors: int) -> Iterator[None]:
    """A context in which the model that a checkpoint asks for is built, within what its file justifies.

    Args:
        path: the file, for the message.
        file_bytes: its size.
        tensors: how many tensors of the model's it has.

    Raises:
        CheckpointError: the model exceeds a bound; raised before it takes much more.
    """
    larger = f"{path} is damaged: by its config the model would be far larger than the file"
    clock = _Clock(f"{path} is damaged: by its config the model takes more than {BUILD_SECONDS:g} s to build")
    own = threading.get_ident()  # the hooks are torch's, for all threads
    counts = {
        hooks.register_module_parameter_registration_hook: _Count(2 * tensors + _SLACK_TENSORS, larger, clock, own),
        hooks.register_module_buffer_registration_hook: _Count(2 * tensors + _SLACK_TENSORS, larger, clock, own),
        hooks.register_module_module_registration_hook: _Count(4 * tensors + _SLACK_MODULES, larger, clock, own),
    }
    with contextlib.ExitStack() as stack:
        for register, count in counts.items():
            stack.callback(register(count).remove)
        stack.enter_context(AllocationLimit(2 * file_bytes + _SLACK_BYTES, larger, each=clock.check))
        yield


class _Clock:
    def __init__(self, message: str) -> None:
        self._end = time.monotonic() + BUILD_SECONDS
        self._message = message

    def check(self) -> None:
        if time.monotonic() > self._end:
            raise CheckpointError(self._message)


class _Count:
    """Counts what is registered in modules by one thread."""

    stays_in_neutral_state = True  # see `zoo.ambient`

    def __init__(self, limit: int, message: str, clock: _Clock, thread: int) -> None:
        self._left = limit
        self._message = message
        self._clock = clock
        self._thread = thread

    def __call__(self, module: nn.Module, name: str, value: object) -> None:
        if threading.get_ident() != self._thread or value is None:
            return
        self._left -= 1
        if self._left < 0:
            raise CheckpointError(self._message)
        self._clock.check()
