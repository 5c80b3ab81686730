"""Which folders are runs, and which are looked into."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import run_python
from forged_runs import forge_run

from zoo import UsageError
from zoo.runs.listing.finding import DEPTH, find_runs, is_run
from zoo.runs.listing.record import read_run


def found(folder: Path) -> list[str]:
    return [name for name, _, problem in find_runs(folder) if problem is None]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"training_state.safetensors"}, True),
        ({"losses.csv"}, True),
        ({"config.json", "metrics.json"}, True),
        ({"config.json", "model.safetensors", "README.md"}, True),
        ({"config.json"}, False),
        ({"metrics.json", "README.md"}, False),
        ({"model.safetensors"}, False),
        (set(), False),
    ],
)
def test_a_run_is_known_by_its_files(names: set[str], expected: bool) -> None:
    assert is_run(frozenset(names)) is expected


def test_runs_are_found_at_any_depth_up_to_the_limit_and_not_within_a_run() -> None:
    for depth in range(1, DEPTH + 2):
        forge_run(Path("runs", *map(str, range(1, depth)), "net"))
    forge_run(Path("runs", "net", "tensorboard", "inner"))
    forge_run(Path("runs", ".hidden", "net"))
    Path("runs", "a file").touch()
    assert found(Path("runs")) == ["1/2/3/net", "1/2/net", "1/net", "net"]


def test_a_run_itself_is_found_alone() -> None:
    forge_run(Path("runs", "net"))
    assert found(Path("runs", "net")) == ["net"]
    os.chdir(Path("runs", "net"))
    assert found(Path()) == ["net"]


def test_links_are_followed_and_each_folder_is_visited_once() -> None:
    forge_run(Path("elsewhere", "net"))
    Path("runs").mkdir()
    Path("runs", "b").symlink_to(Path.cwd() / "elsewhere" / "net")
    Path("runs", "a").symlink_to(Path.cwd() / "elsewhere")
    Path("runs", "loop").symlink_to(Path.cwd() / "runs")
    Path("runs", "itself").symlink_to("itself")
    Path("runs", "nowhere").symlink_to("nothing")
    assert found(Path("runs")) == ["a/net"]


def test_nothing_is_no_run_and_a_file_is_refused() -> None:
    assert found(Path("runs")) == []
    Path("runs").touch()
    with pytest.raises(UsageError, match="'runs' is not a folder"):
        list(find_runs(Path("runs")))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_cannot_be_read_is_listed_with_its_fault() -> None:
    forge_run(Path("runs", "net"))
    closed = forge_run(Path("runs", "closed"))
    closed.chmod(0)
    try:
        records = {run.name: run for run in (read_run(*one) for one in find_runs(Path("runs")))}
    finally:
        closed.chmod(0o755)
    assert records["closed"].state == "damaged"
    assert "Permission denied" in records["closed"].fault
    assert records["net"].state == "finished"


def test_a_folder_that_the_system_denies_is_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """As above, where the tests are run by root."""
    forge_run(Path("runs", "net"))
    real = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "net":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    [run] = [read_run(*one) for one in find_runs(Path("runs"))]
    assert (run.name, run.state, run.fault) == ("net", "damaged", "cannot read runs/net: Permission denied")


@pytest.mark.parametrize(
    ("command", "start"),
    [
        ("runs --sort val --where lr=0.1 -n 3", "3 runs of 1,000 in runs, sorted by val"),
        ("compare runs --markdown", "**Repetitions with other seeds: mean ± standard deviation**"),
    ],
)
def test_a_thousand_runs_are_read_without_torch(command: str, start: str, tmp_path: Path) -> None:
    for i in range(1000):
        forge_run(tmp_path / "runs" / f"net-{i}", {"training.seed": i})
    code = (
        "import sys\nfrom zoo.cli import main\n"
        f"try:\n    main({command.split()!r})\n"
        "except SystemExit as done:\n    assert done.code == 0, done.code\n"
        "heavy = {'torch', 'numpy', 'rich', 'matplotlib', 'requests', 'pluggy'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    done = run_python("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(start)
