"""The comparisons of `scripts/cuda_check.py`, each with a deliberate difference."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import against_cpu
import pytest
import repeats
import speed
import torch
import trainings
import whole_runs
from cuda_settings import OnCuda, new_setting
from results import FAILED, MISSED, PASSED, SKIPPED, UNAVAILABLE, Setting
from torch import Tensor, nn

import zoo
from zoo import cuda
from zoo.engines import Engine, Stop
from zoo.training.loop import Training
from zoo_lecture.manual import Manual


@pytest.fixture
def setting(tmp_path: Path, words_file: Path) -> Setting:
    return new_setting(tmp_path, words_file)


def alike(setting: Setting, **options: Any) -> tuple[Training, Training]:
    """Two trainings of the lecture's net."""
    first, second = (trainings.new_training(setting, "mlp-char", **options) for _ in range(2))
    return first, second


@pytest.mark.parametrize("loss", [2.001, 1.999, float("nan"), float("inf")])
def test_a_wrong_loss_is_seen(loss: float) -> None:
    assert trainings.loss_off(2.0, 2.0) is None
    assert trainings.loss_off(2.0, 2.0 * (1 + 5e-5)) is None
    assert trainings.loss_off(2.0, loss) is not None


@pytest.mark.parametrize("change", [lambda w: w * 1.002, lambda w: w * 0, lambda w: -w, lambda w: w + float("nan")])
def test_a_wrong_update_is_seen(change: Callable[[Tensor], Tensor]) -> None:
    before = {"W": torch.linspace(-1, 1, 5), "mask": torch.tensor([-float("inf"), 0.0])}
    update = torch.linspace(1, 2, 5)
    after = {**before, "W": before["W"] + update}
    assert trainings.update_off(before, after, dict(after)) is None
    wrong = trainings.update_off(before, after, {**after, "W": before["W"] + change(update)})
    assert wrong is not None
    assert wrong.startswith("W is updated by")
    assert trainings.update_off(before, after, {"W": after["W"]}) == "mask is missing"


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (torch.tensor([1.0, 0.0]).nextafter(torch.tensor([2.0, 0.0])), "W differs, by 1.19e-07 at most, in 1 of 2"),
        (torch.tensor([1.0, -0.0]), "W differs"),
        (torch.tensor([1.0, float("nan")]), "W differs"),
        (torch.tensor([1.0, 0.0], dtype=torch.float64), "W differs, by shape or type"),
        (torch.tensor([[1.0, 0.0]]), "W differs, by shape or type"),
        (torch.tensor([1, 0]), "W differs, by shape or type"),
    ],
    ids=["bit", "zero", "nan", "type", "shape", "integers"],
)
def test_one_bit_is_seen(other: Tensor, found: str) -> None:
    tensors = {"b": torch.tensor(float("nan")), "W": torch.tensor([1.0, 0.0])}
    assert trainings.difference(tensors, {name: tensor.clone() for name, tensor in tensors.items()}) is None
    said = trainings.difference(tensors, {**tensors, "W": other})
    assert said is not None
    assert said.startswith(found)
    assert trainings.difference(tensors, {"b": tensors["b"]}) == "W is in one of them only"


class Changed:
    """An engine that does something after each block."""

    worth_from = 0

    def __init__(self, engine: Engine, change: Callable[[int, Tensor], Tensor]) -> None:
        self._engine, self._change = engine, change

    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
        return self._change(len(y), self._engine.run(x, y, lrs, stop))


def change(training: Training, what: Callable[[int, Tensor], Tensor]) -> None:
    training.engine = Changed(training.engine, what)


@torch.no_grad()
def scaled(training: Training, by: float) -> None:
    """Scale a weight."""
    training.model.get_parameter("W2").mul_(by)


def test_steps_are_compared_from_the_same_weights(setting: Setting) -> None:
    reference, other = alike(setting)
    scaled(other, 3)  # is overwritten
    assert trainings.in_step(reference, other, 5) == (0.0, None)


def test_a_wrong_loss_of_a_step_is_seen(setting: Setting) -> None:
    reference, other = alike(setting)
    change(other, lambda count, losses: losses * 1.001)
    most, why = trainings.in_step(reference, other, 5)
    assert 9e-4 < most < 1.1e-3
    assert why is not None
    assert why.startswith("step 0: the loss is")


