"""What is read of the environment that `torchrun` makes."""

from __future__ import annotations

import pytest

from zoo.errors import UsageError
from zoo.training.distributed.launch import Launch

SAID = {
    "TORCHELASTIC_RUN_ID": "job",
    "TORCHELASTIC_RESTART_COUNT": "2",
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
}


def test_torchrun_says_which_rank_this_is() -> None:
    launch = Launch.of(SAID, ["zoo", "run", "it"])
    assert launch is not None
    assert (launch.rank, launch.ranks, launch.local_rank, launch.local_ranks, launch.restarts) == (3, 4, 1, 2, 2)
    assert not launch.leads
    assert launch.command == "torchrun ... -m "


def test_the_variables_of_a_scheduler_alone_mean_nothing() -> None:
    assert Launch.of({"RANK": "0", "WORLD_SIZE": "4", "MASTER_ADDR": "there"}) is None


@pytest.mark.parametrize("name", [name for name in SAID if name != "TORCHELASTIC_RUN_ID"])
@pytest.mark.parametrize("value", [None, "", "two", "-1"])
def test_a_variable_that_is_missing_or_wrong_is_named(name: str, value: str | None) -> None:
    environ = {key: text for key, text in {**SAID, name: value}.items() if text is not None}
    with pytest.raises(UsageError, match=f"(?s){name}.*start zoo with torchrun, or unset TORCHELASTIC_RUN_ID"):
        Launch.of(environ)


def test_a_job_is_known_again_after_a_restart_and_no_other_is() -> None:
    def job(command: str = "run it", **others: str) -> str:
        launch = Launch.of({**SAID, **others}, ["zoo", *command.split()])
        assert launch is not None
        return launch.job

    assert job() == job(TORCHELASTIC_RESTART_COUNT="3") == job(RANK="0")
    assert len({job(), job("run other"), job(TORCHELASTIC_RUN_ID="b"), job(TORCHELASTIC_RUN_ID="none")}) == 4


@pytest.mark.parametrize(("before", "rank", "after"), [(None, 1, "1"), ("4,5", 0, "4"), ("4,5", 1, "5"), ("7", 1, "7")])
def test_each_rank_of_a_sweep_sees_one_gpu(before: str | None, rank: int, after: str) -> None:
    environ = {} if before is None else {"CUDA_VISIBLE_DEVICES": before}
    Launch(rank, 2, rank, 2).see_one_gpu(environ)
    assert environ == {"CUDA_VISIBLE_DEVICES": after}
    alone: dict[str, str] = {}
    Launch(rank, 2, 0, 1).see_one_gpu(alone)  # the only one of its machine
    assert alone == {}
