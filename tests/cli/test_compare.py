"""`zoo compare`: results, settings, repetitions, Markdown, JSON and the plot."""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Zoo
from forged_runs import forge_run

import zoo
from zoo.cli import output
from zoo.text import visible

EARLIER = ROOT / "tests" / "earlier_runs"


def table(out: str, title: str) -> list[list[str]]:
    """The cells of a table below a title."""
    blocks = out.split("\n\n")
    at = next(i for i, block in enumerate(blocks) if block.splitlines()[-1].startswith(title))
    return [re.split(r"\s{2,}", line.strip()) for line in blocks[at + 1].splitlines()]


def test_two_runs_by_their_results_and_what_differs(zoo_here: Zoo) -> None:
    forge_run(Path("runs", "a"), {"training.lr": 0.2}, losses={"train": 0.6, "val": 0.9, "test": 0.9})
    forge_run(Path("runs", "b"), losses={"train": 0.7, "val": 0.8, "test": 0.8}, metrics={"accuracy": 0.5})
    done = zoo_here("compare", "runs/a", "runs/b")
    assert done.code == 0
    header, best, other = table(done.out, "Results")
    assert "Results, data names, 4 steps, all finished" in done.out
    assert dict(zip(header, best, strict=True)) == {
        "run": "b", "model": "mlp-char", "train": "0.7000", "val": "0.8000*", "test": "0.8000*", "accuracy": "0.5000",
        "parameters": "11,897", "time": "2.5 s",
    }  # fmt: skip
    assert dict(zip(header, other, strict=True))["train"] == "0.6000*"
    assert table(done.out, "Settings that differ") == [["setting", "b", "a"], ["lr", "0.1", "0.2"]]
    assert "* is the best of a column." in done.out


def test_results_of_other_data_are_not_compared(zoo_here: Zoo) -> None:
    forge_run(Path("runs", "a"))
    forge_run(Path("runs", "b"), {"dataset.settings": {"shuffle_seed": 42}}, losses={"train": 0.1, "val": 0.1})
    out = zoo_here("compare", "runs").out
    assert "do not compare, and none is marked as the best: other data.shuffle_seed (42, -)." in out
    assert "*" not in out
    assert zoo_here("compare", "runs", "--json").result["comparable"] is False


def test_repetitions_with_other_seeds_have_their_mean_and_deviation(zoo_here: Zoo) -> None:
    vals = {(lr, seed): lr + seed / 50 for lr in (0.1, 0.2) for seed in (1, 2, 3)}
    for (lr, seed), val in vals.items():
        changes = {"training.lr": lr, "training.seed": seed, "training.init_seed": seed}
        forge_run(Path("runs", f"net-{lr}-{seed}"), changes, losses={"train": 0.5, "val": val, "test": 0.5})
    out = zoo_here("compare", "runs").out
    header, *rows = table(out, "Repetitions with other seeds: mean ± standard deviation")
    assert header == ["lr", "seeds", "train", "val", "test"]
    for row, lr in zip(rows, (0.1, 0.2), strict=True):
        of_lr = [vals[lr, seed] for seed in (1, 2, 3)]
        expected = f"{statistics.mean(of_lr):.4f} ± {statistics.stdev(of_lr):.4f}"
        assert row[:2] == [str(lr), "3"]
        assert row[3] == expected + ("*" if lr == 0.1 else "")
    results = table(out, "Results")
    assert results[0][:4] == ["run", "model", "lr", "seed"]
    assert len(results) == 7
    settings = table(out, "Settings that differ")
    assert settings[1:] == [
        ["lr", "0.1, 0.2 (3 runs each)"], ["seed", "1, 2, 3 (2 runs each)"], ["init_seed", "1, 2, 3 (2 runs each)"],
    ]  # fmt: skip
    found = zoo_here("compare", "runs", "--json").result["repetitions"]
    assert [group["settings"]["lr"] for group in found] == [0.1, 0.2]
    assert found[0]["measured"]["val"]["mean"] == pytest.approx(statistics.mean([0.12, 0.14, 0.16]))
    assert found[0]["measured"]["val"]["sd"] == pytest.approx(0.02)


def test_figures_are_those_of_metrics_json(zoo_here: Zoo) -> None:
    runs = [EARLIER / name for name in ("mlp-char", "lstm", "gru", "ngram")]
    found = zoo_here("compare", *runs, "--json").result
    assert [run["losses"]["val"] for run in found["runs"]] == sorted(run["losses"]["val"] for run in found["runs"])
    for run in found["runs"]:
        metrics = json.loads((EARLIER / run["run"] / "metrics.json").read_text())
        assert (run["losses"], run["parameters"], run["steps"], run["seconds"]) == (
            metrics["losses"], metrics["parameters"], metrics["steps"], metrics["seconds"]["train"],
        )  # fmt: skip
    differ = {one["setting"]: one["values"] for one in found["differences"]}
    assert differ["model.hidden_size"] == {"mlp-char": 4, "lstm": None, "gru": None, "ngram": None}
    assert differ["optimizer"]["lstm"] == "adamw"
    out = zoo_here("compare", *runs).out
    for run in found["runs"]:
        assert f"{run['losses']['test']:.4f}" in out


def test_one_run_and_one_that_is_like_another(zoo_here: Zoo) -> None:
    forge_run(Path("runs", "a"))
    one = zoo_here("compare", "runs")
    assert one.code == 0
    assert "Settings" not in one.out
    forge_run(Path("runs", "b"))
    assert "All settings are the same" in zoo_here("compare", "runs").out


