"""Columns by name; sorting by each of them; conditions on each of them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from forged_runs import NEWEST, forge_run

from zoo import UsageError
from zoo.options.training import TrainingOptions
from zoo.runs.listing.columns import BETTER, find_column, setting_columns
from zoo.runs.listing.comparing import sort_runs
from zoo.runs.listing.conditions import select
from zoo.runs.listing.record import RunRecord, read_run
from zoo.runs.listing.settings import differing
from zoo.training.objective.metrics import R2, RMSE, Accuracy

VALUES: dict[str, list[Any]] = {  # of three runs and one that is damaged, by column
    "run": ["net-1", "net-2", "net-10", "spoilt"],
    "model": ["gru", "mlp-char", "bow", None],
    "data": ["names", "names", "names", None],
    "preset": ["b", None, "a", None],
    "steps": [3, 4, 2, None],
    "planned": [4, 4, 9, None],
    "train": [0.7, 0.6, None, None],
    "val": [0.8, 0.9, 0.7, None],
    "test": [0.9, 0.8, None, None],
    "accuracy": [0.5, 0.75, None, None],
    "odd": [0.5, None, None, None],
    "batch_loss": [0.9, 0.85, 0.95, None],
    "unit": ["nats", "nats", "nats", None],
    "parameters": [100, 200, 50, None],
    "time": [60.0, 7200.0, None, None],
    "state": ["finished", "finished", "stopped", "damaged"],
    "age": [10.0, 100.0, 0.0, None],
    "lr": [0.1, 1e-05, 0.5, None],
    "model.hidden_size": [200, None, 10, None],
    "training.batch_size": [32, 64, 16, None],
    "optimizer.betas": [[0.9, 0.99], None, [0.8, 0.99], None],
    "model.tied": [True, False, None, None],
}
BEST_LAST = {"accuracy"}  # of the values in rising order


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[RunRecord]:
    monkeypatch.setattr(time, "time", lambda: NEWEST)
    folders = []
    for i, name in enumerate(VALUES["run"][:3]):
        value = {column: values[i] for column, values in VALUES.items()}
        changes = {
            "model.name": value["model"],
            "model.parameters": value["parameters"],
            "model.hyperparameters": {"hidden_size": value["model.hidden_size"], "tied": value["model.tied"]},
            "optimizer.hyperparameters": {"betas": value["optimizer.betas"]},
            "training.preset": value["preset"],
            "training.steps": value["planned"],
            "training.lr": value["lr"],
            "training.batch_size": value["training.batch_size"],
        }
        folder = forge_run(
            Path("runs", name),
            changes,
            losses={split: value[split] for split in ("train", "val", "test")},
            metrics={"accuracy": value["accuracy"], "odd": value["odd"]},
            result={"seconds": {"train": value["time"]}},
            steps=[1.0, 0.8, 0.9, 0.7][: value["steps"]] if i < 2 else [1.0, 0.9],
            evaluations=[] if i < 2 else [(2, value["val"])],
            finished=i < 2,
            age=value["age"],
        )
        folders.append(folder)
    Path("runs", "spoilt").mkdir()
    return [read_run(folder.name, folder) for folder in [*folders, Path("runs", "spoilt")]]


def test_the_values_are_those_of_the_files(runs: list[RunRecord]) -> None:
    for name, values in VALUES.items():
        found = [find_column(name, runs).value(run) for run in runs]
        assert found == pytest.approx(values) if name == "batch_loss" else found == values, name


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("sign", ["", "-"])
def test_runs_are_sorted_by_any_column_and_those_without_a_value_come_last(
    name: str, sign: str, runs: list[RunRecord]
) -> None:
    found = [run.name for run in sort_runs(runs, f"{sign}{name}")]
    known = {run: value for run, value in zip(VALUES["run"], VALUES[name], strict=True) if value is not None}
    assert set(found[: len(known)]) == known.keys()
    if name == "run":
        expected = VALUES["run"]  # net-2 before net-10
    else:
        expected = sorted(known, key=lambda run: str(known[run]) if isinstance(known[run], list) else known[run])
    in_order = expected[::-1] if (sign == "-") != (name in BEST_LAST) else expected
    if len({str(value) for value in known.values()}) == len(known):
        assert found[: len(known)] == in_order


def test_by_default_the_newest_come_first(runs: list[RunRecord]) -> None:
    assert [run.name for run in sort_runs(runs)] == ["net-10", "net-1", "net-2", "spoilt"]


OPERATORS = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "=": lambda a, b: a == b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


@pytest.mark.parametrize("sign", OPERATORS)
@pytest.mark.parametrize("name", VALUES)
def test_conditions_on_any_column(name: str, sign: str, runs: list[RunRecord]) -> None:
    is_number = all(type(value) in (int, float, type(None)) for value in VALUES[name])
    for wanted in VALUES[name]:
        if wanted is None or name == "batch_loss":
            continue
        text = json.dumps(wanted, separators=(",", ":")) if isinstance(wanted, bool | list) else str(wanted)
        condition = f"{name}{sign}{text}"
        if not is_number and ("<" in sign or ">" in sign):
            with pytest.raises(UsageError, match=r"is no number; compare it with = or !=, as in 'val<2\.1'"):
                select(runs, [condition])
            continue
        pairs = zip(VALUES["run"], VALUES[name], strict=True)
        expected = [run for run, value in pairs if value is not None and OPERATORS[sign](value, wanted)]
        assert [run.name for run in select(runs, [condition])] == expected, condition


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("val < 0.85", ["net-1", "net-10"]),
        (" val<=8e-1 ", ["net-1", "net-10"]),
        ("hidden_size>=200", ["net-1"]),
        ("time<=1m", ["net-1"]),
        ("time>1h", ["net-2"]),
        ("age<0.5min", ["net-1", "net-10"]),
        ("lr=0.00001", ["net-2"]),
        ("model=zoo-models/gru", ["net-1"]),
        ("data=zoo-models/names", ["net-1", "net-2", "net-10"]),
        ("run=runs/net-10", ["net-10"]),
        ("val.accuracy>0.6", ["net-2"]),
        ("schedule.cosine=false", ["net-1", "net-2", "net-10"]),
        ("plugins.model=zoo-models 0.1.0", ["net-1", "net-2", "net-10"]),
        ("model=__import__('os').abort()", []),
        ("steps<inf", ["net-1", "net-2", "net-10"]),
    ],
)
def test_other_conditions(condition: str, expected: list[str], runs: list[RunRecord]) -> None:
    assert [run.name for run in select(runs, [condition])] == expected


def test_all_conditions_must_hold(runs: list[RunRecord]) -> None:
    assert [run.name for run in select(runs, ["state=finished", "val<0.85"])] == ["net-1"]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("val", "'val' is no condition: give a column, one of < <= > >= = !=, and a value, as in 'val<2.1'"),
        ("<3", "'<3' is no condition"),
        ("val<", "'val<' is no condition"),
        ("val=<3", "'val=<3' is no condition"),
        ("val<>3", "'val<>3' is no condition"),
        ("", "'' is no condition"),
        ("vall<3", "no run has a column 'vall'; did you mean 'val'?"),
        ("val<small", "'val<small': 'small' is not a number, as in"),
        ("val<nan", "'val<nan': 'nan' is not a number"),
        ("time<soon", "is not a number, or a time such as 90s, 5m, 2h or 1d"),
        ("time<3x", "is not a number, or a time such as"),
        ("state=finishd", "no run has the state 'finishd'; did you mean 'finished'?"),
        ("model<3", "model is no number; compare it with = or !=, as in"),
        ("hidden_sise=3", "did you mean 'model.hidden_size'"),
    ],
)
def test_a_wrong_condition_is_one_line_with_an_example(condition: str, message: str, runs: list[RunRecord]) -> None:
    with pytest.raises(UsageError) as caught:
        select(runs, [condition])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_short_name_of_several_settings_is_refused_with_all_of_them() -> None:
    changes = {"model.hyperparameters.size": 1, "optimizer.hyperparameters.size": 2}
    run = read_run("net", forge_run(Path("net"), changes))
    with pytest.raises(UsageError, match=r"give one of 'model\.size', 'optimizer\.size'"):
        find_column("size", [run])


def test_settings_that_follow_from_model_or_preset_have_no_column() -> None:
    def forged(number: int, **changes: object) -> RunRecord:
        path = forge_run(Path(f"net-{number}"), {name.replace("__", "."): value for name, value in changes.items()})
        return read_run(path.name, path)

    gru = {"model__name": "gru", "model__hyperparameters__layers": 2, "training__batch_size": 64}
    runs = [
        forged(1, training__lr=0.1, training__seed=1, training__init_seed=1),
        forged(2, training__lr=0.2, training__seed=2, training__init_seed=2),
        forged(3, **gru),
        forged(4, **gru, model__hyperparameters__hidden_size=9, versions__torch="3"),
    ]
    found, more = setting_columns(runs)
    assert [column.name for column in found] == ["lr", "hidden_size", "seed"]  # init_seed is seed in every run
    assert more == 0
    assert [column.name for column in setting_columns(runs, most=1)[0]] == ["lr"]
    assert setting_columns(runs, most=1)[1] == 2


def test_which_value_is_better_is_as_the_metrics_have_it() -> None:
    for metric, name in ((Accuracy, "accuracy"), (R2, "r2"), (RMSE, "rmse")):
        assert (BETTER[name] == "higher") is metric.higher_is_better
    run = read_run("a", forge_run(Path("a"), {"training.monitor": "kl:max"}, metrics={"kl": 1.0, "other": 1.0}))
    assert find_column("kl", [run]).better == "higher"
    assert find_column("other", [run]).better is None


def test_options_of_a_run_are_columns_under_their_names(runs: list[RunRecord]) -> None:
    known = {name for run in runs for name in run.settings}
    for name in known & set(TrainingOptions.__dataclass_fields__):
        assert find_column(name, runs).name == name


def test_the_settings_of_one_run_are_not_looked_for_in_every_other() -> None:
    class Counted(dict[str, object]):
        asked = 0

        def get(self, name: str, default: object = None) -> object:
            Counted.asked += 1
            return super().get(name, default)

    many = {f"model.k{i}": i for i in range(1000)}
    assert differing([Counted(lr=0.1, steps=4), Counted(lr=0.1, steps=5), Counted(lr=0.1, steps=4, **many)]) == [
        "steps",
        *many,
    ]
    assert Counted.asked == 0
    assert differing([{"a": 1}, {"a": 1.0}]) == []
    assert differing([{"a": 1}, {"a": True}]) == ["a"]
