"""What torch computes, as the operations of a program: `lower` finds the function for an operation of ATen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo.reports.net.lowering import indexing, layers, pointwise, rows
from zoo.reports.net.tracing import Tracer, UnsupportedError, Value

LOWERINGS = {**pointwise.LOWERINGS, **rows.LOWERINGS, **indexing.LOWERINGS, **layers.LOWERINGS}


def lower(tracer: Tracer, name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Value | None]:
    """The results of an operation of ATen; None for one that no net needs.

    Args:
        tracer: where the operations are added.
        name: of the operation, without its overload: `add`, not `add.Tensor`.
        args, kwargs: as torch has them, with values instead of tensors.

    Raises:
        UnsupportedError: it is not known, or not with such arguments.
    """
    lowering = LOWERINGS.get(name)
    if lowering is None:
        raise UnsupportedError(f"computes {name}, for which the page has no operation")
    found = lowering(tracer, *args, **kwargs)
    return list(found) if isinstance(found, tuple | list) else [found]
