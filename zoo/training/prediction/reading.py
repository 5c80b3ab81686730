"""Reading the inputs of a model from a file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import DataError, UsageError
from zoo.files import read_bytes
from zoo.phrasing import option
from zoo.text import shown

ARRAY, TABLES = ".npy", (".csv", ".tsv")
_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".joblib", ".npz")


def read_inputs(path: Path, columns: object, who: str) -> Any:
    """The inputs in a file, shape (N, ...): an array of NumPy, or the rows of a table.

    Args:
        path: `.npy`; or `.csv` or `.tsv`, of which the columns that the model was trained on are read by their names.
        columns: as the data of the model provides them; None where it was not trained on a table.
        who: the model, for messages.

    Raises:
        UsageError: the file has another suffix, or is a table and the model was trained on none.
        DataError: it cannot be read, or does not fit.
    """
    suffix = path.suffix.lower()
    if suffix == ARRAY:
        return _read_array(path)
    if suffix in TABLES:
        if columns is None:
            raise UsageError(
                f"{option('input')} {shown(path)} is a table, and {who} was not trained on one: give a .npy file"
            )
        from zoo.data.tables.dataset import read_features

        return read_features(path, suffix.removeprefix("."), columns)
    wanted = "write the array with numpy.save, and give the .npy file" + " or a .csv" * (columns is not None)
    if suffix in _PICKLES:
        raise UsageError(f"{option('input')} {shown(path)}: a file that may hold pickles is not read: {wanted}")
    raise UsageError(
        f"{option('input')} {shown(path)} has none of the suffixes {', '.join((ARRAY, *TABLES))}: {wanted}"
    )


def _read_array(path: Path) -> Any:
    try:
        found = np.load(io.BytesIO(read_bytes(path, pipes=True)), allow_pickle=False)
    except OSError as error:
        raise DataError(f"cannot read {error.filename or path}: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise DataError(f"{path} is no array that numpy.save wrote: {error}") from error
    if not isinstance(found, np.ndarray):
        raise DataError(f"{path} holds several arrays: give a .npy file with one")
    return found
