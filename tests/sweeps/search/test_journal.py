"""`search.journal`: a file of Optuna's own, which several processes may share and nothing depends on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from swept import MakeRequest

from zoo.plugin.registry import Registry
from zoo.sweeps.member import DIVERGED, FAILED, FINISHED, Row, State
from zoo.sweeps.search import journal
from zoo.sweeps.search.halving import Halving
from zoo.sweeps.search.journal import JOURNAL_FILE
from zoo.sweeps.search.trials import Search, Trials

optuna = pytest.importorskip("optuna")
STATES: dict[int, State] = {2: DIVERGED, 5: FAILED}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "sweep"
    path.mkdir()
    return path


def refuse(text: str) -> None:
    raise AssertionError(text)


def done(search: Trials, folder: Path, most: int = 10**9, rows: dict[int, Row] | None = None) -> dict[int, Row]:
    """Let members end one after the other, as in a sweep."""
    rows = {} if rows is None else rows
    while True:
        members = search.members(rows)
        search.record(folder, rows, refuse)
        waiting = [one for one in members if one.number not in rows]
        if not waiting or len(rows) == most:
            return rows
        one, state = waiting[0], STATES.get(waiting[0].number, FINISHED)
        losses = {"val": 1 / one.number} if state == FINISHED else {}
        rows[one.number] = Row(one.number, one.settings, one.seed, state, "", one.until or 9, 9, losses)


def trials(folder: Path) -> list[Any]:
    backend = optuna.storages.journal.JournalFileBackend(str(folder / JOURNAL_FILE))
    return optuna.load_study(study_name="zoo", storage=optuna.storages.JournalStorage(backend)).trials  # type: ignore[no-any-return]


def search_of(make_request: MakeRequest, registry: Registry, **given: Any) -> Search:
    options = {"search": "tpe", "trials": 12}
    return Search(make_request(options, lr="0.01..1", optimizer=["sgd", "adamw"], **given), registry)


def test_it_has_every_trial_as_it_was_tried(make_request: MakeRequest, registry: Registry, folder: Path) -> None:
    search = search_of(make_request, registry)
    rows = done(search, folder)
    found = trials(folder)
    assert [one.params for one in found] == [dict(member.settings) for member in search.members(rows)]
    assert [one.user_attrs for one in found] == [{"members": [number]} for number in range(1, 13)]
    states = [one.state.name for one in found]
    assert (states[1], states[4], {*states[:1], *states[2:4], *states[5:]}) == ("PRUNED", "FAIL", {"COMPLETE"})
    assert found[2].value == 1 / 3


def test_it_is_added_to_as_trials_end_and_after_a_resumption(
    make_request: MakeRequest, registry: Registry, folder: Path
) -> None:
    rows = done(search_of(make_request, registry), folder, most=7)
    assert len(trials(folder)) == 7
    before = (folder / JOURNAL_FILE).read_bytes()
    done(search_of(make_request, registry), folder, rows=rows)
    assert (folder / JOURNAL_FILE).read_bytes().startswith(before)
    assert len(trials(folder)) == 12


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def spoil(path: Path) -> None:
    path.write_bytes(b"{}\n" + path.read_bytes())


def no_text(path: Path) -> None:
    path.write_bytes(os.urandom(300) + b"\n")


def of_another(path: Path) -> None:
    path.write_text(path.read_text().replace('"members":[3]', '"members":[4]'))


@pytest.mark.parametrize("damage", [cut, spoil, no_text, of_another, Path.unlink])
def test_one_that_is_damaged_or_another_is_written_anew(
    damage: Any, make_request: MakeRequest, registry: Registry, folder: Path
) -> None:
    rows = done(search_of(make_request, registry), folder, most=7)
    damage(folder / JOURNAL_FILE)
    done(search_of(make_request, registry), folder, rows=rows)
    assert [one.user_attrs["members"] for one in trials(folder)] == [[number] for number in range(1, 13)]


def test_a_lock_that_a_killed_process_left_does_not_stay(
    make_request: MakeRequest, registry: Registry, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_STALE_SECONDS", 3)
    code = (
        f"import os; from optuna.storages.journal import JournalFileSymlinkLock as Lock; "
        f"Lock({str(folder / JOURNAL_FILE)!r}).acquire(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert (folder / f"{JOURNAL_FILE}.lock").is_symlink()
    search = search_of(make_request, registry)
    done(search, folder, most=2)
    assert len(trials(folder)) == 2


def test_higher_is_better_where_the_metric_says_so(make_request: MakeRequest, registry: Registry, folder: Path) -> None:
    search = search_of(make_request, registry, monitor="accuracy", validate_every=2)
    rows: dict[int, Row] = {}
    for _ in range(4):
        one = next(one for one in search.members(rows) if one.number not in rows)
        metrics = {"val": {"accuracy": one.number / 10}}
        rows[one.number] = Row(one.number, one.settings, 1, FINISHED, "", 9, 9, {"val": 1.0}, metrics)
    search.record(folder, rows, refuse)
    assert [one.value for one in trials(folder)] == [0.1, 0.2, 0.3, 0.4]
    backend = optuna.storages.journal.JournalFileBackend(str(folder / JOURNAL_FILE))
    study = optuna.load_study(study_name="zoo", storage=optuna.storages.JournalStorage(backend))
    assert study.best_value == 0.4


def test_halving_has_values_at_each_rung(make_request: MakeRequest, registry: Registry, folder: Path) -> None:
    done(Halving(make_request({"search": "halving", "trials": 9}, lr="0.1..1"), registry), folder)
    found = trials(folder)
    assert [one.state.name for one in found].count("COMPLETE") == 1
    last = next(one for one in found if one.state.name == "COMPLETE")
    assert sorted(last.intermediate_values) == [1, 3, 9]
    assert {len(one.intermediate_values) for one in found} == {0, 1, 2, 3}


def test_a_disk_that_cannot_be_written_costs_a_warning(
    make_request: MakeRequest, registry: Registry, tmp_path: Path
) -> None:
    search = search_of(make_request, registry)
    warnings: list[str] = []
    for _ in range(2):
        search.record(tmp_path / "nowhere", {}, warnings.append)
    assert len(warnings) == 1
    assert warnings[0].startswith("search.journal has no more trials from here on: No such file or directory")


def test_it_says_nothing_on_stderr_and_leaves_the_callers_logging(
    make_request: MakeRequest, registry: Registry, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = optuna.logging.get_verbosity()
    done(search_of(make_request, registry), folder)
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == before
