"""Several threads of one process: each gets what it would have got alone, and none waits for ever."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from dropping import WORDS, Plugin, install

import zoo
from zoo.ambient import turns
from zoo.ambient.neutral import neutral, others_turn
from zoo.ambient.turns import TURNS
from zoo.runs.observer import Observer

TIMEOUT_S = 60.0


@pytest.fixture(autouse=True)
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Plugin())
    Path("words.txt").write_text(WORDS)


def train(out: str, *, model: str = "dropping", steps: int = 40, **options: Any) -> bytes:
    done = zoo.run(model, dataset="words.txt", device="cpu", plots=False, batch_size=8, steps=steps, out=out, **options)
    return (done.path / "model.safetensors").read_bytes()


def together(*functions: Callable[[], Any]) -> list[Any]:
    """Each in a thread of its own."""
    with ThreadPoolExecutor(len(functions)) as pool:
        futures = [pool.submit(function) for function in functions]
        return [future.result(TIMEOUT_S) for future in futures]


class Slow(Observer):
    """Waits at a step until another thread has come as far, so that the two runs do overlap."""

    def __init__(self, barrier: threading.Barrier) -> None:
        self._barrier = barrier

    def progress(self, step: int, steps: int, loss: float) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):  # the other has fewer blocks on a slow machine
            self._barrier.wait(0.5)


def test_two_runs_with_dropout_give_what_each_gives_alone() -> None:
    alone = [train("a", seed=1), train("b", seed=2, threads=2)]
    barrier = threading.Barrier(2)  # both are between blocks at the same time, again and again
    both = together(
        lambda: train("c", seed=1, observer=Slow(barrier)),
        lambda: train("d", seed=2, threads=2, observer=Slow(barrier)),
    )
    assert both == alone


@pytest.mark.parametrize("seed", [1, 7])
def test_short_calls_during_a_run_disturb_neither(seed: int) -> None:
    alone = train("alone", seed=seed)
    trained = zoo.load("alone")
    words, fresh = trained.sample(5, seed=1), zoo.create_model("dropping", vocab_size=6).state_dict()
    found: list[bool] = []

    class Asking(Observer):
        def progress(self, step: int, steps: int, loss: float) -> None:
            thread = threading.Thread(target=ask)
            thread.start()
            thread.join(TIMEOUT_S)
            ask()

    def ask() -> None:
        made = zoo.create_model("dropping", vocab_size=6).state_dict()
        found.append(trained.sample(5, seed=1) == words and all(torch.equal(made[name], fresh[name]) for name in fresh))

    assert train("asked", seed=seed, observer=Asking()) == alone
    assert len(found) >= 2
    assert all(found)


def test_a_run_within_the_callback_of_another_is_done() -> None:
    alone, inner = train("alone"), train("inner-alone", seed=3)
    made: list[bytes] = []

    class Nesting(Observer):
        def progress(self, step: int, steps: int, loss: float) -> None:
            if not made:
                made.append(train("inner", seed=3))

    assert train("outer", observer=Nesting()) == alone
    assert made == [inner]


def test_the_callers_shared_state_is_there_while_others_have_their_turn() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        with neutral():
            torch.manual_seed(5)
            torch.set_num_threads(2)
            expected = torch.rand(2)
            torch.manual_seed(5)
            with others_turn():
                assert torch.get_default_dtype() == torch.float64
                assert TURNS.depth == 0
                torch.set_default_dtype(torch.float16)  # the caller's other thread may do so meanwhile
            assert torch.get_default_dtype() == torch.float32
            assert torch.get_num_threads() == 2
            assert torch.equal(torch.rand(2), expected)
        assert torch.get_default_dtype() == torch.float16
    finally:
        torch.set_default_dtype(torch.float32)


def test_turns_are_given_in_the_order_in_which_they_were_asked_for() -> None:
    order: list[int] = []
    threads = []
    with neutral():
        for number in range(4):
            thread = threading.Thread(target=lambda n=number: _note(order, n))
            thread.start()
            threads.append(thread)
            while len(TURNS._waiting) <= number:
                pass
        assert order == []
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert order == [0, 1, 2, 3]


def _note(order: list[int], number: int) -> None:
    with neutral():
        order.append(number)


def test_a_thread_that_waits_long_is_told_why_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE_S", 0.01)
    told = threading.Event()
    monkeypatch.setattr("zoo.ambient.turns.warn", lambda text, **_: told.set() if "start processes" in text else None)
    with neutral():
        thread = threading.Thread(target=zoo.create_model, args=("bigram",), kwargs={"vocab_size": 3})
        thread.start()
        assert told.wait(TIMEOUT_S)
    thread.join(TIMEOUT_S)
    assert not thread.is_alive()


def test_ctrl_c_while_it_waits_leaves_the_turns_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(gate: threading.Lock) -> None:
        raise KeyboardInterrupt

    caught: list[BaseException] = []

    def ask() -> None:
        try:
            zoo.list_models()
        except KeyboardInterrupt as error:
            caught.append(error)

    with neutral(), monkeypatch.context() as patch:
        patch.setattr(turns, "_wait", interrupted)
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(TIMEOUT_S)
    assert len(caught) == 1
    assert TURNS.depth == 0
    assert not TURNS._waiting
    assert together(zoo.list_models)[0]
