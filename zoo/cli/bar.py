"""The line of progress on a terminal of any width: what is least important goes first, and nothing wraps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from zoo.cli.table import text_width
from zoo.numbers import clock as clock
from zoo.numbers import show_loss

_SHORTEST, _LONGEST = 6, 40  # columns of a bar

Pieces = dict[str, str]


class Glyphs(NamedTuple):
    """The characters of a bar, done and not yet, and of a spinner."""

    done: str
    rest: str
    spinner: str


BLOCKS = Glyphs("━", "─", "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
ASCII = Glyphs("#", "-", "|/-\\")


@dataclass(frozen=True)
class Steps:
    """How far training is.

    Attributes:
        step, steps: how many are done, of how many.
        loss: of the last step.
        validation: the last loss on the validation split; None if there is none.
        per_second: steps; None if that is not known.
    """

    step: int
    steps: int
    loss: float
    validation: float | None = None
    per_second: float | None = None

    @property
    def seconds_left(self) -> float | None:
        return (self.steps - self.step) / self.per_second if self.per_second else None


@dataclass(frozen=True)
class Members:
    """How far a sweep is.

    Attributes:
        done, total: members, of how many.
        share: the same, with parts of members.
        steps_per_second: of all members; None if that is not known.
        seconds_left: None if that is not known.
    """

    done: int
    total: int
    share: float
    steps_per_second: float | None = None
    seconds_left: float | None = None


def glyphs_for(encoding: str) -> Glyphs:
    """Those that an encoding has."""
    try:
        "".join(BLOCKS).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BLOCKS


def training_line(steps: Steps, width: int, glyphs: Glyphs = BLOCKS) -> str:
    """At most `width` columns about the training."""
    done, left = steps.step / max(steps.steps, 1), steps.seconds_left
    total = f"{steps.steps:,}"
    validation = None if steps.validation is None else show_loss(steps.validation)
    pieces = {
        "label": "Training",
        "bar": "",
        "count": f"{steps.step:{len(total)},}/{total}",
        "loss": f"loss {show_loss(steps.loss, 3)}",
        "validation": "" if validation is None else f"validation {validation}",
        "rate": "" if steps.per_second is None else _rate(steps.per_second),
        "left": "" if left is None else f"{clock(left)} left",
    }
    shorter = [
        ("rate", ""),
        ("label", ""),
        ("validation", "" if validation is None else f"val {validation}"),
        ("left", "" if left is None else clock(left)),
        ("count", f"{done:.0%}"),
        ("validation", ""),
        ("bar", None),
        ("left", ""),
        ("loss", show_loss(steps.loss, 3)),
        ("loss", ""),
    ]
    return _fitted(pieces, shorter, done, width, glyphs)


def members_line(members: Members, width: int, glyphs: Glyphs = BLOCKS) -> str:
    """At most `width` columns about a sweep."""
    done, left = members.share / max(members.total, 1), members.seconds_left
    total = f"{members.total:,}"
    pieces = {
        "label": "Training",
        "bar": "",
        "count": f"{members.done:{len(total)},}/{total} members",
        "rate": "" if members.steps_per_second is None else _rate(members.steps_per_second),
        "left": "" if left is None else f"{clock(left)} left",
    }
    shorter = [
        ("rate", ""),
        ("label", ""),
        ("left", "" if left is None else clock(left)),
        ("count", f"{members.done:,}/{total}"),
        ("bar", None),
        ("left", ""),
        ("count", f"{done:.0%}"),
    ]
    return _fitted(pieces, shorter, done, width, glyphs)


def stage_line(
    text: str,
    seconds: float,
    width: int,
    glyphs: Glyphs = BLOCKS,
    *,
    done: float | None = None,
    left: float | None = None,
    frame: int = 0,
) -> str:
    """At most `width` columns about another stage.

    Args:
        text: its name.
        seconds: how long it has taken.
        width, glyphs: as for `training_line`.
        done: the share that is done; None if that is not known.
        left: how many more seconds it takes; None if that is not known.
        frame: the number of the frame, which turns the spinner.
    """
    pieces = {
        "text": f"{glyphs.spinner[frame % len(glyphs.spinner)]} {text}",
        "bar": "",
        "done": "" if done is None else f"{done:.0%}",
        "time": clock(seconds) if left is None and seconds >= 1 else "" if left is None else f"{clock(left)} left",
    }
    shorter = [
        ("time", "" if left is None else clock(left)),
        ("bar", None),
        ("time", ""),
        ("text", text),
        ("done", ""),
    ]
    if done is None:
        del pieces["bar"]
    return _fitted(pieces, shorter, done or 0.0, width, glyphs)


def _rate(per_second: float) -> str:
    if per_second >= 1:
        return f"{per_second:,.0f} steps/s" if per_second >= 10 else f"{per_second:.1f} steps/s"
    return f"{1 / per_second:,.1f} s/step" if per_second else ""


def _fitted(pieces: Pieces, shorter: list[tuple[str, str | None]], done: float, width: int, glyphs: Glyphs) -> str:
    """The pieces in a line, after as many of the replacements as it takes; the bar takes what is left.

    None as a replacement leaves out its piece.
    """
    pieces, gap = dict(pieces), "  "
    for name, text in [("", ""), ("", ""), *shorter]:
        if text is not None:
            pieces[name] = text
        else:
            pieces.pop(name, None)
        others = [piece for name, piece in pieces.items() if piece and name != "bar"]
        taken = sum(map(_columns, others)) + len(gap) * (len(others) - 1)
        room = width - taken - len(gap) if "bar" in pieces else 0
        if taken <= width and ("bar" not in pieces or room >= _SHORTEST):
            break
        gap = " "
    if "bar" in pieces:
        pieces["bar"] = _bar(done, max(0, min(room, _LONGEST)), glyphs)
    line = gap.join(filter(None, pieces.values()))
    while _columns(line) > width:
        line = line[:-1]
    return line


def _bar(done: float, columns: int, glyphs: Glyphs) -> str:
    full = round(max(0.0, min(done, 1.0)) * columns)
    return glyphs.done * full + glyphs.rest * (columns - full)


def _columns(text: str) -> int:
    """As `text_width`, without asking a table for the glyphs of a bar."""
    return text_width(text.translate(_ONE_COLUMN))


_ONE_COLUMN = str.maketrans(dict.fromkeys("".join(BLOCKS), "#"))
