"""`losses.csv`: written whole while it is short, appended to when it is long, and read back exactly."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from zoo import CheckpointError
from zoo.storage import losses as module
from zoo.storage.losses import LossesFile, Sealed, read_losses
from zoo.storage.open_folder import OpenFolder

AWKWARD = [
    3.2958369255065918,
    0.1,
    1 / 3,
    0.0,
    -0.0,
    5e-324,
    2.2250738585072014e-308,
    1.7976931348623157e308,
    1e22,
    123456789.123456789,
    1e-7,
    100000.0,
    struct.unpack("f", struct.pack("f", 2.1))[0],
]


PART = 4  # steps, in place of a million


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[OpenFolder]:
    opened = OpenFolder(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEPS_OF_A_PART", PART)


def text(losses: list[float]) -> bytes:
    return "".join(["step,loss\n", *(f"{step},{loss!r}\n" for step, loss in enumerate(losses))]).encode()


def test_losses_have_a_heading_and_a_line_per_step_with_the_fewest_digits(folder: OpenFolder, tmp_path: Path) -> None:
    LossesFile().write(folder, [1.5, 0.1])
    assert (tmp_path / "losses.csv").read_bytes() == b"step,loss\n0,1.5\n1,0.1\n"


@pytest.mark.parametrize("losses", [[], [1.0], AWKWARD], ids=["none", "one", "awkward"])
@pytest.mark.parametrize("part", [PART, 1_000_000])
def test_losses_are_read_back_exactly(
    folder: OpenFolder, tmp_path: Path, losses: list[float], part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STEPS_OF_A_PART", part)
    LossesFile().write(folder, losses)
    assert list(map(repr, read_losses(tmp_path / "losses.csv"))) == list(map(repr, losses))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"loss,step\n1.0,0\n",
        b"0,1.0\n",
        b"step,loss\n1,1.0\n",
        b"step,loss\n0,1.0\n2,1.0\n",
        b"step,loss\n0,1.0\n0,1.0\n",
        b"step,loss\n0,1.0\n1\n",
        b"step,loss\n0,1.0\n1,\n",
        b"step,loss\n0,1.0,2.0\n",
        b"step,loss\n0,one\n",
        b"step,loss\n0,1.0\n\n1,1.0\n",
        b"step,loss\n0,1.0\n1,\xff\n",
        b"step,loss\n0,1.\x000\n",
        b"<html></html>",
    ],
    ids=repr,
)
def test_damaged_losses_are_refused_with_their_path(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "losses.csv"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"losses\.csv is damaged: "):
        read_losses(path)


def test_missing_losses_are_an_error_with_their_path(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot read .*losses\.csv: No such file"):
        read_losses(tmp_path / "losses.csv")


# From checkpoint to checkpoint

CHECKPOINTS = [(1, 2, 3), (3, 4, 5), (4, 8), (2, 9, 10, 11, 17), (0, 4, 4, 5), (13,), (5, 3), (9, 2, 6, 12)]


@pytest.mark.usefixtures("short_parts")
@pytest.mark.parametrize("counts", CHECKPOINTS, ids=str)
def test_after_each_checkpoint_the_file_has_the_losses_so_far(
    folder: OpenFolder, tmp_path: Path, counts: tuple[int, ...]
) -> None:
    """Also where training has returned to an earlier step, with other losses from there on."""
    file = LossesFile()
    some: list[float] = []
    for turn, count in enumerate(counts):
        some = some[:count] + [0.1 * step + turn for step in range(len(some), count)]
        file.write(folder, some)
        assert (tmp_path / "losses.csv").read_bytes() == text(some)
        assert (file.sealed.steps if file.sealed else 0) == count // PART * PART
        if file.sealed is not None:
            assert file.sealed.losses(tmp_path / "losses.csv") == some[: file.sealed.steps]


@pytest.mark.usefixtures("short_parts")
def test_losses_already_written_are_not_written_again(folder: OpenFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    file, losses, written = LossesFile(), [0.5] * 40, []
    file.write(folder, losses[:PART])
    append, write = OpenFolder.append, OpenFolder.write

    def spy_append(self: OpenFolder, name: str, size: int, data: bytes) -> None:
        written.append(len(data))
        append(self, name, size, data)

    def spy_write(self: OpenFolder, name: str, data: bytes) -> None:
        written.append(len(data))
        write(self, name, data)

    monkeypatch.setattr(OpenFolder, "append", spy_append)
    monkeypatch.setattr(OpenFolder, "write", spy_write)
    for count in range(PART + 1, 40):
        file.write(folder, losses[:count])
    assert max(written) == len("10,0.5\n")


@pytest.mark.usefixtures("short_parts")
@pytest.mark.parametrize("harm", ["deleted", "shortened", "emptied", "folder", "link"])
def test_a_file_that_somebody_harmed_is_written_anew(folder: OpenFolder, tmp_path: Path, harm: str) -> None:
    file, losses, path = LossesFile(), [0.1 * step for step in range(20)], tmp_path / "losses.csv"
    file.write(folder, losses[:9])
    if harm == "shortened":
        path.write_bytes(path.read_bytes()[:-3])
    elif harm == "emptied":
        path.write_bytes(b"")
    else:
        path.unlink()
        if harm == "folder":
            path.mkdir()
        elif harm == "link":
            path.symlink_to(tmp_path / "elsewhere")
            (tmp_path / "elsewhere").write_bytes(text(losses[:9]))
    for _ in range(2):  # a folder in its place is an error, and what it hid can be written when it is gone
        try:
            file.write(folder, losses[:11])
        except OSError:
            assert harm in ("folder", "link")
            if path.is_dir():
                path.rmdir()
    assert not path.is_symlink()
    assert path.read_bytes() == text(losses[:11])
    if harm == "link":
        assert (tmp_path / "elsewhere").read_bytes() == text(losses[:9])


@pytest.mark.usefixtures("short_parts")
@pytest.mark.parametrize("count", [8, 9, 11, 12, 17])
def test_a_resumed_run_goes_on_with_its_file(folder: OpenFolder, tmp_path: Path, count: int) -> None:
    """Also if lines of steps that have to be done again were in it."""
    first, losses = LossesFile(), [0.1 * step for step in range(20)]
    first.write(folder, losses[:9])
    assert first.sealed is not None
    sealed = first.sealed
    first.write(folder, [*losses[:9], 7.0, 8.0])
    again = LossesFile()
    again.go_on_after(sealed, tmp_path / "losses.csv")
    again.write(folder, losses[:count])
    assert (tmp_path / "losses.csv").read_bytes() == text(losses[:count])
    assert again.sealed is not None
    assert again.sealed.losses(tmp_path / "losses.csv") == losses[: count // PART * PART]


@pytest.mark.parametrize(
    "raw",
    [None, 3, {}, {"steps": 1}, {"steps": True, "size": 9, "sha256": ""}, {"steps": -4, "size": 9, "sha256": ""}],
    ids=repr,
)
def test_a_record_of_sealed_losses_that_is_none_is_not_taken_for_one(raw: object) -> None:
    assert Sealed.read(raw) is None


@pytest.mark.usefixtures("short_parts")
@pytest.mark.parametrize("harm", ["one digit", "shortened", "deleted", "pipe"])
def test_sealed_losses_that_changed_are_refused(folder: OpenFolder, tmp_path: Path, harm: str) -> None:
    file, path = LossesFile(), tmp_path / "losses.csv"
    file.write(folder, [0.5] * 9)
    assert file.sealed is not None
    content = path.read_bytes()
    path.unlink()
    if harm == "one digit":
        path.write_bytes(content.replace(b"2,0.5", b"2,0.6"))
    elif harm == "shortened":
        path.write_bytes(content[:20])
    elif harm == "pipe":
        os.mkfifo(path)
    with pytest.raises(CheckpointError, match=r"losses\.csv"):
        file.sealed.losses(path)
