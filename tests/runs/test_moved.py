"""A run whose data was moved, or that was moved itself: all works as before, or one line says which data is wanted.

Each of `MOVES` is tried with each of `COMMANDS`. A run is made once, and put back to the same path for each case,
because its training state remembers the absolute path of its data.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import matplotlib.figure
import pytest
from conftest import ROOT, Outcome, Zoo
from forging import NET, put

import zoo
from zoo.plugin.manager import load_plugins
from zoo.plugin.registry import Entry, Plugin
from zoo.storage import checkpoint

pytestmark = pytest.mark.usefixtures("typed")  # messages as at the command line


WORDS = "\n".join(a + b + c for a in "abeln" for b in "abeln" for c in "abl")
EXAMPLES = 75 * 4
STEPS, MORE = 4, 7
OPTIONS: dict[str, Any] = {"device": "cpu", "plots": False, "settings": NET}
SAME = ("model.safetensors", "losses.csv", "config.json", "README.md")
STATE = "training_state.safetensors"
SECRET = "another file's line"

NAMED = f"'words.txt' (sha256 {{}}…, {EXAMPLES} examples)"


@dataclass(frozen=True)
class Lab:
    """Where the run was made: `data/words.txt` and `runs/r`, and two folders beside it."""

    base: Path

    @property
    def lab(self) -> Path:
        return self.base / "lab"

    @property
    def words(self) -> Path:
        return self.lab / "data" / "words.txt"

    @property
    def run(self) -> Path:
        return self.lab / "runs" / "r"

    @property
    def far(self) -> Path:
        return self.base / "far"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lab, Path]:
    """The place of the run, and a copy of what was made there, with an uninterrupted run of all steps in `whole`."""
    base = tmp_path_factory.mktemp("moved")
    lab = Lab(base / "here")
    lab.words.parent.mkdir(parents=True)
    lab.words.write_text(WORDS)
    zoo.run("mlp-char", dataset=lab.words, steps=STEPS, out=lab.run, **OPTIONS)
    zoo.run("mlp-char", dataset=lab.words, steps=MORE, out=base / "whole", **OPTIONS)
    return lab, Path(shutil.copytree(lab.base, base / "copy")).parent


@pytest.fixture
def lab(original: tuple[Lab, Path]) -> Lab:
    lab, kept = original
    shutil.rmtree(lab.base, ignore_errors=True)
    shutil.copytree(kept / "copy", lab.base)
    lab.far.mkdir()
    return lab


@pytest.fixture
def whole(original: tuple[Lab, Path]) -> Path:
    return original[1] / "whole"


@pytest.fixture(autouse=True)
def quick_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a plot shows does not matter here."""

    def savefig(self: matplotlib.figure.Figure, file: IO[bytes], **_: Any) -> None:
        file.write(b"\x89PNG" + bytes(100))

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", savefig)


# What may have happened. Each returns the RUN that is given to a command.


def _move(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.move(source, target))


def data_beside_the_run(lab: Lab) -> Path:
    _move(lab.words, lab.run.parent / "words.txt")
    return lab.run


def data_in_the_run_folder(lab: Lab) -> Path:
    _move(lab.words, lab.run / "words.txt")
    return lab.run


def data_in_the_current_folder(lab: Lab) -> Path:
    os.chdir(lab.far)
    _move(lab.words, Path("words.txt"))
    return lab.run


def data_elsewhere(lab: Lab) -> Path:
    _move(lab.words, lab.far / "deep" / "words.txt")
    return lab.run


def data_renamed(lab: Lab) -> Path:
    _move(lab.words, lab.words.with_name("other.txt"))
    return lab.run


def data_behind_a_link(lab: Lab) -> Path:
    lab.words.symlink_to(_move(lab.words, lab.far / "v1"))
    return lab.run


def run_moved(lab: Lab) -> Path:
    return _move(lab.run, lab.far / "other")


def run_and_data_moved(lab: Lab) -> Path:
    _move(lab.lab, lab.far / "deep" / "lab")
    return lab.far / "deep" / "lab" / "runs" / "r"


