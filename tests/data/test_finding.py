"""The name under which a data file is recorded, where it was, and how its places are read back from a checkpoint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from zoo.data.finding import Place, RecordedFile, file_name
from zoo.errors import DataError

SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # of an empty file


@pytest.fixture
def words() -> Path:
    Path("data").mkdir()
    path = Path("data", "words.txt")
    path.write_text("anna\n")
    return path


def test_the_name_is_the_last_part_of_a_path(words: Path) -> None:
    for path in (words, words.absolute(), Path("data/../data/words.txt"), Path("nowhere/words.txt")):
        assert file_name(path) == "words.txt"


def test_an_open_file_has_the_name_and_the_place_of_the_file(words: Path) -> None:
    descriptor = os.open(words, os.O_RDONLY)
    try:
        for path in (Path(f"/dev/fd/{descriptor}"), Path(f"/proc/self/fd/{descriptor}")):
            assert file_name(path) == "words.txt"
            assert Place.of(path, Path("run")) == Place(os.path.realpath(words), "../data/words.txt")
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(("path", "name"), [("-", "stdin"), ("/dev/fd/{}", "pipe"), ("/proc/self/fd/{}", "pipe")])
def test_a_pipe_has_no_place(path: str, name: str) -> None:
    reading, writing = os.pipe()
    try:
        pipe = Path(path.format(reading))
        assert file_name(pipe) == name
        assert Place.of(pipe, Path("run")) is None
    finally:
        os.close(reading)
        os.close(writing)


def test_a_named_pipe_has_its_name_and_no_place() -> None:
    os.mkfifo("words.fifo")
    assert file_name(Path("words.fifo")) == "words.fifo"
    assert Place.of(Path("words.fifo"), Path("run")) is None


def test_a_path_that_is_not_utf8_is_not_remembered(words: Path) -> None:
    folder = Path(os.fsdecode(b"caf\xe9"))
    folder.mkdir()
    moved = words.rename(folder / "words.txt")
    assert Place.of(moved, Path("run")) is None


def test_a_deleted_current_folder_is_no_error(words: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Path("gone").absolute()
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert Place.of(Path("words.txt"), Path("run")) is None
    with pytest.raises(DataError, match="cannot find the data of this run"):
        RecordedFile("words.txt", SHA256, None, Path("run"), None).find()


NO_PLACES: list[Any] = [
    None,
    "words.txt",
    [],
    {},
    {"path": None},
    {"path": ""},
    {"path": 7},
    {"path": ["a"]},
    {"path": "a\0b"},
    {"path": "a", "relative": 3},
    {"path": "a", "relative": "\0"},
]


@pytest.mark.parametrize("raw", NO_PLACES, ids=repr)
def test_what_is_no_place_in_a_checkpoint_is_none(raw: object) -> None:
    assert Place.read(raw) is None


def test_a_place_is_read_back_and_may_have_more_keys() -> None:
    place = Place("/data/words.txt", "../words.txt")
    assert Place.read({**place.as_json(), "since": 3}) == place


HOSTILE = ["x" * 5000, "x/" * 2500, "/proc/self/mem", "/dev/stdin", "/dev/tty", "~/words.txt", "/", "..", "\ud800"]


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: ascii(path[:20]))
@pytest.mark.parametrize("where", ["name", "path", "relative"])
def test_any_path_in_a_checkpoint_is_looked_at_and_no_more(where: str, path: str) -> None:
    place = Place(path if where == "path" else "nowhere", path if where == "relative" else None)
    recorded = RecordedFile(path if where == "name" else "w.txt", SHA256, 7, Path("run"), place)
    with pytest.raises(DataError) as caught:
        recorded.find()
    assert len(str(caught.value)) < 3000


def test_places_are_few_and_in_order(words: Path) -> None:
    run = Path("runs", "r")
    run.mkdir(parents=True)
    here = Path.cwd()
    place = Place.of(words, run)
    assert place == Place(str(here / "data" / "words.txt"), "../../data/words.txt")
    recorded = RecordedFile("words.txt", SHA256, None, run, place)
    beside = [here / "runs" / "r" / "words.txt", here / "runs" / "words.txt", here / "words.txt"]
    assert recorded.places() == [words.absolute(), *beside]
    moved = RecordedFile("words.txt", SHA256, None, run, Place("/old/data/words.txt", "../../data/words.txt"))
    assert moved.places() == [Path("/old/data/words.txt"), words.absolute(), *beside]


def test_the_file_with_the_digest_is_taken_and_no_other(words: Path) -> None:
    Path("run").mkdir()
    Path("run", "words.txt").write_bytes(b"")
    recorded = RecordedFile("words.txt", SHA256, None, Path("run"), Place.of(words, Path("run")))
    assert recorded.find() == Path("run", "words.txt").absolute()


def test_a_home_in_a_checkpoint_is_not_this_users() -> None:
    home = Path.home()
    home.mkdir(parents=True, exist_ok=True)
    (home / "w.txt").write_bytes(b"")
    for recorded in (
        RecordedFile("~/w.txt", SHA256, None, Path("run"), None),
        RecordedFile("other.txt", SHA256, None, Path("run"), Place("~/w.txt", "~/w.txt")),
    ):
        with pytest.raises(DataError):
            recorded.find()
