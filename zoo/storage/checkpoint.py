"""Weights and training state on disk: safetensors with one metadata key and a digest that is checked.

safetensors is safe to read. This module adds, each against a fault seen in practice: contiguous tensors (others are
refused or written wrongly), exactly one metadata key (the order of several varies), a digest of the values (a flipped
bit would load silently), the mode of the umask, and reading all bytes before decoding any (a memory-mapped file changes
under its reader if it is overwritten).

A checkpoint is untrusted input: zoo never unpickles it, and never imports a module that it names.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from zoo.errors import CheckpointError, out_of_memory
from zoo.files import canonical_json, open_file, parse_json, write_bytes
from zoo.plugin.calling import pass_on
from zoo.storage.bounds import HeaderError, check_writable, read_header

METADATA_KEY = "zoo"
FORMAT = 1
_START_BYTES = 512  # enough to say what another file is
_MOST_NAMES, _MOST_CHARACTERS = 20, 100  # of tensors, in a message


@dataclass(frozen=True)
class Checkpoint:
    """A file's tensors, on the CPU, the JSON object in its metadata, and its size."""

    tensors: dict[str, Tensor]
    meta: dict[str, Any]
    file_bytes: int


def save(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write tensors and a JSON object, atomically; the same values give the same bytes.

    Raises:
        CheckpointError: see `pack`.
        OSError: the file cannot be written; the old file is kept.
    """
    write_bytes(path, pack(path.name, tensors, meta))


def pack(name: str, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> bytes:
    """The content of a file with tensors and a JSON object; the same values give the same bytes.

    Args:
        name: of the file, for messages.
        tensors: on any device.
        meta: what `load` gives back.

    Raises:
        CheckpointError: a tensor has a name that safetensors reserves, or the object could not be read back.
    """
    if "__metadata__" in tensors:
        raise CheckpointError("a tensor cannot be called '__metadata__': safetensors reserves that name")
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    record = {"format": FORMAT, **meta, "sha256": digest(plain)}
    record["meta_sha256"] = _meta_digest(record)
    text = canonical_json(record)
    try:
        parse_json(text)
    except ValueError as error:
        raise CheckpointError(f"{name} cannot hold this state: {error}") from error
    with _memory_errors_of_safetensors():
        content = safetensors.torch.save(plain, {METADATA_KEY: text})
    try:
        check_writable(content, plain)
    except HeaderError as error:
        raise CheckpointError(f"{name} cannot hold this state: {error}") from error
    return content


@contextlib.contextmanager
def _memory_errors_of_safetensors() -> Iterator[None]:
    """Raise MemoryError where safetensors gets no memory for its bytes.

    It panics then, with an exception of PyO3's that is no Exception and says that a pointer of Python is null.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ == "PanicException" and "pointer is null" in str(error):
            raise MemoryError("safetensors got no memory") from error
        raise


def load(path: Path) -> Checkpoint:
    """Read a file that `save` wrote.

    Raises:
        CheckpointError: the file is missing, unreadable, not safetensors, not of zoo, of a later format, or damaged.
    """
    tensors, header, size = _read(path)
    meta = _meta(path, header)
    if meta.get("sha256") != digest(tensors):
        raise CheckpointError(f"{path} is damaged: its tensors do not have the digest it states")
    if meta.get("meta_sha256") != _meta_digest(meta):
        raise CheckpointError(f"{path} is damaged: its config does not have the digest it states")
    return Checkpoint(tensors, meta, size)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], int]:
    """The tensors and the header of a file, and its size. Its bytes are freed on return."""
    try:
        with open_file(path) as file:
            start = file.read(_START_BYTES)
            file.seek(0)
            header = read_header(file)
            file.seek(0)
            content = file.read(os.fstat(file.fileno()).st_size)  # without a size it would be copied once more
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except HeaderError as error:
        raise CheckpointError(f"{path} is not an intact safetensors file: {_guess_content(start) or error}") from error
    handled = sys.exc_info()[1]
    try:
        with _memory_errors_of_safetensors():
            return safetensors.torch.load(content), header, len(content)
    except Exception as error:  # besides its own error, the library raises others for unexpected headers
        pass_on(error, handled)
        if out_of_memory(error):
            raise
        raise CheckpointError(f"{path} is not an intact safetensors file: {error}") from error