def another_current_folder(lab: Lab) -> Path:
    os.chdir("/")
    return lab.run


def in_the_run_folder(lab: Lab) -> Path:
    os.chdir(lab.run)
    return Path()


def a_relative_path(lab: Lab) -> Path:
    os.chdir(lab.far)
    return Path("..", "lab", "runs", "r")


def a_link_to_the_run(lab: Lab) -> Path:
    link = lab.far / "link"
    link.symlink_to(lab.run)
    return link


def a_link_to_the_run_after_both_moved(lab: Lab) -> Path:
    link = lab.base / "link"
    link.symlink_to(run_and_data_moved(lab))
    return link


def another_machine(lab: Lab) -> Path:
    lab.words.unlink()
    return run_moved(lab)


def another_file_at_the_path(lab: Lab) -> Path:
    lab.words.write_text(f"{SECRET}\n" * 20)
    return lab.run


def a_folder_at_the_path(lab: Lab) -> Path:
    lab.words.unlink()
    lab.words.mkdir()
    return lab.run


def a_pipe_at_the_path(lab: Lab) -> Path:
    lab.words.unlink()
    os.mkfifo(lab.words)
    return lab.run


def an_endless_device_at_the_path(lab: Lab) -> Path:
    lab.words.unlink()
    lab.words.symlink_to("/dev/zero")
    return lab.run


def a_circle_of_links_at_the_path(lab: Lab) -> Path:
    lab.words.unlink()
    lab.words.symlink_to(lab.words)
    return lab.run


def lone_weights_beside_the_data(lab: Lab) -> Path:
    _move(lab.words, lab.far / "words.txt")
    return _move(lab.run / "model.safetensors", lab.far / "m.safetensors")


def lone_weights(lab: Lab) -> Path:
    return _move(lab.run / "model.safetensors", lab.far / "m.safetensors")


FOUND = (
    data_beside_the_run,
    data_in_the_run_folder,
    data_in_the_current_folder,
    data_behind_a_link,
    run_moved,
    run_and_data_moved,
    another_current_folder,
    in_the_run_folder,
    a_relative_path,
    a_link_to_the_run,
    a_link_to_the_run_after_both_moved,
    lone_weights_beside_the_data,
)
MISSING: dict[Callable[[Lab], Path], str] = {  # and what is said of the place where the data was
    data_elsewhere: "nothing is at",
    data_renamed: "nothing is at",
    another_machine: "nothing is at",
    another_file_at_the_path: "has other content",
    a_folder_at_the_path: "is a folder",
    a_pipe_at_the_path: "is not a regular file",
    an_endless_device_at_the_path: "is not a regular file",
    a_circle_of_links_at_the_path: "nothing is at",
    lone_weights: "nothing is at",
}
MOVES = (*FOUND, *MISSING)
LONE = (lone_weights, lone_weights_beside_the_data)

COMMANDS: dict[str, tuple[object, ...]] = {
    "resume": ("--steps", MORE, "--no-plots", "--quiet"),
    "eval": ("--json", "--device", "cpu"),
    "sample": ("-n", 2, "--json"),
    "verify": (),
    "plot": (),
}


def case_name(value: object) -> str:
    return str(getattr(value, "__name__", value))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("move", MOVES, ids=case_name)
def test_each_command_works_wherever_run_and_data_are(
    zoo_here: Zoo, lab: Lab, whole: Path, monkeypatch: pytest.MonkeyPatch, move: Callable[[Lab], Path], command: str
) -> None:
    digest = checkpoint.load_meta(lab.run / STATE)["config"]["dataset"]["sha256"][:12]
    monkeypatch.chdir(Path.cwd())  # which is put back, whatever the move does
    plots, run = Path("plots").absolute(), move(lab)
    more = ("--out", plots) if command == "plot" else COMMANDS[command]
    outcome = zoo_here(command, run, *more)
    assert SECRET not in outcome.out + outcome.err
    if command == "resume" and move in LONE:
        assert (outcome.code, "no run folder" in outcome.err) == (2, True)
    elif command in ("verify", "plot") or move in FOUND:
        assert (outcome.code, outcome.err) == (0, "")
        check(command, outcome, run, whole)
    else:
        assert outcome.code == (0 if command == "sample" else 1)
        assert_told(outcome, NAMED.format(digest), MISSING[move], "--dataset FILE", "words.txt")


