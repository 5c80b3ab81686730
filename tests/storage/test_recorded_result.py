"""`loaded.losses` and `loaded.metrics`: the result beside the weights, if it is theirs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from forging import NET

import zoo
from zoo.files import readable_json
from zoo.plugin.registry import Registry
from zoo.storage.config import sealed
from zoo.storage.shipped import has_weights

EARLIER = Path(__file__).resolve().parent.parent / "earlier_runs"


def test_they_are_those_of_the_finished_run(made: Path) -> None:
    metrics = json.loads((made / "metrics.json").read_text())
    for target in (made, made / "model.safetensors"):
        loaded = zoo.load(target)
        assert loaded.metrics == metrics
        assert loaded.losses == metrics["losses"]
        assert set(loaded.losses) == {"train", "val", "test"}


def test_shipped_weights_have_theirs(registry: Registry) -> None:
    shipped = [entry.spec.name for entry in registry.models if has_weights(entry)]
    assert len(shipped) > 5
    for name in shipped:
        loaded = zoo.load(name)
        assert loaded.losses == json.loads(loaded.path.with_suffix(".json").read_text())["losses"]


@pytest.mark.parametrize("name", [path.parent.name for path in EARLIER.glob("*/metrics.json")])
def test_runs_of_earlier_versions_have_theirs(name: str) -> None:
    assert zoo.load(EARLIER / name).losses == json.loads((EARLIER / name / "metrics.json").read_text())["losses"]


def other_weights(run: Path) -> None:
    """The result of another run, of the same settings in all that it states."""
    zoo.run("mlp-char", dataset=run.parent / "words.txt", device="cpu", steps=5, out="other", plots=False, settings=NET)
    shutil.copy("other/metrics.json", run / "metrics.json")


def other_config(run: Path) -> None:
    """A result from before results had the digest of their weights, of another run."""
    metrics = json.loads((run / "metrics.json").read_text())
    del metrics["weights_sha256"]
    (run / "metrics.json").write_text(readable_json(sealed({**metrics, "batch_size": 7})))


def edited(run: Path) -> None:
    text = (run / "metrics.json").read_text()
    (run / "metrics.json").write_text(text.replace('"val": ', '"val": 1', 1))


SPOILED: dict[str, tuple[Callable[[Path], object], type[zoo.ZooError], str]] = {
    "missing": (lambda run: (run / "metrics.json").unlink(), zoo.UsageError, "there is no .*metrics.json: 'zoo eval'"),
    "of other weights": (other_weights, zoo.UsageError, "has the losses of other weights than .*: 'zoo eval'"),
    "of another config": (other_config, zoo.UsageError, "has the losses of other weights"),
    "edited": (edited, zoo.CheckpointError, "was edited"),
    "no JSON": (lambda run: (run / "metrics.json").write_text("{"), zoo.CheckpointError, "is not JSON"),
    "a folder": (lambda run: folder(run / "metrics.json"), zoo.CheckpointError, "cannot read"),
}


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("case", SPOILED)
def test_any_other_result_is_an_error_and_no_number(run: Path, made: Path, case: str) -> None:
    spoil, kind, words = SPOILED[case]
    shutil.copy(made.parent / "words.txt", run.parent)
    spoil(run.resolve())
    loaded = zoo.load(run)
    with pytest.raises(kind, match=words):
        _ = loaded.losses
    assert "loss (" not in loaded._repr_html_()


def test_a_lone_file_has_none(weights: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copy(weights, tmp_path / "alone.safetensors"))
    with pytest.raises(zoo.UsageError, match=r"alone.json: 'zoo eval' computes them"):
        _ = zoo.load(alone).losses
