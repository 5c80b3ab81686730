"""What a sweep and its workers say to each other: JSON, an object a line, over two pipes a worker."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, TypeAlias

from zoo.options.run import RunOptions
from zoo.sweeps.member import Member, Row

Message: TypeAlias = dict[str, Any]
_CHUNK = 1 << 16
_OF_MEMBER = ("member", "settings", "seed")  # of a row: the sweep knows them


def send(pipe: int, message: Mapping[str, Any]) -> None:
    """Write a message. Raises OSError where nobody reads any more."""
    data = memoryview(json.dumps(message).encode() + b"\n")
    while data:
        data = data[os.write(pipe, data) :]


class Reader:
    """Reads messages from a pipe."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._rest = b""
        self.ended = False

    def read(self) -> list[Message]:
        """Wait until something was written, and return the messages that are complete; none at the end."""
        chunk = os.read(self._pipe, _CHUNK)
        self.ended = not chunk
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [json.loads(line) for line in lines]

    def __iter__(self) -> Iterator[Message]:
        while not self.ended:
            yield from self.read()


def of_member(member: Member, folder: Path | None, like: RunOptions) -> Message:
    """A member, by the options in which it differs from others that the worker knows."""
    options = {
        field.name: value
        for field in fields(RunOptions)
        if (value := getattr(member.options, field.name)) is not (known := getattr(like, field.name)) and value != known
    }
    others = {field.name: getattr(member, field.name) for field in fields(Member)}
    return {**others, "options": options, "folder": None if folder is None else str(folder)}


def member_of(message: Message, like: RunOptions) -> tuple[Member, Path | None]:
    """The member, and its folder, that `of_member` made a message of."""
    folder = message.pop("folder")
    member = Member(**{**message, "options": replace(like, **message["options"])})
    return member, None if folder is None else Path(folder)


def of_row(row: Row) -> Message:
    return {name: value for name, value in asdict(row).items() if name not in _OF_MEMBER}


def row_of(message: Message, member: Member) -> Row:
    """The row that `of_row` made a message of."""
    return Row(member.number, member.settings, member.seed, **message)