def check(command: str, outcome: Outcome, run: Path, whole: Path) -> None:
    """That a command did what it does for a run that was never moved."""
    if command == "resume":
        assert [name for name in SAME if (run / name).read_bytes() != (whole / name).read_bytes()] == []
    elif command == "eval":
        assert outcome.result["dataset"]["examples"] == {"train": 240, "val": 28, "test": 32}
        assert outcome.result["dataset"]["name"] == "words.txt"
    elif command == "sample":
        assert outcome.result["counts"] is not None


def assert_told(outcome: Outcome, *parts: str) -> None:
    [line] = outcome.err.splitlines()
    assert line.startswith(("zoo: error: ", "zoo: warning: unknown which samples are unseen: "))
    assert [part for part in parts if part not in line] == [], line


@pytest.mark.parametrize("command", ["resume", "eval", "sample"])
@pytest.mark.parametrize("move", [data_elsewhere, data_renamed, a_folder_at_the_path], ids=case_name)
def test_data_that_is_not_found_is_given(
    zoo_here: Zoo, lab: Lab, whole: Path, move: Callable[[Lab], Path], command: str
) -> None:
    kept = Path(shutil.copy(lab.words, lab.far / "kept"))
    run = move(lab)
    outcome = zoo_here(command, run, *COMMANDS[command], "--dataset", kept)
    assert (outcome.code, outcome.err) == (0, "")
    if command == "eval":
        assert outcome.result["dataset"]["examples"] == {"train": 240, "val": 28, "test": 32}
    else:
        check(command, outcome, run, whole)
    if command == "resume":  # it is remembered from now on
        assert checkpoint.load_meta(run / STATE)["data"]["path"] == str(kept)
        assert zoo_here("eval", run).code == 0


