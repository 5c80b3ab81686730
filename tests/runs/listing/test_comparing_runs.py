"""What compares, what is best, what repeats what, and what differs."""

from __future__ import annotations

import json
import statistics
from itertools import product
from pathlib import Path

import pytest
from conftest import ROOT
from forged_runs import CONFIG, forge_run

from zoo import UsageError
from zoo.runs.listing.columns import find_column
from zoo.runs.listing.comparing import best_of, repetitions, sort_runs, why_not_comparable
from zoo.runs.listing.differences import differences
from zoo.runs.listing.record import RunRecord, read_run
from zoo.runs.listing.targets import named_runs

EARLIER = ROOT / "tests" / "earlier_runs"


def forged(name: str, changes: dict[str, object] | None = None, val: float = 0.8, **more: object) -> RunRecord:
    losses = {"train": 0.7, "val": val, "test": 0.9}
    path = forge_run(Path("runs", name), changes, losses=losses, **more)  # type: ignore[arg-type]
    return read_run(name, path)


OTHER: dict[str, tuple[dict[str, object], str]] = {
    "data": ({"dataset.sha256": "b" * 64}, "other data (names (0a30b555), names (bbbbbbbb))"),
    "split": ({"dataset.settings": {"shuffle_seed": 42}}, "other data.shuffle_seed (-, 42)"),
    "unit": ({"loss.unit": "bits"}, "other unit (nats, bits)"),
    "loss": ({"loss.name": "focal"}, "other loss (cross_entropy, focal)"),
    "setting of the loss": ({"loss.settings": {"delta": 0.5}}, "other loss.delta (-, 0.5)"),
    "tokenizer": ({"dataset.tokenizer": {"vocab_size": 9}}, "other data.tokenizer.vocab_size (-, 9)"),
}


@pytest.mark.parametrize("kind", OTHER)
def test_figures_of_other_data_splits_or_units_do_not_compare(kind: str) -> None:
    changes, reason = OTHER[kind]
    runs = [forged("a", val=0.5), forged("b", changes, val=0.1), forged("c", val=0.4)]
    [found] = why_not_comparable(runs)
    assert found == reason
    assert best_of(runs, find_column("val", runs)) == []
    order = "".join(run.name for run in sort_runs(runs, "val"))
    assert order in ("bca", "cab")  # sorted within each data alone


def test_evaluations_of_other_targets_do_not_compare() -> None:
    runs = [forged("a"), forged("b", result={"evaluated": {"val": 1000}})]
    assert why_not_comparable(runs) == ['other targets evaluated (-, {"val":1000})']


@pytest.mark.parametrize(
    "changes",
    [
        {"model.name": "gru"},
        {"dataset.name": "a copy", "dataset.plugin": None},
        {"training.lr": 0.5},
        {"dataset.examples": {"train": 8, "val": 1, "test": 1}},  # a model that reads sequences
    ],
    ids=str,
)
def test_other_models_and_settings_compare(changes: dict[str, object]) -> None:
    runs = [forged("a"), forged("b", changes, val=0.5)]
    assert why_not_comparable(runs) == []
    assert [run.name for run in best_of(runs, find_column("val", runs))] == ["b"]


def test_the_best_is_marked_only_where_there_is_one() -> None:
    runs = [forged("a", metrics={"accuracy": 0.5, "odd": 1.0}), forged("b", metrics={"accuracy": 0.9, "odd": 2.0})]
    assert [run.name for run in best_of(runs, find_column("accuracy", runs))] == ["b"]
    assert best_of(runs, find_column("odd", runs)) == []  # nobody knows which is better
    assert best_of(runs, find_column("val", runs)) == []  # both are as good
    assert best_of(runs[:1], find_column("accuracy", runs)) == []
    stopped = forged("c", finished=False, evaluations=[(1, 0.01)])
    assert stopped.losses == {"val": 0.01}
    assert best_of([*runs, stopped], find_column("val", runs)) == []  # of a run that is not finished, it is no result


def test_repetitions_are_runs_that_differ_in_their_seeds_alone() -> None:
    vals = {}
    for lr, size, seed in product((0.1, 0.2), (100, 200), (1, 2, 3)):
        vals[lr, size, seed] = lr + size / 1000 + seed**2 / 100
        changes = {"training.lr": lr, "model.hyperparameters.hidden_size": size, "training.seed": seed}
        forged(f"{lr}-{size}-{seed}", {**changes, "training.init_seed": seed}, vals[lr, size, seed])
    runs = named_runs(["runs"], lambda: pytest.fail("no registry is needed"))
    groups = repetitions(runs)
    assert len(groups) == 4
    for group in groups:
        lr, size = group.settings["lr"], group.settings["model.hidden_size"]
        spread, values = group.spread(find_column("val", runs)), [vals[lr, size, seed] for seed in (1, 2, 3)]
        assert spread is not None
        assert spread.n == 3
        assert spread.mean == pytest.approx(statistics.mean(values))
        assert spread.sd == pytest.approx(statistics.stdev(values))