def load_meta(path: Path) -> dict[str, Any]:
    """The JSON object in the metadata of a file that `save` wrote, without reading its tensors.

    Raises:
        CheckpointError: as `load`, as far as the header tells.
    """
    try:
        with open_file(path) as file:
            meta = _meta(path, read_header(file))
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except HeaderError as error:
        raise CheckpointError(f"{path} is not an intact safetensors file: {error}") from error
    if meta.get("meta_sha256") != _meta_digest(meta):
        raise CheckpointError(f"{path} is damaged: its config does not have the digest it states")
    return meta


def digest(tensors: Mapping[str, Tensor]) -> str:
    """sha256 of names, types, shapes and values, sorted by name: independent of the layout of a file."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        sha.update(canonical_json([name, str(tensor.dtype), list(tensor.shape)]).encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def _meta_digest(meta: Mapping[str, Any]) -> str:
    """sha256 of the metadata: a flipped bit in a seed, for example, would otherwise load silently."""
    rest = {key: value for key, value in meta.items() if key != "meta_sha256"}
    return hashlib.sha256(canonical_json(rest).encode("utf-8", "surrogatepass")).hexdigest()


def fill(model: nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Copy tensors into a module, after checking names, shapes and types.

    Raises:
        CheckpointError: a tensor is missing, unexpected, or of another shape or type.
    """
    expected = model.state_dict()
    if tensors.keys() != expected.keys():
        missing, unexpected = expected.keys() - tensors.keys(), tensors.keys() - expected.keys()
        raise CheckpointError(
            f"{source} does not fit its config: missing tensors: {_some(missing)}; "
            f"unexpected tensors: {_some(unexpected)}"
        )
    for name, tensor in tensors.items():
        own = expected[name]
        if tensor.shape != own.shape or tensor.dtype != own.dtype:
            raise CheckpointError(
                f"{source} does not fit its config: {name!r} is {_describe(tensor)}, the model has {_describe(own)}"
            )
    model.load_state_dict(dict(tensors))


def _some(names: Collection[str]) -> str:
    """The first few of many names."""
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(name[:_MOST_CHARACTERS] for name in sorted(names)[:_MOST_NAMES]) + more or "none"


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"


def _meta(path: Path, header: Mapping[str, Any]) -> dict[str, Any]:
    try:
        metadata = header.get("__metadata__", {})
        if METADATA_KEY not in metadata:
            raise CheckpointError(
                f"{path} was not written by zoo: it has no {METADATA_KEY!r} metadata to rebuild the model from"
            )
        meta = parse_json(metadata[METADATA_KEY])
        version = meta["format"]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: its metadata cannot be read") from error
    if version != FORMAT:
        raise CheckpointError(f"{path} has format {version!r}; this zoo reads format {FORMAT}: a newer zoo may read it")
    return dict(meta)


def _guess_content(start: bytes) -> str | None:
    """What a file that does not begin as safetensors seems to be; more helpful than what is wrong with its header."""
    if not start:
        return "it is empty"
    start = start.lstrip()
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer; fetch the file itself with 'git lfs pull'"
    if start.lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it is a web page, perhaps saved in place of a download"
    if start.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        return "it is a pickled or zipped file (torch.save?), which zoo never loads"
    text = start.decode(errors="ignore")  # its last character may be cut
    if len(text.encode()) > len(start) - 4 and all(c.isprintable() or c in "\t\r\n" for c in text):
        return "it looks like text, and has no weights; name the folder of a run"
    return None
