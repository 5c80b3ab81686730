"""Weights and training state on disk: safetensors, with one canonical metadata key, and a digest that is checked.

safetensors is safe to read but promises little else. What this file adds, each for a fault seen in practice: tensors
are made contiguous (others are refused or written wrongly), there is exactly one metadata key (with several, the bytes
differ from save to save), the values have a digest (a flipped bit would load silently), the file gets the umask's mode,
and the bytes are read before anything is decoded (a mapped file that is written over changes under its reader).

Checkpoints are data: nothing here, or anywhere in zoo, unpickles or imports what a checkpoint says.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from zoo.errors import CheckpointError
from zoo.files import canonical_json, parse_json, read_bytes, write_bytes

METADATA_KEY = "zoo"
FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """A file's tensors, on the CPU, and the JSON object that came with them."""

    tensors: dict[str, Tensor]
    meta: dict[str, Any]


def save(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write tensors and a JSON-able object, atomically; the same values give the same bytes.

    Raises:
        CheckpointError: a tensor has a name that safetensors reserves, or the object could not be read back.
        OSError: the file cannot be written; what stood there still does.
    """
    if "__metadata__" in tensors:
        raise CheckpointError("a tensor cannot be called '__metadata__': safetensors reserves that name")
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    record = {"format": FORMAT, **meta, "sha256": digest(plain)}
    record["meta_sha256"] = _meta_digest(record)
    text = canonical_json(record)
    try:
        parse_json(text)
    except ValueError as error:  # better now than when it is to be read
        raise CheckpointError(f"{path} cannot hold this state: {error}") from error
    write_bytes(path, safetensors.torch.save(plain, {METADATA_KEY: text}))


def load(path: Path) -> Checkpoint:
    """Read a file that `save` wrote.

    Raises:
        CheckpointError: it is missing, unreadable, not safetensors, not written by zoo, of a later format, or damaged.
    """
    try:
        content = read_bytes(path)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    try:
        tensors = safetensors.torch.load(content)
    except Exception as error:  # the library's own error, and others for headers it does not expect
        raise CheckpointError(f"{path} is not a whole safetensors file: {_what_it_is(content) or error}") from error
    meta = _meta(path, content)
    if meta.get("sha256") != digest(tensors):
        raise CheckpointError(f"{path} is damaged: its tensors do not have the digest it states")
    if meta.get("meta_sha256") != _meta_digest(meta):
        raise CheckpointError(f"{path} is damaged: its config does not have the digest it states")
    return Checkpoint(tensors, meta)


def digest(tensors: Mapping[str, Tensor]) -> str:
    """sha256 over names, types, shapes and values, in the order of the names: the same however a file lays them out."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        sha.update(canonical_json([name, str(tensor.dtype), list(tensor.shape)]).encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def _meta_digest(meta: Mapping[str, Any]) -> str:
    """sha256 over the metadata: a flipped bit in a seed would otherwise load in silence."""
    rest = {key: value for key, value in meta.items() if key != "meta_sha256"}
    return hashlib.sha256(canonical_json(rest).encode("utf-8", "surrogatepass")).hexdigest()


def fill(model: nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Copy tensors into a module, once names, shapes and types have been found to fit.

    Raises:
        CheckpointError: something is missing, left over, or of another shape or type.
    """
    wanted = model.state_dict()
    if tensors.keys() != wanted.keys():
        missing = ", ".join(sorted(wanted.keys() - tensors.keys())) or "none"
        unexpected = ", ".join(sorted(tensors.keys() - wanted.keys())) or "none"
        raise CheckpointError(
            f"{source} does not fit its config: missing tensors: {missing}; unexpected tensors: {unexpected}"
        )
    for name, tensor in tensors.items():
        want = wanted[name]
        if tensor.shape != want.shape or tensor.dtype != want.dtype:
            raise CheckpointError(
                f"{source} does not fit its config: {name!r} is {_describe(tensor)}, the model has {_describe(want)}"
            )
    model.load_state_dict(dict(tensors))


def flatten_state(state: Mapping[str, Any], prefix: str) -> tuple[dict[str, Tensor], Any]:
    """Part a nested state (an optimizer's) into named tensors, and JSON in which `{"tensor": name}` marks a place."""
    tensors: dict[str, Tensor] = {}

    def walk(value: Any, name: str) -> Any:
        if isinstance(value, Tensor):
            while name in tensors:  # the keys 1 and "1" are two
                name += "~"
            tensors[name] = value
            return {"tensor": name}
        if isinstance(value, Mapping):
            # a list of pairs: the keys of an optimizer's state are numbers, which JSON would turn into text
            return {"items": [[key, walk(item, f"{name}.{key}")] for key, item in value.items()]}
        if isinstance(value, list | tuple):
            return {type(value).__name__: [walk(item, f"{name}.{i}") for i, item in enumerate(value)]}
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise CheckpointError(f"the state {name!r} is a {type(value).__name__}, which a checkpoint cannot hold")

    return tensors, walk(state, prefix)


def unflatten_state(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of `flatten_state`.

    Raises:
        CheckpointError: the tree is not one that `flatten_state` makes, or names a tensor that is not there.
    """
    if not isinstance(tree, dict):
        return tree
    try:
        [(kind, content)] = tree.items()
        if kind == "tensor":
            return tensors[content]
        if kind == "items":
            return {key: unflatten_state(item, tensors) for key, item in content}
        return {"list": list, "tuple": tuple}[kind](unflatten_state(item, tensors) for item in content)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError("the training state is damaged") from error


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"


def _meta(path: Path, content: bytes) -> dict[str, Any]:
    try:
        header = parse_json(content[8 : 8 + int.from_bytes(content[:8], "little")])
        metadata = header.get("__metadata__", {})
        if METADATA_KEY not in metadata:
            raise CheckpointError(
                f"{path} was not written by zoo: it has no {METADATA_KEY!r} metadata to rebuild it from"
            )
        meta = parse_json(metadata[METADATA_KEY])
        version = meta["format"]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: its metadata cannot be read") from error
    if version != FORMAT:
        raise CheckpointError(f"{path} has format {version!r}; this zoo reads format {FORMAT}: a newer zoo may read it")
    return dict(meta)


def _what_it_is(content: bytes) -> str | None:
    """What a file that is no safetensors file seems to be: people are helped more by that than by a parser's words."""
    start = content[:512].lstrip()
    if not content:
        return "it is empty"
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer; fetch the file itself with 'git lfs pull'"
    if start.lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it is a web page, perhaps saved in place of a download"
    if start.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        return "it is a pickled or zipped file (torch.save?), which zoo never loads"
    header_end = 8 + int.from_bytes(content[:8], "little")
    if len(content) < 8 or header_end > len(content):
        return "it is cut short, or something else altogether"
    with contextlib.suppress(Exception):  # it may hold anything
        header = json.loads(content[8:header_end])
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        if header_end + max(ends) > len(content):
            return f"it is cut short ({len(content)} bytes of {header_end + max(ends)})"
    return None
