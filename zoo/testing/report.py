"""What a check tried, and what it left out and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, TypeVar

S = TypeVar("S")


class Skip(NamedTuple):
    """A check that could not be tried, and why."""

    what: str
    why: str


@dataclass(frozen=True)
class Report:
    """What was tried and passed; whatever failed has raised AssertionError.

    Attributes:
        passed: the names of the checks, in their order: `model 'linear-char': ends the same after a stop`.
        skipped: those that could not be tried here, with the reasons.
    """

    passed: tuple[str, ...] = ()
    skipped: tuple[Skip, ...] = ()

    @property
    def checks(self) -> int:
        """How many passed."""
        return len(self.passed)

    def __contains__(self, text: str) -> bool:
        """Whether a check passed whose name contains that: `"engine 'by-hand'" in report`."""
        return any(text in name for name in self.passed)

    def __add__(self, other: Report) -> Report:
        return Report(self.passed + other.passed, self.skipped + other.skipped)

    def __str__(self) -> str:
        """How many passed, and a line for each that was left out."""
        counted = f"{self.checks} check{'s' * (self.checks != 1)} passed, {len(self.skipped)} skipped"
        return "\n".join([counted, *(f"skipped: {what}: {why}" for what, why in self.skipped)])


class SkippedError(Exception):
    """Raised by a rule that cannot be tried here; its text says why."""


Rule: TypeAlias = Callable[[S], None]


def try_rules(who: str, rules: Mapping[str, Rule[S]], subject: S) -> Report:
    """Try each rule on a subject.

    Args:
        who: `model 'linear-char'`, put before the name of each rule.
        rules: by what a subject does that keeps them. Each raises AssertionError where it does not.
        subject: what they are about.
    """
    report = Report()
    for name, rule in rules.items():
        what = f"{who}: {name}"
        try:
            rule(subject)
        except SkippedError as error:
            report += Report(skipped=(Skip(what, str(error)),))
        else:
            report += Report((what,))
    return report


def total(reports: Iterable[Report]) -> Report:
    """All of them as one."""
    return sum(reports, Report())
