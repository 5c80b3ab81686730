"""A large text is encoded once, and no encoding that was cut short, damaged or made twice does harm."""

from __future__ import annotations

import errno
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import before_call

import zoo
from zoo.data.corpus import cache, encoding
from zoo.data.corpus import dataset as of_dataset

TEXT = "To be, or not to be: that is\nthe question.\n" * 4


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A text that counts as large, and that is read in small chunks."""
    monkeypatch.setattr(of_dataset, "LARGE", 0)
    monkeypatch.setattr(encoding, "CHUNK", 16)
    file = tmp_path / "text.txt"
    file.write_text(TEXT)
    return file


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the text had been written a while ago: what was changed just now is never remembered."""
    monkeypatch.setattr(cache, "_SETTLED", -1000.0)


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done: `scan`, `encode` and `digest` for each time that a text was read."""
    done: list[str] = []

    def noting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any) -> Any:
            done.append(name)
            return function(*args)

        return called

    monkeypatch.setattr(of_dataset, "scan", noting("scan", encoding.scan))
    monkeypatch.setattr(of_dataset, "encode_characters", noting("encode", encoding.encode_characters))
    return done


def text_of(dataset: zoo.CorpusDataset) -> str:
    assert dataset.vocabulary is not None
    rows = dataset.tokens.rows(torch.arange(len(dataset)), 1)
    return "".join(dataset.vocabulary.itos[token] for token in rows.flatten().tolist())


def cached() -> list[Path]:
    return sorted(cache.folder().glob("*.tokens"))


def parts() -> list[Path]:
    return sorted(cache.folder().glob("*.tmp"))


def test_a_text_is_read_once(path: Path, scans: list[str], settled: None) -> None:
    first = zoo.CorpusDataset(path=path)
    assert scans == ["scan", "encode"]
    second = zoo.CorpusDataset(path=path, split=(0.9, 1.0))
    assert scans == ["scan", "encode"]
    assert text_of(first) == text_of(second) == TEXT
    assert first.sha256 == second.sha256 == zoo.CorpusDataset(TEXT).sha256
    assert first.vocabulary == second.vocabulary == zoo.CorpusDataset(TEXT).vocabulary
    assert len(cached()) == 1
    assert not parts()


def test_the_same_text_elsewhere_is_encoded_once(path: Path, tmp_path: Path, scans: list[str], settled: None) -> None:
    zoo.CorpusDataset(path=path)
    other = tmp_path / "copy.txt"
    other.write_text(TEXT)
    assert text_of(zoo.CorpusDataset(path=other)) == TEXT
    assert scans == ["scan", "encode", "scan"]


def test_a_file_that_was_changed_just_now_is_not_remembered(path: Path, scans: list[str]) -> None:
    zoo.CorpusDataset(path=path)
    zoo.CorpusDataset(path=path)
    assert scans == ["scan", "encode", "scan"]


def rewrite(path: Path) -> None:
    path.write_text(TEXT.replace("be", "eb"))


def replace(path: Path) -> None:
    """By another file of the same size and time."""
    before, other = path.stat(), path.with_suffix(".new")
    other.write_text(TEXT.replace("be", "eb"))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def in_place(path: Path) -> None:
    """With its time put back."""
    before = path.stat()
    time.sleep(0.02)
    with path.open("r+b") as file:
        file.write(b"ot")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"to\n")


@pytest.mark.parametrize("change", [rewrite, replace, in_place, append])
def test_a_changed_file_is_encoded_anew(
    change: Callable[[Path], None], path: Path, scans: list[str], settled: None
) -> None:
    zoo.CorpusDataset(path=path)
    change(path)
    again = zoo.CorpusDataset(path=path)
    assert scans == ["scan", "encode"] * 2
    assert text_of(again) == path.read_text()
    assert len(cached()) == 2


def header(change: dict[str, Any]) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        line, rest = file.read_bytes().split(b"\n", 1)
        text = json.dumps({**json.loads(line), **change}).encode().ljust(len(line))
        stat = file.stat()
        file.write_bytes(text[: len(line)] + b"\n" + rest)
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    return damage


def truncated(count: int) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        stat = file.stat()
        os.truncate(file, count if count >= 0 else stat.st_size + count)
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    return damage


def longer(file: Path) -> None:
    stat = file.stat()
    file.write_bytes(file.read_bytes() + b"\1")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def changed_tokens(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:-3] + b"\1\1\1")
    os.utime(file, (1, 1))


def garbage(file: Path) -> None:
    file.write_bytes(b"\x80\xff" * 200)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty": truncated(0),
    "header cut": truncated(20),
    "no tokens": truncated(64 * 4),
    "one token short": truncated(-1),
    "longer": longer,
    "tokens changed": changed_tokens,
    "garbage": garbage,
    "gone": Path.unlink,
    "another format": header({"format": "zoo corpus 0"}),
    "another text": header({"sha256": "0" * 64}),
    "another tokenizer": header({"tokenizer": "x"}),
    "another time": header({"written": 3}),
    "another count": header({"count": 3}),
    "no count": header({"count": "3"}),
    "another vocabulary": header({"vocab_size": 300}),
    "no characters": header({"characters": 3}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_made_anew(damage: str, path: Path, scans: list[str], settled: None) -> None:
    zoo.CorpusDataset(path=path)
    DAMAGES[damage](cached()[0])
    assert text_of(zoo.CorpusDataset(path=path)) == TEXT
    assert scans == ["scan", "encode"] * 2
    assert text_of(zoo.CorpusDataset(path=path)) == TEXT
    assert scans == ["scan", "encode"] * 2


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"sha256": 3}'])
def test_damaged_memory_of_a_digest_is_ignored(content: bytes, path: Path, scans: list[str], settled: None) -> None:
    zoo.CorpusDataset(path=path)
    (source,) = cache.folder().glob("*.source")
    source.write_bytes(content)
    zoo.CorpusDataset(path=path)
    assert scans == ["scan", "encode", "scan"]


# Where an encoding can be cut short

STAGES: dict[str, tuple[Any, str, int]] = {
    "first pass": (of_dataset, "scan", 1),
    "before the folder": (Path, "mkdir", 1),
    "before the first token": (cache, "_write", 1),
    "before the header": (cache, "_line", 2),
    "before its time": (cache, "_set_time", 1),
    "before it is on the disk": (os, "fsync", 1),
    "before it is renamed": (os, "replace", 1),
    "after it was renamed": (cache, "find", 2),
    "before its digest is remembered": (cache, "remember_digest", 1),
}


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="ends a process of its own")
@pytest.mark.parametrize("stage", STAGES)
def test_killed_while_encoding(stage: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by `kill -9`: nothing is done after that moment. The next start does it all, and removes what was left."""
    child = os.fork()
    if child == 0:
        with before_call(*STAGES[stage], lambda: os._exit(9)):
            zoo.CorpusDataset(path=path)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    left = parts()
    assert len(left) == (stage in list(STAGES)[2:7])
    assert text_of(zoo.CorpusDataset(path=path)) == TEXT
    for part in left:  # it was locked by nobody, and is now old enough not to be another's that has just begun
        os.utime(part, (time.time() - 60, time.time() - 60))
    cache.remove_abandoned()
    assert not parts()
    assert len(cached()) == 1


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), MemoryError()]
)
@pytest.mark.parametrize("stage", list(STAGES)[1:7])
def test_what_fails_while_encoding_leaves_nothing(stage: str, error: BaseException, path: Path) -> None:
    def fail() -> None:
        raise error

    with before_call(*STAGES[stage], fail), pytest.raises((type(error), zoo.DataError)) as caught:
        zoo.CorpusDataset(path=path)
    if isinstance(error, OSError):
        assert isinstance(caught.value, zoo.DataError)
        assert "cannot write the encoded text to the cache" in str(caught.value)
        assert str(caught.value).endswith(
            "No space left on device; set ZOO_CACHE to a folder that can be written and has space"
        )
    else:
        assert caught.value is error
    assert not parts()
    assert not cached()
    assert text_of(zoo.CorpusDataset(path=path)) == TEXT


