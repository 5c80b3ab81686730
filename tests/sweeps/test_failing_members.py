"""Members that fail, each in its own way: a row with the reason, while the others train as ever."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Zoo

import zoo
from zoo.errors import DataError, UsageError, ZooError
from zoo.storage.members.folder import MemberFolder
from zoo.storage.open_folder import OpenFolder
from zoo.sweeps.workers import child

FORKS = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a sweep has no workers")


@pytest.fixture(autouse=True)
def words() -> None:
    Path("words.txt").write_text("\n".join(a + b + c for a in "abeln" for b in "abeln" for c in "abeln"))


def sweep(**options: Any) -> Any:
    usual = {"dataset": "words.txt", "device": "cpu", "engine": "manual", "steps": 6, "seeds": 2, "jobs": 2}
    return zoo.sweep(**{"model": "mlp-char", **usual, **options})


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`failing(3, act)`: do something where a worker is to train member 3, of which nothing is left then."""

    def patch(number: int, act: Callable[[], object]) -> None:
        real: Any = vars(child)["train_member"]

        def train(registry: Any, member: Any, *rest: Any) -> Any:
            if member.number == number:
                act()
            return real(registry, member, *rest)

        monkeypatch.setattr(child, "train_member", train)

    return patch


def others_are_finished(done: Any, *numbers: int) -> bool:
    return all(row.state == "finished" for row in done if row.member not in numbers)


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=FORKS)])
def test_one_that_diverges(jobs: int) -> None:
    done = sweep(lr=[0.1, 1e38], jobs=jobs)
    assert [row.state for row in done] == ["finished", "diverged"] * 2
    assert done.rows[1].reason.startswith("the loss became ")
    assert 0 <= done.rows[1].steps < 6
    assert (done.path / "0002" / "model.safetensors").exists()  # of the last good step
    assert done.settings[1].mean is None


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=FORKS)])
def test_a_combination_that_is_wrong(jobs: int) -> None:
    done = sweep(engine=["manual", "autograd"], precision=["float32", "bfloat16"], seeds=1, jobs=jobs)
    assert [row.state for row in done] == ["finished", "failed", "finished", "finished"]
    assert "bfloat16" in done.rows[1].reason


@pytest.mark.parametrize(
    ("options", "of"),
    [
        ({"settings": {"model.hidden_size": [8, "abc"]}}, "abc"),
        ({"optimizer": ["sgd", "sdg"], "lr": [0.1, 0.2]}, "did you mean 'sgd'"),
        ({"preset": ["notebook", "tund"]}, "did you mean 'tuned'"),
        ({"lr": [0.1, "x"]}, "lr"),
        (
            {"model": ["mlp-char", "gru"], "engine": "autograd", "settings": {"model.hidden_size": [8, 9]}},
            "'gru' has no setting",
        ),
    ],
)
def test_a_value_that_is_wrong_in_every_setting_is_refused(options: dict[str, Any], of: str) -> None:
    with pytest.raises(UsageError, match=of):
        sweep(**options)
    assert not Path("sweeps").exists() or not any(Path("sweeps").iterdir())


@pytest.mark.parametrize("option", ["--search=bayes", "--keep=some", "--jobs=0", "--trials=0", "--ladder=1"])
def test_an_option_that_cannot_have_its_value(zoo_here: Zoo, option: str) -> None:
    done = zoo_here("sweep", "mlp-char", "--dataset", "words.txt", "--lr", "0.1,0.2", option)
    assert done.code == 2
    assert option.partition("=")[0] in done.err
    assert not Path("sweeps").exists()


@pytest.mark.parametrize(
    ("options", "of"),
    [
        ({"settings": {"model.hidden_size": [-8, -9]}}, "hidden_size"),
        ({"settings": {"model.hiden_size": [8, 9]}}, "hidden_size"),
        ({"lr": [-1.0, 0.0]}, "lr"),
        ({"optimizer": ["adm", "sdg"]}, "adm"),
        ({"engine": ["fussed", "slow"]}, "fused"),
        ({"dataset": "no.txt"}, "no.txt"),
        ({"keep": "none", "checkpoint_every": "5"}, "checkpoint_every"),
        ({"jobs": 2, "threads": 2}, "threads"),
        ({"jobs": 0}, "jobs"),
        ({"seeds": 0}, "seeds"),
    ],
)
def test_what_is_wrong_for_all_is_refused_before_anything_starts(options: dict[str, Any], of: str) -> None:
    with pytest.raises(UsageError, match=of):
        sweep(**options)
    assert not Path("sweeps").exists() or not any(Path("sweeps").iterdir())


def test_data_that_cannot_be_used_is_no_row() -> None:
    Path("words.txt").write_text("")
    with pytest.raises(DataError):
        sweep()
    assert not Path("sweeps").exists()


@FORKS
def test_a_mistake_in_a_plugin(failing: Callable[..., None]) -> None:
    def mistaken() -> None:
        raise TypeError("a mistake\nof two lines")

    failing(2, lambda: setattr(MemberFolder, "write_card", lambda *_: mistaken()))
    done = sweep(jobs=2)
    assert done.rows[1].state == "failed"
    assert done.rows[1].reason == "unexpected TypeError: a mistake of two lines"


