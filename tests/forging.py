"""Checkpoints that state anything, with digests that are right: what `zoo.checkpoint.save` would refuse to write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from zoo import checkpoint
from zoo.files import canonical_json


def forge(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write a file as `checkpoint.save` does, without its looking at what it writes."""
    plain = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    record = {"format": checkpoint.FORMAT, **meta, "sha256": checkpoint.digest(plain)}
    record["meta_sha256"] = checkpoint._meta_digest(record)
    path.write_bytes(safetensors.torch.save(plain, {checkpoint.METADATA_KEY: canonical_json(record)}))