def test_a_wrong_update_of_a_step_is_seen(setting: Setting) -> None:
    reference, other = alike(setting)

    def spoil(count: int, losses: Tensor) -> Tensor:
        scaled(other, 1.0003)
        return losses

    change(other, spoil)
    _, why = trainings.in_step(reference, other, 5)
    assert why is not None
    assert why.startswith("step 0: model.W2 is updated by")
    assert trainings.in_step(*alike(setting), 5) == (0.0, None)


def tf32(tensor: Tensor) -> Tensor:
    """Rounded to the 11 bits that TF32 keeps of a factor."""
    return (tensor.view(torch.int32) + 0x1000 & ~0x1FFF).view(torch.float32)


class InTF32(Changed):
    """An engine that reads its matrices as a product in TF32 does, and updates them as they are."""

    def __init__(self, training: Training) -> None:
        super().__init__(training.engine, lambda _, losses: losses)
        self._matrices = [p for p in training.model.parameters() if p.ndim > 1]

    @torch.no_grad()
    def run(self, x: Tensor, y: Tensor, lrs: Sequence[float], stop: Stop) -> Tensor:
        left_out = [p - tf32(p) for p in self._matrices]
        for p, rest in zip(self._matrices, left_out, strict=True):
            p.sub_(rest)
        with torch.enable_grad():
            losses = super().run(x, y, lrs, stop)
        for p, rest in zip(self._matrices, left_out, strict=True):
            p.add_(rest)
        return losses


@pytest.mark.parametrize("name", ["gru", "transformer"])
def test_tf32_is_told_from_float32(name: str, setting: Setting) -> None:
    plain: dict[str, Any] = {"engine": "autograd", "optimizer": "sgd", "lr": 0.1}
    reference, other = (trainings.new_training(setting, name, **plain) for _ in range(2))
    other.engine = InTF32(other)
    assert trainings.in_step(reference, other, 5)[1] is None  # it is no more than what an engine may be off
    _, why = trainings.in_step(reference, other, 5, of_update=trainings.OF_FLOAT32)
    assert "is updated by a vector" in (why or "")


def test_other_batches_are_seen(setting: Setting) -> None:
    first, second = alike(setting)
    one, other = trainings.recorded(first, 7), trainings.recorded(second, 7)
    assert against_cpu.batches_off(one, other) is None
    whole = [(torch.cat([x for x, _ in one]), torch.cat([y for _, y in one]))]
    assert against_cpu.batches_off(one, whole) is None  # however the blocks are cut
    whole[0][1][3, 0] += 1
    assert against_cpu.batches_off(one, whole) == "the batch of step 3 differs"


def test_a_block_that_differs_from_single_steps_is_seen(setting: Setting) -> None:
    assert against_cpu.block_off(*alike(setting), 10) is None
    whole, parts = alike(setting)
    change(whole, lambda count, losses: losses + 1e-6 * (count > 2))
    assert (against_cpu.block_off(whole, parts, 10) or "").startswith("the loss of step 3 is")
    whole, parts = alike(setting)

    def spoil(count: int, losses: Tensor) -> Tensor:
        scaled(whole, 1 + 1e-6 * (count == 3))  # the last block
        return losses

    change(whole, spoil)
    assert (against_cpu.block_off(whole, parts, 10) or "").startswith("model.W2 differs, by")


@pytest.mark.parametrize(
    ("losses", "found"),
    [([3.0, 2.0, 2.0, 2.05], None), ([3.0, 2.0, 2.0, 2.3], "is 2.3000"), ([3.0, float("nan"), 2.0, 2.0], "is nan")],
)
def test_a_free_run_may_drift_but_not_far(losses: list[float], found: str | None) -> None:
    said = against_cpu.free_run_off([3.0, 2.0, 2.0, 2.0], losses)
    assert said is None if found is None else found in (said or "")


