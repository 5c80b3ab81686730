"""Checkpoints that state anything, with digests that are right: `zoo.storage.checkpoint.save` would refuse them."""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
from torch import Tensor

import zoo
from zoo import CheckpointError
from zoo.files import canonical_json
from zoo.storage import checkpoint

Change = Callable[..., Path]

MEMORY_BYTES = 64 << 20  # what a small file may cost

NET = {"model.hidden_size": 3, "model.embedding_dim": 2}


def forge(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write a file as `checkpoint.save` does, without its looking at what it writes."""
    plain = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    record = {"format": checkpoint.FORMAT, **meta, "sha256": checkpoint.digest(plain)}
    record["meta_sha256"] = checkpoint._meta_digest(record)
    path.write_bytes(safetensors.torch.save(plain, {checkpoint.METADATA_KEY: canonical_json(record)}))


def changer(run: Path) -> Change:
    """The fixture `change` for a run folder."""

    def sealed(
        place: str = "",
        value: object = None,
        *,
        name: str = "model.safetensors",
        tensors: Mapping[str, Tensor] | None = None,
    ) -> Path:
        path = run / name
        stored = checkpoint.load(path)
        meta = {key: stored.meta[key] for key in stored.meta if key not in ("format", "sha256", "meta_sha256")}
        if place:
            put(meta["config"], place, value)
        forge(path, stored.tensors if tensors is None else tensors, meta)
        return path

    return sealed


def put(config: Any, place: str, value: object) -> None:
    """Set what stands at `model.inputs.vocab_size`, say."""
    *parents, last = place.split(".")
    for parent in parents:
        config = config[parent]
    config[last] = value


def refusal(path: Path) -> str:
    """What `zoo.load` says about a file that it refuses."""
    with pytest.raises(CheckpointError) as caught:
        zoo.load(path)
    return str(caught.value)


def assert_one_line(outcome: Any) -> None:
    """A command in this process that found something damaged, and said so."""
    assert outcome.code == 1
    assert outcome.err.startswith("zoo: error: ")
    assert outcome.err.count("\n") == 1
    assert "unexpected" not in outcome.err
    assert "memory" not in outcome.err


def peak_growth(work: Callable[[], object]) -> int:
    """By how many bytes some work raises the peak of this process's memory."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("this system does not let the peak of memory be measured anew")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
