"""`zoo report`: where it writes, over what, of which runs."""

from __future__ import annotations

import builtins
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
from conftest import Zoo
from reported_runs import as_reported, sections

import zoo
from zoo.files import write_bytes
from zoo.reports import report as writing
from zoo.reports.reported import ReportedRun
from zoo.storage.folder import RunFolder


@pytest.fixture(autouse=True)
def _few_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    sections(monkeypatch, "summary", "losses", "metrics")


def made(folder: Path, name: str = "mlp-char") -> Path:
    """A copy of a run in the working folder, to spoil."""
    shutil.copy(folder / "words.txt", "words.txt")
    return Path(shutil.copytree(folder / name, name))


def test_a_report_is_in_the_folder_of_its_run(zoo_here: Zoo, reported: Path) -> None:
    run = made(reported)
    written = zoo_here("report", run, "--json").result
    path = run / "report.html"
    assert written == {"runs": [str(run)], "report": str(path), "bytes": path.stat().st_size}
    assert zoo_here("report", run).out == f"{path}\n"  # over the first


def test_a_folder_with_a_report_is_a_run_as_before(zoo_here: Zoo, reported: Path) -> None:
    run = made(reported)
    zoo_here("report", run)
    verified = zoo_here("verify", run)
    assert (verified.code, "report" in verified.out, "damaged" in verified.out) == (0, False, False)
    (run / ".report.html.12345678.tmp").touch()  # of a process that was killed
    assert zoo_here("resume", run, "--steps", 42, "--no-plots").code == 0
    assert not list(run.glob(".*.tmp"))
    assert zoo_here("eval", run).code == 0
    assert zoo_here("eval", run / "report.html").err.endswith("give that folder\n")


def test_the_same_run_gives_the_same_bytes(zoo_here: Zoo, reported: Path) -> None:
    for name in ("one.html", "two.html"):
        zoo_here("report", reported / "mlp-char", "--out", name)
    assert Path("one.html").read_bytes() == Path("two.html").read_bytes()


@pytest.mark.parametrize("content", [b"my notes", b"", b"<!DOCTYPE html>\n<html>"], ids=["text", "empty", "html"])
def test_only_a_report_is_replaced(zoo_here: Zoo, reported: Path, content: bytes) -> None:
    Path("notes.html").write_bytes(content)
    outcome = zoo_here("report", reported / "mlp-char", "--out", "notes.html")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "'notes.html' is there already and is no report: name another file" in outcome.err
    assert Path("notes.html").read_bytes() == content


