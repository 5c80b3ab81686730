"""Where words are read from: what a path leads to, and who named it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Zoo
from forging import Change, forge

import zoo
from zoo import DataError, TextDataset, memory
from zoo.data import datasets
from zoo.data.download import Fetcher
from zoo.errors import ChangedDataError
from zoo.files import read_bytes, read_with_digest
from zoo.storage import checkpoint

WORDS = "\n".join(a + b for a in "abeln" for b in "abeln")
SECRET = "correct-horse-battery"


def link_to_pipe(path: Path) -> None:
    os.mkfifo("pipe")
    path.symlink_to("pipe")


NOT_REGULAR: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a link to a pipe": lambda path: link_to_pipe(path),
    "an endless device": lambda path: path.symlink_to("/dev/zero"),
    "an empty device": lambda path: path.symlink_to("/dev/null"),
    "a folder": Path.mkdir,
    "nothing": lambda path: None,
    "a link to itself": lambda path: path.symlink_to(path.name),
}
OTHER_CONTENT = {
    "other words": f"{SECRET}\n" * 9,
    "words with a dot": f"a.{SECRET}\n" * 9,
    "no text": f"{SECRET}\0",
    "no UTF-8": f"{SECRET}\xff",
    "no words": "\n",
    "one line": SECRET,
}


def say(path: Path, content: str) -> None:
    path.write_bytes(content.encode("latin-1"))


@pytest.mark.parametrize("command", ["eval", "sample", "resume", "resume --allow-changes"])
@pytest.mark.parametrize("kind", NOT_REGULAR)
def test_a_path_in_a_checkpoint_is_never_waited_for(
    zoo_here: Zoo, run: Path, change: Change, kind: str, command: str
) -> None:
    NOT_REGULAR[kind](Path("words"))
    recorded(run, change, Path("words").absolute())
    outcome = zoo_here(*called(command, run))
    assert (outcome.code != 0) or command == "sample"
    assert "unexpected" not in outcome.err


@pytest.mark.parametrize("command", ["eval", "sample", "resume"])
@pytest.mark.parametrize("content", OTHER_CONTENT)
def test_nothing_of_another_file_is_parsed_or_shown(
    zoo_here: Zoo, run: Path, change: Change, monkeypatch: pytest.MonkeyPatch, content: str, command: str
) -> None:
    say(Path("words"), OTHER_CONTENT[content])
    recorded(run, change, Path("words").absolute())

    def parse(content: bytes) -> None:
        raise AssertionError("it was parsed")

    monkeypatch.setattr(datasets, "Lines", parse)
    outcome = zoo_here(*called(command, run))
    assert (outcome.code != 0) or command == "sample"
    assert SECRET not in outcome.out + outcome.err
    assert "unexpected" not in outcome.err


def recorded(run: Path, change: Change, path: Path) -> None:
    """Let weights and state say that this is where the data was."""
    for name in ("model.safetensors", "training_state.safetensors"):
        change("dataset.name", path.name, name=name)
    stored = checkpoint.load(run / "training_state.safetensors")
    meta = {key: stored.meta[key] for key in stored.meta if key not in ("format", "sha256", "meta_sha256")}
    forge(run / "training_state.safetensors", stored.tensors, meta | {"data": {"path": str(path), "relative": None}})
    (run / "config.json").unlink()


def called(command: str, run: Path) -> list[object]:
    name, *options = command.split()
    return [name, run, *options, *(["--steps", 9, "--no-plots"] if name == "resume" else [])]


def test_a_file_with_the_digest_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w").write_text(WORDS)
    sha256 = TextDataset.from_file(tmp_path / "w").sha256
    monkeypatch.setattr("zoo.files._READ_AT_ONCE", 3)  # as for a large file, which is digested before it is read
    assert TextDataset.from_file(tmp_path / "w", sha256=sha256).words == WORDS.split()
    assert read_with_digest(tmp_path / "w", sha256) == WORDS.encode()
    with pytest.raises(ChangedDataError, match="has changed since this run was trained on it"):
        TextDataset.from_file(tmp_path / "w", sha256="0" * 64)


@pytest.mark.parametrize("kind", NOT_REGULAR)
def test_the_cache_is_never_waited_for(tmp_path: Path, kind: str) -> None:
    NOT_REGULAR[kind](tmp_path / "words")
    with pytest.raises(DataError, match="is not in the cache"):
        Fetcher(tmp_path, offline=True)("words", "https://example.org/words", sha256="0" * 64)


def test_a_huge_file_in_the_cache_is_not_digested(tmp_path: Path) -> None:
    with (tmp_path / "words").open("wb") as file:
        file.truncate(1 << 40)
    started = time.monotonic()
    with pytest.raises(DataError, match="is not in the cache"):
        Fetcher(tmp_path, offline=True)("words", "https://example.org/words", sha256="0" * 64)
    assert time.monotonic() - started < 10


# Of the user


def test_a_pipe_that_the_user_names_is_read_to_its_end() -> None:
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: Path("pipe").write_text(WORDS))
    writer.start()
    run = zoo.run("bigram", dataset="pipe", steps=2, plots=False)
    writer.join()
    assert run.config["dataset"]["examples"]["train"] == 60


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_that_the_user_names_is_refused(zoo_here: Zoo, device: str) -> None:
    outcome = zoo_here("run", "bigram", "--dataset", device)
    assert outcome.code == 1
    assert outcome.err == f"zoo: error: cannot read {device}: it is not a regular file or a pipe\n"


def test_a_pipe_without_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.files.memory_bytes", lambda: 8 << 20)
    os.mkfifo("pipe")
    written = []

    def write() -> None:
        with Path("pipe").open("wb", buffering=0) as pipe:
            try:
                while True:
                    written.append(pipe.write(b"abc\n" * 4096))
            except BrokenPipeError:
                return

    writer = threading.Thread(target=write)
    writer.start()
    with pytest.raises(DataError, match="longer than the 4,194,304 bytes that fit into this memory"):
        TextDataset.from_file("pipe")
    writer.join()
    assert sum(written) < 8 << 20


def test_a_file_larger_than_the_memory_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("zoo.files.memory_bytes", lambda: 8 << 20)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(OSError, match="longer than the"):
        read_bytes(tmp_path / "large")


# Long words

LONG_LINE = "ab" * 2_500_000


@pytest.mark.parametrize("model", ["gru", "transformer", "bow", "mlp"])
def test_a_line_of_five_million_characters_is_refused(zoo_here: Zoo, model: str) -> None:
    Path("w.txt").write_text(f"{WORDS}\n\n{LONG_LINE}\n")
    started = time.monotonic()
    outcome = zoo_here("run", model, "--dataset", "w.txt", "--steps", 2)
    assert time.monotonic() - started < 20
    assert outcome.code == 1
    assert "line 27 has 5,000,000 characters: a model that reads whole words takes 10,000 at most" in outcome.err
    assert outcome.err.count("\n") == 1


def test_words_whose_padding_does_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("w.txt").write_text(f"{WORDS}\n{'ab' * 2500}\n")
    monkeypatch.setattr("zoo.memory.memory_bytes", lambda: 400_000)
    with pytest.raises(DataError, match=r"line 26 has 5,000 characters: padded to that length, 26 words take 508 KiB"):
        zoo.run("gru", dataset="w.txt", steps=2)


def test_a_model_that_does_not_fit_long_words_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("w.txt").write_text(f"{WORDS}\n{'ab' * 1000}\n")
    monkeypatch.setattr("zoo.runs.prepare.memory_bytes", lambda: 100_000)
    with pytest.raises(DataError, match=r"line 26 has 2,000 characters: for words of that length the model takes"):
        zoo.run("transformer", dataset="w.txt", steps=2)


def test_a_batch_that_does_not_fit_is_refused(zoo_here: Zoo, words_file: Path) -> None:
    outcome = zoo_here("run", "mlp-char", "--dataset", words_file, "--batch-size", 10**12)
    assert outcome.code == 2
    assert "--batch-size 1000000000000 needs" in outcome.err


# Line ends


def test_cr_only_lines_in_chunks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("zoo.data.words.CHARACTERS", 5)
    (tmp_path / "w").write_bytes(WORDS.replace("\n", "\r").encode() + b"\r\r")
    assert TextDataset.from_file(tmp_path / "w").words == WORDS.split()


# The memory of this machine


def test_the_smallest_limit_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "memory").mkdir()
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    for file, text, limit in (
        ("a/memory.max", "70000", 70000),
        ("a/b/memory.max", "max", 70000),
        ("memory/memory.limit_in_bytes", "60000", 60000),
    ):
        (tmp_path / file).write_text(text)
        files = [tmp_path / "a/b/memory.max", tmp_path / "a/memory.max", tmp_path / "memory/memory.limit_in_bytes"]
        monkeypatch.setattr(memory, "_cgroup_files", lambda files=files: iter(files))
        assert memory.memory_bytes() == limit
    assert memory.fits(60000)
    assert not memory.fits(60001)
