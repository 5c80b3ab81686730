"""Reading the content of a data file, and what is said where that cannot be."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import ChangedDataError, DataError
from zoo.files import WrongDigestError, read_bytes, read_with_digest


@contextlib.contextmanager
def reading(path: Path, sha256: str | None) -> Iterator[None]:
    """A block in which a data file is read; what is wrong names the file.

    Args:
        path: the file.
        sha256: the digest that it must have, if any.

    Raises:
        ChangedDataError: it has another digest.
        DataError: it cannot be read or used.
    """
    try:
        yield
    except WrongDigestError as error:
        raise ChangedDataError(
            f"{path} has changed since this run was trained on it, or is another file: dataset.sha256 was {sha256} then"
        ) from error
    except OSError as error:
        raise DataError(f"cannot read {error.filename or path}: {error.strerror}") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def content_of(path: Path, sha256: str | None) -> bytes:
    """The content of a file, which may be a pipe; with a digest it must be a regular file that has it.

    Raises:
        OSError: it cannot be read.
        WrongDigestError: it has another digest.
    """
    return read_bytes(path, pipes=True) if sha256 is None else read_with_digest(path, sha256)
