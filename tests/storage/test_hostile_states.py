"""Training states that lie, with the right digests: `zoo verify` calls them damaged, and no resumption begins."""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from forging import NET, assert_one_line, forge
from torch import Tensor

import zoo
from zoo.storage import checkpoint

Zoo = Callable[..., Any]
Lie = Callable[[dict[str, Tensor], dict[str, Any]], object]

STATE = "training_state.safetensors"
STEPS = 6


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with evaluations, and an optimizer that has a state; tests must not change it."""
    folder = tmp_path_factory.mktemp("validated")
    words = folder / "words.txt"
    words.write_text("\n".join(a + b for a in "abeln" for b in "abeln"))
    zoo.run(
        "mlp-char",
        dataset=words,
        optimizer="adam",
        validate_every=2,
        device="cpu",
        steps=STEPS,
        out=folder / "run",
        plots=False,
        settings=NET,
    )
    return folder / "run"


def tell(folder: Path, lie: Lie) -> Path:
    """A copy of the run whose state has been changed."""
    copy = Path(shutil.copytree(folder, "lying"))
    stored = checkpoint.load(copy / STATE)
    meta = {key: stored.meta[key] for key in stored.meta if key not in ("format", "sha256", "meta_sha256")}
    tensors = dict(stored.tensors)
    lie(tensors, meta)
    forge(copy / STATE, tensors, meta)
    return copy


def tensor(name: str, change: Callable[[Tensor], Tensor]) -> Lie:
    return lambda tensors, _: tensors.update({name: change(tensors[name])})


def record(value: object) -> Lie:
    return lambda _, meta: meta.update(validation=value)


NO_STEPS: list[object] = [3, 0, -2, 2.0, True, "2", [2], {"a": 2}, 10**18, STEPS + 2]
NO_RECORDS: list[object] = [{}, [1], "x", 7]

EVALUATIONS: dict[str, Lie] = {
    **{
        f"{name} {kind}": tensor(name, change)
        for name in ("validation_steps", "validation_losses")
        for kind, change in {
            "complex": lambda x: x.to(torch.complex64),
            "bool": lambda x: x > 0,
            "float8": lambda x: x.float().to(torch.float8_e5m2),
            "float32": lambda x: x.float(),
            "in two dimensions": lambda x: x[None],
            "a number": lambda x: x[0],
            "shorter": lambda x: x[:-1],
            "empty": lambda x: x[:0],
        }.items()
    },
    "losses NaN": tensor("validation_losses", lambda x: x * math.nan),
    "steps twice": tensor("validation_steps", lambda x: torch.full_like(x, 2)),
    "steps of later": tensor("validation_steps", lambda x: x + STEPS),
    "steps negative": tensor("validation_steps", lambda x: -x),
    "no losses": lambda tensors, _: tensors.pop("validation_losses"),
    "no steps": lambda tensors, _: tensors.pop("validation_steps"),
    **{f"best step {value}": record({"best_step": value}) for value in NO_STEPS},
    **{f"record {value}": record(value) for value in NO_RECORDS},
}


@pytest.mark.parametrize("lie", EVALUATIONS)
def test_evaluations_that_no_run_has_are_damage_to_verify_and_resume(validated: Path, zoo_here: Zoo, lie: str) -> None:
    folder = tell(validated, EVALUATIONS[lie])
    verified = zoo_here("verify", folder)
    assert f"damaged: {STATE}" in verified.err
    resumed = zoo_here("resume", folder, "--steps", STEPS + 4, "--no-plots")
    assert_one_line(resumed)
    assert f"its evaluations are not those of {STEPS} steps" in resumed.err


def groups(meta: dict[str, Any]) -> list[Any]:
    """The items of the optimizer's first group of parameters."""
    items: list[Any] = dict(meta["optimizer"]["items"])["param_groups"]["list"][0]["items"]
    return items


@pytest.mark.parametrize(
    "order",
    [[4, 3, 2, 1, 0], [0, 0, 0, 0, 0], [1, 0, 2, 3, 4], ["0", 1, 2, 3, 4], [0, 1, 2, 3, 9], [None] * 5],
    ids=str,
)
def test_an_optimizers_state_is_not_given_to_other_parameters(validated: Path, zoo_here: Zoo, order: list[Any]) -> None:
    """Kernels do not check its shapes: they would read and write beyond it."""

    def lie(_: dict[str, Tensor], meta: dict[str, Any]) -> None:
        next(item for item in groups(meta) if item[0] == "params")[1] = {"list": order}

    resumed = zoo_here("resume", tell(validated, lie), "--steps", STEPS + 4, "--no-plots")
    assert_one_line(resumed)
    assert "its optimizer state is another optimizer's" in resumed.err


LINES = {
    "NaN": b"2,nan",
    "infinite": b"2,inf",
    "another step": b"7,1.0",
    "no step": b"=cmd(),1.0",
    "no loss": b"2,",
    "one column": b"2",
    "a text": b"\x1b]0;x\x07",
    "empty": b"",
}


@pytest.mark.parametrize("line", [*LINES, "heading"])
def test_losses_that_a_state_relies_on_are_those_of_a_run(validated: Path, zoo_here: Zoo, line: str) -> None:
    """The digest of such a file says only that the state's author had it."""
    lines = (validated / "losses.csv").read_bytes().split(b"\n")
    lines[0 if line == "heading" else 3] = LINES.get(line, b"loss,step")
    content = b"\n".join(lines[:5]) + b"\n"

    def lie(tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        tensors["losses"] = tensors["losses"][4:]
        meta["sealed"] = {"steps": 4, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    folder = tell(validated, lie)
    (folder / "losses.csv").write_bytes(b"\n".join(lines))
    resumed = zoo_here("resume", folder, "--steps", STEPS + 4, "--no-plots")
    assert_one_line(resumed)
    assert "losses.csv is damaged" in resumed.err
    assert f"{STATE}, losses.csv" in zoo_here("verify", folder).err


@pytest.mark.parametrize("size", [5, 10**4, 10**15], ids=str)
def test_of_the_losses_only_what_the_state_relies_on_is_read(validated: Path, zoo_here: Zoo, size: int) -> None:
    """Not the rest of a file that has gigabytes, and no more than so many steps can take."""
    content = b"\n".join((validated / "losses.csv").read_bytes().split(b"\n")[:5]) + b"\n"
    true = len(content)

    def lie(tensors: dict[str, Tensor], meta: dict[str, Any], size: int = size) -> None:
        tensors["losses"] = tensors["losses"][4:]
        meta["sealed"] = {"steps": 4, "size": size, "sha256": hashlib.sha256(content).hexdigest()}

    folder = tell(validated, lie)
    assert_one_line(zoo_here("resume", folder, "--steps", STEPS + 4, "--no-plots"))
    shutil.rmtree(folder)
    folder = tell(validated, lambda tensors, meta: lie(tensors, meta, true))
    with (folder / "losses.csv").open("r+b") as file:
        file.truncate(1 << 40)  # without taking any of the disk
    assert zoo_here("resume", folder, "--steps", STEPS + 4, "--no-plots").code == 0
