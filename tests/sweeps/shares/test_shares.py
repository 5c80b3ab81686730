"""One sweep by several processes: ranks of `torchrun`, and tasks that do a share each. It is that of one process."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import Zoo
from launching import Launched, launch

from zoo.cli import main
from zoo.errors import UsageError
from zoo.plugin.registry import Registry
from zoo.storage.open_folder import OpenFolder
from zoo.sweeps import sweeping
from zoo.sweeps.member import Member, Row
from zoo.sweeps.request import Request
from zoo.sweeps.shares.share import Share
from zoo.sweeps.strategy import Strategy

FILES = ("sweep.csv", "sweep.json", "sweep_state.json")
OF_MEMBER = ("model.safetensors", "losses.csv", "config.json")
SMALL = ("--device", "cpu", "--set", "model.hidden_size=8", "--quiet", "--jobs", 1)


def content(sweep: Path) -> dict[str, bytes]:
    """The files of a sweep, and of its members, that are the same wherever and however it is done."""
    members = {path.name for path in sweep.iterdir() if path.is_dir()}
    names = [*FILES, *(f"{member}/{name}" for member in sorted(members) for name in OF_MEMBER)]
    return {name: (sweep / name).read_bytes() for name in names}


def until_more(sweep: Path, done: int, launched: Launched) -> None:
    """Wait until more members are finished."""
    deadline = time.monotonic() + 30
    while len([*sweep.glob("*/metrics.json")]) <= done:
        assert time.monotonic() < deadline, launched.said
        time.sleep(0.005)


@pytest.fixture
def asked(words_file: Path) -> tuple[object, ...]:
    """A sweep of 6 members."""
    return ("sweep", "mlp-char", "--dataset", words_file, "--steps", 20, "--lr", "0.1,0.3", "--seeds", 3, *SMALL)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_ranks_do_the_sweep_of_one_process(count: int, asked: tuple[object, ...], zoo_here: Zoo) -> None:
    assert zoo_here(*asked, "--out", "alone").code == 0
    launched = launch(*asked, count=count)
    assert launched.wait() == [0] * count, launched.said
    assert "6 members of 2 settings" in launched.said[0]
    assert launched.said[1:] == [[]] * (count - 1)
    assert [*Path("sweeps").iterdir()] == [Path("sweeps/mlp-char-1")]
    assert content(Path("sweeps/mlp-char-1")) == content(Path("alone"))


def test_a_rank_that_is_killed_costs_a_restart(words_file: Path, zoo_here: Zoo) -> None:
    asked = ("sweep", "mlp-char", "--dataset", words_file, "--steps", 500, "--lr", "0.1,0.3", "--seeds", 4, *SMALL)
    assert zoo_here(*asked, "--out", "alone").code == 0
    sweep, done = Path("sweeps/mlp-char-1"), list[Path]()
    for attempt, rank in enumerate((1, 0)):
        launched = launch(*asked, restarts=attempt)
        until_more(sweep, len(done), launched)
        launched.kill(rank)
        launched.kill(1 - rank, signal.SIGTERM)  # as torchrun does
        assert launched.wait()[rank] == -signal.SIGKILL
        done = [*sweep.glob("*/metrics.json")]
    before = {path: path.stat().st_mtime_ns for path in done}
    launched = launch(*asked, restarts=2)
    assert launched.wait() == [0, 0], launched.said
    assert len(before) >= 2
    assert {path: path.stat().st_mtime_ns for path in before} == before  # not done again
    assert [*Path("sweeps").iterdir()] == [sweep]
    assert content(sweep) == content(Path("alone"))


def test_a_sweep_is_resumed_by_ranks(asked: tuple[object, ...], zoo_here: Zoo) -> None:
    assert zoo_here(*asked, "--out", "alone").code == 0
    assert zoo_here(*asked, "--out", "part", "--share", "2/3").code == 0
    for _ in range(2):  # the second time it is finished
        launched = launch("resume", "part")
        assert launched.wait() == [0, 0], launched.said
        assert content(Path("part")) == content(Path("alone"))


@dataclass(frozen=True)
class Two(Strategy):
    """A strategy that decides by the rows: after two members, two more of the better learning rate."""

    request: Request
    registry: Registry

    def members(self, rows: Mapping[int, Row]) -> Sequence[Member]:
        first = [self.request.member(n, {"lr": lr}, 1) for n, lr in enumerate((0.1, 0.3), 1)]
        if not {1, 2} <= rows.keys():
            return first
        best = min((rows[1], rows[2]), key=lambda row: row.losses["val"])
        assert isinstance(best.settings["lr"], float)  # and no text, as a sheet has it
        return [*first, *(self.request.member(n, best.settings, n) for n in (3, 4))]


def test_what_depends_on_all_rows_is_decided_the_same_everywhere(
    asked: tuple[object, ...], zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "strategy_of", Two)
    assert zoo_here(*asked, "--out", "alone").code == 0
    launched = launch(*asked, "--out", "together")
    assert launched.wait() == [0, 0], launched.said
    assert content(Path("together")) == content(Path("alone"))
    refused = zoo_here(*asked, "--out", "array", "--share", "1/2")
    assert refused.code == 2
    assert "start them with torchrun" in refused.err


def test_tasks_of_a_job_array(asked: tuple[object, ...], zoo_here: Zoo) -> None:
    assert zoo_here(*asked, "--out", "alone").code == 0
    for k, done in ((3, 2), (1, 4)):
        part = zoo_here(*asked, "--out", "array", "--share", f"{k}/3")
        assert part.code == 0
        assert f"Share {k}/3 is done, and with it {done} of the 6 members of array" in part.out
        assert "zoo resume array" in part.out
    before = Path("array/0003/model.safetensors").stat().st_mtime_ns
    assert zoo_here(*asked, "--out", "array", "--share", "3/3").code == 0  # as a task that is started again
    last = zoo_here(*asked, "--out", "array", "--share", "2/3")
    assert "6 members of 2 settings" in last.out
    assert content(Path("array")) == content(Path("alone"))
    assert Path("array/0003/model.safetensors").stat().st_mtime_ns == before
    assert not Path("array/shares").exists()
    again = zoo_here(*asked, "--out", "array", "--share", "1/3")  # of a sweep that is finished
    assert "6 members of 2 settings" in again.out


def test_the_rest_of_an_array_is_done_by_resuming(asked: tuple[object, ...], zoo_here: Zoo) -> None:
    assert zoo_here(*asked, "--out", "alone").code == 0
    assert zoo_here(*asked, "--out", "array", "--share", "1/3").code == 0
    held = OpenFolder(Path("array/shares/1-of-3"))
    busy = zoo_here("resume", "array")
    held.close()
    assert busy.code == 1
    assert "a share of the sweep in array is being trained (1-of-3)" in busy.err
    assert zoo_here("resume", "array").code == 0
    assert content(Path("array")) == content(Path("alone"))


def test_shares_at_the_same_time(asked: tuple[object, ...], zoo_here: Zoo) -> None:
    assert zoo_here(*asked, "--out", "alone").code == 0

    def task(k: int) -> Launched:
        from launching import launch_function

        args = [str(arg) for arg in (*asked, "--out", "array", "--share", f"{k}/2")]
        return launch_function(lambda: main(args), count=1)

    tasks = [task(1), task(2)]
    assert [one.wait() for one in tasks] == [[0], [0]], [one.said for one in tasks]
    assert content(Path("array")) == content(Path("alone"))


def test_wrong_shares(asked: tuple[object, ...], zoo_here: Zoo) -> None:
    Path("full").mkdir()
    Path("full/notes.txt").write_text("mine")
    assert zoo_here(*asked, "--out", "other", "--share", "1/2").code == 0
    for more, text in {
        ("--share", "1/2"): "needs --out DIR",
        ("--share", "3/2", "--out", "a"): "--share takes K/N",
        ("--share", "0/2", "--out", "a"): "--share takes K/N",
        ("--share", "half", "--out", "a"): "--share takes K/N",
        ("--share", "1/2", "--out", "full"): "full already exists, and is no sweep",
        ("--share", "1/2", "--out", "other", "--batch-size", "8"): "other is the folder of another sweep",
    }.items():
        wrong = zoo_here(*asked, *more)
        assert wrong.code == 2, more
        assert text in wrong.err
    assert not Path("a").exists()


def test_every_member_is_of_one_share() -> None:
    for count in (1, 2, 3, 7):
        shares = [Share.parse(f"{k}/{count}") for k in range(1, count + 1)]
        assert all(sum(share.has(member) for share in shares) == 1 for member in range(1, 50))
        sizes = [sum(share.has(member) for member in range(1, 50)) for share in shares]
        assert max(sizes) - min(sizes) <= 1
    with pytest.raises(UsageError):
        Share.parse("-1/2")
