"""Progress on stderr: one line that fits any terminal, also while that is resized; lines now and then without one."""

from __future__ import annotations

import io
import itertools
import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Zoo

from zoo import stages
from zoo.cli import bar, main, output, progress
from zoo.cli.progress import Progress
from zoo.cli.table import text_width

pytest.importorskip("termios")
import fcntl
import termios

NUMBERS = [
    bar.Steps(1, 5_000, 17.3),
    bar.Steps(5_000, 5_000, 2.314, None, 8_123.4),
    bar.Steps(12_000, 200_000, 2.314, 2.3312, 1_234.5),
    bar.Steps(3, 100, 6.04e31, 6.04e31, 0.02),
    bar.Steps(123_456_789, 9_000_000_000, 0.001, 12.5, 99_999),
    bar.Steps(0, 0, float("nan"), float("inf"), 1.5),
]
STAGES = ["Evaluating", "Downloading a-file-with-a-long-name-of-its-own.txt (221 KiB)", "Reading さくら日本語.txt"]


@pytest.mark.parametrize("glyphs", [bar.BLOCKS, bar.ASCII], ids=["blocks", "ascii"])
def test_no_line_is_longer_than_the_terminal(glyphs: bar.Glyphs) -> None:
    for width in range(1, 221):
        for steps in NUMBERS:
            assert 0 < text_width(bar.training_line(steps, width, glyphs)) <= width
        for text, seconds, done in itertools.product(STAGES, (0.2, 70, 90_000), (None, 0.0, 0.004, 0.43, 1.0)):
            line = bar.stage_line(text, seconds, width, glyphs, done=done, left=done and seconds, frame=width)
            assert text_width(line) <= width


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (6, "6%"),
        (10, "6% 2.314"),
        (19, "6% loss 2.314 2:32"),
        (39, "━──────── 6% loss 2.314 val 2.3312 2:32"),
        (60, "━───────────  12,000/200,000 loss 2.314 val 2.3312 2:32 left"),
        (79, "Training ━──────────────  12,000/200,000 loss 2.314 validation 2.3312 2:32 left"),
        (140, f"Training  ━━{'─' * 38}   12,000/200,000  loss 2.314  validation 2.3312  1,234 steps/s  2:32 left"),
    ],
)
def test_what_is_least_important_goes_first(width: int, line: str) -> None:
    assert bar.training_line(NUMBERS[2], width) == line


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (10, "Evaluating"),
        (19, "⠋ Evaluating 25%"),
        (60, f"⠋ Evaluating  {'━' * 8}{'─' * 22}  25%  0:30 left"),
    ],
)
def test_a_stage_says_what_it_is_at_any_width(width: int, line: str) -> None:
    assert bar.stage_line("Evaluating", 10, width, done=0.25, left=30) == line


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (754, "12:34"), (3_723, "1:02:03"), (4e6, "1,111:06:40")]
)
def test_durations(seconds: float, text: str) -> None:
    assert bar.clock(seconds) == text


@pytest.mark.parametrize(
    ("encoding", "glyphs"),
    [("utf-8", bar.BLOCKS), ("cp1252", bar.ASCII), ("cp437", bar.ASCII), ("ascii", bar.ASCII), ("unknown", bar.ASCII)],
)
def test_characters_that_the_encoding_has(encoding: str, glyphs: bar.Glyphs) -> None:
    assert bar.glyphs_for(encoding) == glyphs


class Terminal:
    """A pseudo-terminal as stderr, and what a terminal shows of what is written to it."""

    def __init__(self, columns: int) -> None:
        self.master, self.slave = os.openpty()
        os.set_blocking(self.master, False)
        self.resize(columns)
        self.text = ""

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def read(self) -> str:
        """What was written since the last time."""
        data = b""
        while True:
            try:
                part = os.read(self.master, 1 << 16)
            except BlockingIOError:
                break
            if not part:
                break
            data += part
        text = data.decode(errors="replace").replace("\r\n", "\n")
        self.text += text
        return text

    def lines(self) -> list[str]:
        """What stands there, line by line: a carriage return goes back to the start of its line."""
        shown = []
        for line in self.text.split("\n"):
            cells: list[str] = []
            for drawn in line.split("\r"):
                cells[: len(drawn)] = drawn
            shown.append("".join(cells).rstrip())
        return shown


def frames(text: str) -> list[str]:
    """The lines that were drawn over each other."""
    return [frame for line in text.split("\n") for frame in line.split("\r")]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Terminal]]:
    opened: list[tuple[Terminal, io.TextIOWrapper]] = []

    def make(columns: int, encoding: str = "utf-8") -> Terminal:
        made = Terminal(columns)
        stream = open(made.slave, "w", encoding=encoding, closefd=False)  # noqa: SIM115  # closed below
        opened.append((made, stream))
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.setattr(progress, "_DRAW_EVERY_S", 0.002)
        monkeypatch.delenv("COLUMNS")
        return made

    monkeypatch.setenv("TERM", "xterm")
    yield make
    for made, stream in opened:
        stream.close()
        os.close(made.master)
        os.close(made.slave)


