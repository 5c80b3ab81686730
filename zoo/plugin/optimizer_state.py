"""What the state of an optimizer may hold, and its form in a file: named tensors, and JSON for the rest.

A state may hold only what a resumed run gets back as it was, bit for bit: dense tensors, numbers, text, booleans, None,
and lists, tuples and mappings of these. Anything else is refused, before the first step where it is there by then.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo.engines import Optimizer
from zoo.errors import CheckpointError, PluginError
from zoo.files import canonical_json, parse_json
from zoo.plugin.calling import maker, plugin_errors

if TYPE_CHECKING:
    from torch import Tensor

PREFIX = "optimizer"
ALLOWED = "dense tensors, int, float, bool, str, None, and lists, tuples and dicts of these"
_PLAIN = (bool, float, type(None))
_INTEGERS = range(-(1 << 64) + 1, 1 << 64)  # of a JSON file, see `zoo.files.parse_json`
_NO_FILE_HAS = ("complex32", "quint8", "qint8", "qint32", "quint4x2", "quint2x4")  # types of tensors


def flatten_state(state: Mapping[str, Any], prefix: str, who: str = "the optimizer") -> tuple[dict[str, Tensor], Any]:
    """Split a nested state (of an optimizer) into named tensors and JSON with `{"tensor": name}` in their places.

    NaN and infinities, which JSON has not, are `{"float": bits}`, with their 64 bits in hexadecimal.

    Raises:
        PluginError: it holds something that would not come back as it was; named are `who`, the key and the type.
    """
    import torch  # here, because `zoo list` imports this package

    tensors: dict[str, Tensor] = {}

    def refused(name: str, what: str) -> PluginError:
        return PluginError(f"{who} keeps {name!r} in its state, {what}: a state may hold {ALLOWED}")

    def walk(value: Any, name: str) -> Any:
        if isinstance(value, torch.Tensor):
            if value.layout != torch.strided or str(value.dtype).removeprefix("torch.") in _NO_FILE_HAS:
                raise refused(name, f"a tensor of layout {value.layout} and type {value.dtype}")
            while name in tensors:  # the keys 1 and "1" give the same name
                name += "~"
            tensors[name] = value
            return {"tensor": name}
        if isinstance(value, Mapping):
            for key in value:
                if type(key) not in (int, str) or not _is_plain(key):
                    raise refused(name, f"with {_type_name(key)} as a key")
            # a list of pairs: the keys of an optimizer's state are integers, which JSON would turn into text
            return {"items": [[key, walk(item, f"{name}.{key}")] for key, item in value.items()]}
        if type(value) in (list, tuple):
            return {type(value).__name__: [walk(item, f"{name}.{i}") for i, item in enumerate(value)]}
        if type(value) is float and not math.isfinite(value):
            return {"float": struct.pack(">d", value).hex()}
        if _is_plain(value):
            return value
        raise refused(name, "too large an int" if type(value) is int else _type_name(value))

    try:
        return tensors, walk(state, prefix)
    except RecursionError as error:
        raise PluginError(f"{who} keeps a state that is nested too deeply: no file can hold it") from error


def unflatten_state(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of `flatten_state`.

    Raises:
        CheckpointError: the tree was not made by `flatten_state`, or names a missing tensor.
    """
    if not isinstance(tree, dict):
        return tree
    try:
        [(kind, content)] = tree.items()
        if kind == "tensor":
            return tensors[content]
        if kind == "float":
            return struct.unpack(">d", bytes.fromhex(content))[0]
        if kind == "items":
            return {key: unflatten_state(item, tensors) for key, item in content}
        return {"list": list, "tuple": tuple}[kind](unflatten_state(item, tensors) for item in content)
    except (KeyError, TypeError, ValueError, RecursionError, struct.error) as error:
        raise CheckpointError("the training state is damaged") from error