def test_bfloat16_must_be_refused_for_recurrent_nets_on_cuda(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    there = OnCuda(**vars(setting))
    refusals: dict[str, str | None] = {"gru": None, "transformer": "this cuda has no bfloat16"}
    monkeypatch.setattr(against_cpu, "refusal", lambda setting, name: refusals[name])
    row = against_cpu.in_bfloat16(there, "gru")
    assert (row.result, "not refused" in row.remark) == (FAILED, True)
    assert against_cpu.in_bfloat16(there, "transformer").result == SKIPPED
    refusals["gru"] = "cuDNN has no bfloat16 here"
    row = against_cpu.in_bfloat16(there, "gru")
    assert (row.result, row.remark) == (PASSED, "refused, as it should be: cuDNN has no bfloat16 here")


def test_losses_that_are_not_near_in_bfloat16_fail(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(against_cpu, "refusal", lambda setting, name: None)
    assert against_cpu.in_bfloat16(setting, "mlp").result == PASSED
    monkeypatch.setattr(against_cpu, "OF_BFLOAT16", 1e-7)
    assert against_cpu.in_bfloat16(setting, "mlp").result == FAILED


# The same run twice


def test_equal_runs_are_equal_and_others_are_said_apart(setting: Setting) -> None:
    assert repeats.twice(setting, "mlp-char", 5, engine="autograd").result == PASSED
    first, second = sorted(setting.folder.iterdir())
    weights = second / "model.safetensors"
    data = bytearray(weights.read_bytes())
    (second / "losses.csv").write_text("changed")
    assert repeats.files_off(first, second) == "losses.csv differs"
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(zoo.CheckpointError):  # it has a digest
        repeats.files_off(first, second)


def test_an_engine_that_cannot_be_had_is_no_failure(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(*_: object) -> None:
        raise zoo.EngineUnavailableError("there is none")

    monkeypatch.setattr("zoo_lecture.manual.lecture_net", unavailable)
    rows = against_cpu.engine_rows(setting, "manual", 5)
    rows += against_cpu.engine_rows(OnCuda(**vars(setting)), "manual", 5)
    rows += [repeats.twice(setting, "mlp-char", 5, engine="manual"), whole_runs.killed_and_resumed(setting, "manual")]
    assert [row.result for row in rows] == [UNAVAILABLE] * 4
    assert all("there is none" in row.remark for row in rows)


def test_on_cuda_an_engine_that_does_not_start_fails(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: Manual) -> None:
        raise zoo.EngineUnavailableError("its kernel computes something else")

    monkeypatch.setattr(Manual, "start", start, raising=False)
    assert [row.result for row in against_cpu.engine_rows(setting, "manual", 5)] == [UNAVAILABLE]
    [row] = against_cpu.engine_rows(OnCuda(**vars(setting)), "manual", 5)
    assert (row.result, "its kernel computes something else" in row.remark) == (FAILED, True)


class Noisy(nn.Module):
    """A model with an operator that torch knows to be without an order, and whose result differs now and then."""

    calls = 0

    def __init__(self, vocab_size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(vocab_size, vocab_size, generator=generator))
        self.context_length = 1

    def forward(self, x: Tensor) -> Tensor:
        unordered = torch.zeros(2).put_(torch.tensor([0]), torch.ones(1))
        Noisy.calls += self.training
        return self.table[x[:, 0]] * (unordered[0] + (1e-6 if Noisy.calls == 12 else 0.0))


@pytest.mark.filterwarnings("ignore:put_ does not have")
def test_the_first_step_that_differs_and_its_operators_are_found(setting: Setting) -> None:
    """The trainings take turns: the 12th call is the second one's step 5."""

    def new() -> Training:
        training = trainings.new_training(setting, "bigram", engine="autograd", optimizer="sgd")
        x, _ = training.examples.gather(torch.arange(len(training.examples)))
        model = Noisy(int(x.max()) + 1, torch.Generator().manual_seed(1))
        return Training(model, torch.optim.SGD(model.parameters(), 0.1), training.examples, 32, 0.1,
                        zoo.Schedule(), torch.Generator().manual_seed(1))  # fmt: skip

    Noisy.calls = 0
    said = repeats.where(new, 10)
    assert said.startswith("first at step 5: model.table differs, by ")
    assert said.endswith("; operators to suspect: put_")
    assert torch.get_deterministic_debug_mode() == 0
    assert repeats.where(new, 3) == "single steps do not differ: a block of steps does"


def test_what_differs_between_two_runs_is_told(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = iter([1, 2])
    run = Setting.run
    monkeypatch.setattr(Setting, "run", lambda *args, **options: run(*args, seed=next(seeds), **options))
    row = repeats.twice(setting, "mlp-char", 5, engine="autograd")
    assert row.result == FAILED
    assert row.remark.startswith("model.safetensors: C differs, by ")
    assert row.remark.endswith("; single steps do not differ: a block of steps does")


# Whole runs


def test_a_resumption_that_differs_is_seen(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the killed process: a run that ended, at another learning rate or at the same."""

    def stopped(setting: Setting, engine: str, out: Path) -> int:
        setting.run("mlp-char", out, engine=engine, steps=20, lr=lr)
        return 20

    monkeypatch.setattr(whole_runs, "killed_at", stopped)
    lr = 0.1
    assert whole_runs.killed_and_resumed(setting, "autograd").result == PASSED
    lr = 0.1000001
    row = whole_runs.killed_and_resumed(setting, "manual")
    assert row.result == FAILED
    assert row.remark.startswith("model.safetensors: C differs, by ")


def test_a_run_that_ends_before_it_is_killed_says_why(setting: Setting) -> None:
    with pytest.raises(AssertionError, match=r"ended with 2 before it was killed; it says: zoo: error: .*nowhere"):
        whole_runs.killed_at(replace(setting, dataset="nowhere"), "autograd", setting.folder / "killed")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (0, ""),
        (139, "zoo: error: there is not enough memory"),
        (1, "zoo: error: one\nzoo: error: two"),
        (1, "Traceback"),
        (1, "zoo: error: unexpected RuntimeError: CUDA error: out of memory"),
        (1, "zoo: error: model 'mlp-char' of plugin zoo-models fails"),
    ],
)
def test_what_is_no_sentence_about_memory_fails(code: int, error: str) -> None:
    assert whole_runs.sentence_off(1, "zoo: error: there is not enough memory for this\n") is None
    assert whole_runs.sentence_off(code, error) is not None


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is limited on Linux only")
def test_a_process_that_is_of_no_use_afterwards_fails(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    command = whole_runs.command
    monkeypatch.setattr(
        whole_runs,
        "command",
        lambda setting, out, *options: (1, "poisoned") if out.startswith("after") else command(setting, out, *options),
    )
    [row] = whole_runs.memory(setting)
    assert (row.result, row.remark) == (FAILED, "the next run of the process ended with 1: poisoned")


@pytest.fixture
def two_devices(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Two devices of these names, both of which are the CPU."""

    def set_up(*names: str) -> None:
        called = iter(names * 10)
        monkeypatch.setattr(cuda, "name", lambda device: next(called))

    return set_up


def test_a_second_device_of_the_same_kind_has_the_same_bits(
    setting: Setting, two_devices: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    two_devices("card", "card")
    rows = whole_runs.on_another(setting, "manual", "cpu", "cpu")
    assert [row.result for row in rows] == [PASSED] * 3
    seeds = iter([1, 2])
    run = Setting.run
    monkeypatch.setattr(Setting, "run", lambda *args, **options: run(*args, init_seed=next(seeds), **options))
    row = whole_runs.on_another(setting, "autograd", "cpu", "cpu")[-1]
    assert (row.result, row.remark) == (FAILED, "losses.csv differs")


def test_other_cards_need_not_have_the_same_bits(setting: Setting, two_devices: Callable[..., None]) -> None:
    two_devices("card", "another")
    row = whole_runs.on_another(setting, "autograd", "cpu", "cpu")[-1]
    assert (row.result, row.remark) == (SKIPPED, "they are different cards: card, another")


# Speed


def test_goals_are_held_against_the_notebooks_loop() -> None:
    each = {"notebook": 300e-6, "manual": 50e-6, "fused": 40e-6}
    assert speed.row("manual", each, 5.0).result == PASSED
    missed = speed.row("fused", each, 10.0)
    assert (missed.result, missed.figure, missed.unit) == (MISSED, 40.0, "µs")
    assert missed.remark == "7.50 times as fast as the notebook's loop; the goal is 10"
    assert speed.row("autograd", each, None).result == UNAVAILABLE
    assert speed.row("fused", {"notebook": 300e-6}, 10.0).result == MISSED


@pytest.mark.parametrize(("there", "result"), [(30e-6, MISSED), (41e-6, PASSED)])
def test_fused_is_held_against_the_cpus(there: float, result: str) -> None:
    assert speed.against_the_cpu({"fused": 40e-6, speed.THERE: there}).result == result
    assert speed.against_the_cpu({speed.THERE: there}).result == MISSED  # where it cannot be had
