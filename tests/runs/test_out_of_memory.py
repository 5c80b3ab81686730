"""A run whose memory runs out keeps what was trained until then, and says how to resume; then nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Zoo, before_call

import zoo
from zoo.errors import OutOfMemoryError
from zoo.training import loop, validation
from zoo.training.objective import loss

pytestmark = pytest.mark.usefixtures("typed")  # messages as at the command line


FILES = ("model.safetensors", "training_state.safetensors", "losses.csv", "config.json")
OPTIONS: dict[str, Any] = {"engine": "autograd", "device": "cpu", "plots": False, "validate_every": 10, "batch_size": 8}


def fail(text: str = "CUDA out of memory. Tried to allocate 2.00 GiB.") -> None:
    raise RuntimeError(text)


@pytest.mark.parametrize(
    ("owner", "name", "nth"),
    [(loss, "cross_entropy", 24), (validation, "evaluate", 2), (validation, "evaluate", 4)],
    ids=["step", "evaluation", "last evaluation"],
)
def test_what_was_trained_is_kept_and_resumes_to_the_same_bytes(
    words_file: Path, owner: Any, name: str, nth: int
) -> None:
    whole = zoo.run("mlp-char", dataset=words_file, steps=34, out="whole", **OPTIONS)
    with before_call(owner, name, nth, fail), pytest.raises(OutOfMemoryError) as caught:
        zoo.run("mlp-char", dataset=words_file, steps=34, out="parts", **OPTIONS)
    said = str(caught.value)
    assert said.startswith("not enough GPU memory after step ")
    assert "is in parts; to resume: zoo resume parts --device cpu" in said
    assert ("then zoo resume parts --allow-changes" in said) == (nth != 4)
    if nth == 24:
        step = int(said.split("the checkpoint of step ")[1].split()[0])
        assert 10 <= step < 24  # of the last block, and not only of the run's beginning
    resumed = zoo.resume("parts", plots=False)
    assert resumed.losses == whole.losses
    for file in FILES:
        assert (resumed.path / file).read_bytes() == (whole.path / file).read_bytes(), file


def test_a_smaller_batch_is_the_remedy_that_is_named(words_file: Path, zoo_here: Zoo) -> None:
    run = ("run", "mlp-char", "--dataset", words_file, "--steps", 34, "--engine", "autograd", "--no-plots")
    with before_call(loss, "cross_entropy", 20, lambda: fail("DefaultCPUAllocator: can't allocate memory")):
        outcome = zoo_here(*run, "--device", "cpu", "--out", "parts")
    assert outcome.code == 1
    assert outcome.err.startswith("zoo: error: not enough memory after step ")
    assert outcome.err.endswith("in its config.json, then zoo resume parts --allow-changes\n")
    path = Path("parts", "config.json")
    config = json.loads(path.read_text())
    config["training"]["batch_size"] = 4
    path.write_text(json.dumps(config))
    assert zoo_here("resume", "parts", "--allow-changes", "--no-plots", "--json").result["batch_size"] == 4


def test_where_there_is_no_memory_to_go_back_either_the_last_checkpoint_stays(
    words_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(loop._Snapshot, "restore", lambda _: fail())
        with before_call(loss, "cross_entropy", 24, fail), pytest.raises(OutOfMemoryError) as caught:
            zoo.run("mlp-char", dataset=words_file, steps=34, out="parts", **OPTIONS)
    assert "the last checkpoint is in parts" in str(caught.value)
    whole = zoo.run("mlp-char", dataset=words_file, steps=34, out="whole", **OPTIONS)
    resumed = zoo.resume("parts", plots=False)
    assert resumed.step_losses == whole.step_losses
