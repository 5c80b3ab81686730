"""`zoo.sweep` in Python: what it returns, and what it leaves of the caller's process."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from zoo.errors import InterruptedRunError, UsageError
from zoo.numbers import show_loss
from zoo.runs.observer import Observer
from zoo.sweeps.sheet import read_sheet
from zoo.sweeps.workers import child

FORKS = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a sweep has no workers")
WORDS = [a + b + c for a in "abeln" for b in "abeln" for c in "abeln"][:90]
SHORT: dict[str, Any] = {"dataset": WORDS, "device": "cpu", "engine": "manual", "steps": 5, "jobs": 2}


def test_what_it_returns() -> None:
    sweep = zoo.sweep("mlp-char", seeds=2, lr=[0.03, 0.1], settings={"model.hidden_size": [4, 6]}, **SHORT)
    assert len(sweep) == 8
    assert [row.member for row in sweep] == [*range(1, 9)]
    assert sweep.rows[1].settings == {"lr": 0.03, "model.hidden_size": 6}
    assert [row.seed for row in sweep] == [1] * 4 + [2] * 4
    assert repr(sweep).startswith("<Sweep sweeps/mlp-char-1: 8 members, best validation loss ")
    assert [one.settings for one in sweep.settings] == [row.settings for row in sweep.rows[:4]]
    assert all(len(one.values) == 2 for one in sweep.settings)
    best = min(sweep.rows, key=lambda row: row.losses["val"])
    assert sweep.best_row == best
    assert sweep.best.weights_sha256 == best.weights_sha256
    assert sweep.member(3).config["training"]["lr"] == 0.1
    assert sweep._repr_html_().count("<tr>") == 5
    with pytest.raises(UsageError, match="no member 9"):
        sweep.member(9)
    assert [row.weights_sha256 for row in read_sheet(sweep.path / "sweep.csv")] == [row.weights_sha256 for row in sweep]


@pytest.mark.parametrize(
    "data", [WORDS, "words.txt", Path("words.txt"), "dataset"], ids=["list", "file", "path", "made"]
)
def test_forms_of_data_give_the_same(data: Any) -> None:
    Path("words.txt").write_text("\n".join(WORDS) + "\n")
    given = zoo.load_dataset("words.txt") if data == "dataset" else data
    sweep = zoo.sweep("mlp-char", seeds=2, **SHORT | {"dataset": given})
    of_run = {name: value for name, value in SHORT.items() if name != "jobs"} | {"dataset": given}
    run = zoo.run("mlp-char", seed=2, init_seed=2, threads=1, plots=False, **of_run)
    assert sweep.rows[1].weights_sha256 == run.metrics["weights_sha256"]


def test_a_notebook_shows_the_verdict_and_the_best_of_a_search_first() -> None:
    grid = zoo.sweep("mlp-char", seeds=2, lr=[0.03, 0.1], **SHORT)
    assert "lr 0.1" in grid.sentences[0]
    assert grid.sentences[0] in grid._repr_html_()
    # of two seeds nothing is certain: a command adds seeds, where some number of them would do
    assert all(one.startswith('zoo.sweep("mlp-char", dataset=..., ') for one in grid.sentences[2:])
    assert grid.ranked == grid.settings
    of_search = zoo.sweep("mlp-char", search="random", trials=5, lr="0.001..1", **SHORT)
    means = [one.mean or 0.0 for one in of_search.ranked]
    assert means == sorted(one.mean or 0.0 for one in of_search.settings)
    assert means != [one.mean for one in of_search.settings]
    shown = of_search._repr_html_()
    assert shown.index(show_loss(means[0])) < shown.index(show_loss(means[-1])) < shown.index("Best of 5 settings")


def test_a_command_for_one_run_says_what_to_do_with_a_sweep() -> None:
    sweep = zoo.sweep("mlp-char", seeds=2, lr=[0.03, 0.1], **SHORT)
    with pytest.raises(UsageError, match=r"is a sweep, of many runs: give one of them, such as sweeps/mlp-char-1/0001"):
        zoo.load(sweep.path)
    again = r'zoo\.run\("mlp-char", .*lr=0\.1, .*seed=2, init_seed=2.*\) more steps'
    with pytest.raises(UsageError, match=again):
        zoo.resume(sweep.path / "0004", steps=9)


def test_ctrl_c_while_the_plot_is_made_says_how_to_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("zoo.sweeps.sweeping.plot_rows", stopped)
        with pytest.raises(InterruptedRunError, match=r"4 of 4 members done; to resume: zoo\.resume_sweep\("):
            zoo.sweep("mlp-char", seeds=2, lr=[0.03, 0.1], **SHORT)
    sweep = zoo.resume_sweep("sweeps/mlp-char-1", dataset=WORDS)
    assert sweep.verdict is not None
    assert (sweep.path / "sweep.png").exists()


def test_seeds_that_are_fixed() -> None:
    sweep = zoo.sweep("mlp-char", seeds=[5, 6], init_seed=1, **SHORT)
    assert [
        (sweep.member(n).config["training"]["seed"], sweep.member(n).config["training"]["init_seed"]) for n in (1, 2)
    ] == [
        (5, 1),
        (6, 1),
    ]
    with pytest.raises(UsageError, match="the same run"):
        zoo.sweep("mlp-char", seeds=2, init_seed=1, seed=1, **SHORT)


def test_keep_best() -> None:
    sweep = zoo.sweep("mlp-char", seeds=4, keep="best", **SHORT)
    best = sweep.best_row
    assert best is not None
    assert [path.name for path in sorted(sweep.path.glob("0*"))] == [f"{best.member:04}"]
    assert sweep.best.weights_sha256 == best.weights_sha256
    other = next(row.member for row in sweep if row.member != best.member)
    with pytest.raises(UsageError, match=rf"member {other} of .* was not kept .*zoo\.run\(\"mlp-char\".* seed={other}"):
        sweep.member(other)
    every = zoo.sweep("mlp-char", seeds=4, **SHORT)
    assert (every.path / "sweep.csv").read_bytes() == (sweep.path / "sweep.csv").read_bytes()


def test_keep_none() -> None:
    sweep = zoo.sweep("mlp-char", seeds=2, keep="none", **SHORT)
    names = ["sweep.csv", "sweep.json", "sweep.png", "sweep_state.json"]
    assert sorted(path.name for path in sweep.path.iterdir()) == names
    assert all(row.weights_sha256 for row in sweep)
    with pytest.raises(UsageError, match="was not kept"):
        _ = sweep.best


def test_data_of_this_process_is_given_again() -> None:
    sweep = zoo.sweep("mlp-char", seeds=2, **SHORT)
    text = (sweep.path / "sweep.json").read_text()
    sheet = (sweep.path / "sweep.csv").read_bytes()
    (sweep.path / "sweep.json").write_text(text.replace('"finished": true', '"finished": false'))
    (sweep.path / "sweep.csv").unlink()
    with pytest.raises(UsageError, match="is not found: add dataset"):
        zoo.resume_sweep(sweep.path)
    with pytest.raises(zoo.ZooError, match="has changed"):
        zoo.resume_sweep(sweep.path, dataset=WORDS[1:])
    zoo.resume_sweep(sweep.path, dataset=WORDS)
    assert (sweep.path / "sweep.csv").read_bytes() == sheet
    assert (sweep.path / "sweep.json").read_text() == text


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def children() -> str:
    """The children of this process, zombies too."""
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


@FORKS
def test_the_callers_process_stays_as_it_was() -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)]
    states = random.getstate(), torch.get_rng_state(), torch.get_num_threads(), torch.is_grad_enabled()
    files, threads, mask = (
        open_files(),
        threading.active_count(),
        signal.pthread_sigmask(signal.SIG_BLOCK, ()),
    )
    before = children()
    zoo.sweep("mlp-char", seeds=3, **SHORT)
    assert [
        signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
    ] == handlers
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == states[2:]
    assert open_files() == files
    assert threading.active_count() == threads
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask
    assert children() == before


@FORKS
def test_in_another_thread_than_the_main_one() -> None:
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(zoo.sweep("mlp-char", seeds=3, **SHORT)))
    thread.start()
    thread.join()
    assert [row.state for row in done[0]] == ["finished"] * 3


class Seen(Observer):
    def __init__(self) -> None:
        self.told: list[tuple[int, int, int, float]] = []
        self.notes: list[str] = []

    def members(self, done: int, total: int, steps: int, share: float) -> None:
        self.told.append((done, total, steps, share))

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_an_observer_is_told_of_the_members() -> None:
    seen = Seen()
    zoo.sweep("mlp-char", seeds=3, observer=seen, **SHORT)
    assert seen.told[-1] == (3, 3, 15, 3)
    assert len(seen.notes) == 1  # the data, once
    assert all(done <= share <= total for done, total, _, share in seen.told)


def test_an_unknown_argument() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'seedz'"):
        zoo.sweep("mlp-char", seedz=3)
    with pytest.raises(TypeError, match="'plot'"):
        zoo.sweep("mlp-char", plot=True)


@FORKS
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_of_a_worker_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under 2 MB a member, over 50 of them."""

    real: Any = vars(child)["train_member"]

    def train(*args: Any) -> Any:
        row = real(*args)
        with Path("memory.txt").open("a") as file:  # the lines of two workers do not mix: each is short
            resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            file.write(f"{os.getpid()} {resident}\n")
        return row

    monkeypatch.setattr(child, "train_member", train)
    zoo.sweep("mlp-char", seeds=50, **SHORT | {"steps": 2})
    of_workers: dict[str, list[int]] = {}
    for line in Path("memory.txt").read_text().splitlines():
        of_workers.setdefault(line.split()[0], []).append(int(line.split()[1]))
    assert sum(map(len, of_workers.values())) == 50
    for sizes in of_workers.values():
        late = sizes[5:]  # the first ones touch what all share
        assert (late[-1] - late[0]) / len(late) < 500_000