@FORKS
def test_memory_that_runs_out(failing: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*_: Any, **__: Any) -> None:
        raise MemoryError

    failing(2, lambda: monkeypatch.setattr("zoo.runs.runner.train", short))
    done = sweep(jobs=2, seeds=3)
    assert done.rows[1].state == "out of memory"
    assert done.rows[1].reason.startswith("there is not enough memory")


@pytest.mark.parametrize(
    "options",
    [{"jobs": 1}, pytest.param({"jobs": 2}, marks=FORKS), {"engine": "stacked", "model": "bigram"}],
    ids=["in turn", "in forks", "at once"],
)
@pytest.mark.parametrize("moment", ["write_first_checkpoint", "write_last_checkpoint", "write_card"])
def test_a_working_directory_that_a_member_changes_is_its_own(
    options: dict[str, Any], moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, here = getattr(MemberFolder, moment), Path.cwd()

    def leave(*arguments: Any, **more: Any) -> Any:
        os.chdir("/")
        return real(*arguments, **more)

    monkeypatch.setattr(MemberFolder, moment, leave)
    assert others_are_finished(sweep(**{"seeds": 4, **options}))
    assert Path.cwd() == here


@FORKS
def test_a_fork_that_a_member_leaves_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a data loader may that ends by an exception."""
    real: Any = vars(child)["train_member"]

    def train(registry: Any, member: Any, *rest: Any) -> Any:
        row = real(registry, member, *rest)
        if member.number == 2:
            os.fork()
        return row

    monkeypatch.setattr(child, "train_member", train)
    done = sweep(seeds=6)
    assert others_are_finished(done)
    assert len({row.weights_sha256 for row in done}) == 6  # no member has another's row


@FORKS
@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "the worker was killed (signal 9), as the system does where"),
        (lambda: os.kill(os.getpid(), signal.SIGUSR1), f"the worker was killed (signal {signal.SIGUSR1:d})"),
        (lambda: os._exit(3), "the worker ended by itself"),
    ],
    ids=["killed", "by another signal", "exits"],
)
def test_one_whose_worker_ends(failing: Callable[..., None], act: Callable[[], None], reason: str) -> None:
    failing(2, act)
    done = sweep(seeds=4)
    assert others_are_finished(done, 2)
    assert len(done) == 4
    assert done.rows[1].state == "failed"
    assert done.rows[1].reason.startswith(reason)


@FORKS
def test_one_that_is_killed_once_is_tried_again(failing: Callable[..., None]) -> None:
    def once() -> None:
        if not Path("killed").exists():
            Path("killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    failing(2, once)
    assert others_are_finished(sweep(seeds=4))
    assert Path("killed").exists()


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=FORKS)])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
def test_a_disk_that_fails_is_no_members_fault(monkeypatch: pytest.MonkeyPatch, jobs: int, number: int) -> None:
    def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number), "sweeps/mlp-char-1/0001/metrics.json")

    with monkeypatch.context() as patch:
        patch.setattr(MemberFolder, "write_metrics", fail)
        with pytest.raises(OSError, match=os.strerror(number)):
            sweep(jobs=jobs)
    assert not Path("sweeps/mlp-char-1/sweep.csv").exists()
    assert others_are_finished(zoo.resume_sweep("sweeps/mlp-char-1"))


@FORKS
def test_a_fork_that_cannot_train(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a GPU is there, and the caller has trained in the same process before."""

    def fail(*_: Any) -> None:
        raise RuntimeError("Unable to handle autograd's threading in combination with fork")

    monkeypatch.setattr("torch.autograd.backward", fail)
    with pytest.warns(UserWarning, match="one after the other, in this process: .*autograd's threading"):
        done = sweep()
    assert others_are_finished(done)


@FORKS
def test_a_warning_is_told_once(failing: Callable[..., None]) -> None:
    failing(2, lambda: warnings.warn("row 2 is doubtful", stacklevel=1))
    failing(4, lambda: warnings.warn("row 4 is doubtful", stacklevel=1))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        sweep(seeds=4)
    found = [str(one.message) for one in told if "is doubtful" in str(one.message)]
    assert len(found) == 1
    assert found[0] in ("member 2: row 2 is doubtful", "member 4: row 4 is doubtful")


@FORKS
def test_what_a_member_prints_is_not_seen(failing: Callable[..., None], capfd: pytest.CaptureFixture[str]) -> None:
    def prints() -> None:
        sys.stdout.write("printed")
        os.write(1, b"written")
        sys.stderr.write("told")

    failing(1, prints)
    assert others_are_finished(sweep())
    captured = capfd.readouterr()
    assert not any(word in captured.out + captured.err for word in ("printed", "written", "told"))


def test_another_sweep_of_the_same_folder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    first = sweep()
    held = OpenFolder(first.path)
    monkeypatch.setattr("zoo.sweeps.folder._PATIENCE_S", 0.1)
    with contextlib.closing(held), pytest.raises(ZooError, match="another process is using"):
        zoo.resume_sweep(first.path)


@pytest.mark.parametrize("rates", [["0.1,", "0.3"], ["0.1", "0.3"]], ids=" ".join)
def test_a_list_with_spaces(zoo_here: Zoo, rates: list[str]) -> None:
    done = zoo_here("sweep", "mlp-char", "--lr", *rates, "--dataset", "words.txt")
    assert done.code == 2
    assert "(0.3): values are listed with commas and no spaces, as in --lr 0.1,0.3" in done.err


def test_a_misspelt_argument() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'schedul'; did you mean 'schedule'"):
        sweep(schedul="cosine")