def test_a_read_only_run_is_read(zoo_here: Zoo, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system refuses to write anywhere but to the plots, as of a medium that is mounted read-only."""
    before = {path.name: path.read_bytes() for path in lab.run.iterdir()}
    opened, plots = os.open, Path("plots").absolute()
    plots.mkdir()

    def refuse(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and not str(path).startswith(str(plots)):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return opened(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    for command in ("eval", "sample", "verify"):
        assert zoo_here(command, lab.run).code == 0
    assert zoo_here("plot", lab.run, "--out", plots).code == 0
    outcome = zoo_here("resume", lab.run, "--steps", MORE, "--no-plots", "--quiet")
    assert (outcome.code, outcome.err.count("\n"), "Read-only" in outcome.err) == (1, 1, True)
    assert {path.name: path.read_bytes() for path in lab.run.iterdir()} == before


# --dataset of zoo resume


def test_other_data_is_refused_and_allowed(zoo_here: Zoo, lab: Lab) -> None:
    other = lab.far / "other.txt"
    other.write_text(f"{WORDS}\nnana\n")
    command = ("resume", lab.run, "--steps", MORE, "--no-plots", "--dataset", other)
    refused = zoo_here(*command)
    assert refused.code == 1
    assert_told(refused, f"{str(other)!r} is not the data of this run, 'words.txt' (sha256 ", "--allow-changes")
    assert zoo_here(*command, "--allow-changes").code == 0
    assert zoo.load(lab.run).config["dataset"]["name"] == "other.txt"
    assert zoo_here("eval", lab.run).code == 0
    assert zoo_here(*command[:-1], lab.words, "--steps", 9, "--allow-changes").code == 0


@pytest.mark.parametrize("characters", ["anna\n" * 9, "zoe\nyak\n" * 9])
def test_a_dataset_that_is_not_the_runs_is_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch, characters: str) -> None:
    _register(monkeypatch, lambda: zoo.TextDataset(words=characters.split()))
    with pytest.raises(zoo.CheckpointError, match=r"dataset\.(sha256|vocabulary)"):
        zoo.resume(lab.run, steps=MORE, dataset="planets", plots=False)


@pytest.mark.parametrize("wrong", ["nowhere/words.txt", "planet", "."])
def test_what_is_no_data_is_wrong_usage(zoo_here: Zoo, lab: Lab, wrong: str) -> None:
    outcome = zoo_here("resume", lab.run, "--steps", MORE, "--dataset", wrong)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)


def test_a_file_stands_for_a_dataset_with_its_digest_and_the_other_way(
    lab: Lab, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run says of the same data what it said at first, so that it ends with the same bytes."""
    _register(monkeypatch, lambda: zoo.TextDataset.from_file(lab.words))
    zoo.resume(lab.run, steps=MORE, dataset="planets", plots=False)
    assert [name for name in SAME if (lab.run / name).read_bytes() != (whole / name).read_bytes()] == []
    for steps, out in ((STEPS, "parts"), (MORE, "all")):
        zoo.run("mlp-char", dataset="planets", steps=steps, out=out, **OPTIONS)
    kept = shutil.copy(lab.words, "kept.txt")
    zoo.resume("parts", steps=MORE, dataset=kept, plots=False)
    assert [name for name in SAME if Path("parts", name).read_bytes() != Path("all", name).read_bytes()] == []


def test_renamed_data_keeps_its_settings_or_has_those_that_were_edited(lab: Lab) -> None:
    options: dict[str, Any] = {**OPTIONS, "settings": {**NET, "data.shuffle_seed": 3, "data.split": "0.5,0.7"}}
    for steps, out in ((STEPS, "parts"), (MORE, "all")):
        zoo.run("mlp-char", dataset=lab.words, steps=steps, out=out, **options)
    renamed = lab.words.rename(lab.far / "other.txt")
    zoo.resume("parts", steps=MORE, dataset=renamed, plots=False)
    assert [name for name in SAME if Path("parts", name).read_bytes() != Path("all", name).read_bytes()] == []
    path = Path("parts", "config.json")
    path.write_text(path.read_text().replace('"shuffle_seed": 3', '"shuffle_seed": 4'))
    run = zoo.resume("parts", steps=9, dataset=shutil.copy(renamed, "again.txt"), allow_changes=True, plots=False)
    dataset = run.config["dataset"]
    assert (dataset["settings"]["shuffle_seed"], dataset["name"]) == (4, "words.txt")


@pytest.mark.parametrize("place", ["/etc/passwd", "/proc/self/environ", "secret.txt"])
def test_other_files_that_a_state_leads_to_are_never_read_as_words(zoo_here: Zoo, lab: Lab, place: str) -> None:
    """Not even where other data is allowed: that must be given."""
    Path("secret.txt").write_text(f"{SECRET}\n" * 20)
    lab.words.unlink()
    stored = checkpoint.load(lab.run / STATE)
    meta = {key: value for key, value in stored.meta.items() if key not in ("sha256", "meta_sha256")}
    meta["data"] = {"path": str(Path(place).absolute()), "relative": os.path.relpath(Path(place).absolute(), lab.run)}
    checkpoint.save(lab.run / STATE, stored.tensors, meta)
    for command in (
        ["eval"],
        ["sample", "--seed", 1],
        ["resume", "--steps", MORE],
        ["resume", "--steps", MORE, "--allow-changes"],
    ):
        outcome = zoo_here(command[0], lab.run, *command[1:])
        assert_told(outcome, "cannot find the data of this run", "has other content", "--dataset FILE")
        assert SECRET not in outcome.err + outcome.out


def test_a_dataset_whose_plugin_is_gone_is_given_as_a_file(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        _register(patch, lambda: zoo.TextDataset.from_file(lab.words))
        zoo.run("mlp-char", dataset="planets", steps=STEPS, out="parts", **OPTIONS)
    needs = r"needs the dataset 'zoo-space/planets' of plugin zoo-space 1.0.*give it with --dataset"
    with pytest.raises(zoo.CheckpointError, match=needs):
        zoo.resume("parts", steps=MORE, plots=False)
    zoo.resume("parts", steps=MORE, dataset=lab.words, plots=False)


def _register(patch: pytest.MonkeyPatch, factory: Callable[[], Any]) -> None:
    registry = load_plugins()[0]
    registry.datasets.add(Entry(zoo.DatasetSpec("planets", factory), Plugin("space", "zoo-space", "1.0")))
    patch.setattr("zoo.api._registry", lambda: registry)


# Runs of before, whose config has the path as it was typed


@pytest.fixture(params=["../lab/data/words.txt", "absolute"])
def earlier(lab: Lab, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run as version 0.1.0 recorded it, when it was started in the folder `far`."""
    monkeypatch.chdir(lab.far)
    typed = str(lab.words) if request.param == "absolute" else request.param
    for name in ("model.safetensors", STATE):
        stored = checkpoint.load(lab.run / name)
        put(stored.meta["config"], "dataset.name", typed)
        meta = {key: value for key, value in stored.meta.items() if key not in ("data", "sha256", "meta_sha256")}
        checkpoint.save(lab.run / name, stored.tensors, meta)
    path = lab.run / "config.json"
    path.write_text(path.read_text().replace('"words.txt"', f'"{typed}"'))
    return lab.run


def test_an_earlier_run_finds_its_data_by_the_path_as_it_was_typed(zoo_here: Zoo, earlier: Path, whole: Path) -> None:
    assert zoo_here("verify", earlier).code == 0
    assert zoo_here("eval", earlier, "--json").result["dataset"]["name"] == "words.txt"
    assert "found in" in zoo_here("sample", earlier).out
    assert zoo_here("resume", earlier, *COMMANDS["resume"]).code == 0
    assert [name for name in SAME if (earlier / name).read_bytes() != (whole / name).read_bytes()] == []


def test_an_earlier_run_finds_its_data_beside_it(zoo_here: Zoo, lab: Lab, earlier: Path) -> None:
    _move(lab.words, earlier.parent / "words.txt")
    assert zoo_here("eval", earlier).code == 0
    assert zoo_here("resume", earlier, *COMMANDS["resume"]).code == 0


def test_an_earlier_run_says_where_it_looked(zoo_here: Zoo, lab: Lab, earlier: Path) -> None:
    lab.words.unlink()
    outcome = zoo_here("eval", earlier)
    assert outcome.code == 1
    assert_told(outcome, "words.txt' (sha256 ", "nothing is at", "--dataset FILE")


# Nothing goes round


def test_one_place_finds_the_data_of_a_run() -> None:
    """Who reads data of a run, by the calls of the functions that do; a new one must find it by digest, too."""
    sources = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "zoo").rglob("*.py")}

    def users(call: str) -> set[str]:
        return {name for name, text in sources.items() if call in text}

    assert users("TextDataset.from_file(") == {"zoo/data/files/reading.py"}
    assert users("read_file(") == {"zoo/data/files/reading.py", "zoo/data/loading.py"}
    readers = {"zoo/data/loading.py", "zoo/runs/prepare.py", "zoo/storage/data/own.py", "zoo/testing/datasets.py"}
    of_persons = {
        "zoo/cli/commands/data.py",
        "zoo/api.py",
        "zoo/data/sources/found.py",
    }  # they read what a person names
    assert users(" load_dataset(") - of_persons == readers
    finders = {"zoo/storage/data/own.py", "zoo/storage/data/resumed.py"}
    naming_only = {"zoo/storage/config.py", "zoo/storage/loading.py", "zoo/runs/listing/record.py"}
    naming_only |= {"zoo/sweeps/judging/records.py"}
    assert users("dataset_is_file") == finders | naming_only
    assert users(".data_file(") == {"zoo/runs/resuming.py", "zoo/storage/data/own.py"}
    assert users("Path(config.dataset)") | users("Path(self.checked.dataset") == set()
