"""Reading files, and writing them atomically."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from zoo.errors import ZooError
from zoo.files import canonical_json, kind_of, readable_json, replacing, write_bytes, write_text
from zoo.text import shown


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A place for a file, alone in its folder."""
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder / "file.txt"


@pytest.fixture(params=[0o022, 0o077, 0o002], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def content_of(folder: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()}


def write_half(path: Path, error: BaseException) -> None:
    with replacing(path) as file:
        file.write(b"half of it")
        raise error


def test_text_is_written_as_utf_8_without_changing_line_ends(path: Path) -> None:
    write_text(path, "zoë\r\nさくら\n")
    assert path.read_bytes() == "zoë\r\nさくら\n".encode()


def test_a_file_is_replaced_and_nothing_else_is_left(path: Path) -> None:
    path.write_bytes(b"old and longer")
    write_bytes(path, b"new")
    assert content_of(path.parent) == {"file.txt": b"new"}


def test_the_old_file_is_there_until_the_block_ends(path: Path) -> None:
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, OSError], ids=lambda e: e.__name__)
def test_an_exception_leaves_the_old_content_and_no_temporary_file(path: Path, error: type[BaseException]) -> None:
    path.write_bytes(b"old")
    with pytest.raises(error):
        write_half(path, error())
    assert content_of(path.parent) == {"file.txt": b"old"}


def test_an_exception_before_a_first_file_leaves_an_empty_folder(path: Path) -> None:
    with pytest.raises(ValueError, match="odd"):
        write_half(path, ValueError("odd"))
    assert content_of(path.parent) == {}


def test_a_new_file_has_the_mode_that_the_umask_leaves(path: Path, umask: int) -> None:
    write_bytes(path, b"x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_a_full_disk_is_reported_under_the_files_own_name(path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as caught, replacing(path):
        raise OSError(errno.ENOSPC, "No space left on device", "some/temporary/name")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))


def test_a_missing_folder_is_reported_under_the_files_own_name(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "file.txt"
    with pytest.raises(FileNotFoundError) as caught:
        write_bytes(path, b"x")
    assert caught.value.filename == str(path)


def test_a_file_in_place_of_the_folder_is_reported_under_the_files_own_name(path: Path) -> None:
    path.write_bytes(b"")
    with pytest.raises(NotADirectoryError) as caught:
        write_bytes(path / "inner.txt", b"x")
    assert caught.value.filename == str(path / "inner.txt")


def test_a_folder_in_place_of_the_file_is_reported_and_stays(path: Path) -> None:
    path.mkdir()
    with pytest.raises(OSError, match="directory") as caught:
        write_bytes(path, b"x")
    assert caught.value.filename == str(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder_is_reported_under_the_files_own_name(path: Path) -> None:
    path.parent.chmod(0o500)
    try:
        with pytest.raises(PermissionError) as caught:
            write_bytes(path, b"x")
    finally:
        path.parent.chmod(0o700)
    assert caught.value.filename == str(path)


def test_an_os_error_without_a_number_keeps_its_message(path: Path) -> None:
    with pytest.raises(OSError, match="the disk is on fire"), replacing(path):
        raise OSError("the disk is on fire")


def test_a_file_is_flushed_to_the_disk_before_it_is_renamed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    existed: list[bool] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            existed.append(path.exists())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    write_bytes(path, b"x")
    assert existed == [False]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [1, 2.5, None, True]}, '{"a":[1,2.5,null,true],"b":1}'),
        ({"name": "zoë"}, '{"name":"zoë"}'),
        ((1, 2), "[1,2]"),
    ],
)
def test_canonical_json_sorts_its_keys_and_has_no_spaces(value: object, text: str) -> None:
    assert canonical_json(value) == text


def test_the_order_of_keys_does_not_change_canonical_json() -> None:
    assert canonical_json({"a": 1, "b": 2}) == canonical_json({"b": 2, "a": 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"loss": value})
    with pytest.raises(ValueError, match="not JSON compliant"):
        readable_json({"loss": value})


def test_readable_json_keeps_the_order_of_keys_and_ends_with_a_newline() -> None:
    assert readable_json({"b": "ë", "a": 1}) == '{\n  "b": "ë",\n  "a": 1\n}\n'


@pytest.mark.parametrize("number", [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0, 2**63])
def test_numbers_are_read_back_exactly(number: float) -> None:
    assert repr(json.loads(canonical_json(number))) == repr(number)


def test_kind_of_a_path(path: Path) -> None:
    path.write_bytes(b"")
    pipe, link, circle, broken = (path.with_name(name) for name in ("pipe", "link", "circle", "broken"))
    os.mkfifo(pipe)
    link.symlink_to(path)
    circle.symlink_to(circle)
    broken.symlink_to("nowhere")
    assert [kind_of(p) for p in (path, path.parent, pipe, link)] == ["file", "folder", "other", "file"]
    for nothing in (circle, broken, path / "inner", path.parent / "nowhere"):
        assert kind_of(nothing) == "nothing"


@pytest.mark.parametrize(
    "name", ["x" * 5000, "x" * 256, "x/" * 3000, "a\0b", "\ud800"], ids=lambda name: ascii(name)[:9]
)
def test_an_invalid_name_leads_to_nothing(name: str) -> None:
    assert kind_of(Path(name)) == "nothing"


def test_a_path_without_permission_is_an_error_of_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> os.stat_result:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(ZooError, match=r"cannot access .*file\.txt: Permission denied"):
        kind_of(path)


def test_a_name_in_a_message_is_quoted_and_shortened() -> None:
    assert shown(Path("runs/a")) == "'runs/a'"
    assert shown("a\0\nb") == r"'a\x00\nb'"
    assert shown("x" * 300) == repr("x" * 300)
    assert shown("ab" * 5000).startswith("'abab")
    assert "…" in shown("ab" * 5000)
    assert len(shown("ab" * 5000)) < 300
