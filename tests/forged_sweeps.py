"""Folders of sweeps as `zoo sweep` leaves them, without training."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from forged_runs import forge_run

from zoo.files import readable_json
from zoo.sweeps.member import DIVERGED, FINISHED, Row
from zoo.sweeps.sheet import as_csv, columns

Value = Callable[[dict[str, Any], int], float | None]  # of a setting and a seed; None of a run that diverged


def forge_sweep(
    folder: Path,
    grid: Mapping[str, Sequence[Any]],
    seeds: int,
    value: Value,
    *,
    configs: bool = True,
    changes: Mapping[str, object] | None = None,
    failed: Sequence[int] = (),
    **description: Any,
) -> Path:
    """Write the folder of a finished sweep.

    Args:
        folder: it must not exist.
        grid: what varies, by option or `SECTION.KEY`.
        seeds: how many.
        value: the validation loss of each member.
        configs: whether the folders of members are kept; only the first of each setting is written.
        changes: of the members' configs, as `forge_run` takes them.
        failed: the numbers of members that have failed.
        description: other keys of `sweep.json`.
    """
    folder.mkdir(parents=True)
    settings = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    rows = []
    for number, (seed, setting) in enumerate(itertools.product(range(1, seeds + 1), settings), 1):
        loss = value(setting, seed)
        if number in failed:
            rows.append(Row(number, setting, seed, "failed", "it has failed"))
        elif loss is None:
            rows.append(Row(number, setting, seed, DIVERGED, "the loss was NaN", 2))
        else:
            losses = {"train": loss - 0.1, "val": loss, "test": loss + 0.1}
            metrics = {"val": {"accuracy": 1 - loss / 10}}
            rows.append(Row(number, setting, seed, FINISHED, "", 4, 11897, losses, metrics, "0" * 64))
        if configs and seed == 1:
            places = {_place(name): one for name, one in setting.items()}
            places |= {"training.seed": seed, "training.init_seed": seed}
            forge_run(
                folder / f"{number:04}", {**(changes or {}), **places}, losses={"train": 1.0, "val": 1.0, "test": 1.0}
            )
    content = {
        "schema": 1,
        "models": grid.get("model", ["mlp-char"]),
        "seeds": list(range(1, seeds + 1)),
        "grid": {name: list(values) for name, values in grid.items()},
        "same": {"model": "mlp-char"},
        "settings": {},
        "finished": True,
        **description,
    }
    (folder / "sweep.json").write_text(readable_json(content))
    (folder / "sweep.csv").write_text(as_csv(rows, columns(rows)))
    return folder


def _place(name: str) -> str:
    section, _, key = name.partition(".")
    if not key:
        return "model.name" if name == "model" else f"training.{name}"
    return {"data": f"dataset.settings.{key}", "loss": f"loss.settings.{key}"}.get(
        section, f"{section}.hyperparameters.{key}"
    )