def test_a_folder_of_runs_is_its_runs_up_to_a_number(
    zoo_here: Zoo, reported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def stop(target: str, *_: Any) -> None:
        read.append(target)
        pytest.fail("enough")

    monkeypatch.setattr(ReportedRun, "read", stop)
    for name in "ba":
        shutil.copytree(reported / "mlp-char", Path("several") / name)
    with pytest.raises(pytest.fail.Exception):
        zoo_here("report", "several", "--out", "page.html")
    assert read == ["several/a"]
    monkeypatch.setattr(writing, "_MOST", 1)
    outcome = zoo_here("report", "several", "--out", "page.html")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "2 runs in 'several', and a report shows 1 side by side at most" in outcome.err
    assert "zoo compare several" in outcome.err


def test_what_cannot_be_a_file_is_refused_before_anything_is_made(
    zoo_here: Zoo, reported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReportedRun, "read", lambda *_: pytest.fail("it was read"))
    for out, says in (
        (".", "is a folder"),
        ("nowhere/report.html", "there is no folder 'nowhere'"),
        ("x" * 300, "name"),
    ):
        outcome = zoo_here("report", reported / "mlp-char", "--out", out)
        assert (outcome.code, outcome.err.count("\n")) == (2, 1)
        assert says in outcome.err


def test_a_report_that_has_no_place_beside_its_run_is_here(
    zoo_here: Zoo, reported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Path("report.html")
    assert zoo_here("report", "bigram").out == f"{here}\n"  # shipped weights
    here.unlink()
    assert zoo_here("report", reported / "mlp-char", reported / "lstm").out == f"{here}\n"
    here.unlink()
    write = write_bytes

    def read_only(path: Path, data: bytes) -> None:
        if path != here:
            raise PermissionError(13, "Permission denied", str(path))
        write(path, data)

    monkeypatch.setattr(writing, "write_bytes", read_only)
    assert zoo_here("report", reported / "mlp-char").out == f"{here}\n"
    outcome = zoo_here("report", reported / "mlp-char", "--out", reported / "other.html")
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)


def test_a_stopped_run_has_a_report(zoo_here: Zoo, reported: Path) -> None:
    run = made(reported)
    (run / "metrics.json").unlink()
    assert zoo_here("report", run).code == 0
    page = (run / "report.html").read_text()
    assert "not recorded: the run is not finished" in page
    losses = json.loads((reported / "mlp-char" / "metrics.json").read_text())["losses"]
    assert f"val {losses['val']:.4f}" in page  # evaluated anew


def test_results_of_other_weights_are_not_shown(zoo_here: Zoo, reported: Path) -> None:
    run = made(reported)
    with RunFolder.open(run):
        pass
    metrics = run / "metrics.json"
    other = json.loads(metrics.read_text()) | {"weights_sha256": "0" * 64, "losses": {"val": 77.25}}
    metrics.write_text(json.dumps({key: value for key, value in other.items() if key != "sha256"}))
    assert zoo_here("report", run).code == 0
    assert "77.25" not in (run / "report.html").read_text()


def test_a_lone_file_has_a_report_and_takes_nothing_of_its_neighbours(zoo_here: Zoo, reported: Path) -> None:
    run = made(reported)
    alone = run / "alone.safetensors"
    shutil.copy(reported / "lstm" / "model.safetensors", alone)
    assert zoo_here("report", alone).out == f"{run / 'report.html'}\n"
    page = (run / "report.html").read_text()
    assert 'id="losses"' not in page  # which are those of the other run
    assert 'id="metrics"' in page


def test_data_that_is_not_found_is_told_once_with_the_remedy(zoo_here: Zoo, reported: Path) -> None:
    run = Path(shutil.copytree(reported / "mlp-char", "moved"))
    (run / "training_state.safetensors").unlink()
    assert zoo_here("report", run).code == 0
    page = (run / "report.html").read_text()
    assert page.count("words.txt is not") + page.count("give it with --dataset") <= 2
    assert page.count('class="notice"') == 1
    outcome = zoo_here("report", run, "--dataset", reported / "words.txt")
    assert outcome.code == 0
    assert 'class="notice"' not in (run / "report.html").read_text()
    Path("other.txt").write_text("anna\nbea\n" * 20)
    zoo_here("report", run, "--dataset", "other.txt")
    assert "is not the data that moved was trained on" in (run / "report.html").read_text()


@pytest.mark.parametrize("library", ["bokeh", "jinja2"])
def test_without_its_libraries_a_report_names_the_extra(
    library: str, zoo_here: Zoo, reported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Any = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "zoo.reports.page":
            raise ModuleNotFoundError(f"No module named '{library}'", name=library)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    outcome = zoo_here("report", reported / "mlp-char", "--out", "x.html")
    assert outcome.code == 1
    assert outcome.err == "zoo: error: a report needs Bokeh, which is not installed: pip install 'zoo-models[report]'\n"


def test_python_takes_what_it_returned(reported: Path) -> None:
    run = made(reported)
    loaded = zoo.load(run)
    assert zoo.report(loaded) == run / "report.html"
    assert zoo.report(run, str(run), out="both.html") == Path("both.html")
    assert "mlp-char (2)" in Path("both.html").read_text()
    with pytest.raises(zoo.UsageError, match="name a run folder"):
        zoo.report()
    with pytest.raises(zoo.UsageError, match="no run"):
        zoo.report("nothing here")


def test_bokeh_tells_nothing_of_its_own(reported: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        zoo.report(reported / "mlp-char", out="x.html")
    assert not caught


def test_what_is_counted_is_named(zoo_here: Zoo, reported: Path, digits: None) -> None:
    Path("book.txt").write_text("To be, or not to be. " * 40)
    zoo_here(
        "run", "mlp-char", "--dataset", "book.txt", "--format", "text", "--steps", 1, "--no-plots", "--out", "book"
    )
    kinds = {"mlp-char": "characters", "lstm": "words", "digits-cnn": "examples", "linear-table": "examples"}
    for name, counted in kinds.items():
        assert as_reported(reported / name).counted == counted
    assert as_reported(Path("book")).counted == "characters"
