"""Names of settings, from the values in which they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_BY_VALUE = ("model", "preset", "optimizer")  # whose values say what they are: `gru`, and not `model gru`


def names_of(settings: Sequence[Mapping[str, str | None]]) -> list[str]:
    """A name for each setting, such as `gru with lr 0.1 and hidden_size 64`; they differ where the settings do.

    Args:
        settings: of each the values, as texts, of what differs between them, by option or `SECTION.KEY`; None where it
            is not set.
    """
    every = dict.fromkeys(name for one in settings for name in one)
    last = [name.rpartition(".")[2] for name in every]
    short = {name: part if last.count(part) == 1 else name for name, part in zip(every, last, strict=True)}
    found = [_name(one, short, missing=False) for one in settings]
    return found if len(set(found)) == len(found) else [_name(one, short, missing=True) for one in settings]


def _name(values: Mapping[str, str | None], short: Mapping[str, str], *, missing: bool) -> str:
    shown = {name: values.get(name) for name in short if missing or values.get(name) is not None}
    parts = [f"{value}" for name, value in shown.items() if name in _BY_VALUE and value is not None]
    parts += [f"{short[name]} {value or 'none'}" for name, value in shown.items() if name not in _BY_VALUE]
    if len(parts) < 2:
        return parts[0] if parts else "the only setting"
    return f"{parts[0]} with {' and '.join([', '.join(parts[1:-1])] * (len(parts) > 2) + [parts[-1]])}"