def flattened(optimizer: Optimizer) -> tuple[dict[str, Tensor], Any]:
    """`flatten_state` of an optimizer's `state_dict()`.

    Raises:
        PluginError: it fails, or holds what no file can hold.
    """
    who = maker(optimizer)
    with plugin_errors(who, "cannot give its state"):
        state = optimizer.state_dict()
    if not isinstance(state, Mapping):
        raise PluginError(f"{who} has a 'state_dict' that returns {_type_name(state)}, not a dict")
    return flatten_state(state, PREFIX, who)


def check_state(optimizer: Optimizer) -> None:
    """Refuse an optimizer whose state could not be saved.

    Raises:
        PluginError: as `flattened`, or the state is larger or deeper than a file may be.
    """
    _, tree = flattened(optimizer)
    try:
        parse_json(canonical_json(tree))
    except ValueError as error:
        raise PluginError(f"{maker(optimizer)} keeps a state that no file can hold: {error}") from error


def copied(optimizer: Optimizer) -> Any:
    """A copy of an optimizer's `state_dict()`, to load again.

    Raises:
        PluginError: as `flattened`.
    """
    tensors, tree = flattened(optimizer)
    return unflatten_state(tree, {name: tensor.detach().clone() for name, tensor in tensors.items()})


def load_exactly(optimizer: Optimizer, saved: Mapping[str, Any]) -> None:
    """`optimizer.load_state_dict(saved)`, after which the state of each parameter is what was saved.

    torch converts every tensor in it to the type of its parameter, integers too, and destroys text.

    Args:
        optimizer: its own `load_state_dict` is called.
        saved: what `flatten_state` takes; the optimizer may keep its tensors.
    """
    exact = _containers(saved)
    optimizer.load_state_dict(dict(saved))
    _put_back(optimizer.state_dict(), exact)


def _containers(saved: Any) -> Any:
    """A copy of the containers of a state: an optimizer may change those that it loads."""
    if isinstance(saved, Mapping):
        return {key: _containers(item) for key, item in saved.items()}
    if type(saved) in (list, tuple):
        return type(saved)(map(_containers, saved))
    return saved


def _put_back(own: Any, saved: Any) -> None:
    """Restore the states of parameters, wherever in a state there are any, in place: torch gives them as they are."""
    if not (isinstance(own, Mapping) and isinstance(saved, Mapping)):
        return
    states = own.get("state"), saved.get("state")
    if "param_groups" not in saved or not all(isinstance(state, Mapping) for state in states):
        for key in own.keys() & saved.keys():
            _put_back(own[key], saved[key])
        return
    for number in own["state"].keys() & saved["state"].keys():
        one, other = own["state"][number], saved["state"][number]
        if isinstance(one, dict) and isinstance(other, Mapping):
            one.update({name: _exact(one.get(name), item) for name, item in other.items()})


def _exact(own: Any, saved: Any) -> Any:
    """A saved value; its tensors are on the devices that the optimizer has chosen for them."""
    import torch

    if isinstance(saved, torch.Tensor):
        if not isinstance(own, torch.Tensor):
            return saved
        return own if own.dtype == saved.dtype else saved.to(own.device)
    if isinstance(saved, Mapping):
        has = isinstance(own, Mapping)
        return {key: _exact(own.get(key) if has else None, item) for key, item in saved.items()}
    if type(saved) in (list, tuple):
        pairs = zip(own, saved, strict=True) if type(own) is type(saved) and len(own) == len(saved) else None
        return type(saved)(_exact(*pair) for pair in pairs) if pairs is not None else saved
    return saved


def _is_plain(value: object) -> bool:
    """Whether JSON gives a value back as it is: no subclass, such as NumPy's, no invalid text, no larger number."""
    if type(value) is str:
        return not any("\ud800" <= character <= "\udfff" for character in value)  # no half of a surrogate pair
    return type(value) in _PLAIN or (type(value) is int and value in _INTEGERS)


def _type_name(value: object) -> str:
    """With its module, where that is not Python's own: `numpy.float32` is no `float`."""
    if type(value) is str:
        return "a str that is not valid Unicode"
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