def wait_for(terminal: Terminal, text: str) -> str:
    """What is written until a text is."""
    written, end = "", time.monotonic() + 10
    while text not in written and time.monotonic() < end:
        written += terminal.read()
        time.sleep(0.002)
    assert text in written
    return written


@pytest.mark.parametrize("columns", [20, 40, 200])
def test_every_frame_of_a_run_fits(
    columns: int, terminal: Callable[..., Terminal], words_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = terminal(columns)
    options = ["--steps", "900", "--validate-every", "300", "--no-plots", "--engine", "autograd"]
    with pytest.raises(SystemExit) as done:
        main(["run", "mlp-char", "--dataset", str(words_file), *options])
    assert done.value.code == 0
    text = shown.read()
    drawn = [frame for frame in frames(text) if "words, " not in frame]
    assert any("loss" in frame for frame in drawn)
    assert max(map(text_width, drawn)) < columns
    assert "\x1b" not in text  # no colour and no control sequence, with NO_COLOR and without
    assert [line for line in shown.lines() if line and "words, " not in line] == []  # the line is removed


def test_frames_fit_after_the_terminal_was_resized(terminal: Callable[..., Terminal]) -> None:
    shown = terminal(100)
    with output.guarded(own_process=False), Progress() as observer:
        observer.stage("Training")
        for step in range(1, 400):
            observer.progress(step, 5_000, 2.3)
        assert "steps/s" in wait_for(shown, "loss 2.300")
        for columns in (40, 20, 60, 100):
            shown.resize(columns)
            time.sleep(0.05)
            shown.read()
            observer.progress(400 + columns, 5_000, 2.4)
            drawn = frames(wait_for(shown, "loss 2.4"))
            assert max(map(text_width, drawn)) < columns


def test_lines_are_written_above_the_line_of_progress(terminal: Callable[..., Terminal]) -> None:
    shown = terminal(40)
    with output.guarded(own_process=False), Progress() as observer:
        observer.stage("Evaluating")
        wait_for(shown, "Evaluating")
        observer.warning("something is odd")
        observer.note("a note")
        wait_for(shown, "a note")
        wait_for(shown, "Evaluating")
    shown.read()
    assert shown.lines() == ["zoo: warning: something is odd", "a note", ""]


def test_half_a_line_of_a_plugin_is_not_overwritten(terminal: Callable[..., Terminal]) -> None:
    import sys

    shown = terminal(40)
    with output.guarded(own_process=False), Progress() as observer:
        observer.stage("Evaluating")
        wait_for(shown, "Evaluating")
        sys.stderr.write("half ")
        time.sleep(0.03)
        sys.stderr.write("a line\n")
        wait_for(shown, "Evaluating")
    shown.read()
    assert shown.lines() == ["half a line", ""]


def test_a_stage_is_seen_at_once_with_its_share_and_the_time_left(terminal: Callable[..., Terminal]) -> None:
    shown = terminal(60)
    with output.guarded(own_process=False), Progress() as observer:
        with stages.within("Evaluating"):
            observer._began -= 43  # as if it had taken so long
            stages.advance(43, 100)
            assert "43%  0:57 left" in wait_for(shown, "left")
            with stages.within("Reading the data"):
                wait_for(shown, "Reading the data")
            wait_for(shown, "Evaluating")
        time.sleep(0.03)
        shown.read()
        assert shown.lines() == [""]


def test_a_short_evaluation_does_not_replace_the_line_of_the_training(terminal: Callable[..., Terminal]) -> None:
    shown = terminal(60)
    with output.guarded(own_process=False), Progress() as observer:
        observer.stage("Training")
        observer.progress(5, 10, 2.0)
        wait_for(shown, "loss 2.000")
        with stages.within("Evaluating"):
            time.sleep(0.05)
            assert "Evaluating" not in shown.read()
            observer._began -= 1
            wait_for(shown, "Evaluating")
        wait_for(shown, "loss 2.000")


def test_an_encoding_without_blocks_gets_other_characters(terminal: Callable[..., Terminal]) -> None:
    shown = terminal(60, "cp1252")
    with output.guarded(own_process=False), Progress() as observer:
        observer.stage("Training")
        observer.progress(5, 10, 2.0)
        written = wait_for(shown, "loss 2.000")
    assert "###" in written
    assert written.isascii()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundredth of a second counts as one."""
    for name, seconds in (("_DRAW_EVERY_S", 0.001), ("_LINE_AFTER_S", 0.02), ("_LINE_EVERY_S", 0.4)):
        monkeypatch.setattr(progress, name, seconds)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("dumb", [False, True])
def test_without_a_terminal_a_slow_stage_is_one_line(
    dumb: bool,
    capsys: pytest.CaptureFixture[str],
    terminal: Callable[..., Terminal],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    shown = terminal(40) if dumb else None
    monkeypatch.setattr(progress, "_DRAW_EVERY_S", 0.001)
    with output.guarded(own_process=False), Progress():
        with stages.within("Reading the data"):
            pass
        for _ in range(2):
            with stages.within("Evaluating"):
                stages.advance(1, 4)
                time.sleep(0.15)
    err = shown.read() if shown else capsys.readouterr().err
    assert err == "Evaluating: 25% done, 0 s so far\n"


@pytest.mark.usefixtures("slow")
def test_without_a_terminal_a_very_slow_stage_is_told_again(capsys: pytest.CaptureFixture[str]) -> None:
    with output.guarded(own_process=False), Progress() as observer, stages.within("Evaluating"):
        observer._began -= 3
        stages.advance(1, 4)
        time.sleep(0.2)
        stages.advance(3, 4)
        time.sleep(0.4)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "Evaluating: 25% done, 3 s so far, about 0:09 left"
    assert second.startswith("Evaluating: 75% done, ")


@pytest.mark.usefixtures("slow")
def test_without_a_terminal_training_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with output.guarded(own_process=False), Progress() as observer:
        observer.stage("Training")
        observer.progress(100, 1_000, 2.5)
        observer.validated(100, 2.25)
        time.sleep(0.45)
        observer.progress(200, 1_000, 2.25)
        observer.progress(300, 1_000, 2.25)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("step 200 of 1,000, loss 2.250, validation 2.2500, 0:0")


@pytest.mark.usefixtures("slow")
def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with output.guarded(own_process=False), Progress(quiet=True) as observer, stages.within("Evaluating"):
        observer.note("a note")
        observer.progress(1, 2, 3.0)
        time.sleep(0.06)
    assert capsys.readouterr().err == ""


STAGES_OF: dict[str, tuple[list[str], list[str]]] = {
    "run": (
        ["run", "mlp-char", "--dataset", "words.txt", "--steps", "3", "--validate-every", "1", "--out", "new"],
        [stages.LOADING, "Reading the data", "Training", "Evaluating", "Training", "Evaluating", "Plotting"],
    ),
    "run on running text": (
        ["run", "mlp-char", "--dataset", "words.txt", "--format", "text", "--steps", "3", "--out", "new"],
        [stages.LOADING, "Reading the data", "Reading the text", "Encoding the text", "Training", "Evaluating"],
    ),
    "run on blocks": (
        ["run", "rnn", "--dataset", "words.txt", "--format", "text", "--steps", "1", "--no-plots"],
        [stages.LOADING, "Reading the data", "Reading the text", "Encoding the text", "Training", "Evaluating"],
    ),
    "resume": (["resume", "run", "--steps", "5"], [stages.LOADING, "Reading the data", "Training", "Evaluating"]),
    "eval": (["eval", "run"], [stages.LOADING, "Reading the weights", "Reading the data", "Evaluating"]),
    "sample": (["sample", "run"], [stages.LOADING, "Reading the weights", "Reading the data", "Sampling"]),
    "predict": (["predict", "run", "a"], [stages.LOADING, "Reading the weights", "Predicting"]),
    "verify": (["verify", "run"], [stages.LOADING, "Checking the files"]),
    "data": (["data", "words.txt"], [stages.LOADING, "Reading the data"]),
    "plot": (["plot", "run", "loss"], [stages.LOADING, "Reading the weights", "Plotting"]),
}


@pytest.mark.usefixtures("quick_plots")
@pytest.mark.parametrize("command", STAGES_OF)
def test_every_command_tells_its_stages(
    command: str, zoo_here: Zoo, run: Path, words_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("words.txt").write_text(words_file.read_text() * (20 if command == "run on blocks" else 1))
    args, expected = STAGES_OF[command]
    told: list[str] = []
    shares: list[float] = []

    def stage(self: Progress, text: str) -> None:
        self.current = text
        told.append(text)

    monkeypatch.setattr(Progress, "stage", stage)
    monkeypatch.setattr(Progress, "advanced", lambda _, done, total: shares.append(done / total))
    data = [] if command not in ("eval", "sample") else ["--dataset", "words.txt"]
    assert zoo_here(*args, *data).code == 0
    found = iter(told)
    assert all(stage in found for stage in expected), told  # in this order
    if "Evaluating" in expected:
        assert shares[-1] == 1
        assert all(0 <= share <= 1 for share in shares)
