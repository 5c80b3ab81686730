"""`zoo verify` says whether the files of a folder are of one run, and calls nothing damaged that is not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Zoo
from forging import NET, Change

import zoo
from zoo.plugin.registry import Registry
from zoo.storage.verify import verify

CHECKED = ["model.safetensors", "training_state.safetensors", "losses.csv", "config.json", "metrics.json"]
ALL = [*CHECKED, "validation.csv"]
WRITTEN = ["training_state.safetensors", "losses.csv", "config.json", "validation.csv", "model.safetensors"]  # in order

OTHERS: dict[str, dict[str, Any]] = {
    "another seed": {"seed": 1},
    "another initialization": {"init_seed": 1},
    "another learning rate": {"lr": 0.2},
    "more steps": {"steps": 11},
    "fewer steps": {"steps": 5},
    "a larger net": {"settings": NET | {"model.hidden_size": 4}},
    "the same net with other words": {"settings": NET | {"data.shuffle_seed": 1}},
}


def train(out: Path, **options: Any) -> Path:
    words = out.parent / "words.txt"
    words.write_text("\n".join(a + b for a in "abeln" for b in "abeln"))
    given = {"steps": 9, "validate_every": 2, "settings": NET, **options}
    zoo.run("mlp-char", dataset=words, device="cpu", out=out, plots=False, **given)
    return out


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs; tests must not change it."""
    folder = tmp_path_factory.mktemp("runs")
    train(folder / "run")
    for number, options in enumerate(OTHERS.values()):
        train(folder / str(number), **options)
    return folder


@pytest.fixture
def spoiled(runs: Path) -> Path:
    return Path(shutil.copytree(runs / "run", "spoiled"))


def damaged(path: Path, registry: Registry) -> list[str]:
    return [finding.file for finding in verify(path, registry) if finding.damaged]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("other", OTHERS)
def test_a_file_of_another_run_is_found(runs: Path, spoiled: Path, registry: Registry, other: str, name: str) -> None:
    source = runs / str(list(OTHERS).index(other)) / name
    same = source.read_bytes() == (spoiled / name).read_bytes()  # the losses of a run that differs later, for example
    shutil.copy(source, spoiled / name)
    found = damaged(spoiled, registry)
    assert bool(found) != (same or may_belong(other, name)), found
    if found and name != "training_state.safetensors":
        assert name in found or "metrics.json" in found  # weights of an earlier step are told by the metrics


def may_belong(other: str, name: str) -> bool:
    """Whether a file is one that this run could have, too: as it was before, or as a resumption would have it."""
    before = other == "fewer steps" and name in ("metrics.json", "config.json")
    return before or (other == "more steps" and name in ("training_state.safetensors", "config.json"))


EMPTIED: dict[str, Callable[[bytes], bytes]] = {
    "no bytes": lambda content: b"",
    "one line": lambda content: content.splitlines(keepends=True)[0],
    "without the last line": lambda content: b"".join(content.splitlines(keepends=True)[:-1]),
}


@pytest.mark.parametrize("how", EMPTIED)
@pytest.mark.parametrize("name", ALL)
def test_an_emptied_file_is_found(spoiled: Path, registry: Registry, name: str, how: str) -> None:
    path = spoiled / name
    path.write_bytes(EMPTIED[how](path.read_bytes()))
    assert damaged(spoiled, registry) == [name]


