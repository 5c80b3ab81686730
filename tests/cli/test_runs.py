"""`zoo runs`: the table, its widths, JSON and CSV, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Zoo
from forged_runs import SHA, edit_json, forge_run

from zoo.cli import output
from zoo.cli.commands.runs.cells import show_age, show_seconds
from zoo.storage.open_folder import OpenFolder
from zoo.text import visible

HOSTILE = (
    "\x1b[2Jcleared",
    "a|b",
    "=1+1",
    "<script>",
    "`code`",
    "\u202ereversed",
    "a\nb",
    "さくら",
    "'quoted'",
    '"x,y"',
)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """`terminal(40)`: a terminal of forty columns."""
    return lambda columns: monkeypatch.setattr(output, "columns", lambda: columns)


@pytest.fixture
def several() -> None:
    """Runs in each state, of two datasets, with settings that differ."""
    for number, lr in enumerate((0.05, 0.1, 0.2), 1):
        changes = {"training.lr": lr, "training.seed": number}
        forge_run(Path("runs", f"mlp-char-{number}"), changes, losses={"train": 1.0, "val": lr}, age=10 * number)
    forge_run(Path("runs", "mlp-char-10"), {"training.steps": 9}, finished=False, age=5)
    bits = {"loss.unit": "mse", "dataset.sha256": "b" * 64, "dataset.name": "houses", "model.name": "mlp"}
    forge_run(Path("runs", "mlp-1"), bits, losses={"train": 5.0, "val": 0.01}, metrics={"rmse": 0.5, "r2": 0.9})
    forge_run(Path("runs", "spoilt"), age=1000)
    Path("runs", "spoilt", "config.json").write_text("{")


def rows(out: str) -> list[str]:
    """The first word of each row of the table."""
    lines = out.split("\n\n")[1].splitlines()
    assert lines[0].startswith("run ")
    return [line.split()[0] for line in lines[1:]]


@pytest.mark.usefixtures("several")
def test_the_newest_come_first_and_the_damaged_with_its_fault(zoo_here: Zoo) -> None:
    done = zoo_here("runs")
    assert done.code == 0
    assert rows(done.out) == ["mlp-1", "mlp-char-10", "mlp-char-1", "mlp-char-2", "mlp-char-3", "spoilt"]
    assert done.out.startswith("6 runs in runs, newest first")
    assert "4 of 9" in done.out
    assert "0.0100 (mse)" in done.out
    assert "Losses in nats, or the unit beside them" in done.out
    assert "spoilt is damaged: runs/spoilt/config.json is damaged: it is not JSON" in done.out
    assert (
        "Not all losses compare, and --sort keeps them apart: other data (houses (bbbbbbbb), names (0a30b555)); "
        in done.out
    )


@pytest.mark.usefixtures("several")
def test_losses_of_other_data_are_sorted_apart(zoo_here: Zoo) -> None:
    done = zoo_here("runs", "--sort", "val")
    assert rows(done.out) == ["mlp-1", "mlp-char-1", "mlp-char-2", "mlp-char-3", "mlp-char-10", "spoilt"]
    down = zoo_here("runs", "--sort", "-val")
    assert rows(down.out) == ["mlp-1", "mlp-char-3", "mlp-char-2", "mlp-char-1", "mlp-char-10", "spoilt"]


@pytest.mark.usefixtures("several")
def test_runs_are_chosen_sorted_and_counted(zoo_here: Zoo) -> None:
    done = zoo_here(
        "runs", "--where", "state=finished", "--where", "lr>=0.1", "--where", "model=mlp-char", "--sort", "-lr", "-n", 2
    )
    assert rows(done.out) == ["mlp-char-3", "mlp-char-2"]
    assert done.out.startswith("2 runs of 6 in runs, sorted by -lr, data names, preset notebook, 4 steps, all finished")
    one = zoo_here("runs", "runs/mlp-char-2", "--sort", "parameters")
    assert one.out.startswith("1 run in runs/mlp-char-2\n")
    assert "parameters" in one.out


@pytest.mark.usefixtures("several")
def test_json_has_everything(zoo_here: Zoo) -> None:
    found = zoo_here("runs", "--json").result
    assert found["folder"] == "runs"
    runs = {run["run"]: run for run in found["runs"]}
    assert next(iter(runs)) == "mlp-1"
    assert {run["state"] for run in runs.values()} == {"finished", "stopped", "damaged"}
    assert runs["mlp-char-1"]["losses"] == {"train": 1.0, "val": 0.05}
    assert runs["mlp-char-1"]["dataset"] == {"name": "names", "sha256": SHA}
    assert runs["mlp-char-1"]["settings"]["lr"] == 0.05
    assert runs["mlp-char-1"]["modified"] == "2033-05-18T03:33:10+00:00"
    assert runs["mlp-1"]["metrics"] == {"val": {"rmse": 0.5, "r2": 0.9}}
    assert runs["spoilt"]["fault"].startswith("runs/spoilt/config.json is damaged")
    assert {tuple(run) for run in runs.values()} == {tuple(runs["mlp-1"])}  # the same keys


@pytest.mark.usefixtures("several")
def test_csv_has_the_same(zoo_here: Zoo) -> None:
    runs = {run["run"]: run for run in zoo_here("runs", "--json").result["runs"]}
    table = list(csv.DictReader(io.StringIO(zoo_here("runs", "--csv").out)))
    assert [row["run"] for row in table] == list(runs)
    for row in table:
        run = runs[row["run"]]
        assert row["val"] == str(run["losses"].get("val", ""))
        assert row["lr"] == str(run["settings"].get("lr", ""))
        assert row["val.rmse"] == str(run["metrics"].get("val", {}).get("rmse", ""))
        assert (row["state"], row["run_dir"]) == (run["state"], run["run_dir"])


def test_no_runs_is_a_line_with_what_to_do(zoo_here: Zoo) -> None:
    advice = "no runs in runs: 'zoo run mlp-char' trains a model, and keeps it in runs\n"
    assert (zoo_here("runs").code, zoo_here("runs").out) == (0, advice)
    Path("runs").mkdir()
    assert zoo_here("runs").out == advice
    assert zoo_here("runs", "--json").result == {"folder": "runs", "runs": []}
    assert zoo_here("runs", "--csv", "--sort", "val").code == 0
    forge_run(Path("runs", "a"))
    none = zoo_here("runs", "--where", "val<0.1", "--where", "lr=0.1")
    assert (none.code, none.out) == (0, "none of the 1 runs in runs has val<0.1 and lr=0.1\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nowhere"], "there is no folder 'nowhere'"),
        (["a file"], "'a file' is not a folder: give a run folder, or one that has run folders in it"),
        (["--sort", "vall"], "no run has a column 'vall'; did you mean 'val'?"),
        (["--sort", "-lrr"], "no run has a column 'lrr'; did you mean 'lr'?"),
        (["--where", "val"], "'val' is no condition"),
        (["--where", "x=1"], "no run has a column 'x'; there are: run, model"),
        (["--json", "--csv"], "--csv and --json exclude each other"),
        (["-n", "0"], "-n must be above 0, got 0"),
        (["-n", "x"], "'x' is not an integer"),
    ],
)
def test_wrong_usage_is_one_line(options: list[str], message: str, zoo_here: Zoo) -> None:
    forge_run(Path("runs", "a"))
    Path("a file").touch()
    done = zoo_here("runs", *options)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1


@pytest.mark.usefixtures("several")
@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 200])
@pytest.mark.parametrize("asked", ["val", "lr", "parameters"])
def test_a_table_fits_and_no_name_is_cut(
    width: int, asked: str, terminal: Callable[[int], None], zoo_here: Zoo
) -> None:
    terminal(width)
    done = zoo_here("runs", "--sort", asked)
    table = done.out.split("\n\n")[1].splitlines()
    assert any(line.startswith((f"{asked}: ", "run ")) and asked in line for line in table)
    for name in ("mlp-char-1", "mlp-char-2", "mlp-char-3", "mlp-char-10", "mlp-1", "spoilt"):
        assert any(line.split()[-1] == name or line.split()[0] == name for line in done.out.splitlines() if line)
    if width >= 40:
        assert max(map(len, table)) <= width
        assert table[0].startswith("run ")


def test_a_long_name_is_typed_again_and_not_cut(zoo_here: Zoo) -> None:
    names = [f"sweep/{'x' * 50}-{i}" for i in range(2)]
    for i, name in enumerate(names):
        forge_run(Path("runs", name), {"model.name": f"house/{'m' * 50}", "training.preset": "p" * 50}, age=i)
    forge_run(Path("runs", "z"), age=9)
    done = zoo_here("runs")
    assert rows(done.out)[:2] == names
    assert "m" * 50 in done.out
    assert "p" * 50 in done.out
    assert f"{'x' * 50}-0" in zoo_here("compare", "runs").out


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_steer_neither_terminal_nor_spreadsheet(
    text: str, terminal: Callable[[int], None], zoo_here: Zoo
) -> None:
    changes = {
        "model.name": text,
        "dataset.name": text,
        "training.preset": text,
        f"model.hyperparameters.{text}": text,
        "loss.unit": text,
    }
    forge_run(Path("runs", "a"), changes, metrics={text: 0.5, "val": 0.25})
    forge_run(Path("runs", "b"), {f"model.hyperparameters.{text}": 1})
    for width in (1000, 80, 20):
        terminal(width)
        done = zoo_here("runs")
        assert done.code == 0
        assert all(visible(line) == line for line in done.out.splitlines())
    found = zoo_here("runs", "--json")
    assert visible(found.out.rstrip("\n")) == found.out.rstrip("\n")
    assert {run["model"] for run in found.result["runs"]} == {text.rpartition("/")[2], "mlp-char"}
    for row in csv.reader(io.StringIO(zoo_here("runs", "--csv").out)):
        assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@"))]


def test_a_metric_or_setting_may_be_called_as_a_column(zoo_here: Zoo) -> None:
    names = ("val", "run", "state", "lr", "odd")
    for one, folder in enumerate("ab", 1):
        settings = {f"model.hyperparameters.{name}": one * number for number, name in enumerate(names)}
        forge_run(Path("runs", folder), settings, metrics=dict.fromkeys(names, 0.5))
    header = zoo_here("runs").out.split("\n\n")[1].splitlines()[0].split()
    assert len(set(header)) == len(header)
    assert {"val", "odd", "run", "model.run", "model.state", "model.lr", "model.odd"} <= set(header)


def test_a_negative_number_is_no_formula(zoo_here: Zoo) -> None:
    forge_run(Path("runs", "a"), losses={"train": -1.5, "val": -0.5})
    [row] = csv.DictReader(io.StringIO(zoo_here("runs", "--csv").out))
    assert row["val"] == "-0.5"


def test_a_run_of_today_an_earlier_one_and_a_running_one(made: Path, zoo_here: Zoo) -> None:
    earlier = Path(__file__).parents[1] / "earlier_runs"
    Path("runs").mkdir()
    for folder in (made, *(path for path in earlier.iterdir() if path.is_dir())):
        Path("runs", folder.name).symlink_to(folder)
    losses = {name: json.loads(Path("runs", name, "metrics.json").read_text())["losses"] for name in ("run", "lstm")}
    found = {run["run"]: run for run in zoo_here("runs", "--json").result["runs"]}
    assert {run["state"] for run in found.values()} == {"finished"}
    assert {name: found[name]["losses"] for name in losses} == losses
    held = OpenFolder(forge_run(Path("runs", "now"), finished=False))
    assert [run["run"] for run in zoo_here("runs", "--where", "state=running", "--json").result["runs"]] == ["now"]
    held.close()


def test_faults_of_many_are_not_all_listed(zoo_here: Zoo) -> None:
    for i in range(15):
        edit_json(forge_run(Path("runs", f"net-{i}")) / "metrics.json", losses={})
    out = zoo_here("runs").out
    assert out.count(" is damaged: runs/net-") == 10
    assert "… and 5 more" in out


@pytest.mark.parametrize(
    ("seconds", "time", "age"),
    [
        (0, "0.0 s", "0 s"),
        (59.4, "59.4 s", "59 s"),
        (61, "1 min 1 s", "1 min"),
        (3599.7, "1 h 0 min", "59 min"),
        (7300, "2 h 1 min", "2 h"),
        (200_000, "55 h 33 min", "2 d"),
        (86400 * 4000, "96,000 h 0 min", "4,000 d"),
    ],
)
def test_times_are_shown_in_units(seconds: float, time: str, age: str) -> None:
    assert (show_seconds(seconds), show_age(seconds)) == (time, age)