def test_a_damaged_run_is_compared_as_far_as_it_goes(zoo_here: Zoo) -> None:
    forge_run(Path("runs", "a"))
    (forge_run(Path("runs", "b")) / "config.json").write_text("{")
    (forge_run(Path("runs", "c")) / "losses.csv").unlink()
    done = zoo_here("compare", "runs")
    assert done.code == 0
    assert "b is damaged: runs/b/config.json" in done.out
    assert "c is damaged: cannot read runs/c/losses.csv" in done.out
    assert zoo_here("compare", "runs", "--json").code == 0


def test_a_run_and_shipped_weights(made: Path, zoo_here: Zoo) -> None:
    done = zoo_here("compare", made, "mlp-char", "--json")
    assert done.code == 0, done.err
    shipped = next(run for run in done.result["runs"] if run["run"] == "mlp-char")
    assert shipped["parameters"] == 11_897
    assert shipped["losses"]["val"] == pytest.approx(2.1041, abs=1e-4)
    assert done.result["comparable"] is False
    assert zoo_here("compare", made / "model.safetensors", "--json").result["runs"][0]["run"] == "run"


HOSTILE = ("a|b", "[x](http://y)", "<b>x</b>", "*x*", "\x1b[2J", "`x`", "a\nb")


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_is_tables_with_escaped_cells(text: str, zoo_here: Zoo) -> None:
    for seed in (1, 2):
        changes = {"training.seed": seed, "training.preset": text, f"model.hyperparameters.{text}": f"{text}{seed}"}
        forge_run(Path("runs", f"net-{seed}"), changes, losses={"train": 0.5, "val": seed / 10, "test": 0.5})
    out = zoo_here("compare", "runs", "--markdown").out
    lines = out.splitlines()
    assert lines[0] == "**Results, data names, 4 steps, all finished**"
    tables = [block.splitlines() for block in out.split("\n\n") if block.startswith("| ")]
    assert len(tables) == 2
    for rows in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
        assert re.fullmatch(r"\|( -+:? \|)+", rows[1])
    assert "| **0.1000** |" in out
    assert text not in out
    assert all(visible(line) == line for line in lines)


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_plot_is_that_of_the_losses(suffix: str, zoo_here: Zoo) -> None:
    forge_run(Path("runs", "a"), evaluations=[(2, 0.9)])
    forge_run(Path("runs", "b"), steps=(1.0, 0.5))
    done = zoo_here("compare", "runs", "--plot", f"compare.{suffix}")
    assert done.out.endswith(f"\n\nThe losses are plotted in compare.{suffix}\n")
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert Path(f"compare.{suffix}").read_bytes().startswith(start)
    again = zoo_here("compare", "runs", "--plot", f"compare.{suffix}")
    assert (again.code, "is there already" in again.err) == (2, True)


def test_the_plot_has_each_run_with_all_its_losses(zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    forge_run(Path("runs", "a"), evaluations=[(2, 0.9)], losses={"train": 0.7, "val": 0.8})
    forge_run(Path("runs", "b"), {"model.name": "gru"}, steps=(1.0, 0.5), losses={"train": 0.7, "val": 0.6})
    asked: dict[str, Any] = {}

    def plot_overlay(curves: object, title: str, **options: object) -> bytes:
        asked.update(curves=curves, title=title, **options)
        return b"plot"

    monkeypatch.setattr("zoo.plots.overlay.plot_overlay", plot_overlay)
    assert zoo_here("compare", "runs", "--plot", "compare.png", "--json").code == 0
    assert [tuple(curve) for curve in asked["curves"]] == [
        ("b", [1.0, 0.5], [], {"train": 0.7, "val": 0.6}),
        ("a", [1.0, 0.9, 0.8, 0.7], [(2, 0.9)], {"train": 0.7, "val": 0.8}),
    ]
    assert (asked["title"], asked["unit"], asked["file_format"]) == ("gru and mlp-char on names", "nats", "png")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Missing argument 'RUN...'"),
        (["nothing"], "no run folder, .safetensors file or model called 'nothing'"),
        (["empty"], "there is no run in 'empty': give run folders, or a folder of them"),
        (["runs", "--json", "--markdown"], "--markdown and --json exclude each other"),
        (["runs", "--plot", "x.txt"], "--plot 'x.txt': name a file with the suffix .png or .svg or .pdf"),
        (["runs", "--plot", "no/x.png"], "--plot 'no/x.png': there is no folder 'no'"),
        (["runs", "--plot", "x.png"], "--plot: the losses of these runs are in mse and nats: plot those of one unit"),
    ],
)
def test_wrong_usage_is_one_line(options: list[str], message: str, zoo_here: Zoo) -> None:
    Path("empty").mkdir()
    forge_run(Path("runs", "a"))
    forge_run(Path("runs", "b"), {"loss.unit": "mse"})
    done = zoo_here("compare", *options)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1
    assert not Path("x.png").exists()


@pytest.mark.parametrize("count", [2, 4, 5, 36])
@pytest.mark.parametrize("width", [40, 80, 120])
def test_tables_fit_the_terminal_and_no_name_is_cut(
    count: int, width: int, zoo_here: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(count):
        model: dict[str, object] = {"model.name": "gru"} if i % 2 else {"model.hyperparameters.hidden_size": i}
        forge_run(Path("runs", f"a-run-{i}"), {"training.lr": (i + 1) / 100, "training.seed": i % 3, **model})
    monkeypatch.setattr(output, "columns", lambda: width)
    out = zoo_here("compare", "runs").out
    assert all(f"a-run-{i}" in out for i in range(count))
    if width >= 80:
        assert max(map(len, out.splitlines())) <= width


def test_the_report_may_use_the_same_differences(made: Path) -> None:
    from zoo.runs.listing.differences import differences

    config = zoo.load(made).config
    other = {**config, "training": {**config["training"], "lr": 9.0}}
    assert differences([config, other]) == [("lr", [str(config["training"]["lr"]), "9.0"])]