def numbers(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where the numbers are in a JSON object."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from numbers(item, (*path, key))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path


@pytest.mark.parametrize("name", ["metrics.json", "config.json"])
def test_every_edited_number_is_found(spoiled: Path, registry: Registry, name: str) -> None:
    path = spoiled / name
    before = json.loads(path.read_text())
    missed = []
    for place in numbers(before):
        edited = json.loads(path.read_text())
        parent = edited
        for key in place[:-1]:
            parent = parent[key]
        parent[place[-1]] += 1
        path.write_text(json.dumps(edited))
        if damaged(spoiled, registry) != [name]:
            missed.append(".".join(place))
        path.write_text(json.dumps(before))
    assert missed == (["training.steps", "training.threads"] if name == "config.json" else [])  # chosen when resumed


@pytest.mark.parametrize("name", ["losses.csv", "validation.csv"])
def test_every_edited_loss_is_found(spoiled: Path, registry: Registry, name: str) -> None:
    path = spoiled / name
    lines = path.read_text().splitlines()
    for number in range(1, len(lines)):
        step, loss = lines[number].split(",")
        other = f"{step},{float(loss) + 1e-9!r}"
        path.write_text("\n".join([*lines[:number], other, *lines[number + 1 :]]) + "\n")
        assert damaged(spoiled, registry) == [name], number


# What is not damaged


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The folder of one run at several checkpoints: fresh, at its end, resumed with more steps, and again."""
    folder = tmp_path_factory.mktemp("stages")
    run = train(folder / "run", steps=5)
    kept = [Path(shutil.copytree(run, folder / "5"))]
    for steps in (8, 13):
        zoo.resume(run, steps=steps, plots=False)
        kept.append(Path(shutil.copytree(run, folder / str(steps))))
    return kept


@pytest.mark.parametrize("new", range(len(WRITTEN) + 1))
@pytest.mark.parametrize("stage", [0, 1])
def test_a_crash_between_two_files_is_no_damage(stages: list[Path], registry: Registry, stage: int, new: int) -> None:
    shutil.copytree(stages[stage], "crashed")
    for name in WRITTEN[:new]:
        shutil.copy(stages[stage + 1] / name, Path("crashed", name))
    assert damaged(Path("crashed"), registry) == []


BOM = b"\xef\xbb\xbf"
TEXTS = ["losses.csv", "config.json", "metrics.json", "validation.csv"]


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("name", TEXTS)
def test_a_file_that_an_editor_saved_is_intact(zoo_here: Zoo, spoiled: Path, name: str, ends: bytes) -> None:
    path = spoiled / name
    path.write_bytes(BOM + path.read_bytes().replace(b"\n", ends))
    assert zoo_here("verify", spoiled).code == 0
    assert zoo_here("plot", spoiled, "loss").code == 0
    assert zoo_here("resume", spoiled, "--steps", 10, "--no-plots", "--quiet").code == 0


def test_a_missing_plugin_is_no_damage(zoo_here: Zoo, run: Path, change: Change) -> None:
    for name in ("model.safetensors", "training_state.safetensors"):
        change("model.plugin.distribution", "zoo-absent", name=name)
    (run / "config.json").write_text(json.dumps(zoo_config(run)))
    (run / "metrics.json").unlink()
    outcome = zoo_here("verify", run, "--json")
    assert outcome.code == 0
    results = {file["file"]: (file["result"], file["whole"]) for file in outcome.result["files"]}
    assert results.pop("model.safetensors") == ("not checked", None)
    assert set(results.values()) == {("intact", True)}
    assert "zoo-absent" in zoo_here("verify", run).out
    lone = zoo_here("verify", run / "model.safetensors", "--json")
    assert (lone.code, lone.result["files"][0]["result"]) == (0, "not checked")


def zoo_config(run: Path) -> Any:
    from zoo.storage import state

    return state.load(run / "training_state.safetensors").config


def test_runs_of_before_there_were_digests_are_intact(spoiled: Path, registry: Registry) -> None:
    path = spoiled / "metrics.json"
    metrics = json.loads(path.read_text())
    del metrics["sha256"], metrics["weights_sha256"]
    path.write_text(json.dumps(metrics))
    assert damaged(spoiled, registry) == []


def test_what_is_compared_with_a_damaged_file_is_not_checked(spoiled: Path, registry: Registry) -> None:
    (spoiled / "training_state.safetensors").unlink()
    results = {finding.file: finding.result for finding in verify(spoiled, registry)}
    assert results == {
        "model.safetensors": "intact",
        "training_state.safetensors": "damaged",
        "losses.csv": "not checked",
        "config.json": "intact",
        "metrics.json": "intact",
        "validation.csv": "not checked",
    }


# Numbers that cannot be

ROWS = ["3,nan", "3,inf", "3,-inf", "3," + "9" * 5000, "9" * 5000 + ",1.0", "3", "3,1,2", "", "3;1.0", "a,b", "3,1e999"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[:8])
@pytest.mark.parametrize("command", ["verify", "plot"])
def test_a_loss_that_cannot_be_is_one_sentence(zoo_here: Zoo, spoiled: Path, command: str, row: str) -> None:
    path = spoiled / "losses.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:4], row, *lines[5:]]) + "\n")
    outcome = zoo_here(command, spoiled)
    assert outcome.code == 1
    assert "losses.csv is damaged: " in outcome.out + outcome.err
    assert outcome.err.count("\n") == 1
    assert "unexpected" not in outcome.err


@pytest.mark.parametrize("command", ["verify", "plot", "resume"])
@pytest.mark.parametrize("name", ["config.json", "metrics.json"])
@pytest.mark.parametrize("number", ["9" * 5000, "1e999", "NaN", "-Infinity"], ids=lambda text: text[:8])
def test_a_number_that_cannot_be_is_one_sentence(
    zoo_here: Zoo, spoiled: Path, name: str, number: str, command: str
) -> None:
    path = spoiled / name
    value = json.loads(path.read_text())
    (value["losses"] if name == "metrics.json" else value["training"])["lr"] = "@"
    path.write_text(json.dumps(value).replace('"@"', number))
    outcome = zoo_here(command, spoiled, *(["--no-plots", "--steps", 10] if command == "resume" else []))
    unread = (command, name) in (("plot", "config.json"), ("resume", "metrics.json"))
    assert outcome.code == (0 if unread else 1)
    assert outcome.err.count("\n") == outcome.code
    assert "unexpected" not in outcome.err