def test_a_file_that_changes_while_it_is_encoded_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with before_call(cache, "store", 1, lambda: append(path)), pytest.raises(zoo.DataError, match="changed while"):
        zoo.CorpusDataset(path=path)
    assert text_of(zoo.CorpusDataset(path=path)) == path.read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such lock")
def test_parts_of_living_processes_stay(path: Path) -> None:
    zoo.CorpusDataset(path=path)
    part = cache.folder() / f".{cached()[0].name}.0123abcd.tmp"
    with part.open("wb") as file:
        os.utime(part, (1, 1))
        assert cache._lock(file)
        cache.remove_abandoned()
        assert part.exists()
    other = cache.folder() / "notes.tmp"
    other.touch()
    os.utime(other, (1, 1))
    cache.remove_abandoned()
    assert not part.exists()
    assert other.exists()
    part.touch()
    cache.remove_abandoned()
    assert part.exists(), "it may be another's that has just begun"


def test_two_at_once(path: Path) -> None:
    """Each writes its own part, and both are renamed to the same place."""
    together, found = threading.Barrier(2), []

    def parts_of(file: Any, vocabulary: Any) -> Iterator[Any]:
        yield from encoding.encode_characters(file, vocabulary)
        together.wait(10)

    def encode() -> None:
        found.append(text_of(zoo.CorpusDataset(path=path)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(of_dataset, "encode_characters", parts_of)
        threads = [threading.Thread(target=encode) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [TEXT, TEXT]
    assert len(cached()) == 1
    assert not parts()


class Letters:
    """A tokenizer of characters: the same class and size, with ids in another order."""

    vocab_size = 128

    def __init__(self, shift: int) -> None:
        self.shift = shift

    def encode(self, text: str) -> list[int]:
        return [(ord(c) + self.shift) % 128 for c in text]

    def decode(self, ids: list[int]) -> str:
        if ids == [5]:
            raise KeyError(5)
        return "".join(chr((i - self.shift) % 128) for i in ids)


def test_tokenizers_are_told_apart(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_dataset, "LARGE_FOR_TOKENIZERS", 0)
    for shift in (0, 1, 0):
        dataset = zoo.CorpusDataset(path=path, tokenizer=Letters(shift))
        ids = [i - 1 for i in dataset.tokens.rows(torch.arange(len(dataset)), 1).flatten().tolist()]
        assert ids == Letters(shift).encode(TEXT)
    assert len(cached()) == 2
    assert text_of(zoo.CorpusDataset(path=path)) == TEXT
    assert len(cached()) == 3


@pytest.mark.parametrize("large", [True, False])
def test_a_path_of_a_checkpoint_must_have_its_digest(large: bool, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not large:
        monkeypatch.setattr(of_dataset, "LARGE", 1 << 30)
    right = zoo.CorpusDataset(TEXT).sha256
    assert zoo.CorpusDataset(path=path, sha256=right).sha256 == right
    path.write_bytes(b"secret\xff")
    with pytest.raises(zoo.DataError, match="has changed since this run was trained on it") as caught:
        zoo.CorpusDataset(path=path, sha256=right)
    assert "secret" not in str(caught.value)
    assert "UTF-8" not in str(caught.value)
