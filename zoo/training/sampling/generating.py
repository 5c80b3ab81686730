"""What the `generate` of a model's spec makes: texts, or pictures.

Axes: N samples, H rows and W columns of a picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zoo.ambient.draws import seeded_draws
from zoo.data.splits import as_tensor
from zoo.errors import DataError, PluginError
from zoo.plugin.calling import plugin_call
from zoo.plugin.registry import Entry
from zoo.plugin.settings import Signature
from zoo.plugin.specs import GENERATE_INPUTS, ModelSpec
from zoo.training.building import evaluating
from zoo.training.sampling.options import checked_count

SECTION = "generate"  # of its settings: `zoo sample --set generate.KEY=VALUE`
_ROUNDED = 1e-4  # by how much a sum of float32 may miss 0 or 1


def generate_signature(entry: Entry[ModelSpec], offered: Mapping[str, Any]) -> Signature:
    """What a model's `generate` can be given: by zoo, and as settings.

    Raises:
        PluginError: it cannot be imported, or has no signature.
    """
    assert entry.spec.generate is not None
    return Signature(entry.load(entry.spec.generate), (*GENERATE_INPUTS, *offered))


def generate(
    entry: Entry[ModelSpec],
    model: nn.Module,
    n: int,
    seed: int,
    settings: Mapping[str, object],
    offered: Mapping[str, Any],
) -> list[str] | Tensor:
    """Sample `n` times with the `generate` of a model's spec.

    Args:
        entry: its spec and plugin.
        model: trained. It is in evaluation mode meanwhile, without gradients, and left as it was.
        n: how many samples.
        seed: of the CPU generator that it is given. torch's, NumPy's and Python's own are seeded with it, too.
        settings: its keyword arguments.
        offered: what else it may ask for by name.

    Returns:
        n texts; or pictures of shape (N, H, W) or (N, 3, H, W), float32 in 0..1, on the CPU.

    Raises:
        UsageError: `n` or a setting is out of range.
        PluginError: it fails, or returns something else.
    """
    n, who = checked_count(n), f"'generate' of {entry.who}"
    signature = generate_signature(entry, offered)
    values = signature.resolve(SECTION, settings, f"'generate' of {entry.title}")
    known = {"model": model, "n": n, "generator": torch.Generator().manual_seed(seed), **offered}
    asked = {name: known[name] for name in signature.inputs}
    assert entry.spec.generate is not None
    function = entry.load(entry.spec.generate)
    refused = who if settings else None  # without settings a ValueError is the plugin's own
    with plugin_call(who, "fails", refused=refused), seeded_draws(seed), torch.no_grad(), evaluating(model):
        made = function(**asked, **values)
    return _texts(made, n, who) if _is_texts(made) else _pictures(made, n, who)


def _is_texts(made: object) -> bool:
    return isinstance(made, list | tuple) and all(isinstance(text, str) for text in made)


def _texts(made: Any, n: int, who: str) -> list[str]:
    if len(made) != n:
        raise PluginError(f"{who} returns {len(made):,} texts where {n:,} are wanted")
    return list(made)


def _pictures(made: Any, n: int, who: str) -> Tensor:
    wanted = f"{n:,} texts, or pictures of shape ({n}, H, W) or ({n}, 3, H, W) in 0..1, are wanted"
    if isinstance(made, list | tuple):
        kinds = sorted({type(one).__name__ for one in made})
        made = torch.stack(list(made)) if made and kinds == ["Tensor"] and _alike(made) else made
    if not hasattr(made, "dtype") or not hasattr(made, "shape"):
        kind = f"a {type(made).__name__}" + (f" of {', '.join(kinds)}" if isinstance(made, list | tuple) else "")
        raise PluginError(f"{who} returns {kind}: {wanted}")
    try:
        pictures = as_tensor(SECTION, made)
    except DataError as error:
        raise PluginError(f"{who} returns no real numbers: {wanted}") from error
    shape = tuple(pictures.shape)
    if len(shape) == 4 and shape[1] == 1:
        pictures = pictures[:, 0]
    if shape[:1] != (n,) or not (pictures.ndim == 3 or (pictures.ndim == 4 and shape[1] == 3)) or not pictures.numel():
        raise PluginError(f"{who} returns shape {shape}: {wanted}")
    pictures = pictures.float()
    if not pictures.isfinite().all():
        raise PluginError(f"{who} returns pictures with NaN or infinity: numbers in 0..1 are wanted")
    low, high = float(pictures.min()), float(pictures.max())
    if low < -_ROUNDED or high > 1 + _ROUNDED:
        raise PluginError(f"{who} returns pictures with numbers from {low:g} to {high:g}: numbers in 0..1 are wanted")
    return pictures.clamp(0, 1)


def _alike(tensors: Any) -> bool:
    return len({(one.shape, one.dtype, one.device) for one in tensors}) == 1