def test_what_is_no_repetition_does_not_count() -> None:
    runs = [
        forged("a", {"training.seed": 1}, val=0.1),
        forged("the same again", {"training.seed": 1}, val=0.1),
        forged("elsewhere", {"training.seed": 2, "training.device": "cuda", "versions.torch": "3"}, val=0.3),
        forged("stopped", {"training.seed": 3}, finished=False, evaluations=[(1, 9.0)]),
        forged("other data", {"training.seed": 4, "dataset.sha256": "b" * 64}),
        forged("longer", {"training.seed": 5, "training.steps": 5}, steps=(1, 1, 1, 1, 1)),
    ]
    groups = repetitions(runs)
    assert [[run.name for run in group.runs] for group in groups] == [["a", "elsewhere"], ["other data"], ["longer"]]
    spread = groups[1].spread(find_column("val", runs))
    assert spread is not None
    assert spread.sd is None
    assert groups[0].spread(find_column("batch_loss", runs)) is not None


def test_differences_name_what_differs_and_nothing_else() -> None:
    other = json.loads(json.dumps(CONFIG))
    other["training"].update(lr=0.2, clip_norm=1.0, steps=4.0)
    other["model"]["hyperparameters"] = {"context_length": 3, "hidden_size": 300, "words": "x" * 100}
    other["model"]["parameters"], other["dataset"]["vocabulary"] = 3, [".", "z"]
    other["model"]["plugin"] = {"distribution": "zoo-models", "version": "0.2.0"}
    other["versions"]["torch"] = "3.0"
    assert differences([CONFIG, other]) == [
        ("plugins.model", ["zoo-models 0.1.0", "zoo-models 0.2.0"]),
        ("model.hidden_size", ["200", "300"]),
        ("lr", ["0.1", "0.2"]),
        ("versions.torch", ["2.13.0", "3.0"]),
        ("model.words", ["-", f"{'x' * 20}…{'x' * 19}"]),
        ("clip_norm", ["-", "1.0"]),
    ]
    assert differences([CONFIG, CONFIG, CONFIG]) == []
    one, true = ({"training": {"compile": value}} for value in (1, True))
    assert differences([one, true]) == [("compile", ["1", "true"])]
    assert differences([one, {"training": {"compile": 1.0}}]) == []
    assert differences([]) == []


def test_an_earlier_config_does_not_differ_by_its_names() -> None:
    """`teacher` is `synthetic`, and what it does not have is not a difference to None."""
    gru = json.loads((EARLIER / "gru" / "config.json").read_text())
    today = json.loads(json.dumps(gru))
    teacher = today["training"].pop("teacher")
    today["training"] |= {"synthetic_share": teacher.pop("share"), "synthetic": teacher, "monitor": None}
    today["loss"] = {"name": "cross_entropy", "unit": "nats", "settings": {}}
    assert differences([gru, today]) == []


def test_runs_are_named_by_folders_files_and_folders_of_runs(made: Path) -> None:
    a, b = forged("a"), forged("b")

    def names(*targets: str) -> list[str]:
        return [run.name for run in named_runs(targets, lambda: pytest.fail("no registry is needed"))]

    assert names("runs") == ["a", "b"]
    assert names("runs/b", "runs/a", "runs/b/", "runs") == ["b", "a"]
    (b.path / "model.safetensors").touch()
    assert names("runs/b/model.safetensors") == ["b"]
    forge_run(Path("more", "a"))
    assert names("runs/a", "more/a") == ["runs/a", "more/a"]
    assert a.name == "a"
    Path("empty").mkdir()
    with pytest.raises(UsageError, match="there is no run in 'empty'"):
        names("empty")


def test_repetitions_with_losses_whose_sum_is_no_float() -> None:
    runs = [
        read_run(
            name,
            forge_run(
                Path(name), {"training.seed": i}, losses=dict.fromkeys(("train", "val", "test"), 1.5e308 - i * 1e307)
            ),
        )
        for i, name in enumerate(("a", "b"))
    ]
    [one] = repetitions(runs)
    spread = one.spread(find_column("val", runs))
    assert spread is not None
    assert spread.mean == pytest.approx(1.45e308)
    assert spread.sd == pytest.approx(1e307 / 2**0.5)
